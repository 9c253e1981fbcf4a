//! Which servers are tried, and what is settled before a connection is opened.

use flext_ldap_client::{Connector, Credentials, TlsOptions};
use flext_ldap_directory::{
    Actor, DirectoryExt, ErrorKind, Peer as Caller, Sessions,
    proto::{message::Request as Message, url::LdapUrl},
};

use crate::support::*;

fn url(text: &str) -> LdapUrl {
    text.parse().unwrap()
}

/// A port where nobody listens.
async fn closed_port() -> u16 {
    Server::start().await.address.port()
}

#[tokio::test]
async fn the_first_server_that_answers_is_used() {
    let server = Server::start().await;
    let connector = Connector::builder()
        .clear()
        .socket("/nonexistent/ldapi")
        .address("127.0.0.1", closed_port().await)
        .url(&url(&format!("ldap://{}", server.address)))
        .build()
        .unwrap();
    let (connection, mut peer) = tokio::join!(connector.connect(), server.accept());
    let connection = connection.unwrap();
    assert_eq!(connection.actor(), Some(Actor::Anonymous));
    let ((), rest) = tokio::join!(connection.close(), peer.rest());
    assert_eq!(rest, [Message::Unbind]);
}

#[tokio::test]
async fn a_refused_connection_says_where_and_what_to_do() {
    let port = closed_port().await;
    let connector = Connector::builder().clear().address("127.0.0.1", port).build().unwrap();
    let error = connector.connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert_eq!(
        error.to_string(),
        format!(
            "127.0.0.1:{port} refused the connection (127.0.0.1:{port}): is the server running, and is this its port?"
        )
    );
    let connector = Connector::builder().clear().socket("/nonexistent/ldapi").build().unwrap();
    let error = connector.connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.to_string().contains("the socket /nonexistent/ldapi"), "{error}");
}

#[tokio::test]
async fn a_name_that_is_none_is_not_found() {
    // Labels of more than 63 octets do not exist (RFC 1035 §2.3.4), so no resolver is asked.
    let host = "x".repeat(64);
    let connector = Connector::builder().clear().address(host.as_str(), 389).build().unwrap();
    let error = connector.connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable);
    assert!(error.to_string().starts_with(&format!("the host name `{host}` was not found")), "{error}");
}

#[test]
fn what_contradicts_itself_is_not_built() {
    let builder = || Connector::builder();
    let tls = TlsOptions::new;
    let table = [
        (builder().clear().build(), "no server"),
        (
            builder().clear().url(&url("ldaps://ldap.harbourlane.example")).build(),
            "an `ldaps:` URL goes with",
        ),
        (
            builder().start_tls(tls()).url(&url("ldaps://ldap.harbourlane.example")).build(),
            "an `ldaps:` URL goes with",
        ),
        (
            builder().ldaps(tls()).url(&url("ldap://ldap.harbourlane.example")).build(),
            "an `ldap:` URL does not go with",
        ),
        (
            builder().ldaps(tls().ca_file("/nonexistent/ca.pem")).address("localhost", 636).build(),
            "the CA file /nonexistent/ca.pem cannot be read",
        ),
        (
            builder().ldaps(tls().ca_pem("no certificate")).address("localhost", 636).build(),
            "the CA text holds no certificate in PEM form",
        ),
        (
            builder()
                .ldaps(tls().dangerous_accept_any_certificate().server_name("not a name"))
                .address("localhost", 636)
                .build(),
            "`not a name` is neither a host name nor an address",
        ),
    ];
    for (built, want) in table {
        let error = built.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misuse);
        assert!(error.to_string().starts_with(want), "{error}");
    }
    assert!(builder().clear().url(&url("ldapi://%2Frun%2Fldapi")).build().is_ok());
}

#[tokio::test]
async fn invariant_5_a_password_is_refused_in_clear_before_anything_is_connected_to() {
    // An address for documentation (RFC 5737): were it connected to, this would take ten seconds and another error.
    let builder = || Connector::builder().clear().address("192.0.2.1", 389);
    let connector = builder().credentials(Credentials::simple("cn=reader", "a password")).build().unwrap();
    let error = connector.connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Confidentiality);
    assert_eq!(
        error.to_string(),
        "the password would go out in clear: use ldaps or StartTLS, or allow it with `dangerous_clear_passwords`"
    );
}

#[tokio::test]
async fn a_connector_opens_sessions() {
    let server = Server::start().await;
    let connector = server.clear().build().unwrap();
    let (session, mut peer) = tokio::join!(connector.open(Caller::in_process()), server.accept());
    let session = session.unwrap();
    let answering = async {
        let (id, _) = peer.request().await;
        peer.answer(id, done()).await;
    };
    let (found, ()) = tokio::join!(session.search_all(search("cn=a")), answering);
    assert!(found.unwrap().is_empty());
    drop(session);
    assert_eq!(peer.rest().await, [Message::Unbind]);
}

#[test]
fn nothing_secret_is_printed() {
    let connector = Connector::builder()
        .clear()
        .address("localhost", 389)
        .credentials(Credentials::simple("cn=reader", "korrekt Pferd"))
        .build()
        .unwrap();
    let options = TlsOptions::new().client_certificate_pem("chain", "korrekt Pferd".into());
    let text = format!("{connector:?} {options:?}");
    assert!(text.contains("cn=reader") && !text.contains("Pferd"), "{text}");
}
