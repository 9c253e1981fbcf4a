//! Compare: true, false, and why neither (RFC 4511 §4.10).

use anyhow::Result;
use flext_ldap_directory::{DirectoryExt as _, proto::result::ResultCode};

use super::{
    Freedom,
    bench::Bench,
    checks,
    report::{Rows, same},
};

checks![values_compare_by_their_rule, refused_compares_have_their_code, the_ladder_tells_true_from_false];

const ADA: &str = "objectClass: posixAccount\nuid: ada\nuidNumber: 70\ngidNumber: 1\nhomeDirectory: /home/ada\n\
                   mail: Ada@HarbourLane.example\ntelephoneNumber: +1 555 0100\nseeAlso: cn=Ben Ode,dc=harbourlane\n\
                   description: Tide Gauge\ndescription;lang-de: Pegel";

async fn values_compare_by_their_rule(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", ADA).await?;
    let mut rows = Rows::new();
    for (attribute, value, is_true) in [
        ("description", "Tide Gauge", true),
        ("description", "tide  gauge ", true),
        ("description", "TIDE GAUGE", true),
        ("2.5.4.13", "tide gauge", true),
        ("DESCRIPTION", "tide gauge", true),
        ("description", "tide", false),
        ("description", "tidegauge", false),
        ("description;lang-de", "pegel", true),
        ("description;lang-de", "tide gauge", false),
        ("uidNumber", "70", true),
        ("uidNumber", "7", false),
        ("homeDirectory", "/home/ada", true),
        ("homeDirectory", "/HOME/ADA", false),
        ("mail", "ADA@harbourlane.EXAMPLE", true),
        ("telephoneNumber", "+15550100", true),
        ("telephoneNumber", "+1-555-0100", true),
        ("telephoneNumber", "+1 555 0101", false),
        ("seeAlso", "CN=BEN ode, DC=harbourlane", true),
        ("seeAlso", r"2.5.4.3=Ben\20Ode,dc=harbourlane", true),
        ("seeAlso", "cn=Ben Ode", false),
        ("objectClass", "person", true),
        ("objectClass", "2.5.6.6", true),
        ("objectClass", "device", false),
        ("hasSubordinates", "FALSE", true),
        ("structuralObjectClass", "inetOrgPerson", true),
    ] {
        let code = bench.admin.code(bench.compare("cn=ada", attribute, value)?).await?;
        let wanted = if is_true { ResultCode::COMPARE_TRUE } else { ResultCode::COMPARE_FALSE };
        rows.same(format!("{attribute}={value}"), code, wanted);
    }
    if !bench.takes(Freedom::EntryDnIsNotCompared) {
        let home = &bench.home;
        for (value, wanted) in [
            (format!("CN=ADA,{home}"), ResultCode::COMPARE_TRUE),
            (home.to_string(), ResultCode::COMPARE_FALSE),
        ] {
            let code = bench.admin.code(bench.compare("cn=ada", "entryDN", &value)?).await?;
            rows.same(format!("entryDN={value}"), code, wanted);
        }
    }
    rows.finish()
}

async fn refused_compares_have_their_code(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", ADA).await?;
    let mut rows = Rows::new();
    for (attribute, value, code) in [
        ("title", "x", ResultCode::NO_SUCH_ATTRIBUTE),
        ("description;lang-en", "Tide Gauge", ResultCode::NO_SUCH_ATTRIBUTE),
        ("colour", "blue", ResultCode::UNDEFINED_ATTRIBUTE_TYPE),
        ("uidNumber", "seven", ResultCode::INVALID_ATTRIBUTE_SYNTAX),
        ("seeAlso", "Ben", ResultCode::INVALID_ATTRIBUTE_SYNTAX),
    ] {
        let seen = bench.admin.code(bench.compare("cn=ada", attribute, value)?).await?;
        rows.same(format!("{attribute}={value}"), seen, code);
    }
    let missing = bench.admin.outcome(bench.compare("cn=x,ou=nowhere", "cn", "x")?).await?.result;
    rows.same("a missing entry", missing.code, ResultCode::NO_SUCH_OBJECT);
    rows.same("matched DN", missing.matched_dn.to_lowercase(), bench.home.to_string().to_lowercase());
    rows.finish()
}

async fn the_ladder_tells_true_from_false(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", ADA).await?;
    let ask = |value| anyhow::Ok(bench.admin.request(bench.compare("cn=ada", "cn", value)?));
    same("ada", bench.admin.session.compare(ask("ada")?).await?, true)?;
    same("ben", bench.admin.session.compare(ask("ben")?).await?, false)?;
    let missing = bench.admin.request(bench.compare("cn=ben", "cn", "ben")?);
    let code = bench.admin.session.compare(missing).await.err().and_then(|error| error.result_code());
    same("nobody", code, Some(ResultCode::NO_SUCH_OBJECT))
}
