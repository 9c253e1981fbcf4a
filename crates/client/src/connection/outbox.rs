//! What is to be written: requests one after another in one buffer, and where each begins.
//!
//! The places tell, when a connection is lost or a deadline passes, whether an octet of a request may have left.

use std::ops::Range;

use flext_ldap_directory::proto::{ber::Writer, message::MessageId};

/// Octets gathered for one write. A request that is larger goes out alone.
const ENOUGH: usize = 256 << 10;
/// Memory kept for the next requests; what grew larger is given back.
const KEPT: usize = 1 << 20;

#[derive(Debug, Default)]
pub(super) struct Outbox {
    writer: Writer,
    /// Octets from the start that the transport has taken, or may have taken.
    written: usize,
    places: Vec<(MessageId, Range<usize>)>,
    holds_secret: bool,
}

impl Outbox {
    /// Whether more should wait until this is written: when it is long, or holds a secret that must not be copied about.
    pub(super) fn is_full(&self) -> bool {
        self.holds_secret || self.writer.len() >= ENOUGH
    }

    /// What is still to be written.
    pub(super) fn waiting(&self) -> &[u8] {
        self.writer.as_slice().get(self.written..).unwrap_or_default()
    }

    /// Adds the message that `encode` writes. With `secret` its memory is wiped once it is written.
    pub(super) fn push(&mut self, id: MessageId, secret: bool, encode: impl FnOnce(&mut Writer)) {
        if secret || self.holds_secret {
            self.make_room();
        }
        let start = self.writer.len();
        encode(&mut self.writer);
        self.places.push((id, start..self.writer.len()));
        self.holds_secret |= secret;
    }

    /// Growing would leave a copy of a secret behind in freed memory, so there is room before; requests with passwords
    /// are short.
    fn make_room(&mut self) {
        let mut roomy = Writer::new();
        roomy.reserve(self.writer.len() + (4 << 10));
        roomy.raw(self.writer.as_slice());
        let mut old = std::mem::replace(&mut self.writer, roomy);
        if self.holds_secret {
            old.wipe();
        }
    }

    /// The transport has taken `octets` more.
    pub(super) fn advance(&mut self, octets: usize) {
        self.written = self.written.saturating_add(octets);
        if self.written >= self.writer.len() {
            self.clear();
        }
    }

    /// The transport failed, and nobody can tell how much of what it was offered it has sent.
    pub(super) fn suspect_all(&mut self) {
        self.written = self.writer.len();
    }

    /// Whether no octet of the request `id` can have left. Only for requests that were pushed.
    pub(super) fn is_untouched(&self, id: MessageId) -> bool {
        self.places.iter().any(|(one, place)| *one == id && place.start >= self.written)
    }

    /// Takes the request `id` back, if no octet of it can have left: then none ever will.
    pub(super) fn retract(&mut self, id: MessageId) -> bool {
        let Some(at) = self.places.iter().position(|(one, place)| *one == id && place.start >= self.written)
        else {
            return false;
        };
        let (_, gone) = self.places.remove(at);
        let mut rest = Writer::new();
        rest.reserve(self.writer.len());
        rest.raw(self.writer.as_slice().get(..gone.start).unwrap_or_default());
        rest.raw(self.writer.as_slice().get(gone.end..).unwrap_or_default());
        for (_, place) in self.places.iter_mut().skip(at) {
            *place = place.start - gone.len()..place.end - gone.len();
        }
        let mut old = std::mem::replace(&mut self.writer, rest);
        if self.holds_secret {
            old.wipe();
        }
        if self.waiting().is_empty() {
            self.clear();
        }
        true
    }

    /// Takes back all requests of which no octet can have left. What remains is the rest of one that was begun.
    pub(super) fn retract_all(&mut self) {
        while let Some(id) =
            self.places.iter().find(|(_, place)| place.start >= self.written).map(|(id, _)| *id)
        {
            self.retract(id);
        }
    }

    fn clear(&mut self) {
        if self.holds_secret {
            self.writer.wipe();
        }
        if self.writer.len() > KEPT {
            self.writer = Writer::new()
        } else {
            self.writer.clear()
        }
        self.written = 0;
        self.places.clear();
        self.holds_secret = false;
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        if self.holds_secret {
            self.writer.wipe();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox(messages: &[(u32, &[u8])]) -> Outbox {
        let mut outbox = Outbox::default();
        for (id, octets) in messages {
            outbox.push(MessageId(*id), false, |writer| writer.raw(octets));
        }
        outbox
    }

    #[test]
    fn a_request_is_untouched_until_its_first_octet_is_taken() {
        let mut outbox = outbox(&[(1, b"aaa"), (2, b"bbb"), (3, b"ccc")]);
        let untouched = |outbox: &Outbox| [1, 2, 3].map(|id| outbox.is_untouched(MessageId(id)));
        assert_eq!(untouched(&outbox), [true, true, true]);
        outbox.advance(1);
        assert_eq!(untouched(&outbox), [false, true, true]);
        outbox.advance(2);
        assert_eq!(untouched(&outbox), [false, true, true]);
        outbox.advance(1);
        assert_eq!(untouched(&outbox), [false, false, true]);
        outbox.suspect_all();
        assert_eq!(untouched(&outbox), [false, false, false]);
    }

    #[test]
    fn what_is_taken_back_is_not_written() {
        let mut outbox = outbox(&[(1, b"aaa"), (2, b"bbbb"), (3, b"cc"), (4, b"d")]);
        outbox.advance(2);
        assert!(!outbox.retract(MessageId(1)), "begun");
        assert!(outbox.retract(MessageId(2)));
        assert!(!outbox.retract(MessageId(2)), "gone");
        assert_eq!(outbox.waiting(), b"accd");
        assert!(outbox.is_untouched(MessageId(3)));
        outbox.advance(2);
        assert!(!outbox.retract(MessageId(3)), "begun");
        assert!(outbox.retract(MessageId(4)));
        assert_eq!(outbox.waiting(), b"c");
        outbox.retract_all();
        assert_eq!(outbox.waiting(), b"c");
        outbox.advance(1);
        assert_eq!((outbox.waiting(), outbox.writer.len()), (&b""[..], 0));
    }

    #[test]
    fn nothing_is_added_to_a_secret_until_it_is_written() {
        let mut outbox = Outbox::default();
        outbox.push(MessageId(1), true, |writer| writer.raw(b"korrekt Pferd"));
        assert!(outbox.is_full());
        outbox.advance(12);
        assert!(outbox.is_full());
        outbox.advance(1);
        assert!(!outbox.is_full());
        assert_eq!((outbox.waiting(), outbox.writer.len()), (&b""[..], 0));
    }

    #[test]
    fn taking_back_the_last_leaves_nothing_to_write() {
        let mut outbox = outbox(&[(1, b"aaa"), (2, b"bbb")]);
        outbox.retract_all();
        assert_eq!((outbox.waiting(), outbox.writer.len()), (&b""[..], 0));
    }
}
