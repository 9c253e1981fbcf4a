//! A foreign server's process: started, waited for, quoted when it fails, and ended by its own pid.
//!
//! What is particular to a server (its files, its questions) is in the module of that server.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid, geteuid};

use crate::Kit;
use crate::tool::wait;

/// How long a server may take until it answers, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A port that was free may be taken when the server asks for it.
pub(crate) const ATTEMPTS: usize = 5;

/// The user and group that own nothing: who a server becomes that refuses to be root.
const NOBODY: u32 = 65_534;

/// A running process; ends with this value.
pub(crate) struct Daemon {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts it in `folder`, its output in `log` there.
    pub(crate) fn spawn(
        name: &'static str,
        mut command: Command,
        folder: &Path,
        log: PathBuf,
    ) -> Result<Self> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("no log of {name}"))?;
        let child = command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().to_string_lossy()))?;
        Ok(Self { name, child, log })
    }

    /// Waits until `answers` says so; no, if the server ended because one of its ports was taken.
    pub(crate) fn becomes_ready(&mut self, mut answers: impl FnMut() -> bool) -> Result<bool> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ready = answers();
            // Asked in this order: an answer from a port that another process took proves nothing.
            if let Some(status) =
                self.child.try_wait().with_context(|| format!("cannot wait for {}", self.name))?
            {
                let log = self.read_log()?;
                if ["in use", "-5982"].iter().any(|sign| log.contains(sign)) {
                    return Ok(false);
                }
                bail!("{} ended at once ({status})\n{}", self.name, tail(&log));
            }
            if ready {
                return Ok(true);
            }
            if Instant::now() >= deadline {
                bail!("{} did not answer within {PATIENCE:?}\n{}", self.name, tail(&self.read_log()?));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// How it ended, if it does so within `patience`.
    pub(crate) fn ending(&mut self, patience: Duration) -> Result<Option<ExitStatus>> {
        wait(&mut self.child, patience).with_context(|| format!("cannot wait for {}", self.name))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it by KILL: it closes nothing in order.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("cannot kill {}", self.name))?;
        self.child.wait().with_context(|| format!("cannot wait for {}", self.name))?;
        Ok(())
    }

    pub(crate) fn read_log(&self) -> Result<String> {
        let bytes =
            std::fs::read(&self.log).with_context(|| format!("cannot read the log of {}", self.name))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Ends it in order: a signal, a wait, then KILL.
    pub(crate) fn stop(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        let pid = Pid::from_raw(i32::try_from(self.child.id()).context("a pid beyond any")?);
        // PostgreSQL's TERM waits for its clients; INT does not. Whatever a shell runs in the background is deaf to INT,
        // and so are servers that do not ask for it themselves, as Samba.
        let signal = if self.name == "postgres" { Signal::SIGINT } else { Signal::SIGTERM };
        kill(pid, signal).with_context(|| format!("cannot stop {}", self.name))?;
        if wait(&mut self.child, PATIENCE)?.is_none() {
            self.child.kill()?;
            self.child.wait()?;
        }
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            // Not a panic: the test may be failing already, for a better reason. Its output shows both.
            #[expect(clippy::print_stderr, reason = "a drop has no other way to report")]
            {
                eprintln!("{} may still run: {error:#}", self.name);
            }
        }
    }
}

/// A command that does not run as root, which httpd and PostgreSQL refuse to do: for root, in a user namespace where it
/// is nobody and may still read and write what root may; where there are none, as nobody, who is given the folder.
pub(crate) fn unprivileged(kit: &Kit, program: &Path, folder: &Path) -> Result<Command> {
    if !geteuid().is_root() {
        return Ok(kit.command(program));
    }
    let namespace = ["--user", &format!("--map-user={NOBODY}"), &format!("--map-group={NOBODY}")];
    let probe = Command::new("unshare").args(namespace).arg("true").stderr(Stdio::null()).status();
    if probe.is_ok_and(|status| status.success()) {
        let mut command = kit.command(Path::new("unshare"));
        command.args(namespace).arg(program);
        return Ok(command);
    }
    let mut command = kit.command(program);
    command.uid(NOBODY).gid(NOBODY);
    give_away(folder)?;
    Ok(command)
}

/// Gives a folder and all in it to nobody.
fn give_away(folder: &Path) -> Result<()> {
    let mut left = vec![folder.to_owned()];
    while let Some(path) = left.pop() {
        nix::unistd::chown(&path, Some(Uid::from_raw(NOBODY)), Some(Gid::from_raw(NOBODY)))
            .with_context(|| format!("cannot give {} away", path.display()))?;
        if path.is_dir() {
            for entry in
                std::fs::read_dir(&path).with_context(|| format!("cannot read {}", path.display()))?
            {
                left.push(entry?.path());
            }
        }
    }
    Ok(())
}

/// Ports of loopback that are free now. They are held together, so that they differ.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on loopback")?;
        *port = listener.local_addr()?.port();
        held.push(listener);
    }
    Ok(ports)
}

/// The last lines of a log, where the reason stands.
fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
}
