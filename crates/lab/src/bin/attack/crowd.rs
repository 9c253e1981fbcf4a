//! Very many connections: idle ones, handshakes that stop, peers that die.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use flext_ldap_directory::proto::{
    extended::{ExtendedOperation as _, StartTls, WhoAmI},
    message::Request,
    result::ResultCode,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    Form,
    target::Target,
    wire::{LONG, Stream, Way, Wire, client_hello, encoded, everything, rest, shake, tcp, unix},
};

/// (c) More connections than are allowed, all of them idle.
pub(crate) async fn crowd(target: &Target, form: Form) -> Result<String> {
    let most = form.connections();
    let more = most / 20;
    let mut streams = Vec::with_capacity(most + more);
    let opening = Instant::now();
    for _ in 0..most + more {
        streams.push(tcp(target.plain).await?);
    }
    // They are taken in turn, so once the last has heard that it is one too many, so have all who are.
    let last = streams.pop().context("nobody came")?;
    let (notice, _) = Wire::new(last).end().await?;
    ensure!(notice == Some(ResultCode::BUSY), "the last of too many was told {notice:?}");
    let opened = opening.elapsed();
    // The Unix socket has no places of its own.
    let (notice, _) = Wire::connect(target, Way::Unix).await?.end().await?;
    ensure!(notice == Some(ResultCode::BUSY), "one too many on the Unix socket was told {notice:?}");
    let (mut served, mut refused) = (Vec::new(), 1);
    for stream in streams {
        let mut first = [0];
        match stream.try_read(&mut first) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => served.push(stream),
            _ => refused += 1,
        }
    }
    // Some places are the neighbours'.
    ensure!((most - 8..=most).contains(&served.len()), "{} are served, {refused} refused", served.len());
    let taken = served.len();
    let who_am_i = Request::Extended(WhoAmI.request());
    let mut asked = 0;
    let mut kept = Vec::new();
    for (number, stream) in served.into_iter().enumerate() {
        if number % 10 == 0 {
            let mut wire = Wire::new(stream);
            ensure!(wire.ask(1, &who_am_i).await? == ResultCode::SUCCESS, "one of the crowd gets no answer");
            asked += 1;
        } else {
            kept.push(stream);
        }
    }
    // Those who asked have left: there is room again.
    let deadline = Instant::now() + LONG;
    loop {
        let mut wire = Wire::connect(target, Way::Plain).await?;
        if matches!(wire.ask(1, &who_am_i).await, Ok(ResultCode::SUCCESS)) {
            break;
        }
        ensure!(Instant::now() < deadline, "nobody gets in after {asked} have left");
    }
    let peak = target.descriptors()?;
    drop(kept);
    Ok(format!(
        "{} connections opened in {:.1} s: {taken} served, {refused} told `busy`; {peak} descriptors",
        most + more,
        opened.as_secs_f64()
    ))
}

/// (c) Handshakes that never begin, stop in the first message, or after it; on the TLS port, and after StartTLS.
pub(crate) async fn handshakes(target: &Target, form: Form) -> Result<String> {
    let count = form.of(500, 9_000);
    let hello = client_hello(target)?;
    let start_tls = Request::Extended(StartTls.request());
    let mut streams: Vec<Box<dyn Stream>> = Vec::with_capacity(count);
    for number in 0..count {
        let mut stream: Box<dyn Stream> = if number % 4 == 3 {
            let mut wire = Wire::connect(target, Way::Plain).await?;
            let code = wire.ask(1, &start_tls).await?;
            ensure!(code == ResultCode::SUCCESS, "StartTLS was answered {code}");
            wire.stream
        } else {
            Box::new(tcp(target.tls).await?)
        };
        let sent = match number % 3 {
            0 => &[][..],
            1 => hello.get(..hello.len() / 2).unwrap_or_default(),
            _ => &hello,
        };
        stream.write_all(sent).await?;
        streams.push(stream);
    }
    let peak = target.descriptors()?;
    let waiting = Instant::now();
    for stream in &mut streams {
        rest(stream).await?;
    }
    Ok(format!(
        "{count} handshakes, {peak} descriptors; all ended {:.0} s later",
        waiting.elapsed().as_secs_f64()
    ))
}

/// (f) Messages that stop in the middle: with a reset, with an end, and with silence.
pub(crate) async fn deaths(target: &Target, form: Form) -> Result<String> {
    let count = form.of(240, 3_000);
    let everything = encoded(1, &everything()?);
    let half = everything.get(..everything.len() / 2).unwrap_or_default();
    let mut silent = Vec::new();
    let mut ended = Vec::new();
    for number in 0..count {
        // A handshake costs as much as a lot of these.
        let way = match number % 8 {
            7 => Way::Tls,
            4..=6 => Way::Unix,
            _ => Way::Plain,
        };
        match number % 3 {
            0 => die(target, way, &everything, half).await?,
            1 => {
                let mut wire = Wire::connect(target, way).await?;
                wire.send(half).await?;
                wire.stream.shutdown().await?;
                ended.push(wire);
            }
            _ => {
                let mut wire = Wire::connect(target, way).await?;
                wire.send(half).await?;
                silent.push(wire);
            }
        }
    }
    for mut wire in ended {
        let (notice, messages) = wire.end().await?;
        ensure!((notice, messages) == (None, 0), "half a message was answered: {notice:?}");
    }
    let silence = silent.len();
    for mut wire in silent {
        let (notice, _) = wire.end().await?;
        ensure!(notice == Some(ResultCode::ADMIN_LIMIT_EXCEEDED), "who is silent was told {notice:?}");
    }
    Ok(format!("{count} peers, a third each by RST and FIN; {silence} silent ones told and ended"))
}

/// Asks for much, reads a little, sends half a message more, and is gone with a reset.
async fn die(target: &Target, way: Way, everything: &[u8], half: &[u8]) -> Result<()> {
    let mut first = [0; 512];
    match way {
        Way::Plain => {
            let mut stream = tcp(target.plain).await?;
            stream.set_zero_linger()?;
            stream.write_all(everything).await?;
            timeout(LONG, stream.read(&mut first)).await??;
            stream.write_all(half).await?;
        }
        Way::Tls => {
            let stream: TcpStream = tcp(target.tls).await?;
            stream.set_zero_linger()?;
            let mut stream = shake(target, stream).await?;
            stream.write_all(everything).await?;
            stream.flush().await?;
            timeout(LONG, stream.read(&mut first)).await??;
            stream.write_all(half).await?;
            stream.flush().await?;
        }
        // What was not read makes a reset of its end.
        Way::Unix => {
            let mut stream = unix(&target.socket).await?;
            stream.write_all(everything).await?;
            timeout(LONG, stream.read(&mut first)).await??;
            stream.write_all(half).await?;
        }
    }
    // Something was in flight, so it is a death and no goodbye.
    tokio::time::sleep(Duration::from_millis(1)).await;
    Ok(())
}
