//! Searches whose answer is a list: in an order, in pages, as a view, on another's behalf.

use bytes::Bytes;
use flext_ldap_proto::{
    attribute::AttributeDescription,
    control::{
        Controls, OFFSET_RANGE_ERROR, PagedResults, ProxiedAuthorization, ServerSideSort,
        ServerSideSortResponse, SortKey, Target, VirtualListView, VirtualListViewResponse,
    },
    entry::Entry,
    message::{Request, Scope},
    result::ResultCode,
};

use super::{
    Session, Who,
    model::{Test, name},
    path, search, wire,
};
use crate::Draw;

/// An order by the attributes that a unit has.
struct Order {
    by_description: bool,
    reverse: bool,
}

/// What an entry is sorted by: its least value, one that has none after all others, all of it backwards in reverse
/// (RFC 2891 §2.2).
type Place = (bool, String);

impl Order {
    fn draw(draw: &mut Draw<'_>) -> Self {
        Self { by_description: !draw.rarely(3), reverse: draw.rarely(2) }
    }

    const fn attribute(&self) -> &'static str {
        if self.by_description { "description" } else { "ou" }
    }

    fn control(&self) -> ServerSideSort {
        let attribute: AttributeDescription = self.attribute().parse().unwrap();
        let key = SortKey::new(attribute);
        ServerSideSort(vec![if self.reverse { key.reverse() } else { key }])
    }

    fn place(&self, entry: &Entry) -> Place {
        let values = wire::values(entry, self.attribute());
        let least = values.iter().map(|value| value.to_lowercase().replace("  ", " ")).min();
        (least.is_none(), least.unwrap_or_default())
    }

    fn sort(&self, places: &mut [Place]) {
        places.sort();
        if self.reverse {
            places.reverse();
        }
    }

    fn check(&self, entries: &[Entry]) -> Vec<Place> {
        let places: Vec<Place> = entries.iter().map(|entry| self.place(entry)).collect();
        let mut sorted = places.clone();
        self.sort(&mut sorted);
        assert_eq!(places, sorted, "the order");
        places
    }
}

impl Session {
    /// A search in an order, in pages or both, or one view of a list.
    pub(super) async fn listed(&mut self, draw: &mut Draw<'_>) {
        let (request, base, scope, test) = search(draw);
        let Request::Search(search) = request else { unreachable!("a search") };
        let request = Request::Search(search.attributes(["ou", "description"]));
        match draw.below(4) {
            0 => self.viewed(draw, &request, &base, scope, test).await,
            1 => self.on_behalf(draw, &request, &base, scope, test).await,
            kind => {
                let order = (kind == 2).then(|| Order::draw(draw));
                self.paged(draw, &request, order, &base, scope, test).await;
            }
        }
    }

    async fn paged(
        &mut self,
        draw: &mut Draw<'_>,
        request: &Request,
        order: Option<Order>,
        base: &[u8],
        scope: Scope,
        test: Test,
    ) {
        let size = 1 + draw.below(3) as u32;
        let in_pages = !draw.rarely(3);
        let (mut cookie, mut all) = (Bytes::new(), Vec::new());
        loop {
            let mut controls = Controls::none();
            if let Some(order) = &order {
                controls = controls.critical(&order.control());
            }
            if in_pages {
                controls = controls.critical(&PagedResults { size, cookie });
            }
            let mut answer = self.peer.ask(request, &controls).await;
            let code = answer.code();
            if code == ResultCode::SUCCESS && order.is_some() {
                let sorted: ServerSideSortResponse = answer.control().expect("how sorting went");
                assert_eq!(sorted.code, ResultCode::SUCCESS);
            }
            let page: Option<PagedResults> = answer.control();
            if in_pages && code == ResultCode::SUCCESS {
                assert!(answer.entries.len() <= size as usize, "{} of {size}", answer.entries.len());
                cookie = page.expect("a cookie").cookie;
            } else {
                cookie = Bytes::new();
            }
            all.append(&mut answer.entries);
            if cookie.is_empty() {
                answer.entries = all;
                if let Some(order) = &order {
                    order.check(&answer.entries);
                }
                self.found(&answer, base, scope, test);
                return;
            }
        }
    }

    /// A window of a sorted list (draft-ietf-ldapext-ldapv3-vlv-09).
    async fn viewed(
        &mut self,
        draw: &mut Draw<'_>,
        request: &Request,
        base: &[u8],
        scope: Scope,
        test: Test,
    ) {
        if self.who == Who::Anonymous {
            return;
        }
        let order = Order::draw(draw);
        let sort = Controls::none().critical(&order.control());
        let whole = self.peer.ask(request, &sort).await;
        self.found(&whole, base, scope, test);
        let list = order.check(&whole.entries);
        let (before, after, offset) = (draw.below(3) as u32, draw.below(3) as u32, draw.below(5) as u32);
        let target = Target::Offset { offset, content_count: 0 };
        let view = VirtualListView { before, after, target, context: None };
        let answer = self.peer.ask(request, &sort.critical(&view)).await;
        if whole.code() != ResultCode::SUCCESS {
            assert_eq!(answer.code(), whole.code());
            return;
        }
        let seen: VirtualListViewResponse = answer.control().expect("where the view stands");
        let count = list.len() as u32;
        if offset == 0 || (offset > count.max(1) && count > 0) {
            assert_eq!((answer.code(), seen.code), (ResultCode::VIRTUAL_LIST_VIEW_ERROR, OFFSET_RANGE_ERROR));
            assert!(answer.entries.is_empty());
            return;
        }
        assert_eq!((answer.code(), seen.code), (ResultCode::SUCCESS, ResultCode::SUCCESS));
        let place = offset.min(count);
        assert_eq!((seen.target_position, seen.content_count), (place, count));
        let first = place.saturating_sub(before).max(1) - 1;
        let end = (place + after).min(count);
        let window = list.get(first as usize..end as usize).unwrap_or_default();
        assert_eq!(order.check(&answer.entries), window);
    }

    /// As anonymous, which anybody may, as oneself, or as somebody else, who may not be there: that is for an
    /// administrator (RFC 4370).
    async fn on_behalf(
        &mut self,
        draw: &mut Draw<'_>,
        request: &Request,
        base: &[u8],
        scope: Scope,
        test: Test,
    ) {
        let anonymous = draw.rarely(3);
        let path = if draw.rarely(3) { self.user.clone() } else { path(draw) };
        let id = if anonymous { String::new() } else { format!("dn:{}", name(&path)) };
        let controls = Controls::none().critical(&ProxiedAuthorization(id));
        let answer = self.peer.ask(request, &controls).await;
        let allowed = match self.who {
            _ if anonymous => true,
            Who::Administrator => self.model.holds(&path),
            Who::User => path == self.user,
            Who::Anonymous => false,
        };
        if !allowed {
            assert_eq!(answer.code(), ResultCode::AUTHORIZATION_DENIED, "{:?} for {path:?}", self.who);
            assert!(answer.entries.is_empty());
            return;
        }
        let who = std::mem::replace(&mut self.who, if anonymous { Who::Anonymous } else { Who::User });
        self.found(&answer, base, scope, test);
        self.who = who;
    }
}
