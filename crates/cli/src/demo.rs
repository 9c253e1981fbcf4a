//! `flext-ldap demo`: the whole of it on an invented company, on the visitor's LDIF, or, read-only, on a real server.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read as _, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use flext_ldap_client::{Connection, Connector, Credentials};
use flext_ldap_directory::{
    Actor, DirectoryExt, Layered, Request, Session, SessionExt as _,
    layers::ReadOnly,
    proto::{
        attribute::Selection,
        ber::Reader,
        control::{ControlValue as _, PostRead, PreRead, ReadEntry},
        dn::Dn,
        entry::Entry,
        extended::{ExtendedOperation, PasswordModify},
        filter::Filter,
        ldif::{LdifReader, ReadOptions, Record},
        message::{ChangeKind, Limits, Modify, Scope, Search},
        secret::Secret,
        url::LdapUrl,
    },
};
use flext_ldap_server::Server;
use flext_ldap_singer::{Config, Tap};
use flext_ldap_store::{ImportOptions, StandardPolicy, Store, StoreOptions};
use flext_ldap_testkit::company::{SUFFIX, company};

use crate::{connect::Connect, exit::Usage, listener::Stop, progress::Progress};

const EXAMPLES: &str = "\
Examples:
  flext-ldap demo                              # an invented company of 10,000 people
  flext-ldap demo --serve                      # the same, and stay up
  flext-ldap demo --ldif people.ldif           # on a copy of your own data
  flext-ldap demo --url ldap://localhost -b dc=example,dc=com -D cn=reader,dc=example,dc=com -W
                                               # on a real server: reads only";

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connect: Connect,
    /// With --url or --config: entry to start from
    #[arg(short = 'b', long, value_name = "DN")]
    base: Option<Dn>,
    /// Use this LDIF instead of the invented company
    #[arg(long, value_name = "FILE", conflicts_with_all = ["urls", "config"])]
    ldif: Option<PathBuf>,
    /// People in the invented company
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    people: u32,
    /// Seed of the invented company: the same seed makes the same people
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Keep serving afterwards, until SIGINT or SIGTERM
    #[arg(long)]
    serve: bool,
    /// Keep the extracted records in this file
    #[arg(short = 'o', long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What the embedded directory is filled with.
struct Source {
    file: PathBuf,
    suffix: Dn,
    /// Somebody whose password is known.
    known: Option<(String, Secret)>,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        if self.base.is_some() && !self.connect.is_given() {
            return Err(Usage("-b goes with a server: name it by --url or --config".to_owned()).into());
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let result = runtime.block_on(async {
            if self.connect.is_given() {
                return self.on_a_real_server().await;
            }
            let mut stop = Stop::new()?;
            let folder = tempfile::tempdir().context("failed to make a temporary folder")?;
            let (server, store) = tokio::select! {
                served = self.embedded(folder.path()) => served?,
                () = stop.wait() => anyhow::bail!("stopped by a signal"),
            };
            if self.serve {
                stop.wait().await;
            }
            server.shutdown(Duration::from_secs(5)).await;
            store.close();
            Ok(ExitCode::SUCCESS)
        });
        // What still loads must not keep a program that was told to end.
        runtime.shutdown_background();
        result
    }

    /// Shows everything on a directory in `folder`, which still serves afterwards.
    async fn embedded(&self, folder: &Path) -> anyhow::Result<(Server, Store)> {
        let source = match &self.ldif {
            Some(file) => Source { file: file.clone(), suffix: first_name(file)?, known: None },
            None => self.invent(folder)?,
        };
        let admin: Dn = source.suffix.child(&"cn=admin".parse()?);
        let password = random_password()?;
        let store = Store::open(
            StoreOptions::folder(folder.join("data"))
                .suffix(source.suffix.clone())
                .administrator(admin.clone(), password.clone())
                .policy(Arc::new(StandardPolicy::default().administrator(admin.clone()).anonymous_read())),
        )?;
        let started = Instant::now();
        let imported = self.load(&store, &source.file).await?;
        say(&format!("loaded     {}", rate(imported, "entries", started)))?;

        let server =
            Server::builder(Arc::new(store.clone())).listen("ldap://127.0.0.1:0".parse()?).start().await?;
        let url = server.urls().first().context("the listener has no address")?.clone();
        say(&format!(
            "serving    {url}; to try it from another terminal while this runs (--serve keeps it up):"
        ))?;
        say(&format!("           ldapsearch -x -LLL -H {url} -b '{}' '(uid=a*)' cn mail", source.suffix))?;

        let admin = connect(&url, Credentials::simple(admin.as_str(), password.clone())).await?;
        let (name, secret) = match source.known {
            Some(known) => known,
            None => give_a_password(&admin, &source.suffix).await?,
        };
        self.sign_in(&url, &name, secret).await?;
        change(&admin, &name).await?;
        self.extract(&admin, &source.suffix).await?;
        admin.close().await;

        if self.serve {
            say(&format!("staying up on {url}; Ctrl-C ends it"))?;
            say(&format!(
                "           administrator: -D '{}' -w {}",
                source.suffix.child(&"cn=admin".parse()?),
                text(&password)
            ))?;
        }
        Ok((server, store))
    }

    async fn on_a_real_server(&self) -> anyhow::Result<ExitCode> {
        if self.serve {
            let text = "--serve goes with the embedded directory, not with --url or --config";
            return Err(Usage(text.to_owned()).into());
        }
        let opened = self.connect.open().await?;
        // Whatever this program does by mistake, nothing that writes can pass.
        let session = Layered::new(opened.pin().await?, Arc::new(ReadOnly));
        let base = match &self.base {
            Some(base) => base.clone(),
            None => match self.connect.default_base()? {
                base if base.is_root() => naming_context(&session).await?,
                base => base,
            },
        };
        let search = Search::new(base.clone(), Scope::Subtree, Filter::any()).attributes(Selection::none());
        let started = Instant::now();
        let mut entries = session.search_pages(Request::new(search, Actor::Service), 1000);
        let progress = Progress::new("entries");
        let mut count = 0;
        while let Some(batch) = entries.next_batch().await? {
            count += batch.len() as u64;
            progress.advance(batch.len() as u64);
        }
        drop((progress, entries));
        say(&format!("counted    {} under `{base}`", rate(count, "entries", started)))?;
        self.extract(&session, &base).await?;
        drop(session);
        opened.close().await;
        Ok(ExitCode::SUCCESS)
    }

    /// Writes the invented company to a file.
    fn invent(&self, folder: &Path) -> anyhow::Result<Source> {
        let company = company(self.people, self.seed);
        let file = folder.join("company.ldif");
        let mut out = BufWriter::with_capacity(1 << 16, File::create(&file)?);
        company.write_ldif(&mut out)?;
        out.flush()?;
        let counts = company.counts();
        say(&format!(
            "invented   Harbour Lane Instruments: {} people ({} disabled, {} expired, {} never seen), {} departments, {} groups",
            counts.people,
            counts.disabled,
            counts.expired,
            counts.never_seen,
            counts.departments,
            counts.groups
        ))?;
        let person = company.with_passwords().into_iter().next();
        let known = person.and_then(|person| Some((person.dn, Secret::from(person.password?.as_str()))));
        Ok(Source { file, suffix: SUFFIX.parse()?, known })
    }

    async fn load(&self, store: &Store, file: &Path) -> anyhow::Result<u64> {
        let (store, path) = (store.clone(), file.to_owned());
        let report = tokio::task::spawn_blocking(move || {
            let mut options = ImportOptions::default();
            options.hash_clear_passwords = true;
            let progress = Progress::new("entries");
            let mut last = 0;
            let input = BufReader::with_capacity(1 << 16, File::open(&path)?);
            let report = store.import(input, &options, &mut |count| {
                progress.advance(count.saturating_sub(last));
                last = count;
            });
            report.map_err(anyhow::Error::new)
        });
        let report = report.await?.with_context(|| {
            format!(
                "failed to load {}, whose first entry is taken for the top of the directory",
                file.display()
            )
        })?;
        Ok(report.applied)
    }

    /// Signs somebody in, and shows that a wrong password does not.
    async fn sign_in(&self, url: &LdapUrl, name: &str, secret: Secret) -> anyhow::Result<()> {
        let started = Instant::now();
        let person = connect(url, Credentials::simple(name, secret)).await.context("failed to sign in")?;
        let who = person.who_am_i(Actor::Service).await?;
        say(&format!("signed in  {who} in {:.1} ms", started.elapsed().as_secs_f64() * 1e3))?;
        person.close().await;
        match connect(url, Credentials::simple(name, "not the password")).await {
            Err(error) => say(&format!("refused    the same with a wrong password: {error:#}")),
            Ok(_) => anyhow::bail!("a wrong password was accepted"),
        }
    }

    /// Extracts users and groups through the tap.
    async fn extract<S: Session>(&self, session: &S, base: &Dn) -> anyhow::Result<()> {
        // Where it is, the session knows.
        let mut config = Config::new("ldap://localhost");
        config.base = Some(base.clone());
        let tap = Tap::over_session(session, Actor::Service, config).await?;
        let (mut file, kept) = match &self.output {
            Some(path) => {
                let file =
                    File::create(path).with_context(|| format!("failed to create {}", path.display()))?;
                (file, format!("in {}", path.display()))
            }
            None => (tempfile::tempfile()?, "thrown away; -o FILE keeps them".to_owned()),
        };
        let started = Instant::now();
        let summary = tap.sync(None, None, BufWriter::with_capacity(1 << 16, &mut file)).await?;
        for stream in &summary.streams {
            say(&format!("extracted  {} {}", stream.records, stream.stream))?;
        }
        let total = summary.streams.iter().map(|stream| stream.records).sum();
        let size = file.metadata()?.len();
        say(&format!(
            "           {}, {size} octets of Singer messages, {kept}",
            rate(total, "records", started)
        ))
    }
}

async fn connect(url: &LdapUrl, credentials: Credentials) -> anyhow::Result<Connection> {
    Ok(Connector::builder().clear().url(url).credentials(credentials).build()?.connect().await?)
}

/// Changes an entry, and shows it before and after as the directory gave it in the same step (RFC 4527).
async fn change(admin: &Connection, name: &str) -> anyhow::Result<()> {
    let attribute = "description".parse()?;
    let modify = Modify::new(name.parse()?).change(ChangeKind::Replace, attribute, ["Changed by the demo"]);
    let selection = Selection::from(["description"]);
    let request = Request::new(modify, Actor::Service)
        .critical(&PreRead(selection.clone()))
        .critical(&PostRead(selection));
    let outcome = admin.modify(request).await?;
    say(&format!("changed    {name}:"))?;
    for (mark, oid) in [('-', PreRead::OID), ('+', PostRead::OID)] {
        let Some(control) = outcome.controls.iter().find(|control| control.oid == oid) else { continue };
        let Some(value) = &control.value else { continue };
        let ReadEntry(entry) = ReadEntry::decode(&mut Reader::new(value), &Limits::DEFAULT)?;
        show(mark, &entry)?;
    }
    Ok(())
}

fn show(mark: char, entry: &Entry) -> anyhow::Result<()> {
    for attribute in entry.attributes().iter() {
        for value in attribute.values() {
            let value = String::from_utf8_lossy(value);
            say(&format!("           {mark} {}: {}", attribute.description(), value.escape_debug()))?;
        }
    }
    Ok(())
}

/// Gives somebody of an unknown directory (a copy of it) a password, so that they can be signed in.
async fn give_a_password(admin: &Connection, base: &Dn) -> anyhow::Result<(String, Secret)> {
    let search = Search::new(base.clone(), Scope::Subtree, "(objectClass=person)".parse()?)
        .attributes(Selection::none())
        .size_limit(1);
    let mut entries = admin.search(Request::new(search, Actor::Service));
    let person = entries
        .next()
        .await
        .context("found nobody to sign in")?
        .context("there is no person in this data")?;
    drop(entries);
    let name = person.dn_str().to_owned();
    let change = PasswordModify { user: Some(name.clone()), old: None, new: None };
    let answer = admin.extended::<PasswordModify>(Request::new(change.request(), Actor::Service)).await?;
    let secret = answer.generated.context("the directory made up no password")?;
    say(&format!("gave       {name} a password, in this copy of your data only"))?;
    Ok((name, secret))
}

async fn naming_context(session: &impl Session) -> anyhow::Result<Dn> {
    let search = Search::new(Dn::root(), Scope::Base, Filter::any()).attributes(["namingContexts"]);
    let root = session
        .search_one(Request::new(search, Actor::Service))
        .await
        .context("failed to read the root DSE")?;
    let context = root.text("namingContexts");
    Ok(context
        .ok_or_else(|| Usage("the server names no naming context; give one with -b".to_owned()))?
        .parse()?)
}

/// The name of the first entry of an LDIF file: the suffix of what is in it.
fn first_name(path: &Path) -> anyhow::Result<Dn> {
    let file = File::open(path).with_context(|| format!("failed to open {}", path.display()))?;
    let mut reader = LdifReader::new(BufReader::new(file), ReadOptions::default());
    match reader.next_record().with_context(|| path.display().to_string())? {
        Some(Record::Entry(entry)) => Ok(entry.dn()?),
        _ => Err(Usage(format!("{} does not start with an entry", path.display())).into()),
    }
}

fn random_password() -> anyhow::Result<Secret> {
    let mut octets = [0_u8; 12];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut octets))
        .context("failed to make a password")?;
    Ok(Secret::new(octets.iter().flat_map(|octet| format!("{octet:02x}").into_bytes()).collect::<Vec<_>>()))
}

fn text(secret: &Secret) -> String {
    String::from_utf8_lossy(secret.expose()).into_owned()
}

fn rate(count: u64, things: &str, since: Instant) -> String {
    let seconds = since.elapsed().as_secs_f64().max(1e-9);
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = count as f64 / seconds;
    format!("{count} {things} in {seconds:.2} s ({rate:.0}/s)")
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{line}")?;
    Ok(())
}
