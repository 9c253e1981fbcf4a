//! Server-side sort (RFC 2891) and virtual list views (draft-ietf-ldapext-ldapv3-vlv-09).

use anyhow::{Context as _, Result};
use bytes::Bytes;
use flext_ldap_directory::{
    Directory as _, Event, Outcome, SessionExt as _,
    proto::{
        attribute::Selection,
        control::{
            ControlValue, Controls, ServerSideSort, ServerSideSortResponse, SortKey, Target, VirtualListView,
            VirtualListViewResponse,
        },
        entry::{Entry, EntryRef},
        message::{Limits, Search},
        result::ResultCode,
    },
};

use super::{
    Freedom,
    bench::{Bench, Conversation},
    checks,
    report::Rows,
};

checks![
    entries_come_in_the_order_asked_for,
    what_is_absent_is_larger_than_anything,
    keys_that_are_none_are_told,
    a_critical_order_that_is_none_stops_the_search,
    sorted_pages_make_the_sorted_whole,
    a_view_shows_a_part,
    a_view_needs_an_order,
];

/// People with these titles, in an order of their own.
const TITLES: [(&str, &str); 5] =
    [("ewa", "title: pilot"), ("ada", "title: Clerk"), ("cem", ""), ("dov", "title: Baker"), ("ben", "")];

async fn people(bench: &Bench<'_>) -> Result<()> {
    for (cn, lines) in TITLES {
        bench.add_person(cn, lines).await?;
    }
    Ok(())
}

fn key(text: &str) -> Result<SortKey> {
    let (reverse, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let (name, rule) = text.split_once(':').context("a key without a rule")?;
    Ok(SortKey { attribute: name.parse()?, ordering_rule: Some(rule.into()), reverse })
}

fn sort(keys: &[&str]) -> Result<ServerSideSort> {
    Ok(ServerSideSort(keys.iter().map(|one| key(one)).collect::<Result<_>>()?))
}

/// The `cn` of each entry in the order they came, and the answer.
async fn found(bench: &Bench<'_>, controls: Controls) -> Result<(Vec<String>, Outcome)> {
    let search: Search = bench.search("(objectClass=person)")?.attributes(Selection::from(["cn"]));
    let mut request = bench.admin.request(search).into_any();
    request.controls = controls;
    let mut reply = bench.admin.session.call(request);
    let mut entries = Vec::new();
    loop {
        match reply.next().await? {
            Event::Batch(batch) => entries.extend(batch.entries().map(EntryRef::to_entry)),
            Event::Done(outcome) => return Ok((names(&entries), outcome)),
        }
    }
}

fn names(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.text("cn").unwrap_or_default().to_owned()).collect()
}

fn answered<C: ControlValue>(outcome: &Outcome) -> Result<C> {
    outcome.controls.get::<C>(&Limits::DEFAULT)?.with_context(|| format!("no {} in the answer", C::OID))
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

const BY_CN: &str = "cn:caseIgnoreOrderingMatch";
const BY_TITLE: &str = "title:caseIgnoreOrderingMatch";

async fn entries_come_in_the_order_asked_for(bench: &Bench<'_>) -> Result<()> {
    people(bench).await?;
    let mut rows = Rows::new();
    for (keys, want) in [
        (&[BY_CN][..], &["ada", "ben", "cem", "dov", "ewa"]),
        (&["-cn:caseIgnoreOrderingMatch"], &["ewa", "dov", "cem", "ben", "ada"]),
        (&["cn:2.5.13.3"], &["ada", "ben", "cem", "dov", "ewa"]),
        (&[BY_TITLE, BY_CN], &["dov", "ada", "ewa", "ben", "cem"]),
        (&[BY_TITLE, "-cn:2.5.13.3"], &["dov", "ada", "ewa", "cem", "ben"]),
    ] {
        let (names, outcome) = found(bench, Controls::none().critical(&sort(keys)?)).await?;
        rows.same(format!("{keys:?}"), names, owned(want));
        rows.same("the code", answered::<ServerSideSortResponse>(&outcome)?.code, ResultCode::SUCCESS);
    }
    rows.finish()
}

/// RFC 2891 §2.2: an entry without the attribute comes after all that have it; in reverse, before them.
async fn what_is_absent_is_larger_than_anything(bench: &Bench<'_>) -> Result<()> {
    people(bench).await?;
    let mut rows = Rows::new();
    for (key, want) in [
        (BY_TITLE, ["dov", "ada", "ewa", "ben", "cem"]),
        ("-title:caseIgnoreOrderingMatch", ["ben", "cem", "ewa", "ada", "dov"]),
    ] {
        let (names, _) = found(bench, Controls::none().critical(&sort(&[key, BY_CN])?)).await?;
        rows.same(key, names, owned(&want));
    }
    rows.finish()
}

async fn keys_that_are_none_are_told(bench: &Bench<'_>) -> Result<()> {
    people(bench).await?;
    let mut rows = Rows::new();
    for (key, code) in [
        ("colour:caseIgnoreOrderingMatch", ResultCode::NO_SUCH_ATTRIBUTE),
        ("cn:noSuchOrderingMatch", ResultCode::INAPPROPRIATE_MATCHING),
    ] {
        let (names, outcome) = found(bench, Controls::none().optional(&sort(&[key])?)).await?;
        if bench.takes(Freedom::UselessSortKeyFailsSearch) {
            rows.same(format!("entries, {key}"), names, vec![]);
            continue;
        }
        rows.same(format!("entries, {key}"), names.len(), TITLES.len());
        rows.same(format!("done, {key}"), outcome.result.code, ResultCode::SUCCESS);
        rows.same(format!("code, {key}"), answered::<ServerSideSortResponse>(&outcome)?.code, code);
    }
    rows.finish()
}

/// RFC 2891 §2: a search that cannot be sorted, and must be, is not done.
async fn a_critical_order_that_is_none_stops_the_search(bench: &Bench<'_>) -> Result<()> {
    people(bench).await?;
    let mut rows = Rows::new();
    let control = sort(&["colour:caseIgnoreOrderingMatch"])?;
    let (names, outcome) = found(bench, Controls::none().critical(&control)).await?;
    rows.same("entries", names.len(), 0);
    rows.same("done", outcome.result.code == ResultCode::SUCCESS, false);
    rows.finish()
}

async fn sorted_pages_make_the_sorted_whole(bench: &Bench<'_>) -> Result<()> {
    people(bench).await?;
    let mut rows = Rows::new();
    for size in [1, 2, 5, 6] {
        let entries = all_pages(bench, size).await?;
        rows.same(format!("pages of {size}"), names(&entries), owned(&["ewa", "dov", "cem", "ben", "ada"]));
    }
    rows.finish()
}

/// All pages of a sorted search. Each try has a connection of its own: what a search that was broken off leaves behind
/// counts against its connection at slapd.
async fn all_pages(bench: &Bench<'_>, size: u32) -> Result<Vec<Entry>> {
    let mut tries = if bench.takes(Freedom::SortedPageMayBeBusy) { 10 } else { 1 };
    loop {
        let admin = Conversation::of_administrator(bench.subject).await?;
        let search = bench.search("(objectClass=person)")?.attributes(Selection::from(["cn"]));
        let request = admin.request(search).critical(&sort(&["-cn:caseIgnoreOrderingMatch"])?);
        tries -= 1;
        match admin.session.search_pages(request, size).all().await {
            Err(error) if tries > 0 && error.result_code() == Some(ResultCode::BUSY) => {}
            outcome => return Ok(outcome?),
        }
    }
}

fn view(before: u32, after: u32, target: Target) -> VirtualListView {
    VirtualListView { before, after, target, context: None }
}

async fn a_view_shows_a_part(bench: &Bench<'_>) -> Result<()> {
    people(bench).await?;
    let place = |offset, content_count| Target::Offset { offset, content_count };
    let from = |value: &'static str| Target::GreaterThanOrEqual(Bytes::from_static(value.as_bytes()));
    let mut rows = Rows::new();
    for (view, want, position) in [
        (view(0, 1, place(1, 0)), &["ada", "ben"][..], 1),
        (view(1, 1, place(3, 0)), &["ben", "cem", "dov"], 3),
        (view(1, 5, place(5, 5)), &["dov", "ewa"], 5),
        (view(0, 1, from("c")), &["cem", "dov"], 3),
        (view(1, 0, from("dov")), &["cem", "dov"], 4),
    ] {
        let row = format!("{view:?}");
        let (names, outcome) =
            found(bench, Controls::none().critical(&sort(&[BY_CN])?).critical(&view)).await?;
        rows.same(format!("entries, {row}"), names, owned(want));
        let answer = answered::<VirtualListViewResponse>(&outcome)?;
        rows.same(row, (answer.target_position, answer.content_count), (position, 5));
    }
    rows.finish()
}

async fn a_view_needs_an_order(bench: &Bench<'_>) -> Result<()> {
    people(bench).await?;
    let view = view(0, 1, Target::Offset { offset: 1, content_count: 0 });
    let (names, outcome) = found(bench, Controls::none().critical(&view)).await?;
    let mut rows = Rows::new();
    rows.same("entries", names.len(), 0);
    rows.same("done", outcome.result.code == ResultCode::SUCCESS, false);
    rows.finish()
}
