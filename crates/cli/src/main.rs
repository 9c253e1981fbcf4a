//! `flext-ldap`: one command line for LDAP directories, at home for those who know OpenLDAP's tools.
//!
//! Results go to standard output, all else to standard error. One file a subcommand; `connect.rs` has the options they
//! share, `exit.rs` the exit codes.

mod bench;
mod change;
mod conf;
mod config;
mod connect;
mod controls;
mod delete;
mod demo;
mod directory;
mod doctor;
mod exit;
mod export;
mod import;
mod input;
mod listener;
mod logging;
mod openldap;
mod output;
mod passwd;
mod ping;
mod ppolicy;
mod progress;
mod proxy;
mod search;
mod servers;
mod traces;
mod value_files;
mod whoami;

use std::{
    fmt,
    io::{ErrorKind, Write},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use flext_ldap_directory::proto::{line::is_unseen, result::ResultCode};

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
    /// Ask a server again and again, and tell how long it takes
    Ping(ping::Arguments),
    /// Say of each server what it is and how it is
    Servers(servers::Arguments),
    /// Put load on a server, and tell how it bears it
    Bench(bench::Arguments),
    /// Write all entries under a base as LDIF; passwords only where the server shows their hashes
    Export(export::Arguments),
    /// Load LDIF into a server, many entries in flight at once
    Import(import::Arguments),
    /// Check and show the configuration that commands and programs are told servers and accounts by
    Config(config::Arguments),
    /// Look at the way to a directory and at what it shows, say what mends what is wrong, and write a configuration
    Doctor(doctor::Arguments),
    /// Serve, load or dump an embedded directory
    Directory(directory::Arguments),
    /// Offer programs that speak LDAP one address, with the servers of a configuration behind it
    Proxy(proxy::Arguments),
    /// Show the whole of it on an invented company: serve, sign in, change, extract
    Demo(demo::Arguments),
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let words: Vec<_> =
                std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
            if let Some(advice) = openldap::advice(&error, &words) {
                say(format_args!("flext-ldap: {advice}"));
                return ExitCode::from(exit::USAGE);
            }
            // Help and version are results; a wrong argument has an exit code of its own here.
            let code = if error.use_stderr() { exit::USAGE } else { 0 };
            return match error.print() {
                Err(error) if error.kind() != ErrorKind::BrokenPipe => ExitCode::from(exit::STORAGE),
                _ => ExitCode::from(code),
            };
        }
    };
    logging::start();
    let result = match arguments.command {
        Command::Search(arguments) => arguments.run(),
        Command::Add(arguments) => arguments.run(),
        Command::Modify(arguments) => arguments.run(),
        Command::Delete(arguments) => arguments.run(),
        Command::Passwd(arguments) => arguments.run(),
        Command::Whoami(arguments) => arguments.run(),
        Command::Ping(arguments) => arguments.run(),
        Command::Servers(arguments) => arguments.run(),
        Command::Bench(arguments) => arguments.run(),
        Command::Export(arguments) => arguments.run(),
        Command::Import(arguments) => arguments.run(),
        Command::Config(arguments) => arguments.run(),
        Command::Doctor(arguments) => arguments.run(),
        Command::Directory(arguments) => arguments.run(),
        Command::Proxy(arguments) => arguments.run(),
        Command::Demo(arguments) => arguments.run(),
    };
    traces::finish();
    match result {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            exit::of(&error)
        }
    }
}

/// Prints an error and what caused it on standard error.
fn complain(error: &anyhow::Error) {
    say(format_args!("flext-ldap: {}{}", output::chain(error.as_ref()), option(error)));
    if let Some(output::Advice(text)) = error.downcast_ref() {
        say(format_args!("flext-ldap: {text}"));
    }
}

/// What the mend that an error of the client's names is called here.
fn option(error: &anyhow::Error) -> &'static str {
    use flext_ldap_directory::{Error, ErrorKind as Kind};
    match error.chain().find_map(|cause| cause.downcast_ref::<Error>()) {
        Some(error) if error.kind() == Kind::Confidentiality => {
            " (here it is the option --dangerous-clear-passwords)"
        }
        Some(error) if error.kind() == Kind::Tls && error.to_string().contains("name the CA file") => {
            " (--ca-file FILE, or LDAPTLS_CACERT)"
        }
        Some(error) => demanded(error),
        None => "",
    }
}

/// What a server wants that says `confidentialityRequired` or `strongerAuthRequired`. The second has many meanings, which
/// only the text beside it tells.
fn demanded(error: &flext_ldap_directory::Error) -> &'static str {
    const TLS: &str = " (the server wants TLS: -ZZ, or ldaps://)";
    match error.result_code() {
        Some(ResultCode::CONFIDENTIALITY_REQUIRED) => TLS,
        Some(ResultCode::STRONGER_AUTH_REQUIRED) => {
            let said = error.outcome().map(|outcome| outcome.result.diagnostic.to_ascii_lowercase());
            let says = |text: &str| said.as_ref().is_some_and(|said| said.contains(text));
            if says("if tls is used") {
                // Samba.
                " (the server wants no signing inside TLS: -Y GSSAPI without -ZZ and ldaps://, or -D NAME -W inside TLS)"
            } else if says("00002028") || says("integrity checking") || says("sign or seal") {
                // Active Directory and Samba: signing, `LDAPServerIntegrity` and `ldap server require strong auth`.
                " (the server wants the conversation signed or inside TLS: -Y GSSAPI, or -ZZ or ldaps://)"
            } else if says("encryption required") || says("tls") {
                TLS
            } else if says("require authentication") || says("authentication required") {
                // OpenLDAP.
                " (sign in: -D NAME -W, or -Y MECHANISM)"
            } else {
                " (the server wants TLS, -ZZ or ldaps://; or a stronger way to sign in, such as -Y GSSAPI)"
            }
        }
        _ => "",
    }
}

/// Prints a line on standard error. Servers have a part in what errors say, so nothing that steers a terminal gets out.
fn say(text: fmt::Arguments<'_>) {
    let mut line = String::new();
    for character in text.to_string().chars() {
        if is_unseen(character) && character != '\n' {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    // A command goes on without anybody to hear it: standard error is no result.
    let _gone = writeln!(std::io::stderr(), "{line}");
}

/// Whether the reader of our output has left, which is its right (`… | head`). A server that has left is another matter.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    !error.chain().any(|cause| cause.is::<flext_ldap_directory::Error>())
        && error
            .chain()
            .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
            .any(|error| error.kind() == ErrorKind::BrokenPipe)
}

/// Runs a command on the runtime of one thread: one connection needs no more, and wake-ups stay cheap.
fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(command);
    // A name that the resolver still looks for must not keep a command that has given it up.
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use flext_ldap_directory::{Outcome, proto::result::LdapResult};

    use super::*;

    /// What is folded by the terminal cannot be pasted.
    #[test]
    fn examples_fit_in_the_width_of_help() {
        let mut commands = vec![Arguments::command()];
        while let Some(command) = commands.pop() {
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in after.lines() {
                assert!(line.chars().count() <= 100, "{}: {line}", command.get_name());
            }
            commands.extend(command.get_subcommands().cloned());
        }
    }

    #[test]
    fn what_a_server_demands_is_said_by_its_option() {
        let table = [
            (ResultCode::CONFIDENTIALITY_REQUIRED, "TLS confidentiality required", "wants TLS: -ZZ"),
            (
                ResultCode::STRONGER_AUTH_REQUIRED,
                "00002028: LdapErr: DSID-0C090202, comment: The server requires binds to turn on integrity checking if \
                 SSL\\TLS are not already active on the connection, data 0, v2580",
                "wants the conversation signed or inside TLS: -Y GSSAPI, or -ZZ",
            ),
            (
                ResultCode::STRONGER_AUTH_REQUIRED,
                "BindSimple: Transport encryption required.",
                "wants TLS: -ZZ",
            ),
            (
                ResultCode::STRONGER_AUTH_REQUIRED,
                "SASL:[GSS-SPNEGO]: not allowed if TLS is used.",
                "-Y GSSAPI without -ZZ",
            ),
            (ResultCode::STRONGER_AUTH_REQUIRED, "modifications require authentication", "sign in: -D"),
            (ResultCode::STRONGER_AUTH_REQUIRED, "", "a stronger way to sign in"),
        ];
        for (code, said, want) in table {
            let result = LdapResult { diagnostic: said.to_owned(), ..LdapResult::new(code) };
            let error = flext_ldap_directory::Error::rejected(Outcome::new(result));
            let hint = option(&anyhow::Error::new(error).context("failed to sign in"));
            assert!(hint.contains(want), "{said}: {hint}");
        }
    }

    #[test]
    fn a_reader_that_left_is_no_server_that_left() {
        let left = || std::io::Error::from(ErrorKind::BrokenPipe);
        assert!(is_broken_pipe(&anyhow::Error::new(left()).context("failed to print")));
        let kind = flext_ldap_directory::ErrorKind::Closed;
        let lost = flext_ldap_directory::Error::new(kind, "the connection was lost").with_source(left());
        assert!(!is_broken_pipe(&anyhow::Error::new(lost).context("failed to add")));
    }
}
