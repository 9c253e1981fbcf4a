//! What a search is said to do, what is refused for want of an index, and what is noted as slow.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use flext_ldap_directory::{Actor, Directory, Identity, Request};
use flext_ldap_proto::{
    message::{Scope, Search},
    result::ResultCode,
};
use flext_ldap_store::{ScopeStrategy, Store, Unindexed, UnindexedPolicy};

use crate::support::*;

async fn crew(store: &Store, people: usize) {
    fill(store).await;
    for number in 0..people {
        ok(store, person(&format!("crew{number}"))).await;
    }
}

fn user() -> Actor {
    Actor::User(Identity::from_successful_bind(dn("uid=anna,ou=people,dc=harbourlane,dc=example")))
}

async fn explained(store: &Store, search: Search) -> String {
    store.explain_run(&search, &Actor::Service).await.unwrap().to_string()
}

#[tokio::test]
async fn an_explanation_is_a_tree() {
    let store = Store::open(options()).unwrap();
    crew(&store, 600).await;
    let text =
        "(&(objectClass=person)(|(cn=crew1*)(uid=anna))(!(mail=crew10@harbourlane.example))(description=x))";
    assert_eq!(
        explained(&store, subtree(text)).await,
        "base: dc=harbourlane,dc=example\n\
         scope: sub\n\
         filter:\n  \
           and\n    \
             (objectClass=person): equality, 1 key, 603 entries, read\n    \
             or\n      \
               (cn=crew1*): substring, 8 keys, 111 entries, read\n      \
               (uid=anna): equality, 1 key, 1 entry, read\n    \
             not\n      \
               (mail=crew10@harbourlane.example): all but those of equality, 1 key, 1 entry, read\n    \
             (description=x): not indexed\n\
         candidates: 111\n\
         taken from: the candidates, all of which are in scope\n\
         looked at: 111\n\
         returned: 0"
    );
    assert_eq!(
        explained(&store, subtree("(uid=crew7)")).await,
        "base: dc=harbourlane,dc=example\nscope: sub\nfilter:\n  (uid=crew7): equality, 1 key, 1 entry, read\n\
         candidates: 1\ntaken from: the candidates, all of which are in scope\nlooked at: 1\nreturned: 1"
    );
    // What is asserted of passwords is not repeated, and what is undefined is known to match nothing.
    assert_eq!(
        explained(&store, subtree("(|(userPassword=tide tables)(nonesuch=x)(cn=*q*))")).await,
        "base: dc=harbourlane,dc=example\nscope: sub\nfilter:\n  or\n    (userPassword=***): no index can tell\n    \
         (nonesuch=x): undefined for every entry\n    (cn=*q*): too short a part\ncandidates: any entry\n\
         taken from: all entries\nlooked at: 606\nreturned: 603"
    );
}

#[tokio::test]
async fn scopes_are_seen_to_by_what_is_least_work() {
    let other = "o=Gull Rock";
    let store = Store::open(options().suffix(dn(other))).unwrap();
    crew(&store, 30).await;
    ok(&store, entry(other, &["objectClass: organization"])).await;
    let people = format!("ou=people,{SUFFIX}");
    let table = [
        (SUFFIX, Scope::Base, "(uid=*)", ScopeStrategy::Base, 1, 0),
        (people.as_str(), Scope::One, "(uid=crew7)", ScopeStrategy::CandidateChildren, 1, 1),
        (people.as_str(), Scope::One, "(sn=*)", ScopeStrategy::Children, 33, 33),
        (SUFFIX, Scope::One, "(uid=crew*)", ScopeStrategy::Children, 2, 0),
        (people.as_str(), Scope::Subtree, "(uid=crew7)", ScopeStrategy::ClimbedCandidates, 1, 1),
        (other, Scope::Subtree, "(uid=crew*)", ScopeStrategy::ClimbedCandidates, 30, 0),
        (SUFFIX, Scope::Subtree, "(description=x)", ScopeStrategy::Walk, 36, 0),
        ("", Scope::Subtree, "(description=x)", ScopeStrategy::All, 37, 0),
        (
            "",
            Scope::Children,
            "(entryDN=ou=people,dc=harbourlane,dc=example)",
            ScopeStrategy::Candidates,
            1,
            1,
        ),
    ];
    for (base, scope, text, strategy, looked_at, returned) in table {
        let search = Search::new(dn(base), scope, filter(text));
        let explanation = store.explain_run(&search, &Actor::Service).await.unwrap();
        let run = explanation.run.unwrap();
        assert_eq!(
            (explanation.strategy, run.looked_at, run.returned),
            (strategy, looked_at, returned),
            "{base} {text}\n{explanation}"
        );
    }
}

#[tokio::test]
async fn negation_narrows_where_it_is_sure() {
    let store = Store::open(options()).unwrap();
    crew(&store, 300).await;
    ok(&store, entry(&format!("uid=bare,{SUFFIX}"), &["objectClass: account"])).await;
    let table = [
        // Few are without it.
        ("(&(uid=*)(!(mail=*)))", Some(4), 1),
        ("(!(objectClass=person))", Some(4), 4),
        ("(!(!(uid=bare)))", Some(1), 1),
        ("(!(|(objectClass=person)(ou=people)))", Some(4), 3),
        // Nothing is sure of subtypes and of parts.
        ("(!(name=anna quay))", None, 306),
        ("(!(cn=*quay))", None, 4),
        // Nobody fails what is undefined.
        ("(!(nonesuch=x))", Some(0), 0),
    ];
    for (text, candidates, found) in table {
        let explanation = store.explain_run(&subtree(text), &Actor::Service).await.unwrap();
        assert_eq!(explanation.candidates, candidates, "{text}\n{explanation}");
        assert_eq!(explanation.run.unwrap().returned, found, "{text}\n{explanation}");
    }
}

#[tokio::test]
async fn what_no_index_narrows_is_refused_beyond_a_number_of_entries() {
    let mut unindexed = Unindexed::default();
    unindexed.policy = UnindexedPolicy::Refuse;
    unindexed.threshold = 20;
    let store = Store::open(options().suffix(dn("o=Gull Rock")).unindexed(unindexed)).unwrap();
    crew(&store, 30).await;
    let people = format!("ou=people,{SUFFIX}");
    let refused = ResultCode::UNWILLING_TO_PERFORM;
    let table = [
        (SUFFIX, Scope::Subtree, "(description=x)", refused),
        ("", Scope::Subtree, "(description=x)", refused),
        (people.as_str(), Scope::One, "(!(description=x))", refused),
        (people.as_str(), Scope::Children, "(|(uid=anna)(description=x))", refused),
        // An index narrows it, or there is little to look at.
        (people.as_str(), Scope::Subtree, "(&(uid=anna)(description=x))", ResultCode::SUCCESS),
        (SUFFIX, Scope::One, "(description=x)", ResultCode::SUCCESS),
        (SUFFIX, Scope::Base, "(description=x)", ResultCode::SUCCESS),
        (&format!("ou=groups,{SUFFIX}"), Scope::Subtree, "(description=x)", ResultCode::SUCCESS),
    ];
    for (base, scope, text, want) in table {
        let search = Search::new(dn(base), scope, filter(text));
        let (_, outcome) = find(&store, search.clone(), user()).await;
        assert_eq!(outcome.result.code, want, "{base} {text}");
        if want == refused {
            assert_eq!(
                outcome.result.diagnostic,
                "no index narrows the search, and more than 20 entries are in its scope; ask for an indexed attribute, \
                 or search a smaller subtree"
            );
        }
        assert_eq!(find(&store, search, Actor::Service).await.1.result.code, ResultCode::SUCCESS);
    }
}

/// Keeps what is logged: target, then fields in the order they were given.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.is_event()
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::Id {
        tracing::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::Id, _: &tracing::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        struct Line(String);
        impl tracing::field::Visit for Line {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
                self.0.push_str(&format!(" {field}={value:?}"));
            }
        }
        let mut line = Line(event.metadata().target().to_owned());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &tracing::Id) {}

    fn exit(&self, _: &tracing::Id) {}
}

impl Log {
    pub(crate) fn of(&self, target: &str) -> Vec<String> {
        self.0.lock().unwrap().iter().filter(|line| line.starts_with(target)).cloned().collect()
    }
}

#[tokio::test]
async fn a_slow_search_leaves_one_line() {
    let store = Store::open(options().slow(Duration::ZERO)).unwrap();
    crew(&store, 10).await;
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    find(&store, subtree("(&(cn=crew*)(!(userPassword=tide tables)))"), Actor::Service).await;
    let lines = log.of("flext_ldap::slow");
    assert_eq!(lines.len(), 1, "{lines:?}");
    for part in [
        "who=\"service\" from=\"local\" base=\"dc=harbourlane,dc=example\" scope=Subtree \
         filter=\"(&(cn=crew*)(!(userPassword=***)))\"",
        "plan=\"(cn=crew*): substring, 6 keys, 10 entries, read, 10 candidates, the candidates, all of which are in scope\"",
        "looked_at=10 returned=0",
        "ended=\"success (0)\"",
    ] {
        assert!(lines[0].contains(part), "{part}\n{}", lines[0]);
    }
    assert!(!lines[0].contains("tide"));
    // One that nobody waits for is noted too, and a filter of any length in bounds.
    let long = format!("(|{})", "(cn=somebody of a long name)".repeat(5_000));
    let mut reply = store.call(Request::new(subtree(&long), Actor::Service).into_any());
    let _ = std::future::poll_fn(|cx| std::task::Poll::Ready(reply.poll_next(cx).is_ready())).await;
    drop(reply);
    let lines = log.of("flext_ldap::slow");
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].len() < 4_000, "{} octets", lines[1].len());
    // One that somebody wants explained is told from those of the program itself.
    store.explain_run(&subtree("(cn=crew1)"), &Actor::Service).await.unwrap();
    let line = log.of("flext_ldap::slow").pop().unwrap();
    assert!(line.contains("who=\"service\" from=\"explain\" base=") && line.contains("(cn=crew1)"), "{line}");
}

#[tokio::test]
async fn what_no_index_narrows_is_warned_of() {
    let mut unindexed = Unindexed::default();
    unindexed.threshold = 5;
    let store = Store::open(options().unindexed(unindexed)).unwrap();
    crew(&store, 10).await;
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    find(&store, subtree("(userPassword=tide tables)"), user()).await;
    find(&store, subtree("(uid=anna)"), user()).await;
    find(&store, subtree("(description=x)"), Actor::Service).await;
    assert_eq!(
        log.of("flext_ldap::unindexed"),
        ["flext_ldap::unindexed message=a search is not narrowed by an index \
             who=\"dn:uid=anna,ou=people,dc=harbourlane,dc=example\" from=\"local\" base=\"dc=harbourlane,dc=example\" \
             scope=Subtree filter=\"(userPassword=***)\" entries=16"]
    );
}
