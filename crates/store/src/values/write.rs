//! Large attributes in wire form: written from the rows as they are read, in one pass.

use std::ops::ControlFlow;

use flext_ldap_proto::ber::{Tag, Writer};

use super::{Large, ValueRows};
use crate::tables::Failure;

/// How long a value of so many octets is with its tag and its length, as [`Writer`] writes them.
pub(crate) fn encoded_length(contents: u64) -> u64 {
    let header = match contents {
        0..0x80 => 2,
        _ => 2 + u64::from(u64::BITS - contents.leading_zeros()).div_ceil(8),
    };
    contents.saturating_add(header)
}

impl Large {
    /// How long the attribute is as an element of an attribute list, with all its values.
    pub(crate) fn encoded_length(&self) -> u64 {
        let description = encoded_length(self.description.len() as u64);
        encoded_length(description.saturating_add(encoded_length(self.octets)))
    }

    /// Writes the attribute with all its values.
    ///
    /// # Errors
    ///
    /// When the rows cannot be read or are not what the entry says. Part of it may be written then.
    pub(crate) fn write(&self, rows: &dyn ValueRows, writer: &mut Writer) -> Result<(), Failure> {
        let damaged = || Failure::damaged("the values of a large attribute");
        let description = encoded_length(self.description.len() as u64);
        let contents = description.saturating_add(encoded_length(self.octets));
        let (contents, octets) =
            usize::try_from(contents).ok().zip(usize::try_from(self.octets).ok()).ok_or_else(damaged)?;
        writer.reserve(usize::try_from(self.encoded_length()).map_err(|_| damaged())?);
        writer.header(Tag::SEQUENCE, contents);
        writer.octets(self.description.as_bytes());
        writer.header(Tag::SET, octets);
        let start = writer.len();
        let mut count = 0_u64;
        self.visit(rows, None, &mut |_, value| {
            writer.octets(value);
            count += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        // Lengths are written already; if they were wrong, the peer would take one thing for another.
        if writer.len().checked_sub(start) != Some(octets) || count != self.count {
            return Err(damaged());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_those_that_are_written() {
        for contents in [0, 1, 126, 127, 128, 129, 255, 256, 257, 65_535, 65_536, 70_000, 1 << 24] {
            let mut writer = Writer::new();
            writer.octets(&vec![b'x'; contents]);
            assert_eq!(encoded_length(contents as u64), writer.len() as u64, "{contents}");
        }
    }
}
