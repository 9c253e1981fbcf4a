//! Simple paged results (RFC 2696).

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use flext_ldap_directory::{
    Outcome, SessionExt as _,
    proto::{
        attribute::Selection,
        control::{ControlValue as _, PagedResults},
        message::{Limits, Search},
        result::ResultCode,
    },
};

use super::{
    bench::{Bench, Conversation, names},
    checks,
    report::{Rows, same},
};

checks![
    pages_of_every_size_make_the_whole,
    each_page_has_the_size_asked_for,
    paging_can_stop_and_start_again,
    two_searches_are_paged_side_by_side,
    a_foreign_cookie_is_refused,
    pages_go_past_a_size_limit_of_one_page,
    changes_between_pages_lose_nothing_that_stays,
];

const PEOPLE: usize = 25;

async fn people(bench: &Bench<'_>) -> Result<Vec<String>> {
    let wanted: Vec<_> = (0..PEOPLE).map(|number| format!("p{number:02}")).collect();
    for cn in &wanted {
        bench.add_person(cn, "").await?;
    }
    Ok(wanted)
}

fn all_people(bench: &Bench<'_>) -> Result<Search> {
    Ok(bench.search("(objectClass=person)")?.attributes(Selection::none()))
}

/// One page: its names, and the answer.
async fn page(
    conversation: &Conversation,
    search: Search,
    size: u32,
    cookie: Bytes,
) -> Result<(Vec<String>, Outcome)> {
    let request = conversation.request(search).critical(&PagedResults { size, cookie });
    let mut entries = Vec::new();
    let mut reply = flext_ldap_directory::Directory::call(&*conversation.session, request.into_any());
    loop {
        match reply.next().await? {
            flext_ldap_directory::Event::Batch(batch) => {
                entries.extend(batch.entries().map(flext_ldap_directory::proto::entry::EntryRef::to_entry));
            }
            flext_ldap_directory::Event::Done(outcome) => return Ok((names(&entries)?, outcome)),
        }
    }
}

fn cookie(outcome: &Outcome) -> Result<Bytes> {
    let control = outcome.controls.get::<PagedResults>(&Limits::DEFAULT)?;
    Ok(control.with_context(|| format!("no paging control with {:?}", outcome.result))?.cookie)
}

async fn pages_of_every_size_make_the_whole(bench: &Bench<'_>) -> Result<()> {
    let wanted = people(bench).await?;
    let mut rows = Rows::new();
    for size in [1, 2, 7, 24, 25, 26, 1000] {
        let request = bench.admin.request(all_people(bench)?);
        let found = bench.admin.session.search_pages(request, size).all().await?;
        rows.same(format!("pages of {size}"), names(&found)?, wanted.clone());
    }
    let nobody = bench.admin.request(bench.search("(cn=nobody)")?);
    rows.same("nothing", bench.admin.session.search_pages(nobody, 5).all().await?.len(), 0);
    rows.finish()
}

async fn each_page_has_the_size_asked_for(bench: &Bench<'_>) -> Result<()> {
    people(bench).await?;
    let (mut place, mut sizes) = (Bytes::new(), Vec::new());
    for size in [10, 4, 6, 100] {
        let (found, outcome) = page(bench.admin, all_people(bench)?, size, place).await?;
        same("the code", outcome.result.code, ResultCode::SUCCESS)?;
        sizes.push(found.len());
        place = cookie(&outcome)?;
    }
    same("the sizes", sizes, vec![10, 4, 6, 5])?;
    same("the last cookie", place, Bytes::new())
}

async fn paging_can_stop_and_start_again(bench: &Bench<'_>) -> Result<()> {
    let wanted = people(bench).await?;
    let (_, outcome) = page(bench.admin, all_people(bench)?, 10, Bytes::new()).await?;
    // RFC 2696 §3: size 0 with a cookie ends the search.
    let (found, _) = page(bench.admin, all_people(bench)?, 0, cookie(&outcome)?).await?;
    same("after the end", found, vec![])?;
    let (mut found, outcome) = page(bench.admin, all_people(bench)?, 10, Bytes::new()).await?;
    same("the conversation goes on", bench.admin.who_am_i().await?.is_empty(), false)?;
    let (rest, _) = page(bench.admin, all_people(bench)?, 100, cookie(&outcome)?).await?;
    found.extend(rest);
    found.sort();
    same("the whole", found, wanted)
}

async fn two_searches_are_paged_side_by_side(bench: &Bench<'_>) -> Result<()> {
    let wanted = people(bench).await?;
    let other = bench.anonymous().await?;
    let (mut one, first) = page(bench.admin, all_people(bench)?, 9, Bytes::new()).await?;
    let (mut two, second) = page(&other, all_people(bench)?, 11, Bytes::new()).await?;
    one.extend(page(bench.admin, all_people(bench)?, 100, cookie(&first)?).await?.0);
    two.extend(page(&other, all_people(bench)?, 100, cookie(&second)?).await?.0);
    one.sort();
    two.sort();
    same("one", one, wanted.clone())?;
    same("two", two, wanted)
}

async fn a_foreign_cookie_is_refused(bench: &Bench<'_>) -> Result<()> {
    people(bench).await?;
    let other = bench.anonymous().await?;
    let (_, outcome) = page(bench.admin, all_people(bench)?, 3, Bytes::new()).await?;
    let mut rows = Rows::new();
    for (row, cookie) in [
        ("of another conversation", cookie(&outcome)?),
        ("made up", Bytes::from_static(b"no cookie of yours")),
        ("of eight octets", Bytes::from_static(&[0xee; 8])),
    ] {
        let (found, outcome) = page(&other, all_people(bench)?, 3, cookie).await?;
        rows.same(format!("entries for a cookie {row}"), found, vec![]);
        rows.same(format!("refused, a cookie {row}"), outcome.result.code == ResultCode::SUCCESS, false);
    }
    rows.finish()
}

async fn pages_go_past_a_size_limit_of_one_page(bench: &Bench<'_>) -> Result<()> {
    let wanted = people(bench).await?;
    let found = bench.admin.entries(all_people(bench)?).await?;
    ensure!(names(&found)? == wanted, "not all without pages");
    let mut entries = bench.admin.session.search_pages(bench.admin.request(all_people(bench)?), 4);
    let mut count = 0;
    while entries.next().await?.is_some() {
        count += 1;
    }
    same("entries", count, PEOPLE)?;
    let outcome = entries.outcome().context("no outcome")?;
    same("no paging control is left", outcome.controls.iter().any(|one| one.oid == PagedResults::OID), false)
}

async fn changes_between_pages_lose_nothing_that_stays(bench: &Bench<'_>) -> Result<()> {
    let names = people(bench).await?;
    let (mut found, outcome) = page(bench.admin, all_people(bench)?, 10, Bytes::new()).await?;
    // Of those that were not on the first page, every other one goes; some come.
    let gone: Vec<_> = names.iter().filter(|name| !found.contains(name)).step_by(2).collect();
    for name in &gone {
        bench.admin.done(bench.delete(&format!("cn={name}"))?).await?;
    }
    for number in 0..5 {
        bench.add_person(&format!("new{number}"), "").await?;
    }
    let (rest, _) = page(bench.admin, all_people(bench)?, 1000, cookie(&outcome)?).await?;
    found.extend(rest.into_iter().filter(|name| !name.starts_with("new")));
    found.sort();
    let wanted: Vec<_> = names.iter().filter(|name| !gone.contains(name)).cloned().collect();
    same("what stayed, once each", found, wanted)
}
