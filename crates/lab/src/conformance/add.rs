//! Add: what becomes an entry and what does not (RFC 4511 §4.7, RFC 4512 §2.4 and §3.3).

use anyhow::{Result, ensure};
use flext_ldap_directory::proto::{attribute::Attributes, message::Add, result::ResultCode};

use super::{
    Freedom,
    bench::{Bench, attributes, person, wanted},
    checks,
    report::{Rows, same},
};

checks![
    an_entry_is_kept_as_given,
    schema_is_enforced,
    values_are_checked_by_syntax,
    values_twice_are_refused,
    an_entry_that_is_there_is_not_replaced,
    a_missing_parent_is_named_by_how_far_the_name_matched,
    values_of_the_name_need_not_be_repeated,
    names_of_several_values_work,
    what_the_server_keeps_cannot_be_given,
    superclasses_are_implied,
    auxiliary_classes_bring_their_attributes,
    attributes_with_options_are_their_own,
    attributes_may_be_given_by_any_name,
    outside_of_what_is_served_nothing_is_added,
    a_refused_add_leaves_nothing,
];

async fn an_entry_is_kept_as_given(bench: &Bench<'_>) -> Result<()> {
    let lines = "objectClass: top\nobjectClass: person\nobjectClass: organizationalPerson\nobjectClass: inetOrgPerson\n\
                 cn: Ada Byrne\nsn:  Byrne  of Cork \nmail: Ada@HarbourLane.example\ntelephoneNumber: +1 555 0100\n\
                 description: ÄÖÜ größer\ndescription: second";
    bench.add("cn=Ada Byrne", lines).await?;
    same("the entry", bench.read("cn=Ada Byrne").await?, wanted(lines))
}

async fn schema_is_enforced(bench: &Bench<'_>) -> Result<()> {
    let mut rows = Rows::new();
    let violation = ResultCode::OBJECT_CLASS_VIOLATION;
    for (row, lines, code) in [
        ("a required attribute is missing", "objectClass: person\ncn: x", violation),
        (
            "an attribute is not allowed",
            "objectClass: person\ncn: x\nsn: x\nmail: x@harbourlane.example",
            violation,
        ),
        ("no class", "cn: x\nsn: x", violation),
        ("no structural class", "objectClass: top\ncn: x", violation),
        (
            "only an auxiliary class",
            "objectClass: posixAccount\ncn: x\nuid: x\nuidNumber: 1\ngidNumber: 1\nhomeDirectory: /",
            violation,
        ),
        ("two structural chains", "objectClass: person\nobjectClass: device\ncn: x\nsn: x", violation),
        (
            "an unknown attribute",
            "objectClass: person\ncn: x\nsn: x\ncolour: blue",
            ResultCode::UNDEFINED_ATTRIBUTE_TYPE,
        ),
        (
            "an unknown numeric attribute",
            "objectClass: person\ncn: x\nsn: x\n1.3.6.1.4.1.32473.1: blue",
            ResultCode::UNDEFINED_ATTRIBUTE_TYPE,
        ),
        (
            "two values where one may be",
            "objectClass: inetOrgPerson\ncn: x\nsn: x\nemployeeNumber: 1\nemployeeNumber: 2",
            ResultCode::CONSTRAINT_VIOLATION,
        ),
    ] {
        rows.same(row, bench.admin.code(bench.entry("cn=x", lines)?).await?, code);
    }
    let unknown = bench.entry("cn=x", "objectClass: person\nobjectClass: harbourThing\ncn: x\nsn: x")?;
    let code = if bench.takes(Freedom::UnknownClassIsSyntaxError) {
        ResultCode::INVALID_ATTRIBUTE_SYNTAX
    } else {
        violation
    };
    rows.same("an unknown class", bench.admin.code(unknown).await?, code);
    rows.same("nothing was added", bench.find("(cn=x)").await?, vec![]);
    rows.finish()
}

async fn values_are_checked_by_syntax(bench: &Bench<'_>) -> Result<()> {
    let classes = "objectClass: posixAccount\nuid: x\ngidNumber: 1\nhomeDirectory: /\n";
    let mut rows = Rows::new();
    for (row, line) in [
        ("not a number", "uidNumber: one"),
        ("an empty number", "uidNumber:"),
        ("a number with a fraction", "uidNumber: 1.5"),
        ("not a DN", "uidNumber: 1\nmanager: Ada Byrne"),
        ("an empty directory string", "uidNumber: 1\ndescription:"),
        ("mail beyond ASCII", "uidNumber: 1\nmail: jörg@harbourlane.example"),
        ("an empty telephone number", "uidNumber: 1\ntelephoneNumber:"),
    ] {
        let entry = bench.entry("cn=x", &person("x", &format!("{classes}{line}")))?;
        rows.same(row, bench.admin.code(entry).await?, ResultCode::INVALID_ATTRIBUTE_SYNTAX);
    }
    rows.same("nothing was added", bench.find("(cn=x)").await?, vec![]);
    rows.finish()
}

async fn values_twice_are_refused(bench: &Bench<'_>) -> Result<()> {
    let mut rows = Rows::new();
    for (row, lines) in [
        ("the same octets", "description: tide\ndescription: tide"),
        ("equal but for case", "description: tide\ndescription: TIDE"),
        ("equal but for spaces", "description: tide gauge\ndescription:  tide   gauge "),
        ("equal numbers of a telephone", "telephoneNumber: +1 555 0100\ntelephoneNumber: +1-555-0100"),
        ("equal names", "seeAlso: cn=a,dc=b\nseeAlso: CN=A, DC=B"),
    ] {
        let code = bench.admin.code(bench.entry("cn=x", &person("x", lines))?).await?;
        rows.same(row, code, ResultCode::ATTRIBUTE_OR_VALUE_EXISTS);
    }
    rows.finish()
}

async fn an_entry_that_is_there_is_not_replaced(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "description: first").await?;
    let mut rows = Rows::new();
    for spelling in ["cn=ada", "CN=ADA", "cn= ada ", "2.5.4.3=ada"] {
        let again = bench.entry(spelling, &person("ada", "description: second"))?;
        rows.same(spelling, bench.admin.code(again).await?, ResultCode::ENTRY_ALREADY_EXISTS);
    }
    rows.same(
        "the suffix",
        bench
            .admin
            .code(Add::new(
                bench.subject.suffix().clone(),
                attributes("objectClass: dcObject\nobjectClass: organization\no: x\ndc: harbourlane"),
            ))
            .await?,
        ResultCode::ENTRY_ALREADY_EXISTS,
    );
    rows.same("the entry", bench.read("cn=ada").await?, wanted(&person("ada", "description: first")));
    rows.finish()
}

async fn a_missing_parent_is_named_by_how_far_the_name_matched(bench: &Bench<'_>) -> Result<()> {
    for relative in ["cn=x,ou=nowhere", "cn=x,ou=deeper,ou=nowhere"] {
        let outcome = bench.admin.outcome(bench.entry(relative, &person("x", ""))?).await?;
        same(relative, outcome.result.code, ResultCode::NO_SUCH_OBJECT)?;
        same("matched DN", outcome.result.matched_dn.to_lowercase(), bench.home.to_string().to_lowercase())?;
    }
    Ok(())
}

/// RFC 4511 §4.7: clients may or may not include the values of the RDN; servers add them.
async fn values_of_the_name_need_not_be_repeated(bench: &Bench<'_>) -> Result<()> {
    bench.add("cn=ada", "objectClass: top\nobjectClass: person\nsn: Byrne").await?;
    bench.add("cn=ben", "objectClass: top\nobjectClass: person\nsn: Byrne\ncn: Benedict").await?;
    let mut rows = Rows::new();
    rows.same(
        "ada",
        bench.read("cn=ada").await?,
        wanted("objectClass: top\nobjectClass: person\nsn: Byrne\ncn: ada"),
    );
    rows.same(
        "ben",
        bench.read("cn=ben").await?,
        wanted("objectClass: top\nobjectClass: person\nsn: Byrne\ncn: ben\ncn: Benedict"),
    );
    let stranger = bench
        .admin
        .code(bench.entry("mail=x@harbourlane.example", "objectClass: person\ncn: x\nsn: x")?)
        .await?;
    rows.one_of(
        "named by what the class does not allow",
        &stranger,
        &[ResultCode::OBJECT_CLASS_VIOLATION, ResultCode::NAMING_VIOLATION],
    );
    rows.finish()
}

async fn names_of_several_values_work(bench: &Bench<'_>) -> Result<()> {
    bench.add("cn=ada+sn=Byrne", "objectClass: person\ncn: ada\nsn: Byrne").await?;
    let mut rows = Rows::new();
    rows.same("as added", bench.exists("cn=ada+sn=Byrne").await?, true);
    rows.same("the other way round", bench.exists("SN=byrne+CN=Ada").await?, true);
    rows.same("half of it", bench.exists("cn=ada").await?, false);
    let twin = bench.entry("sn=BYRNE+cn=ADA", "objectClass: person\ncn: ada\nsn: Byrne")?;
    rows.same("a twin", bench.admin.code(twin).await?, ResultCode::ENTRY_ALREADY_EXISTS);
    rows.finish()
}

/// RFC 4512 §3.4, attribute types with NO-USER-MODIFICATION.
async fn what_the_server_keeps_cannot_be_given(bench: &Bench<'_>) -> Result<()> {
    let mut rows = Rows::new();
    for line in [
        "entryUUID: 597ae2f6-16a6-1027-98f4-d28b5365dc14",
        "createTimestamp: 20200101000000Z",
        "modifiersName: cn=x,dc=y",
        "structuralObjectClass: person",
    ] {
        let code = bench.admin.code(bench.entry("cn=x", &person("x", line))?).await?;
        rows.same(line, code, ResultCode::CONSTRAINT_VIOLATION);
    }
    rows.finish()
}

async fn superclasses_are_implied(bench: &Bench<'_>) -> Result<()> {
    bench.add("cn=ada", "objectClass: inetOrgPerson\ncn: ada\nsn: Byrne").await?;
    let mut rows = Rows::new();
    for class in ["top", "person", "organizationalPerson", "inetOrgPerson", "2.5.6.6", "PERSON"] {
        rows.same(
            class,
            bench.find(&format!("(&(cn=ada)(objectClass={class}))")).await?,
            vec!["ada".to_owned()],
        );
    }
    rows.same("another class", bench.find("(&(cn=ada)(objectClass=device))").await?, vec![]);
    let stored = bench.read("cn=ada").await?.remove("objectclass").unwrap_or_default();
    if bench.takes(Freedom::ImpliedClassesNotStored) {
        rows.same("stored", stored, vec!["inetOrgPerson".to_owned()]);
    } else {
        rows.same(
            "stored",
            stored,
            ["inetOrgPerson", "organizationalPerson", "person", "top"].map(str::to_owned).to_vec(),
        );
    }
    rows.finish()
}

async fn auxiliary_classes_bring_their_attributes(bench: &Bench<'_>) -> Result<()> {
    let account = "objectClass: person\nobjectClass: posixAccount\ncn: ada\nsn: Byrne\nuid: ada\nuidNumber: 7\n\
                   gidNumber: 8\nhomeDirectory: /home/ada";
    bench.add("cn=ada", account).await?;
    same("found", bench.find("(&(objectClass=posixAccount)(uidNumber=7))").await?, vec!["ada".to_owned()])?;
    let lacking = bench.entry("cn=ben", &account.replace("uidNumber: 7\n", "").replace("ada", "ben"))?;
    same("without uidNumber", bench.admin.code(lacking).await?, ResultCode::OBJECT_CLASS_VIOLATION)?;
    let anything = "objectClass: device\nobjectClass: extensibleObject\ncn: box\nmail: box@harbourlane.example\nuidNumber: 5";
    bench.add("cn=box", anything).await?;
    same("extensibleObject", bench.find("(mail=box@harbourlane.example)").await?, vec!["box".to_owned()])
}

async fn attributes_with_options_are_their_own(bench: &Bench<'_>) -> Result<()> {
    let lines = person("ada", "description: tide\ndescription;lang-de: tide\ndescription;lang-en: gauge");
    bench.add("cn=ada", &lines).await?;
    same("the entry", bench.read("cn=ada").await?, wanted(&lines))
}

async fn attributes_may_be_given_by_any_name(bench: &Bench<'_>) -> Result<()> {
    bench
        .add("2.5.4.3=ada", "objectclass: TOP\nobjectclass: 2.5.6.6\n2.5.4.4: Byrne\ncommonName: Countess")
        .await?;
    let seen = bench.read_selected("cn=ada", ["cn", "sn"]).await?;
    let mut rows = Rows::new();
    rows.same("read by their short names", seen, wanted("cn: ada\ncn: Countess\nsn: Byrne"));
    for filter in
        ["(&(cn=ada)(surname=byrne))", "(&(2.5.4.3=countess)(objectClass=person))", "(commonName=ADA)"]
    {
        rows.same(filter, bench.find(filter).await?, vec!["ada".to_owned()]);
    }
    let twice = bench.entry("cn=x", "objectClass: person\ncn: x\ncommonName: y\nsn: x")?;
    let code = bench.admin.code(twice).await?;
    // RFC 4511 §4.7: an attribute is listed once; a server may also make one of the two.
    rows.one_of(
        "one attribute under two names",
        &code,
        &[ResultCode::ATTRIBUTE_OR_VALUE_EXISTS, ResultCode::CONSTRAINT_VIOLATION, ResultCode::SUCCESS],
    );
    rows.finish()
}

async fn outside_of_what_is_served_nothing_is_added(bench: &Bench<'_>) -> Result<()> {
    let outside =
        Add::new("dc=elsewhere,dc=example".parse()?, attributes("objectClass: domain\ndc: elsewhere"));
    let code = bench.admin.code(outside).await?;
    // RFC 4511 §4.1.9: the operation is not for this server; a referral, if it knew where, would be best.
    let refusals = [ResultCode::NO_SUCH_OBJECT, ResultCode::UNWILLING_TO_PERFORM, ResultCode::REFERRAL];
    ensure!(refusals.contains(&code), "answered {code}");
    Ok(())
}

async fn a_refused_add_leaves_nothing(bench: &Bench<'_>) -> Result<()> {
    let empty = Add::new(bench.dn("cn=x")?, Attributes::builder().build());
    ensure!(bench.admin.code(empty).await? != ResultCode::SUCCESS, "an entry without attributes was added");
    let mut builder = Attributes::builder();
    builder.push("objectClass", ["person"]);
    builder.push("cn", ["x"]);
    builder.push("sn", [] as [&str; 0]);
    let without_values = Add::new(bench.dn("cn=x")?, builder.build());
    ensure!(
        bench.admin.code(without_values).await? != ResultCode::SUCCESS,
        "an attribute without values was added"
    );
    same("there", bench.exists("cn=x").await?, false)?;
    bench.add_person("x", "").await
}
