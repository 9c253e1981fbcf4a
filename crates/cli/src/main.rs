//! `flext-ldap`: one command line for LDAP directories, at home for those who know OpenLDAP's tools.
//!
//! Results go to standard output, all else to standard error. One file a subcommand; `connect.rs` has the options they
//! share, `exit.rs` the exit codes.

mod change;
mod conf;
mod connect;
mod delete;
mod demo;
mod directory;
mod exit;
mod export;
mod import;
mod input;
mod output;
mod passwd;
mod progress;
mod search;
mod whoami;

use std::{io::Write, process::ExitCode};

use clap::{Parser, Subcommand};

/// Search and change LDAP directories, or serve one.
#[derive(Debug, Parser)]
#[command(name = "flext-ldap", version, after_help = exit::HELP, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Search a directory and print the entries found
    Search(search::Arguments),
    /// Add entries from LDIF
    Add(change::AddArguments),
    /// Change entries as LDIF change records say
    Modify(change::ModifyArguments),
    /// Delete entries
    Delete(delete::Arguments),
    /// Change a password
    Passwd(passwd::Arguments),
    /// Print who the server takes you for
    Whoami(whoami::Arguments),
    /// Write all entries under a base as LDIF, with what is needed to load them again
    Export(export::Arguments),
    /// Load LDIF into a server, many entries in flight at once
    Import(import::Arguments),
    /// Serve, load or dump an embedded directory
    Directory(directory::Arguments),
    /// Show the whole of it on an invented company: serve, sign in, change, extract
    Demo(demo::Arguments),
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are results; a wrong argument has an exit code of its own here.
            let code = if error.use_stderr() { exit::USAGE } else { 0 };
            return if error.print().is_ok() { ExitCode::from(code) } else { ExitCode::from(exit::STORAGE) };
        }
    };
    log();
    let result = match arguments.command {
        Command::Search(arguments) => arguments.run(),
        Command::Add(arguments) => arguments.run(),
        Command::Modify(arguments) => arguments.run(),
        Command::Delete(arguments) => arguments.run(),
        Command::Passwd(arguments) => arguments.run(),
        Command::Whoami(arguments) => arguments.run(),
        Command::Export(arguments) => arguments.run(),
        Command::Import(arguments) => arguments.run(),
        Command::Directory(arguments) => arguments.run(),
        Command::Demo(arguments) => arguments.run(),
    };
    match result {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            exit::of(&error)
        }
    }
}

/// What the libraries have to say goes to standard error: warnings, or what `RUST_LOG` asks for.
fn log() {
    let filter = tracing_subscriber::EnvFilter::builder()
        .with_default_directive(tracing_subscriber::filter::LevelFilter::WARN.into())
        .from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

/// Prints an error and what caused it on one line of standard error.
fn complain(error: &anyhow::Error) {
    // Nothing can be done if standard error is gone too.
    let _gone = writeln!(std::io::stderr(), "flext-ldap: {error:#}");
}

/// Whether the reader of our output has left, which is its right (`… | head`).
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// Runs a command on the runtime of one thread: one connection needs no more, and wake-ups stay cheap.
fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}
