//! Who may do what: the rights any subject is set up with, and the ways around them that are closed.

use anyhow::{Result, ensure};
use flext_ldap_directory::{
    Op,
    proto::{
        attribute::Selection,
        filter::Filter,
        message::{
            ChangeKind::{Add, Delete, Replace},
            Scope, Search,
        },
        result::ResultCode,
    },
};

use super::{
    bench::{Bench, Conversation, person},
    checks,
    report::{Rows, same},
};

checks![
    others_write_nothing,
    passwords_are_not_read,
    passwords_are_not_guessed_by_filters,
    passwords_are_not_read_from_changes,
    users_change_their_own_password_only,
    rights_are_of_the_last_bind,
];

async fn two_people(bench: &Bench<'_>) -> Result<(Conversation, Conversation)> {
    bench.add_person("ada", "userPassword: tide gauge\ntitle: before").await?;
    bench.add_person("ben", "userPassword: sounder").await?;
    Ok((bench.as_user("cn=ben", "sounder").await?, bench.anonymous().await?))
}

const fn is_refusal(code: ResultCode) -> bool {
    // RFC 4511 appendix A: no right, or none before a stronger authentication; or what may not be seen is not there.
    matches!(
        code,
        ResultCode::INSUFFICIENT_ACCESS_RIGHTS
            | ResultCode::STRONGER_AUTH_REQUIRED
            | ResultCode::NO_SUCH_OBJECT
            | ResultCode::UNWILLING_TO_PERFORM
    )
}

async fn others_write_nothing(bench: &Bench<'_>) -> Result<()> {
    let (ben, nobody) = two_people(bench).await?;
    let mut rows = Rows::new();
    for (who, conversation) in [("ben", &ben), ("nobody", &nobody)] {
        let table: [(&str, Op); 8] = [
            ("an add", bench.entry("cn=x", &person("x", ""))?.into()),
            ("an add below a person", bench.entry("cn=x,cn=ben", &person("x", ""))?.into()),
            ("a modify", bench.modify("cn=ada", &[(Replace, "title", &["after"])])?.into()),
            ("a value added", bench.modify("cn=ada", &[(Add, "description", &["x"])])?.into()),
            ("a value deleted", bench.modify("cn=ada", &[(Delete, "title", &[])])?.into()),
            ("a delete", bench.delete("cn=ada")?.into()),
            ("a rename", bench.rename("cn=ada", "cn=eve", true, None)?.into()),
            ("a move", bench.rename("cn=ada", "cn=ada", true, Some("cn=ben"))?.into()),
        ];
        for (what, op) in table {
            let code = conversation.code(op).await?;
            rows.same(format!("{what} by {who}: {code}"), is_refusal(code), true);
        }
    }
    rows.same("nothing was done", bench.find("(title=before)").await?, vec!["ada".to_owned()]);
    rows.same(
        "nothing was added",
        bench.find("(objectClass=person)").await?,
        ["ada", "ben"].map(str::to_owned).to_vec(),
    );
    rows.finish()
}

async fn passwords_are_not_read(bench: &Bench<'_>) -> Result<()> {
    let (ben, nobody) = two_people(bench).await?;
    let mut rows = Rows::new();
    for (who, conversation) in [("ben", &ben), ("nobody", &nobody)] {
        for selection in
            [&["userPassword"][..], &["*", "+"], &["2.5.4.35"], &["@person"], &["userPassword;x-a", "*"]]
        {
            let search = Search::new(bench.dn("cn=ada")?, Scope::Base, Filter::any());
            let entries =
                conversation.entries(search.attributes(selection.iter().collect::<Selection>())).await?;
            let seen = entries.iter().any(|entry| {
                entry.attributes().iter().any(|attribute| {
                    let name = attribute.description().to_ascii_lowercase();
                    name.contains("password") || name == "2.5.4.35"
                })
            });
            rows.same(format!("{who} with {selection:?}"), seen, false);
        }
    }
    rows.finish()
}

async fn passwords_are_not_guessed_by_filters(bench: &Bench<'_>) -> Result<()> {
    let (ben, nobody) = two_people(bench).await?;
    let mut rows = Rows::new();
    for (who, conversation) in [("ben", &ben), ("nobody", &nobody)] {
        for filter in [
            "(userPassword=*)",
            "(userPassword=tide gauge)",
            "(userPassword={*)",
            "(userPassword>={)",
            "(2.5.4.35=*)",
            "(userPassword:octetStringMatch:=tide gauge)",
            "(:octetStringMatch:=tide gauge)",
            "(&(cn=ada)(!(userPassword=x)))",
            "(&(cn=ada)(!(userPassword=*)))",
        ] {
            let found = conversation.names(bench.search(filter)?).await?;
            // What may not be searched is undefined: neither the filter nor its opposite finds ada.
            rows.same(format!("{who}: {filter}"), found.contains(&"ada".to_owned()), false);
        }
        let code = conversation.code(bench.compare("cn=ada", "userPassword", "tide gauge")?).await?;
        rows.same(format!("{who}: compare: {code}"), code == ResultCode::COMPARE_TRUE, false);
        let wrong = conversation.code(bench.compare("cn=ada", "userPassword", "wrong")?).await?;
        rows.same(format!("{who}: compare answers alike"), wrong, code);
    }
    rows.finish()
}

/// Read-entry controls obey the same rights as a search.
async fn passwords_are_not_read_from_changes(bench: &Bench<'_>) -> Result<()> {
    use flext_ldap_directory::proto::{
        ber::Reader,
        control::{ControlValue as _, PostRead, ReadEntry},
        message::Limits,
    };
    let (ben, _) = two_people(bench).await?;
    let modify = bench.modify("cn=ben", &[(Replace, "userPassword", &["lead line"])])?;
    let outcome = ben.outcome_with(modify, &PostRead(["userPassword", "cn"].into())).await?;
    same("the change", outcome.result.code, ResultCode::SUCCESS)?;
    for control in outcome.controls.iter().filter(|control| control.oid == PostRead::OID) {
        let value = control.value.clone().unwrap_or_default();
        let ReadEntry(entry) = ReadEntry::decode(&mut Reader::new(&value), &Limits::DEFAULT)?;
        ensure!(
            entry.attributes().get("userPassword").is_none()
                || bench.takes(super::Freedom::OwnPasswordIsReadable),
            "the password came back"
        );
    }
    Ok(())
}

async fn users_change_their_own_password_only(bench: &Bench<'_>) -> Result<()> {
    let (ben, _) = two_people(bench).await?;
    let mut rows = Rows::new();
    let own = bench.modify("cn=ben", &[(Replace, "userPassword", &["lead line"])])?;
    rows.same("their own", ben.code(own).await?, ResultCode::SUCCESS);
    let other = bench.modify("cn=ada", &[(Replace, "userPassword", &["stolen"])])?;
    rows.same("another's", ben.code(other).await?, ResultCode::INSUFFICIENT_ACCESS_RIGHTS);
    rows.take("ada", bench.as_user("cn=ada", "tide gauge").await.map(drop));
    rows.take("ben", bench.as_user("cn=ben", "lead line").await.map(drop));
    rows.finish()
}

async fn rights_are_of_the_last_bind(bench: &Bench<'_>) -> Result<()> {
    two_people(bench).await?;
    let mut conversation = bench.anonymous().await?;
    let (administrator, password) = bench.subject.administrator();
    let mut rows = Rows::new();
    let write = |title: &'static str| bench.modify("cn=ada", &[(Replace, "title", &[title])]);
    rows.same("before", is_refusal(conversation.code(write("a")?).await?), true);
    conversation.bind(administrator.as_str(), password.clone()).await?;
    rows.same("as the administrator", conversation.code(write("b")?).await?, ResultCode::SUCCESS);
    conversation.bind(bench.dn("cn=ben")?.as_str(), "sounder".into()).await?;
    rows.same("as ben", is_refusal(conversation.code(write("c")?).await?), true);
    conversation.bind(administrator.as_str(), password.clone()).await?;
    let step = flext_ldap_directory::BindStep::simple(administrator.as_str(), "wrong".into());
    rows.same("a failed bind", conversation.bind_code(step).await?, ResultCode::INVALID_CREDENTIALS);
    rows.same("after it", is_refusal(conversation.code(write("d")?).await?), true);
    rows.same("the title", bench.find("(title=b)").await?, vec!["ada".to_owned()]);
    rows.finish()
}
