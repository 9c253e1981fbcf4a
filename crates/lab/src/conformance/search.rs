//! Search: where it looks and how much it gives (RFC 4511 §4.5).

use anyhow::{Result, ensure};
use flext_ldap_directory::{
    Directory as _, DirectoryExt as _, ErrorKind, Event,
    proto::{
        attribute::Selection,
        filter::Filter,
        message::{Scope, Search},
        result::ResultCode,
    },
};

use super::{
    bench::{Bench, person},
    checks,
    report::{Rows, same},
};

checks![
    scopes_reach_as_far_as_they_say,
    a_missing_base_is_named_by_how_far_the_name_matched,
    a_size_limit_gives_as_many_and_says_so,
    a_time_limit_is_taken,
    nothing_found_is_success,
    the_ladder_counts,
    a_whole_directory_comes_once,
    entries_are_in_their_latest_state,
];

/// `ou=a` with `cn=1`, `cn=2`, and `ou=b` with `cn=3` below it.
async fn tree(bench: &Bench<'_>) -> Result<()> {
    bench.add("ou=a", "objectClass: organizationalUnit\nou: a").await?;
    bench.add("ou=b,ou=a", "objectClass: organizationalUnit\nou: b").await?;
    for (cn, place) in [("1", "ou=a"), ("2", "ou=a"), ("3", "ou=b,ou=a")] {
        bench.add(&format!("cn={cn},{place}"), &person(cn, "")).await?;
    }
    Ok(())
}

async fn scopes_reach_as_far_as_they_say(bench: &Bench<'_>) -> Result<()> {
    tree(bench).await?;
    let mut rows = Rows::new();
    for (base, scope, wanted) in [
        ("ou=a", Scope::Base, &["a"][..]),
        ("ou=a", Scope::One, &["1", "2", "b"]),
        ("ou=a", Scope::Subtree, &["1", "2", "3", "a", "b"]),
        ("ou=a", Scope::Children, &["1", "2", "3", "b"]),
        ("ou=b,ou=a", Scope::One, &["3"]),
        ("ou=b,ou=a", Scope::Subtree, &["3", "b"]),
        ("cn=1,ou=a", Scope::Base, &["1"]),
        ("cn=1,ou=a", Scope::One, &[]),
        ("cn=1,ou=a", Scope::Subtree, &["1"]),
        ("cn=1,ou=a", Scope::Children, &[]),
    ] {
        let found = bench.admin.names(Search::new(bench.dn(base)?, scope, Filter::any())).await?;
        rows.same(
            format!("{scope:?} of {base}"),
            found,
            wanted.iter().map(|name| (*name).to_owned()).collect(),
        );
        let people = Search::new(bench.dn(base)?, scope, "(objectClass=person)".parse()?);
        let wanted = wanted.iter().filter(|name| name.parse::<u8>().is_ok()).map(|name| (*name).to_owned());
        rows.same(format!("people, {scope:?} of {base}"), bench.admin.names(people).await?, wanted.collect());
    }
    rows.finish()
}

async fn a_missing_base_is_named_by_how_far_the_name_matched(bench: &Bench<'_>) -> Result<()> {
    tree(bench).await?;
    let mut rows = Rows::new();
    for scope in [Scope::Base, Scope::One, Scope::Subtree] {
        for (base, matched) in
            [("cn=x", ""), ("cn=x,cn=1,ou=a", "cn=1,ou=a"), ("cn=x,ou=y,ou=b,ou=a", "ou=b,ou=a")]
        {
            let result =
                bench.admin.outcome(Search::new(bench.dn(base)?, scope, Filter::any())).await?.result;
            rows.same(base, result.code, ResultCode::NO_SUCH_OBJECT);
            rows.same(base, result.matched_dn.to_lowercase(), bench.dn(matched)?.to_string().to_lowercase());
        }
    }
    rows.finish()
}

async fn a_size_limit_gives_as_many_and_says_so(bench: &Bench<'_>) -> Result<()> {
    tree(bench).await?;
    let mut rows = Rows::new();
    for (limit, entries, code) in [
        (1, 1, ResultCode::SIZE_LIMIT_EXCEEDED),
        (2, 2, ResultCode::SIZE_LIMIT_EXCEEDED),
        (3, 3, ResultCode::SUCCESS),
        (4, 3, ResultCode::SUCCESS),
        (0, 3, ResultCode::SUCCESS),
    ] {
        let search = bench.search("(objectClass=person)")?.size_limit(limit);
        let mut reply = bench.admin.session.call(bench.admin.request(search).into_any());
        let mut count = 0;
        let outcome = loop {
            match reply.next().await? {
                Event::Batch(batch) => count += batch.entries().count(),
                Event::Done(outcome) => break outcome,
            }
        };
        rows.same(format!("the code of limit {limit}"), outcome.result.code, code);
        rows.same(format!("entries of limit {limit}"), count, entries);
    }
    rows.finish()
}

async fn a_time_limit_is_taken(bench: &Bench<'_>) -> Result<()> {
    tree(bench).await?;
    let found = bench.admin.names(bench.search("(objectClass=person)")?.time_limit(60)).await?;
    same("found", found, ["1", "2", "3"].map(str::to_owned).to_vec())
}

async fn nothing_found_is_success(bench: &Bench<'_>) -> Result<()> {
    same("the code", bench.admin.code(bench.search("(cn=nobody)")?).await?, ResultCode::SUCCESS)?;
    same("found", bench.find("(cn=nobody)").await?, vec![])
}

async fn the_ladder_counts(bench: &Bench<'_>) -> Result<()> {
    tree(bench).await?;
    let session = &bench.admin.session;
    let ask = |filter: &str| anyhow::Ok(bench.admin.request(bench.search(filter)?));
    let mut rows = Rows::new();
    rows.same("one", session.search_one(ask("(cn=1)")?).await.is_ok(), true);
    rows.same("optional", session.search_optional(ask("(cn=x)")?).await?.is_none(), true);
    let kind = |outcome: Result<_, flext_ldap_directory::Error>| outcome.err().map(|error| error.kind());
    rows.same("none", kind(session.search_one(ask("(cn=x)")?).await), Some(ErrorKind::NoEntry));
    rows.same("two", kind(session.search_one(ask("(|(cn=1)(cn=2))")?).await), Some(ErrorKind::MoreThanOne));
    rows.same(
        "three",
        kind(session.search_one(ask("(objectClass=person)")?).await),
        Some(ErrorKind::MoreThanOne),
    );
    let base = Search::new(bench.dn("cn=x")?, Scope::Base, Filter::any());
    rows.same("no base", session.search_optional(bench.admin.request(base)).await?.is_none(), true);
    rows.finish()
}

async fn a_whole_directory_comes_once(bench: &Bench<'_>) -> Result<()> {
    let mut wanted = Vec::new();
    for number in 0..300 {
        let cn = format!("p{number:03}");
        bench.add_person(&cn, &format!("description: {}", "x".repeat(1 + number * 7))).await?;
        wanted.push(cn);
    }
    same("all of them", bench.find("(objectClass=person)").await?, wanted)?;
    let entries = bench.admin.entries(bench.search("(cn=p29*)")?).await?;
    for entry in &entries {
        let cn = entry.text("cn").unwrap_or_default();
        let length = entry.text("description").map(str::len);
        same(cn, length, cn.trim_start_matches('p').parse::<usize>().ok().map(|number| 1 + number * 7))?;
    }
    ensure!(entries.len() == 10, "{} entries of 10", entries.len());
    Ok(())
}

async fn entries_are_in_their_latest_state(bench: &Bench<'_>) -> Result<()> {
    use flext_ldap_directory::proto::message::ChangeKind::Replace;
    bench.add_person("ada", "title: t0").await?;
    let other = bench.anonymous().await?;
    for number in 1..20 {
        let title = format!("t{number}");
        bench.admin.done(bench.modify("cn=ada", &[(Replace, "title", &[&title])])?).await?;
        // Another conversation sees a change as soon as it is answered.
        let search = bench.search(&format!("(title={title})"))?.attributes(Selection::none());
        same(&title, other.names(search).await?, vec!["ada".to_owned()])?;
    }
    Ok(())
}
