//! Values: any octets, any size, any number (RFC 4512 §2.2, RFC 4517, RFC 3629).

use anyhow::{Context as _, Result, ensure};
use flext_ldap_directory::{
    DirectoryExt as _,
    proto::{
        attribute::Attributes,
        entry::Entry,
        filter::Filter,
        message::{Add, Change, ChangeKind, Compare, Modify, Scope, Search},
        result::ResultCode,
    },
};

use super::{
    Freedom,
    bench::{Bench, parsed},
    checks,
    report::{Rows, same},
};

checks![
    binary_values_are_kept,
    text_beyond_ascii_is_kept,
    what_is_not_utf8_is_refused,
    a_large_value_is_kept,
    an_attribute_of_thousands_of_values_works,
    the_value_seen_is_the_value_given,
    syntaxes_are_checked_both_ways,
];

/// Values that somebody who joins strings gets wrong.
pub(super) const AWKWARD: &[&str] = &[
    "plain",
    "*",
    "a*b",
    "(",
    ")",
    ")(uid=*",
    "*)(|(objectClass=*",
    "ada)(userPassword=*",
    "\\",
    "\\2a",
    "\\\\",
    "a,b",
    ",",
    "a+b",
    "a=b",
    "cn=admins",
    "x,cn=admins",
    "\"quoted\"",
    "<a>",
    ";",
    "#hash",
    "#04024869",
    "/",
    "a/b",
    "%2a",
    "${x}",
    "{{x}}",
    "' OR '1'='1",
    "'; --",
    "&|!",
    "~=<>",
    "é",
    "e\u{301}x",
    "日本語",
    "🚢 ship",
    "Ω≈ç√",
];

async fn add_device(bench: &Bench<'_>, cn: &str, attribute: &str, values: &[&[u8]]) -> Result<ResultCode> {
    let mut builder = Attributes::builder();
    builder.push("objectClass", ["device", "extensibleObject"]);
    builder.push("cn", [cn]);
    builder.push(attribute, values);
    bench.admin.code(Add::new(bench.dn(&format!("cn={cn}"))?, builder.build())).await
}

async fn entry(bench: &Bench<'_>, cn: &str, attribute: &str) -> Result<Entry> {
    let search =
        Search::new(bench.dn(&format!("cn={cn}"))?, Scope::Base, Filter::any()).attributes([attribute]);
    Ok(bench.admin.session.search_one(bench.admin.request(search)).await?)
}

async fn binary_values_are_kept(bench: &Bench<'_>) -> Result<()> {
    let every: Vec<u8> = (0..=255).collect();
    let table: &[(&str, &[u8])] =
        &[("every", &every), ("zeros", &[0; 64]), ("newlines", b"\r\n\n\r"), ("one", &[0xff])];
    let mut rows = Rows::new();
    for (cn, octets) in table {
        rows.same(cn, add_device(bench, cn, "jpegPhoto", &[octets]).await?, ResultCode::SUCCESS);
        let entry = entry(bench, cn, "jpegPhoto").await?;
        let seen = entry.attributes().get("jpegPhoto").and_then(|photo| photo.first().map(<[u8]>::to_vec));
        rows.same(cn, seen, Some(octets.to_vec()));
    }
    rows.finish()
}

async fn text_beyond_ascii_is_kept(bench: &Bench<'_>) -> Result<()> {
    let mut rows = Rows::new();
    for (number, text) in [
        "é",
        "e\u{301}",
        "\u{7f}",
        "\u{80}",
        "\u{7ff}",
        "\u{800}",
        "\u{ffff}",
        "\u{10000}",
        "\u{10ffff}",
        "\u{feff}bom",
        "עברית",
        "👩‍✈️",
        "a\tb",
        "two\nlines",
        " lead and trail ",
    ]
    .iter()
    .enumerate()
    {
        let cn = format!("t{number}");
        rows.same(
            format!("{text:?}"),
            add_device(bench, &cn, "description", &[text.as_bytes()]).await?,
            ResultCode::SUCCESS,
        );
        if bench.exists(&format!("cn={cn}")).await? {
            let seen = entry(bench, &cn, "description").await?.text("description").map(str::to_owned);
            rows.same(format!("{text:?}"), seen, Some((*text).to_owned()));
        }
    }
    rows.finish()
}

async fn what_is_not_utf8_is_refused(bench: &Bench<'_>) -> Result<()> {
    let mut rows = Rows::new();
    for (name, octets) in [
        ("a lone continuation", &b"a\x80"[..]),
        ("cut short", b"a\xc3"),
        ("overlong", b"\xc0\xaf"),
        ("overlong of three", b"\xe0\x80\xaf"),
        ("Latin-1", b"J\xf6rg"),
        ("0xff", b"\xff"),
        ("a sequence of five", b"\xf8\x88\x80\x80\x80"),
    ] {
        if octets.starts_with(b"\xf8") && bench.takes(Freedom::LongUtf8IsTaken) {
            continue;
        }
        let code = add_device(bench, "x", "description", &[octets]).await?;
        rows.same(name, code, ResultCode::INVALID_ATTRIBUTE_SYNTAX);
    }
    rows.same("nothing was added", bench.exists("cn=x").await?, false);
    rows.finish()
}

async fn a_large_value_is_kept(bench: &Bench<'_>) -> Result<()> {
    let large: Vec<u8> =
        (0..5_u32 << 20).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    same("the add", add_device(bench, "photo", "jpegPhoto", &[&large]).await?, ResultCode::SUCCESS)?;
    let seen = entry(bench, "photo", "jpegPhoto").await?;
    let photo = seen.attributes().get("jpegPhoto").context("no jpegPhoto")?;
    ensure!(photo.first() == Some(&large), "the five megabytes came back changed");
    let without = entry(bench, "photo", "cn").await?;
    ensure!(without.attributes().get("jpegPhoto").is_none(), "the five megabytes came unasked");
    let change = Change {
        kind: ChangeKind::Replace,
        attribute: "jpegPhoto".parse()?,
        values: vec![b"\xff\xd8".to_vec().into()],
    };
    let modify = Modify { dn: bench.dn("cn=photo")?, changes: vec![change] };
    same("the modify", bench.admin.code(modify).await?, ResultCode::SUCCESS)?;
    let seen = entry(bench, "photo", "jpegPhoto").await?;
    same(
        "small again",
        seen.attributes().get("jpegPhoto").and_then(|photo| photo.first().map(<[u8]>::len)),
        Some(2),
    )
}

/// A group of thousands: added to, taken from, asked for one member.
async fn an_attribute_of_thousands_of_values_works(bench: &Bench<'_>) -> Result<()> {
    const MEMBERS: usize = 5_000;
    let member = |number: usize| format!("cn=p{number:05},ou=people,{}", bench.home);
    let mut builder = Attributes::builder();
    builder.push("objectClass", ["groupOfNames"]);
    builder.push("cn", ["group"]);
    builder.push("member", (0..MEMBERS).map(member));
    let dn = bench.dn("cn=group")?;
    bench.admin.done(Add::new(dn.clone(), builder.build())).await?;
    let count = || async {
        let entry = entry(bench, "group", "member").await?;
        anyhow::Ok(entry.attributes().get("member").map_or(0, |member| member.values().count()))
    };
    let change = |kind, values: Vec<String>| {
        let values = values.into_iter().map(|value| value.into_bytes().into()).collect();
        anyhow::Ok(Modify {
            dn: dn.clone(),
            changes: vec![Change { kind, attribute: "member".parse()?, values }],
        })
    };
    let mut rows = Rows::new();
    rows.same("members", count().await?, MEMBERS);
    rows.same(
        "one more",
        bench.admin.code(change(ChangeKind::Add, vec![member(MEMBERS)])?).await?,
        ResultCode::SUCCESS,
    );
    let again = change(ChangeKind::Add, vec![member(17).to_uppercase()])?;
    rows.same("one again", bench.admin.code(again).await?, ResultCode::ATTRIBUTE_OR_VALUE_EXISTS);
    let fewer = change(ChangeKind::Delete, (0..100).map(member).collect())?;
    rows.same("a hundred fewer", bench.admin.code(fewer).await?, ResultCode::SUCCESS);
    let gone = change(ChangeKind::Delete, vec![member(17)])?;
    rows.same("one that is gone", bench.admin.code(gone).await?, ResultCode::NO_SUCH_ATTRIBUTE);
    rows.same("members", count().await?, MEMBERS - 99);
    for (number, there) in [(17, false), (100, true), (MEMBERS, true), (MEMBERS + 1, false)] {
        let found = bench.find(&format!("(member={})", member(number).to_lowercase())).await?;
        rows.same(format!("found by member {number}"), !found.is_empty(), there);
        let compare = Compare {
            dn: dn.clone(),
            attribute: "member".parse()?,
            value: member(number).into_bytes().into(),
        };
        let wanted = if there { ResultCode::COMPARE_TRUE } else { ResultCode::COMPARE_FALSE };
        rows.same(format!("compared with member {number}"), bench.admin.code(compare).await?, wanted);
    }
    rows.finish()
}

/// The class of injection: whatever the value, exactly the entry that has it is found, and the value is as given.
async fn the_value_seen_is_the_value_given(bench: &Bench<'_>) -> Result<()> {
    for (number, value) in AWKWARD.iter().enumerate() {
        let code = add_device(bench, &format!("v{number}"), "description", &[value.as_bytes()]).await?;
        same(format!("adding {value:?}"), code, ResultCode::SUCCESS)?;
    }
    let description: flext_ldap_directory::proto::attribute::AttributeDescription = "description".parse()?;
    let mut rows = Rows::new();
    for (number, value) in AWKWARD.iter().enumerate() {
        let filter = Filter::equality(description.clone(), *value);
        for (row, filter) in [("built", filter.clone()), ("printed and parsed", parsed(&filter.to_string())?)]
        {
            let found = bench.admin.names(Search::new(bench.home.clone(), Scope::Subtree, filter)).await?;
            rows.same(format!("{row}: {value:?}"), found, vec![format!("v{number}")]);
        }
        let compare = Compare {
            dn: bench.dn(&format!("cn=v{number}"))?,
            attribute: description.clone(),
            value: value.as_bytes().to_vec().into(),
        };
        rows.same(format!("compared: {value:?}"), bench.admin.code(compare).await?, ResultCode::COMPARE_TRUE);
        let seen = entry(bench, &format!("v{number}"), "description").await?;
        rows.same(format!("read: {value:?}"), seen.text("description"), Some(*value));
    }
    rows.finish()
}

async fn syntaxes_are_checked_both_ways(bench: &Bench<'_>) -> Result<()> {
    let mut rows = Rows::new();
    let table: &[(&str, &str, bool)] = &[
        ("uidNumber", "0", true),
        ("uidNumber", "-1", true),
        ("uidNumber", "99999999999999999999999999", true),
        ("uidNumber", "1e3", false),
        ("uidNumber", "0x10", false),
        ("uidNumber", "-", false),
        ("mail", "ada@harbourlane.example", true),
        ("mail", "ada\u{f6}", false),
        ("seeAlso", "", true),
        ("seeAlso", "cn=a+sn=b,dc=c", true),
        ("seeAlso", "cn=a,", false),
        ("seeAlso", "a", false),
        ("telephoneNumber", "+1 555 0100", true),
        ("telephoneNumber", "", false),
        ("description", " ", true),
        ("description", "", false),
        ("postalAddress", "1 Harbour Lane$Dock$HL1", true),
        ("preferredDeliveryMethod", "telephone $ physical", true),
        ("x121Address", "1234 5678", true),
        ("x121Address", "12a", false),
        ("userPKCS12", "any octets", true),
        ("labeledURI", "https://harbourlane.example a label", true),
        ("c", "DE", true),
        ("c", "DEU", false),
        ("objectClass", "no class at all", false),
    ];
    for (number, (attribute, value, is_good)) in table.iter().enumerate() {
        if *attribute == "objectClass" {
            let line = format!("objectClass: {value}\nobjectClass: device\ncn: s{number}");
            let code = bench.admin.code(bench.entry(&format!("cn=s{number}"), &line)?).await?;
            rows.same(format!("{attribute}: {value}"), code == ResultCode::SUCCESS, *is_good);
            continue;
        }
        let code = add_device(bench, &format!("s{number}"), attribute, &[value.as_bytes()]).await?;
        let wanted = if *is_good { ResultCode::SUCCESS } else { ResultCode::INVALID_ATTRIBUTE_SYNTAX };
        rows.same(format!("{attribute}: {value}"), code, wanted);
    }
    rows.finish()
}
