//! Octets that are not LDAP, not TLS, or come one by one.

use anyhow::{Result, ensure};
use flext_ldap_directory::proto::{
    attribute::Selection,
    extended::{ExtendedOperation as _, StartTls},
    filter::Filter,
    message::Request,
    result::ResultCode,
};
use tokio::io::AsyncWriteExt as _;

use crate::{
    Form,
    target::{PEOPLE, Target, USER, USER_PASSWORD},
    wire::{Way, Wire, bind, client_hello, encoded, everything, rest, search, tcp},
};

/// Octets without pattern, the same in every run.
fn noise(seed: u64, octets: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes().first().copied().unwrap_or_default()
    };
    std::iter::repeat_with(next).take(octets).collect()
}

/// (d) Before TLS, inside TLS, instead of TLS; LDAP where TLS is due and TLS where LDAP is.
pub(crate) async fn garbage(target: &Target, form: Form) -> Result<String> {
    let hello = client_hello(target)?;
    let asked = encoded(1, &everything()?);
    let start_tls = encoded(1, &Request::Extended(StartTls.request()));
    let rounds = form.of(12, 300);
    let mut connections = 0;
    for round in 0..rounds {
        let seed = u64::try_from(round)?;
        // Somewhere in a handshake that began as it should.
        let mut broken = hello.clone();
        if let Some(octet) = broken.get_mut(5 + round * 7 % (hello.len() - 5)) {
            *octet ^= 0x40;
        }
        let kinds: [&[u8]; 5] = [
            &noise(seed, 4096),
            b"GET / HTTP/1.1\r\n\r\n",
            &hello,
            &broken,
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
        ];
        for octets in kinds {
            // Instead of LDAP, inside TLS too: no more than a notice.
            for way in Way::ALL {
                let mut wire = Wire::connect(target, way).await?;
                // It may be ended before all of it is taken.
                let _gone = wire.send(octets).await;
                let _gone = wire.stream.shutdown().await;
                let (notice, messages) = wire.end().await?;
                let is_told = matches!((notice, messages), (None, 0) | (Some(ResultCode::PROTOCOL_ERROR), 1));
                ensure!(is_told, "{way:?}: {notice:?}, {messages} messages");
                connections += 1;
            }
        }
        // Instead of TLS, LDAP among it, and between StartTLS and the handshake: nothing of LDAP comes back.
        for octets in [&noise(seed, 4096), b"GET / HTTP/1.1\r\n\r\n".as_slice(), &asked, &broken] {
            let mut stream = tcp(target.tls).await?;
            stream.write_all(octets).await?;
            // A broken handshake may be one that waits for more.
            stream.shutdown().await?;
            let came = rest(&mut stream).await?;
            ensure!(came.first() != Some(&0x30), "LDAP in clear on the TLS port");

            let mut wire = Wire::connect(target, Way::Plain).await?;
            wire.send(&start_tls).await?;
            ensure!(wire.next().await?.is_some(), "no answer to StartTLS");
            wire.send(octets).await?;
            let _gone = wire.stream.shutdown().await;
            let came = rest(&mut wire.stream).await?;
            ensure!(came.first() != Some(&0x30), "LDAP in clear after StartTLS");
            connections += 2;
        }
        // Behind the StartTLS request, in the same segment.
        let mut wire = Wire::connect(target, Way::Plain).await?;
        wire.send(&[&start_tls[..], &asked[..]].concat()).await?;
        let (notice, messages) = wire.end().await?;
        ensure!((notice, messages) == (Some(ResultCode::PROTOCOL_ERROR), 1), "behind StartTLS: {notice:?}");
        connections += 1;
    }
    Ok(format!("{connections} connections, each ended alone"))
}

/// (i) One octet in each segment, and in each record of TLS.
pub(crate) async fn crumbs(target: &Target, form: Form) -> Result<String> {
    let count = form.of(24, 200);
    let mut peers = tokio::task::JoinSet::new();
    for number in 0..count {
        let way = Way::of(number);
        let mut wire = match way {
            Way::Plain => {
                let stream = tcp(target.plain).await?;
                stream.set_nodelay(true)?;
                Wire::new(stream)
            }
            Way::Tls => {
                let stream = tcp(target.tls).await?;
                stream.set_nodelay(true)?;
                Wire::new(crate::wire::shake(target, stream).await?)
            }
            Way::Unix => Wire::connect(target, way).await?,
        };
        let filter = Filter::equality("uid".parse()?, format!("crew{}", number % PEOPLE));
        let asked = search(filter, Selection::from(["cn"]))?;
        let sent = [encoded(1, &bind(USER, USER_PASSWORD)), encoded(2, &asked)].concat();
        peers.spawn(async move {
            for octet in sent {
                wire.send(&[octet]).await?;
                tokio::task::yield_now().await;
            }
            let mut codes = Vec::new();
            while codes.len() < 2 {
                let Some((_, response)) = wire.next().await? else { break };
                codes.extend(crate::wire::last(&response));
            }
            anyhow::Ok(codes)
        });
    }
    while let Some(peer) = peers.join_next().await {
        let codes = peer??;
        // So many sign in at once that some may be told so; what they ask afterwards is answered either way.
        let is_right =
            matches!(codes.as_slice(), [ResultCode::SUCCESS | ResultCode::BUSY, ResultCode::SUCCESS]);
        ensure!(is_right, "a message in crumbs was answered {codes:?}");
    }
    Ok(format!("{count} peers; all answered"))
}
