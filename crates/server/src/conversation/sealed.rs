//! Whole messages as they are decoded: those that may hold a password are wiped after use.

use bytes::{Bytes, BytesMut};
use flext_ldap_proto::ber::Tag;
use zeroize::{Zeroize as _, Zeroizing};

/// A whole message, to be shared by what is decoded from it. One that may hold a password stands alone and is wiped
/// when the last who shares it lets go.
pub(super) fn sealed(mut message: BytesMut) -> Bytes {
    if may_hold_password(&message) {
        let alone = Bytes::from_owner(Zeroizing::new(message.to_vec()));
        message.as_mut().zeroize();
        return alone;
    }
    message.freeze()
}

/// Whether the operation of a whole message is a bind or an extended one, as far as a look at its place tells.
fn may_hold_password(message: &[u8]) -> bool {
    const BIND: Tag = Tag::application_constructed(0);
    const EXTENDED: Tag = Tag::application_constructed(23);
    let tag = || {
        let (_, rest) = message.split_first()?;
        let (length, rest) = rest.split_first()?;
        let more = if *length < 0x80 { 0 } else { usize::from(*length & 0x7f) };
        let (_, id) = rest.get(more..)?.split_first()?;
        let (length, rest) = id.split_first()?;
        rest.get(usize::from(*length)).copied().map(Tag)
    };
    matches!(tag(), Some(BIND | EXTENDED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_with_passwords_are_told_by_their_place() {
        let table: &[(&[u8], bool)] = &[
            (&[0x30, 0x0c, 2, 1, 1, 0x60, 7, 2, 1, 3, 4, 0, 0x80, 0], true),
            (&[0x30, 0x82, 0, 0x0d, 2, 2, 1, 1, 0x60, 7, 2, 1, 3, 4, 0, 0x80, 0], true),
            (&[0x30, 0x05, 2, 1, 1, 0x77, 0], true),
            (&[0x30, 0x05, 2, 1, 1, 0x42, 0], false),
            (&[0x30, 0xff], false),
            (&[0x30, 0x02, 2, 0x60], false),
            (&[0x30], false),
            (&[], false),
        ];
        for (message, want) in table {
            assert_eq!(may_hold_password(message), *want, "{message:02x?}");
            assert_eq!(sealed(BytesMut::from(*message)), *message);
        }
    }
}
