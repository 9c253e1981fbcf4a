//! Peers that ask for much and do not read it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use flext_ldap_directory::proto::{
    attribute::Selection,
    control::{ChangeTypes, Controls, PersistentSearch},
    filter::Filter,
    message::{ChangeKind, Modify, Request},
    result::ResultCode,
};
use tokio::{io::AsyncReadExt as _, time::timeout};

use crate::{
    Form,
    target::{ADMIN, ADMIN_PASSWORD, PEOPLE, SUFFIX, Target},
    wire::{Way, Wire, bind, encoded, encoded_with, everything, search},
};

/// Searches under way on each connection.
const SEARCHES: u32 = 8;

/// As many connections that ask for everything several times and read nothing.
async fn asking(target: &Target, connections: usize) -> Result<Vec<Wire>> {
    let mut wires = Vec::with_capacity(connections);
    let request = everything()?;
    for number in 0..connections {
        let mut wire = Wire::connect(target, Way::of(number)).await?;
        for id in 1..=SEARCHES {
            wire.send(&encoded(id, &request)).await?;
        }
        wires.push(wire);
    }
    Ok(wires)
}

/// How many messages came until the connection was closed.
async fn until_closed(wires: Vec<Wire>) -> Result<u64> {
    let mut most = 0;
    for mut wire in wires {
        let (_, messages) = wire.end().await?;
        most = most.max(messages);
    }
    Ok(most)
}

/// (a) Nothing is read: each connection is ended for it, and its result is not kept.
pub(crate) async fn unread(target: &Target, form: Form) -> Result<String> {
    let connections = form.of(16, 200);
    let wires = asking(target, connections).await?;
    // Longer than the server waits for somebody to take something.
    tokio::time::sleep(Duration::from_secs(if form == Form::Short { 5 } else { 40 })).await;
    let most = until_closed(wires).await?;
    let whole = u64::from(SEARCHES) * PEOPLE as u64;
    ensure!(most < whole / 2, "a peer that did not read was kept {most} of {whole} entries");
    Ok(format!("{connections} connections with {SEARCHES} searches of 16 MiB each: all ended"))
}

/// (b) An octet a second: what is held does not grow, and others do not wait.
pub(crate) async fn slow(target: &Target, form: Form) -> Result<String> {
    let connections = form.of(16, 200);
    let mut wires = asking(target, connections).await?;
    let seconds = form.of(5, 60);
    for _ in 0..seconds {
        let started = Instant::now();
        for wire in &mut wires {
            // One that was ended has nothing more to say.
            let _ = timeout(Duration::from_millis(20), wire.stream.read_u8()).await;
        }
        tokio::time::sleep(Duration::from_secs(1).saturating_sub(started.elapsed())).await;
    }
    drop(wires);
    Ok(format!("{connections} connections, {seconds} s"))
}

/// (k) Everybody's changes for those who do not read them, while writing goes on.
pub(crate) async fn followers(target: &Target, form: Form) -> Result<String> {
    const EACH: u32 = 16;
    let connections = form.of(20, 60);
    let control = PersistentSearch { change_types: ChangeTypes::ANY, changes_only: true, return_ecs: true };
    let controls = Controls::none().critical(&control);
    let request = search(Filter::any(), Selection::default())?;
    let mut wires = Vec::with_capacity(connections);
    for number in 0..connections {
        let mut wire = Wire::connect(target, Way::of(number)).await?;
        for id in 1..=EACH {
            wire.send(&encoded_with(id, &request, &controls)).await?;
        }
        wires.push(wire);
    }
    let mut writer = Wire::connect(target, Way::Plain).await?;
    ensure!(writer.ask(1, &bind(ADMIN, ADMIN_PASSWORD)).await? == ResultCode::SUCCESS, "no bind");
    let started = Instant::now();
    let writes = form.of(200, 3_000);
    let mut longest = Duration::ZERO;
    for (id, number) in (2..).zip(0..writes) {
        let dn = format!("uid=crew{},{SUFFIX}", number % PEOPLE).parse()?;
        let modify = Modify::new(dn).change(ChangeKind::Replace, "title".parse()?, [number.to_string()]);
        let asked = Instant::now();
        let code = writer.ask(id, &Request::Modify(modify)).await?;
        longest = longest.max(asked.elapsed());
        ensure!(code == ResultCode::SUCCESS, "a write was answered {code}");
    }
    let took = started.elapsed();
    let followers = connections * EACH as usize;
    drop(wires);
    Ok(format!(
        "{followers} persistent searches; {writes} writes of 16 KiB entries in {:.1} s, the longest {:.0} ms",
        took.as_secs_f64(),
        longest.as_secs_f64() * 1e3
    ))
}
