//! A foreign server that areas of the suite share, and what becomes of it when it hangs.
//!
//! A server of somebody else's may stop to answer by a fault of its own, and then every check of every area would wait
//! for its time to be over. So, while an area runs, its server is asked now and then whether it still works. If it does
//! not, what can be seen of it is written down, it is killed, and all areas that used it begin again, once, on a new one.
//!
//! Nothing of this is silent: each hang is a line on standard error and a report in a file, whose first lines `./test`
//! prints at its end. Which answers are right is not decided here.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs::{self, File},
    io::Write as _,
    path::PathBuf,
    process::Command,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use flext_ldap_client::{Connection, Connector};
use flext_ldap_directory::{
    Actor, BindReply, BindStep, Deadline, DirectoryExt as _, Request, Session as _,
    proto::{
        message::{Add, Change, ChangeKind, Modify},
        url::LdapUrl,
    },
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::sync::watch;

use super::bench::attributes;
use crate::{DEFAULT_SUFFIX, Kit, NsSlapd, Tool};

/// The entry of the suffix, and who may do what, as at the other subjects: what [`Subject`](super::Subject) says.
const SUFFIX: &str = "objectClass: dcObject
objectClass: organization
o: Harbour Lane
dc: harbourlane
aci: (targetattr!=\"userPassword || aci\")(version 3.0; acl \"read\"; allow (read, search, compare) userdn=\"ldap:///anyone\";)
aci: (targetattr=\"userPassword\")(version 3.0; acl \"own password\"; allow (write) userdn=\"ldap:///self\";)";

/// How long the administrator's bind may take.
const BIND_PATIENCE: Duration = Duration::from_secs(30);

/// How long an area runs until its server is asked whether it still works, and how long the server may take to answer.
/// Operations of the suite wait for 30 seconds.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long the debugger may take to show what a server's threads do.
const DEBUGGER_PATIENCE: Duration = Duration::from_secs(20);

/// How many lines of a debugger's output are kept.
const STACK_LINES: usize = 600;

/// The 389 Directory Server that all areas share who ask for one at the same time. It ends with the last who holds it.
pub struct Shared {
    running: tokio::sync::Mutex<Weak<SharedServer>>,
    patience: Duration,
    record: Option<PathBuf>,
}

/// A running server, and who uses it.
pub struct SharedServer {
    server: NsSlapd,
    /// The checks that run now, of all areas.
    under_way: Mutex<BTreeSet<String>>,
    /// What was seen when it hung.
    hung: watch::Sender<Option<Arc<str>>>,
    patience: Duration,
    record: Option<PathBuf>,
}

impl Shared {
    /// One that waits as long as a busy machine needs, and writes its reports to `target/lab/hangs`.
    #[must_use]
    pub const fn new() -> Self {
        Self { running: tokio::sync::Mutex::const_new(Weak::new()), patience: PATIENCE, record: None }
    }

    /// One with another patience, both between the questions and for each answer, and another file for its reports.
    #[must_use]
    pub fn with(patience: Duration, record: PathBuf) -> Self {
        Self { patience, record: Some(record), ..Self::new() }
    }

    /// The server that runs and works as far as is known, or a new one with the suffix entry.
    ///
    /// # Errors
    /// It is not to be had, or does not start.
    pub async fn server(&self) -> Result<Arc<SharedServer>> {
        let mut running = self.running.lock().await;
        if let Some(server) = running.upgrade().filter(|server| server.hung.borrow().is_none()) {
            return Ok(server);
        }
        let started = Arc::new(SharedServer {
            server: NsSlapd::start_one_by_one()?,
            under_way: Mutex::default(),
            hung: watch::Sender::new(None),
            patience: self.patience,
            record: self.record.clone(),
        });
        add_suffix(&started.server).await?;
        *running = Arc::downgrade(&started);
        Ok(started)
    }
}

/// Adds the suffix entry to a server that has none; what comes back is the administrator's connection.
pub(super) async fn add_suffix(server: &NsSlapd) -> Result<(Connection, Actor)> {
    let entry = Add::new(DEFAULT_SUFFIX.parse()?, attributes(SUFFIX));
    let (connection, actor) = as_administrator(server).await?;
    connection.add(Request::new(entry, actor.clone())).await.context("cannot add the suffix")?;
    Ok((connection, actor))
}

async fn as_administrator(server: &NsSlapd) -> Result<(Connection, Actor)> {
    let url: LdapUrl = server.ldap_url().parse()?;
    let mut connection = Connector::builder().clear().url(&url).build()?.connect().await?;
    let step = BindStep::simple(server.root_dn(), server.root_password().into());
    let BindReply::Done { actor, .. } = connection.bind(step, Deadline::after(BIND_PATIENCE)).await? else {
        bail!("389-ds does not know its administrator");
    };
    Ok((connection, actor))
}

impl Default for Shared {
    fn default() -> Self {
        Self::new()
    }
}

impl SharedServer {
    /// The server itself.
    #[must_use]
    pub const fn server(&self) -> &NsSlapd {
        &self.server
    }

    /// Waits until somebody has found that the server hangs: it is killed then, and this is what was seen.
    pub(super) async fn hangs(&self) -> Result<Arc<str>> {
        let mut hung = self.hung.subscribe();
        loop {
            if let Ok(seen) = tokio::time::timeout(self.patience, hung.wait_for(Option::is_some)).await {
                let seen = seen.context("a server that is gone while it is used")?;
                return seen.clone().context("a hang without a report");
            }
            match tokio::time::timeout(self.patience, self.works()).await {
                // Also when it refuses: a check may have made it do so, and says what it is answered.
                Ok(_answered) => {}
                Err(_) => return self.give_up(),
            }
        }
    }

    /// What was seen, if it has been found to hang.
    pub(super) fn seen_to_hang(&self) -> Option<Arc<str>> {
        self.hung.borrow().clone()
    }

    /// Says that a check runs, until what comes back is dropped.
    pub(super) fn under_way(&self, check: String) -> UnderWay<'_> {
        let mut all = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(check.clone());
        UnderWay { server: self, check }
    }

    /// A sign-in and a write. A root DSE would not do: threads that are left answer it while the database is locked.
    async fn works(&self) -> Result<()> {
        let mut modify = Modify::new(DEFAULT_SUFFIX.parse()?);
        modify.changes.push(Change {
            kind: ChangeKind::Replace,
            attribute: "description".parse()?,
            values: Vec::new(),
        });
        let (connection, actor) = as_administrator(&self.server).await?;
        connection.modify(Request::new(modify, actor)).await.context("cannot write")?;
        Ok(())
    }

    /// Looks at a server that does not answer, ends it, and tells everybody.
    fn give_up(&self) -> Result<Arc<str>> {
        let mut told = Ok(());
        // Held until all is written: whoever comes second finds the report of the first.
        self.hung.send_if_modified(|hung| {
            if hung.is_some() {
                return false;
            }
            let report = self.report();
            told = self.tell(&report);
            *hung = Some(report.into());
            true
        });
        told?;
        self.seen_to_hang().context("a hang without a report")
    }

    /// What can be seen of it from outside.
    fn report(&self) -> String {
        let pid = self.server.pid();
        let under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let under_way: Vec<_> = under_way.into_iter().collect();
        let under_way = if under_way.is_empty() { "no check".to_owned() } else { under_way.join(", ") };
        let mut report = format!(
            "389-ds (pid {pid}) did not answer a write within {:?}; under way: {under_way}\n",
            self.patience
        );
        let _in_memory = writeln!(report, "its threads wait in: {}", waiting(pid).join(" "));
        match stacks(pid) {
            Ok(stacks) => report.push_str(&stacks),
            Err(error) => {
                let _in_memory = writeln!(report, "no stacks of its threads (gdb shows them): {error:#}");
            }
        }
        report
    }

    /// Writes the report where it is found, and ends the server.
    fn tell(&self, report: &str) -> Result<()> {
        let pid = i32::try_from(self.server.pid()).context("a pid beyond any")?;
        kill(Pid::from_raw(pid), Signal::SIGKILL).context("cannot kill a server that hangs")?;
        let record = match &self.record {
            Some(record) => record.clone(),
            None => Kit::load()?.lab.join("hangs"),
        };
        let file = File::options().create(true).append(true).open(&record);
        let mut file = file.with_context(|| format!("cannot open {}", record.display()))?;
        file.write_all(format!("hang: {report}\n").as_bytes())?;
        // Not by `eprintln!`, which a test that passes keeps to itself.
        let line = report.lines().next().unwrap_or_default();
        writeln!(std::io::stderr(), "hang: {line}; all of it is in {}", record.display())?;
        Ok(())
    }
}

/// A check that runs, as long as this lives.
pub(super) struct UnderWay<'a> {
    server: &'a SharedServer,
    check: String,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut all = self.server.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&self.check);
    }
}

/// What the threads of a process wait for in the kernel, how often each; nothing where the system does not say.
fn waiting(pid: u32) -> Vec<String> {
    let mut counts = std::collections::BTreeMap::<_, u32>::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let place = fs::read_to_string(task.path().join("wchan")).unwrap_or_else(|error| error.to_string());
        *counts.entry(if place == "0" { "(runs)".to_owned() } else { place }).or_default() += 1;
    }
    counts.into_iter().map(|(place, count)| format!("{place} x{count}")).collect()
}

/// What the threads of a process do, as gdb shows it.
fn stacks(pid: u32) -> Result<String> {
    let pid = pid.to_string();
    let said = Tool::command("gdb", Command::new("gdb"))?
        .args(["-nx", "-batch", "-ex", "set debuginfod enabled off", "-ex", "thread apply all backtrace 30"])
        .args(["-p", &pid])
        .timeout(DEBUGGER_PATIENCE)
        .run()?
        .success()?;
    let lines = said.lines().filter(|line| line.starts_with('#') || line.starts_with("Thread "));
    Ok(lines.take(STACK_LINES).fold(String::new(), |text, line| text + line + "\n"))
}
