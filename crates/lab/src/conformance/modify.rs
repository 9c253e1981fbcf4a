//! Modify: all changes or none, each with its errors (RFC 4511 §4.6, RFC 4525).

use anyhow::Result;
use flext_ldap_directory::proto::{
    dn::Dn,
    message::{
        ChangeKind::{Add, Delete, Increment, Replace},
        Modify,
    },
    result::ResultCode,
};

use super::{
    Freedom,
    bench::{Bench, ChangeRow, person, wanted},
    checks,
    report::{Rows, one_of, same},
};

checks![
    each_kind_of_change_does_what_it_says,
    refused_changes_have_their_code,
    all_changes_or_none,
    changes_are_made_in_order,
    increments_count,
    increments_are_refused,
    the_name_cannot_be_taken_away,
    classes_can_be_added_but_not_exchanged,
    what_the_server_keeps_cannot_be_changed,
    stamps_tell_who_and_when,
    options_are_changed_apart,
    hundreds_of_changes_are_one,
    a_missing_entry_is_named_by_how_far_the_name_matched,
    the_root_cannot_be_changed,
];

const ADA: &str = "description: one\ndescription: two\ntelephoneNumber: +1 555 0100";

async fn each_kind_of_change_does_what_it_says(bench: &Bench<'_>) -> Result<()> {
    let mut rows = Rows::new();
    let table: &[(&str, &[ChangeRow<'_>], &str)] = &[
        (
            "a value added",
            &[(Add, "description", &["three"])],
            "description: one\ndescription: two\ndescription: three\ntelephoneNumber: +1 555 0100",
        ),
        (
            "an attribute added",
            &[(Add, "title", &["Head"])],
            "description: one\ndescription: two\ntelephoneNumber: +1 555 0100\ntitle: Head",
        ),
        (
            "a value deleted",
            &[(Delete, "description", &["ONE"])],
            "description: two\ntelephoneNumber: +1 555 0100",
        ),
        ("all values deleted", &[(Delete, "description", &["one", "two"])], "telephoneNumber: +1 555 0100"),
        ("an attribute deleted", &[(Delete, "description", &[])], "telephoneNumber: +1 555 0100"),
        ("by another name", &[(Delete, "2.5.4.13", &[])], "telephoneNumber: +1 555 0100"),
        ("replaced", &[(Replace, "description", &["new"])], "description: new\ntelephoneNumber: +1 555 0100"),
        ("replaced by itself", &[(Replace, "description", &["two", "one"])], ADA),
        (
            "replaced by another spelling",
            &[(Replace, "description", &["ONE", "two"])],
            "description: ONE\ndescription: two\ntelephoneNumber: +1 555 0100",
        ),
        ("replaced by nothing", &[(Replace, "description", &[])], "telephoneNumber: +1 555 0100"),
        ("replaced by nothing, not there", &[(Replace, "title", &[])], ADA),
        (
            "replaced, not there",
            &[(Replace, "title", &["Head"])],
            "description: one\ndescription: two\ntelephoneNumber: +1 555 0100\ntitle: Head",
        ),
    ];
    for (number, (row, changes, after)) in table.iter().enumerate() {
        let cn = format!("ada{number}");
        bench.add_person(&cn, ADA).await?;
        let modify = bench.modify(&format!("cn={cn}"), changes)?;
        rows.same(row, bench.admin.code(modify).await?, ResultCode::SUCCESS);
        rows.same(row, bench.read(&format!("cn={cn}")).await?, wanted(&person(&cn, after)));
    }
    rows.finish()
}

async fn refused_changes_have_their_code(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", ADA).await?;
    let before = bench.read("cn=ada").await?;
    let exists = ResultCode::ATTRIBUTE_OR_VALUE_EXISTS;
    let absent = ResultCode::NO_SUCH_ATTRIBUTE;
    let class = ResultCode::OBJECT_CLASS_VIOLATION;
    let table: &[(&str, ChangeRow<'_>, ResultCode)] = &[
        ("a value that is there", (Add, "description", &["one"]), exists),
        ("in another spelling", (Add, "description", &["  ONE "]), exists),
        ("a value twice", (Add, "title", &["a", "A"]), exists),
        ("replaced by a value twice", (Replace, "title", &["a", "A"]), exists),
        ("a value that is not there", (Delete, "description", &["three"]), absent),
        ("an attribute that is not there", (Delete, "title", &[]), absent),
        ("a value of one that is not there", (Delete, "title", &["x"]), absent),
        ("what the class needs", (Delete, "sn", &[]), class),
        ("what the class does not allow", (Add, "uidNumber", &["1"]), class),
        ("an unknown attribute", (Add, "colour", &["blue"]), ResultCode::UNDEFINED_ATTRIBUTE_TYPE),
        ("an unknown attribute deleted", (Delete, "colour", &[]), ResultCode::UNDEFINED_ATTRIBUTE_TYPE),
        ("a value of the wrong syntax", (Add, "manager", &["Ada"]), ResultCode::INVALID_ATTRIBUTE_SYNTAX),
        ("replaced by the wrong syntax", (Replace, "mail", &["ö"]), ResultCode::INVALID_ATTRIBUTE_SYNTAX),
        (
            "two values where one may be",
            (Replace, "employeeNumber", &["1", "2"]),
            ResultCode::CONSTRAINT_VIOLATION,
        ),
    ];
    let mut rows = Rows::new();
    for (row, change, code) in table {
        rows.same(row, bench.admin.code(bench.modify("cn=ada", &[*change])?).await?, *code);
    }
    rows.same("the entry", bench.read("cn=ada").await?, before);
    rows.finish()
}

async fn all_changes_or_none(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", ADA).await?;
    let before = bench.read_selected("cn=ada", ["*", "entryCSN", "modifyTimestamp"]).await?;
    let changes: &[ChangeRow<'_>] = &[
        (Add, "title", &["Head"]),
        (Replace, "description", &["gone"]),
        (Delete, "telephoneNumber", &[]),
        (Delete, "mail", &[]),
    ];
    let modify = bench.modify("cn=ada", changes)?;
    same("the code", bench.admin.code(modify).await?, ResultCode::NO_SUCH_ATTRIBUTE)?;
    same("the entry", bench.read_selected("cn=ada", ["*", "entryCSN", "modifyTimestamp"]).await?, before)
}

/// RFC 4511 §4.6: single changes may leave the entry against the schema; the whole list must not.
async fn changes_are_made_in_order(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", ADA).await?;
    let changes: &[ChangeRow<'_>] = &[
        (Delete, "sn", &[]),
        (Add, "description", &["three"]),
        (Delete, "description", &["three"]),
        (Add, "sn", &["Byrne"]),
        (Delete, "description", &["one"]),
        (Add, "description", &["one"]),
        (Delete, "cn", &["ada"]),
        (Add, "cn", &["ada"]),
    ];
    same("the code", bench.admin.code(bench.modify("cn=ada", changes)?).await?, ResultCode::SUCCESS)?;
    same("the entry", bench.read("cn=ada").await?, wanted(&person("ada", &format!("{ADA}\nsn: Byrne"))))
}

async fn add_account(bench: &Bench<'_>) -> Result<()> {
    let lines =
        "objectClass: device\nobjectClass: extensibleObject\ncn: box\nuidNumber: 41\ndescription: text";
    bench.add("cn=box", lines).await
}

async fn increments_count(bench: &Bench<'_>) -> Result<()> {
    add_account(bench).await?;
    let mut rows = Rows::new();
    for (by, after) in
        [("1", "42"), ("-2", "40"), ("-40", "0"), ("-7", "-7"), ("0", "-7"), ("2147483647", "2147483640")]
    {
        let modify = bench.modify("cn=box", &[(Increment, "uidNumber", &[by])])?;
        rows.same(format!("by {by}"), bench.admin.code(modify).await?, ResultCode::SUCCESS);
        let seen = bench.read_selected("cn=box", ["uidNumber"]).await?;
        rows.same(format!("after {by}"), seen, wanted(&format!("uidNumber: {after}")));
    }
    rows.finish()
}

/// RFC 4525 §3: one value, of an attribute that can be counted up.
async fn increments_are_refused(bench: &Bench<'_>) -> Result<()> {
    add_account(bench).await?;
    let table: &[(&str, ChangeRow<'_>, &[ResultCode])] = &[
        (
            "an attribute that is not there",
            (Increment, "gidNumber", &["1"]),
            &[ResultCode::NO_SUCH_ATTRIBUTE],
        ),
        ("two values", (Increment, "uidNumber", &["1", "2"]), &[ResultCode::PROTOCOL_ERROR]),
        ("no value", (Increment, "uidNumber", &[]), &[ResultCode::PROTOCOL_ERROR]),
        // RFC 4525 §3: "a constraintViolation or other appropriate error".
        ("text", (Increment, "description", &["1"]), &[ResultCode::CONSTRAINT_VIOLATION]),
        (
            "by text",
            (Increment, "uidNumber", &["one"]),
            &[ResultCode::INVALID_ATTRIBUTE_SYNTAX, ResultCode::CONSTRAINT_VIOLATION],
        ),
    ];
    let mut rows = Rows::new();
    for (row, change, codes) in table {
        rows.one_of(row, &bench.admin.code(bench.modify("cn=box", &[*change])?).await?, codes);
    }
    rows.same("the number", bench.read_selected("cn=box", ["uidNumber"]).await?, wanted("uidNumber: 41"));
    rows.finish()
}

async fn the_name_cannot_be_taken_away(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "cn: Ada Byrne").await?;
    let refused = if bench.takes(Freedom::NamingViolationForRdnValue) {
        ResultCode::NAMING_VIOLATION
    } else {
        ResultCode::NOT_ALLOWED_ON_RDN
    };
    let table: &[(&str, ChangeRow<'_>)] = &[
        ("its value deleted", (Delete, "cn", &["ada"])),
        ("replaced by another", (Replace, "cn", &["Ada Byrne"])),
    ];
    let mut rows = Rows::new();
    for (row, change) in table {
        rows.same(row, bench.admin.code(bench.modify("cn=ada", &[*change])?).await?, refused);
    }
    let other = bench.modify("cn=ada", &[(Replace, "cn", &["ADA", "Ada B."])])?;
    rows.same("replaced with itself, spelt otherwise", bench.admin.code(other).await?, ResultCode::SUCCESS);
    rows.same("found", bench.find("(cn=Ada B.)").await?, vec!["ada".to_owned()]);
    rows.finish()
}

async fn classes_can_be_added_but_not_exchanged(bench: &Bench<'_>) -> Result<()> {
    bench.add("cn=ada", "objectClass: top\nobjectClass: person\ncn: ada\nsn: Byrne").await?;
    let account: &[ChangeRow<'_>] = &[
        (Add, "objectClass", &["posixAccount"]),
        (Add, "uid", &["ada"]),
        (Add, "uidNumber", &["1"]),
        (Add, "gidNumber", &["1"]),
        (Add, "homeDirectory", &["/home/ada"]),
    ];
    let mut rows = Rows::new();
    let modify = bench.modify("cn=ada", account)?;
    rows.same("an auxiliary class added", bench.admin.code(modify).await?, ResultCode::SUCCESS);
    let modify = bench.modify("cn=ada", &[(Delete, "objectClass", &["posixAccount"])])?;
    rows.same(
        "taken away, its attributes left",
        bench.admin.code(modify).await?,
        ResultCode::OBJECT_CLASS_VIOLATION,
    );
    for (row, change) in [
        ("another structural class", (Replace, "objectClass", &["top", "device", "posixAccount"][..])),
        ("a lower structural class", (Add, "objectClass", &["inetOrgPerson"])),
    ] {
        let code = bench.admin.code(bench.modify("cn=ada", &[change])?).await?;
        rows.one_of(
            row,
            &code,
            &[ResultCode::OBJECT_CLASS_MODS_PROHIBITED, ResultCode::OBJECT_CLASS_VIOLATION],
        );
    }
    let modify = bench.modify("cn=ada", &[(Delete, "objectClass", &[])])?;
    let code = bench.admin.code(modify).await?;
    rows.one_of(
        "all classes taken away",
        &code,
        &[ResultCode::OBJECT_CLASS_VIOLATION, ResultCode::OBJECT_CLASS_MODS_PROHIBITED],
    );
    rows.same(
        "found",
        bench.find("(&(objectClass=posixAccount)(objectClass=person))").await?,
        vec!["ada".to_owned()],
    );
    rows.finish()
}

async fn what_the_server_keeps_cannot_be_changed(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "").await?;
    let before = bench.read_selected("cn=ada", ["+"]).await?;
    let mut rows = Rows::new();
    let table: &[ChangeRow<'_>] = &[
        (Replace, "entryUUID", &["597ae2f6-16a6-1027-98f4-d28b5365dc14"]),
        (Replace, "createTimestamp", &["20200101000000Z"]),
        (Delete, "creatorsName", &[]),
        (Replace, "entryDN", &["cn=x,dc=y"]),
        (Replace, "structuralObjectClass", &["device"]),
        (Replace, "hasSubordinates", &["TRUE"]),
    ];
    for change in table {
        let code = bench.admin.code(bench.modify("cn=ada", &[*change])?).await?;
        rows.same(change.1, code, ResultCode::CONSTRAINT_VIOLATION);
    }
    rows.same("what the server keeps", bench.read_selected("cn=ada", ["+"]).await?, before);
    rows.finish()
}

async fn stamps_tell_who_and_when(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "userPassword: tide gauge").await?;
    let before = bench.read_selected("cn=ada", ["+"]).await?;
    let ada = bench.as_user("cn=ada", "tide gauge").await?;
    let modify = bench.modify("cn=ada", &[(Replace, "userPassword", &["sounder"])])?;
    same("the change", ada.code(modify).await?, ResultCode::SUCCESS)?;
    let after = bench.read_selected("cn=ada", ["+"]).await?;
    let mut rows = Rows::new();
    rows.same("entryUUID", after.get("entryuuid"), before.get("entryuuid"));
    rows.same("createTimestamp", after.get("createtimestamp"), before.get("createtimestamp"));
    rows.same(
        "creatorsName",
        after.get("creatorsname"),
        Some(&vec![bench.subject.administrator().0.to_string()]),
    );
    rows.same("modifiersName", after.get("modifiersname"), Some(&vec![bench.dn("cn=ada")?.to_string()]));
    rows.same("entryCSN has grown", after.get("entrycsn") > before.get("entrycsn"), true);
    rows.finish()
}

async fn hundreds_of_changes_are_one(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "").await?;
    let values: Vec<String> = (0..300).map(|number| format!("value {number}")).collect();
    let mut modify = bench.modify("cn=ada", &[])?;
    for value in &values {
        modify = modify.change(Add, "description".parse()?, [value.as_str()]);
    }
    for value in values.iter().step_by(3) {
        modify = modify.change(Delete, "2.5.4.13".parse()?, [value.to_uppercase()]);
    }
    same("the code", bench.admin.code(modify).await?, ResultCode::SUCCESS)?;
    let left = bench.read("cn=ada").await?.remove("description").unwrap_or_default();
    same("values", left.len(), 200)
}

async fn options_are_changed_apart(bench: &Bench<'_>) -> Result<()> {
    bench
        .add_person("ada", "description: tide\ndescription;lang-de: tide\ndescription;lang-en: gauge")
        .await?;
    let mut rows = Rows::new();
    let table: &[(ChangeRow<'_>, &str)] = &[
        ((Delete, "description;lang-en", &["gauge"]), "description: tide\ndescription;lang-de: tide"),
        ((Replace, "description;lang-de", &["ebb"]), "description: tide\ndescription;lang-de: ebb"),
        ((Delete, "description", &[]), "description;lang-de: ebb"),
    ];
    for (change, after) in table {
        let code = bench.admin.code(bench.modify("cn=ada", &[*change])?).await?;
        rows.same(change.1, code, ResultCode::SUCCESS);
        rows.same(change.1, bench.read("cn=ada").await?, wanted(&person("ada", after)));
    }
    rows.finish()
}

async fn a_missing_entry_is_named_by_how_far_the_name_matched(bench: &Bench<'_>) -> Result<()> {
    let outcome = bench.admin.outcome(bench.modify("cn=x,ou=nowhere", &[(Replace, "sn", &["x"])])?).await?;
    same("the code", outcome.result.code, ResultCode::NO_SUCH_OBJECT)?;
    same("matched DN", outcome.result.matched_dn.to_lowercase(), bench.home.to_string().to_lowercase())
}

async fn the_root_cannot_be_changed(bench: &Bench<'_>) -> Result<()> {
    let modify = Modify::new(Dn::root()).change(Replace, "description".parse()?, ["x"]);
    let code = bench.admin.code(modify).await?;
    let refusals = [
        ResultCode::UNWILLING_TO_PERFORM,
        ResultCode::NO_SUCH_OBJECT,
        ResultCode::INSUFFICIENT_ACCESS_RIGHTS,
    ];
    one_of("the code", &code, &refusals)
}
