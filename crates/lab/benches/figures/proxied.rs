//! slapd behind a proxy: `flext-ldap proxy` as it is put together, beside OpenLDAP's lloadd, and beside no proxy at all.
//!
//! Each proxy has as many connections to slapd as the clients have to it. lloadd sends all that clients ask with the rights of its
//! own account, unless it is told to say for whom (`proxyauthz`); ours has a conversation for each client, or
//! says for whom in the same way.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use flext_ldap::Stack;
use flext_ldap_client::{Connector, Credentials};
use flext_ldap_proxy::Proxy;
use flext_ldap_server::Server;

use crate::{
    Bench, Login,
    clients::Target,
    contest::{Contender, contest},
    role,
    servers::Helper,
};

/// How long lloadd may take until it answers.
const PATIENCE: Duration = Duration::from_secs(10);

/// Conversations of our proxy at a time: one for each client, and some more while one round follows the other.
const CONVERSATIONS: usize = 256;

/// The tables of `proxy`.
pub(crate) fn contests(bench: &Bench, url: &str, slapd: u32, login: &Login<'_>) -> Result<()> {
    let ours = |way: &str| {
        let mut command = role("proxy")?;
        Helper::start(command.args([url, login.dn, login.password, way]))
    };
    let (conversations, authorization) = (ours("conversations")?, ours("authorization")?);
    let lloadd = Lloadd::start(bench.folder.path(), url, login, "plain", "")?;
    let for_whom = Lloadd::start(bench.folder.path(), url, login, "authorization", "feature proxyauthz\n")?;
    let ways = [
        ("slapd, no proxy", url, slapd),
        ("lloadd", lloadd.url.as_str(), lloadd.process.id()),
        ("lloadd, `proxyauthz`", for_whom.url.as_str(), for_whom.process.id()),
        ("ours", conversations.url(), conversations.pid()),
        ("ours, `proxied_authorization`", authorization.url(), authorization.pid()),
    ];
    for (kind, title) in [
        ("sink", "Lookups through a proxy, 8 plain sockets with 8 in flight on each"),
        ("sink64", "Lookups through a proxy, 64 plain sockets with one in flight on each"),
        ("multi", "Lookups through a proxy by 64 tasks over our pool of 8"),
        ("libldap", "Lookups through a proxy by 64 threads over 8 connections of libldap"),
    ] {
        let contenders = ways.map(|(name, url, pid)| {
            Contender::new(name, bench.lookups, move || {
                let mut command = match kind {
                    "libldap" => bench.peers.libldap(),
                    _ => role("pool")?,
                };
                Target::new("pool", url, login, &bench.names).push(&mut command);
                command.arg(kind);
                Ok(command)
            })
            .beside(pid)
        });
        contest(title, "lookups", contenders.into(), bench.rounds)?;
    }
    for (kind, title) in [
        ("sink", "One search for everything through a proxy, a plain socket"),
        ("multi", "One search for everything through a proxy, our client"),
        ("libldap", "One search for everything through a proxy, libldap"),
    ] {
        let contenders = ways.map(|(name, url, pid)| {
            Contender::new(name, bench.entries, move || {
                let mut command = match kind {
                    "libldap" => bench.peers.libldap(),
                    "sink" => role("sink")?,
                    _ => role("ours")?,
                };
                Target::new("bulk", url, login, &bench.names).push(&mut command);
                command.arg(kind);
                Ok(command)
            })
            .beside(pid)
        });
        contest(title, "entries", contenders.into(), bench.rounds)?;
    }
    Ok(())
}

/// `proxy URL DN PASSWORD WAY`: what `flext-ldap proxy` is, before one server, until its input ends.
#[expect(clippy::print_stdout, reason = "the parent reads it")]
pub(crate) fn play(arguments: &[String]) -> Result<()> {
    let [url, dn, password, way] = arguments else { bail!("wrong arguments") };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let connector = Connector::builder().clear().url(&url.parse()?);
        let stack = Stack::of([connector])
            .credentials(Credentials::simple(dn.as_str(), password.as_str()))
            .users(CONVERSATIONS, 8)
            .build()?;
        let proxy = Proxy::builder(stack).proxied_authorization(way == "authorization").build();
        let server = Server::builder(Arc::new(proxy)).listen("ldap://127.0.0.1:0".parse()?).start().await?;
        println!("{}", server.urls().first().context("it listens nowhere")?);
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
        server.shutdown(Duration::from_secs(1)).await;
        anyhow::Ok(())
    })
}

/// lloadd before one server; ends when it is dropped.
struct Lloadd {
    process: Child,
    url: String,
}

impl Lloadd {
    fn start(folder: &Path, url: &str, login: &Login<'_>, name: &str, features: &str) -> Result<Self> {
        let program = program()?;
        let file = folder.join(format!("lloadd-{name}.conf"));
        let Login { dn, password } = login;
        write!(
            File::create(&file)?,
            "bindconf bindmethod=simple binddn=\"{dn}\" credentials=\"{password}\"\n{features}\
             backend-server uri={url} numconns=8 bindconns=8 retry=500\n",
        )?;
        // Another process may take the port in between; then lloadd ends, and says so.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let url = format!("ldap://127.0.0.1:{port}");
        let mut process = Command::new(program)
            .args(["-h", &url, "-d", "none", "-f"])
            .arg(&file)
            .stdin(Stdio::null())
            .spawn()
            .context("lloadd does not start")?;
        let began = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if let Some(status) = process.try_wait()? {
                bail!("lloadd ended at once: {status}");
            }
            if began.elapsed() > PATIENCE {
                process.kill()?;
                process.wait()?;
                bail!("lloadd does not listen");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // Its connections to the server are opened one after another.
        std::thread::sleep(Duration::from_secs(1));
        Ok(Self { process, url })
    }
}

impl Drop for Lloadd {
    fn drop(&mut self) {
        // It has nothing left to lose.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What `peers/lloadd` has built.
pub(crate) fn program() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("no repository")?;
    let program = root.join("target/peers/lloadd");
    if !program.exists() {
        bail!("there is no {}: run peers/lloadd", program.display());
    }
    Ok(program)
}
