//! `flext-ldap import`: LDIF into a server, many operations in flight.
//!
//! Records keep their order where it matters: an entry is sent when its parent's answer has come, and a record that is
//! not an addition waits for all before it.

use std::{collections::HashMap, process::ExitCode, sync::Arc};

use anyhow::Context as _;
use flext_ldap_directory::{
    Blame, Directory, Error, ErrorKind,
    proto::{
        control::Controls,
        dn::DnKey,
        ldif::{ChangeRecord, LdifError, LdifErrorKind, Record},
        message::Add,
        result::ResultCode,
        schema::Schema,
    },
};
use tokio::task::JoinSet;

use crate::{
    change::{describe, send},
    connect::Connect,
    exit::Usage,
    input::LdifInput,
    output::advise,
    progress::Progress,
};

const EXAMPLES: &str = "\
Examples:
  flext-ldap import -H ldap://localhost -D cn=admin,dc=example,dc=com -W -f backup.ldif
  flext-ldap import --skip-existing -f backup.ldif
  flext-ldap import --from-line 48211 -f backup.ldif   # go on where it stopped";

/// Arguments of `import`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connect: Connect,
    #[command(flatten)]
    input: LdifInput,
    /// Operations in flight at once
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    in_flight: u16,
    /// Leave records before this line out
    #[arg(long, value_name = "LINE", default_value_t = 0)]
    from_line: u64,
    /// An entry that is there already is no error
    #[arg(long)]
    skip_existing: bool,
    /// Go on when a record fails or is no LDIF; it is counted, and the exit code is that of the last
    #[arg(short = 'c', long = "continue")]
    go_on: bool,
}

struct Import<'a> {
    arguments: &'a Arguments,
    directory: Arc<dyn Directory>,
    running: JoinSet<Answer>,
    /// Additions whose answer has not come, by key.
    pending: HashMap<DnKey, u64>,
    progress: Progress,
    applied: u64,
    skipped: u64,
    failed: u64,
    code: ExitCode,
}

struct Answer {
    key: Option<DnKey>,
    line: u64,
    what: String,
    result: Result<(), Error>,
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        crate::block_on(self.import())
    }

    async fn import(&self) -> anyhow::Result<ExitCode> {
        let mut reader = self.input.reader()?;
        let connection = Arc::new(self.connect.open().await?);
        let mut import = Import {
            arguments: self,
            directory: connection.clone(),
            running: JoinSet::new(),
            pending: HashMap::new(),
            progress: Progress::new("records"),
            applied: 0,
            skipped: 0,
            failed: 0,
            code: ExitCode::SUCCESS,
        };
        let started = std::time::Instant::now();
        let mut last = 0;
        loop {
            let record = match reader.next_record() {
                Ok(Some(record)) => record,
                Ok(None) => break,
                // Whoever says where to go on from has seen what is wrong before.
                Err(LdifError { line, kind })
                    if line < self.from_line && !matches!(kind, LdifErrorKind::Io(_)) =>
                {
                    continue;
                }
                Err(error) if self.go_on && !matches!(error.kind, LdifErrorKind::Io(_)) => {
                    import.pass_over(&error.into());
                    continue;
                }
                Err(error) => {
                    // To go on, the whole record must be read again, not what follows its bad line.
                    let begun = if reader.line() > last { reader.line() } else { error.line };
                    import.wait_for(0).await?;
                    return Err(import.stopped(Some(begun), self.input.unreadable(error)));
                }
            };
            last = reader.line();
            if last >= self.from_line {
                import.take(record, last).await?;
            }
        }
        import.wait_for(0).await?;
        let Import { applied, skipped, failed, code, progress, directory, .. } = import;
        drop((progress, directory));
        let seconds = started.elapsed().as_secs_f64();
        crate::say(format_args!(
            "imported {applied} records in {seconds:.1} s, skipped {skipped} that were there, {failed} failed"
        ));
        connection.close().await;
        Ok(code)
    }
}

impl Import<'_> {
    async fn take(&mut self, record: Record, line: u64) -> anyhow::Result<()> {
        let (controls, change) = match record {
            Record::Change(controls, change) => (controls, change),
            Record::Entry(entry) => {
                let add =
                    Add::try_from(&entry).map_err(|error| Usage(format!("`{}`: {error}", entry.dn_str())));
                match add.with_context(|| format!("line {line}")) {
                    Ok(add) => (Controls::none(), ChangeRecord::Add(add)),
                    Err(error) if self.arguments.go_on => {
                        self.pass_over(&error);
                        return Ok(());
                    }
                    Err(error) => return Err(self.stopped(Some(line), error)),
                }
            }
        };
        let key = match &change {
            // A name the standard schema cannot compare is sent alone, like everything that is not an addition.
            ChangeRecord::Add(add) => Schema::standard().dn_key(&add.dn).ok(),
            _ => None,
        };
        match &key {
            None => self.wait_for(0).await?,
            Some(key) => {
                let parent = key.parent();
                while self.pending.contains_key(key)
                    || parent.as_ref().is_some_and(|up| self.pending.contains_key(up))
                {
                    self.wait_for(self.running.len().saturating_sub(1)).await?;
                }
                self.wait_for(usize::from(self.arguments.in_flight) - 1).await?;
                self.pending.insert(key.clone(), line);
            }
        }
        let is_alone = key.is_none();
        let directory = self.directory.clone();
        let what = describe(&change);
        self.running.spawn(async move {
            let result = send(&*directory, change, controls).await;
            Answer { key, line, what, result }
        });
        if is_alone { self.wait_for(0).await } else { Ok(()) }
    }

    /// Waits until at most `most` operations are in flight.
    async fn wait_for(&mut self, most: usize) -> anyhow::Result<()> {
        while self.running.len() > most {
            match self.running.join_next().await {
                Some(answer) => self.hear(answer.context("an operation of the import broke")?)?,
                None => break,
            }
        }
        Ok(())
    }

    fn hear(&mut self, answer: Answer) -> anyhow::Result<()> {
        let Answer { key, line, what, result } = answer;
        if let Some(key) = key {
            self.pending.remove(&key);
        }
        self.progress.advance(1);
        match result {
            Ok(()) => self.applied += 1,
            Err(error)
                if self.arguments.skip_existing
                    && error.result_code() == Some(ResultCode::ENTRY_ALREADY_EXISTS) =>
            {
                self.skipped += 1;
            }
            Err(error) => {
                let go_on = self.arguments.go_on && error.kind() == ErrorKind::Rejected;
                let error = anyhow::Error::new(error).context(format!("line {line}: failed to {what}"));
                if !go_on {
                    return Err(self.stopped(Some(line), error));
                }
                self.pass_over(&error);
            }
        }
        Ok(())
    }

    fn pass_over(&mut self, error: &anyhow::Error) {
        self.failed += 1;
        crate::complain(error);
        self.code = crate::exit::of(error);
    }

    /// What stopped the import, what is applied, and how to go on. `line` is that of the record at fault, if one is.
    fn stopped(&self, line: Option<u64>, error: anyhow::Error) -> anyhow::Error {
        let first = self.pending.values().copied().chain(line).min();
        let unsure = match self.pending.len() {
            0 => String::new(),
            more => format!(", {more} more were in flight"),
        };
        let cause = error.chain().find_map(|cause| cause.downcast_ref::<Error>());
        let go_on = match first {
            _ if cause.and_then(Error::result_code) == Some(ResultCode::ENTRY_ALREADY_EXISTS) => {
                "; go on with --skip-existing".to_owned()
            }
            Some(line) => {
                let caller = cause.is_none_or(|error| error.blame() == Blame::Caller);
                let mend = if caller { "mend the record, then " } else { "" };
                format!("; {mend}go on with --from-line {line} --skip-existing")
            }
            None => String::new(),
        };
        advise(error, &format!("stopped: {} records are applied{unsure}{go_on}", self.applied))
    }
}
