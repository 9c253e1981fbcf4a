//! `-e` and `-E` as OpenLDAP's tools have them: controls that go with any operation, and those of a search.

use std::str::FromStr;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flext_ldap_directory::{
    Outcome, Request,
    proto::{
        control::{
            Assertion, ChangeTypes, Control, ControlValue, Controls, DontUseCopy, EntryChangeNotification,
            ManageDsaIt, MatchedValues, PersistentSearch, ProxiedAuthorization, RelaxRules, ServerSideSort,
            ServerSideSortResponse, SortKey, Subentries, Target, VirtualListView, VirtualListViewResponse,
        },
        message::Limits,
        oid::Oid,
    },
};

use crate::{
    connect::{Connect, Opened, Tells},
    exit::Usage,
};

/// Flags of every command that sends an operation.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct General {
    /// Control, critical with `!`: `authzid=ID` (`dn:…`, `u:…` or nothing; always critical), `relax`, `manageDSAit`,
    /// `assert=FILTER`, or `OID[=TEXT|::BASE64]`; `ppolicy` asks with the bind, and prints on standard error what the
    /// password policy says
    #[arg(short = 'e', long = "control", value_name = "[!]CONTROL")]
    controls: Vec<GeneralControl>,
    /// Take referral objects for entries (RFC 3296); twice (-MM): critical
    #[arg(short = 'M', action = clap::ArgAction::Count)]
    manage_dsa_it: u8,
    /// `ldif-wrap=no|COLUMNS` folds LDIF that is printed, `nettimeout=SECONDS` is --connect-timeout
    #[arg(short = 'o', value_name = "OPTION")]
    options: Vec<ToolOption>,
    /// Say on standard error which server is asked, and what is done
    #[arg(short = 'v', long)]
    pub(crate) verbose: bool,
}

impl General {
    /// Connects and binds.
    pub(crate) async fn open(&self, connect: &Connect) -> anyhow::Result<Opened> {
        let timeout = self.options.iter().rev().find_map(|option| match option {
            ToolOption::NetTimeout(seconds) => Some(*seconds),
            ToolOption::LdifWrap(_) => None,
        });
        let tells = Tells { policy: self.asks_policy(), servers: self.verbose };
        connect.open_as(timeout, tells).await
    }

    /// The column to fold LDIF at, 0 for not at all, if it was said.
    pub(crate) fn ldif_wrap(&self) -> Option<usize> {
        self.options.iter().rev().find_map(|option| match option {
            ToolOption::LdifWrap(columns) => Some(*columns),
            ToolOption::NetTimeout(_) => None,
        })
    }

    /// Whether the password policy's word is asked for.
    pub(crate) fn asks_policy(&self) -> bool {
        self.controls.iter().any(|control| matches!(control, GeneralControl::Policy))
    }

    /// Adds the controls to a request.
    pub(crate) fn on<O>(&self, mut request: Request<O>) -> Request<O> {
        self.add_to(&mut request.controls);
        request
    }

    /// Adds the controls to those of a record.
    pub(crate) fn add_to(&self, controls: &mut Controls) {
        for control in &self.controls {
            if let GeneralControl::Operation(control) = control {
                controls.push_raw(control.clone());
            }
        }
        self.manage_referrals(controls);
    }

    /// Adds the control that takes referral objects for entries, if it was asked for by `-M`.
    pub(crate) fn manage_referrals(&self, controls: &mut Controls) {
        if self.manage_dsa_it > 0 && !controls.iter().any(|control| control.oid == ManageDsaIt::OID) {
            controls.push_raw(encoded(&ManageDsaIt, self.manage_dsa_it > 1));
        }
    }
}

/// What `-o` says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ToolOption {
    /// The column to fold LDIF at, 0 for not at all.
    LdifWrap(usize),
    /// Seconds for connecting.
    NetTimeout(u64),
}

impl FromStr for ToolOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        match (name.to_ascii_lowercase().as_str(), value) {
            ("ldif-wrap" | "ldif_wrap", "no") => Ok(Self::LdifWrap(0)),
            ("ldif-wrap" | "ldif_wrap", value) => value
                .parse()
                .map(Self::LdifWrap)
                .map_err(|_| "expected `no` or a number of columns".to_owned()),
            ("nettimeout", "none" | "max") => Ok(Self::NetTimeout(u64::from(i32::MAX.unsigned_abs()))),
            ("nettimeout", value) => {
                value.parse().map(Self::NetTimeout).map_err(|_| "expected a number of seconds".to_owned())
            }
            _ => Err("`ldif-wrap=no|COLUMNS` and `nettimeout=SECONDS` are known".to_owned()),
        }
    }
}

#[derive(Clone, Debug)]
enum GeneralControl {
    /// Goes with operations.
    Operation(Control),
    /// Goes with the bind.
    Policy,
}

impl FromStr for GeneralControl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (critical, name, value) = parts(text);
        let control = match (name.to_ascii_lowercase().as_str(), value) {
            // RFC 4370 §3: it is an error without.
            ("authzid", Some(id)) => encoded(&ProxiedAuthorization(id.to_owned()), true),
            ("ppolicy", None) => return Ok(Self::Policy),
            ("relax", None) => encoded(&RelaxRules, critical),
            ("managedsait", None) => encoded(&ManageDsaIt, critical),
            ("assert", Some(filter)) => {
                let filter = filter.parse().map_err(|error| format!("`{filter}`: {error}"))?;
                encoded(&Assertion(filter), critical)
            }
            _ => other(text.strip_prefix('!').unwrap_or(text), critical)?,
        };
        Ok(Self::Operation(control))
    }
}

/// `[!]name[=value]`.
fn parts(text: &str) -> (bool, &str, Option<&str>) {
    let (critical, text) = text.strip_prefix('!').map_or((false, text), |text| (true, text));
    let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
    (critical, name, value)
}

/// A control by its OID, its value as text or, after `::`, in base64.
fn other(text: &str, critical: bool) -> Result<Control, String> {
    let at = text.find(['=', ':']).unwrap_or(text.len());
    let (oid, rest) = text.split_at(at);
    let oid: Oid = oid.parse().map_err(|_| {
        format!("`{text}` is not known; `authzid=ID`, `relax`, `manageDSAit`, `assert=FILTER`, `ppolicy` and OIDs are")
    })?;
    let value = match (rest.strip_prefix("::"), rest.strip_prefix(":=").or_else(|| rest.strip_prefix('='))) {
        (Some(encoded), _) => {
            let octets = STANDARD.decode(encoded).map_err(|error| format!("`{encoded}`: {error}"))?;
            Some(octets.into())
        }
        (None, Some(text)) => Some(text.as_bytes().to_vec().into()),
        (None, None) if rest.is_empty() => None,
        (None, None) => return Err(format!("`{rest}` after the OID; write `=TEXT` or `::BASE64`")),
    };
    Ok(Control { oid, critical, value })
}

fn encoded<C: ControlValue>(value: &C, critical: bool) -> Control {
    let none = Controls::none();
    let one = if critical { none.critical(value) } else { none.optional(value) };
    let control = one.iter().next().cloned();
    control.unwrap_or(Control { oid: C::OID, critical, value: None })
}

/// What the `-E` flags of a search say.
#[derive(Debug, Default)]
pub(crate) struct Extensions {
    pub(crate) page_size: Option<u32>,
    /// Whether the search goes on until it is interrupted.
    pub(crate) is_persistent: bool,
    pub(crate) controls: Controls,
}

/// What `-E` takes, for its help.
pub(crate) const EXTENSION_HELP: &str = "\
Search extension, critical with `!`: `pr=SIZE` reads in pages; `sss=[-]ATTR[:RULE][/…]` sorts, `-` the largest first; \
`vlv=BEFORE/AFTER/OFFSET/COUNT` or `vlv=BEFORE/AFTER:VALUE` shows a part of what is sorted; `mv=FILTER` returns values \
that match; `subentries[=true|false]`; `dontUseCopy`; `ps=CHANGETYPES/CHANGESONLY/ECS` goes on with what changes, e.g. \
`ps=any/1/1`";

impl Extensions {
    pub(crate) fn read(texts: &[String]) -> anyhow::Result<Self> {
        let mut read = Self::default();
        for text in texts {
            let (critical, name, value) = parts(text);
            let wrong = |why: &str| Usage(format!("`-E {text}`: {why}"));
            let control = match (name.to_ascii_lowercase().as_str(), value) {
                ("pr", Some(value)) => {
                    let size = value.split('/').next().unwrap_or(value).parse().ok();
                    let size = size.filter(|size| *size > 0);
                    read.page_size = Some(size.ok_or_else(|| wrong("expected a size, e.g. `pr=500`"))?);
                    continue;
                }
                ("sss", Some(keys)) => {
                    let keys = keys.split('/').map(sort_key).collect::<Option<Vec<_>>>();
                    let keys = keys.ok_or_else(|| wrong("expected attributes, e.g. `sss=sn/-cn`"))?;
                    encoded(&ServerSideSort(keys), critical)
                }
                ("vlv", Some(view)) => {
                    let why = "expected `vlv=BEFORE/AFTER/OFFSET/COUNT` or `vlv=BEFORE/AFTER:VALUE`";
                    encoded(&view_of(view).ok_or_else(|| wrong(why))?, critical)
                }
                ("mv", Some(filter)) => {
                    let why = "expected a filter of one value, or several in parentheses";
                    encoded(&MatchedValues::parse(filter).ok_or_else(|| wrong(why))?, critical)
                }
                ("subentries", value) => {
                    let visible = match value.map(str::to_ascii_lowercase).as_deref() {
                        None | Some("true") => true,
                        Some("false") => false,
                        Some(_) => return Err(wrong("expected `true` or `false`").into()),
                    };
                    encoded(&Subentries { visible }, critical)
                }
                ("dontusecopy", None) => encoded(&DontUseCopy, critical),
                ("ps", Some(asked)) => {
                    let why = "expected kinds of changes and two times 0 or 1, e.g. `ps=any/1/1`";
                    read.is_persistent = true;
                    encoded(&persistent(asked).ok_or_else(|| wrong(why))?, critical)
                }
                _ => {
                    let known = "`pr`, `sss`, `vlv`, `mv`, `subentries`, `dontUseCopy` and `ps` are known";
                    return Err(wrong(known).into());
                }
            };
            read.controls.push_raw(control);
        }
        Ok(read)
    }
}

fn sort_key(text: &str) -> Option<SortKey> {
    let (reverse, text) = text.strip_prefix('-').map_or((false, text), |text| (true, text));
    let (name, rule) = text.split_once(':').map_or((text, None), |(name, rule)| (name, Some(rule)));
    let attribute = name.parse().ok()?;
    Some(SortKey { attribute, ordering_rule: rule.map(Box::from), reverse })
}

fn view_of(text: &str) -> Option<VirtualListView> {
    let number = |text: &str| text.parse::<u32>().ok();
    let (before, rest) = text.split_once('/')?;
    let (after, target) = match rest.split_once([':', '/']) {
        Some((after, value)) if rest.get(after.len()..)?.starts_with(':') => {
            (after, Target::GreaterThanOrEqual(value.as_bytes().to_vec().into()))
        }
        Some((after, place)) => {
            let (offset, count) = place.split_once('/')?;
            (after, Target::Offset { offset: number(offset)?, content_count: number(count)? })
        }
        None => return None,
    };
    Some(VirtualListView { before: number(before)?, after: number(after)?, target, context: None })
}

/// `any/1/1`, `15/1/1`, `add,delete/0/1`: as OpenLDAP's tools, whose kinds are a number, and as those of others.
fn persistent(text: &str) -> Option<PersistentSearch> {
    let mut parts = text.split('/');
    let (kinds, mut switch) = (parts.next()?, || match parts.next() {
        None | Some("1") => Some(true),
        Some("0") => Some(false),
        Some(_) => None,
    });
    let change_types = match kinds.parse() {
        Ok(bits) => ChangeTypes::from_bits(bits)?,
        Err(_) => kinds
            .split(',')
            .map(|kind| {
                Some(match kind.to_ascii_lowercase().as_str() {
                    "any" => ChangeTypes::ANY,
                    "add" => ChangeTypes::ADD,
                    "delete" => ChangeTypes::DELETE,
                    "modify" => ChangeTypes::MODIFY,
                    "moddn" => ChangeTypes::MOD_DN,
                    _ => return None,
                })
            })
            .reduce(|one, other| Some(one? | other?))??,
    };
    let value = PersistentSearch { change_types, changes_only: switch()?, return_ecs: switch()? };
    parts.next().is_none().then_some(value)
}

/// What a changed entry's control says, for a comment before the entry.
pub(crate) fn change_of(controls: &Controls) -> Option<String> {
    let change = controls.get::<EntryChangeNotification>(&Limits::DEFAULT).ok()??;
    let kind = match change.change_type {
        ChangeTypes::ADD => "add",
        ChangeTypes::DELETE => "delete",
        ChangeTypes::MODIFY => "modify",
        _ => "modDN",
    };
    let previous = change.previous_dn.map(|dn| format!(", previously {dn}")).unwrap_or_default();
    Some(format!("entry change: {kind}{previous}"))
}

/// What the controls at the end of a search say, a comment each.
pub(crate) fn told(outcome: &Outcome) -> Vec<String> {
    let mut told = Vec::new();
    if let Ok(Some(sorted)) = outcome.controls.get::<ServerSideSortResponse>(&Limits::DEFAULT) {
        let attribute = sorted.attribute.map(|name| format!(", attribute {name}")).unwrap_or_default();
        told.push(format!("sort result: {}{attribute}", sorted.code));
    }
    if let Ok(Some(view)) = outcome.controls.get::<VirtualListViewResponse>(&Limits::DEFAULT) {
        let VirtualListViewResponse { target_position, content_count, code, .. } = view;
        told.push(format!("virtual list view: {code}, position {target_position} of {content_count}"));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Option<Control> {
        let read = Extensions::read(&[text.to_owned()]).ok()?;
        read.controls.iter().next().cloned()
    }

    #[test]
    fn search_extensions() {
        let table: &[(&str, bool, &str, Option<&[u8]>)] = &[
            ("sss=sn", false, "1.2.840.113556.1.4.473", Some(b"\x30\x06\x30\x04\x04\x02sn")),
            (
                "!sss=-cn:2.5",
                true,
                "1.2.840.113556.1.4.473",
                Some(b"\x30\x0e\x30\x0c\x04\x02cn\x80\x032.5\x81\x01\xff"),
            ),
            (
                "vlv=1/2/3/4",
                false,
                "2.16.840.1.113730.3.4.9",
                Some(b"\x30\x0e\x02\x01\x01\x02\x01\x02\xa0\x06\x02\x01\x03\x02\x01\x04"),
            ),
            (
                "vlv=1/2:a/b",
                false,
                "2.16.840.1.113730.3.4.9",
                Some(b"\x30\x0b\x02\x01\x01\x02\x01\x02\x81\x03a/b"),
            ),
            ("mv=(cn=*)", false, "1.2.826.0.1.3344810.2.3", Some(b"\x30\x04\x87\x02cn")),
            ("!subentries", true, "1.3.6.1.4.1.4203.1.10.1", Some(b"\x01\x01\xff")),
            ("subentries=FALSE", false, "1.3.6.1.4.1.4203.1.10.1", Some(b"\x01\x01\x00")),
            ("!dontUseCopy", true, "1.3.6.1.1.22", None),
            (
                "ps=15/1/0",
                false,
                "2.16.840.1.113730.3.4.3",
                Some(b"\x30\x09\x02\x01\x0f\x01\x01\xff\x01\x01\x00"),
            ),
            (
                "!ps=add,modDN",
                true,
                "2.16.840.1.113730.3.4.3",
                Some(b"\x30\x09\x02\x01\x09\x01\x01\xff\x01\x01\xff"),
            ),
        ];
        for (text, critical, oid, value) in table {
            let control = one(text).expect(text);
            assert_eq!((control.critical, control.oid.as_str()), (*critical, *oid), "{text}");
            assert_eq!(control.value.as_deref(), *value, "{text}");
        }
        for text in [
            "sss",
            "sss=",
            "sss=a b",
            "vlv=1",
            "vlv=1/2",
            "vlv=1/2/3",
            "vlv=a/2/3/4",
            "mv=(&(cn=x))",
            "ps=16/1/1",
            "ps=any/2/1",
            "ps=any/1/1/1",
            "ps=some/1/1",
            "subentries=maybe",
            "pr=0",
            "pr=x",
            "xyz=1",
        ] {
            assert!(Extensions::read(&[text.to_owned()]).is_err(), "{text}");
        }
        let pages = Extensions::read(&["!pr=5/noprompt".to_owned()]).unwrap();
        assert_eq!((pages.page_size, pages.controls.is_empty()), (Some(5), true));
    }

    #[test]
    fn general_controls() {
        let table: &[(&str, bool, &str, Option<&[u8]>)] = &[
            ("authzid=u:ada", true, "2.16.840.1.113730.3.4.18", Some(b"u:ada")),
            ("!authzid=", true, "2.16.840.1.113730.3.4.18", Some(b"")),
            ("!relax", true, "1.3.6.1.4.1.4203.666.5.12", None),
            ("manageDSAit", false, "2.16.840.1.113730.3.4.2", None),
            ("!assert=(cn=*)", true, "1.3.6.1.1.12", Some(b"\x87\x02cn")),
            ("!1.2.840.113556.1.4.805", true, "1.2.840.113556.1.4.805", None),
            ("1.2.3=a=b", false, "1.2.3", Some(b"a=b")),
            ("1.2.3::AQI=", false, "1.2.3", Some(b"\x01\x02")),
        ];
        for (text, critical, oid, value) in table {
            let Ok(GeneralControl::Operation(control)) = text.parse() else { panic!("{text}") };
            assert_eq!((control.critical, control.oid.as_str()), (*critical, *oid), "{text}");
            assert_eq!(control.value.as_deref(), *value, "{text}");
        }
        for text in ["", "!", "noop", "authzid", "assert=(cn", "1.2.3:x", "1.2.3::?", "relax=1"] {
            assert!(text.parse::<GeneralControl>().is_err(), "{text}");
        }
    }
}
