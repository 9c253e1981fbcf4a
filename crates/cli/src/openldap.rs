//! What OpenLDAP's tools take and these do not: instead of a bare "unexpected argument", what to do. And where a command
//! is that was looked for elsewhere.

use clap::{
    CommandFactory as _, Error,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::Arguments;

/// The commands that stand for a tool of OpenLDAP's.
const TOOLS: [&str; 6] = ["search", "add", "modify", "delete", "passwd", "whoami"];

/// Tools of OpenLDAP's, and other names of what they do, that no command stands for.
const COMMANDS: [(&str, &str); 5] = [
    (
        "compare",
        "`flext-ldap search -b DN -s base '(ATTRIBUTE=VALUE)' 1.1` prints the name of the entry if it has the value",
    ),
    ("modrdn", RENAME),
    ("rename", RENAME),
    ("exop", "`flext-ldap whoami` and `flext-ldap passwd` send those that most servers have"),
    ("url", "-H takes a URL with base, attributes, scope and filter in it: `flext-ldap search -H URL`"),
];

const RENAME: &str = "`flext-ldap modify` renames: `dn: DN`, `changetype: modrdn`, `newrdn: uid=new`, `deleteoldrdn: 1`, each on a line";

/// What to do instead, where `arguments`, those of the program, made `error` because they are OpenLDAP's, or a command's
/// that is elsewhere.
pub(crate) fn advice(error: &Error, arguments: &[String]) -> Option<String> {
    if let (ErrorKind::InvalidSubcommand, Some(ContextValue::String(name))) =
        (error.kind(), error.get(ContextKind::InvalidSubcommand))
    {
        let command = Arguments::command();
        let is_there = |name: &str| TOOLS.contains(&name).then(|| format!("flext-ldap {name}"));
        let below = command.find_subcommand("directory")?.find_subcommand(name);
        if let Some(instead) = COMMANDS.iter().find_map(|(other, instead)| {
            (name.strip_prefix("ldap").unwrap_or(name) == *other).then_some(instead)
        }) {
            return Some(format!("there is no command `{name}`: {instead}"));
        }
        let instead = name.strip_prefix("ldap").and_then(is_there);
        let instead = instead.or_else(|| below.map(|_| format!("flext-ldap directory {name}")))?;
        return Some(format!("there is no command `{name}`: `{instead}` is what does it"));
    }
    if let (ErrorKind::UnknownArgument, Some(ContextValue::String(word))) =
        (error.kind(), error.get(ContextKind::InvalidArg))
        && let Some(option) = option_for(word)
    {
        return Some(format!("`{word}` is not expected here; {option}"));
    }
    let tool =
        arguments.iter().find(|word| !word.starts_with('-')).filter(|word| TOOLS.contains(&word.as_str()))?;
    match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::UnknownArgument, Some(ContextValue::String(argument))) => {
            let [b'-', letter] = argument.as_bytes() else { return None };
            let letter = char::from(*letter);
            Some(format!("-{letter} is not taken: {}", instead(tool, letter, arguments)?))
        }
        (ErrorKind::DisplayHelp, _) => {
            let host = host(tool, arguments)?;
            Some(format!(
                "-h is for help: name the server by a URL, as for OpenLDAP from 2.5 on: -H {}",
                url(host, arguments)
            ))
        }
        _ => None,
    }
}

/// The option that takes a file of such a name.
fn option_for(file: &str) -> Option<&'static str> {
    match std::path::Path::new(file).extension()?.to_str()? {
        "yaml" | "yml" => Some("a configuration file is named by --config"),
        "ldif" => Some("a file of LDIF is named by -f"),
        _ => None,
    }
}

fn instead(tool: &str, letter: char, arguments: &[String]) -> Option<String> {
    let text = match letter {
        'p' => {
            let host = host(tool, arguments).unwrap_or("HOST");
            return Some(format!(
                "the port is part of the URL, as for OpenLDAP from 2.5 on: -H {}",
                url(host, arguments)
            ));
        }
        'C' if tool == "search" => {
            "referrals are not followed; lines with `# refldap:` (not with -LL) have their URLs, which -H takes with the base in them"
        }
        'C' => "referrals are not followed; what is refused names the server to ask, for -H",
        'I' => {
            "-U names the user, and -Y the mechanism; what is left out is not asked for, save the password"
        }
        'V' => "`flext-ldap --version` tells the version",
        'u' => "names are printed as they are",
        'k' | 'K' => "-Y GSSAPI signs in by Kerberos",
        'S' if matches!(tool, "add" | "modify") => {
            "with -c, standard error tells which records are refused, with their lines"
        }
        'z' if tool == "delete" => "there is no limit; -n tells first what -r would delete",
        'n' => "this command has no rehearsal: it does what it says",
        _ => return None,
    };
    Some(text.to_owned())
}

/// The host of `-h HOST`, `-hHOST` or `-xh HOST`; `-h` without one asks for help.
fn host<'a>(tool: &str, arguments: &'a [String]) -> Option<&'a str> {
    let command = Arguments::command();
    let command = command.find_subcommand(tool)?;
    let is_flag = |letter: char| {
        let argument = command.get_arguments().find(|argument| argument.get_short() == Some(letter));
        argument.is_some_and(|argument| !argument.get_action().takes_values())
    };
    let (at, rest) = arguments.iter().enumerate().find_map(|(at, word)| {
        let (flags, rest) = word.strip_prefix('-')?.split_once('h')?;
        flags.chars().all(is_flag).then_some((at, rest))
    })?;
    let next = || arguments.get(at + 1).map(String::as_str).filter(|word| !word.starts_with('-'));
    if rest.is_empty() { next() } else { Some(rest) }
}

/// The URL of a host, with the port that `-p` names.
fn url(host: &str, arguments: &[String]) -> String {
    let port = arguments.iter().enumerate().find_map(|(at, word)| match word.strip_prefix("-p")? {
        "" => arguments.get(at + 1).map(String::as_str),
        port => Some(port),
    });
    let port = port.filter(|port| port.parse::<u16>().is_ok()).map(|port| format!(":{port}"));
    let host = if host.matches(':').count() > 1 { format!("[{host}]") } else { host.to_owned() };
    format!("ldap://{host}{}", port.unwrap_or_default())
}
