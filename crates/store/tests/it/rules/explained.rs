//! What is said of a decision, and that it is what is decided.

use super::*;

const YAML: &str = "
- name: passwords
  to: {attributes: userPassword}
  allow: [self: write, anonymous: auth]
  over: [tls, local]
- to: {subtree: 'ou=groups,dc=harbourlane,dc=example'}
  allow: []
- to: {filter: '(objectClass=person)'}
  allow:
    - group cn=help desk,ou=groups,dc=harbourlane,dc=example: [write, continue]
    - attribute manager: write
    - anyone: continue
- allow: [users: read]
- allow: [administrators: manage]
";

fn explained(store: &Store, who: Option<&str>, peer: &Peer, on: &str, attribute: Option<&str>) -> String {
    let who = who.map(dn);
    store.explain_access(&rules(YAML), who.as_ref(), peer, &dn(on), attribute).unwrap().to_string()
}

#[tokio::test]
async fn rule_by_rule() {
    let store = under(YAML).await;
    let tls = tcp("192.0.2.7:40000", Protection::Tls);
    let clear = tcp("192.0.2.7:40000", Protection::Clear);
    assert_eq!(
        explained(&store, Some(ANNA), &tls, BERT, Some("title")),
        "\
who    uid=anna,ou=people,dc=harbourlane,dc=example (tls, from 192.0.2.7)
what   `title` of uid=bert,ou=people,dc=harbourlane,dc=example

rule 1 (passwords): passed over: it is not about `title`
rule 2: passed over: the entry is not where the rule is about: ou=groups,dc=harbourlane,dc=example
rule 3: applies, and the next rule is read
    yes  group cn=help desk,ou=groups,dc=harbourlane,dc=example: [write, continue]  (is a member)
rule 4: decides
    yes  users: read  (has said who they are)
1 rule was not read any more

auth           allowed, by rule 3
compare        allowed, by rule 3
search         allowed, by rule 3
read           allowed, by rule 3
add-values     allowed, by rule 3
delete-values  allowed, by rule 3
selfwrite      allowed, by rule 3
"
    );
    assert_eq!(
        explained(&store, None, &clear, BERT, Some("2.5.4.35")),
        "\
who    anonymous (clear, from 192.0.2.7)
what   `userPassword` of uid=bert,ou=people,dc=harbourlane,dc=example

rule 1 (passwords): decides; it names nobody who asks, so it allows nothing
    no   self: write  (the connection is `clear`)
    no   anonymous: auth  (the connection is `clear`)
4 rules were not read any more

auth           denied
compare        never
search         never
read           never
add-values     denied
delete-values  denied
selfwrite      denied
note: passwords are not searched, compared or read, whatever the rules say
"
    );
    assert_eq!(
        explained(&store, Some(CLEO), &tls, "uid=nobody,ou=people,dc=harbourlane,dc=example", None),
        "\
who    uid=cleo,ou=people,dc=harbourlane,dc=example (tls, from 192.0.2.7)
what   uid=nobody,ou=people,dc=harbourlane,dc=example

rule 1 (passwords): passed over: it is about attributes, not about the entry itself
rule 2: passed over: the entry is not where the rule is about: ou=groups,dc=harbourlane,dc=example
rule 3: passed over: the entry does not match (objectClass=person)
rule 4: decides
    yes  users: read  (has said who they are)
1 rule was not read any more

disclose       allowed, by rule 4
add            denied
delete         denied
rename         denied
proxy          denied
relax          denied
note: there is no such entry; it matches no filter and names nobody
"
    );
    let lines = explained(&store, Some(CLEO), &tls, BERT, Some("cn"));
    assert!(lines.contains("    no   group cn=help desk,ou=groups,dc=harbourlane,dc=example: [write, continue]  (is not a member)"));
    assert!(lines.contains("    yes  attribute manager: write  (the attribute has their name)"), "{lines}");
    let admin = explained(&store, Some(ADMIN), &tls, BERT, Some("cn"));
    assert!(
        admin.ends_with("note: the store's administrator may do everything, whatever the rules say\n"),
        "{admin}"
    );
    let error = store.explain_access(&rules(YAML), None, &tls, &dn(BERT), Some("nme")).unwrap_err();
    assert_eq!(error.result_code(), Some(ResultCode::UNDEFINED_ATTRIBUTE_TYPE));
}

#[tokio::test]
async fn as_json() {
    let store = under(YAML).await;
    let tls = tcp("192.0.2.7:40000", Protection::Tls);
    let explanation = store.explain_access(&rules(YAML), Some(&dn(CLEO)), &tls, &dn(HELP), None).unwrap();
    assert_eq!(
        serde_json::to_value(&explanation).unwrap(),
        serde_json::json!({
            "requester": CLEO,
            "over": "tls",
            "from": "192.0.2.7",
            "entry": HELP,
            "rules": [
                {"rule": 1, "name": "passwords", "outcome": "passed-over",
                 "because": ["it is about attributes, not about the entry itself"]},
                {"rule": 2, "outcome": "decided"},
                {"rule": 3, "outcome": "not-read"},
                {"rule": 4, "outcome": "not-read"},
                {"rule": 5, "outcome": "not-read"},
            ],
            "rights": [
                {"right": "disclose", "allowed": false},
                {"right": "add", "allowed": false},
                {"right": "delete", "allowed": false},
                {"right": "rename", "allowed": false},
                {"right": "proxy", "allowed": false},
                {"right": "relax", "allowed": false},
            ],
        })
    );
}
