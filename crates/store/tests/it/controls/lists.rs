//! What is supported is told and taken: the lists of the root DSE. Subentries, matched values, don't use copy.

use bytes::Bytes;
use flext_ldap_proto::{
    control::{
        Assertion, Control, Controls, DontUseCopy, ManageDsaIt, MatchedValues, PagedResults,
        PasswordPolicyRequest, PermissiveModify, PostRead, PreRead, ProxiedAuthorization, RelaxRules,
        ServerSideSort, SortKey, Subentries, TreeDelete,
    },
    extended::{ExtendedOperation, WhoAmI},
    filter::Filter,
    message::{Compare, Delete, ExtendedRequest, Rename, Scope, Search},
    oid::Oid,
};

use super::*;

async fn listed(store: &dyn Directory, name: &str) -> Vec<String> {
    let root = read(store, "").await.unwrap();
    let values = root.attributes().get(name).map(|one| one.values().collect::<Vec<_>>()).unwrap_or_default();
    values.into_iter().map(|value| String::from_utf8(value.to_vec()).unwrap()).collect()
}

/// Each operation with what makes it succeed, whatever is asked beside it.
fn operations(tag: &str) -> [(&'static str, Op); 7] {
    let there = format!("uid={tag},ou=people,{SUFFIX}");
    [
        ("search", Search::new(dn(&there), Scope::Base, Filter::any()).into()),
        (
            "compare",
            Compare {
                dn: dn(&there),
                attribute: attribute("uid"),
                value: Bytes::copy_from_slice(tag.as_bytes()),
            }
            .into(),
        ),
        ("extended", WhoAmI.request().into()),
        ("modify", replace(&there, "title", &["x"]).into()),
        (
            "modrdn",
            Rename {
                dn: dn(&there),
                new_rdn: format!("uid={tag}2").parse().unwrap(),
                delete_old_rdn: true,
                new_superior: None,
            }
            .into(),
        ),
        ("delete", Delete { dn: dn(&format!("uid={tag}2,ou=people,{SUFFIX}")) }.into()),
        ("add", person(tag).into()),
    ]
}

fn one(oid: &str, value: Option<&Bytes>) -> Controls {
    let mut controls = Controls::none();
    let oid: Oid = oid.parse().unwrap();
    controls.push_raw(Control { oid, critical: true, value: value.cloned() });
    controls
}

fn value_of(control: &Controls) -> (String, Option<Bytes>) {
    let control = control.iter().next().unwrap();
    (control.oid.to_string(), control.value.clone())
}

/// Every control that is listed is taken with the operations it is for, and with no other; no other control is.
#[tokio::test]
async fn controls_are_listed_and_taken() {
    let store = small().await;
    let none = Controls::none;
    let sort = ServerSideSort(vec![SortKey::new(attribute("uid"))]);
    let everything = ["search", "compare", "modify", "modrdn", "delete", "add"];
    // A view has a test of its own: it needs an order. So has a search that does not end.
    let table: Vec<(Controls, Vec<&str>)> = vec![
        (none().critical(&ManageDsaIt), everything.to_vec()),
        (none().critical(&Assertion(Filter::any())), everything.to_vec()),
        (none().critical(&ProxiedAuthorization(String::new())), [&everything[..], &["extended"]].concat()),
        (none().critical(&PagedResults { size: 5, cookie: Bytes::new() }), vec!["search"]),
        (none().critical(&PreRead::default()), vec!["modify", "modrdn", "delete"]),
        (none().critical(&PostRead::default()), vec!["modify", "modrdn", "add"]),
        (none().critical(&sort), vec!["search"]),
        (none().critical(&MatchedValues::parse("(uid=*)").unwrap()), vec!["search"]),
        (none().critical(&Subentries { visible: false }), vec!["search"]),
        (none().critical(&RelaxRules), vec!["add", "modify"]),
        (none().critical(&DontUseCopy), vec!["search", "compare"]),
        (none().critical(&PermissiveModify), vec!["modify"]),
        (none().critical(&TreeDelete), vec!["delete"]),
        (none().critical(&PasswordPolicyRequest), vec!["add", "modify", "extended"]),
    ];
    let mut left = listed(&store, "supportedControl").await;
    for (number, (controls, fits)) in table.iter().enumerate() {
        let (oid, value) = value_of(controls);
        left.retain(|one| *one != oid);
        let tag = format!("c{number}");
        ok(&store, person(&tag)).await;
        for (name, op) in operations(&tag) {
            let got = code_with(&store, op.clone(), one(&oid, value.as_ref()), Actor::Service).await;
            let refused = got == ResultCode::UNAVAILABLE_CRITICAL_EXTENSION;
            assert_eq!(!refused, fits.contains(&name), "{oid} on {name}: {got}");
            let proxied = oid == "2.16.840.1.113730.3.4.18";
            if fits.contains(&name) && !proxied {
                let done = [ResultCode::SUCCESS, ResultCode::COMPARE_TRUE];
                assert!(done.contains(&got), "{oid} on {name}: {got}");
            } else if matches!(name, "modify" | "modrdn" | "delete" | "add") {
                // What was refused was not done.
                ok(&store, op).await;
            }
        }
    }
    assert_eq!(left, ["2.16.840.1.113730.3.4.9", "2.16.840.1.113730.3.4.3"]);
    // The answers to controls, the first draft of proxied authorization, and what is nothing at all.
    for oid in ["1.2.840.113556.1.4.474", "2.16.840.1.113730.3.4.12", "1.3.6.1.4.1.4203.1.10.2", "1.2.3"] {
        for (name, op) in operations("anna") {
            let got = code_with(&store, op, one(oid, None), Actor::Service).await;
            assert_eq!(got, ResultCode::UNAVAILABLE_CRITICAL_EXTENSION, "{oid} on {name}");
        }
    }
}

/// A control that does not go with an operation is as good as unknown: passed over where it is not critical, whatever
/// its value (RFC 4511 §4.1.11).
#[tokio::test]
async fn what_does_not_fit_is_passed_over() {
    let store = small().await;
    let mut controls = Controls::none();
    for oid in ["1.2.840.113556.1.4.319", "1.2.840.113556.1.4.473", "1.3.6.1.1.13.1"] {
        let value = Some(Bytes::from_static(b"not BER"));
        controls.push_raw(Control { oid: oid.parse().unwrap(), critical: false, value });
    }
    assert_eq!(code_with(&store, person("eve"), controls, Actor::Service).await, ResultCode::SUCCESS);
}

#[tokio::test]
async fn extended_operations_are_listed_and_taken() {
    let store = small().await;
    let known = listed(&store, "supportedExtension").await;
    assert_eq!(known, ["1.3.6.1.4.1.4203.1.11.3", "1.3.6.1.4.1.4203.1.11.1"]);
    for oid in known.iter().map(String::as_str).chain(["1.2.3"]) {
        // No extended operation has such a value, so none of them is done.
        let request = ExtendedRequest { oid: oid.parse().unwrap(), value: Some(Bytes::from_static(b"?")) };
        let outcome = ask(&store, request, Actor::Anonymous).await.unwrap();
        assert_eq!(outcome.result.code, ResultCode::PROTOCOL_ERROR);
        assert_eq!(outcome.result.diagnostic.contains("is not known"), oid == "1.2.3", "{oid}");
    }
}

#[tokio::test]
async fn subentries() {
    let store = small().await;
    let name = format!("cn=limits,{SUFFIX}");
    let mut lines = vec!["objectClass: subentry", "cn: limits", "subtreeSpecification: {}"];
    lines.push("objectClass: extensibleObject");
    ok(&store, entry(&name, &lines)).await;
    let search = |scope| Search::new(dn(SUFFIX), scope, filter("(cn=*)")).attributes(["1.1"]);
    let people = ["anna", "bert", "cleo"].map(str::to_owned).to_vec();
    let limits = vec!["limits".to_owned()];
    let none = Controls::none();
    let seen = |visible| Controls::none().critical(&Subentries { visible });
    let of_name = || Search::new(dn(&name), Scope::Base, Filter::any());
    let base = || Search::new(dn(SUFFIX), Scope::Base, Filter::any());
    let table = [
        ("by default", search(Scope::Subtree), none.clone(), people.clone()),
        ("one level", search(Scope::One), none.clone(), vec![]),
        ("invisible", search(Scope::Subtree), seen(false), people),
        ("visible", search(Scope::Subtree), seen(true), limits.clone()),
        ("visible, one level", search(Scope::One), seen(true), limits.clone()),
        ("a base", of_name(), none.clone(), limits.clone()),
        ("a base, visible", of_name(), seen(true), limits),
        ("a base, invisible", of_name(), seen(false), vec![]),
        ("another base", base(), none, vec!["harbourlane".to_owned()]),
        ("another base, visible", base(), seen(true), vec![]),
    ];
    for (row, search, controls, want) in table {
        let (entries, outcome) = found_with(&store, search, controls, Actor::Service).await;
        let mut found = names(&entries);
        found.sort();
        assert_eq!((found, outcome.result.code), (want, ResultCode::SUCCESS), "{row}");
    }
}

#[tokio::test]
async fn matched_values() {
    let store = small().await;
    let anna = format!("uid=anna,ou=people,{SUFFIX}");
    ok(&store, replace(&anna, "mail", &["a@harbourlane.example", "anna@quay.example"])).await;
    ok(&store, replace(&anna, "telephoneNumber", &["+1 555 0100", "+1 555 0199"])).await;
    let table: &[(&str, &[&str], &str)] = &[
        ("(mail=*quay.example)", &["mail"], "mail: anna@quay.example"),
        (
            "((mail=a@*)(telephoneNumber=*99))",
            &["mail", "telephoneNumber"],
            "mail: a@harbourlane.example; telephoneNumber: +1 555 0199",
        ),
        // An attribute none of whose values match comes without any (RFC 3876 §3).
        ("(mail=*nowhere)", &["mail", "uid"], "mail:; uid:"),
        ("(uid=*)", &["uid", "sn"], "uid: anna; sn:"),
        ("(:caseIgnoreMatch:=quay)", &["sn"], "sn: Quay"),
        ("(noSuch=x)", &["sn"], "sn:"),
        ("(mail>=b)", &["mail"], "mail:"),
        ("(uid=*)", &["1.1"], ""),
    ];
    for (items, wanted, want) in table {
        let controls = Controls::none().critical(&MatchedValues::parse(items).unwrap());
        let search = Search::new(dn(&anna), Scope::Base, Filter::any())
            .attributes(wanted.iter().collect::<flext_ldap_proto::attribute::Selection>());
        let (entries, _) = found_with(&store, search, controls, Actor::Service).await;
        let told: Vec<String> = entries[0]
            .attributes()
            .iter()
            .map(|one| {
                let values: Vec<_> = one.values().map(|value| String::from_utf8_lossy(value)).collect();
                format!("{}: {}", one.description(), values.join(", ")).trim_end().to_owned()
            })
            .collect();
        let mut told = told;
        let mut want: Vec<_> = want.split("; ").filter(|part| !part.is_empty()).map(str::to_owned).collect();
        told.sort();
        want.sort();
        assert_eq!(told, want, "{items}");
    }
    // Names alone are as they are without the control.
    let controls = Controls::none().critical(&MatchedValues::parse("(uid=x)").unwrap());
    let mut search = Search::new(dn(&anna), Scope::Base, Filter::any()).attributes(["uid", "sn"]);
    search.types_only = true;
    let (entries, _) = found_with(&store, search, controls, Actor::Service).await;
    assert_eq!(entries[0].attributes().iter().count(), 2);
}
