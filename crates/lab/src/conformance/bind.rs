//! Bind: who is let in, who is not, and who the conversation is afterwards (RFC 4511 §4.2, RFC 4513).

use anyhow::{Result, ensure};
use flext_ldap_directory::{
    Actor, BindReply, BindStep, ErrorKind,
    proto::{control::Controls, result::ResultCode, secret::Secret},
};

use super::{
    Freedom,
    bench::Bench,
    checks,
    report::{Rows, one_of, same},
};

checks![
    a_new_conversation_is_anonymous,
    a_password_lets_its_owner_in,
    wrong_passwords_are_refused_alike,
    an_empty_password_authenticates_nobody,
    both_empty_is_anonymous,
    names_may_be_spelt_in_any_way,
    what_is_no_name_is_refused,
    a_bind_replaces_the_one_before,
    a_failed_bind_leaves_nobody_bound,
    external_is_who_the_transport_says,
    unknown_mechanisms_are_refused,
    passwords_are_octets,
    any_of_several_passwords_is_good,
];

async fn a_new_conversation_is_anonymous(bench: &Bench<'_>) -> Result<()> {
    same("whoami", bench.anonymous().await?.who_am_i().await?, String::new())
}

async fn a_password_lets_its_owner_in(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "userPassword: tide gauge").await?;
    let ada = bench.as_user("cn=ada", "tide gauge").await?;
    let dn = bench.dn("cn=ada")?;
    let Actor::User(identity) = &ada.actor else { anyhow::bail!("bound as {:?}", ada.actor) };
    same("the identity", identity.dn().map(ToString::to_string), Some(dn.to_string()))?;
    same("whoami", ada.who_am_i().await?, format!("dn:{dn}"))
}

/// Whoever tries names must not learn which are there (RFC 4513 §6.3.1).
async fn wrong_passwords_are_refused_alike(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "userPassword: tide gauge").await?;
    bench.add_person("without", "").await?;
    let mut rows = Rows::new();
    for (row, relative, password) in [
        ("a wrong password", "cn=ada", "tide gauges"),
        ("its start", "cn=ada", "tide"),
        ("another case", "cn=ada", "Tide Gauge"),
        ("a space after it", "cn=ada", "tide gauge "),
        ("a NUL after it", "cn=ada", "tide gauge\0"),
        ("only a space", "cn=ada", " "),
        ("only a NUL", "cn=ada", "\0"),
        ("an entry without a password", "cn=without", "tide gauge"),
        ("nobody of this name", "cn=nobody", "tide gauge"),
        ("nobody in a place that is not there", "cn=nobody,ou=nowhere", "tide gauge"),
    ] {
        let mut conversation = bench.anonymous().await?;
        let step = BindStep::simple(bench.dn(relative)?.as_str(), password.into());
        match conversation.step(step).await {
            Ok(BindReply::Refused(outcome)) => {
                rows.same(row, outcome.result.code, ResultCode::INVALID_CREDENTIALS);
                rows.same(format!("{row}: matched DN"), outcome.result.matched_dn, String::new());
            }
            // RFC 4513 §5.1.2 is about empty passwords; our client does not send those of NULs either.
            Err(error) if password.trim_matches('\0').is_empty() => {
                rows.same(row, error.kind(), ErrorKind::EmptyPassword);
            }
            other => rows.same(row, format!("{other:?}"), "refused".to_owned()),
        }
    }
    rows.finish()
}

/// RFC 4513 §5.1.2: an unauthenticated bind, which a client refuses to send and a server to take.
async fn an_empty_password_authenticates_nobody(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "userPassword: tide gauge").await?;
    let administrator = bench.subject.administrator().0.clone();
    for dn in [bench.dn("cn=ada")?, bench.dn("cn=nobody")?, administrator] {
        let mut conversation = bench.anonymous().await?;
        match conversation.step(BindStep::simple(dn.as_str(), Secret::default())).await {
            Err(error) => same("the client's refusal", error.kind(), ErrorKind::EmptyPassword)?,
            Ok(BindReply::Refused(outcome)) => {
                same(&dn, outcome.result.code, ResultCode::UNWILLING_TO_PERFORM)?;
            }
            Ok(other) => anyhow::bail!("{dn} got in: {other:?}"),
        }
        same("whoami", conversation.who_am_i().await?, String::new())?;
    }
    Ok(())
}

async fn both_empty_is_anonymous(bench: &Bench<'_>) -> Result<()> {
    let mut conversation = bench.anonymous().await?;
    let (dn, password) = bench.subject.administrator();
    conversation.bind(dn.as_str(), password.clone()).await?;
    let BindReply::Done { actor, .. } = conversation.step(BindStep::anonymous()).await? else {
        anyhow::bail!("refused")
    };
    same("the actor", actor, Actor::Anonymous)?;
    same("whoami", conversation.who_am_i().await?, String::new())
}

async fn names_may_be_spelt_in_any_way(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("Ada Byrne", "userPassword: tide gauge").await?;
    let mut rows = Rows::new();
    for spelling in
        ["CN=ada byrne", "cn= Ada  Byrne ", "2.5.4.3=ADA BYRNE", r"cn=\41da\20Byrne", "commonName=Ada Byrne"]
    {
        let mut conversation = bench.anonymous().await?;
        let name = format!("{spelling},{}", bench.home);
        let code = conversation.bind_code(BindStep::simple(name, "tide gauge".into())).await?;
        rows.same(spelling, code, ResultCode::SUCCESS);
    }
    rows.finish()
}

async fn what_is_no_name_is_refused(bench: &Bench<'_>) -> Result<()> {
    let mut rows = Rows::new();
    for name in ["nonsense", "cn", "cn=a,,dc=b", "=x"] {
        let mut conversation = bench.anonymous().await?;
        let code = conversation.bind_code(BindStep::simple(name, "tide gauge".into())).await?;
        // RFC 4511 §4.2: a name that is no DN need not be one of a directory that knows others.
        rows.one_of(name, &code, &[ResultCode::INVALID_DN_SYNTAX, ResultCode::INVALID_CREDENTIALS]);
    }
    rows.finish()
}

async fn a_bind_replaces_the_one_before(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "userPassword: tide gauge").await?;
    bench.add_person("ben", "userPassword: sounder").await?;
    let mut conversation = bench.as_user("cn=ada", "tide gauge").await?;
    let ada = conversation.actor.clone();
    conversation.bind(bench.dn("cn=ben")?.as_str(), "sounder".into()).await?;
    same("whoami", conversation.who_am_i().await?, format!("dn:{}", bench.dn("cn=ben")?))?;
    // A request that still says it is for ada is refused, or answered for ada, but never for ben.
    conversation.actor = ada;
    match conversation.who_am_i().await {
        Ok(answer) => same("whoami for ada", answer, format!("dn:{}", bench.dn("cn=ada")?)),
        Err(error) => {
            let kind =
                error.downcast_ref::<flext_ldap_directory::Error>().map(flext_ldap_directory::Error::kind);
            same("the refusal", kind, Some(ErrorKind::NotCarried))
        }
    }
}

/// RFC 4511 §4.2.1: after a bind that failed the conversation is anonymous.
async fn a_failed_bind_leaves_nobody_bound(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "userPassword: tide gauge").await?;
    let mut conversation = bench.as_user("cn=ada", "tide gauge").await?;
    let step = BindStep::simple(bench.dn("cn=ada")?.as_str(), "wrong".into());
    same("the bind", conversation.bind_code(step).await?, ResultCode::INVALID_CREDENTIALS)?;
    same("whoami", conversation.who_am_i().await?, String::new())
}

async fn external_is_who_the_transport_says(bench: &Bench<'_>) -> Result<()> {
    let mut conversation = bench.anonymous().await?;
    let code = conversation.bind_code(BindStep::external()).await?;
    if bench.subject.knows_its_peer() {
        same("the bind", code, ResultCode::SUCCESS)?;
        let administrator = &bench.subject.administrator().0;
        return same("whoami", conversation.who_am_i().await?, format!("dn:{administrator}"));
    }
    // RFC 4513 §5.2.3: without an external identity the mechanism is not to be had, or fails.
    one_of(
        "the bind",
        &code,
        &[
            ResultCode::AUTH_METHOD_NOT_SUPPORTED,
            ResultCode::INVALID_CREDENTIALS,
            ResultCode::INAPPROPRIATE_AUTHENTICATION,
        ],
    )?;
    same("whoami", conversation.who_am_i().await?, String::new())
}

async fn unknown_mechanisms_are_refused(bench: &Bench<'_>) -> Result<()> {
    for mechanism in ["X-HARBOUR", "external "] {
        let mut conversation = bench.anonymous().await?;
        let step = BindStep::Sasl {
            mechanism: mechanism.to_owned(),
            credentials: Some(Secret::from("whatever")),
            controls: Controls::none(),
        };
        same(mechanism, conversation.bind_code(step).await?, ResultCode::AUTH_METHOD_NOT_SUPPORTED)?;
        same("whoami", conversation.who_am_i().await?, String::new())?;
    }
    Ok(())
}

async fn passwords_are_octets(bench: &Bench<'_>) -> Result<()> {
    let mut rows = Rows::new();
    for (number, password) in
        ["  spaces  ", "péage", "pe\u{301}age", "a\0b", "日本語", "*()\\"].iter().enumerate()
    {
        let (cn, relative) = (format!("p{number}"), format!("cn=p{number}"));
        bench.add_person(&cn, &format!("userPassword: {password}")).await?;
        let code = |password: Secret| {
            let relative = relative.clone();
            async move {
                let mut conversation = bench.anonymous().await?;
                conversation.bind_code(BindStep::simple(bench.dn(&relative)?.as_str(), password)).await
            }
        };
        rows.same(password, code((*password).into()).await?, ResultCode::SUCCESS);
        rows.same(
            format!("{password}!"),
            code(format!("{password}!").as_str().into()).await?,
            ResultCode::INVALID_CREDENTIALS,
        );
    }
    rows.finish()
}

async fn any_of_several_passwords_is_good(bench: &Bench<'_>) -> Result<()> {
    if bench.takes(Freedom::OnePassword) {
        return Ok(());
    }
    bench.add_person("ada", "userPassword: tide gauge\nuserPassword: sounder").await?;
    for password in ["tide gauge", "sounder"] {
        // By name, also where users sign in otherwise: a mechanism proves one of them.
        let mut ada = bench.anonymous().await?;
        ada.bind(bench.dn("cn=ada")?.as_str(), password.into()).await?;
        ensure!(ada.actor != Actor::Anonymous, "{password} was taken and left anonymous");
    }
    Ok(())
}
