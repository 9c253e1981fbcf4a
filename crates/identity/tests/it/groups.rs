//! Groups in groups: circles, chains and crowds cost no more than they may.

use std::time::Instant;

use flext_ldap_identity::{Authenticator, GroupSearch, Offers, UserSearch};
use flext_ldap_proto::{filter::Node, message::Search, result::ResultCode};

use crate::{
    script::{Conversations, Row, Rows, success},
    world::*,
};

/// Groups by the function that says in which others a member is; `None` is Anna herself.
fn nested(groups_of: impl Fn(Option<usize>) -> Vec<usize> + Send + Sync + 'static) -> Rows {
    let name = |number: usize| format!("cn=g{number},ou=groups,{SUFFIX}");
    Rows::new(move |search: &Search| {
        if search.filter.nodes().iter().any(|node| matches!(node, Node::Extensible(_))) {
            return (Vec::new(), ResultCode::UNWILLING_TO_PERFORM);
        }
        let first_is =
            |description: &str| {
                search.filter.nodes().iter().any(
                    |node| matches!(node, Node::Equality(attribute, _) if attribute.as_str() == description),
                )
            };
        if first_is("uid") {
            return (vec![(person("anna"), Vec::new())], ResultCode::SUCCESS);
        }
        let mut found: Vec<Row> = Vec::new();
        for node in search.filter.nodes() {
            let Node::Equality(_, member) = node else { continue };
            let member = std::str::from_utf8(member).unwrap();
            let member = member.strip_prefix("cn=g").and_then(|rest| rest.split(',').next());
            let member = member.map(|number| number.parse().unwrap());
            found.extend(groups_of(member).into_iter().map(|number| (name(number), Vec::new())));
        }
        (found, ResultCode::SUCCESS)
    })
}

async fn groups_in(directory: &Rows, search: GroupSearch) -> flext_ldap_identity::Groups {
    let people = UserSearch::new(dn(SUFFIX), "uid".parse().unwrap());
    let authenticator = Authenticator::builder(Conversations::new([success()]), directory.clone(), people)
        .groups(search)
        .build();
    authenticator.sign_in("anna", secret("x")).await.unwrap().groups
}

#[tokio::test]
async fn a_circle_ends() {
    let directory = nested(|member| match member {
        None => vec![0],
        Some(number) => vec![(number + 1) % 3],
    });
    let groups = groups_in(&directory, GroupSearch::new(dn(SUFFIX))).await;
    assert_eq!((groups.names().len(), groups.is_complete()), (3, true));
    assert_eq!(directory.searches().len(), 1 + 4);
}

#[tokio::test]
async fn a_chain_ends_at_its_depth() {
    let chain = || {
        nested(|member| {
            vec![member.map_or(0, |number| number + 1)].into_iter().filter(|at| *at < 10_000).collect()
        })
    };
    let directory = chain();
    let groups = groups_in(&directory, GroupSearch::new(dn(SUFFIX))).await;
    assert_eq!((groups.names().len(), groups.is_complete()), (10, false));
    assert_eq!(directory.searches().len(), 1 + 10);

    let directory = chain();
    let all = GroupSearch::new(dn(SUFFIX)).depth(20_000).most(20_000);
    let groups = groups_in(&directory, all).await;
    assert_eq!((groups.names().len(), groups.is_complete()), (10_000, true));

    let directory = chain();
    let groups = groups_in(&directory, GroupSearch::new(dn(SUFFIX)).depth(1)).await;
    assert_eq!((groups.names().len(), groups.is_complete(), directory.searches().len()), (1, false, 2));
}

#[tokio::test]
async fn a_crowd_ends_at_its_size() {
    let directory = nested(|member| match member {
        None => (0..100_000).collect(),
        Some(_) => Vec::new(),
    });
    let start = Instant::now();
    let groups = groups_in(&directory, GroupSearch::new(dn(SUFFIX))).await;
    assert_eq!((groups.names().len(), groups.is_complete()), (1_000, false));
    assert_eq!(directory.searches().len(), 2, "no further level is asked for");
    assert_eq!(directory.searches()[1].size_limit, 1_001);
    assert!(start.elapsed().as_secs() < 10);

    // One group over and over, beyond what was asked for, is no list either.
    let directory = nested(|_| vec![7; 5_000]);
    let groups = groups_in(&directory, GroupSearch::new(dn(SUFFIX))).await;
    assert_eq!((groups.names().len(), groups.is_complete()), (1, false));

    // Exactly as many as may be is all of them.
    let directory = nested(|member| if member.is_none() { (0..100).collect() } else { Vec::new() });
    let groups = groups_in(&directory, GroupSearch::new(dn(SUFFIX)).most(100)).await;
    assert_eq!((groups.names().len(), groups.is_complete()), (100, true));
    // Two levels: fifty names in each filter.
    assert_eq!(directory.searches().len(), 1 + 1 + 2);
}

#[tokio::test]
async fn everybody_in_everything() {
    let directory = nested(|_| (0..300).collect());
    let groups = groups_in(&directory, GroupSearch::new(dn(SUFFIX))).await;
    assert_eq!(groups.names().len(), 300);
    assert!(directory.searches().len() <= 1 + 1 + 6);
}

#[tokio::test]
async fn in_the_embedded_directory() {
    let world = World::new(|_| ()).await;
    world.group("a", &[&group("c"), &person("bert")]).await;
    world.group("b", &[&group("a")]).await;
    world.group("c", &[&group("b"), &person("anna")]).await;
    world
        .add(&group("crew"), &[("objectClass", &["groupOfUniqueNames"]), ("uniqueMember", &[&group("a")])])
        .await;
    let crew: &[(&str, &[&str])] = &[
        ("objectClass", &["device", "posixGroup"]),
        ("gidNumber", &["7"]),
        ("memberUid", &["anna", "cleo"]),
    ];
    world.add(&group("unix"), crew).await;
    let in_chain = Offers { in_chain: true, ..Offers::default() };
    let both = || groups().members_in(["member".parse().unwrap(), "uniqueMember".parse().unwrap()]);
    for (search, offers, want) in [
        (groups(), Offers::default(), 3),
        (groups(), in_chain, 3),
        (groups().posix(), Offers::default(), 4),
        (groups().posix(), in_chain, 4),
        (both(), Offers::default(), 4),
        (both(), in_chain, 4),
        (groups().filter("(!(cn=b))".parse().unwrap()), Offers::default(), 2),
        (GroupSearch::new(dn(&format!("ou=people,{SUFFIX}"))), Offers::default(), 0),
    ] {
        let authenticator = world.builder().groups(search).offers(offers).build();
        let groups = authenticator.sign_in("anna", secret(RIGHT)).await.unwrap().groups;
        assert_eq!((groups.names().len(), groups.is_complete()), (want, true), "{groups:?}");
    }
}

/// As ours does where an attribute has no index.
#[tokio::test]
async fn where_the_rule_is_refused_it_goes_level_by_level() {
    let directory = nested(|member| match member {
        None => vec![0],
        Some(number) => vec![(number + 1) % 3],
    });
    let people = UserSearch::new(dn(SUFFIX), "uid".parse().unwrap());
    let authenticator = Authenticator::builder(Conversations::new([success()]), directory.clone(), people)
        .groups(GroupSearch::new(dn(SUFFIX)))
        .offers(Offers { in_chain: true, ..Offers::default() })
        .build();
    let groups = authenticator.sign_in("anna", secret("x")).await.unwrap().groups;
    assert_eq!((groups.names().len(), groups.is_complete()), (3, true));
    assert_eq!(directory.searches().len(), 1 + 1 + 4);
}
