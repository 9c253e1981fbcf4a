//! The root DSE and the subschema: what a server says about itself (RFC 4512 §5.1, §4.2).

use anyhow::{Context as _, Result, ensure};
use flext_ldap_directory::proto::{
    control::{Assertion, ControlValue as _, ManageDsaIt, PagedResults, PostRead, PreRead},
    dn::Dn,
    extended::{ExtendedOperation as _, PasswordModify, WhoAmI},
    filter::Filter,
    message::{Scope, Search},
    oid::Oid,
    result::ResultCode,
};

use super::{
    bench::{Bench, Contents, parsed},
    checks,
    report::{Rows, same},
};

checks![
    the_root_names_what_is_served,
    operational_attributes_come_when_asked_for,
    the_root_matches_filters,
    the_subschema_is_where_entries_say,
    anybody_reads_root_and_schema,
    the_root_is_not_to_be_changed,
];

fn root() -> Search {
    Search::new(Dn::root(), Scope::Base, Filter::any())
}

async fn root_dse(bench: &Bench<'_>) -> Result<Contents> {
    bench.anonymous().await?.read(Dn::root(), ["*", "+"]).await
}

async fn the_root_names_what_is_served(bench: &Bench<'_>) -> Result<()> {
    let root = root_dse(bench).await?;
    let mut rows = Rows::new();
    let mut has = |attribute: &str, values: &[&str]| {
        let seen = root.get(&attribute.to_ascii_lowercase()).cloned().unwrap_or_default();
        for value in values {
            let found = seen.iter().any(|one| one.eq_ignore_ascii_case(value));
            rows.same(format!("{attribute}: {value}, among {seen:?}"), found, true);
        }
    };
    has("namingContexts", &[bench.subject.suffix().as_str()]);
    has("supportedLDAPVersion", &["3"]);
    let (paging, manage) = (PagedResults::OID, ManageDsaIt::OID);
    let (assertion, before, after) = (Assertion::OID, PreRead::OID, PostRead::OID);
    let oids: [&Oid; 5] = [&paging, &manage, &assertion, &before, &after];
    has("supportedControl", &oids.map(Oid::as_str));
    has("supportedExtension", &[WhoAmI::OID.as_str(), PasswordModify::OID.as_str()]);
    // All operational attributes, attributes by class, true and false filters, modify-increment.
    has(
        "supportedFeatures",
        &["1.3.6.1.4.1.4203.1.5.1", "1.3.6.1.4.1.4203.1.5.2", "1.3.6.1.4.1.4203.1.5.3", "1.3.6.1.1.14"],
    );
    if bench.subject.knows_its_peer() {
        has("supportedSASLMechanisms", &["EXTERNAL"]);
    }
    rows.finish()
}

async fn operational_attributes_come_when_asked_for(bench: &Bench<'_>) -> Result<()> {
    let user = bench.anonymous().await?.read(Dn::root(), ["*"]).await?;
    ensure!(!user.contains_key("namingcontexts"), "`*` gave operational attributes: {:?}", user.keys());
    let one = bench.anonymous().await?.read(Dn::root(), ["NAMINGCONTEXTS"]).await?;
    same("the attributes", one.keys().cloned().collect::<Vec<_>>(), vec!["namingcontexts".to_owned()])
}

async fn the_root_matches_filters(bench: &Bench<'_>) -> Result<()> {
    let anonymous = bench.anonymous().await?;
    let mut rows = Rows::new();
    for (filter, count) in [
        ("(objectClass=*)", 1),
        ("(&)", 1),
        ("(|)", 0),
        ("(!(objectClass=*))", 0),
        ("(objectClass=person)", 0),
    ] {
        let found = anonymous.entries(Search::new(Dn::root(), Scope::Base, parsed(filter)?)).await?;
        rows.same(filter, found.len(), count);
    }
    rows.finish()
}

async fn the_subschema_is_where_entries_say(bench: &Bench<'_>) -> Result<()> {
    let of_root = root_dse(bench).await?;
    let of_home = bench.read_selected("", ["subschemaSubentry"]).await?;
    let place = |contents: &Contents| {
        contents
            .get("subschemasubentry")
            .and_then(|values| values.first())
            .cloned()
            .context("no subschemaSubentry")
    };
    same("the subschema of home", place(&of_home)?.to_lowercase(), place(&of_root)?.to_lowercase())?;
    let schema = bench
        .anonymous()
        .await?
        .read(
            place(&of_root)?.parse()?,
            ["objectClass", "attributeTypes", "objectClasses", "matchingRules", "ldapSyntaxes"],
        )
        .await?;
    let mut rows = Rows::new();
    for (attribute, parts) in [
        ("objectclass", &["subschema"][..]),
        ("attributetypes", &["( 2.5.4.3 ", "'cn'", "SUP name"]),
        ("attributetypes", &["( 2.5.4.41 ", "EQUALITY caseIgnoreMatch", "SUBSTR caseIgnoreSubstringsMatch"]),
        ("attributetypes", &["( 2.5.4.35 ", "'userPassword'", "EQUALITY octetStringMatch"]),
        ("objectclasses", &["( 2.5.6.6 ", "'person'", "SUP top", "STRUCTURAL", "MUST ( sn $ cn )"]),
        ("objectclasses", &["( 2.16.840.1.113730.3.2.2 ", "'inetOrgPerson'", "SUP organizationalPerson"]),
        ("matchingrules", &["( 2.5.13.2 ", "'caseIgnoreMatch'", "1.3.6.1.4.1.1466.115.121.1.15"]),
        ("ldapsyntaxes", &["( 1.3.6.1.4.1.1466.115.121.1.15"]),
    ] {
        let values = schema.get(attribute).cloned().unwrap_or_default();
        let found = values.iter().any(|value| parts.iter().all(|part| value.contains(part)));
        rows.same(format!("{attribute} with {parts:?}, of {} values", values.len()), found, true);
    }
    rows.finish()
}

async fn anybody_reads_root_and_schema(bench: &Bench<'_>) -> Result<()> {
    ensure!(root_dse(bench).await?.contains_key("supportedldapversion"), "the root DSE is not whole");
    let by_feature =
        Search::new(Dn::root(), Scope::Base, parsed("(supportedFeatures=1.3.6.1.4.1.4203.1.5.1)")?);
    same("found by an operational attribute", bench.anonymous().await?.entries(by_feature).await?.len(), 1)
}

async fn the_root_is_not_to_be_changed(bench: &Bench<'_>) -> Result<()> {
    let delete = flext_ldap_directory::proto::message::Delete { dn: Dn::root() };
    let code = bench.admin.code(delete).await?;
    ensure!(code != ResultCode::SUCCESS, "the root DSE was deleted");
    same("still there", bench.admin.entries(root()).await?.len(), 1)
}
