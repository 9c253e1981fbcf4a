//! SASL binds as a session has them: PLAIN and SCRAM, what is offered to whom, and that nobody learns who there is.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use flext_ldap_directory::{
    Actor, BindReply, BindStep, Deadline, External, Peer, PeerAddress, Protection, Session, Sessions,
};
use flext_ldap_proto::{
    certificate::CertificateNames,
    channel_binding::{BindingKind, ChannelBindings},
    control::Controls,
    message::{ChangeKind, Scope, Search},
    result::ResultCode,
    secret::Secret,
};
use flext_ldap_sasl::{
    Mechanism,
    plain::Plain,
    scram::{ClientBinding, ScramClient, ScramHash},
};
use flext_ldap_store::{ExportOptions, PasswordPolicy, Store, StoreOptions};

use crate::support::*;

const ANNA: &str = "uid=anna,ou=people,dc=harbourlane,dc=example";
const RIGHT: &str = "low water 7";
const SCRAM_256: Mechanism = Mechanism::Scram { hash: ScramHash::Sha256, plus: false };

fn offering() -> StoreOptions {
    options().scram()
}

/// Anna has a password, Bert none.
async fn with_anna(store: Store) -> Store {
    fill(&store).await;
    ok(&store, set(ANNA, "userPassword", &[RIGHT])).await;
    store
}

fn peer(protection: Protection, bindings: Option<ChannelBindings>) -> Peer {
    let address: SocketAddr = "192.0.2.7:4000".parse().unwrap();
    Peer {
        address: PeerAddress::Tcp(address),
        protection,
        external: None,
        bindings: bindings.map(Arc::new),
        tls: None,
    }
}

fn tls() -> Peer {
    let bindings =
        ChannelBindings { exporter: Some(vec![7; 32]), server_end_point: Some(b"certificate".to_vec()) };
    peer(Protection::Tls, Some(bindings))
}

async fn open(store: &Store, peer: Peer) -> Box<dyn Session> {
    Sessions::open(store, peer).await.unwrap()
}

fn step(mechanism: &str, credentials: Option<Secret>) -> BindStep {
    BindStep::Sasl { mechanism: mechanism.to_owned(), credentials, controls: Controls::none() }
}

async fn take(session: &mut dyn Session, step: BindStep) -> BindReply {
    session.bind(step, Deadline::after(Duration::from_secs(30))).await.unwrap()
}

/// Who the session acts for after a bind.
fn who(reply: &BindReply) -> Result<String, ResultCode> {
    match reply {
        BindReply::Done { actor: Actor::User(identity), .. } => Ok(identity.authorization().to_owned()),
        BindReply::Done { .. } => Ok(String::new()),
        BindReply::Refused(outcome) | BindReply::Continue { outcome, .. } => Err(outcome.result.code),
    }
}

/// A whole exchange, which ends with the server's proof where it succeeds.
async fn scram(
    session: &mut dyn Session,
    mechanism: Mechanism,
    user: &str,
    password: &str,
    authorization: Option<&str>,
    binding: &ClientBinding,
) -> Result<String, ResultCode> {
    let Mechanism::Scram { hash, .. } = mechanism else { panic!("{mechanism:?}") };
    let nonce = "fyko+d2lbbFgONRv9qkxdawL".to_owned();
    let mut client = ScramClient::new(hash, user, password.into(), authorization, binding, nonce).unwrap();
    let reply = take(session, step(mechanism.name(), Some(client.first()))).await;
    let BindReply::Continue { credentials, outcome } = reply else { return who(&reply) };
    assert_eq!(outcome.result.code, ResultCode::SASL_BIND_IN_PROGRESS);
    let answer = client.respond(&credentials.unwrap()).unwrap();
    let reply = take(session, step(mechanism.name(), Some(answer))).await;
    if let BindReply::Done { credentials, .. } = &reply {
        client.accept(credentials.as_deref()).unwrap();
    }
    who(&reply)
}

async fn plain(session: &mut dyn Session, plain: (Option<&str>, &str, &str)) -> Result<String, ResultCode> {
    let (authorization, user, password) = plain;
    let message = Plain {
        authorization: authorization.map(str::to_owned),
        user: user.to_owned(),
        password: password.into(),
    };
    let message = message.to_message().unwrap();
    who(&take(session, step("PLAIN", Some(message))).await)
}

fn anna() -> Result<String, ResultCode> {
    Ok(format!("dn:{ANNA}"))
}

#[tokio::test]
async fn a_password_is_proved_and_so_is_the_directory() {
    let store = with_anna(Store::open(offering()).unwrap()).await;
    for hash in [ScramHash::Sha256, ScramHash::Sha512] {
        let mechanism = Mechanism::Scram { hash, plus: false };
        let mut session = open(&store, peer(Protection::Clear, None)).await;
        for (user, password, want) in [
            ("anna", RIGHT, anna()),
            ("ANNA", RIGHT, anna()),
            ("anna", "high water 7", Err(ResultCode::INVALID_CREDENTIALS)),
            ("bert", RIGHT, Err(ResultCode::INVALID_CREDENTIALS)),
            ("nobody", RIGHT, Err(ResultCode::INVALID_CREDENTIALS)),
            ("*", RIGHT, Err(ResultCode::INVALID_CREDENTIALS)),
            ("anna)(uid=*", RIGHT, Err(ResultCode::INVALID_CREDENTIALS)),
            ("admin", ADMIN_PASSWORD, Err(ResultCode::INVALID_CREDENTIALS)),
        ] {
            let got = scram(&mut *session, mechanism, user, password, None, &ClientBinding::Unable).await;
            assert_eq!(got, want, "{mechanism:?} {user}");
        }
    }
    // The keys go with the password.
    ok(&store, set(ANNA, "userPassword", &["half tide 9"])).await;
    let mut session = open(&store, tls()).await;
    let unable = &ClientBinding::Unable;
    let old = scram(&mut *session, SCRAM_256, "anna", RIGHT, None, unable).await;
    assert_eq!(old, Err(ResultCode::INVALID_CREDENTIALS));
    assert_eq!(scram(&mut *session, SCRAM_256, "anna", "half tide 9", None, unable).await, anna());
    ok(&store, set(ANNA, "userPassword", &[])).await;
    let none = scram(&mut *session, SCRAM_256, "anna", "half tide 9", None, unable).await;
    assert_eq!(none, Err(ResultCode::INVALID_CREDENTIALS));
    clean(&store);
}

#[tokio::test]
async fn a_proof_is_bound_to_the_connection() {
    let store = with_anna(Store::open(offering()).unwrap()).await;
    let plus = Mechanism::Scram { hash: ScramHash::Sha256, plus: true };
    let seen = |exporter: u8| ChannelBindings {
        exporter: Some(vec![exporter; 32]),
        server_end_point: Some(b"certificate".to_vec()),
    };
    let (exporter, end_point) = (BindingKind::TlsExporter, BindingKind::TlsServerEndPoint);
    let refused = Err(ResultCode::INVALID_CREDENTIALS);
    let table = [
        (plus, ClientBinding::To(exporter, seen(7)), anna()),
        (plus, ClientBinding::To(end_point, seen(7)), anna()),
        // Somebody is between the two.
        (plus, ClientBinding::To(exporter, seen(8)), refused.clone()),
        // Somebody has cut the list of mechanisms.
        (SCRAM_256, ClientBinding::NotOffered, refused),
        (SCRAM_256, ClientBinding::Unable, anna()),
    ];
    for (mechanism, binding, want) in table {
        let mut session = open(&store, tls()).await;
        let got = scram(&mut *session, mechanism, "anna", RIGHT, None, &binding).await;
        assert_eq!(got, want, "{mechanism:?} {binding:?}");
    }
    let mut session = open(&store, peer(Protection::Clear, None)).await;
    let got = scram(&mut *session, plus, "anna", RIGHT, None, &ClientBinding::To(exporter, seen(7))).await;
    assert_eq!(got, Err(ResultCode::AUTH_METHOD_NOT_SUPPORTED), "there is no TLS to bind to");
}

#[tokio::test]
async fn what_is_offered_is_what_is_taken() {
    let store = with_anna(Store::open(offering()).unwrap()).await;
    let local = Peer { address: PeerAddress::Unix, ..Peer::in_process() };
    let scram = ["SCRAM-SHA-512", "SCRAM-SHA-256"];
    let plus = ["SCRAM-SHA-512-PLUS", "SCRAM-SHA-256-PLUS"];
    let table = [
        (peer(Protection::Clear, None), scram.to_vec()),
        (local, [&scram[..], &["PLAIN"]].concat()),
        (tls(), [&plus[..], &scram, &["PLAIN"]].concat()),
    ];
    for (peer, want) in table {
        let mut session = open(&store, peer.clone()).await;
        let search = Search::new(dn(""), Scope::Base, filter("(objectClass=*)"))
            .attributes(["supportedSASLMechanisms"]);
        let root = entries(&*session, search, Actor::Anonymous).await.0.remove(0);
        let offered = root.attributes().get("supportedSASLMechanisms").unwrap();
        let offered: Vec<_> =
            offered.values().map(|name| String::from_utf8(name.to_vec()).unwrap()).collect();
        assert_eq!(offered, want, "{peer:?}");
        for mechanism in ["SCRAM-SHA-1", "DIGEST-MD5", "LOGIN", "", "EXTERNAL", "PLAIN", "SCRAM-SHA-256-PLUS"]
        {
            let reply = take(&mut *session, step(mechanism, Some(Secret::from("x")))).await;
            let is_offered = want.contains(&mechanism);
            let code = match mechanism {
                _ if is_offered => ResultCode::PROTOCOL_ERROR,
                "EXTERNAL" => ResultCode::INAPPROPRIATE_AUTHENTICATION,
                "PLAIN" => ResultCode::CONFIDENTIALITY_REQUIRED,
                _ => ResultCode::AUTH_METHOD_NOT_SUPPORTED,
            };
            assert_eq!(who(&reply), Err(code), "{mechanism} {peer:?}");
        }
    }
}

#[tokio::test]
async fn without_being_asked_for_scram_is_not_offered_and_no_keys_are_kept() {
    let store = with_anna(Store::open(options()).unwrap()).await;
    let mut session = open(&store, tls()).await;
    let search =
        Search::new(dn(""), Scope::Base, filter("(objectClass=*)")).attributes(["supportedSASLMechanisms"]);
    let root = entries(&*session, search, Actor::Anonymous).await.0.remove(0);
    let offered = root.attributes().get("supportedSASLMechanisms").unwrap();
    assert_eq!(offered.values().collect::<Vec<_>>(), [b"PLAIN"]);
    let refused = Err(ResultCode::INVALID_CREDENTIALS);
    let unable = &ClientBinding::Unable;
    assert_eq!(plain(&mut *session, (None, "anna", RIGHT)).await, anna());
    assert_eq!(scram(&mut *session, SCRAM_256, "anna", RIGHT, None, unable).await, refused);

    // Keys that another directory has made (RFC 5803) are as good as any, and a hash besides.
    let imported = "{SCRAM-SHA-256}4096:c2l4dGVlbiAgb2N0ZXRzIQ==\
                    $kvK8k8Kz88o4avO9TbmtoMOBQyrlTcQgNsPMDjsGeJQ=:d2xfPO/UV/paAdG2/rIEJ1wVHqr3BIy95oMEcDs3xRU=";
    let right = "seagull-42";
    ok(&store, set(ANNA, "userPassword", &[imported])).await;
    assert!(bind(&store, ANNA, right).await.is_ok());
    assert_eq!(bind(&store, ANNA, "seagull-43").await, Err(ResultCode::INVALID_CREDENTIALS));
    assert_eq!(plain(&mut *session, (None, "anna", right)).await, anna());
    // That nothing to bind by was offered is true here.
    for binding in [ClientBinding::Unable, ClientBinding::NotOffered] {
        let got = scram(&mut *session, SCRAM_256, "anna", right, None, &binding).await;
        assert_eq!(got, anna(), "{binding:?}");
        let got = scram(&mut *session, SCRAM_256, "anna", "seagull-43", None, &binding).await;
        assert_eq!(got, refused, "{binding:?}");
    }
    let other = Mechanism::Scram { hash: ScramHash::Sha512, plus: false };
    assert_eq!(scram(&mut *session, other, "anna", right, None, unable).await, refused);
    clean(&store);
}

#[tokio::test]
async fn plain_is_a_simple_bind_by_another_name() {
    let store = with_anna(Store::open(offering()).unwrap()).await;
    let mut session = open(&store, tls()).await;
    let wrong = Err(ResultCode::INVALID_CREDENTIALS);
    let (own, admin) = (format!("dn:{ANNA}"), format!("dn:{ADMIN}"));
    let table = [
        ((None, "anna", RIGHT), anna()),
        ((Some(own.as_str()), "anna", RIGHT), anna()),
        ((Some("u:anna"), "anna", RIGHT), anna()),
        ((None, own.as_str(), RIGHT), anna()),
        ((None, admin.as_str(), ADMIN_PASSWORD), Ok(admin.clone())),
        ((Some("u:bert"), admin.as_str(), ADMIN_PASSWORD), Ok(format!("dn:uid=bert,ou=people,{SUFFIX}"))),
        ((Some("u:bert"), "anna", RIGHT), Err(ResultCode::AUTHORIZATION_DENIED)),
        ((Some("u:nobody"), "anna", RIGHT), Err(ResultCode::AUTHORIZATION_DENIED)),
        ((Some(admin.as_str()), "anna", RIGHT), Err(ResultCode::AUTHORIZATION_DENIED)),
        ((None, "anna", "high water 7"), wrong.clone()),
        ((None, "nobody", RIGHT), wrong.clone()),
        ((None, "dn:not a name", RIGHT), wrong.clone()),
        ((Some("u:bert"), "anna", "high water 7"), wrong),
    ];
    for (message, want) in table {
        assert_eq!(plain(&mut *session, message).await, want, "{message:?}");
    }
    // A client that wants to be asked first (RFC 4422 §3).
    let BindReply::Continue { credentials, .. } = take(&mut *session, step("PLAIN", None)).await else {
        panic!("not asked")
    };
    assert_eq!(credentials.as_deref(), Some(b"".as_slice()));
    assert_eq!(plain(&mut *session, (None, "anna", RIGHT)).await, anna());
}

#[tokio::test]
async fn who_there_is_is_not_told_by_a_salt() {
    let store = with_anna(Store::open(offering()).unwrap()).await;
    let challenge = async |user: &str| {
        let mut session = open(&store, peer(Protection::Clear, None)).await;
        let first = Secret::new(format!("n,,n={user},r=nonce"));
        let BindReply::Continue { credentials, .. } =
            take(&mut *session, step("SCRAM-SHA-256", Some(first))).await
        else {
            panic!("{user} is not challenged")
        };
        let text = String::from_utf8(credentials.unwrap().to_vec()).unwrap();
        let (_, salt) = text.split_once(",s=").unwrap();
        salt.to_owned()
    };
    for user in ["anna", "bert", "nobody", "admin"] {
        let salt = challenge(user).await;
        assert_eq!(salt, challenge(user).await, "{user}: the same each time");
        assert_eq!(salt, challenge(&user.to_uppercase()).await, "{user}: in whatever case");
        assert_eq!(salt.len(), "AAAAAAAAAAAAAAAAAAAAAA==,i=16384".len(), "{user}");
        assert!(salt.ends_with(",i=16384"), "{user}: {salt}");
    }
    assert_ne!(challenge("bert").await, challenge("nobody").await);
}

#[tokio::test]
async fn an_exchange_is_of_one_mechanism_and_in_order() {
    let store = with_anna(Store::open(offering()).unwrap()).await;
    let mut session = open(&store, tls()).await;
    let first = || Secret::from("n,,n=anna,r=nonce");
    let protocol_error = Err(ResultCode::PROTOCOL_ERROR);
    // A proof that nobody has asked for.
    let proof = || Some(Secret::from("c=biws,r=nonce,p=AAAA"));
    assert_eq!(who(&take(&mut *session, step("SCRAM-SHA-256", proof())).await), protocol_error);
    // Another mechanism, or another kind of bind, ends an exchange (RFC 4513 §5.2.1.2).
    for other in [step("SCRAM-SHA-512", Some(first())), BindStep::anonymous(), step("", None)] {
        let reply = take(&mut *session, step("SCRAM-SHA-256", Some(first()))).await;
        assert_eq!(who(&reply), Err(ResultCode::SASL_BIND_IN_PROGRESS));
        let _ = take(&mut *session, other).await;
        assert_eq!(who(&take(&mut *session, step("SCRAM-SHA-256", proof())).await), protocol_error);
    }
    // Nobody is bound in the middle of one, and whoever was is not any more.
    assert_eq!(plain(&mut *session, (None, "anna", RIGHT)).await, anna());
    let _ = take(&mut *session, step("SCRAM-SHA-256", Some(first()))).await;
    let search = Search::new(dn(ANNA), Scope::Base, filter("(objectClass=*)"));
    let refused = ask(&*session, search, Actor::User(identity())).await;
    assert_eq!(refused.unwrap_err().kind(), flext_ldap_directory::ErrorKind::NotCarried);
}

fn identity() -> flext_ldap_directory::Identity {
    flext_ldap_directory::Identity::from_successful_bind(dn(ANNA))
}

#[tokio::test]
async fn wrong_proofs_lock_as_wrong_passwords_do() {
    let mut rules = PasswordPolicy::default();
    (rules.lockout, rules.max_failure) = (true, 3);
    let store = with_anna(Store::open(offering().password_policy(rules)).unwrap()).await;
    let mut session = open(&store, tls()).await;
    let unable = &ClientBinding::Unable;
    let wrong = Err(ResultCode::INVALID_CREDENTIALS);
    assert_eq!(scram(&mut *session, SCRAM_256, "anna", "a guess", None, unable).await, wrong);
    assert_eq!(scram(&mut *session, SCRAM_256, "anna", RIGHT, None, unable).await, anna(), "forgotten");
    for _ in 0..2 {
        assert_eq!(scram(&mut *session, SCRAM_256, "anna", "a guess", None, unable).await, wrong);
    }
    assert_eq!(bind(&store, ANNA, "a guess").await, Err(ResultCode::INVALID_CREDENTIALS));
    assert_eq!(scram(&mut *session, SCRAM_256, "anna", RIGHT, None, unable).await, wrong, "locked");
    assert_eq!(plain(&mut *session, (None, "anna", RIGHT)).await, wrong, "locked");
    assert_eq!(bind(&store, ANNA, RIGHT).await, Err(ResultCode::INVALID_CREDENTIALS));
    // Who has only a hash cannot be guessed at by SCRAM, and is not locked out by a client that tries it.
    ok(&store, set(ANNA, "pwdAccountLockedTime", &[])).await;
    ok(&store, set(ANNA, "userPassword", &["{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="])).await;
    for _ in 0..5 {
        assert_eq!(scram(&mut *session, SCRAM_256, "anna", "password", None, unable).await, wrong);
    }
    assert_eq!(plain(&mut *session, (None, "anna", "password")).await, anna());
    ok(&store, set(ANNA, "userPassword", &[RIGHT])).await;
    // Beginning an exchange is no guess.
    ok(&store, set(ANNA, "pwdAccountLockedTime", &[])).await;
    for _ in 0..5 {
        let first = Secret::from("n,,n=anna,r=nonce");
        let reply = take(&mut *open(&store, tls()).await, step("SCRAM-SHA-256", Some(first))).await;
        assert_eq!(who(&reply), Err(ResultCode::SASL_BIND_IN_PROGRESS));
    }
    assert_eq!(scram(&mut *session, SCRAM_256, "anna", RIGHT, None, unable).await, anna());
}

#[tokio::test]
async fn keys_leave_the_store_by_no_way() {
    let store = with_anna(Store::open(offering()).unwrap()).await;
    let mut ldif = Vec::new();
    let mut options = ExportOptions::default();
    (options.password_hashes, options.operational) = (true, true);
    store.export(&mut ldif, &options).unwrap();
    let text = String::from_utf8(ldif).unwrap().replace("\n ", "");
    assert!(text.contains("userPassword: {ARGON2}$argon2id$"), "{text}");
    assert!(!text.contains("SCRAM"), "{text}");
    let all = read(&store, ANNA).await.unwrap();
    assert!(!format!("{all:?}").contains("SCRAM"));
    // Who may set a hash deletes it as it was exported.
    let hash = text.lines().find_map(|line| line.strip_prefix("userPassword: ")).unwrap();
    let mut change = set(ANNA, "userPassword", &[hash]);
    change.changes[0].kind = ChangeKind::Delete;
    ok(&store, change).await;
    assert_eq!(bind(&store, ANNA, RIGHT).await, Err(ResultCode::INVALID_CREDENTIALS));
}

#[tokio::test]
async fn a_client_certificate_leads_to_an_entry_by_the_rules() {
    let names = |subject: &str, mail: &[&str], principals: &[&str]| {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let (mail, principals) = (texts(mail), texts(principals));
        let names = CertificateNames { subject: dn(subject), mail, hosts: Vec::new(), principals };
        Peer { external: Some(External::Certificate(Arc::new(names))), ..tls() }
    };
    let (bert, cleo) = (person_dn("bert"), person_dn("cleo"));
    let refused = Err(ResultCode::INVALID_CREDENTIALS);
    let own = |name: &String| Ok(format!("dn:{name}"));
    let mail = |uid: &str| format!("{uid}@harbourlane.example");
    type Case<'a> = (&'a [&'a str], Peer, &'a str, Result<String, ResultCode>);
    let table: Vec<Case<'_>> = vec![
        (&["subject"], names(ANNA, &[], &[]), "", anna()),
        (&["subject"], names("UID=Anna,OU=people,DC=harbourlane,DC=example", &[], &[]), "", anna()),
        (&["subject"], names(ADMIN, &[], &[]), "", Ok(format!("dn:{ADMIN}"))),
        (&["subject"], names("cn=anna", &[], &[]), "", refused.clone()),
        (&["subject.cn=uid"], names("cn=anna,o=Harbour Lane", &[], &[]), "", anna()),
        (&["subject.cn=uid"], names("cn=*", &[], &[]), "", refused.clone()),
        (&["mail=mail"], names("cn=x", &[&mail("bert")], &[]), "", own(&bert)),
        // Two names of two people: nobody.
        (&["mail=mail"], names("cn=x", &[&mail("bert"), &mail("cleo")], &[]), "", refused.clone()),
        (&["principal=uid"], names("cn=x", &[], &["cleo"]), "", own(&cleo)),
        (&["subject", "mail=mail"], names("cn=x", &[&mail("bert")], &[]), "", own(&bert)),
        (&["subject", "mail=mail"], names(ANNA, &[&mail("bert")], &[]), "", anna()),
        // No index to find it by.
        (&["principal=description"], names("cn=x", &[], &["anna"]), "", refused.clone()),
        (&["subject"], names(ANNA, &[], &[]), "u:anna", anna()),
        (&["subject"], names(ANNA, &[], &[]), "u:bert", Err(ResultCode::AUTHORIZATION_DENIED)),
        (&["subject"], names(ADMIN, &[], &[]), "u:bert", own(&bert)),
        (&[], names(ANNA, &[], &[]), "", Err(ResultCode::INAPPROPRIATE_AUTHENTICATION)),
    ];
    for (rules, peer, authorization, want) in table {
        let with =
            rules.iter().fold(options(), |options, rule| options.certificate_rule(rule.parse().unwrap()));
        let store = with_anna(Store::open(with).unwrap()).await;
        let mut session = open(&store, peer.clone()).await;
        let reply = take(&mut *session, step("EXTERNAL", Some(Secret::from(authorization)))).await;
        assert_eq!(who(&reply), want, "{rules:?} {peer:?} {authorization}");
    }
    // Who is locked out is so by whatever way.
    let rules =
        options().certificate_rule("subject".parse().unwrap()).password_policy(PasswordPolicy::default());
    let store = with_anna(Store::open(rules).unwrap()).await;
    ok(&store, set(ANNA, "pwdAccountLockedTime", &["000001010000Z"])).await;
    let mut session = open(&store, names(ANNA, &[], &[])).await;
    let reply = take(&mut *session, step("EXTERNAL", None)).await;
    assert_eq!(who(&reply), refused);
}

fn person_dn(uid: &str) -> String {
    format!("uid={uid},ou=people,{SUFFIX}")
}
