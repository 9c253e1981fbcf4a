//! Attributes that come in parts: range retrieval of attribute values, \[MS-ADTS] 3.1.1.3.1.3.3.
//!
//! Active Directory cuts what has more than 1,500 values (`MaxValRange` of its query policy) without being asked: the entry has no
//! `member` then, but `member;range=0-1499`, and who does not ask on takes a part for the whole. Not here: asking for parts
//! on purpose.

use bytes::Bytes;
use flext_ldap_proto::{
    attribute::{Attributes, AttributesRef},
    entry::{Entry, EntryRef},
    filter::Filter,
    line::OneLine,
    message::{Scope, Search},
};

use crate::{Directory, DirectoryExt, Error, ErrorKind, Request};

/// Parts of one attribute: 15 million values as Active Directory cuts them.
const MOST_PARTS: usize = 10_000;

/// Which part of an attribute a description stands for.
#[derive(Debug, Eq, PartialEq)]
struct Range {
    /// The description without its range.
    name: String,
    first: u64,
    /// The last value in it; `None` where it ends with the last there is.
    last: Option<u64>,
}

/// An attribute being put together.
struct Whole {
    name: String,
    values: Vec<Bytes>,
}

/// Whether an entry has an attribute of which there is more than came.
#[must_use]
pub fn is_cut(entry: EntryRef<'_>) -> bool {
    entry.attributes().iter().any(|attribute| cut(attribute.description()).is_some())
}

/// The entry with all values of attributes that came in part, under their own names. What is whole stays as it is.
///
/// The rest is asked for as `like` would be: by its actor, with its controls, until its deadline. What it searches for does
/// not count.
///
/// # Errors
///
/// The directory could not answer, or answered no. [`ErrorKind::Protocol`]: parts do not fit together, as when the entry is
/// changed meanwhile.
///
/// # Cancel safety
///
/// Dropping the future abandons the search for the next part.
pub async fn whole(
    directory: &(impl Directory + ?Sized),
    entry: EntryRef<'_>,
    like: &Request<Search>,
) -> Result<Entry, Error> {
    let dn = entry.dn().map_err(|error| {
        let message = format!(
            "`{}`, of which there is more to read, has no name that can be asked for",
            OneLine(entry.dn_str())
        );
        Error::new(ErrorKind::Protocol, message).with_source(error)
    })?;
    let cuts: Vec<Range> =
        entry.attributes().iter().filter_map(|attribute| cut(attribute.description())).collect();
    let mut list = Attributes::builder();
    for attribute in entry.attributes().iter() {
        let description = attribute.description();
        let Some(range) = cut(description) else {
            // Active Directory has the bare name there too, without values.
            if !cuts.iter().any(|cut| cut.name.eq_ignore_ascii_case(description)) {
                list.push(description, attribute.values());
            }
            continue;
        };
        let values = attribute.values().map(Bytes::copy_from_slice).collect();
        let mut attribute = Whole { name: range.name, values };
        let mut next = range.last;
        for _ in 0..MOST_PARTS {
            let Some(last) = next else { break };
            let wanted = last.saturating_add(1);
            let part = format!("{};range={wanted}-*", attribute.name);
            let search = Search::new(dn.clone(), Scope::Base, Filter::any()).attributes([part]);
            let request = Request { op: search, ..like.clone() };
            let found = directory.search_one(request).await?;
            next = attribute.add(found.attributes(), wanted)?;
        }
        if next.is_some() {
            return Err(Error::new(
                ErrorKind::Protocol,
                format!("`{}` of `{dn}` has more than {MOST_PARTS} parts", attribute.name),
            ));
        }
        list.push(&attribute.name, &attribute.values);
    }
    Ok(Entry::new(&dn, list.build()))
}

impl Whole {
    /// Adds the part that begins with value `wanted`. Returns which value it ends with, if there are more.
    fn add(&mut self, answer: AttributesRef<'_>, wanted: u64) -> Result<Option<u64>, Error> {
        for attribute in answer.iter() {
            let Some(range) = Range::of(attribute.description()) else { continue };
            let values = attribute.values().count() as u64;
            let fits = range.last.is_none_or(|last| last.checked_sub(wanted) == values.checked_sub(1));
            if range.first == wanted && fits && values > 0 && range.name.eq_ignore_ascii_case(&self.name) {
                self.values.extend(attribute.values().map(Bytes::copy_from_slice));
                return Ok(range.last);
            }
        }
        let message = format!(
            "no values of `{}` came from number {wanted} on, though more were said to be there: if the entry was changed \
             meanwhile, read it again",
            self.name
        );
        Err(Error::new(ErrorKind::Protocol, message))
    }
}

/// What a description says of a part that others follow.
fn cut(description: &str) -> Option<Range> {
    Range::of(description).filter(|range| range.last.is_some())
}

impl Range {
    /// `member;range=0-1499`, the last part `member;range=1500-*`; other options may stand beside it.
    fn of(description: &str) -> Option<Self> {
        let mut parts = description.split(';');
        let mut name = parts.next()?.to_owned();
        let mut found = None;
        for option in parts {
            match option.split_at_checked(6) {
                Some((key, range)) if key.eq_ignore_ascii_case("range=") => {
                    let (first, last) = range.split_once('-')?;
                    let last = match last {
                        "*" => None,
                        last => Some(last.parse().ok()?),
                    };
                    found = Some((first.parse().ok()?, last));
                }
                _ => {
                    name.push(';');
                    name.push_str(option);
                }
            }
        }
        let (first, last) = found?;
        Some(Self { name, first, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_an_option() {
        let range = |name: &str, first, last| Some(Range { name: name.to_owned(), first, last });
        let table = [
            ("member", None),
            ("member;binary", None),
            ("member;range=0-1499", range("member", 0, Some(1_499))),
            ("member;Range=1500-*", range("member", 1_500, None)),
            ("cert;binary;range=0-9", range("cert;binary", 0, Some(9))),
            ("member;range=0", None),
            ("member;range=a-b", None),
            ("member;range=-1-*", None),
            ("member;rangé=0-1", None),
            ("member;range=0-99999999999999999999", None),
        ];
        for (description, want) in table {
            assert_eq!(Range::of(description), want, "{description}");
        }
    }
}
