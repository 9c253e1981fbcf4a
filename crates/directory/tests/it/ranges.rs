//! Attributes that come in parts are made whole, or it is said why not.

use flext_ldap_directory::{
    Error, ErrorKind, Event, Op,
    proto::{
        attribute::Attributes,
        batch::{BatchWriter, Item},
        control::Controls,
        entry::Entry,
        message::Scope,
        result::ResultCode,
    },
    ranges::{is_cut, whole},
};

use crate::{
    ladder::search,
    script::{Answer, Script, done},
};

const GROUP: &str = "cn=crew,dc=harbourlane,dc=example";

type List<'a> = &'a [(&'a str, std::ops::Range<u32>)];

fn group(list: List<'_>) -> Entry {
    let mut attributes = Attributes::builder();
    for (description, numbers) in list {
        attributes.push(description, numbers.clone().map(|number| format!("cn={number}")));
    }
    Entry::new(&GROUP.parse().unwrap(), attributes.build())
}

fn answer(list: List<'_>) -> Answer {
    let mut writer = BatchWriter::new();
    writer.entry(GROUP, &Controls::none(), |attributes| {
        attributes.raw(group(list).attributes().as_bytes());
    });
    let batch = writer.take();
    assert!(matches!(batch.iter().next().unwrap().get(), Item::Entry(_)));
    vec![Ok(Event::Batch(batch)), done(ResultCode::SUCCESS)]
}

async fn made_whole(script: &Script, first: List<'_>) -> Result<Entry, Error> {
    whole(script, group(first).as_ref(), &search()).await
}

#[tokio::test]
async fn the_parts_are_one_attribute() {
    let first: List<'_> =
        &[("cn", 7..8), ("member", 0..0), ("member;range=0-2", 0..3), ("memberOf;range=0-*", 0..2)];
    assert!(is_cut(group(first).as_ref()));
    let script =
        Script::new(vec![answer(&[("member;range=3-5", 3..6)]), answer(&[("Member;Range=6-*", 6..8)])]);
    let entry = made_whole(&script, first).await.unwrap();
    let wanted = group(&[("cn", 7..8), ("member", 0..8), ("memberOf;range=0-*", 0..2)]);
    assert_eq!(entry, wanted);
    assert!(!is_cut(entry.as_ref()));
    let asked: Vec<_> = script
        .requests()
        .into_iter()
        .map(|request| {
            let Op::Search(search) = request.op else { panic!("no search") };
            assert_eq!((search.base.as_str(), search.scope), (GROUP, Scope::Base));
            search.attributes.selectors().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        })
        .collect();
    assert_eq!(asked, ["member;range=3-*", "member;range=6-*"]);
}

#[tokio::test]
async fn parts_that_do_not_fit_are_no_whole() {
    let first: List<'_> = &[("member;range=0-2", 0..3)];
    let parts: [List<'_>; 7] = [
        &[],
        &[("member", 3..6)],
        &[("memberOf;range=3-*", 3..6)],
        // From elsewhere, fewer than said, none, and the same again.
        &[("member;range=2-*", 2..6)],
        &[("member;range=3-8", 3..6)],
        &[("member;range=3-*", 0..0)],
        &[("member;range=0-2", 0..3)],
    ];
    for part in parts {
        let error = made_whole(&Script::new(vec![answer(part)]), first).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{part:?}");
        assert!(error.to_string().starts_with("no values of `member` came from number 3 on"), "{error}");
    }
    let refused = Script::new(vec![vec![done(ResultCode::INSUFFICIENT_ACCESS_RIGHTS)]]);
    let error = made_whole(&refused, first).await.unwrap_err();
    assert_eq!(error.result_code(), Some(ResultCode::INSUFFICIENT_ACCESS_RIGHTS));
    let gone = Script::new(vec![vec![done(ResultCode::SUCCESS)]]);
    assert_eq!(made_whole(&gone, first).await.unwrap_err().kind(), ErrorKind::NoEntry);
}
