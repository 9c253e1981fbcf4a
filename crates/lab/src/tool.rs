//! Runs a foreign client once: its arguments, its input, a limit on its time, and all it says.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::Kit;

/// How long a client may take unless a test says otherwise.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often a running process is asked whether it has ended.
const POLL: Duration = Duration::from_millis(5);

/// One run of a foreign client. It starts with no settings of the user's: an empty home, no `ldap.conf` of his own.
///
/// [`Tool::run`] blocks its thread. A test with an in-process server calls it through
/// `tokio::task::spawn_blocking`, or it would stop the server it waits for.
///
/// ```no_run
/// # use flext_ldap_lab::{Slapd, SlapdOptions, Tool};
/// # fn main() -> anyhow::Result<()> {
/// let slapd = Slapd::start(SlapdOptions::default())?;
/// let found = Tool::new("ldapsearch")?
///     .trust(slapd.ca_pem_file())
///     .args(["-x", "-LLL", "-ZZ", "-H", &slapd.ldap_url(), "-s", "base", "-b", "", "namingContexts"])
///     .run()?
///     .success()?;
/// assert!(found.contains("namingContexts: dc=harbourlane,dc=example"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Tool {
    name: String,
    command: Command,
    home: TempDir,
    input: Vec<u8>,
    timeout: Duration,
}

/// What a client said before it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Output {
    /// The exit code; `None` if a signal ended the client.
    pub code: Option<i32>,
    /// What it wrote to its standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to its standard error.
    pub stderr: Vec<u8>,
    name: String,
}

impl Tool {
    /// One of OpenLDAP's clients by its name, such as `ldapsearch`.
    ///
    /// # Errors
    /// The kit is missing, or has no such client.
    pub fn new(name: &str) -> Result<Self> {
        let kit = Kit::load()?;
        let program = kit.tools.join(name);
        if !program.is_file() {
            bail!("{} has no {name}", kit.tools.display());
        }
        Self::prepare(name, kit.command(&program))
    }

    /// A Python program, given as its text, that may import `ldap` and `ldap3`. Arguments follow as `sys.argv[1:]`.
    ///
    /// # Errors
    /// The kit is missing.
    pub fn python(program: &str) -> Result<Self> {
        let kit = Kit::load()?;
        Ok(Self::prepare("python", kit.command(&kit.python))?.args(["-c", program]))
    }

    /// Another program of the kit, such as `psql`.
    ///
    /// # Errors
    /// No folder can be made for its home.
    pub fn command(name: &str, command: Command) -> Result<Self> {
        Self::prepare(name, command)
    }

    fn prepare(name: &str, command: Command) -> Result<Self> {
        let home = TempDir::new().context("cannot make a home for a client")?;
        let mut tool = Self { name: name.to_owned(), command, home, input: Vec::new(), timeout: PATIENCE };
        tool.command.env("HOME", tool.home.path()).current_dir(tool.home.path());
        Ok(tool)
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, arguments: I) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.command.env(name, value.into());
        self
    }

    /// Sets environment variables, such as those of somebody who has signed in by Kerberos ([`Kdc::sign_in`]).
    ///
    /// [`Kdc::sign_in`]: crate::Kdc::sign_in
    #[must_use]
    pub fn envs(mut self, variables: &[(&'static str, OsString)]) -> Self {
        self.command.envs(variables.iter().cloned());
        self
    }

    /// Trusts the authority of a PEM file (`LDAPTLS_CACERT`; for the clients built on libldap).
    #[must_use]
    pub fn trust(self, authority: impl AsRef<Path>) -> Self {
        self.env("LDAPTLS_CACERT", authority.as_ref())
    }

    /// Shows a client certificate (`LDAPTLS_CERT`, `LDAPTLS_KEY`; for the clients built on libldap).
    #[must_use]
    pub fn certificate(self, certificate: &Path, key: &Path) -> Self {
        self.env("LDAPTLS_CERT", certificate).env("LDAPTLS_KEY", key)
    }

    /// What the client reads from its standard input; nothing unless set.
    #[must_use]
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// Runs it in this folder, which is its home too.
    #[must_use]
    pub fn within(mut self, folder: &Path) -> Self {
        self.command.env("HOME", folder).current_dir(folder);
        self
    }

    /// How long the client may take before it is killed; a minute unless set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Runs the client to its end.
    ///
    /// # Errors
    /// It cannot be started, or it took too long and was killed. An exit code other than 0 is no error here: see
    /// [`Output::success`].
    pub fn run(mut self) -> Result<Output> {
        let name = self.name;
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let (Some(mut stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            bail!("{name} has no pipes")
        };
        // All three at once: a full pipe would stop the client for ever.
        let input = self.input;
        let writer = thread::spawn(move || stdin.write_all(&input));
        let (stdout, stderr) = (collect(stdout), collect(stderr));
        let ended = wait(&mut child, self.timeout)?;
        if ended.is_none() {
            child.kill().with_context(|| format!("cannot kill {name}"))?;
            child.wait()?;
        }
        // A client may leave before it has read all of its input; its exit code tells how that went.
        let _written = writer.join();
        let output = Output {
            code: ended.and_then(|status| status.code()),
            stdout: joined(stdout)?,
            stderr: joined(stderr)?,
            name,
        };
        if ended.is_none() {
            bail!("{} took more than {:?} and was killed\n{}", output.name, self.timeout, output.said());
        }
        Ok(output)
    }
}

impl Output {
    /// The standard output as text, of a client that succeeded.
    ///
    /// # Errors
    /// The exit code is not 0, or the output is not UTF-8; the message quotes what the client said.
    pub fn success(self) -> Result<String> {
        if self.code != Some(0) {
            let ended = self.code.map_or_else(|| "by a signal".to_owned(), |code| format!("with {code}"));
            bail!("{} ended {ended}\n{}", self.name, self.said());
        }
        let name = self.name;
        String::from_utf8(self.stdout).with_context(|| format!("{name} wrote other than UTF-8"))
    }

    /// Standard error and output as text, for messages.
    #[must_use]
    pub fn said(&self) -> String {
        format!("{}{}", String::from_utf8_lossy(&self.stderr), String::from_utf8_lossy(&self.stdout))
    }
}

/// Waits for a process until a deadline; `None` if it still runs then.
pub(crate) fn wait(child: &mut Child, patience: Duration) -> Result<Option<ExitStatus>> {
    let deadline = Instant::now() + patience;
    loop {
        let ended = child.try_wait().context("cannot wait for a process")?;
        if ended.is_some() || Instant::now() >= deadline {
            return Ok(ended);
        }
        thread::sleep(POLL);
    }
}

type Collector = thread::JoinHandle<std::io::Result<Vec<u8>>>;

fn collect(mut pipe: impl Read + Send + 'static) -> Collector {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes)?;
        Ok(bytes)
    })
}

fn joined(collector: Collector) -> Result<Vec<u8>> {
    match collector.join() {
        Ok(bytes) => bytes.context("cannot read from a client"),
        Err(_) => bail!("the reader of a client's output panicked"),
    }
}

/// The clients of OpenLDAP and Python themselves are run in `tests/it`; here, programs any machine has.
#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Tool {
        Tool::prepare("sh", Command::new("sh")).unwrap().args(["-c", script])
    }

    #[test]
    fn output_and_code_are_told_apart() {
        let output = shell("cat; echo oops >&2; exit 3").input("hello").run().unwrap();
        assert_eq!(
            (output.code, &output.stdout[..], &output.stderr[..]),
            (Some(3), &b"hello"[..], &b"oops\n"[..])
        );
        let error = output.success().unwrap_err().to_string();
        assert_eq!(error, "sh ended with 3\noops\nhello");
    }

    #[test]
    fn more_than_a_pipe_holds_goes_through_both_ways() {
        let big = vec![b'x'; 1 << 20];
        let output = shell("tee /dev/stderr").input(big.clone()).run().unwrap();
        assert!(output.stdout == big && output.stderr == big);
    }

    #[test]
    fn a_client_that_reads_nothing_does_not_hang() {
        let output = shell("exit 0").input(vec![b'x'; 1 << 20]).run().unwrap();
        assert_eq!(output.code, Some(0));
    }

    #[test]
    fn a_client_that_hangs_is_killed_and_quoted() {
        let tool = shell("echo before; exec sleep 600").timeout(Duration::from_millis(300));
        let error = tool.run().unwrap_err().to_string();
        assert!(error.starts_with("sh took more than 300ms and was killed\n"), "{error}");
    }
}
