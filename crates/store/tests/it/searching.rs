//! Scopes, filters, selections, limits, pages, and what they cost.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use flext_ldap_directory::{Actor, Directory, ErrorKind, Event, Identity, Request, SessionExt};
use flext_ldap_proto::{
    control::{ManageDsaIt, PagedResults},
    filter::Filter,
    message::{Delete, DerefAliases, Limits as WireLimits, Rename, Scope, Search},
    result::ResultCode,
};
use flext_ldap_store::{Limits, StandardPolicy, Store, Unindexed, UnindexedPolicy};

use crate::support::*;

fn user() -> Actor {
    Actor::User(Identity::from_successful_bind(dn("uid=anna,ou=people,dc=harbourlane,dc=example")))
}

#[tokio::test]
async fn scopes() {
    let store = small().await;
    let people = format!("ou=people,{SUFFIX}");
    let table = [
        (Scope::Base, "(objectClass=*)", vec![people.clone()]),
        (
            Scope::One,
            "(objectClass=*)",
            vec!["anna", "bert", "cleo"].into_iter().map(|uid| format!("uid={uid},{people}")).collect(),
        ),
        (Scope::One, "(uid=bert)", vec![format!("uid=bert,{people}")]),
        (Scope::Subtree, "(ou=people)", vec![people.clone()]),
        (Scope::Children, "(ou=people)", vec![]),
        (
            Scope::Children,
            "(sn=quay)",
            vec!["anna", "bert", "cleo"].into_iter().map(|uid| format!("uid={uid},{people}")).collect(),
        ),
        (
            Scope::Subtree,
            "(&)",
            vec!["anna", "bert", "cleo"]
                .into_iter()
                .map(|uid| format!("uid={uid},{people}"))
                .chain([people.clone()])
                .collect::<Vec<_>>(),
        ),
        (Scope::Subtree, "(|)", vec![]),
    ];
    for (scope, text, mut want) in table {
        let search = Search::new(dn(&people), scope, filter(text));
        let (names, outcome) = find(&store, search, Actor::Service).await;
        want.sort();
        assert_eq!(outcome.result.code, ResultCode::SUCCESS);
        assert_eq!(names, want, "{scope:?} {text}");
    }
    // From the root: all naming contexts, as one tree.
    let all = Search::new(dn(""), Scope::Subtree, filter("(uid=anna)"));
    assert_eq!(find(&store, all, Actor::Service).await.0.len(), 1);
    let one = Search::new(dn(""), Scope::One, filter("(objectClass=*)"));
    assert_eq!(find(&store, one, Actor::Service).await.0, [SUFFIX]);
}

#[tokio::test]
async fn filters_find_the_same_with_and_without_an_index() {
    let store = small().await;
    let table = [
        ("(uid=ANNA)", 1),
        ("(cn=anna quay)", 1),
        ("(name=anna quay)", 1),
        ("(mail=*)", 3),
        ("(mail=*@harbourlane.example)", 3),
        ("(mail=a*)", 1),
        ("(&(objectClass=person)(|(uid=anna)(uid=bert)))", 2),
        ("(&(objectClass=person)(!(uid=anna)))", 2),
        ("(!(uid=*))", 3),
        ("(objectClass=2.5.6.6)", 3),
        ("(uid>=b)", 0),
        ("(nonesuch=x)", 0),
        ("(!(nonesuch=x))", 0),
        ("(|(nonesuch=x)(uid=cleo))", 1),
        ("(objectClass=nonesuch)", 0),
        ("(entryDN=uid=cleo,ou=people,dc=harbourlane,dc=example)", 1),
        ("(hasSubordinates=TRUE)", 2),
        ("(ou:dn:=people)", 4),
        ("(uid:caseExactMatch:=anna)", 1),
        ("(2.5.4.3=anna quay)", 1),
    ];
    for (text, want) in table {
        let (names, outcome) = find(&store, subtree(text), Actor::Service).await;
        assert_eq!(outcome.result.code, ResultCode::SUCCESS, "{text}");
        if text != "(uid>=b)" {
            assert_eq!(names.len(), want, "{text}: {names:?}");
        }
    }
}

#[tokio::test]
async fn a_point_lookup_reads_one_entry() {
    let store = small().await;
    for number in 0..50 {
        ok(&store, person(&format!("crew{number}"))).await;
    }
    for text in ["(&(objectClass=*)(uid=crew7))", "(uid=crew7)", "(&(objectClass=inetOrgPerson)(uid=crew7))"]
    {
        let before = store.counters().entries_read;
        assert_eq!(find(&store, subtree(text), Actor::Service).await.0.len(), 1);
        assert_eq!(store.counters().entries_read - before, 1, "{text}");
    }
    let before = store.counters().entries_read;
    assert_eq!(find(&store, subtree("(uid=nobody)"), Actor::Service).await.0.len(), 0);
    assert_eq!(store.counters().entries_read - before, 0);
}

#[tokio::test]
async fn selections() {
    let store = small().await;
    let base = |attributes: &[&str]| {
        Search::new(dn("uid=anna,ou=people,dc=harbourlane,dc=example"), Scope::Base, Filter::any())
            .attributes(attributes.iter().collect::<flext_ldap_proto::attribute::Selection>())
    };
    let table: [(&[&str], &[&str]); 8] = [
        (&[], &["cn", "mail", "objectClass", "sn", "uid"]),
        (&["*"], &["cn", "mail", "objectClass", "sn", "uid"]),
        (&["1.1"], &[]),
        (&["MAIL"], &["mail"]),
        (&["name"], &["cn", "sn"]),
        (&["1.1", "uid"], &["uid"]),
        (&["entryUUID"], &["entryUUID"]),
        (&["@person"], &["cn", "objectClass", "sn"]),
    ];
    for (asked, want) in table {
        let (found, _) = entries(&store, base(asked), Actor::Service).await;
        let mut names: Vec<_> = found[0].attributes().iter().map(|one| one.description()).collect();
        names.sort_unstable();
        assert_eq!(names, want, "{asked:?}");
    }
    let (found, _) = entries(&store, base(&["+"]), Actor::Service).await;
    let names: Vec<_> = found[0].attributes().iter().map(|one| one.description()).collect();
    for name in ["entryUUID", "entryCSN", "createTimestamp", "creatorsName", "entryDN", "hasSubordinates"] {
        assert!(names.contains(&name), "{name}");
    }
    assert!(!names.contains(&"cn"));
    let mut types = base(&["cn"]);
    types.types_only = true;
    let (found, _) = entries(&store, types, Actor::Service).await;
    assert_eq!(found[0].attributes().get("cn").unwrap().values().count(), 0);
}

#[tokio::test]
async fn what_the_directory_says_of_itself() {
    let store = small().await;
    let root = read(&store, "").await.unwrap();
    assert_eq!(root.text("namingContexts"), Some(SUFFIX));
    assert_eq!(root.text("supportedLDAPVersion"), Some("3"));
    assert_eq!(root.text("vendorName"), Some("FLEXT-LDAP"));
    // The program itself is no network that could be listened to.
    assert_eq!(root.text("supportedSASLMechanisms"), Some("PLAIN"));
    let subschema = Search::new(dn("CN=Subschema"), Scope::Base, filter("(objectClass=subschema)"))
        .attributes(["attributeTypes", "objectClasses"]);
    let (found, _) = entries(&store, subschema, Actor::Anonymous).await;
    assert!(found[0].attributes().get("attributeTypes").unwrap().values().count() > 100);
    // Nobody changes either.
    let delete = Delete { dn: dn("cn=subschema") };
    assert_eq!(code(&store, delete).await, ResultCode::NO_SUCH_OBJECT);
}

fn with_limits(limits: Limits) -> Store {
    Store::open(options().limits(limits).policy(Arc::new(StandardPolicy::default()))).unwrap()
}

#[tokio::test]
async fn limits() {
    let mut limits = Limits::default();
    limits.size = 2;
    limits.lookthrough = 4;
    let store = with_limits(limits);
    fill(&store).await;
    let outcome = |search: Search, actor: Actor| {
        let store = store.clone();
        async move {
            let (names, outcome) = find(&store, search, actor).await;
            (names.len(), outcome.result.code)
        }
    };
    assert_eq!(outcome(subtree("(uid=*)"), user()).await, (2, ResultCode::SIZE_LIMIT_EXCEEDED));
    assert_eq!(outcome(subtree("(uid=*)"), Actor::Service).await, (3, ResultCode::SUCCESS));
    assert_eq!(
        outcome(subtree("(uid=*)").size_limit(1), Actor::Service).await,
        (1, ResultCode::SIZE_LIMIT_EXCEEDED)
    );
    assert_eq!(outcome(subtree("(uid=*)").size_limit(3), Actor::Service).await, (3, ResultCode::SUCCESS));
    assert_eq!(outcome(subtree("(uid=anna)"), user()).await, (1, ResultCode::SUCCESS));
    assert_eq!(outcome(subtree("(description=x)"), user()).await, (0, ResultCode::ADMIN_LIMIT_EXCEEDED));
    // Other limits hold for what begins from then on; others of a search that no index narrows too.
    let mut limits = Limits::default();
    limits.size = 1;
    store.set_limits(&limits);
    assert_eq!(outcome(subtree("(uid=*)"), user()).await, (1, ResultCode::SIZE_LIMIT_EXCEEDED));
    assert_eq!(outcome(subtree("(description=x)"), user()).await, (0, ResultCode::SUCCESS));
    let mut unindexed = Unindexed::default();
    (unindexed.policy, unindexed.threshold) = (UnindexedPolicy::Refuse, 2);
    store.set_unindexed(unindexed);
    assert_eq!(outcome(subtree("(description=x)"), user()).await, (0, ResultCode::UNWILLING_TO_PERFORM));
    let late = Request::new(subtree("(uid=*)"), Actor::Service).within(Duration::ZERO).into_any();
    assert_eq!(store.call(late).outcome().await.unwrap().result.code, ResultCode::TIME_LIMIT_EXCEEDED);
}

#[tokio::test]
async fn answers_for_bases_that_lead_nowhere() {
    let store = small().await;
    let at = |name: &str| Search::new(dn(name), Scope::Subtree, Filter::any());
    let (_, outcome) = find(&store, at("uid=zoe,ou=people,dc=harbourlane,dc=example"), Actor::Service).await;
    assert_eq!(outcome.result.code, ResultCode::NO_SUCH_OBJECT);
    assert_eq!(outcome.result.matched_dn, "ou=people,dc=harbourlane,dc=example");
    let (_, outcome) = find(&store, at("dc=elsewhere"), Actor::Service).await;
    assert_eq!((outcome.result.code, outcome.result.matched_dn.as_str()), (ResultCode::NO_SUCH_OBJECT, ""));
    let (_, outcome) = find(&store, at("nonesuch=x"), Actor::Service).await;
    assert_eq!(outcome.result.code, ResultCode::INVALID_DN_SYNTAX);
}

#[tokio::test]
async fn pages() {
    let store = small().await;
    for number in 0..25 {
        ok(&store, person(&format!("crew{number:02}"))).await;
    }
    for (scope, text) in [(Scope::Subtree, "(uid=*)"), (Scope::One, "(cn=*)"), (Scope::Subtree, "(sn>=a)")] {
        let search = Search::new(dn("ou=people,dc=harbourlane,dc=example"), scope, filter(text));
        let session = session(&store).await;
        let mut paged = session.search_pages(Request::new(search.clone(), Actor::Service), 4);
        let mut names = Vec::new();
        while let Some(entry) = paged.next().await.unwrap() {
            names.push(entry.dn_str().to_owned());
        }
        names.sort();
        assert_eq!(names, find(&store, search, Actor::Service).await.0, "{scope:?} {text}");
    }
}

/// Paging-cookie DoS / never-ending cookie (389ds): a cookie is good for its own search and actor only.
#[tokio::test]
async fn foreign_cookies_are_refused() {
    let store = small().await;
    let page = |search: Search, actor: Actor, cookie: Bytes| {
        let store = store.clone();
        async move {
            let request = Request::new(search, actor).critical(&PagedResults { size: 1, cookie });
            store.call(request.into_any()).outcome().await.unwrap()
        }
    };
    let search = subtree("(uid=*)");
    let first = page(search.clone(), user(), Bytes::new()).await;
    let cookie = first.controls.get::<PagedResults>(&WireLimits::DEFAULT).unwrap().unwrap().cookie;
    assert!(!cookie.is_empty());
    assert_eq!(page(search.clone(), user(), cookie.clone()).await.result.code, ResultCode::SUCCESS);
    let refused = ResultCode::UNWILLING_TO_PERFORM;
    assert_eq!(page(subtree("(cn=*)"), user(), cookie.clone()).await.result.code, refused);
    assert_eq!(page(search.clone(), Actor::Service, cookie.clone()).await.result.code, refused);
    for place in 0..cookie.len() {
        let mut altered = cookie.to_vec();
        altered[place] ^= 1;
        assert_eq!(page(search.clone(), user(), altered.into()).await.result.code, refused, "{place}");
    }
    for cookie in [b"x".as_slice(), &[0; 32], &[0xff; 5000]] {
        assert_eq!(page(search.clone(), user(), Bytes::copy_from_slice(cookie)).await.result.code, refused);
    }
}

#[tokio::test]
async fn entries_that_come_and_go_do_not_disturb_a_search() {
    let store = small().await;
    for number in 0..600 {
        ok(&store, person(&format!("crew{number:03}"))).await;
    }
    let mut reply = store.call(Request::new(subtree("(uid=crew*)"), Actor::Service).into_any());
    let Event::Batch(first) = reply.next().await.unwrap() else { panic!("no entries") };
    let seen = first.entries().count();
    assert!(seen < 600, "a batch is bounded");
    ok(&store, Delete { dn: dn("uid=crew599,ou=people,dc=harbourlane,dc=example") }).await;
    ok(&store, person("extra")).await;
    let mut total = seen;
    let outcome = loop {
        match reply.next().await.unwrap() {
            Event::Batch(batch) => total += batch.entries().count(),
            Event::Done(outcome) => break outcome,
        }
    };
    assert_eq!(outcome.result.code, ResultCode::SUCCESS);
    assert_eq!(total, 599);
    assert_eq!(reply.next().await.unwrap_err().kind(), ErrorKind::Misuse);
}

#[tokio::test]
async fn large_and_small_subtrees_side_by_side() {
    use std::fmt::Write as _;
    /// Below one branch: less than half of all there are, and more than is walked whatever there is.
    const MANY: usize = 10_100;
    const MORE: usize = 10_400;
    let other = "o=Gull Rock";
    let store = Store::open(options().suffix(dn(other))).unwrap();
    fill(&store).await;
    let mut text = format!("dn: {other}\nobjectClass: organization\n\n");
    for branch in ["a", "b"] {
        write!(text, "dn: ou={branch},{other}\nobjectClass: organizationalUnit\n\n").unwrap();
    }
    for number in 0..MORE {
        write!(text, "dn: uid=n{number},ou=b,{other}\nobjectClass: account\n\n").unwrap();
        if number < MANY {
            write!(text, "dn: uid=n{number},ou=a,{other}\nobjectClass: account\n\n").unwrap();
        }
    }
    store.import(text.as_bytes(), &flext_ldap_store::ImportOptions::default(), &mut |_| {}).unwrap();
    for uid in 0..3 {
        ok(&store, entry(&format!("uid=few{uid},{other}"), &["objectClass: account"])).await;
    }
    let a = format!("ou=a,{other}");
    let table = [
        // Found by climbing, since too much stands below.
        (other, Scope::Subtree, "(objectClass=account)", MANY + MORE + 3),
        (other, Scope::Children, "(!(description=x))", MANY + MORE + 5),
        (other, Scope::Subtree, "(!(description=x))", MANY + MORE + 6),
        (other, Scope::One, "(objectClass=account)", 3),
        (other, Scope::Subtree, "(uid=few*)", 3),
        // Found by walking, and in pages by climbing.
        (a.as_str(), Scope::Subtree, "(!(description=x))", MANY + 1),
        (a.as_str(), Scope::Children, "(objectClass=account)", MANY),
        // Found by walking.
        (SUFFIX, Scope::Subtree, "(objectClass=account)", 0),
        (SUFFIX, Scope::Subtree, "(!(description=x))", 6),
        (SUFFIX, Scope::Children, "(!(description=x))", 5),
        (SUFFIX, Scope::Subtree, "(|(objectClass=account)(uid=anna))", 1),
        ("", Scope::Subtree, "(objectClass=account)", MANY + MORE + 3),
        ("", Scope::One, "(o=*)", 2),
    ];
    for (base, scope, text, want) in table {
        let search = Search::new(dn(base), scope, filter(text)).attributes(["1.1"]);
        let (names, outcome) = find(&store, search.clone(), Actor::Service).await;
        assert_eq!(
            (names.len(), outcome.result.code),
            (want, ResultCode::SUCCESS),
            "{base} {scope:?} {text}"
        );
        if want < 10 || base == a {
            let session = session(&store).await;
            let page = if base == a { 3_000 } else { 2 };
            let mut paged = session.search_pages(Request::new(search, Actor::Service), page);
            let mut found = 0;
            while paged.next().await.unwrap().is_some() {
                found += 1;
            }
            assert_eq!(found, want, "in pages: {base} {scope:?} {text}");
        }
    }
}

#[tokio::test]
async fn a_filter_has_a_bound() {
    let mut limits = Limits::default();
    limits.filter = 5;
    let store = with_limits(limits);
    fill(&store).await;
    let five = subtree("(|(uid=anna)(uid=bert)(uid=cleo)(uid=x))");
    let six = subtree("(|(uid=anna)(uid=bert)(uid=cleo)(uid=x)(uid=y))");
    assert_eq!(find(&store, five, user()).await.0.len(), 3);
    let (names, outcome) = find(&store, six.clone(), user()).await;
    assert_eq!((names.len(), outcome.result.code), (0, ResultCode::ADMIN_LIMIT_EXCEEDED));
    assert_eq!(find(&store, six, Actor::Service).await.0.len(), 3);
}

#[tokio::test]
async fn a_large_filter_leaves_others_their_turn() {
    let store = small().await;
    let parts = "(!(sn=nobody))".repeat(9_000 / 2);
    let mut slow = store.call(Request::new(subtree(&format!("(&{parts})")), user()).into_any());
    // The first poll works for a slice, not through all six entries, and does not wake itself before others.
    let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(slow.poll_next(cx).is_pending())).await;
    assert!(polled);
    let mut names = 0;
    loop {
        match slow.next().await.unwrap() {
            Event::Batch(batch) => names += batch.len(),
            Event::Done(outcome) => break assert_eq!(outcome.result.code, ResultCode::SUCCESS),
        }
    }
    assert_eq!(names, 6);
}

#[tokio::test]
async fn a_search_at_work_lets_sockets_be_looked_at() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let store = small().await;
    let parts = "(!(sn=nobody))".repeat(40_000);
    let polls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&polls);
    let at_work = tokio::spawn(async move {
        let search = subtree(&format!("(&{parts})"));
        loop {
            let mut reply = store.call(Request::new(search.clone(), Actor::Service).into_any());
            loop {
                let event = std::future::poll_fn(|cx| {
                    counted.fetch_add(1, Ordering::Relaxed);
                    // What is ready waits for the next poll, as where a listener has enough to send.
                    reply.poll_next(cx)
                });
                if matches!(event.await.unwrap(), Event::Done(_)) {
                    break;
                }
            }
        }
    });
    let (mut one, mut other) = tokio::net::UnixStream::pair().unwrap();
    let mut most = 0;
    for _ in 0..5 {
        let before = polls.load(Ordering::Relaxed);
        one.write_all(b"x").await.unwrap();
        let mut octet = [0];
        other.read_exact(&mut octet).await.unwrap();
        most = most.max(polls.load(Ordering::Relaxed) - before);
    }
    at_work.abort();
    assert!(most <= 24, "{most} slices before a socket was looked at");
}

/// Readers share what they found out of a commit: names, bases, which entries are referrals, aliases or subentries.
#[tokio::test]
async fn what_a_search_found_out_holds_until_the_next_commit_and_no_longer() {
    let store = small().await;
    let below = |base: &str| {
        let search = Search::new(dn(base), Scope::Subtree, filter("(|(uid=*)(cn=limits))"));
        async { find(&store, search, Actor::Service).await }
    };
    let names = |unit: &str| ["anna", "bert", "cleo"].map(|uid| format!("uid={uid},ou={unit},{SUFFIX}"));
    let (people, staff) = (format!("ou=people,{SUFFIX}"), format!("ou=staff,{SUFFIX}"));
    for _ in 0..2 {
        assert_eq!(below(&people).await.0, names("people"));
        assert_eq!(below(&format!("OU=People, {SUFFIX}")).await.0, names("people"));
        assert_eq!(below(&staff).await.1.result.code, ResultCode::NO_SUCH_OBJECT);
    }
    let new_rdn = "ou=staff".parse().unwrap();
    ok(&store, Rename { dn: dn(&people), new_rdn, delete_old_rdn: true, new_superior: None }).await;
    let (_, gone) = below(&people).await;
    assert_eq!((gone.result.code, &*gone.result.matched_dn), (ResultCode::NO_SUCH_OBJECT, SUFFIX));
    assert_eq!(below(&staff).await.0, names("staff"));
    assert_eq!(find(&store, subtree("(uid=bert)"), Actor::Service).await.0, [names("staff")[1].clone()]);

    // What is not like other entries comes, and goes again.
    let table = [
        ("subentry", "cn=limits", "subtreeSpecification: {}", ResultCode::SUCCESS),
        ("alias", "cn=other", "aliasedObjectName: dc=example", ResultCode::ALIAS_DEREFERENCING_PROBLEM),
        ("referral", "cn=far", "ref: ldap://far.example/dc=example", ResultCode::REFERRAL),
    ];
    for (class, rdn, line, code) in table {
        let name = format!("{rdn},{SUFFIX}");
        let base = if class == "referral" { &*name } else { &*staff };
        let searched = async || {
            let mut search = Search::new(dn(base), Scope::Subtree, filter("(|(uid=*)(cn=limits))"));
            search.deref = DerefAliases::Always;
            find(&store, search, Actor::Service).await.1.result.code
        };
        let before = if class == "referral" { ResultCode::NO_SUCH_OBJECT } else { ResultCode::SUCCESS };
        assert_eq!(searched().await, before, "{class}");
        let cn = rdn.replace('=', ": ");
        let class_line = format!("objectClass: {class}");
        let lines = [&*class_line, "objectClass: extensibleObject", &*cn, line];
        let add = Request::new(entry(&name, &lines), Actor::Service).critical(&ManageDsaIt);
        assert_eq!(store.call(add.into_any()).outcome().await.unwrap().result.code, ResultCode::SUCCESS);
        assert_eq!(searched().await, code, "{class}");
        // A subentry is not among what is found.
        assert_eq!(
            find(&store, subtree("(cn=limits)"), Actor::Service).await.0,
            [] as [String; 0],
            "{class}"
        );
        let delete = Request::new(Delete { dn: dn(&name) }, Actor::Service).critical(&ManageDsaIt);
        assert_eq!(store.call(delete.into_any()).outcome().await.unwrap().result.code, ResultCode::SUCCESS);
        assert_eq!(searched().await, before, "{class}");
    }
    // The same name without being a subentry.
    ok(&store, entry(&format!("cn=limits,{SUFFIX}"), &["objectClass: device", "cn: limits"])).await;
    assert_eq!(find(&store, subtree("(cn=limits)"), Actor::Service).await.0.len(), 1);
}
