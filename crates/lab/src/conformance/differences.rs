//! What is known to differ at a server that differs much: for each check it does not pass, all that was seen, and
//! which [`Freedom`]s say why. The lists are in `differences`.
//!
//! The evidence is compared word for word. So nothing else can hide behind a difference, neither a fault of ours nor a
//! new one of theirs; and a difference that is gone has to leave the list. `CONFORMANCE_SEEN=FILE` appends what was
//! seen to a file, in the form of the list.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::{Context as _, Result, bail, ensure};

use super::{Freedom, Server, Subject};

const DS389: &str = include_str!("differences/ds389.txt");
const SAMBA: &str = include_str!("differences/samba.txt");

/// The name and the text of the list of a server that differs much.
const fn list_of(server: Server) -> Option<(&'static str, &'static str)> {
    match server {
        Server::Embedded | Server::OpenLdap => None,
        Server::Ds389 => Some(("ds389.txt", DS389)),
        Server::Samba => Some(("samba.txt", SAMBA)),
    }
}

/// A check that a server does not pass.
struct Known {
    /// `area::check`, and ` over clear connections`, ` over TLS`, ` over ldapi`, ` through the proxy` or ` through the stack`
    /// where only that differs so.
    check: &'static str,
    /// Each allowed by an RFC or a named fault of the server.
    freedoms: Vec<Freedom>,
    /// What the check says.
    seen: &'static str,
}

/// What stands in the place of evidence for a check that a server is not asked, and before why: it would end the server
/// for all other checks, or no two runs see the same.
const NOT_ASKED: &str = "not asked: ";

/// Whether a check is left out.
pub(super) fn is_left_out(subject: &Subject, check: &str) -> Result<bool> {
    let Some((_, list)) = list_of(subject.server()) else { return Ok(false) };
    let known = known(list)?;
    Ok(known.iter().any(|known| known.check == check && known.seen.starts_with(NOT_ASKED)))
}

/// The outcome of a check in the light of what is known.
pub(super) fn judge(subject: &Subject, check: &str, outcome: Result<()>) -> Result<()> {
    let Some((file, list)) = list_of(subject.server()) else { return outcome };
    // The same on every transport: the entry of a check is named after it.
    let seen =
        outcome.err().map(|error| format!("{error:#}").replace(subject.tag(), "").trim_end().to_owned());
    let seen = seen.map(|seen| as_evidence(&seen));
    let known = known(list)?;
    let of = |name: &str| known.iter().find(|known| known.check == name);
    let way = if subject.is_clear() {
        " over clear connections"
    } else if subject.knows_its_peer() {
        " over ldapi"
    } else {
        " over TLS"
    };
    let through = subject.behind().and_then(|what| of(&format!("{check} through {what}")));
    let known = through.or_else(|| of(&format!("{check}{way}"))).or_else(|| of(check));
    if let (Some(seen), Some(path)) = (&seen, std::env::var_os("CONFORMANCE_SEEN")) {
        let mut file = std::fs::File::options().create(true).append(true).open(path)?;
        let mut block = String::new();
        writeln!(block, "=== {check} [{}]\n{seen}\n", subject.name())?;
        file.write_all(block.as_bytes())?;
    }
    match (seen, known) {
        (None, None) => Ok(()),
        (Some(seen), Some(known)) => {
            ensure!(
                known.freedoms.iter().all(|freedom| freedom.is_taken_by(subject.server())),
                "a difference is said to be allowed by a freedom of another server"
            );
            ensure!(seen == known.seen, "differs otherwise than known\n{seen}\n  known is\n{}", known.seen);
            Ok(())
        }
        (Some(seen), None) => bail!("{seen}"),
        (None, Some(_)) => bail!("passed: differences/{file} says that it does not"),
    }
}

/// Text fit for the list: control characters escaped, and without the time of day. Generalized times (RFC 4517 §3.3.13) in the server's form are not evidence: they tell when the check ran.
fn as_evidence(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut digits = String::new();
    for letter in text.chars() {
        if letter.is_ascii_digit() {
            digits.push(letter);
            continue;
        }
        if letter.is_control() && letter != '\n' {
            out.push_str(&digits);
            out.extend(letter.escape_debug());
            digits.clear();
            continue;
        }
        // The latter of Active Directory, which puts `.0` behind the seconds.
        let is_now = matches!(letter, 'Z' | '.')
            && digits.len() == 14
            && digits.starts_with("202")
            && !digits.ends_with("000000");
        out.push_str(if is_now { "NOW" } else { &digits });
        digits.clear();
        out.push(letter);
    }
    out.push_str(&digits);
    out
}

/// Reads the list: blocks that begin with `=== CHECK`, then `because: FREEDOM, FREEDOM`, then what is seen.
fn known(list: &'static str) -> Result<Vec<Known>> {
    let blocks = list.split("=== ").skip(1);
    blocks
        .map(|block| {
            let (check, rest) = block.split_once('\n').context("a block of one line")?;
            let (because, seen) = rest.split_once('\n').context("a block without evidence")?;
            let names = because.strip_prefix("because: ").with_context(|| format!("{check}: no reason"))?;
            let freedoms = names.split(", ").map(|name| {
                Freedom::ALL
                    .iter()
                    .copied()
                    .find(|freedom| format!("{freedom:?}") == name)
                    .with_context(|| format!("{check}: no freedom {name}"))
            });
            Ok(Known { check, freedoms: freedoms.collect::<Result<_>>()?, seen: seen.trim_end() })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_no_evidence() {
        assert_eq!(
            as_evidence("at 20261122015841Z, 20261122015841.0Z, 20010203040506Z, 7\0\n"),
            "at NOWZ, NOW.0Z, 20010203040506Z, 7\\0\n"
        );
    }

    #[test]
    fn every_difference_has_a_reason_and_every_reason_a_difference() {
        for server in [Server::Ds389, Server::Samba] {
            let known = known(list_of(server).unwrap().1).unwrap();
            for freedom in Freedom::ALL.iter().filter(|freedom| freedom.is_taken_by(server)) {
                assert!(
                    known.iter().any(|known| known.freedoms.contains(freedom)),
                    "{freedom:?} explains nothing: take it off"
                );
            }
            let mut names: Vec<_> = known.iter().map(|known| known.check).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), known.len(), "a check stands there twice");
        }
    }
}
