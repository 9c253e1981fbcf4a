//! Controls: criticality (RFC 4511 §4.1.11), assertion (RFC 4528), read entry (RFC 4527), ManageDsaIT (RFC 3296).

use anyhow::{Context as _, Result};
use bytes::Bytes;
use flext_ldap_directory::{
    Directory as _, DirectoryExt as _, ErrorKind, Op, Outcome, Request,
    proto::{
        ber::Reader,
        control::{
            Assertion, Control, ControlValue, ManageDsaIt, PagedResults, PostRead, PreRead, ReadEntry,
        },
        filter::Filter,
        message::{
            ChangeKind::{Add, Delete, Increment, Replace},
            Limits, Scope, Search,
        },
        oid::Oid,
        result::ResultCode,
    },
};

use super::{
    Freedom,
    bench::{Bench, Contents, contents, parsed, person, wanted},
    checks,
    report::{Rows, same},
};

checks![
    unknown_critical_controls_stop_the_operation,
    unknown_other_controls_are_ignored,
    controls_that_do_not_fit_the_operation_stop_it,
    malformed_values_are_protocol_errors,
    assertions_guard_every_operation,
    assertions_are_three_valued,
    pre_read_shows_what_was,
    post_read_shows_what_is,
    both_reads_and_an_assertion_work_together,
    a_failed_change_is_not_read,
    manage_dsa_it_changes_nothing_for_plain_entries,
    referral_objects_send_elsewhere,
    manage_dsa_it_makes_referral_objects_entries,
];

const UNKNOWN: Oid = Oid::from_static("1.3.6.1.4.1.32473.3");

/// One of each operation, on entries that are there.
async fn operations(bench: &Bench<'_>, tag: &str) -> Result<Vec<(&'static str, Op)>> {
    let (compared, changed, deleted, renamed, added) =
        (format!("{tag}1"), format!("{tag}2"), format!("{tag}3"), format!("{tag}4"), format!("{tag}5"));
    for cn in [&compared, &changed, &deleted, &renamed] {
        bench.add_person(cn, "title: before").await?;
    }
    let base = Search::new(bench.dn(&format!("cn={compared}"))?, Scope::Base, Filter::any());
    Ok(vec![
        ("search", base.into()),
        ("compare", bench.compare(&format!("cn={compared}"), "title", "before")?.into()),
        ("modify", bench.modify(&format!("cn={changed}"), &[(Replace, "title", &["after"])])?.into()),
        ("delete", bench.delete(&format!("cn={deleted}"))?.into()),
        ("modrdn", bench.rename(&format!("cn={renamed}"), &format!("cn={tag}r"), true, None)?.into()),
        ("add", bench.entry(&format!("cn={added}"), &person(&added, "title: before"))?.into()),
    ])
}

async fn ask(bench: &Bench<'_>, op: Op, controls: Vec<Control>) -> Result<Outcome> {
    let mut request: Request = bench.admin.request(op);
    for control in controls {
        request.controls.push_raw(control);
    }
    Ok(bench.admin.session.call(request).outcome().await?)
}

const fn is_done(code: ResultCode) -> bool {
    matches!(code, ResultCode::SUCCESS | ResultCode::COMPARE_TRUE)
}

async fn unknown_critical_controls_stop_the_operation(bench: &Bench<'_>) -> Result<()> {
    let mut rows = Rows::new();
    for (name, op) in operations(bench, "u").await? {
        let control = Control { oid: UNKNOWN, critical: true, value: Some(Bytes::from_static(b"x")) };
        let code = ask(bench, op, vec![control]).await?.result.code;
        rows.same(name, code, ResultCode::UNAVAILABLE_CRITICAL_EXTENSION);
    }
    rows.same(
        "nothing was done",
        bench.find("(title=before)").await?,
        ["u1", "u2", "u3", "u4"].map(str::to_owned).to_vec(),
    );
    rows.finish()
}

async fn unknown_other_controls_are_ignored(bench: &Bench<'_>) -> Result<()> {
    let mut rows = Rows::new();
    for (name, op) in operations(bench, "i").await? {
        let control = Control { oid: UNKNOWN, critical: false, value: None };
        let code = ask(bench, op, vec![control]).await?.result.code;
        rows.same(name, is_done(code), true);
    }
    rows.same(
        "all was done",
        bench.find("(title=before)").await?,
        ["i1", "i5", "ir"].map(str::to_owned).to_vec(),
    );
    rows.finish()
}

/// RFC 4511 §4.1.11: a critical control that is not appropriate for the operation counts as one that is not known.
async fn controls_that_do_not_fit_the_operation_stop_it(bench: &Bench<'_>) -> Result<()> {
    let mut rows = Rows::new();
    let page = PagedResults { size: 5, cookie: Bytes::new() };
    for (name, op) in operations(bench, "f").await? {
        if name == "search" {
            let request = bench.admin.request(op).critical(&PostRead::default());
            let code = bench.admin.session.call(request).outcome().await?.result.code;
            rows.same("post-read on a search", code, ResultCode::UNAVAILABLE_CRITICAL_EXTENSION);
        } else {
            let request = bench.admin.request(op).critical(&page);
            let code = bench.admin.session.call(request).outcome().await?.result.code;
            rows.same(format!("paging on {name}"), code, ResultCode::UNAVAILABLE_CRITICAL_EXTENSION);
        }
    }
    rows.finish()
}

async fn malformed_values_are_protocol_errors(bench: &Bench<'_>) -> Result<()> {
    let (administrator, password) = bench.subject.administrator();
    let mut rows = Rows::new();
    let search = || Search::new(bench.home.clone(), Scope::Base, Filter::any());
    for (name, oid, op) in [
        ("paging", PagedResults::OID, Op::from(search())),
        ("an assertion", Assertion::OID, search().into()),
        ("pre-read", PreRead::OID, bench.modify("", &[(Replace, "description", &["x"])])?.into()),
        ("post-read", PostRead::OID, bench.modify("", &[(Replace, "description", &["x"])])?.into()),
    ] {
        for value in
            [None, Some(Bytes::from_static(b"\x30\x05\x02\x01")), Some(Bytes::from_static(b"not BER at all"))]
        {
            let control = Control { oid: oid.clone(), critical: true, value: value.clone() };
            let row = format!("{name} of {value:?}");
            let mut conversation = bench.anonymous().await?;
            conversation.bind(administrator.as_str(), password.clone()).await?;
            let mut request = conversation.request(op.clone());
            request.controls.push_raw(control);
            match conversation.session.call(request).outcome().await {
                // A proxy before such a server keeps the client's connection, and says that the server is gone.
                Ok(outcome)
                    if bench.takes(Freedom::MalformedAssertionEndsConversation)
                        && outcome.result.code == ResultCode::UNAVAILABLE =>
                {
                    rows.same(row, name, "an assertion");
                }
                Ok(outcome) => rows.same(row, outcome.result.code, ResultCode::PROTOCOL_ERROR),
                Err(error) if bench.takes(Freedom::MalformedAssertionEndsConversation) => {
                    rows.same(row, (name, error.kind()), ("an assertion", ErrorKind::Closed));
                }
                Err(error) => rows.take(row, Err(error.into())),
            }
        }
    }
    rows.finish()
}

async fn assertions_guard_every_operation(bench: &Bench<'_>) -> Result<()> {
    let mut rows = Rows::new();
    let no = Assertion(parsed("(title=something else)")?);
    for (name, op) in operations(bench, "n").await? {
        let code = bench.admin.outcome_with(op, &no).await?.result.code;
        rows.same(format!("false, {name}"), code, ResultCode::ASSERTION_FAILED);
    }
    rows.same(
        "nothing was done",
        bench.find("(title=before)").await?,
        ["n1", "n2", "n3", "n4"].map(str::to_owned).to_vec(),
    );
    let yes = Assertion(parsed("(&(title=before)(objectClass=person))")?);
    for (name, op) in operations(bench, "y").await? {
        let code = bench.admin.outcome_with(op, &yes).await?.result.code;
        rows.same(format!("true, {name}: {code}"), is_done(code), true);
    }
    rows.finish()
}

async fn assertions_are_three_valued(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "title: Head").await?;
    let mut rows = Rows::new();
    for (filter, is_true) in [
        ("(title=head)", true),
        ("(!(title=tail))", true),
        ("(&)", true),
        ("(|)", false),
        ("(colour=blue)", false),
        ("(!(colour=blue))", false),
        ("(|(colour=blue)(title=head))", true),
        ("(entryDN=cn=nobody)", false),
        ("(hasSubordinates=FALSE)", true),
    ] {
        let modify = bench.modify("cn=ada", &[(Replace, "description", &["x"])])?;
        let code = bench.admin.outcome_with(modify, &Assertion(parsed(filter)?)).await?.result.code;
        rows.same(filter, code, if is_true { ResultCode::SUCCESS } else { ResultCode::ASSERTION_FAILED });
    }
    rows.finish()
}

/// What a read-entry control answered.
fn read_entry(outcome: &Outcome, oid: &Oid) -> Result<(String, Contents)> {
    let control = outcome.controls.iter().find(|control| control.oid == *oid);
    let value = control
        .and_then(|control| control.value.clone())
        .with_context(|| format!("no answer of the control with {:?}", outcome.result))?;
    let ReadEntry(entry) = ReadEntry::decode(&mut Reader::new(&value), &Limits::DEFAULT)?;
    Ok((entry.dn_str().to_owned(), contents(entry.attributes())))
}

async fn pre_read_shows_what_was(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "title: before").await?;
    let control = PreRead(["title", "cn", "mail"].into());
    let was = wanted("title: before\ncn: ada");
    let name = bench.dn("cn=ada")?.to_string();
    let mut rows = Rows::new();
    let modify =
        bench.modify("cn=ada", &[(Replace, "title", &["after"]), (Add, "mail", &["a@b.example"])])?;
    let outcome = bench.admin.outcome_with(modify, &control).await?;
    rows.same("modify", read_entry(&outcome, &PreRead::OID)?, (name.clone(), was));
    let outcome = bench.admin.outcome_with(bench.rename("cn=ada", "cn=ben", true, None)?, &control).await?;
    let is = wanted("title: after\ncn: ada\nmail: a@b.example");
    rows.same("modrdn", read_entry(&outcome, &PreRead::OID)?, (name, is));
    let outcome = bench.admin.outcome_with(bench.delete("cn=ben")?, &control).await?;
    let last = wanted("title: after\ncn: ben\nmail: a@b.example");
    rows.same("delete", read_entry(&outcome, &PreRead::OID)?, (bench.dn("cn=ben")?.to_string(), last));
    rows.finish()
}

async fn post_read_shows_what_is(bench: &Bench<'_>) -> Result<()> {
    let mut rows = Rows::new();
    let control = PostRead(["title", "cn", "entryDN"].into());
    let name = bench.dn("cn=ada")?.to_string();
    let add = bench.entry("cn=ada", &person("ada", "title: first"))?;
    let outcome = bench.admin.outcome_with(add, &control).await?;
    let is = wanted(&format!("title: first\ncn: ada\nentryDN: {name}"));
    rows.same("add", read_entry(&outcome, &PostRead::OID)?, (name.clone(), is));
    let modify = bench.modify("cn=ada", &[(Replace, "title", &["second"])])?;
    let outcome = bench.admin.outcome_with(modify, &control).await?;
    let is = wanted(&format!("title: second\ncn: ada\nentryDN: {name}"));
    rows.same("modify", read_entry(&outcome, &PostRead::OID)?, (name, is));
    let outcome = bench.admin.outcome_with(bench.rename("cn=ada", "cn=ben", true, None)?, &control).await?;
    let name = bench.dn("cn=ben")?.to_string();
    let is = wanted(&format!("title: second\ncn: ben\nentryDN: {name}"));
    rows.same("modrdn", read_entry(&outcome, &PostRead::OID)?, (name, is));
    rows.finish()
}

/// A counter that nobody else can count at the same time: RFC 4525 §1.
async fn both_reads_and_an_assertion_work_together(bench: &Bench<'_>) -> Result<()> {
    bench
        .add("cn=next", "objectClass: device\nobjectClass: extensibleObject\ncn: next\nuidNumber: 1000")
        .await?;
    let mut rows = Rows::new();
    for number in 1000..1003 {
        let modify = bench.modify("cn=next", &[(Increment, "uidNumber", &["1"])])?;
        let request = bench
            .admin
            .request(modify)
            .critical(&Assertion(parsed(&format!("(uidNumber={number})"))?))
            .critical(&PreRead(["uidNumber"].into()))
            .critical(&PostRead(["uidNumber"].into()));
        let outcome = bench.admin.session.call(request.into_any()).outcome().await?;
        rows.same("before", read_entry(&outcome, &PreRead::OID)?.1, wanted(&format!("uidNumber: {number}")));
        rows.same(
            "after",
            read_entry(&outcome, &PostRead::OID)?.1,
            wanted(&format!("uidNumber: {}", number + 1)),
        );
    }
    rows.finish()
}

async fn a_failed_change_is_not_read(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "").await?;
    let modify = bench.modify("cn=ada", &[(Delete, "title", &[])])?;
    let outcome = bench.admin.outcome_with(modify, &PostRead::default()).await?;
    same("the code", outcome.result.code, ResultCode::NO_SUCH_ATTRIBUTE)?;
    same("controls", outcome.controls.iter().any(|control| control.oid == PostRead::OID), false)
}

async fn manage_dsa_it_changes_nothing_for_plain_entries(bench: &Bench<'_>) -> Result<()> {
    let mut rows = Rows::new();
    for (name, op) in operations(bench, "m").await? {
        let code = bench.admin.outcome_with(op, &ManageDsaIt).await?.result.code;
        rows.same(format!("{name}: {code}"), is_done(code), true);
    }
    rows.finish()
}

async fn referral(bench: &Bench<'_>) -> Result<()> {
    let lines = "objectClass: referral\nobjectClass: extensibleObject\nou: else\n\
                 ref: ldap://other.harbourlane.example/ou=there,dc=other";
    bench.add("ou=else", lines).await?;
    bench.add_person("ada", "").await
}

/// RFC 3296 §5: below a referral object the answer is a referral to where the name is; a search that meets one goes on.
async fn referral_objects_send_elsewhere(bench: &Bench<'_>) -> Result<()> {
    referral(bench).await?;
    let there = "ldap://other.harbourlane.example/";
    let mut rows = Rows::new();
    for (row, op, name) in [
        (
            "search",
            Op::from(Search::new(bench.dn("cn=x,ou=else")?, Scope::Base, Filter::any())),
            "cn=x,ou=there,dc=other",
        ),
        ("compare", bench.compare("cn=x,ou=else", "cn", "x")?.into(), "cn=x,ou=there,dc=other"),
        ("modify", bench.modify("ou=else", &[(Replace, "description", &["x"])])?.into(), "ou=there,dc=other"),
        ("delete", bench.delete("ou=else")?.into(), "ou=there,dc=other"),
        ("modrdn", bench.rename("ou=else", "ou=moved", true, None)?.into(), "ou=there,dc=other"),
        ("add", bench.entry("cn=x,ou=else", &person("x", ""))?.into(), "cn=x,ou=there,dc=other"),
    ] {
        let result = bench.admin.outcome(op).await?.result;
        rows.same(row, result.code, ResultCode::REFERRAL);
        let urls: Vec<_> =
            result.referrals.iter().map(|url| url.split('?').next().unwrap_or_default()).collect();
        rows.same(row, urls, vec![&*format!("{there}{name}")]);
    }
    let mut entries = bench.admin.session.search(bench.admin.request(bench.search("(objectClass=*)")?));
    let mut names = Vec::new();
    while let Some(entry) = entries.next().await? {
        names.push(entry.dn_str().to_owned());
    }
    rows.same("entries", names.len(), 2);
    let references: Vec<_> =
        entries.references().map(|url| url.split('?').next().unwrap_or_default().to_owned()).collect();
    rows.same("references", references, vec![format!("{there}ou=there,dc=other")]);
    rows.finish()
}

async fn manage_dsa_it_makes_referral_objects_entries(bench: &Bench<'_>) -> Result<()> {
    referral(bench).await?;
    let mut rows = Rows::new();
    let request = bench.admin.request(bench.search("(objectClass=referral)")?).critical(&ManageDsaIt);
    let found = bench.admin.session.search_all(request).await?;
    rows.same("found", found.len(), 1);
    let modify = bench.modify("ou=else", &[(Replace, "ref", &["ldap://third.harbourlane.example/"])])?;
    rows.same(
        "modify",
        bench.admin.outcome_with(modify, &ManageDsaIt).await?.result.code,
        ResultCode::SUCCESS,
    );
    let rename = bench.rename("ou=else", "ou=moved", true, None)?;
    rows.same(
        "modrdn",
        bench.admin.outcome_with(rename, &ManageDsaIt).await?.result.code,
        ResultCode::SUCCESS,
    );
    let delete = bench.delete("ou=moved")?;
    rows.same(
        "delete",
        bench.admin.outcome_with(delete, &ManageDsaIt).await?.result.code,
        ResultCode::SUCCESS,
    );
    rows.finish()
}
