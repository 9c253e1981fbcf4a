//! Extended operations: Who Am I (RFC 4532), Password Modify (RFC 3062), and those nobody knows (RFC 4511 §4.12).

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use flext_ldap_directory::{
    BindStep, DirectoryExt as _,
    proto::{
        extended::{Cancel, ExtendedOperation, PasswordModify, WhoAmI},
        message::{ExtendedRequest, MessageId},
        oid::Oid,
        result::ResultCode,
        secret::Secret,
    },
};

use super::{
    bench::{Bench, Conversation},
    checks,
    report::{Rows, one_of, same},
};

checks![
    unknown_operations_are_protocol_errors,
    malformed_operations_are_protocol_errors,
    who_am_i_tells_who,
    users_change_their_own_password,
    a_wrong_old_password_changes_nothing,
    an_administrator_sets_a_password,
    a_password_can_be_made_up,
    others_do_not_change_a_password,
    cancelling_nothing_says_so,
];

async fn code_of_bind(bench: &Bench<'_>, relative: &str, password: &[u8]) -> Result<ResultCode> {
    let step = BindStep::simple(bench.dn(relative)?.as_str(), Secret::new(password));
    bench.anonymous().await?.bind_code(step).await
}

async fn change(conversation: &Conversation, modify: PasswordModify) -> Result<ResultCode> {
    conversation.code(modify.request()).await
}

async fn unknown_operations_are_protocol_errors(bench: &Bench<'_>) -> Result<()> {
    let mut rows = Rows::new();
    for value in [None, Some(Bytes::from_static(b"\x30\x00"))] {
        let request = ExtendedRequest { oid: Oid::from_static("1.3.6.1.4.1.32473.4"), value };
        rows.same(
            "as the administrator",
            bench.admin.code(request.clone()).await?,
            ResultCode::PROTOCOL_ERROR,
        );
        rows.same("as nobody", bench.anonymous().await?.code(request).await?, ResultCode::PROTOCOL_ERROR);
    }
    rows.finish()
}

async fn malformed_operations_are_protocol_errors(bench: &Bench<'_>) -> Result<()> {
    let mut rows = Rows::new();
    for (name, oid, value) in [
        ("a password modify of garbage", PasswordModify::OID, &b"garbage"[..]),
        ("a password modify cut short", PasswordModify::OID, b"\x30\x09\x80\x05cn"),
        ("a who am I with a value", WhoAmI::OID, b"\x30\x00"),
    ] {
        let request = ExtendedRequest { oid, value: Some(Bytes::from_static(value)) };
        rows.same(name, bench.admin.code(request).await?, ResultCode::PROTOCOL_ERROR);
    }
    rows.finish()
}

async fn who_am_i_tells_who(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "userPassword: tide gauge").await?;
    let mut rows = Rows::new();
    rows.same("nobody", bench.anonymous().await?.who_am_i().await?, String::new());
    let administrator = &bench.subject.administrator().0;
    rows.same("the administrator", bench.admin.who_am_i().await?, format!("dn:{administrator}"));
    let ada = bench.as_user("cn=ada", "tide gauge").await?;
    rows.same("ada", ada.who_am_i().await?, format!("dn:{}", bench.dn("cn=ada")?));
    rows.finish()
}

async fn users_change_their_own_password(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "userPassword: tide gauge").await?;
    let ada = bench.as_user("cn=ada", "tide gauge").await?;
    let mut rows = Rows::new();
    let modify = PasswordModify { user: None, old: Some("tide gauge".into()), new: Some("sounder".into()) };
    rows.same("with the old one", change(&ada, modify).await?, ResultCode::SUCCESS);
    rows.same("the new one", code_of_bind(bench, "cn=ada", b"sounder").await?, ResultCode::SUCCESS);
    rows.same(
        "the old one",
        code_of_bind(bench, "cn=ada", b"tide gauge").await?,
        ResultCode::INVALID_CREDENTIALS,
    );
    let user = Some(bench.dn("CN=Ada")?.to_string());
    let modify = PasswordModify { user, old: Some("sounder".into()), new: Some("lead line".into()) };
    rows.same("by their own name", change(&ada, modify).await?, ResultCode::SUCCESS);
    rows.same("the newest one", code_of_bind(bench, "cn=ada", b"lead line").await?, ResultCode::SUCCESS);
    rows.finish()
}

async fn a_wrong_old_password_changes_nothing(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "userPassword: tide gauge").await?;
    let ada = bench.as_user("cn=ada", "tide gauge").await?;
    let modify = PasswordModify { user: None, old: Some("wrong".into()), new: Some("sounder".into()) };
    // RFC 3062 §2 names no code for it.
    one_of(
        "the code",
        &change(&ada, modify).await?,
        &[
            ResultCode::INVALID_CREDENTIALS,
            ResultCode::UNWILLING_TO_PERFORM,
            ResultCode::CONSTRAINT_VIOLATION,
        ],
    )?;
    same("the old one", code_of_bind(bench, "cn=ada", b"tide gauge").await?, ResultCode::SUCCESS)?;
    same("the new one", code_of_bind(bench, "cn=ada", b"sounder").await?, ResultCode::INVALID_CREDENTIALS)
}

async fn an_administrator_sets_a_password(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "").await?;
    let mut rows = Rows::new();
    for password in ["sounder", "lead line"] {
        let user = Some(bench.dn("cn=ada")?.to_string());
        let modify = PasswordModify { user, old: None, new: Some(password.into()) };
        rows.same(password, change(bench.admin, modify).await?, ResultCode::SUCCESS);
        rows.same(password, code_of_bind(bench, "cn=ada", password.as_bytes()).await?, ResultCode::SUCCESS);
    }
    rows.same("the first", code_of_bind(bench, "cn=ada", b"sounder").await?, ResultCode::INVALID_CREDENTIALS);
    let user = Some(bench.dn("cn=nobody")?.to_string());
    let nobody = change(bench.admin, PasswordModify { user, old: None, new: Some("x".into()) }).await?;
    rows.same("nobody's is set", nobody == ResultCode::SUCCESS, false);
    rows.finish()
}

async fn a_password_can_be_made_up(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "userPassword: tide gauge").await?;
    let modify = PasswordModify { user: Some(bench.dn("cn=ada")?.to_string()), old: None, new: None };
    let answer =
        bench.admin.session.extended::<PasswordModify>(bench.admin.request(modify.request())).await?;
    let generated = answer.generated.context("no password in the answer")?;
    ensure!(generated.expose().len() >= 8, "a password of {} octets", generated.expose().len());
    same("the new one", code_of_bind(bench, "cn=ada", generated.expose()).await?, ResultCode::SUCCESS)?;
    same("the old one", code_of_bind(bench, "cn=ada", b"tide gauge").await?, ResultCode::INVALID_CREDENTIALS)
}

async fn others_do_not_change_a_password(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "userPassword: tide gauge").await?;
    bench.add_person("ben", "userPassword: sounder").await?;
    let ben = bench.as_user("cn=ben", "sounder").await?;
    let user = Some(bench.dn("cn=ada")?.to_string());
    let mut rows = Rows::new();
    for (row, conversation) in [("ben", &ben), ("nobody", &bench.anonymous().await?)] {
        for old in [None, Some(Secret::from("tide gauge"))] {
            let with_old = old.is_some();
            let modify = PasswordModify { user: user.clone(), old, new: Some("stolen".into()) };
            let code = change(conversation, modify).await?;
            // RFC 3062 §2 lets a server take the old password for proof of who asks; ours and slapd do not.
            rows.same(
                format!("{row}, old password given: {with_old}: {code}"),
                code == ResultCode::SUCCESS,
                false,
            );
        }
    }
    rows.same("the old one", code_of_bind(bench, "cn=ada", b"tide gauge").await?, ResultCode::SUCCESS);
    rows.finish()
}

/// RFC 3909: what is not in progress cannot be cancelled.
async fn cancelling_nothing_says_so(bench: &Bench<'_>) -> Result<()> {
    let request = Cancel(MessageId(0x7fff_0000)).request();
    // The seam does not carry Cancel (it belongs to a conversation): refused there, or answered by a server.
    match bench.admin.code(request).await {
        Ok(code) => one_of(
            "the code",
            &code,
            &[ResultCode::NO_SUCH_OPERATION, ResultCode::PROTOCOL_ERROR, ResultCode::CANNOT_CANCEL],
        ),
        Err(error) => {
            let kind =
                error.downcast_ref::<flext_ldap_directory::Error>().map(flext_ldap_directory::Error::kind);
            same("the refusal", kind, Some(flext_ldap_directory::ErrorKind::Misuse))
        }
    }
}
