//! Cookies that know where they came from.
//!
//! A paging cookie (RFC 2696) and the context of a virtual list view are good on the server that gave them and nowhere
//! else, and two servers may well give the same octets. So a set puts before each the mark of the set and the number of
//! the member, and takes both off again when the cookie comes back. Nothing is remembered, and sets nest.

use bytes::{BufMut, Bytes, BytesMut};
use flext_ldap_directory::{
    Error, ErrorKind, Op, Outcome, Request,
    proto::{
        control::{ControlValue as _, PagedResults, VirtualListView, VirtualListViewResponse},
        message::Limits,
    },
};

/// Octets of the mark and the number.
const LENGTH: usize = 12;

/// The mark of one set, of one run of the program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tag(u64);

impl Tag {
    pub(super) const fn new(mark: u64) -> Self {
        Self(mark)
    }

    /// Whether what `request` is answered can hold a cookie.
    pub(super) fn concerns(request: &Request) -> bool {
        matches!(request.op, Op::Search(_))
            && request
                .controls
                .iter()
                .any(|control| control.oid == PagedResults::OID || control.oid == VirtualListView::OID)
    }

    /// The member whose cookie is in `request`, if there is one in it; the cookie is then as the member gave it.
    ///
    /// # Errors
    ///
    /// The cookie is not of this set.
    pub(super) fn take(self, set: &str, request: &mut Request) -> Result<Option<u32>, Error> {
        let mut members = [None, None];
        if !Self::concerns(request) {
            return Ok(None);
        }
        let [of_pages, of_view] = &mut members;
        request.controls.change::<PagedResults, _>(&Limits::DEFAULT, |page| {
            if !page.cookie.is_empty() {
                let (member, cookie) = self.off(set, &page.cookie)?;
                (page.cookie, *of_pages) = (cookie, Some(member));
            }
            Ok(())
        })?;
        request.controls.change::<VirtualListView, _>(&Limits::DEFAULT, |view| {
            if let Some(context) = view.context.as_mut().filter(|context| !context.is_empty()) {
                let (member, original) = self.off(set, context)?;
                (*context, *of_view) = (original, Some(member));
            }
            Ok(())
        })?;
        match members {
            [Some(one), Some(other)] if one != other => Err(Error::new(
                ErrorKind::Misuse,
                format!("the cookies of the search are of two servers of the set `{set}`: start it again"),
            )),
            [of_pages, of_view] => Ok(of_pages.or(of_view)),
        }
    }

    /// Marks the cookies in the answer of `member`.
    pub(super) fn put(self, member: u32, outcome: &mut Outcome) {
        // What cannot be decoded is left to whoever asked for it, who says so.
        let _: Result<(), Error> = outcome.controls.change::<PagedResults, _>(&Limits::DEFAULT, |page| {
            if !page.cookie.is_empty() {
                page.cookie = self.on(member, &page.cookie);
            }
            Ok(())
        });
        let _: Result<(), Error> =
            outcome.controls.change::<VirtualListViewResponse, _>(&Limits::DEFAULT, |view| {
                if let Some(context) = view.context.as_mut().filter(|context| !context.is_empty()) {
                    *context = self.on(member, context);
                }
                Ok(())
            });
    }

    fn on(self, member: u32, cookie: &[u8]) -> Bytes {
        let mut marked = BytesMut::with_capacity(LENGTH + cookie.len());
        marked.put_u64(self.0);
        marked.put_u32(member);
        marked.put_slice(cookie);
        marked.freeze()
    }

    fn off(self, set: &str, cookie: &Bytes) -> Result<(u32, Bytes), Error> {
        let foreign = || {
            let message = format!(
                "the search goes on with a cookie that the set `{set}` has not given, so nobody knows of which server it is: \
                 start the search again"
            );
            Error::new(ErrorKind::Misuse, message)
        };
        let (mark, rest) = cookie.split_first_chunk::<8>().ok_or_else(foreign)?;
        let (member, _) = rest.split_first_chunk::<4>().ok_or_else(foreign)?;
        if u64::from_be_bytes(*mark) != self.0 {
            return Err(foreign());
        }
        Ok((u32::from_be_bytes(*member), cookie.slice(LENGTH..)))
    }
}

#[cfg(test)]
mod tests {
    use flext_ldap_directory::{
        Actor,
        proto::{
            control::{ManageDsaIt, Target},
            message::{Scope, Search},
        },
    };

    use super::*;

    fn search() -> Request<Search> {
        let search = Search::new(
            "dc=harbourlane,dc=example".parse().unwrap(),
            Scope::Subtree,
            "(objectClass=*)".parse().unwrap(),
        );
        Request::new(search, Actor::Service).critical(&ManageDsaIt)
    }

    fn page(cookie: &[u8]) -> PagedResults {
        PagedResults { size: 100, cookie: Bytes::copy_from_slice(cookie) }
    }

    fn view(context: Option<&[u8]>) -> VirtualListView {
        let context = context.map(Bytes::copy_from_slice);
        VirtualListView {
            before: 0,
            after: 9,
            target: Target::Offset { offset: 1, content_count: 0 },
            context,
        }
    }

    /// The outcome a server gives with this cookie, marked.
    fn marked(tag: Tag, member: u32, cookie: &[u8]) -> Bytes {
        let mut outcome = Outcome::success();
        outcome.controls = outcome.controls.optional(&page(cookie));
        tag.put(member, &mut outcome);
        outcome.controls.get::<PagedResults>(&Limits::DEFAULT).unwrap().unwrap().cookie
    }

    #[test]
    fn a_cookie_comes_back_as_it_was_and_names_its_member() {
        let tag = Tag::new(0x1234_5678_9abc_def0);
        let given = marked(tag, 7, b"cookie");
        let mut request = search().critical(&page(&given)).into_any();
        assert_eq!(tag.take("directory", &mut request).unwrap(), Some(7));
        assert_eq!(request.controls, search().critical(&page(b"cookie")).controls);
        // Marked twice, as sets in sets do it.
        let outer = Tag::new(1);
        let twice = marked(outer, 3, &given);
        let mut request = search().critical(&page(&twice)).into_any();
        assert_eq!(outer.take("outer", &mut request).unwrap(), Some(3));
        assert_eq!(tag.take("inner", &mut request).unwrap(), Some(7));
        assert_eq!(request.controls, search().critical(&page(b"cookie")).controls);
    }

    #[test]
    fn a_first_page_and_a_last_one_are_left_alone() {
        let tag = Tag::new(1);
        assert!(marked(tag, 7, b"").is_empty());
        let first = search().critical(&page(b"")).critical(&view(None)).into_any();
        let mut request = first.clone();
        assert_eq!(tag.take("directory", &mut request).unwrap(), None);
        assert_eq!(request.controls, first.controls);
    }

    #[test]
    fn a_cookie_of_somebody_else_is_refused() {
        let tag = Tag::new(1);
        for foreign in [&b"x"[..], b"elevenbytes", &marked(Tag::new(2), 7, b"cookie")] {
            let mut request = search().critical(&page(foreign)).into_any();
            let error = tag.take("directory", &mut request).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misuse);
            assert!(error.to_string().ends_with("start the search again"), "{error}");
        }
        let (one, other) = (marked(tag, 1, b"cookie"), marked(tag, 2, b"cookie"));
        let mut request = search().critical(&page(&one)).critical(&view(Some(&other))).into_any();
        let error = tag.take("directory", &mut request).unwrap_err();
        assert!(error.to_string().contains("of two servers"), "{error}");
    }

    #[test]
    fn the_context_of_a_view_is_marked_too() {
        let tag = Tag::new(9);
        let mut outcome = Outcome::success();
        let answer = VirtualListViewResponse {
            target_position: 1,
            content_count: 5,
            code: flext_ldap_directory::proto::result::ResultCode::SUCCESS,
            context: Some(Bytes::from_static(b"ctx")),
        };
        outcome.controls = outcome.controls.optional(&answer);
        tag.put(4, &mut outcome);
        let given = outcome.controls.get::<VirtualListViewResponse>(&Limits::DEFAULT).unwrap().unwrap();
        let mut request = search().critical(&view(given.context.as_deref())).into_any();
        assert_eq!(tag.take("directory", &mut request).unwrap(), Some(4));
        assert_eq!(request.controls, search().critical(&view(Some(b"ctx"))).controls);
    }
}
