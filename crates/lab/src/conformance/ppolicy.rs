//! Password policy (draft-behera-ldap-password-policy-10), as far as it needs no waiting: each check has a policy of its
//! own, which its people name by `pwdPolicySubentry`.

use anyhow::{Context as _, Result, ensure};
use flext_ldap_directory::{
    BindReply, BindStep, Directory as _, Operation, Outcome,
    proto::{
        control::{
            Controls, PasswordPolicyError as Code, PasswordPolicyRequest, PasswordPolicyResponse,
            PasswordPolicyWarning as Warning,
        },
        extended::{ExtendedOperation as _, PasswordModify},
        message::{ChangeKind, Limits},
        result::ResultCode,
    },
};

use super::{
    bench::{Bench, Conversation},
    checks,
    report::{Rows, same},
};

checks![
    failed_binds_lock_an_account_until_it_is_unlocked,
    a_success_forgets_failed_binds,
    one_who_asks_not_is_not_told,
    a_password_that_was_reset_must_be_changed,
    a_password_about_to_expire_is_warned_of,
    owners_are_held_to_the_rules,
    what_users_may_not_change_they_do_not_change,
    an_administrator_is_held_to_nothing,
];

const RIGHT: &str = "ebb tide 1877";

/// What a bind or a change is answered: the code, and what the control says.
type Answer = (ResultCode, Option<PasswordPolicyResponse>);

const NOTHING: PasswordPolicyResponse = PasswordPolicyResponse { warning: None, error: None };

/// Adds a policy, and a person who is under it.
async fn prepare(bench: &Bench<'_>, rules: &str) -> Result<()> {
    let policy = format!(
        "objectClass: top\nobjectClass: device\nobjectClass: pwdPolicy\ncn: rules\n\
         pwdAttribute: userPassword\n{rules}"
    );
    bench.add("cn=rules", &policy).await?;
    let policy = bench.dn("cn=rules")?;
    let lines = format!("userPassword: {RIGHT}\npwdPolicySubentry: {policy}");
    bench.add_person("ada", &lines).await?;
    // Where a password that somebody has set must be changed, this was one.
    set(bench, ChangeKind::Replace, "pwdReset", &["FALSE"]).await
}

async fn set(bench: &Bench<'_>, kind: ChangeKind, attribute: &str, values: &[&str]) -> Result<()> {
    bench.admin.done(bench.modify("cn=ada", &[(kind, attribute, values)])?).await
}

fn answer(outcome: &Outcome) -> Result<Answer> {
    let heard = outcome.controls.get(&Limits::DEFAULT).context("the control cannot be read")?;
    Ok((outcome.result.code, heard))
}

fn refused(code: ResultCode, error: Code) -> Answer {
    (code, Some(PasswordPolicyResponse { warning: None, error: Some(error) }))
}

/// Binds as the person with the control.
async fn bind(bench: &Bench<'_>, conversation: &mut Conversation, password: &str) -> Result<Answer> {
    let controls = Controls::none().optional(&PasswordPolicyRequest);
    let name = bench.dn("cn=ada")?.to_string();
    let step = BindStep::Simple { name, password: password.into(), controls };
    let (BindReply::Done { outcome, .. } | BindReply::Refused(outcome)) = conversation.step(step).await?
    else {
        anyhow::bail!("a simple bind has one step")
    };
    answer(&outcome)
}

async fn signs_in(bench: &Bench<'_>, password: &str) -> Result<Answer> {
    bind(bench, &mut bench.anonymous().await?, password).await
}

/// Asks with the control, which may be ignored.
async fn ask(conversation: &Conversation, op: impl Operation) -> Result<Answer> {
    let request = conversation.request(op).optional(&PasswordPolicyRequest);
    answer(&conversation.session.call(request.into_any()).outcome().await?)
}

/// The answer without a control, or with one that says nothing: servers do either.
fn quiet(answer: Answer) -> ResultCode {
    match answer {
        (code, None | Some(NOTHING)) => code,
        (code, Some(_)) => ResultCode(code.0.saturating_add(100_000)),
    }
}

async fn failed_binds_lock_an_account_until_it_is_unlocked(bench: &Bench<'_>) -> Result<()> {
    prepare(bench, "pwdLockout: TRUE\npwdMaxFailure: 3").await?;
    let wrong = ResultCode::INVALID_CREDENTIALS;
    for attempt in 1..=3 {
        let answered = signs_in(bench, "flood").await?;
        same(format!("wrong password {attempt}"), quiet(answered), wrong)?;
    }
    same("the right one", signs_in(bench, RIGHT).await?, refused(wrong, Code::ACCOUNT_LOCKED))?;
    let state = bench.read_selected("cn=ada", ["pwdAccountLockedTime", "pwdFailureTime"]).await?;
    same("times it was locked", state.get("pwdaccountlockedtime").map(Vec::len), Some(1))?;
    same("failed binds", state.get("pwdfailuretime").map(Vec::len), Some(3))?;
    set(bench, ChangeKind::Delete, "pwdAccountLockedTime", &[]).await?;
    same("unlocked", quiet(signs_in(bench, RIGHT).await?), ResultCode::SUCCESS)
}

async fn a_success_forgets_failed_binds(bench: &Bench<'_>) -> Result<()> {
    prepare(bench, "pwdLockout: TRUE\npwdMaxFailure: 3").await?;
    for _ in 0..3 {
        for _ in 0..2 {
            same("wrong", quiet(signs_in(bench, "flood").await?), ResultCode::INVALID_CREDENTIALS)?;
        }
        same("right", quiet(signs_in(bench, RIGHT).await?), ResultCode::SUCCESS)?;
        same("failed binds", bench.read_selected("cn=ada", ["pwdFailureTime"]).await?.len(), 0)?;
    }
    Ok(())
}

/// What is wrong with an account is for those who ask.
async fn one_who_asks_not_is_not_told(bench: &Bench<'_>) -> Result<()> {
    prepare(bench, "pwdLockout: TRUE\npwdMaxFailure: 1\npwdMustChange: TRUE").await?;
    set(bench, ChangeKind::Replace, "pwdReset", &["TRUE"]).await?;
    let name = bench.dn("cn=ada")?.to_string();
    for password in [RIGHT, "flood", RIGHT] {
        let reply = bench.anonymous().await?.step(BindStep::simple(name.clone(), password.into())).await?;
        let (BindReply::Done { outcome, .. } | BindReply::Refused(outcome)) = reply else {
            anyhow::bail!("a simple bind has one step")
        };
        same(password, answer(&outcome)?.1, None)?;
    }
    Ok(())
}

async fn a_password_that_was_reset_must_be_changed(bench: &Bench<'_>) -> Result<()> {
    prepare(bench, "pwdMustChange: TRUE").await?;
    same("at first", quiet(signs_in(bench, RIGHT).await?), ResultCode::SUCCESS)?;
    set(bench, ChangeKind::Replace, "pwdReset", &["TRUE"]).await?;
    let mut ada = bench.anonymous().await?;
    let must = refused(ResultCode::SUCCESS, Code::CHANGE_AFTER_RESET);
    same("the bind", bind(bench, &mut ada, RIGHT).await?, must)?;
    let denied = refused(ResultCode::INSUFFICIENT_ACCESS_RIGHTS, Code::CHANGE_AFTER_RESET);
    let mut rows = Rows::new();
    // That the control may go with these too, the draft does not say (§6.1).
    rows.same("search", ask(&ada, bench.search("(cn=*)")?).await?.0, denied.0);
    rows.same("compare", ask(&ada, bench.compare("cn=ada", "cn", "ada")?).await?.0, denied.0);
    rows.same("delete", ask(&ada, bench.delete("cn=ada")?).await?.0, denied.0);
    let other = bench.modify("cn=ada", &[(ChangeKind::Replace, "description", &["x"])])?;
    rows.same("modify", ask(&ada, other).await?, denied);
    rows.finish()?;
    let change = bench.modify(
        "cn=ada",
        &[(ChangeKind::Delete, "userPassword", &[RIGHT]), (ChangeKind::Add, "userPassword", &["neap 1901"])],
    )?;
    same("the change", quiet(ask(&ada, change).await?), ResultCode::SUCCESS)?;
    same("a search now", quiet(ask(&ada, bench.search("(cn=*)")?).await?), ResultCode::SUCCESS)?;
    same("a bind now", quiet(signs_in(bench, "neap 1901").await?), ResultCode::SUCCESS)
}

async fn a_password_about_to_expire_is_warned_of(bench: &Bench<'_>) -> Result<()> {
    prepare(bench, "pwdMaxAge: 10000\npwdExpireWarning: 20000").await?;
    let (code, heard) = signs_in(bench, RIGHT).await?;
    same("the bind", code, ResultCode::SUCCESS)?;
    let Some(PasswordPolicyResponse { warning: Some(Warning::TimeBeforeExpiration(left)), error: None }) =
        heard
    else {
        anyhow::bail!("heard {heard:?}")
    };
    ensure!((9_000..=10_000).contains(&left), "{left} seconds are left");
    Ok(())
}

async fn owners_are_held_to_the_rules(bench: &Bench<'_>) -> Result<()> {
    prepare(bench, "pwdCheckQuality: 2\npwdMinLength: 8\npwdInHistory: 3\npwdSafeModify: TRUE").await?;
    let ada = bench.as_user("cn=ada", RIGHT).await?;
    let mut rows = Rows::new();
    let replace = bench.modify("cn=ada", &[(ChangeKind::Replace, "userPassword", &["neap 1901"])])?;
    let no_old = refused(ResultCode::INSUFFICIENT_ACCESS_RIGHTS, Code::MUST_SUPPLY_OLD_PASSWORD);
    rows.same("without the old one", ask(&ada, replace).await?, no_old);
    let change = |old: &str, new: &str| {
        let op = PasswordModify { user: None, old: Some(old.into()), new: Some(new.into()) };
        op.request()
    };
    let violated = |error| refused(ResultCode::CONSTRAINT_VIOLATION, error);
    let short = violated(Code::PASSWORD_TOO_SHORT);
    rows.same("seven characters", ask(&ada, change(RIGHT, "neap 19")).await?, short);
    let mut before = RIGHT;
    for new in ["neap 1901", "flood 1902"] {
        rows.same(new, quiet(ask(&ada, change(before, new)).await?), ResultCode::SUCCESS);
        before = new;
    }
    for used in [RIGHT, "neap 1901"] {
        rows.same(used, ask(&ada, change(before, used)).await?, violated(Code::PASSWORD_IN_HISTORY));
    }
    rows.finish()?;
    // What was used is kept where nobody reads it.
    let read = ada.read(bench.dn("cn=ada")?, ["userPassword"]).await?;
    if !bench.takes(super::Freedom::OwnPasswordIsReadable) {
        same("own password", read.len(), 0)?;
    }

    set(bench, ChangeKind::Replace, "userPassword", &[RIGHT]).await?;
    let rules = [(ChangeKind::Replace, "pwdMinAge", ["100000"].as_slice())];
    bench.admin.done(bench.modify("cn=rules", &rules)?).await?;
    let ada = bench.as_user("cn=ada", RIGHT).await?;
    let young = ask(&ada, change(RIGHT, "slack water")).await?;
    same("too soon", young, violated(Code::PASSWORD_TOO_YOUNG))
}

async fn what_users_may_not_change_they_do_not_change(bench: &Bench<'_>) -> Result<()> {
    prepare(bench, "pwdAllowUserChange: FALSE").await?;
    let ada = bench.as_user("cn=ada", RIGHT).await?;
    let change = bench.modify(
        "cn=ada",
        &[(ChangeKind::Delete, "userPassword", &[RIGHT]), (ChangeKind::Add, "userPassword", &["neap 1901"])],
    )?;
    let denied = refused(ResultCode::INSUFFICIENT_ACCESS_RIGHTS, Code::PASSWORD_MOD_NOT_ALLOWED);
    same("the change", ask(&ada, change).await?, denied)
}

async fn an_administrator_is_held_to_nothing(bench: &Bench<'_>) -> Result<()> {
    prepare(bench, "pwdCheckQuality: 2\npwdMinLength: 8\npwdInHistory: 3\npwdMinAge: 1000").await?;
    for password in ["x1", "x2", "x1"] {
        set(bench, ChangeKind::Replace, "userPassword", &[password]).await?;
        same(password, quiet(signs_in(bench, password).await?), ResultCode::SUCCESS)?;
    }
    Ok(())
}
