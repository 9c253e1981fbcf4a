//! Selections: which attributes come back (RFC 4511 §4.5.1.8, RFC 3673, RFC 4529, RFC 4512 §2.5).

use std::collections::BTreeSet;

use anyhow::Result;
use flext_ldap_directory::proto::{
    attribute::Selection,
    filter::Filter,
    message::{Scope, Search},
};

use super::{
    bench::{Bench, Contents, contents, person, wanted},
    checks,
    report::{Rows, same},
};

checks![selections_give_what_they_name, types_only_gives_no_values, stars_give_all_of_their_kind];

const ADA: &str =
    "uid: ada\ntitle: Head\ndescription: Tide\ndescription;lang-en: Gauge\ndescription;lang-de: Pegel";

async fn selections_give_what_they_name(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", ADA).await?;
    let mut rows = Rows::new();
    for (selection, names) in [
        (&["cn"][..], "cn"),
        (&["CN", "Sn"], "cn sn"),
        (&["cn", "CN", "2.5.4.3", "commonName"], "cn"),
        (&["2.5.4.4"], "sn"),
        (&["mail"], ""),
        (&["colour"], ""),
        (&["colour", "cn"], "cn"),
        (&["1.1"], ""),
        (&["1.1", "cn"], "cn"),
        (&["name"], "cn sn title"),
        (&["description"], "description description;lang-de description;lang-en"),
        (&["description;lang-en"], "description;lang-en"),
        (&["description;lang-fr"], ""),
        (&["entryDN"], "entrydn"),
        (&["cn", "entryUUID"], "cn entryuuid"),
        (&["@person"], "cn description description;lang-de description;lang-en objectclass sn"),
        (&["@PERSON", "uid"], "cn description description;lang-de description;lang-en objectclass sn uid"),
        (&["@harbourThing"], ""),
        (&["@harbourThing", "uid"], "uid"),
        (&["*"], "cn description description;lang-de description;lang-en objectclass sn title uid"),
        (&["*", "cn"], "cn description description;lang-de description;lang-en objectclass sn title uid"),
        (
            &["*", "entryDN"],
            "cn description description;lang-de description;lang-en entrydn objectclass sn title uid",
        ),
        (&["1.1", "*"], "cn description description;lang-de description;lang-en objectclass sn title uid"),
        (&[], "cn description description;lang-de description;lang-en objectclass sn title uid"),
    ] {
        let elements: Selection = selection.iter().collect();
        let seen = bench.read_selected("cn=ada", elements).await?;
        // A description may be answered as it was asked for (RFC 4511 §4.5.2): by OID or by another name.
        let seen: BTreeSet<_> = seen.keys().map(|name| canonical(name)).collect();
        let names = names.split_whitespace().map(str::to_owned).collect();
        rows.same(format!("{selection:?}"), seen, names);
    }
    rows.finish()
}

fn canonical(name: &str) -> String {
    match name {
        "2.5.4.3" | "commonname" => "cn".to_owned(),
        "2.5.4.4" | "surname" => "sn".to_owned(),
        _ => name.to_owned(),
    }
}

async fn types_only_gives_no_values(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", ADA).await?;
    let mut search =
        Search::new(bench.dn("cn=ada")?, Scope::Base, Filter::any()).attributes(["cn", "title", "mail"]);
    search.types_only = true;
    let entries = bench.admin.entries(search).await?;
    let seen: Vec<Contents> = entries.iter().map(|entry| contents(entry.attributes())).collect();
    let none = |name: &str| (name.to_owned(), Vec::new());
    same("the entry", seen, vec![[none("cn"), none("title")].into_iter().collect()])
}

async fn stars_give_all_of_their_kind(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", ADA).await?;
    let mut rows = Rows::new();
    rows.same("*", bench.read_selected("cn=ada", ["*"]).await?, wanted(&person("ada", ADA)));
    let operational = bench.read_selected("cn=ada", ["+"]).await?;
    for name in [
        "entryuuid",
        "entrydn",
        "createtimestamp",
        "modifytimestamp",
        "creatorsname",
        "modifiersname",
        "entrycsn",
        "structuralobjectclass",
        "subschemasubentry",
        "hassubordinates",
    ] {
        rows.same(format!("{name} of +"), operational.get(name).map(Vec::len), Some(1));
    }
    rows.same("user attributes of +", operational.contains_key("cn"), false);
    let mut both = operational.clone();
    both.extend(wanted(&person("ada", ADA)));
    rows.same("* and +", bench.read_selected("cn=ada", ["*", "+"]).await?, both);
    rows.finish()
}
