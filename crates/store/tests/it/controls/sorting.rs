//! Server-side sort (RFC 2891), alone and with pages; virtual list views.

use std::sync::Arc;

use bytes::Bytes;
use flext_ldap_directory::{
    AccessPolicy, Actor, AttributeRight, EntryRight, Error, Lookup, Requester, Rights, SessionExt, Target,
};
use flext_ldap_proto::{
    control::{
        Controls, OFFSET_RANGE_ERROR, PagedResults, SORT_CONTROL_MISSING, ServerSideSort,
        ServerSideSortResponse, SortKey, Target as ViewTarget, VirtualListView, VirtualListViewResponse,
    },
    message::{Delete, Search},
    result::ResultCode,
};
use flext_ldap_store::{Limits, Store};

use super::*;

fn key(text: &str) -> SortKey {
    let (reverse, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let (name, rule) = text.split_once(':').map_or((text, None), |(name, rule)| (name, Some(rule)));
    SortKey { attribute: attribute(name), ordering_rule: rule.map(Into::into), reverse }
}

fn sort(keys: &[&str]) -> ServerSideSort {
    ServerSideSort(keys.iter().map(|one| key(one)).collect())
}

fn people() -> Search {
    subtree("(objectClass=inetOrgPerson)").attributes(["1.1"])
}

/// People whose titles, employee numbers and languages differ.
async fn staff() -> Store {
    let store = Store::open(options()).unwrap();
    fill(&store).await;
    for (uid, lines) in [
        ("dora", &["title: Pilot", "employeeNumber: 7", "description: b", "description: Z"][..]),
        ("emil", &["title: clerk", "employeeNumber: 12", "description: a"]),
        ("finn", &["title: Clerk", "employeeNumber: 3"]),
    ] {
        let mut all = vec!["objectClass: inetOrgPerson", "sn: Quay"];
        let (own, cn) = (format!("uid: {uid}"), format!("cn: {uid} Quay"));
        all.extend([own.as_str(), cn.as_str()]);
        all.extend(lines);
        ok(&store, entry(&format!("uid={uid},ou=people,{SUFFIX}"), &all)).await;
    }
    store
}

#[tokio::test]
async fn orders() {
    let store = staff().await;
    let table: &[(&[&str], &[&str])] = &[
        (&["uid"], &["anna", "bert", "cleo", "dora", "emil", "finn"]),
        (&["-uid"], &["finn", "emil", "dora", "cleo", "bert", "anna"]),
        (&["cn:caseIgnoreOrderingMatch"], &["anna", "bert", "cleo", "dora", "emil", "finn"]),
        (&["cn:2.5.13.3"], &["anna", "bert", "cleo", "dora", "emil", "finn"]),
        // Case does not count; what is equal is ordered by the next key.
        (&["title", "-uid"], &["finn", "emil", "dora", "cleo", "bert", "anna"]),
        // What is not there is larger than anything: last, and first in reverse.
        (&["title", "uid"], &["emil", "finn", "dora", "anna", "bert", "cleo"]),
        (&["-title", "uid"], &["anna", "bert", "cleo", "dora", "emil", "finn"]),
        // Of several values the least counts.
        (&["description", "uid"], &["emil", "dora", "anna", "bert", "cleo", "finn"]),
        (&["title:caseExactOrderingMatch", "uid"], &["finn", "dora", "emil", "anna", "bert", "cleo"]),
        (&["employeeNumber", "uid"], &["emil", "finn", "dora", "anna", "bert", "cleo"]),
        (&["entryDN"], &["anna", "bert", "cleo", "dora", "emil", "finn"]),
        (&["createTimestamp", "uid"], &["anna", "bert", "cleo", "dora", "emil", "finn"]),
        // A type stands for its subtypes: `cn` and `sn` are names.
        (&["-name", "uid"], &["finn", "emil", "dora", "cleo", "bert", "anna"]),
    ];
    for (keys, want) in table {
        let controls = Controls::none().critical(&sort(keys));
        let (entries, outcome) = found_with(&store, people(), controls, Actor::Service).await;
        let response = ServerSideSortResponse { code: ResultCode::SUCCESS, attribute: None };
        assert_eq!(answered::<ServerSideSortResponse>(&outcome), response, "{keys:?}");
        if keys[0] == "-name" {
            continue; // The least of a person's names is their surname or their first: equal for some.
        }
        assert_eq!(names(&entries), *want, "{keys:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_sorted() {
    let store = staff().await;
    let many: Vec<_> = (0..11).map(|number| format!("cn;x-{number}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let table: &[(&[&str], ResultCode, &str)] = &[
        (&["noSuch"], ResultCode::NO_SUCH_ATTRIBUTE, "noSuch"),
        (&["uid", "noSuch"], ResultCode::NO_SUCH_ATTRIBUTE, "noSuch"),
        (&["uid:noSuchMatch"], ResultCode::INAPPROPRIATE_MATCHING, "uid"),
        (&["uid:caseIgnoreMatch"], ResultCode::INAPPROPRIATE_MATCHING, "uid"),
        (&["uid", "-UID"], ResultCode::UNWILLING_TO_PERFORM, "UID"),
        (&many, ResultCode::ADMIN_LIMIT_EXCEEDED, "cn;x-10"),
    ];
    for (keys, code, attribute) in table {
        let want = ServerSideSortResponse { code: *code, attribute: Some((*attribute).to_owned()) };
        let controls = Controls::none().optional(&sort(keys));
        let (entries, outcome) = found_with(&store, people(), controls, Actor::Service).await;
        assert_eq!((entries.len(), outcome.result.code), (6, ResultCode::SUCCESS), "{keys:?}");
        assert_eq!(answered::<ServerSideSortResponse>(&outcome), want, "{keys:?}");
        let controls = Controls::none().critical(&sort(keys));
        let (entries, outcome) = found_with(&store, people(), controls, Actor::Service).await;
        assert_eq!(entries.len(), 0, "{keys:?}");
        assert_eq!(outcome.result.code, ResultCode::UNAVAILABLE_CRITICAL_EXTENSION, "{keys:?}");
        assert_eq!(answered::<ServerSideSortResponse>(&outcome), want, "{keys:?}");
    }
}

#[tokio::test]
async fn memory_for_sorting_is_bounded() {
    let mut limits = Limits::default();
    limits.sort_memory = 1_000;
    let store = Store::open(options().limits(limits)).unwrap();
    fill(&store).await;
    let controls = Controls::none().optional(&sort(&["-uid"]));
    let (entries, outcome) = found_with(&store, people(), controls, Actor::Service).await;
    assert_eq!(names(&entries), ["cleo", "bert", "anna"]);
    assert_eq!(answered::<ServerSideSortResponse>(&outcome).code, ResultCode::SUCCESS);
    ok(&store, person("dora")).await;
    let controls = Controls::none().optional(&sort(&["-uid"]));
    let (entries, outcome) = found_with(&store, people(), controls, Actor::Service).await;
    let mut found = names(&entries);
    found.sort();
    assert_eq!(found, ["anna", "bert", "cleo", "dora"]);
    assert_eq!(outcome.result.code, ResultCode::SUCCESS);
    let code = answered::<ServerSideSortResponse>(&outcome).code;
    assert_eq!(code, ResultCode::ADMIN_LIMIT_EXCEEDED);
    let controls = Controls::none().critical(&sort(&["-uid"]));
    let (entries, outcome) = found_with(&store, people(), controls, Actor::Service).await;
    assert_eq!(entries.len(), 0);
    assert_eq!(outcome.result.code, ResultCode::UNAVAILABLE_CRITICAL_EXTENSION);
}

/// Lets everybody do everything but search by `employeeNumber`.
struct NoNumbers;

impl AccessPolicy for NoNumbers {
    fn rights_of(&self, _: Requester<'_>, _: &dyn Lookup) -> Result<Arc<dyn Rights>, Error> {
        Ok(Arc::new(Self))
    }
}

impl Rights for NoNumbers {
    fn look_at_entries(&self) -> bool {
        false
    }

    fn entry(&self, _: Target<'_>, _: EntryRight) -> bool {
        true
    }

    fn attribute(&self, _: Target<'_>, attribute: &str, right: AttributeRight) -> bool {
        right != AttributeRight::Search || attribute != "employeeNumber"
    }
}

/// What may not be searched by is not sorted by either: the order would tell.
#[tokio::test]
async fn an_order_tells_no_more_than_a_filter() {
    let store = Store::open(options().policy(Arc::new(NoNumbers))).unwrap();
    fill(&store).await;
    for (uid, number) in [("anna", "3"), ("bert", "1"), ("cleo", "2")] {
        ok(&store, replace(&format!("uid={uid},ou=people,{SUFFIX}"), "employeeNumber", &[number])).await;
    }
    let controls = || Controls::none().critical(&sort(&["employeeNumber", "uid"]));
    let (entries, _) = found_with(&store, people(), controls(), Actor::Service).await;
    assert_eq!(names(&entries), ["bert", "cleo", "anna"]);
    let (entries, outcome) = found_with(&store, people(), controls(), user("anna")).await;
    assert_eq!(names(&entries), ["anna", "bert", "cleo"]);
    assert_eq!(answered::<ServerSideSortResponse>(&outcome).code, ResultCode::SUCCESS);
    // Passwords are in no order for anybody.
    ok(&store, replace(&format!("uid=cleo,ou=people,{SUFFIX}"), "userPassword", &["{SSHA}xyz"])).await;
    let controls = Controls::none().critical(&sort(&["userPassword", "-uid"]));
    let (entries, _) = found_with(&store, people(), controls, Actor::Service).await;
    assert_eq!(names(&entries), ["cleo", "bert", "anna"]);
}

#[tokio::test]
async fn sorted_pages() {
    let store = Store::open(options()).unwrap();
    fill(&store).await;
    for number in 0..40 {
        ok(&store, person(&format!("p{:02}", (number * 7) % 40))).await;
    }
    let search = || people().attributes(["1.1"]);
    let all = Controls::none().critical(&sort(&["-uid"]));
    let whole = names(&found_with(&store, search(), all, Actor::Service).await.0);
    assert_eq!(whole.len(), 43);
    for size in [1, 3, 42, 43, 100] {
        let session = session(&store).await;
        let request = Request::new(search(), Actor::Service).critical(&sort(&["-uid"]));
        let found = session.search_pages(request, size).all().await.unwrap();
        assert_eq!(names(&found), whole, "pages of {size}");
    }
    // What changes between two pages: what stays comes once, in order.
    let page = |cookie| {
        let controls =
            Controls::none().critical(&sort(&["-uid"])).critical(&PagedResults { size: 10, cookie });
        found_with(&store, search(), controls, Actor::Service)
    };
    let (first, outcome) = page(Bytes::new()).await;
    assert_eq!(names(&first), whole[..10]);
    ok(&store, Delete { dn: dn(&format!("uid=p10,ou=people,{SUFFIX}")) }).await;
    ok(&store, person("p99")).await;
    let cookie = answered::<PagedResults>(&outcome).cookie;
    let (second, outcome) = page(cookie.clone()).await;
    let (third, outcome) = page(answered::<PagedResults>(&outcome).cookie).await;
    let (fourth, _) = page(answered::<PagedResults>(&outcome).cookie).await;
    let mut found = names(&first);
    [second, third, fourth].iter().for_each(|page| found.extend(names(page)));
    let left: Vec<_> = whole.iter().filter(|name| *name != "p10").cloned().collect();
    assert_eq!(found.len(), 40.min(left.len()));
    assert_eq!(found, left[..40]);
    // A cookie is of one order and of one actor.
    for (keys, actor) in [(&["uid"][..], Actor::Service), (&["-uid"], user("anna"))] {
        let paged = PagedResults { size: 10, cookie: cookie.clone() };
        let controls = Controls::none().critical(&sort(keys)).critical(&paged);
        let code = code_with(&store, search(), controls, actor).await;
        assert_eq!(code, ResultCode::UNWILLING_TO_PERFORM, "{keys:?}");
    }
    let paged = PagedResults { size: 10, cookie: cookie.clone() };
    let unsorted = Controls::none().critical(&paged);
    let code = code_with(&store, search(), unsorted, Actor::Service).await;
    assert_eq!(code, ResultCode::UNWILLING_TO_PERFORM);
}

/// The list of a page may be gone: it is sorted again, and the page goes on after the entry that was the last.
#[tokio::test]
async fn pages_go_on_without_their_list() {
    let mut limits = Limits::default();
    // Room to sort, none for a list of more than ten.
    limits.sort_memory = 4 * 40;
    let store = Store::open(options().limits(limits)).unwrap();
    fill(&store).await;
    let session = session(&store).await;
    let request = Request::new(people(), Actor::Service).critical(&sort(&["-uid"]));
    let error = session.search_pages(request, 1).all().await.unwrap_err();
    assert_eq!(error.result_code(), Some(ResultCode::UNAVAILABLE_CRITICAL_EXTENSION));
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let options = flext_ldap_store::StoreOptions::folder(folder.path()).suffix(dn(SUFFIX));
        Store::open(options).unwrap()
    };
    let store = open();
    fill(&store).await;
    let page = async |store: &Store, cookie| {
        let controls =
            Controls::none().critical(&sort(&["-uid"])).critical(&PagedResults { size: 1, cookie });
        let (entries, outcome) = found_with(store, people(), controls, Actor::Service).await;
        (names(&entries), answered::<PagedResults>(&outcome).cookie)
    };
    let (first, cookie) = page(&store, Bytes::new()).await;
    store.close();
    drop(store);
    let store = open();
    ok(&store, person("zora")).await;
    let (second, cookie) = page(&store, cookie).await;
    let (third, cookie) = page(&store, cookie).await;
    assert_eq!([first, second, third].concat(), ["cleo", "bert", "anna"]);
    assert!(cookie.is_empty());
}

fn view(before: u32, after: u32, offset: u32, content_count: u32) -> VirtualListView {
    VirtualListView { before, after, target: ViewTarget::Offset { offset, content_count }, context: None }
}

fn view_from(before: u32, after: u32, value: &'static str) -> VirtualListView {
    let target = ViewTarget::GreaterThanOrEqual(Bytes::from_static(value.as_bytes()));
    VirtualListView { before, after, target, context: None }
}

#[tokio::test]
async fn views() {
    let store = staff().await;
    let table: &[(&str, VirtualListView, &[&str], u32)] = &[
        ("uid", view(0, 2, 1, 0), &["anna", "bert", "cleo"], 1),
        ("uid", view(1, 1, 3, 0), &["bert", "cleo", "dora"], 3),
        ("uid", view(9, 9, 3, 0), &["anna", "bert", "cleo", "dora", "emil", "finn"], 3),
        ("uid", view(1, 1, 50, 100), &["bert", "cleo", "dora"], 3),
        ("uid", view(1, 5, 100, 100), &["emil", "finn"], 6),
        ("uid", view(0, 0, 6, 6), &["finn"], 6),
        ("-uid", view(0, 1, 2, 0), &["emil", "dora"], 2),
        ("uid", view_from(0, 1, "c"), &["cleo", "dora"], 3),
        ("uid", view_from(0, 1, "Cleo"), &["cleo", "dora"], 3),
        ("uid", view_from(1, 0, "cleo2"), &["cleo", "dora"], 4),
        ("uid", view_from(2, 0, "zoe"), &["emil", "finn"], 7),
        ("-uid", view_from(0, 1, "d"), &["cleo", "bert"], 4),
        ("-uid", view_from(0, 0, "dora"), &["dora"], 3),
        // Those without a title come last.
        ("title", view_from(1, 1, "q"), &["dora", "anna", "bert"], 4),
    ];
    for (key, view, want, position) in table {
        let controls = Controls::none().critical(&sort(&[key])).critical(view);
        let (entries, outcome) = found_with(&store, people(), controls, Actor::Service).await;
        assert_eq!(outcome.result.code, ResultCode::SUCCESS, "{key} {view:?}");
        let answer = answered::<VirtualListViewResponse>(&outcome);
        assert_eq!(names(&entries), *want, "{key} {view:?}");
        let told = (answer.target_position, answer.content_count, answer.code);
        assert_eq!(told, (*position, 6, ResultCode::SUCCESS), "{key} {view:?}");
        assert!(answer.context.is_some());
    }
    let nobody = subtree("(uid=nobody)");
    let controls = Controls::none().critical(&sort(&["uid"])).critical(&view(1, 1, 1, 0));
    let (entries, outcome) = found_with(&store, nobody, controls, Actor::Service).await;
    let answer = answered::<VirtualListViewResponse>(&outcome);
    assert_eq!((entries.len(), answer.target_position, answer.content_count), (0, 0, 0));
}

#[tokio::test]
async fn views_that_there_are_not() {
    let store = staff().await;
    let number = VirtualListView {
        target: ViewTarget::GreaterThanOrEqual(Bytes::from_static(b"soon")),
        ..view(0, 0, 1, 0)
    };
    let foreign = VirtualListView { context: Some(Bytes::from_static(b"made up")), ..view(0, 0, 1, 0) };
    let table: &[(&[&str], VirtualListView, ResultCode)] = &[
        (&[], view(0, 0, 1, 0), SORT_CONTROL_MISSING),
        (&["uid"], view(0, 0, 0, 0), OFFSET_RANGE_ERROR),
        (&["uid"], view(0, 0, 7, 0), OFFSET_RANGE_ERROR),
        (&["uid"], view(0, 0, 9, 8), OFFSET_RANGE_ERROR),
        (&["createTimestamp"], number, ResultCode::INAPPROPRIATE_MATCHING),
        (&["uid"], foreign, ResultCode::UNWILLING_TO_PERFORM),
    ];
    for (keys, view, code) in table {
        let mut controls = Controls::none().critical(view);
        if !keys.is_empty() {
            controls = controls.critical(&sort(keys));
        }
        let (entries, outcome) = found_with(&store, people(), controls, Actor::Service).await;
        assert_eq!(entries.len(), 0, "{view:?}");
        assert_eq!(outcome.result.code, ResultCode::VIRTUAL_LIST_VIEW_ERROR, "{view:?}");
        assert_eq!(answered::<VirtualListViewResponse>(&outcome).code, *code, "{view:?}");
    }
    // Pages and views of one search do not go together.
    let paged = PagedResults { size: 2, cookie: Bytes::new() };
    let controls = Controls::none().critical(&sort(&["uid"])).critical(&view(0, 0, 1, 0)).critical(&paged);
    assert_eq!(code_with(&store, people(), controls, Actor::Service).await, ResultCode::PROTOCOL_ERROR);
    let controls = Controls::none().critical(&sort(&["uid"])).critical(&view(0, 0, 1, 0)).optional(&paged);
    assert_eq!(found_with(&store, people(), controls, Actor::Service).await.0.len(), 1);
}

/// With the context of the view before, the same list is scrolled, whatever was added since; what is gone is not shown.
#[tokio::test]
async fn a_context_keeps_the_list() {
    let store = staff().await;
    let controls = Controls::none().critical(&sort(&["uid"])).critical(&view(0, 1, 1, 0));
    let (_, outcome) = found_with(&store, people(), controls, Actor::Service).await;
    let context = answered::<VirtualListViewResponse>(&outcome).context;
    ok(&store, person("abel")).await;
    ok(&store, Delete { dn: dn(&format!("uid=cleo,ou=people,{SUFFIX}")) }).await;
    let read_before = store.counters().entries_read;
    let next = VirtualListView { context: context.clone(), ..view(0, 2, 2, 6) };
    let controls = Controls::none().critical(&sort(&["uid"])).critical(&next);
    let (entries, outcome) = found_with(&store, people(), controls, Actor::Service).await;
    assert_eq!(names(&entries), ["bert", "dora"]);
    assert_eq!(store.counters().entries_read - read_before, 2);
    let answer = answered::<VirtualListViewResponse>(&outcome);
    assert_eq!((answer.target_position, answer.content_count), (2, 6));
    let by_value = VirtualListView { context: context.clone(), ..view_from(0, 0, "cleo") };
    let controls = Controls::none().critical(&sort(&["uid"])).critical(&by_value);
    let (entries, _) = found_with(&store, people(), controls, Actor::Service).await;
    assert!(names(&entries).is_empty() || names(&entries) == ["dora"]);
    // Without the context it is sorted anew.
    let controls = Controls::none().critical(&sort(&["uid"])).critical(&view(0, 2, 1, 0));
    let (entries, _) = found_with(&store, people(), controls, Actor::Service).await;
    assert_eq!(names(&entries), ["abel", "anna", "bert"]);
    // Somebody else has no use for it.
    let controls = Controls::none().critical(&sort(&["uid"])).critical(&next);
    let code = code_with(&store, people(), controls, user("anna")).await;
    assert_eq!(code, ResultCode::VIRTUAL_LIST_VIEW_ERROR);
}
