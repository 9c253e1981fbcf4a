//! Virtual list views (draft-ietf-ldapext-ldapv3-vlv-09): which part of a sorted list is delivered.

use std::sync::Arc;

use bytes::Bytes;
use flext_ldap_directory::Actor;
use flext_ldap_proto::{
    control::{OFFSET_RANGE_ERROR, Target, VirtualListViewResponse},
    message::Search,
    result::ResultCode,
};

use super::{Searching, sort::Sorting};
use crate::{
    access::Access,
    context::Context,
    lists::ListId,
    meter::Meter,
    page::{self, Token},
    project::{View, computed},
    row::Id,
    tables::{Failure, Snapshot},
};

/// Where a view stands in its list.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Places from 0, the end not included.
    range: Option<(u32, u32)>,
    target: u32,
    count: u32,
    /// Why there is no view.
    code: Option<ResultCode>,
    context: Option<Bytes>,
}

impl Window {
    pub(super) const fn range(&self) -> Option<(u32, u32)> {
        self.range
    }

    pub(super) fn answer(&self, sorted: ResultCode) -> VirtualListViewResponse {
        VirtualListViewResponse {
            target_position: self.target,
            content_count: self.count,
            code: self.code.unwrap_or(sorted),
            context: self.context.clone(),
        }
    }
}

/// The list that a view before this one was of.
pub(super) fn list_of(
    context: &Context,
    search: &Search,
    actor: &Actor,
    sorting: &mut Sorting,
) -> Result<Option<ListId>, Failure> {
    let Some(sealed) = sorting.view.as_ref().and_then(|view| view.context.as_ref()) else { return Ok(None) };
    if sealed.is_empty() {
        return Ok(None);
    }
    match page::open(&context.page_key, search, actor, sealed) {
        Ok(Token::Place { list, order, .. }) if order == sorting.order => Ok(Some(list)),
        _ => Err(sorting.no_view(
            ResultCode::UNWILLING_TO_PERFORM,
            "the context is not one that was given out for this search; start again without one",
        )),
    }
}

impl Sorting {
    /// The refusal of a view.
    pub(super) fn no_view(&mut self, code: ResultCode, diagnostic: &'static str) -> Failure {
        self.window.code = Some(code);
        Failure::refused(ResultCode::VIRTUAL_LIST_VIEW_ERROR, diagnostic)
    }

    /// Finds the target of a view, if there is one, and what is around it.
    pub(super) fn settle_window(
        &mut self,
        context: &Context,
        access: &Access<'_>,
        tables: &Snapshot,
        searching: &Searching,
        ids: &Arc<[Id]>,
        list: ListId,
    ) -> Result<(), Failure> {
        let Some(view) = self.view.clone() else { return Ok(()) };
        let count = u32::try_from(ids.len()).unwrap_or(u32::MAX);
        self.window.count = count;
        let place = Token::Place { list, order: self.order, at: 0, id: 0 };
        let sealed = page::seal(&context.page_key, &searching.search, &searching.caller.actor, &place);
        self.window.context = Some(Bytes::from(sealed));
        let target = match &view.target {
            Target::Offset { offset, content_count } => match by_offset(*offset, *content_count, count) {
                Some(target) => target,
                None => return Err(self.no_view(OFFSET_RANGE_ERROR, "the list has no such place")),
            },
            Target::GreaterThanOrEqual(value) => {
                let Some(bound) = self.bound(context, value) else {
                    return Err(self.no_view(
                        ResultCode::INAPPROPRIATE_MATCHING,
                        "the value does not fit the attribute that the list is sorted by",
                    ));
                };
                self.first_from(context, access, tables, ids, &bound)?.saturating_add(1)
            }
        };
        self.window.target = target;
        let first = target.saturating_sub(view.before).max(1);
        let end = target.saturating_add(view.after).min(count);
        self.window.range = Some((first.saturating_sub(1), end));
        Ok(())
    }

    /// The place of the first entry whose key is not before `bound`. The list may be older than the entries: one that is
    /// gone is stood in for by the next that is there.
    fn first_from(
        &mut self,
        context: &Context,
        access: &Access<'_>,
        tables: &Snapshot,
        ids: &[Id],
        bound: &[u8],
    ) -> Result<u32, Failure> {
        let (mut low, mut high) = (0, ids.len());
        while low < high {
            let middle = low.midpoint(high);
            let mut before = false;
            for id in ids.get(middle..high).unwrap_or_default() {
                if let Some(key) = self.key_of(context, access, tables, *id)? {
                    before = *key < *bound;
                    break;
                }
            }
            if before {
                low = middle.saturating_add(1);
            } else {
                high = middle;
            }
        }
        Ok(u32::try_from(low).unwrap_or(u32::MAX))
    }

    fn key_of(
        &mut self,
        context: &Context,
        access: &Access<'_>,
        tables: &Snapshot,
        id: Id,
    ) -> Result<Option<Box<[u8]>>, Failure> {
        let Some(node) = tables.node(id)? else { return Ok(None) };
        let Some(stored) = tables.stored(id)? else { return Ok(None) };
        let named = tables.named(id)?;
        let computed =
            if self.needs_computed(context) { computed(&node, &named, "") } else { Default::default() };
        let view = View { named, stored, computed };
        self.key(context, access, tables, &view, &Meter::unbounded()).map(Some)
    }
}

/// The place, from 1, that a client means which takes the list for `theirs` long, of a list that is `ours` long. `None`
/// for one that no list has.
fn by_offset(offset: u32, theirs: u32, ours: u32) -> Option<u32> {
    let last = theirs > 0 && offset == theirs;
    match (offset, theirs) {
        (0, _) => None,
        (_, _) if ours == 0 => Some(0),
        (1, _) => Some(1),
        _ if last => Some(ours),
        (offset, 0) => (offset <= ours).then_some(offset),
        (offset, theirs) if offset > theirs => None,
        // The client's scroll bar, on our scale.
        (offset, theirs) => {
            let place = u64::from(offset).saturating_mul(u64::from(ours)) / u64::from(theirs);
            u32::try_from(place).ok().map(|place| place.clamp(1, ours))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::by_offset;

    #[test]
    fn places() {
        let table = [
            // offset, their count, our count: the place
            ((0, 0, 10), None),
            ((1, 0, 10), Some(1)),
            ((1, 77, 10), Some(1)),
            ((7, 0, 10), Some(7)),
            ((10, 0, 10), Some(10)),
            ((11, 0, 10), None),
            ((5, 10, 10), Some(5)),
            ((50, 100, 10), Some(5)),
            ((100, 100, 10), Some(10)),
            ((101, 100, 10), None),
            ((2, 100, 10), Some(1)),
            ((u32::MAX - 1, u32::MAX, u32::MAX), Some(u32::MAX - 1)),
            ((3, 5, 0), Some(0)),
        ];
        for ((offset, theirs, ours), want) in table {
            assert_eq!(by_offset(offset, theirs, ours), want, "{offset} of {theirs}, {ours}");
        }
    }
}
