//! Cookies that know which conversation gave them.
//!
//! A paging cookie (RFC 2696) and the context of a virtual list view are good on the connection that gave them and nowhere
//! else. So the number of the conversation stands before each, and is taken off again when the cookie comes back. Nothing
//! is remembered. Cookies of content synchronisation (RFC 4533) are good on any connection and stay as they are.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::{BufMut as _, Bytes, BytesMut};
use flext_ldap_directory::{Outcome, Request};
use flext_ldap_proto::{
    control::{ControlValue as _, PagedResults, VirtualListView, VirtualListViewResponse},
    message::Limits,
};

/// Octets of a mark.
const LENGTH: usize = 8;

/// Gives each conversation its mark.
#[derive(Debug)]
pub(crate) struct Marks(AtomicU64);

/// The mark of one conversation, and of no other for as long as anybody remembers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Mark(u64);

/// What a request says of cookies.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Cookies {
    /// Whether an answer can hold one.
    pub(crate) are_asked_for: bool,
    /// Whose the one in the request is.
    pub(crate) of: Option<Mark>,
}

/// A cookie that no conversation of this proxy has given, or two of different ones.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Foreign;

impl Marks {
    /// They begin anywhere, so that a cookie from before a restart is recognised as foreign.
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(RandomState::new().hash_one(0_u64)))
    }

    pub(crate) fn next(&self) -> Mark {
        Mark(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// Takes the marks off the cookies in `request`.
pub(crate) fn take(request: &mut Request) -> Result<Cookies, Foreign> {
    let mut cookies = Cookies {
        are_asked_for: request
            .controls
            .iter()
            .any(|control| control.oid == PagedResults::OID || control.oid == VirtualListView::OID),
        of: None,
    };
    if !cookies.are_asked_for {
        return Ok(cookies);
    }
    let mut found = |mark: Mark| match cookies.of.replace(mark) {
        Some(other) if other != mark => Err(Foreign),
        _ => Ok(()),
    };
    request.controls.change::<PagedResults, _>(&Limits::DEFAULT, |page| {
        if !page.cookie.is_empty() {
            let (mark, cookie) = off(&page.cookie)?;
            page.cookie = cookie;
            found(mark)?;
        }
        Ok(())
    })?;
    request.controls.change::<VirtualListView, _>(&Limits::DEFAULT, |view| {
        if let Some(context) = view.context.as_mut().filter(|context| !context.is_empty()) {
            let (mark, original) = off(context)?;
            *context = original;
            found(mark)?;
        }
        Ok(())
    })?;
    Ok(cookies)
}

/// Marks the cookies in an answer.
pub(crate) fn put(mark: Mark, outcome: &mut Outcome) {
    // What cannot be decoded is left to whoever asked for it, who says so.
    let _: Result<(), Foreign> = outcome.controls.change::<PagedResults, _>(&Limits::DEFAULT, |page| {
        if !page.cookie.is_empty() {
            page.cookie = on(mark, &page.cookie);
        }
        Ok(())
    });
    let _: Result<(), Foreign> =
        outcome.controls.change::<VirtualListViewResponse, _>(&Limits::DEFAULT, |view| {
            if let Some(context) = view.context.as_mut().filter(|context| !context.is_empty()) {
                *context = on(mark, context);
            }
            Ok(())
        });
}

fn on(mark: Mark, cookie: &[u8]) -> Bytes {
    let mut marked = BytesMut::with_capacity(LENGTH + cookie.len());
    marked.put_u64(mark.0);
    marked.put_slice(cookie);
    marked.freeze()
}

fn off(cookie: &Bytes) -> Result<(Mark, Bytes), Foreign> {
    let (mark, _) = cookie.split_first_chunk::<LENGTH>().ok_or(Foreign)?;
    Ok((Mark(u64::from_be_bytes(*mark)), cookie.slice(LENGTH..)))
}

#[cfg(test)]
mod tests {
    use flext_ldap_directory::Actor;
    use flext_ldap_proto::{
        control::Target,
        filter::Filter,
        message::{Scope, Search},
    };

    use super::*;

    fn search() -> Request<Search> {
        let search = Search::new("dc=harbourlane,dc=example".parse().unwrap(), Scope::Subtree, Filter::any());
        Request::new(search, Actor::Anonymous)
    }

    fn page(cookie: &[u8]) -> PagedResults {
        PagedResults { size: 100, cookie: Bytes::copy_from_slice(cookie) }
    }

    fn marked(mark: Mark, cookie: &[u8]) -> Bytes {
        let mut outcome = Outcome::success();
        outcome.controls = outcome.controls.optional(&page(cookie));
        put(mark, &mut outcome);
        outcome.controls.get::<PagedResults>(&Limits::DEFAULT).unwrap().unwrap().cookie
    }

    #[test]
    fn a_cookie_comes_back_as_it_was_and_names_its_conversation() {
        let marks = Marks::new();
        let (one, other) = (marks.next(), marks.next());
        let mut request = search().critical(&page(&marked(one, b"cookie"))).into_any();
        assert_eq!(take(&mut request), Ok(Cookies { are_asked_for: true, of: Some(one) }));
        assert_eq!(request.controls, search().critical(&page(b"cookie")).controls);
        assert_ne!(one, other);
    }

    #[test]
    fn a_first_page_and_a_last_one_are_left_alone() {
        let mark = Marks::new().next();
        assert!(marked(mark, b"").is_empty());
        let mut request = search().critical(&page(b"")).into_any();
        assert_eq!(take(&mut request), Ok(Cookies { are_asked_for: true, of: None }));
        let mut request = search().into_any();
        assert_eq!(take(&mut request), Ok(Cookies::default()));
    }

    #[test]
    fn a_cookie_without_a_mark_and_two_of_different_conversations_are_foreign() {
        let marks = Marks::new();
        let mut request = search().critical(&page(b"short")).into_any();
        assert_eq!(take(&mut request), Err(Foreign));
        let view = VirtualListView {
            before: 0,
            after: 9,
            target: Target::Offset { offset: 1, content_count: 0 },
            context: Some(marked(marks.next(), b"context")),
        };
        let mut request =
            search().critical(&page(&marked(marks.next(), b"cookie"))).critical(&view).into_any();
        assert_eq!(take(&mut request), Err(Foreign));
    }
}
