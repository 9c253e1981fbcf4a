//! A large read in parts over several connections (`Parallel`), beside the same read over one.
//!
//! The company has its people in one flat container, which cannot be taken apart. So here they are spread over eight branches
//! of the suffix.

use std::{
    fs::File,
    hint::black_box,
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use flext_ldap_client::{Connector, Credentials, Parallel, Pool};
use flext_ldap_directory::Deadline;
use flext_ldap_lab::{Content, Slapd, SlapdOptions};
use flext_ldap_testkit::company::SUFFIX;

use crate::{
    Bench, Login,
    clients::{Target, read_everything},
    contest::{self, Contender, contest},
    role,
    servers::Helper,
    usage::Watch,
};

/// Branches with people.
const BRANCHES: usize = 8;

/// The table `parallel`.
pub(crate) fn contests(bench: &Bench) -> Result<()> {
    let ldif = spread(&bench.ldif, bench.folder.path())?;
    let slapd = Slapd::start(SlapdOptions {
        content: Content::File(ldif.clone()),
        log_operations: false,
        ..SlapdOptions::default()
    })?;
    let root = slapd.root_dn();
    let login = Login { dn: &root, password: slapd.root_password() };
    let data = bench.folder.path().join("spread");
    contest::run(role("import")?.arg(&data).arg(&ldif))?;
    let ours = Helper::start(role("serve")?.arg(&data).args([login.dn, login.password]))?;
    let slapd_url = slapd.ldap_url();
    let entries = bench.entries + BRANCHES as u64;
    for (server, url, pid) in [("slapd", slapd_url.as_str(), slapd.pid()), ("ours", ours.url(), ours.pid())] {
        for runtime in ["current", "multi"] {
            let contenders = [1, 2, 4, 8].map(|parts| {
                let name = match parts {
                    1 => format!("{server}: one connection, {runtime}-thread runtime"),
                    _ => format!("{server}: {parts} parts, {runtime}-thread runtime"),
                };
                let login = &login;
                Contender::new(name, entries, move || {
                    let mut command = role("parts")?;
                    Target::new("bulk", url, login, &bench.names).push(&mut command);
                    command.arg(format!("{runtime}-{parts}"));
                    Ok(command)
                })
                .beside(pid)
            });
            contest("One search for everything, in parts", "entries", contenders.into(), bench.rounds)?;
        }
    }
    Ok(())
}

/// The same company with its people in branches of the suffix. Attributes that name people name them as they were.
fn spread(ldif: &Path, folder: &Path) -> Result<PathBuf> {
    let (place, end) = (folder.join("spread.ldif"), format!(",ou=people,{SUFFIX}"));
    let mut out = BufWriter::new(File::create(&place)?);
    let mut people = 0;
    for line in BufReader::new(File::open(ldif)?).lines() {
        let line = line?;
        // A name that is folded stays where it was.
        let Some(name) = line.strip_prefix("dn: uid=").and_then(|name| name.strip_suffix(end.as_str()))
        else {
            writeln!(out, "{line}")?;
            continue;
        };
        if people == 0 {
            for branch in 0..BRANCHES {
                writeln!(
                    out,
                    "dn: ou=branch{branch},{SUFFIX}\nobjectClass: organizationalUnit\nou: branch{branch}\n"
                )?;
            }
        }
        writeln!(out, "dn: uid={name},ou=branch{},{SUFFIX}", people % BRANCHES)?;
        people += 1;
    }
    out.flush()?;
    Ok(place)
}

/// `parts TARGET`, of the kind `RUNTIME-PARTS`.
pub(crate) fn play(target: &Target) -> Result<()> {
    let (runtime, parts) = target.kind.split_once('-').context("no number of parts")?;
    let parts: usize = parts.parse()?;
    let runtime = match runtime {
        "multi" => tokio::runtime::Builder::new_multi_thread().enable_all().build()?,
        _ => tokio::runtime::Builder::new_current_thread().enable_all().build()?,
    };
    runtime.block_on(async {
        let connector = Connector::builder()
            .clear()
            .address(target.host.as_str(), target.port)
            .credentials(Credentials::simple(target.dn.as_str(), target.password.as_str()))
            .build()?;
        // One is kept for short operations.
        let pool = Pool::builder(connector).min(parts + 1).max(parts + 1).build()?;
        pool.ready(Deadline::after(Duration::from_secs(10))).await?;
        let watch = Watch::start()?;
        black_box(read_everything(&Parallel::new(Arc::new(pool), parts)).await?);
        watch.report(&mut [])
    })
}
