//! Against the embedded directory: every way in and out, one bind each.

use std::{future::Future, task::Poll, time::Duration};

use flext_ldap_identity::{
    Authenticator, DnTemplate, InputError, PatternError, Reason, RefusalKind, RoleMap, UserSearch,
};
use flext_ldap_proto::{extended::ExtendedOperation, secret::Secret};

use crate::world::*;

const WRONG: &str = "The name or the password is wrong.";

#[tokio::test]
async fn in_with_identity_groups_and_roles() {
    let world = World::new(|_| ()).await;
    world.group("pilots", &[&person("anna")]).await;
    world.group("harbour", &[&group("pilots"), &person("bert")]).await;
    let authenticator = world.builder().build();
    let anna = authenticator.sign_in("anna", secret(RIGHT)).await.unwrap();
    assert_eq!(world.binds(), 1);
    assert_eq!(anna.account.dn, dn(&person("anna")));
    assert_eq!(anna.account.text("cn"), Some("anna Quay"));
    assert_eq!(anna.identity.dn(), Some(&dn(&person("anna"))));
    assert!(anna.account.id.as_str().starts_with("entryUUID:"), "{}", anna.account.id);
    assert_eq!(anna.warnings, Default::default());
    let names: Vec<_> = anna.groups.names().map(|name| name.as_str().to_owned()).collect();
    assert_eq!(names, [group("pilots"), group("harbour")]);
    assert!(anna.groups.is_complete());
    assert!(anna.groups.contains(&dn("CN=Pilots, OU=Groups, DC=HarbourLane, DC=example")));

    let roles = RoleMap::new()
        .grant(&dn(&group("harbour")), "harbour")
        .grant(&dn("CN=PILOTS,ou=groups,dc=harbourlane,dc=example"), "pilot")
        .grant(&dn(&group("pilots")), "harbour")
        // None of these is a group that Anna is in.
        .grant(&dn("cn=pilots,dc=harbourlane,dc=example"), "wrong place")
        .grant(&dn(&group("pilot")), "beginning")
        .grant(&dn(&group("pilots-trainees")), "longer")
        .grant(&dn(&format!("ou=groups,{SUFFIX}")), "end");
    assert_eq!(roles.roles(&anna.groups), ["harbour", "pilot"]);

    // However the name is typed, it is the same account.
    for typed in ["ANNA", " anna ", "Anna", "ａｎｎａ", "an\u{ad}na"] {
        let again = authenticator.sign_in(typed, secret(RIGHT)).await.unwrap();
        assert_eq!(again.account.id, anna.account.id, "{typed:?}");
    }
    let bert = authenticator.sign_in("bert", secret(RIGHT)).await.unwrap();
    assert_eq!(roles.roles(&bert.groups), ["harbour"]);
    assert_ne!(bert.account.id, anna.account.id);
}

#[tokio::test]
async fn who_is_in_no_group_has_no_role() {
    let world = World::new(|_| ()).await;
    let authenticator = world.builder().build();
    let anna = authenticator.sign_in("anna", secret(RIGHT)).await.unwrap();
    assert_eq!(anna.groups.names().len(), 0);
    assert_eq!(RoleMap::new().grant(&dn(&group("pilots")), 1).roles(&anna.groups), [0; 0]);
}

#[tokio::test]
async fn a_wrong_name_and_a_wrong_password_are_told_alike() {
    let world = World::new(|_| ()).await;
    let authenticator = world.builder().build();
    let wrong = authenticator.sign_in("anna", secret("high water 7")).await.unwrap_err();
    assert_eq!(world.binds(), 1, "one wrong password typed once is one bind");
    let nobody = authenticator.sign_in("nobody", secret(RIGHT)).await.unwrap_err();
    assert_eq!(world.binds(), 0);
    for refusal in [&wrong, &nobody] {
        assert_eq!(refusal.kind(), RefusalKind::Rejected);
        assert_eq!(refusal.told(), RefusalKind::Rejected);
        assert_eq!(refusal.to_string(), WRONG);
        assert!(std::error::Error::source(refusal).is_none());
    }
    assert!(matches!(wrong.reason(), Reason::WrongPassword), "{wrong:?}");
    assert_eq!(wrong.account(), Some(&dn(&person("anna"))));
    assert_eq!(
        wrong.log().to_string(),
        r#"the password is wrong, account="uid=anna,ou=people,dc=harbourlane,dc=example""#
    );
    assert!(matches!(nobody.reason(), Reason::UnknownUser), "{nobody:?}");
    assert_eq!(nobody.log().to_string(), "nobody has this name");
    // What was typed is in nothing that is printed.
    for text in [format!("{wrong:?}"), format!("{nobody:?}"), wrong.log().to_string()] {
        assert!(!text.contains("high water 7") && !text.contains(RIGHT), "{text}");
    }
}

#[tokio::test]
async fn a_decoy_is_bound_for_who_is_nobody() {
    let world = World::new(|_| ()).await;
    world.person("decoy").await;
    let authenticator = world.builder().decoy(dn(&person("decoy"))).build();
    let nobody = authenticator.sign_in("nobody", secret("x")).await.unwrap_err();
    assert_eq!((world.binds(), nobody.to_string().as_str()), (1, WRONG));
    // Its password signs nobody in.
    let nobody = authenticator.sign_in("nobody", secret(RIGHT)).await.unwrap_err();
    assert_eq!((world.binds(), nobody.to_string().as_str()), (1, WRONG));
    assert!(matches!(nobody.reason(), Reason::UnknownUser));
    authenticator.sign_in("anna", secret(RIGHT)).await.unwrap();
    assert_eq!(world.binds(), 1);
}

#[tokio::test]
async fn what_must_not_be_sent_is_not() {
    let world = World::new(|_| ()).await;
    let decoy = dn(&person("bert"));
    for authenticator in [
        world.builder().decoy(decoy.clone()).build(),
        Authenticator::builder(
            world.sessions(),
            world.store.clone(),
            DnTemplate::new("uid={user},ou=people,dc=harbourlane,dc=example").unwrap(),
        )
        .build(),
    ] {
        let long = "x".repeat(2_000);
        for (name, password, want) in [
            ("anna", "", InputError::EmptyPassword),
            ("anna", "   ", InputError::EmptyPassword),
            ("anna", "\0", InputError::NulInPassword),
            ("anna", "low water 7\0", InputError::NulInPassword),
            ("anna", &long, InputError::LongPassword),
            ("", RIGHT, InputError::EmptyName),
            ("  ", RIGHT, InputError::EmptyName),
            ("anna\0", RIGHT, InputError::ControlInName),
            (&long, RIGHT, InputError::LongName),
        ] {
            let refusal = authenticator.sign_in(name, secret(password)).await.unwrap_err();
            assert!(matches!(refusal.reason(), Reason::Input(error) if *error == want), "{refusal:?}");
            assert_eq!(refusal.to_string(), WRONG);
        }
        assert_eq!(world.binds(), 0);
    }
}

#[tokio::test]
async fn nobody_of_two_is_signed_in() {
    let world = World::new(|_| ()).await;
    let both = UserSearch::matching(dn(SUFFIX), "(|(uid={user})(sn={user}))".parse().unwrap()).unwrap();
    let authenticator = Authenticator::builder(world.sessions(), world.store.clone(), both).build();
    let refusal = authenticator.sign_in("Quay", secret(RIGHT)).await.unwrap_err();
    assert!(matches!(refusal.reason(), Reason::Ambiguous), "{refusal:?}");
    assert_eq!((refusal.told(), world.binds()), (RefusalKind::Rejected, 0));
    authenticator.sign_in("anna", secret(RIGHT)).await.unwrap();
}

#[tokio::test]
async fn by_any_attribute() {
    let world = World::new(|_| ()).await;
    let pattern = "(&(objectClass=inetOrgPerson)(|(uid={user})(mail={user})))".parse().unwrap();
    let search = UserSearch::matching(dn(SUFFIX), pattern).unwrap();
    let authenticator = Authenticator::builder(world.sessions(), world.store.clone(), search).build();
    let by_mail = authenticator.sign_in("Anna@HarbourLane.example", secret(RIGHT)).await.unwrap();
    let by_uid = authenticator.sign_in("anna", secret(RIGHT)).await.unwrap();
    assert_eq!(by_mail.account.id, by_uid.account.id);
}

#[tokio::test]
async fn by_a_template() {
    let world = World::new(|_| ()).await;
    world.group("pilots", &[&person("anna")]).await;
    let template = DnTemplate::new("uid={user},ou=people,dc=harbourlane,dc=example").unwrap();
    let authenticator = Authenticator::builder(world.sessions(), world.store.clone(), template)
        .groups(groups())
        .attributes(["mail"])
        .build();
    let anna = authenticator.sign_in("ANNA", secret(RIGHT)).await.unwrap();
    assert_eq!(anna.account.dn, dn(&person("anna")), "as the directory spells it");
    assert_eq!(anna.account.text("mail"), Some("anna@harbourlane.example"));
    assert_eq!(anna.groups.names().len(), 1);
    for (name, password) in [("nobody", RIGHT), ("anna", "high water 7"), ("anna,ou=people", RIGHT)] {
        let refusal = authenticator.sign_in(name, secret(password)).await.unwrap_err();
        assert_eq!(refusal.told(), RefusalKind::Rejected, "{name}");
    }
}

#[tokio::test]
async fn a_program_that_sees_no_entries_has_names() {
    let world = World::new(|_| ()).await;
    let template = DnTemplate::new("uid={user},ou=people,dc=harbourlane,dc=example").unwrap();
    // Asked as somebody who may read nothing.
    let blind = crate::script::AsAnonymous(world.store.clone());
    let authenticator = Authenticator::builder(world.sessions(), blind, template).build();
    let anna = authenticator.sign_in("Anna", secret(RIGHT)).await.unwrap();
    assert!(anna.account.entry.is_none());
    assert_eq!(
        anna.account.id.as_str(),
        "dn:0.9.2342.19200300.100.1.1=anna,2.5.4.11=people,0.9.2342.19200300.100.1.25=harbourlane,\
         0.9.2342.19200300.100.1.25=example"
    );
}

#[tokio::test]
async fn locked_and_told_or_not() {
    let world = World::new(|policy| (policy.lockout, policy.max_failure) = (true, 3)).await;
    let (silent, telling) = (world.builder().build(), world.builder().tell_state().build());
    for _ in 0..3 {
        let refusal = silent.sign_in("anna", secret("wrong")).await.unwrap_err();
        assert_eq!(refusal.kind(), RefusalKind::Rejected);
    }
    assert_eq!(world.binds(), 3);
    let refusal = silent.sign_in("anna", secret(RIGHT)).await.unwrap_err();
    assert_eq!((refusal.kind(), refusal.told()), (RefusalKind::Locked, RefusalKind::Rejected));
    assert_eq!(refusal.to_string(), WRONG);
    let refusal = telling.sign_in("anna", secret(RIGHT)).await.unwrap_err();
    assert_eq!((refusal.kind(), refusal.told()), (RefusalKind::Locked, RefusalKind::Locked));
    assert_eq!(refusal.to_string(), "Your account is locked.");
}

#[tokio::test]
async fn expiry_warns_then_grace_then_out() {
    let day = Duration::from_secs(86_400);
    let world = World::new(|policy| {
        policy.max_age = 30 * day;
        policy.expire_warning = 7 * day;
        policy.grace_authn_limit = 2;
    })
    .await;
    let authenticator = world.builder().build();
    let warned = authenticator.sign_in("anna", secret(RIGHT)).await.unwrap();
    assert_eq!(warned.warnings.expires_in, None);
    world.forward(29 * day);
    let warned = authenticator.sign_in("anna", secret(RIGHT)).await.unwrap();
    assert_eq!((warned.warnings.expires_in, warned.warnings.grace_left), (Some(day), None));
    world.forward(2 * day);
    for left in [1, 0] {
        let warned = authenticator.sign_in("anna", secret(RIGHT)).await.unwrap();
        assert_eq!((warned.warnings.expires_in, warned.warnings.grace_left), (None, Some(left)));
    }
    let refusal = authenticator.sign_in("anna", secret(RIGHT)).await.unwrap_err();
    assert_eq!(refusal.told(), RefusalKind::PasswordExpired);
    assert_eq!(refusal.to_string(), "Your password has expired.");
    // Who does not know it is not told.
    let refusal = authenticator.sign_in("anna", secret("wrong")).await.unwrap_err();
    assert_eq!(refusal.told(), RefusalKind::Rejected);
}

#[tokio::test]
async fn who_must_change_is_not_in() {
    let world = World::new(|policy| policy.must_change = true).await;
    world.set("anna", "pwdReset", &["TRUE"]).await;
    let authenticator = world.builder().build();
    let refusal = authenticator.sign_in("anna", secret(RIGHT)).await.unwrap_err();
    assert_eq!((refusal.kind(), refusal.told()), (RefusalKind::MustChange, RefusalKind::MustChange));
    assert_eq!(refusal.account(), Some(&dn(&person("anna"))));
    let refusal = authenticator.sign_in("anna", secret("wrong")).await.unwrap_err();
    assert_eq!(refusal.told(), RefusalKind::Rejected);
}

#[test]
fn patterns_that_would_let_anybody_in_are_refused() {
    for (pattern, want) in [
        ("(uid=anna)", PatternError::NoPlace),
        ("(uid=*)", PatternError::NoPlace),
        ("(uid={user}*)", PatternError::NotEquality),
        ("(uid=*{user}*)", PatternError::NotEquality),
        ("(uid>={user})", PatternError::NotEquality),
        ("(uid~={user})", PatternError::NotEquality),
        ("(!(uid={user}))", PatternError::NotEquality),
        ("(&(objectClass=person)(!(|(uid={user})(cn=x))))", PatternError::NotEquality),
    ] {
        let got = UserSearch::matching(dn(SUFFIX), pattern.parse().unwrap());
        assert_eq!(got.map(|_| ()), Err(want), "{pattern}");
    }
    for pattern in
        ["(&(!(cn=x))(uid={user}))", "(uid:caseExactMatch:={user})", "(|(mail={user}@a.example)(uid={user}))"]
    {
        UserSearch::matching(dn(SUFFIX), pattern.parse().unwrap()).unwrap();
    }
    assert_eq!(DnTemplate::new("uid=x,dc=example").map(|_| ()), Err(PatternError::NoPlace));
    assert!(matches!(DnTemplate::new("{user}"), Err(PatternError::NotAName(_))));
}

/// Given up after any number of steps, it leaves no conversation behind and has sent one bind at the most.
#[tokio::test]
async fn giving_up_leaves_nothing_behind() {
    let world = World::new(|_| ()).await;
    world.group("pilots", &[&person("anna")]).await;
    let authenticator = world.builder().build();
    let mut finished = 0;
    for polls in 0..12 {
        let mut attempt = Box::pin(authenticator.sign_in("anna", secret(RIGHT)));
        for _ in 0..polls {
            let woken = std::future::poll_fn(|cx| Poll::Ready(attempt.as_mut().poll(cx))).await;
            if woken.is_ready() {
                finished += 1;
                break;
            }
            // Time for the thread that hashes.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        drop(attempt);
        assert!(world.binds() <= 1);
        assert_eq!(world.open(), 0, "after {polls} polls");
    }
    assert!(finished > 0, "no attempt got to its end");
}

/// Whoever has signed in can be acted for.
#[tokio::test]
async fn the_identity_is_the_directorys() {
    use flext_ldap_directory::{Actor, DirectoryExt, Request};
    let world = World::new(|_| ()).await;
    let anna = world.builder().build().sign_in("ANNA", Secret::from(RIGHT)).await.unwrap();
    let who = flext_ldap_proto::extended::WhoAmI.request();
    let who = Request::new(who, Actor::User(anna.identity));
    let who = world.store.extended::<flext_ldap_proto::extended::WhoAmI>(who).await.unwrap();
    assert_eq!(who, format!("dn:{}", person("anna")));
}
