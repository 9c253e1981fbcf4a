//! Peers that claim much, send little, or send slowly: what they cost, in memory and in turns, on either end.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

use flext_ldap_client::Connector;
use flext_ldap_directory::{
    Actor, Directory as _, ErrorKind, Request,
    proto::{
        attribute::Attributes,
        ber::Writer,
        control::Controls,
        message::{Add, MessageId, Request as Message},
    },
};

use crate::{
    ends::{MIB, alone, request, serve},
    memory::Growth,
    synthetic::Synthetic,
};

/// Unbounded buffering: a length that is claimed is not memory that is taken.
#[test]
fn unbounded_buffering_what_is_claimed_is_not_allocated() {
    const PEERS: usize = 200;
    alone(async {
        let (server, connector) = serve(&Arc::new(Synthetic::default())).await;
        let address = ("127.0.0.1", server.urls()[0].port());
        drop(connector.connect().await.unwrap());
        let growth = Growth::start();
        let peers: Vec<_> = (0..PEERS)
            .map(|_| {
                let mut peer = TcpStream::connect(address).unwrap();
                // A message of 250 KiB, which a stranger may send, and its first octets.
                peer.write_all(&[0x30, 0x83, 0x03, 0xe8, 0x00, 0x02, 0x01, 0x01, 0x63]).unwrap();
                peer
            })
            .collect();
        // All of them are being served: the server says so, and an answer on a later one proves that it has read.
        while server.connections() < PEERS {
            tokio::task::yield_now().await;
        }
        let connection = connector.connect().await.unwrap();
        connection.call(request(1, 10).into_any()).outcome().await.unwrap();
        growth.at_most(24 * MIB, "200 peers that claim 250 KiB each on the listener");
        drop(peers);

        // The same of a server that claims 19 MiB, which the client takes.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let fake = std::thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            let mut first = [0; 7];
            peer.read_exact(&mut first).unwrap();
            peer.write_all(&[0x30, 0x84, 0x01, 0x30, 0x00, 0x00, 0x02, 0x01, 0x01, 0x64]).unwrap();
            peer
        });
        let growth = Growth::start();
        let connector = Connector::builder().clear().address("127.0.0.1", port).build().unwrap();
        let connection = connector.connect().await.unwrap();
        let reply = connection.call(request(1, 10).within(Duration::from_secs(2)).into_any());
        let error = reply.outcome().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        growth.at_most(8 * MIB, "a server that claims 19 MiB");
        drop(fake.join().unwrap());
    });
}

/// Quadratic re-parse of a slow message: octet after octet costs a read each, not a look at all that came before.
#[test]
fn quadratic_reparse_of_a_slow_message_does_not_happen_on_the_listener() {
    alone(async {
        let (server, _) = serve(&Arc::new(Synthetic::default())).await;
        let address = ("127.0.0.1", server.urls()[0].port());
        let message = add(MessageId(7), 200 << 10);
        let answered = tokio::task::spawn_blocking(move || {
            let mut peer = TcpStream::connect(address).unwrap();
            peer.set_nodelay(true).unwrap();
            for octet in message.chunks(1) {
                peer.write_all(octet).unwrap();
            }
            let mut answer = [0; 5];
            peer.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            peer.read_exact(&mut answer).unwrap();
            answer
        });
        let answer = answered.await.unwrap();
        // An answer to this message, not a notice: looked at 200,000 times it would be given up after 60 seconds.
        assert_eq!((answer[0], &answer[2..]), (0x30, &[0x02, 0x01, 0x07][..]));
    });
}

fn add(id: MessageId, octets: usize) -> bytes::Bytes {
    let mut attributes = Attributes::builder();
    attributes.push("jpegPhoto", [vec![b'x'; octets]]);
    let request =
        Message::Add(Add::new("cn=x,dc=harbourlane,dc=example".parse().unwrap(), attributes.build()));
    let mut writer = Writer::new();
    request.encode(id, &Controls::none(), &mut writer);
    writer.take()
}

/// Referral credential leak: nobody goes where a server points to, let alone with a password.
#[test]
fn referral_credential_leak_nobody_follows() {
    alone(async {
        let sink = TcpListener::bind("127.0.0.1:0").unwrap();
        sink.set_nonblocking(true).unwrap();
        let directory = flext_ldap_testkit::TestDirectory::start().unwrap();
        let (base, port) = (directory.base_dn().clone(), sink.local_addr().unwrap().port());
        let mut attributes = Attributes::builder();
        attributes.push("objectClass", ["referral", "extensibleObject"]);
        attributes.push("ou", ["else"]);
        attributes.push("ref", [format!("ldap://127.0.0.1:{port}/dc=elsewhere")]);
        let place: flext_ldap_directory::proto::dn::Dn = format!("ou=else,{base}").parse().unwrap();
        let add = Add::new(place.clone(), attributes.build());
        directory.store().call(Request::new(add, Actor::Service).into_any()).outcome().await.unwrap();

        let url = directory.url().parse().unwrap();
        let credentials =
            flext_ldap_client::Credentials::simple(directory.admin_dn().as_str(), directory.admin_password());
        let connector = Connector::builder().clear().url(&url).credentials(credentials).build().unwrap();
        let connection = connector.connect().await.unwrap();
        let actor = connection.actor().unwrap();
        use flext_ldap_directory::{
            DirectoryExt as _,
            proto::{
                filter::Filter,
                message::{Delete, Scope, Search},
                result::ResultCode,
            },
        };
        let everything = Search::new(base, Scope::Subtree, Filter::any());
        let mut entries = connection.search(Request::new(everything, actor.clone()));
        while entries.next().await.unwrap().is_some() {}
        assert_eq!(entries.references().count(), 1);
        let outcome =
            connection.call(Request::new(Delete { dn: place }, actor).into_any()).outcome().await.unwrap();
        assert_eq!(outcome.result.code, ResultCode::REFERRAL);
        assert_eq!(sink.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "somebody went there");
    });
}
