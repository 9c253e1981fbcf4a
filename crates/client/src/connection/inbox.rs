//! What has been read: octets, cut into whole messages.
//!
//! Each octet is looked at once, however slowly a message arrives: how long it will be is known from its header, and
//! nothing is done until it is there. Memory grows with what has arrived, not with what a header claims.

use bytes::{Buf as _, Bytes, BytesMut};
use flext_ldap_directory::proto::ber::{DecodeError, frame_length};

/// Octets asked for at first, and at most, in one read.
const SMALL: usize = 8 << 10;
const LARGE: usize = 256 << 10;
/// How many times its own size a message may keep in memory.
const WASTE: usize = 8;

#[derive(Debug)]
pub(super) struct Inbox {
    buffer: BytesMut,
    /// Octets of memory the buffer is part of.
    memory: usize,
    /// Octets from the start that are whole messages.
    whole: usize,
    /// Where each of them ends.
    ends: Vec<usize>,
    /// Octets the message after them must have before it is worth another look.
    wanted: usize,
    /// Octets to ask for in the next read.
    read: usize,
    limit: usize,
}

impl Inbox {
    /// Takes messages of at most `limit` octets.
    pub(super) fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), memory: 0, whole: 0, ends: Vec::new(), wanted: 0, read: SMALL, limit }
    }

    /// The buffer to read into, with room in it.
    pub(super) fn room(&mut self) -> &mut BytesMut {
        let held = self.buffer.len();
        let spare = self.buffer.capacity() - held;
        let wanted = if held < self.read / 2 {
            self.read - held
        } else {
            // A long message doubles the buffer each time, so copying it costs no more than receiving it.
            self.read.max(held).min(self.read.max(self.wanted))
        };
        // Memory of messages that nobody keeps any more is used again.
        if spare < wanted && !self.buffer.try_reclaim(wanted) && spare < self.read / 2 {
            self.buffer.reserve(wanted);
            self.memory = self.buffer.capacity();
        }
        &mut self.buffer
    }

    /// Adapts to how much one read brought.
    pub(super) fn learn(&mut self, octets: usize) {
        if octets >= self.read {
            self.read = (self.read * 2).min(LARGE);
        } else if octets < self.read / 8 {
            self.read = (self.read / 2).max(SMALL);
        }
    }

    /// Finds the messages that are whole. On an error those before it can still be taken.
    pub(super) fn cut(&mut self) -> Result<(), DecodeError> {
        loop {
            let rest = self.buffer.get(self.whole..).unwrap_or_default();
            if rest.len() < self.wanted.max(1) {
                return Ok(());
            }
            match frame_length(rest, self.limit)? {
                None => {
                    self.wanted = rest.len() + 1;
                    return Ok(());
                }
                Some(length) if length <= rest.len() && length > 0 => {
                    self.whole += length;
                    self.ends.push(self.whole);
                    self.wanted = 0;
                }
                Some(length) => {
                    self.wanted = length.max(1);
                    return Ok(());
                }
            }
        }
    }

    /// Finds the first message, if it is whole, and leaves what comes after it as it is.
    pub(super) fn cut_first(&mut self) -> Result<(), DecodeError> {
        if let Some(length) = frame_length(&self.buffer, self.limit)?
            && length <= self.buffer.len()
            && length > 0
        {
            self.whole = length;
            self.ends.push(length);
        }
        self.wanted = 0;
        Ok(())
    }

    /// Takes what is there and is no whole message.
    pub(super) fn take_rest(&mut self) -> BytesMut {
        self.wanted = 0;
        self.buffer.split()
    }

    /// Takes the whole messages: their octets, and where each ends.
    ///
    /// Whoever keeps one of them keeps all of that memory, so little is copied out of a large buffer: what is kept is
    /// at most [`WASTE`] times what is counted.
    pub(super) fn take(&mut self) -> Option<(Bytes, Vec<usize>)> {
        if self.ends.is_empty() {
            return None;
        }
        let whole = self.buffer.get(..self.whole).unwrap_or_default();
        let octets = if whole.len() < self.memory / WASTE {
            let copy = Bytes::copy_from_slice(whole);
            self.buffer.advance(self.whole);
            copy
        } else {
            self.buffer.split_to(self.whole).freeze()
        };
        self.whole = 0;
        if self.buffer.is_empty() && self.memory > 2 * LARGE {
            // The memory of a very long message is given back.
            self.buffer = BytesMut::new();
        }
        Some((octets, std::mem::take(&mut self.ends)))
    }
}

#[cfg(test)]
mod tests {
    use flext_ldap_directory::proto::ber::DecodeErrorKind;

    use super::*;

    #[test]
    fn messages_are_cut_wherever_reads_end() {
        let messages: &[&[u8]] = &[&[0x30, 0x00], &[0x30, 0x81, 0x03, 1, 2, 3], &[0x30, 0x01, 9]];
        let all = messages.concat();
        for step in 1..=all.len() {
            let mut inbox = Inbox::new(100);
            let mut found = Vec::new();
            for piece in all.chunks(step) {
                inbox.room().extend_from_slice(piece);
                inbox.cut().unwrap();
                if let Some((octets, ends)) = inbox.take() {
                    let mut start = 0;
                    for end in ends {
                        found.push(octets.slice(start..end));
                        start = end;
                    }
                }
            }
            assert_eq!(found, messages, "in steps of {step}");
        }
    }

    #[test]
    fn what_came_before_an_error_can_be_taken() {
        let mut inbox = Inbox::new(100);
        inbox.room().extend_from_slice(&[0x30, 0x00, 0x31]);
        assert_eq!(inbox.cut().unwrap_err().offset, 0);
        assert_eq!(inbox.take().unwrap(), (Bytes::from_static(&[0x30, 0x00]), vec![2]));
    }

    #[test]
    fn a_header_that_claims_two_gigabytes_is_refused_at_once() {
        let mut inbox = Inbox::new(20 << 20);
        inbox.room().extend_from_slice(&[0x30, 0x84, 0x7f, 0xff, 0xff, 0xff]);
        assert_eq!(inbox.cut().unwrap_err().kind, DecodeErrorKind::MessageTooLarge);
    }

    #[test]
    fn a_message_that_is_kept_keeps_little_more_than_itself() {
        let mut inbox = Inbox::new(20 << 20);
        inbox.read = LARGE;
        let message = [0x30, 0x02, 5, 0];
        inbox.room().extend_from_slice(&message);
        inbox.cut().unwrap();
        let (octets, _) = inbox.take().unwrap();
        assert!(octets.is_unique(), "copied out of {} octets", inbox.memory);
        // As much again when most of that memory is used up already.
        for length in [200 << 10, 16 << 10] {
            let body = vec![0; length];
            let header = [0x30, 0x83, (length >> 16) as u8, (length >> 8) as u8, 0];
            inbox.room().extend_from_slice(&[&header[..], &body].concat());
            inbox.cut().unwrap();
            let (octets, _) = inbox.take().unwrap();
            assert_eq!((octets.len(), octets.is_unique()), (length + 5, length < LARGE / WASTE));
        }

        let long: Vec<u8> = [&[0x30, 0x84, 0, 0x7f, 0xff, 0xfa][..], &vec![0; (8 << 20) - 6]].concat();
        for piece in long.chunks(LARGE) {
            inbox.room().extend_from_slice(piece);
            inbox.cut().unwrap();
        }
        let (octets, ends) = inbox.take().unwrap();
        assert_eq!((octets.len(), ends), (8 << 20, vec![8 << 20]));
        assert!(inbox.buffer.capacity() <= 2 * LARGE, "{} stay", inbox.buffer.capacity());
        inbox.room().extend_from_slice(&message);
        inbox.cut().unwrap();
        assert_eq!(inbox.take().unwrap().0, message.as_slice());
    }

    #[test]
    fn memory_that_nobody_keeps_is_used_again() {
        let mut inbox = Inbox::new(20 << 20);
        inbox.read = LARGE;
        let message = [&[0x30, 0x82, 0x7f, 0xfc][..], &[0; 0x7ffc]].concat();
        let (mut places, mut kept) = (Vec::new(), Vec::new());
        for is_kept in [false, false, true, false] {
            // Two messages and a part of one.
            let room = inbox.room();
            assert!((2 * message.len()..=LARGE).contains(&(room.capacity() - room.len())));
            room.extend_from_slice(&message.repeat(2));
            room.extend_from_slice(&message[..100]);
            inbox.cut().unwrap();
            let (octets, ends) = inbox.take().unwrap();
            places.push(octets.as_ptr());
            assert_eq!((octets.len(), ends.len()), (2 * message.len(), 2));
            kept.extend(is_kept.then_some(octets));
            inbox.room().extend_from_slice(&message[100..]);
            inbox.cut().unwrap();
            drop(inbox.take().unwrap());
        }
        assert_eq!((places[0], places[0]), (places[1], places[2]));
        assert_ne!(places[2], places[3], "what is kept is left alone");
    }

    #[test]
    fn memory_grows_with_what_arrived() {
        let mut inbox = Inbox::new(20 << 20);
        inbox.room().extend_from_slice(&[0x30, 0x84, 0x01, 0x00, 0x00, 0x00]);
        let mut arrived = 6;
        for _ in 0..2_000 {
            inbox.room().extend_from_slice(&[0; 1_000]);
            inbox.cut().unwrap();
            arrived += 1_000;
            assert!(
                inbox.buffer.capacity() <= 4 * arrived + 4 * SMALL,
                "{} for {arrived}",
                inbox.buffer.capacity()
            );
        }
    }
}
