//! `cn=Monitor`: what the server knows of itself, as entries that are computed when they are read.
//!
//! They are named as OpenLDAP names them (slapd-monitor(5)), so that what watches a slapd can watch this. They exist for
//! those who may read them only; for everybody else the directory answers, which knows no such name. Nothing in
//! here can be changed. There is no entry for each connection: who is connected is in the access log.

use std::{
    fmt,
    pin::Pin,
    sync::LazyLock,
    task::{Context, Poll},
    time::{SystemTime, UNIX_EPOCH},
};

use flext_ldap_directory::{Actor, Event, Events, Op, Outcome, Peer, Reply, Request};
use flext_ldap_proto::{
    attribute::{Attributes, Selection, Selector},
    batch::{Batch, BatchWriter},
    control::Controls,
    dn::{Dn, DnKey},
    filter::{Filter, Matcher, Truth},
    message::{Compare, Scope, Search},
    result::{LdapResult, ResultCode},
    schema::Schema,
};

use crate::{accept::Core, line_log::civil};

/// Where all of it is.
pub(crate) const MONITOR: &str = "cn=Monitor";

/// What entries in here consist of. The names are OpenLDAP's; the numbers stand below the experimental arc of its schema.
const SCHEMA: &str = "\
attributetype ( 1.3.6.1.4.1.4203.666.1.55.1 NAME 'monitoredInfo' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.3.6.1.4.1.4203.666.1.55.7 NAME 'monitorCounter' EQUALITY integerMatch ORDERING integerOrderingMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 )
attributetype ( 1.3.6.1.4.1.4203.666.1.55.8 NAME 'monitorOpCompleted' SUP monitorCounter )
attributetype ( 1.3.6.1.4.1.4203.666.1.55.9 NAME 'monitorOpInitiated' SUP monitorCounter )
attributetype ( 1.3.6.1.4.1.4203.666.1.55.25 NAME 'monitorTimestamp' EQUALITY generalizedTimeMatch ORDERING generalizedTimeOrderingMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.24 )
objectclass ( 1.3.6.1.4.1.4203.666.3.16.1 NAME 'monitor' SUP top STRUCTURAL MUST cn MAY ( description $ monitoredInfo ) )
objectclass ( 1.3.6.1.4.1.4203.666.3.16.2 NAME 'monitorServer' SUP monitor STRUCTURAL )
objectclass ( 1.3.6.1.4.1.4203.666.3.16.3 NAME 'monitorContainer' SUP monitor STRUCTURAL )
objectclass ( 1.3.6.1.4.1.4203.666.3.16.4 NAME 'monitorCounterObject' SUP monitor STRUCTURAL )
objectclass ( 1.3.6.1.4.1.4203.666.3.16.5 NAME 'monitorOperation' SUP monitor STRUCTURAL )
objectclass ( 1.3.6.1.4.1.4203.666.3.16.8 NAME 'monitoredObject' SUP monitor STRUCTURAL )
";

static KNOWN: LazyLock<Option<(Schema, DnKey)>> = LazyLock::new(|| {
    let mut builder = Schema::standard().to_builder();
    builder.add_openldap(SCHEMA);
    let schema = builder.build().ok()?;
    let key = schema.dn_key(&MONITOR.parse().ok()?).ok()?;
    Some((schema, key))
});

type MayRead = dyn Fn(&Actor, &Peer) -> bool + Send + Sync;
type Source = dyn Fn() -> Vec<(&'static str, String)> + Send + Sync;

/// What `cn=Monitor` shows besides the server itself, and to whom.
pub struct Monitor {
    may_read: Box<MayRead>,
    sources: Vec<(&'static str, Box<Source>)>,
}

impl Monitor {
    /// Shown to those for whom `may_read` is true. It is asked for each operation on a name in here, on the task of the
    /// connection, so it must not wait.
    pub fn new(may_read: impl Fn(&Actor, &Peer) -> bool + Send + Sync + 'static) -> Self {
        Self { may_read: Box::new(may_read), sources: Vec::new() }
    }

    /// Adds `cn=NAME,cn=Monitor` with an entry for each counter that `counters` tells: its name, e.g. `Commits`, and its
    /// value.
    #[must_use]
    pub fn source(
        mut self,
        name: &'static str,
        counters: impl Fn() -> Vec<(&'static str, String)> + Send + Sync + 'static,
    ) -> Self {
        self.sources.push((name, Box::new(counters)));
        self
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").finish_non_exhaustive()
    }
}

/// One entry.
struct Computed {
    dn: String,
    class: &'static str,
    attributes: Vec<(&'static str, String)>,
}

impl Monitor {
    /// The answer, if what is asked for is in here and the one who asks may read it.
    pub(crate) fn answer(&self, request: &Request, peer: &Peer, core: &Core) -> Option<Reply> {
        let dn = name(&request.op)?;
        if !ends_in_monitor(dn) {
            return None;
        }
        let (schema, top) = KNOWN.as_ref()?;
        let key = schema.dn_key(dn).ok()?;
        if !key.is_within(top) || !(self.may_read)(&request.actor, peer) {
            return None;
        }
        let refused =
            |code, why: &str| Some(Reply::ready(Ok(Outcome::new(LdapResult::with_diagnostic(code, why)))));
        if request.controls.iter().any(|control| control.critical) {
            return refused(ResultCode::UNAVAILABLE_CRITICAL_EXTENSION, "cn=monitor takes no controls");
        }
        let entries = self.entries(core);
        let found = |key: &DnKey| entries.iter().any(|entry| entry.key(schema).as_ref() == Some(key));
        match &request.op {
            Op::Search(search) if found(&key) => Some(self::search(search, &key, &entries, schema)),
            Op::Compare(asked) if found(&key) => Some(compare(asked, &key, &entries, schema)),
            Op::Search(_) | Op::Compare(_) => {
                Some(Reply::ready(Ok(Outcome::new(LdapResult::new(ResultCode::NO_SUCH_OBJECT)))))
            }
            _ => refused(ResultCode::UNWILLING_TO_PERFORM, "cn=monitor cannot be changed"),
        }
    }

    fn entries(&self, core: &Core) -> Vec<Computed> {
        let counted = &core.statistics;
        let (started, since) = counted.started;
        let mut tree = Tree(Vec::new());
        tree.add(
            "",
            "monitorServer",
            vec![("monitoredInfo", concat!("FLEXT-LDAP ", env!("CARGO_PKG_VERSION")).to_owned())],
        );
        let counter = |value: u64| vec![("monitorCounter", value.to_string())];
        tree.add("Connections", "monitorContainer", Vec::new());
        for (name, value) in
            [("Total", core.numbered()), ("Current", core.open() as u64), ("Refused", counted.refused.get())]
        {
            tree.add(&format!("{name},cn=Connections"), "monitorCounterObject", counter(value));
        }
        let operations: Vec<_> = counted.operations().collect();
        let count = |initiated: u64, completed: u64| {
            vec![("monitorOpInitiated", initiated.to_string()), ("monitorOpCompleted", completed.to_string())]
        };
        let all = operations
            .iter()
            .fold((0, 0), |sum, (_, initiated, completed)| (sum.0 + initiated, sum.1 + completed));
        tree.add("Operations", "monitorContainer", count(all.0, all.1));
        for (name, initiated, completed) in operations {
            tree.add(&format!("{name},cn=Operations"), "monitorOperation", count(initiated, completed));
        }
        tree.add("Statistics", "monitorContainer", Vec::new());
        for (name, value) in [
            ("Bytes", &counted.octets_sent),
            ("Bytes Received", &counted.octets_received),
            ("PDU", &counted.messages_sent),
            ("PDU Received", &counted.messages_received),
            ("Entries", &counted.items),
        ] {
            tree.add(&format!("{name},cn=Statistics"), "monitorCounterObject", counter(value.get()));
        }
        tree.add("Rate Limits", "monitorContainer", Vec::new());
        for (name, value) in [
            ("Connections", &counted.connections_rated),
            ("Binds", &counted.binds_rated),
            ("Operations", &counted.operations_rated),
        ] {
            tree.add(&format!("{name},cn=Rate Limits"), "monitorCounterObject", counter(value.get()));
        }
        tree.add("Time", "monitorContainer", Vec::new());
        let at = |time| vec![("monitorTimestamp", timestamp(time))];
        tree.add("Start,cn=Time", "monitoredObject", at(started));
        tree.add("Current,cn=Time", "monitoredObject", at(SystemTime::now()));
        let up = since.elapsed().as_secs().to_string();
        tree.add("Uptime,cn=Time", "monitoredObject", vec![("monitoredInfo", up)]);
        tree.add("Version", "monitoredObject", vec![("monitoredInfo", env!("CARGO_PKG_VERSION").to_owned())]);
        for (source, counters) in &self.sources {
            tree.add(source, "monitorContainer", Vec::new());
            for (name, value) in counters() {
                let value = vec![("monitorCounter", value)];
                tree.add(&format!("{name},cn={source}"), "monitorCounterObject", value);
            }
        }
        tree.0
    }
}

struct Tree(Vec<Computed>);

impl Tree {
    /// Adds an entry below `cn=Monitor`, by what stands between `cn=` and that.
    fn add(&mut self, below: &str, class: &'static str, attributes: Vec<(&'static str, String)>) {
        let dn = if below.is_empty() { MONITOR.to_owned() } else { format!("cn={below},{MONITOR}") };
        self.0.push(Computed { dn, class, attributes });
    }
}

impl Computed {
    fn key(&self, schema: &Schema) -> Option<DnKey> {
        schema.dn_key(&self.dn.parse().ok()?).ok()
    }

    /// With what every entry has: classes, its name, `entryDN`.
    fn attributes(&self, subordinates: bool) -> [Attributes; 2] {
        let mut user = Attributes::builder();
        user.push("objectClass", ["top", "monitor", self.class]);
        let name = self.dn.strip_prefix("cn=").and_then(|rest| rest.split(',').next());
        user.push("cn", [name.unwrap_or_default()]);
        for (description, value) in &self.attributes {
            user.push(description, [value]);
        }
        let mut operational = Attributes::builder();
        operational.push("entryDN", [&self.dn]);
        operational.push("structuralObjectClass", [self.class]);
        operational.push("hasSubordinates", [if subordinates { "TRUE" } else { "FALSE" }]);
        [user.build(), operational.build()]
    }
}

fn name(op: &Op) -> Option<&Dn> {
    match op {
        Op::Search(search) => Some(&search.base),
        Op::Compare(compare) => Some(&compare.dn),
        Op::Add(add) => Some(&add.dn),
        Op::Modify(modify) => Some(&modify.dn),
        Op::Delete(delete) => Some(&delete.dn),
        Op::Rename(rename) => Some(&rename.dn),
        _ => None,
    }
}

/// A look that costs nothing, for every name that is none of these.
fn ends_in_monitor(dn: &Dn) -> bool {
    const LAST: &[u8] = b"monitor";
    let text = dn.as_str().trim_end().as_bytes();
    text.len()
        .checked_sub(LAST.len())
        .and_then(|start| text.get(start..))
        .is_some_and(|tail| tail.eq_ignore_ascii_case(LAST))
}

fn search(search: &Search, base: &DnKey, entries: &[Computed], schema: &Schema) -> Reply {
    let matcher = Matcher::new(&search.filter, schema);
    let levels = base.rdns().len();
    let wanted = Wanted::new(&search.attributes);
    let mut writer = BatchWriter::new();
    let (mut sent, mut code) = (0_u32, ResultCode::SUCCESS);
    for entry in entries {
        let (Some(key), Ok(dn)) = (entry.key(schema), entry.dn.parse::<Dn>()) else { continue };
        let below = key.rdns().len().saturating_sub(levels);
        let in_scope = key.is_within(base)
            && match search.scope {
                Scope::Base => below == 0,
                Scope::One => below == 1,
                Scope::Subtree => true,
                _ => below > 0,
            };
        if !in_scope {
            continue;
        }
        let subordinates = entries.iter().any(|other| is_parent(&entry.dn, &other.dn));
        let [user, operational] = entry.attributes(subordinates);
        if matcher.evaluate(&dn, &[user.as_ref(), operational.as_ref()], &|_| true) != Truth::True {
            continue;
        }
        if search.size_limit > 0 && sent == search.size_limit {
            code = ResultCode::SIZE_LIMIT_EXCEEDED;
            break;
        }
        sent = sent.saturating_add(1);
        let mut selected = Attributes::builder();
        for (attributes, of_users) in [(&user, true), (&operational, false)] {
            for attribute in attributes.as_ref().iter() {
                if wanted.has(attribute.description(), of_users, schema) {
                    let values = if search.types_only { Vec::new() } else { attribute.values().collect() };
                    selected.push(attribute.description(), values);
                }
            }
        }
        let selected = selected.build().into_bytes();
        writer.entry(&entry.dn, &Controls::none(), |body| body.raw(&selected));
    }
    let batch = (!writer.is_empty()).then(|| writer.take());
    Reply::events(Found { batch, outcome: Some(Outcome::new(LdapResult::new(code))) })
}

fn is_parent(parent: &str, child: &str) -> bool {
    child.split_once(',').is_some_and(|(_, rest)| rest == parent)
}

fn compare(asked: &Compare, key: &DnKey, entries: &[Computed], schema: &Schema) -> Reply {
    let filter = Filter::equality(asked.attribute.clone(), asked.value.to_vec());
    let truth = entries.iter().find(|entry| entry.key(schema).as_ref() == Some(key)).map(|entry| {
        let [user, operational] = entry.attributes(false);
        Matcher::new(&filter, schema).evaluate(&asked.dn, &[user.as_ref(), operational.as_ref()], &|_| true)
    });
    let code = match truth {
        Some(Truth::True) => ResultCode::COMPARE_TRUE,
        Some(Truth::False) => ResultCode::COMPARE_FALSE,
        _ => ResultCode::NO_SUCH_ATTRIBUTE,
    };
    Reply::ready(Ok(Outcome::new(LdapResult::new(code))))
}

/// Which attributes are asked for. Nothing said is all of users'; `+` adds the others.
struct Wanted<'a> {
    selectors: &'a [Selector],
}

impl<'a> Wanted<'a> {
    fn new(selection: &'a Selection) -> Self {
        Self { selectors: selection.selectors() }
    }

    fn has(&self, description: &str, of_users: bool, schema: &Schema) -> bool {
        if self.selectors.is_empty() {
            return of_users;
        }
        self.selectors.iter().any(|selector| match selector {
            Selector::AllUser => of_users,
            // What is OpenLDAP's operational attribute in here is looked for with `+`.
            Selector::AllOperational => !of_users || description.starts_with("monitor"),
            Selector::Attribute(selected) => schema.is_within(description, selected),
            _ => false,
        })
    }
}

struct Found {
    batch: Option<Batch>,
    outcome: Option<Outcome>,
}

impl Events for Found {
    fn poll_next(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Result<Event, flext_ldap_directory::Error>> {
        let event = match self.batch.take() {
            Some(batch) => Event::Batch(batch),
            None => Event::Done(self.outcome.take().unwrap_or_else(Outcome::success)),
        };
        Poll::Ready(Ok(event))
    }
}

/// Generalized time (RFC 4517 §3.3.13), UTC.
fn timestamp(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z")
}

/// Whether a selection asks for this operational attribute, by name or with all of its kind.
pub(crate) fn is_selected(selection: &Selection, name: &str) -> bool {
    selection.selectors().iter().any(|selector| match selector {
        Selector::AllOperational => true,
        Selector::Attribute(selected) => selected.as_str().eq_ignore_ascii_case(name),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_sound() {
        let (schema, top) = KNOWN.as_ref().unwrap();
        assert!(schema.attribute_type("monitorOpInitiated").is_some());
        let key = schema.dn_key(&"CN=uptime, cn=TIME,cn=monitor".parse().unwrap()).unwrap();
        assert!(key.is_within(top));
    }

    #[test]
    fn names_are_told_apart_quickly() {
        let table = [
            ("cn=monitor", true),
            ("cn=Time,CN=MONITOR", true),
            ("cn=monitoring", false),
            ("o=x", false),
            ("", false),
        ];
        for (dn, want) in table {
            assert_eq!(ends_in_monitor(&dn.parse().unwrap()), want, "{dn}");
        }
        assert_eq!(timestamp(UNIX_EPOCH + std::time::Duration::from_secs(951_868_800)), "20000301000000Z");
    }
}
