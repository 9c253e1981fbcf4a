//! What is said of rules that are wrong.

use flext_ldap_proto::schema::Schema;
use flext_ldap_store::{
    StandardPolicy,
    access::{AccessRules, RuleConfig},
};

use super::configs;

fn problems(yaml: &str) -> Vec<String> {
    match AccessRules::from_config(&configs(yaml), Schema::standard()) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn each_problem_has_its_rule_and_key() {
    let table: &[(&str, &[&str])] = &[
        ("[]", &[]),
        ("[{allow: []}]", &[]),
        ("[{allow: [users: raed]}]", &["rule 1, `allow[1]`: unknown right `raed`; did you mean `read`?"]),
        (
            "[{allow: [users: read]}, {allow: [self: write, user: read]}]",
            &["rule 2, `allow[2]`: unknown requester `user`; did you mean `users`?"],
        ),
        (
            "[{allow: [zebras: read]}]",
            &[
                "rule 1, `allow[1]`: unknown requester `zebras`; known are anyone, anonymous, users, self, administrators, \
               dn, one, subtree, children, group, nested-group, attribute",
            ],
        ),
        (
            "[{allow: ['cn=admin,dc=harbourlane,dc=example': read]}]",
            &[
                "rule 1, `allow[1]`: `cn=admin,dc=harbourlane,dc=example` does not say how it is meant; write \
               `dn cn=admin,dc=harbourlane,dc=example` or `group cn=admin,dc=harbourlane,dc=example`",
            ],
        ),
        ("[{allow: [group: read]}]", &["rule 1, `allow[1]`: `group` is followed by a DN"]),
        (
            "[{allow: ['dn dc=x,,': read]}]",
            &[
                "rule 1, `allow[1]`: `dc=x,,`: not a distinguished name: expected an attribute type at offset 5",
            ],
        ),
        (
            "[{allow: ['attribute cn': read]}]",
            &[
                "rule 1, `allow[1]`: values of `cn` are not DNs, so they name nobody; `manager` and `owner` do",
            ],
        ),
        (
            "[{to: {attributes: [cn, userPasword, '@inetOrgPersn', mail;lang-en]}, allow: [users: read]}]",
            &[
                "rule 1, `to.attributes`: unknown attribute `userPasword`; did you mean `userPassword`?",
                "rule 1, `to.attributes`: unknown object class `inetOrgPersn`; did you mean `inetOrgPerson`?",
                "rule 1, `to.attributes`: rights are to attributes with all their options: write `mail`",
            ],
        ),
        (
            "[{to: {filter: '(cn=a'}, allow: [users: read]}]",
            &["rule 1, `to.filter`: `(cn=a`: not a filter: expected `)` at offset 5"],
        ),
        (
            "[{to: {filter: '(|(nam=a)(userPassword=*)(entryDN=cn=a))'}, allow: [users: read]}]",
            &[
                "rule 1, `to.filter`: unknown attribute `nam`; did you mean `name`?",
                "rule 1, `to.filter`: `userPassword` is not among what a rule's filter can look at",
                "rule 1, `to.filter`: `entryDN` is not among what a rule's filter can look at",
            ],
        ),
        (
            "[{to: {subtree: ['foo=x', 'dc=example']}, allow: [users: read]}]",
            &["rule 1, `to.subtree`: `foo=x` cannot be a name here: foo: the attribute type is not defined"],
        ),
        (
            "[{over: [tls, ssl], allow: [users: read]}]",
            &["rule 1, `over`: unknown connection strength `ssl`; known are tls, local, clear"],
        ),
        (
            "[{over: tls, allow: [{users: read, over: clear}]}]",
            &[
                "rule 1, `allow[1].over`: no connection is both what the rule asks for and what this line asks for",
            ],
        ),
        (
            "[{from: [10.1.2.3/16, 10.0.0.0/33, '::ffff:10.0.0.1', intranet], allow: [users: read]}]",
            &[
                "rule 1, `from`: `10.1.2.3/16` names an address within a network; write `10.1.0.0/16` or `10.1.2.3`",
                "rule 1, `from`: `10.0.0.0/33`: after the slash stands a number from 0 to 32",
                "rule 1, `from`: `::ffff:10.0.0.1` is an IPv4 address in IPv6 form; write `10.0.0.1`",
                "rule 1, `from`: `intranet` is neither an address, a network like `10.1.0.0/16` or `fd00::/8`, nor `unix`",
            ],
        ),
    ];
    for (yaml, want) in table {
        assert_eq!(problems(yaml), *want, "{yaml}");
    }
}

/// What is wrong with the shape of rules is told where the file is read, with its place.
#[test]
fn a_wrong_shape_is_told_with_its_line() {
    for (yaml, line, want) in [
        ("- to: {subtre: dc=x}\n  allow: [users: read]\n", 1, "unknown field `subtre`"),
        ("- allow: [users: read]\n- to: {}\n", 2, "missing field `allow`"),
        ("- allow: {users: read}\n", 1, "sequence"),
        (
            "- allow:\n    - users: read\n      self: write\n",
            2,
            "give `self` a line of its own, after `users`",
        ),
        ("- allow: [dn cn=a,dc=b: read]\n", 1, "between brackets, a name with commas stands in quotes"),
        ("- allow:\n    - over: tls\n", 2, "the line does not say who; write one like `users: read`"),
        ("- allow: [users: read]\n  over: []\n", 2, "the list is empty"),
        ("- allow: [users: read]\n  alow: [users: read]\n", 2, "unknown field `alow`"),
    ] {
        let error = serde_saphyr::from_str::<Vec<RuleConfig>>(yaml).unwrap_err();
        assert!(error.to_string().contains(want), "{yaml}: {error}");
        let at = error.location().map(|location| location.line());
        assert_eq!(at, Some(line), "{yaml}: {error}");
    }
}

#[test]
fn there_can_be_ten_thousand_rules() {
    let many = vec![RuleConfig::default(); 10_001];
    let problems = AccessRules::from_config(&many, Schema::standard()).unwrap_err();
    assert_eq!(problems[0].to_string(), "there are 10001 access rules; there can be 10000");
    assert_eq!(AccessRules::from_config(&many[1..], Schema::standard()).unwrap().len(), 10_000);
}

/// Rules that a program writes are read back as the same.
#[test]
fn rules_are_written_as_they_are_read() {
    let yaml = "
- name: passwords
  to: {attributes: [userPassword, '@person'], subtree: dc=x, filter: (cn=a)}
  allow:
    - self: write
      over: [tls, local]
    - 'group cn=a,dc=x': [read, continue]
      from: 10.0.0.0/8
  over: tls
- allow: []
";
    let rules = configs(yaml);
    let written = serde_json::to_string(&rules).unwrap();
    assert_eq!(serde_json::from_str::<Vec<RuleConfig>>(&written).unwrap(), rules);
    assert_eq!(rules[0].allow[1].who, "group cn=a,dc=x");
    assert_eq!(rules[0].allow[0].over.0, ["tls", "local"]);
}

/// The page about access rules: each example is a list of rules without problems, and the last is what is built in, as far
/// as the standard schema has the attributes. The page names the others too.
#[test]
fn the_examples_of_the_documentation() {
    let page = include_str!("../../../../../docs/access-rules.md");
    let examples: Vec<&str> =
        page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(examples.len(), 6);
    for example in &examples {
        assert_eq!(problems(example), [""; 0], "{example}");
    }
    let mut built_in = StandardPolicy::default().config();
    for target in built_in.iter_mut().filter_map(|rule| rule.to.as_mut()) {
        target.attributes.0.retain(|name| {
            assert!(page.contains(name), "{name}");
            Schema::standard().attribute_type(name).is_some()
        });
    }
    assert_eq!(configs(examples.last().unwrap()), built_in);
}
