//! What each key of a configuration file says. Whether the whole of it can be used is settled in [`super::sound`].

use std::{path::PathBuf, time::Duration};

use flext_ldap::{
    PasswordSource,
    yaml::{Node, Place, Section, Value, is_unlimited, meant},
};
use flext_ldap_directory::proto::{dn::Dn, filter::Filter};
use flext_ldap_server::{Rate, RateLimits, ServerLimits};
use flext_ldap_store::{
    IndexConfig, IndexKind, Limits, MemberOf, ReferentialIntegrity, Unindexed, UnindexedPolicy, UniqueValues,
    access::{AllowConfig, RuleConfig, TargetConfig},
};

use super::{super::monitor::Reader, Administrator, Config, Log, Setting};
use crate::listener::TlsFiles;

pub(super) fn administrator(section: Section<'_>) -> Option<Administrator> {
    let dn = section.parsed("dn");
    let file = section.text("password_file").map(|path| PasswordSource::File(path.into()));
    let environment = section.text("password_env").map(|name| PasswordSource::Environment(name.to_owned()));
    let credential =
        section.text("password_credential").map(|name| PasswordSource::Credential(name.to_owned()));
    let place = section.place();
    let given: Vec<_> = [file, environment, credential].into_iter().flatten().collect();
    let path = section.path_of("");
    let path = path.trim_end_matches('.');
    if dn.is_none() && section.get("dn").is_none() {
        section.problems.add(place, path, "`dn` is missing: the administrator's name");
    }
    if given.len() != 1 {
        section.problems.add(
            place,
            path,
            "say where the password is with one of `password_file`, `password_env`, `password_credential`",
        );
    }
    section.finish();
    Some(Administrator { dn: dn?, password: given.into_iter().next()? })
}

pub(super) fn socket_mode(root: &Section<'_>) -> Option<u32> {
    let node = root.get("socket_mode")?;
    let mode = match &node.value {
        Value::Text(text) => u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o777),
        _ => None,
    };
    if mode.is_none() {
        let message = format!("expected a file mode in quotes, like \"0666\", found {}", node.kind());
        root.problems.add(node.place, "socket_mode", message);
    }
    mode
}

pub(super) fn tls(section: Section<'_>) -> Option<TlsFiles> {
    let certificate = section.text("certificate").map(PathBuf::from);
    let key = section.text("key").map(PathBuf::from);
    if certificate.is_none() || key.is_none() {
        let place = section.place();
        section.problems.add(place, "tls", "needs both `certificate` and `key`, files with PEM");
    }
    section.finish();
    Some(TlsFiles { certificate: certificate?, key: key?, client_authorities: None })
}

/// Who issues the certificates that clients may show, and how these lead to entries.
pub(super) fn client_certificates(section: Section<'_>, config: &mut Config) {
    let authorities = section.text("authorities").map(PathBuf::from);
    config.certificate_rules = section.list("names");
    let place = section.place();
    if authorities.is_none() || config.certificate_rules.is_empty() {
        let message = "needs `authorities`, a file with PEM, and `names`, such as `subject` or `mail=mail`";
        section.problems.add(place, "client_certificates", message);
    }
    match &mut config.tls {
        Some(files) => files.client_authorities = authorities,
        None => {
            section.problems.add(place, "client_certificates", "needs `tls`, which asks clients for them")
        }
    }
    section.finish();
}

pub(super) fn indexes(section: &Section<'_>) -> IndexConfig {
    section.entries().fold(IndexConfig::default(), |config, (key, node)| {
        let kinds: Vec<IndexKind> = match node.value {
            Value::Nothing => Vec::new(),
            _ => section.list_of(&key.name, node),
        };
        config.index(&key.name, kinds)
    })
}

pub(super) fn unindexed(section: Section<'_>, unindexed: &mut Unindexed) {
    let words = [
        ("allow", UnindexedPolicy::Allow),
        ("warn", UnindexedPolicy::Warn),
        ("refuse", UnindexedPolicy::Refuse),
    ];
    if let Some(policy) = section.word("policy", &words) {
        unindexed.policy = policy;
    }
    section.number_or_none("threshold", &mut unindexed.threshold);
    section.finish();
}

pub(super) fn unique(section: Section<'_>) -> UniqueValues {
    let attributes: Vec<String> = section.list("attributes");
    if attributes.is_empty() {
        let path = section.path_of("attributes");
        section.problems.add(section.place(), path, "name at least one attribute");
    }
    let mut values = UniqueValues::of(attributes);
    values = section.list::<Dn>("below").into_iter().fold(values, UniqueValues::below);
    if let Some(filter) = section.parsed::<Filter>("filter") {
        values = values.among(filter);
    }
    section.finish();
    values
}

/// The keys below one that may be `true` or `false` too, or what it says by that.
fn section_or_flag<'a, T>(root: &Section<'a>, key: &'static str) -> Result<Section<'a>, Setting<T>> {
    match root.get(key).map(|node| &node.value) {
        None | Some(Value::Flag(true)) => Err(Setting::Default),
        Some(Value::Flag(false)) => Err(Setting::Off),
        Some(_) => root.section(key).ok_or(Setting::Default),
    }
}

pub(super) fn references(root: &Section<'_>) -> Setting<ReferentialIntegrity> {
    let section = match section_or_flag(root, "referential_integrity") {
        Ok(section) => section,
        Err(setting) => return setting,
    };
    let attributes: Vec<String> = section.list("attributes");
    let mut references = if attributes.is_empty() {
        ReferentialIntegrity::default()
    } else {
        ReferentialIntegrity::of(attributes)
    };
    if section.flag("must_exist").unwrap_or_default() {
        references = references.must_exist();
    }
    if let Some(name) = section.parsed("placeholder") {
        references = references.placeholder(name);
    }
    section.finish();
    Setting::Set(references)
}

pub(super) fn member_of(root: &Section<'_>) -> Setting<MemberOf> {
    let section = match section_or_flag(root, "member_of") {
        Ok(section) => section,
        Err(setting) => return setting,
    };
    let attributes: Vec<String> = section.list("attributes");
    section.finish();
    if attributes.is_empty() { Setting::Default } else { Setting::Set(MemberOf::of(attributes)) }
}

pub(super) fn monitor(root: &Section<'_>) -> Option<Vec<Reader>> {
    match root.get("monitor").map(|node| &node.value) {
        None | Some(Value::Flag(true)) => return Some(Vec::new()),
        Some(Value::Flag(false)) => return None,
        Some(_) => {}
    }
    let section = root.section("monitor")?;
    let readers = section.list("readers");
    section.finish();
    Some(readers)
}

/// The shape of the rules; what they mean depends on the schema. Each wrong one is told.
pub(super) fn access(root: &Section<'_>) -> Option<Vec<RuleConfig>> {
    let node = root.get("access")?;
    let Value::List(items) = &node.value else {
        let message = format!("expected a list of access rules, found {}", node.kind());
        root.problems.add(node.place, "access", message);
        return None;
    };
    let mut rules = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        match serde_json::from_value(item.to_json()) {
            Ok(rule) => rules.push(rule),
            Err(error) => {
                let path = format!("access[{}]", index + 1);
                let error = error.to_string();
                root.problems.add(place_of(item, &error), path, meant(&error));
                // It keeps its number, so that those after it are told by theirs; what else is wrong with it is told.
                rules.push(shape(item));
            }
        }
    }
    Some(rules)
}

/// What can be read of a rule that cannot be read whole: key by key, and line by line.
fn shape(item: &Node) -> RuleConfig {
    let part = |node: Option<&Node>| node.map(Node::to_json).unwrap_or_default();
    let mut to = serde_json::Map::new();
    if let Some(Value::Map(entries)) = item.get("to").map(|node| &node.value) {
        for (key, node) in entries {
            let one = serde_json::Map::from_iter([(key.name.clone(), node.to_json())]);
            if serde_json::from_value::<TargetConfig>(one.clone().into()).is_ok() {
                to.extend(one);
            }
        }
    }
    let lines: &[Node] = match item.get("allow").map(|node| &node.value) {
        Some(Value::List(lines)) => lines,
        _ => &[],
    };
    RuleConfig {
        name: None,
        to: serde_json::from_value(to.into()).ok(),
        allow: lines
            .iter()
            .map(|line| {
                // A line that cannot be read says nothing that could be wrong.
                let empty = || AllowConfig {
                    who: "anyone".to_owned(),
                    rights: "none".into(),
                    ..AllowConfig::default()
                };
                serde_json::from_value(line.to_json()).unwrap_or_else(|_| empty())
            })
            .collect(),
        over: serde_json::from_value(part(item.get("over"))).unwrap_or_default(),
        from: serde_json::from_value(part(item.get("from"))).unwrap_or_default(),
    }
}

/// Where in a rule an error is: at the key it names between backticks, if that is there.
fn place_of(rule: &Node, error: &str) -> Place {
    let Some(name) = error.split('`').nth(1) else { return rule.place };
    let mut waiting = vec![rule];
    while let Some(node) = waiting.pop() {
        match &node.value {
            Value::Map(entries) => {
                if let Some((key, _)) = entries.iter().find(|(key, _)| key.name == name) {
                    return key.place;
                }
                waiting.extend(entries.iter().map(|(_, node)| node));
            }
            Value::List(items) => waiting.extend(items),
            _ => {}
        }
    }
    rule.place
}

pub(super) fn limits(section: Section<'_>, limits: &mut Limits) {
    section.limit("size", &mut limits.size, u32::MAX);
    section.time_limit("time", &mut limits.time);
    section.limit("lookthrough", &mut limits.lookthrough, u64::MAX);
    section.number("filter", &mut limits.filter);
    section.octets("sort_memory", &mut limits.sort_memory, 1 << 20);
    section.number("tree_delete", &mut limits.tree_delete);
    section.number_or_none("persistent_searches", &mut limits.persistent_searches);
    section.number("references", &mut limits.references);
    section.number("renamed", &mut limits.renamed);
    section.number("written_values", &mut limits.written_values);
    section.number("kept_inline", &mut limits.kept_inline);
    section.octets("cache", &mut limits.cache, 1 << 20);
    section.number("write_queue", &mut limits.write_queue);
    section.number("hashing_threads", &mut limits.hashing_threads);
    section.number("hashing_queue", &mut limits.hashing_queue);
    section.finish();
}

pub(super) fn server_limits(section: Section<'_>, limits: &mut ServerLimits) {
    section.number("connections", &mut limits.connections);
    if section.get("connections_per_address").is_some() {
        let mut most = usize::MAX;
        section.limit("connections_per_address", &mut most, usize::MAX);
        limits.connections_per_address = (most < usize::MAX).then_some(most);
    }
    section.octets("message", &mut limits.message.message, 4 << 10);
    section.octets("anonymous_message", &mut limits.anonymous_message, 4 << 10);
    section.number("operations", &mut limits.operations);
    section.number_or_none("persistent_searches", &mut limits.persistent_searches);
    section.octets("unread", &mut limits.unread, 4 << 10);
    section.time_limit("idle", &mut limits.idle);
    section.time_limit("receive", &mut limits.receive);
    section.time_limit("stall", &mut limits.stall);
    section.time_limit("handshake", &mut limits.handshake);
    section.time_limit("bind", &mut limits.bind);
    section.time_limit("search", &mut limits.search);
    section.time_limit("operation", &mut limits.operation);
    section.finish();
}

pub(super) fn rate_limits(section: Section<'_>, rates: &mut RateLimits) {
    rate(&section, "connections", &mut rates.connections);
    rate(&section, "binds", &mut rates.binds);
    rate(&section, "operations", &mut rates.operations);
    rates.loopback = section.flag("loopback").unwrap_or(rates.loopback);
    section.finish();
}

fn rate(section: &Section<'_>, key: &'static str, rate: &mut Option<Rate>) {
    match section.get(key).map(|node| &node.value) {
        None => {}
        Some(_) if section.get(key).is_some_and(is_unlimited) => *rate = None,
        Some(Value::Map(_)) => {
            let Some(inner) = section.section(key) else { return };
            let mut per_second = rate.map_or(0, |rate| rate.per_second);
            inner.number("per_second", &mut per_second);
            let mut burst = per_second.saturating_mul(4);
            inner.number("burst", &mut burst);
            inner.finish();
            *rate = Some(Rate { per_second, burst });
        }
        Some(_) => {
            let mut per_second = 0_u32;
            section.number(key, &mut per_second);
            *rate = Some(Rate { per_second, burst: per_second.saturating_mul(4) });
        }
    }
}

/// How many wrong passwords lock accounts without a policy of their own, and for how long.
pub(super) fn lockout(section: &Section<'_>) -> Option<(usize, Duration)> {
    let node = section.get("lockout_threshold");
    let mut time = Duration::from_secs(15 * 60);
    section.duration("lockout_duration", &mut time);
    let Some(node) = node else {
        if let Some(node) = section.get("lockout_duration") {
            let message =
                "says nothing without `lockout_threshold`: the wrong passwords that lock an account";
            section.problems.add(node.place, section.path_of("lockout_duration"), message);
        }
        return None;
    };
    if section.get("default").is_some() {
        let message =
            "`default` names an entry that says when accounts are locked (`pwdMaxFailure`): leave one out";
        section.problems.add(node.place, section.path_of("lockout_threshold"), message);
    }
    let mut most = 0;
    section.number("lockout_threshold", &mut most);
    Some((most, time))
}

pub(super) fn log(section: Section<'_>, log: &mut Log) {
    if let Some(level) = section.get("level") {
        match &level.value {
            Value::Text(text) if crate::logging::is_level(text) => log.level = Some(text.clone()),
            _ => {
                let found = level.kind();
                section.problems.add(
                    level.place,
                    "log.level",
                    format!("expected `error`, `warn`, `info`, `debug`, `trace`, or these by target, found {found}"),
                );
            }
        }
    }
    match section.get("slow_search").map(|node| &node.value) {
        Some(Value::Flag(false)) => log.slow = None,
        Some(Value::Text(text)) if text == "off" => log.slow = None,
        Some(_) => {
            let mut slow = Duration::ZERO;
            section.duration("slow_search", &mut slow);
            log.slow = Some(slow);
        }
        None => {}
    }
    log.access = section.text("access").map(PathBuf::from);
    section.finish();
}
