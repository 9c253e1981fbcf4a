//! Random rules, read naively from their text, beside what decides and what explains.

use flext_ldap_directory::{
    Actor, AttributeRight, Entry, EntryRight, Error, Group, Identity, Lookup, Peer, Protection, Requester,
    Target,
};
use flext_ldap_proto::{dn::DnKey, schema::Schema};
use flext_ldap_store::access::{AccessRules, AllowConfig, RuleConfig, TargetConfig, Words};
use proptest::prelude::*;

use super::tcp;

const NAMES: [&str; 7] =
    ["", "dc=a", "ou=b,dc=a", "ou=c,dc=a", "cn=d,ou=b,dc=a", "cn=e,ou=b,dc=a", "cn=f,cn=d,ou=b,dc=a"];
const ATTRIBUTES: [&str; 6] = ["cn", "sn", "title", "manager", "userPassword", "entryUUID"];
const FILTERS: [&str; 3] = ["(cn=x)", "(sn=y)", "(title=z)"];
const PEERS: [(&str, Protection); 3] = [
    ("192.0.2.1:1", Protection::Tls),
    ("192.0.2.1:1", Protection::Clear),
    ("198.51.100.1:1", Protection::Local),
];

/// The attributes of which each word speaks.
const WORDS: [(&str, &[&str]); 7] = [
    ("entry", &[""]),
    ("cn", &["cn"]),
    ("name", &["cn", "sn", "title"]),
    ("@person", &["cn", "sn", "userPassword"]),
    ("*", &["cn", "sn", "title", "manager", "userPassword"]),
    ("+", &["entryUUID"]),
    ("userPassword", &["userPassword"]),
];

/// The rights of each word.
const RIGHTS: [(&str, &[&str]); 9] = [
    ("none", &[]),
    ("auth", &["auth"]),
    ("disclose", &["auth", "disclose"]),
    ("search", &["auth", "disclose", "compare", "search"]),
    ("read", &["auth", "disclose", "compare", "search", "read"]),
    ("add-values", &["add-values"]),
    ("selfwrite", &["selfwrite"]),
    ("rename", &["rename"]),
    ("continue", &["continue"]),
];

/// What is so in one case: who asks for what, and which filters and names hold.
#[derive(Clone, Debug)]
struct Case {
    who: Option<usize>,
    peer: usize,
    entry: usize,
    attribute: Option<usize>,
    holds: [bool; 3],
    manager: bool,
    member: [bool; 2],
}

impl Entry for Case {
    fn matches(&self, filter: usize) -> bool {
        self.holds[filter]
    }

    fn names(&self, attribute: &str, _dn: &DnKey) -> bool {
        attribute == "manager" && self.manager
    }
}

impl Lookup for Case {
    fn memberships(&self, groups: &[Group]) -> Result<Vec<bool>, Error> {
        Ok(groups.iter().map(|group| self.member[usize::from(group.nested)]).collect())
    }
}

/// The filter a policy knows by a number is the one of that text; the case is about texts.
struct Numbered<'a>(&'a Case, Vec<usize>);

impl Entry for Numbered<'_> {
    fn matches(&self, filter: usize) -> bool {
        self.0.holds[self.1[filter]]
    }

    fn names(&self, attribute: &str, dn: &DnKey) -> bool {
        self.0.names(attribute, dn)
    }
}

/// Whether one name is in a scope of another, by their text.
fn within(scope: &str, name: &str, base: &str) -> bool {
    let below = name != base && (base.is_empty() || name.ends_with(&format!(",{base}")));
    let parent = name.split_once(',').map_or("", |(_, parent)| parent);
    match scope {
        "dn" | "entry" => name == base,
        "one" => below && parent == base,
        "subtree" => name == base || below,
        _ => below,
    }
}

fn is_over(words: &Words, peer: usize) -> bool {
    let word = match PEERS[peer].1 {
        Protection::Tls => "tls",
        Protection::Local => "local",
        _ => "clear",
    };
    words.is_empty() || words.0.iter().any(|one| one == word)
}

fn is_from(words: &Words, peer: usize) -> bool {
    words.is_empty() || words.0.iter().any(|one| PEERS[peer].0.starts_with(one.split(".0/").next().unwrap()))
}

/// The rights that rules give, by reading their text.
fn naive(rules: &[RuleConfig], case: &Case) -> Vec<&'static str> {
    let asked = case.attribute.map_or("", |attribute| ATTRIBUTES[attribute]);
    let entry = NAMES[case.entry];
    let mut rights = Vec::new();
    'rules: for rule in rules {
        let to = rule.to.clone().unwrap_or_default();
        let places =
            [("entry", &to.entry), ("one", &to.one), ("subtree", &to.subtree), ("children", &to.children)];
        let somewhere = places.iter().any(|(_, bases)| !bases.is_empty());
        let there = places.iter().any(|(scope, bases)| bases.0.iter().any(|base| within(scope, entry, base)));
        let about = |word: &String| WORDS.iter().any(|(one, names)| one == word && names.contains(&asked));
        let filter = to.filter.as_ref().map(|text| FILTERS.iter().position(|one| one == text).unwrap());
        if (somewhere && !there)
            || !(to.attributes.is_empty() || to.attributes.0.iter().any(about))
            || filter.is_some_and(|filter| !case.holds[filter])
        {
            continue;
        }
        for line in &rule.allow {
            let (word, rest) = line.who.split_once(' ').unwrap_or((&line.who, ""));
            let named = match (word, case.who) {
                ("anyone", _) => true,
                ("anonymous", who) => who.is_none(),
                (_, None) => false,
                ("users", _) => true,
                ("administrators", Some(who)) => NAMES[who] == "cn=d,ou=b,dc=a",
                ("self", Some(who)) => who == case.entry,
                ("attribute", _) => case.manager,
                ("group", _) => case.member[0],
                ("nested-group", _) => case.member[1],
                (scope, Some(who)) => within(scope, NAMES[who], rest),
            };
            let connected = [&rule.over, &line.over].iter().all(|words| is_over(words, case.peer))
                && [&rule.from, &line.from].iter().all(|words| is_from(words, case.peer));
            if named && connected {
                for word in &line.rights.0 {
                    rights
                        .extend(RIGHTS.iter().filter(|(one, _)| one == word).flat_map(|(_, rights)| *rights));
                }
                if line.rights.0.iter().any(|word| word == "continue") {
                    continue 'rules;
                }
                return rights;
            }
        }
        return rights;
    }
    rights
}

fn words(from: &'static [&'static str], most: usize) -> impl Strategy<Value = Words> {
    prop::collection::vec(prop::sample::select(from), 0..=most).prop_map(|words| words.into_iter().collect())
}

fn line() -> impl Strategy<Value = AllowConfig> {
    let who = prop_oneof![
        prop::sample::select(
            &["anyone", "anonymous", "users", "self", "administrators", "attribute manager"][..]
        )
        .prop_map(str::to_owned),
        (prop::sample::select(&["dn", "one", "subtree", "children"][..]), 1..NAMES.len())
            .prop_map(|(scope, name)| format!("{scope} {}", NAMES[name])),
        prop::sample::select(&["group cn=g,dc=a", "nested-group cn=g,dc=a"][..]).prop_map(str::to_owned),
    ];
    let rights = prop::collection::vec(prop::sample::select(&RIGHTS[..]), 1..3)
        .prop_map(|rights| rights.into_iter().map(|(word, _)| word).collect::<Words>());
    let from = words(&["192.0.2.0/24"], 1);
    (who, rights, from).prop_map(|(who, rights, from)| AllowConfig {
        who,
        rights,
        over: Words::default(),
        from,
    })
}

fn rule() -> impl Strategy<Value = RuleConfig> {
    let place = || prop::option::weighted(0.15, words(&NAMES, 2));
    let to = (
        place(),
        place(),
        place(),
        place(),
        prop::option::weighted(0.2, prop::sample::select(&FILTERS[..])),
        prop::option::weighted(
            0.4,
            prop::collection::vec(prop::sample::select(&WORDS[..]), 1..3)
                .prop_map(|words| words.into_iter().map(|(word, _)| word).collect::<Words>()),
        ),
    )
        .prop_map(|(entry, one, subtree, children, filter, attributes)| TargetConfig {
            entry: entry.unwrap_or_default(),
            one: one.unwrap_or_default(),
            subtree: subtree.unwrap_or_default(),
            children: children.unwrap_or_default(),
            filter: filter.map(str::to_owned),
            attributes: attributes.unwrap_or_default(),
        });
    let over = prop::option::weighted(0.2, words(&["tls", "local", "clear"], 2));
    (to, prop::collection::vec(line(), 0..4), over).prop_map(|(to, allow, over)| RuleConfig {
        name: None,
        to: Some(to),
        allow,
        over: over.unwrap_or_default(),
        from: Words::default(),
    })
}

fn case() -> impl Strategy<Value = Case> {
    (
        prop::option::weighted(0.8, 1..NAMES.len()),
        0..PEERS.len(),
        0..NAMES.len(),
        prop::option::weighted(0.7, 0..ATTRIBUTES.len()),
        any::<[bool; 3]>(),
        any::<bool>(),
        any::<[bool; 2]>(),
    )
        .prop_map(|(who, peer, entry, attribute, holds, manager, member)| Case {
            who,
            peer,
            entry,
            attribute,
            holds,
            manager,
            member,
        })
}

fn key(name: &str) -> DnKey {
    Schema::standard().dn_key(&name.parse().unwrap()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn decides_and_explains_as_the_text_says(
        config in prop::collection::vec(rule(), 0..8),
        cases in prop::collection::vec(case(), 1..8),
    ) {
        let schema = Schema::standard();
        let rules = AccessRules::from_config(&config, schema).unwrap();
        let rules = rules.administrator(&"cn=d,ou=b,dc=a".parse().unwrap(), schema);
        let numbers = flext_ldap_directory::AccessPolicy::filters(&rules)
            .iter()
            .map(|filter| FILTERS.iter().position(|one| *one == filter.to_string()).unwrap())
            .collect::<Vec<_>>();
        for case in cases {
            let actor = match case.who {
                None => Actor::Anonymous,
                Some(who) => Actor::User(Identity::from_successful_bind(NAMES[who].parse().unwrap())),
            };
            let own = case.who.map(|who| key(NAMES[who]));
            let dn = key(NAMES[case.entry]);
            let peer: Peer = tcp(PEERS[case.peer].0, PEERS[case.peer].1);
            let who = Requester { actor: &actor, dn: own.as_ref(), peer: &peer };
            let entry = Numbered(&case, numbers.clone());
            let target = Target { dn: &dn, is_self: own.as_ref() == Some(&dn), entry: &entry };
            let given = naive(&config, &case);
            let rights = flext_ldap_directory::AccessPolicy::rights_of(&rules, who, &case).unwrap();
            let attribute = case.attribute.map(|attribute| ATTRIBUTES[attribute]);
            let explanation = rules.explain(who, &case, target, "", attribute).unwrap();
            let decided: Vec<(&str, bool)> = match attribute {
                None => [
                    ("disclose", EntryRight::Disclose),
                    ("add", EntryRight::Add),
                    ("delete", EntryRight::Delete),
                    ("rename", EntryRight::Rename),
                ]
                .map(|(name, right)| (name, rights.entry(target, right)))
                .into(),
                Some(attribute) => [
                    ("auth", AttributeRight::Authenticate),
                    ("compare", AttributeRight::Compare),
                    ("search", AttributeRight::Search),
                    ("read", AttributeRight::Read),
                    ("add-values", AttributeRight::AddValues),
                    ("delete-values", AttributeRight::DeleteValues),
                    ("selfwrite", AttributeRight::WriteOwnName),
                ]
                .map(|(name, right)| (name, rights.attribute(target, attribute, right)))
                .into(),
            };
            for (name, decided) in decided {
                prop_assert_eq!(decided, given.contains(&name), "{} {:?}", name, case);
                let told = explanation.rights.iter().find(|one| one.right == name).unwrap().allowed;
                prop_assert_eq!(told, decided, "{} {:?}\n{}", name, case, explanation);
            }
            if !rights.look_at_entries() {
                let blank = Target { entry: &flext_ldap_directory::Blank, ..target };
                prop_assert_eq!(
                    rights.entry(blank, EntryRight::Disclose),
                    rights.entry(target, EntryRight::Disclose)
                );
            }
        }
    }
}
