//! What the server keeps about an entry by itself (RFC 4512 §3.4, RFC 3672, RFC 4530, RFC 5020, X.501 for the rest).

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};

use super::{
    bench::{Bench, person, wanted},
    checks,
    report::{Rows, same},
};

checks![
    stamps_are_set_by_an_add,
    entry_dn_is_the_name,
    has_subordinates_follows_the_tree,
    structural_class_is_the_lowest,
    every_entry_has_a_uuid_of_its_own,
];

async fn stamps_are_set_by_an_add(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "").await?;
    let seen = bench.read_selected("cn=ada", ["+"]).await?;
    let one = |name: &str| {
        seen.get(name).and_then(|values| values.first()).cloned().with_context(|| format!("no {name}"))
    };
    let administrator = bench.subject.administrator().0.to_string();
    let mut rows = Rows::new();
    rows.same("creatorsName", one("creatorsname")?, administrator.clone());
    rows.same("modifiersName", one("modifiersname")?, administrator);
    rows.same("createTimestamp", one("createtimestamp")?, one("modifytimestamp")?);
    let stamp = one("createtimestamp")?;
    rows.same(
        "a UTC time in seconds",
        (stamp.len(), stamp.ends_with('Z'), stamp.starts_with("20")),
        (15, true, true),
    );
    let csn = one("entrycsn")?;
    rows.same("the four parts of a CSN", csn.split('#').count(), 4);
    let found = bench.find(&format!("(entryUUID={})", one("entryuuid")?.to_uppercase())).await?;
    rows.same("found by entryUUID", found, vec!["ada".to_owned()]);
    let found = bench.find(&format!("(&(createTimestamp={stamp})(cn=ada))")).await?;
    rows.same("found by createTimestamp", found, vec!["ada".to_owned()]);
    let found = bench.find(&format!("(&(entryCSN={csn})(cn=ada))")).await?;
    rows.same("found by entryCSN", found, vec!["ada".to_owned()]);
    rows.finish()
}

async fn entry_dn_is_the_name(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "").await?;
    let name = format!("cn=ada,{}", bench.home);
    same("entryDN", bench.read_selected("cn=ada", ["entryDN"]).await?, wanted(&format!("entryDN: {name}")))
}

async fn has_subordinates_follows_the_tree(bench: &Bench<'_>) -> Result<()> {
    bench.add("ou=a", "objectClass: organizationalUnit\nou: a").await?;
    let mut rows = Rows::new();
    let leaf = bench.read_selected("ou=a", ["hasSubordinates"]).await?;
    rows.same("a leaf", leaf, wanted("hasSubordinates: FALSE"));
    rows.same("leaves", bench.find("(hasSubordinates=FALSE)").await?, vec!["a".to_owned()]);
    bench.add("cn=x,ou=a", &person("x", "")).await?;
    let parent = bench.read_selected("ou=a", ["hasSubordinates"]).await?;
    rows.same("a parent", parent, wanted("hasSubordinates: TRUE"));
    rows.same("leaves", bench.find("(hasSubordinates=FALSE)").await?, vec!["x".to_owned()]);
    rows.same("parents", bench.find("(&(hasSubordinates=TRUE)(ou=a))").await?, vec!["a".to_owned()]);
    bench.admin.done(bench.delete("cn=x,ou=a")?).await?;
    rows.same("a leaf again", bench.find("(hasSubordinates=FALSE)").await?, vec!["a".to_owned()]);
    rows.finish()
}

async fn structural_class_is_the_lowest(bench: &Bench<'_>) -> Result<()> {
    bench.add("cn=p", "objectClass: person\nobjectClass: top\ncn: p\nsn: p").await?;
    bench.add_person("i", "").await?;
    let mut rows = Rows::new();
    for (name, class) in [("p", "person"), ("i", "inetOrgPerson")] {
        let seen = bench.read_selected(&format!("cn={name}"), ["structuralObjectClass"]).await?;
        rows.same(name, seen, wanted(&format!("structuralObjectClass: {class}")));
    }
    rows.same("found", bench.find("(structuralObjectClass=inetOrgPerson)").await?, vec!["i".to_owned()]);
    rows.finish()
}

async fn every_entry_has_a_uuid_of_its_own(bench: &Bench<'_>) -> Result<()> {
    for number in 0..30 {
        bench.add_person(&format!("p{number}"), "").await?;
    }
    let entries =
        bench.admin.entries(bench.search("(objectClass=person)")?.attributes(["entryUUID"])).await?;
    let uuids: BTreeSet<_> = entries.iter().filter_map(|entry| entry.text("entryUUID")).collect();
    ensure!(uuids.len() == 30, "{} of 30 entryUUIDs differ", uuids.len());
    let shape =
        |uuid: &str| uuid.len() == 36 && uuid.bytes().all(|octet| octet == b'-' || octet.is_ascii_hexdigit());
    ensure!(uuids.iter().all(|uuid| shape(uuid)), "not UUIDs: {uuids:?}");
    Ok(())
}
