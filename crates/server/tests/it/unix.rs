//! Unix sockets: who is at the other end, file modes, and sockets that others left or hold.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use flext_ldap_directory::{External, PeerAddress, Protection};
use flext_ldap_proto::{message::Response, result::ResultCode, url::LdapUrl};
use flext_ldap_server::{Server, StartError};
use tokio::net::UnixStream;

use crate::{
    peer::{Lab, PeerSide, sasl},
    toy::Toy,
};

fn url(path: &Path) -> LdapUrl {
    format!("ldapi://{}", path.display().to_string().replace('/', "%2F")).parse().unwrap()
}

async fn start(path: &Path) -> Result<Server, StartError> {
    Server::builder(Arc::new(Toy::default())).listen(url(path)).start().await
}

fn socket(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("ldapi")
}

#[tokio::test]
async fn the_kernel_says_who() {
    let folder = tempfile::tempdir().unwrap();
    let path = socket(&folder);
    let lab = Lab::with(|builder| builder.listen(url(&path))).await;
    assert_eq!(lab.server.urls()[1], url(&path));
    let mut peer = PeerSide::new(UnixStream::connect(&path).await.unwrap());
    let Response::Bind(response) = peer.ask(1, &sasl("EXTERNAL")).await else { panic!("no bind") };
    assert_eq!(response.result.code, ResultCode::SUCCESS);
    let uid = nix::unistd::geteuid().as_raw();
    assert_eq!(peer.who_am_i(2).await, format!("u:{uid}"));
    let told = lab.state.peers.lock().unwrap()[0].clone();
    assert_eq!((told.address, told.protection), (PeerAddress::Unix, Protection::Local));
    let gid = nix::unistd::getegid().as_raw();
    assert_eq!(told.external, Some(External::UnixUser { uid, gid }));
    // A password does not leave the machine, so it may come in clear.
    assert_eq!(peer.bind(3, "cn=ada", "korrekt").await, ResultCode::SUCCESS);
    // TCP has no such credentials.
    let Response::Bind(response) = lab.peer().await.ask(1, &sasl("EXTERNAL")).await else {
        panic!("no bind")
    };
    assert_eq!(response.result.code, ResultCode::INAPPROPRIATE_AUTHENTICATION);
}

#[tokio::test]
async fn modes_and_removal() {
    let folder = tempfile::tempdir().unwrap();
    let path = socket(&folder);
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    let server = start(&path).await.unwrap();
    assert_eq!(mode(), 0o600);
    server.shutdown(Duration::ZERO).await;
    assert!(!path.exists());
    let server = Server::builder(Arc::new(Toy::default()))
        .listen(url(&path))
        .socket_mode(0o666)
        .start()
        .await
        .unwrap();
    assert_eq!(mode(), 0o666);
    server.shutdown(Duration::ZERO).await;
    assert!(!path.exists());
}

#[tokio::test]
async fn only_a_socket_that_nobody_serves_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = socket(&folder);
    // Left behind by a process that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let server = start(&path).await.unwrap();
    // Held by another.
    let error = start(&path).await.unwrap_err();
    assert!(matches!(&error, StartError::SocketInUse(found) if *found == path), "{error}");
    assert!(UnixStream::connect(&path).await.is_ok());
    server.shutdown(Duration::ZERO).await;
    // Not a socket.
    std::fs::write(&path, "precious").unwrap();
    let error = start(&path).await.unwrap_err();
    assert!(matches!(&error, StartError::NotASocket(found) if *found == path), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_socket_that_was_replaced_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = socket(&folder);
    let server = start(&path).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    let other = std::os::unix::net::UnixListener::bind(&path).unwrap();
    server.shutdown(Duration::ZERO).await;
    assert!(path.exists());
    drop(other);
}

#[tokio::test]
async fn addresses_that_are_none() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no/such/folder/ldapi");
    let error = start(&missing).await.unwrap_err();
    assert!(matches!(error, StartError::Listen { .. }), "{error}");
    for text in ["ldap://127.0.0.1:0/dc=example", "ldap://127.0.0.1:0/??sub", "ldapi://"] {
        let builder = Server::builder(Arc::new(Toy::default())).listen(text.parse().unwrap());
        let error = builder.start().await.unwrap_err();
        assert!(matches!(error, StartError::NotAnAddress(_)), "{text}: {error}");
    }
    let error = Server::builder(Arc::new(Toy::default())).start().await.unwrap_err();
    assert!(matches!(error, StartError::NoAddress), "{error}");
    let taken = Lab::new().await;
    let error = Server::builder(Arc::new(Toy::default()))
        .listen(taken.server.urls()[0].clone())
        .start()
        .await
        .unwrap_err();
    assert!(matches!(error, StartError::Listen { .. }), "{error}");
}

/// Each says what is wrong with it, or that it is free, and nothing is left or taken away.
#[tokio::test]
async fn addresses_are_looked_at_without_being_served() {
    let folder = tempfile::tempdir().unwrap();
    let (free, stale, file) =
        (folder.path().join("free"), folder.path().join("stale"), folder.path().join("file"));
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    std::fs::write(&file, "precious").unwrap();
    let taken = Lab::new().await;
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let urls: Vec<LdapUrl> = [
        format!("ldap://{unused}"),
        format!("ldap://{unused}"),
        taken.server.urls()[0].to_string(),
        "ldap://192.0.2.1:0".to_owned(),
        "ldap://127.0.0.1:0/dc=example".to_owned(),
    ]
    .iter()
    .map(|text| text.parse().unwrap())
    .chain([&free, &stale, &file, &folder.path().join("no/such")].map(|path| url(path)))
    .collect();
    for _ in 0..2 {
        let told: Vec<String> = Server::probe(&urls)
            .await
            .into_iter()
            .map(|error| error.map(|error| error.to_string()).unwrap_or_default())
            .collect();
        let want = [
            "",
            "; stop who listens there, or use another port or path",
            "; stop who listens there, or use another port or path",
            "; no interface of this machine has that address",
            "is not an address to listen on; give a scheme",
            "",
            "",
            "exists and is not a socket; remove it or use another path",
            "; make the folder",
        ];
        assert_eq!(told.len(), want.len());
        for (told, want) in told.iter().zip(want) {
            assert!(told.contains(want) && told.is_empty() == want.is_empty(), "{want}: {told}");
        }
        assert!(!free.exists() && stale.exists() && file.exists());
    }
}
