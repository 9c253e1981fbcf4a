//! Many operations at once on one conversation, and some that nobody waits for (RFC 4511 §3.1, §4.11).

use std::pin::pin;

use anyhow::{Result, ensure};
use flext_ldap_directory::{
    Directory as _, Event, Reply,
    proto::{message::ChangeKind::Add, result::ResultCode},
};

use super::{
    bench::{Bench, person},
    checks,
    report::{Rows, same},
};

checks![
    answers_reach_their_callers,
    searches_run_side_by_side,
    a_dropped_search_is_abandoned,
    writers_do_not_lose_each_other,
];

/// Waits for all replies at once, in an order of its own.
async fn outcomes(replies: Vec<Reply>) -> Result<Vec<ResultCode>> {
    let mut waiting: Vec<_> = replies.into_iter().map(|reply| Some(Box::pin(reply.outcome()))).collect();
    let mut codes: Vec<_> = waiting.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        // The last first: whoever relies on the order of polling is found out.
        for (place, code) in waiting.iter_mut().zip(&mut codes).rev() {
            if let Some(reply) = place
                && let std::task::Poll::Ready(outcome) = reply.as_mut().poll(cx)
            {
                *code = Some(outcome.map(|outcome| outcome.result.code));
                *place = None;
            }
        }
        if waiting.iter().all(Option::is_none) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    codes.into_iter().flatten().map(|code| Ok(code?)).collect()
}

async fn answers_reach_their_callers(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "description: 7").await?;
    let replies: Result<Vec<_>> = (0..64)
        .map(|number| {
            let compare = bench.compare("cn=ada", "description", &(number % 8).to_string())?;
            Ok(bench.admin.session.call(bench.admin.request(compare).into_any()))
        })
        .collect();
    let wanted = |number| if number % 8 == 7 { ResultCode::COMPARE_TRUE } else { ResultCode::COMPARE_FALSE };
    same("the answers", outcomes(replies?).await?, (0..64).map(wanted).collect())
}

async fn searches_run_side_by_side(bench: &Bench<'_>) -> Result<()> {
    for number in 0..40 {
        bench.add_person(&format!("p{number:02}"), &format!("title: t{}", number % 4)).await?;
    }
    let mut replies = Vec::new();
    for number in 0..4 {
        let search = bench.search(&format!("(title=t{number})"))?;
        replies.push(bench.admin.session.call(bench.admin.request(search).into_any()));
    }
    let mut rows = Rows::new();
    for (number, mut reply) in replies.into_iter().enumerate() {
        let mut titles = Vec::new();
        while let Event::Batch(batch) = reply.next().await? {
            titles.extend(batch.entries().filter_map(|entry| entry.text("title").map(str::to_owned)));
        }
        rows.same(format!("search {number}"), titles, vec![format!("t{number}"); 10]);
    }
    rows.finish()
}

async fn a_dropped_search_is_abandoned(bench: &Bench<'_>) -> Result<()> {
    for number in 0..100 {
        bench.add_person(&format!("p{number:03}"), &format!("description: {}", "x".repeat(4_000))).await?;
    }
    for _ in 0..20 {
        let search = bench.search("(objectClass=person)")?;
        let mut reply = bench.admin.session.call(bench.admin.request(search).into_any());
        let first = pin!(reply.next()).await?;
        ensure!(matches!(first, Event::Batch(_)), "no entries came");
        drop(reply);
    }
    same("the conversation goes on", bench.find("(cn=p042)").await?, vec!["p042".to_owned()])?;
    same("all of it", bench.find("(objectClass=person)").await?.len(), 100)
}

async fn writers_do_not_lose_each_other(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "").await?;
    let mut others = [bench.anonymous().await?, bench.anonymous().await?, bench.anonymous().await?];
    let (administrator, password) = bench.subject.administrator();
    let mut replies = Vec::new();
    for (number, other) in others.iter_mut().enumerate() {
        other.bind(administrator.as_str(), password.clone()).await?;
        for value in 0..16 {
            let value = format!("{number}-{value}");
            let modify = bench.modify("cn=ada", &[(Add, "description", &[&value])])?;
            replies.push(other.session.call(other.request(modify).into_any()));
        }
        let entry = bench.entry(&format!("cn=p{number}"), &person(&format!("p{number}"), ""))?;
        replies.push(other.session.call(other.request(entry).into_any()));
    }
    let codes = outcomes(replies).await?;
    same("the codes", codes.iter().filter(|code| **code == ResultCode::SUCCESS).count(), 51)?;
    let values = bench.read("cn=ada").await?.remove("description").unwrap_or_default();
    same("values", values.len(), 48)?;
    same("entries", bench.find("(sn=Harker)").await?.len(), 4)
}
