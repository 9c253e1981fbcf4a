//! Whether a configuration can be used: one function that all of it passes, whoever asks (`--check`, `serve`, SIGHUP, the
//! commands on a folder), so that they cannot differ. What is wrong is told together, each with its place.
//!
//! What depends on the schema is held against the one the directory has, definitions that were added to it while it was
//! served included. What depends on entries, which come and go, is a warning.

use std::{collections::BTreeMap, fs, io, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use flext_ldap::yaml::{Place, Problem};
use flext_ldap_directory::proto::{
    attribute::Attributes,
    dn::Dn,
    schema::Schema,
    url::{LdapUrl, Scheme},
};
use flext_ldap_store::{
    IndexConfig, IndexKind, IndexStage, Store, StoreOptions,
    access::{AllowConfig, RuleConfig},
};
use nix::unistd::{AccessFlags, access};
use serde_json::{Value as Json, json};

use super::{
    super::{Data, control},
    Config, PasswordSource, Source,
};
use crate::exit::Usage;

/// A configuration as it was read: nobody uses it before it has been looked at.
#[derive(Clone, Debug)]
#[must_use = "it may be faulty"]
pub(in super::super) struct Draft {
    pub(super) config: Config,
    pub(super) problems: Vec<Problem>,
    /// Keys that the command line has a say in.
    pub(super) overridden: Vec<&'static str>,
}

/// What a configuration is for: what else of it has to be right.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Purpose<'a> {
    /// To know where the directory is.
    Place,
    /// To load entries into the directory in its folder.
    Load,
    /// To serve it; what it names is looked at too.
    Serve,
    /// To say what a start would, and what would surprise after it.
    Check,
    /// To go on serving this one.
    Reload(&'a Store, &'a Config),
}

/// What is known of the directory.
pub(super) struct Known {
    pub(super) schema: Arc<Schema>,
    /// Naming contexts with entries.
    pub(super) contexts: Vec<Dn>,
    /// Those of the names that no entry has; nothing where the directory cannot be asked.
    missing: Vec<Dn>,
    /// The indexes it has, if it is there.
    indexes: Option<Vec<(String, IndexKind)>>,
    /// What the process that serves it listens on, if there is one.
    pub(super) served: Option<Vec<LdapUrl>>,
    /// Why the folder cannot be opened.
    pub(super) closed: Option<String>,
}

impl Draft {
    /// Puts in what the command line says of a key.
    pub(in super::super) fn say(&mut self, key: &'static str, set: impl FnOnce(&mut Config)) {
        self.overridden.push(key);
        set(&mut self.config);
    }

    /// The configuration, if it can be used.
    ///
    /// # Errors
    ///
    /// All that is wrong with it.
    pub(in super::super) fn settle(mut self, purpose: Purpose<'_>) -> anyhow::Result<Config> {
        // There is no more to be said of a file that is no configuration.
        if self.problems.iter().any(|problem| problem.path.is_empty()) {
            return Err(self.faulty());
        }
        // A file that says it wrongly has been told of.
        let told = self.problems.iter().any(|problem| problem.path == "data");
        if self.config.data.is_none() && !told {
            self.problem("data", "is missing: the folder the directory lives in, in --config or by --data");
        }
        match purpose {
            Purpose::Place => {}
            // What it names may be about to come.
            Purpose::Load => {
                self.look_at_store(None);
            }
            Purpose::Serve => {
                let known = self.look_at_store(None);
                self.look_for_entries(known.as_ref());
                self.look_at_files();
                self.look_at_password();
                self.look_at_sign_in();
            }
            Purpose::Check => {
                let known = self.look_at_store(None);
                self.look_for_entries(known.as_ref());
                self.look_ahead(known.as_ref());
                self.look_at_files();
                self.look_at_sign_in();
                if self.has_password_elsewhere() {
                    self.warn(
                        "administrator.password_credential",
                        "was not looked at: systemd hands credentials to the unit, and to nobody else",
                    );
                } else {
                    self.look_at_password();
                }
            }
            Purpose::Reload(store, started) => {
                let known = self.look_at_store(Some((store, started)));
                self.look_for_entries(known.as_ref());
                self.look_at_files();
                self.look_at_password();
                self.look_at_sign_in();
            }
        }
        if self.problems.is_empty() {
            return Ok(self.config);
        }
        self.problems.sort_by_key(|problem| problem.place);
        Err(self.faulty())
    }

    /// All that is wrong with it.
    fn faulty(&self) -> anyhow::Error {
        let problems: Vec<_> = self.problems.iter().map(ToString::to_string).collect();
        let name = match &self.config.file {
            Some(Source { path, .. }) => path.display().to_string(),
            None => "the configuration".to_owned(),
        };
        Usage(format!("{name} cannot be used:\n  {}", problems.join("\n  "))).into()
    }

    /// Where a key stands in the file, and how it is written there; line 0 where the file does not have it.
    fn place(&self, path: &str) -> (Place, String) {
        let top = path.split(['.', '[']).next().unwrap_or_default();
        let file = self.config.file.as_ref().filter(|_| !self.overridden.contains(&top));
        let Some(node) = file.and_then(|Source { node, .. }| node.get(top).map(|_| node)) else {
            return (Place::default(), path.to_owned());
        };
        // Names of attributes are the same in any case.
        if let Some(attribute) = path.strip_prefix("indexes.")
            && let Some((key, _)) = node.at("indexes").entry(attribute)
        {
            return (key.place, format!("indexes.{}", key.name));
        }
        (node.at(path).place, path.to_owned())
    }

    pub(super) fn problem(&mut self, path: &str, message: impl Into<String>) {
        let (place, path) = self.place(path);
        self.problems.push(Problem { place, path, message: message.into() });
    }

    pub(super) fn warn(&self, path: &str, message: impl Into<String>) {
        let (place, path) = self.place(path);
        let problem = Problem { place, path, message: message.into() };
        let file = self.config.file.as_ref().map(|Source { path, .. }| format!("{}: ", path.display()));
        crate::say(format_args!("warning: {}{problem}", file.unwrap_or_default()));
    }

    /// What the schema and the entries of the directory say of it. Returns what is known of them.
    fn look_at_store(&mut self, running: Option<(&Store, &Config)>) -> Option<Known> {
        let data = self.config.place().ok()?;
        let names = self.names();
        let dns: Vec<Dn> = names.iter().map(|(_, dn)| dn.clone()).collect();
        let known = match running {
            Some((store, _)) => Ok(Known::of_store(store, &dns)),
            None => self.load(&data).map(|schema| Known::of_folder(&data, schema, &dns)),
        };
        let known = known.ok()?;
        // With other schema files, what is used after a restart only cannot be judged by the schema of today.
        if running.is_none_or(|(_, started)| started.schema == self.config.schema) {
            let mut options = self.config.store(StoreOptions::memory());
            // Without any of its own it keeps those of the directory, which are as they are.
            let kept = known.indexes.as_deref().map(index_config).filter(|_| self.config.indexes.is_none());
            let keeps = kept.is_some();
            options = kept.into_iter().fold(options, StoreOptions::indexes);
            for problem in options.problems(&known.schema) {
                if !(keeps && problem.key.starts_with("indexes.")) {
                    self.problem(&problem.key, problem.message);
                }
            }
        }
        self.look_at_names(&known);
        if let Err(found) = self.config.parsed_rules(&known.schema) {
            for (path, message) in found {
                self.problem(&path, message);
            }
        }
        Some(known)
    }

    /// Entries that it names and that are not there.
    fn look_for_entries(&self, known: Option<&Known>) {
        let Some(known) = known else { return };
        for (path, dn) in self.names() {
            if known.missing.contains(&dn) {
                self.warn(&path, format!("there is no entry `{dn}`"));
            }
        }
    }

    /// The schema by the files the configuration names.
    fn load(&mut self, data: &Data) -> Result<Schema, ()> {
        data.load_schema().map_err(|error| self.problem("schema", format!("{error:#}")))
    }

    /// Names that can only be right within a suffix.
    fn look_at_names(&mut self, known: &Known) {
        let within = |dn: &Dn, other: &Dn| {
            let keys = (known.schema.dn_key(dn), known.schema.dn_key(other));
            matches!(keys, (Ok(dn), Ok(other)) if dn.is_within(&other))
        };
        self.look_at_suffixes(known);
        let contexts: Vec<Dn> = self.contexts(known);
        if contexts.is_empty() {
            if self.problems.iter().any(|problem| problem.path == "suffixes") {
                return;
            }
            return self.problem(
                "suffixes",
                "is missing: the name of the directory's top entry, in --config or by --suffix",
            );
        }
        let short: Vec<_> = self.config.suffixes.iter().filter(|dn| dn.rdns().count() == 1).collect();
        if let [first, second, ..] = short.as_slice() {
            self.warn(
                "suffixes",
                format!("`{first}` and `{second}` are two names; between brackets a name with commas stands in quotes"),
            );
        }
        let expected: Vec<_> = contexts.iter().map(|dn| format!("`{dn}`")).collect();
        let expected = expected.join(" or ");
        let below = self.config.unique.iter().enumerate().flat_map(|(number, unique)| {
            let key = move |index: usize| format!("unique[{}].below[{}]", number + 1, index + 1);
            unique.bases().iter().enumerate().map(move |(index, dn)| (key(index), dn.clone()))
        });
        let mut names: Vec<(String, Dn)> = below.collect();
        names.extend(
            self.config.password_policy.iter().map(|dn| ("password_policy.default".to_owned(), dn.clone())),
        );
        for (path, dn) in names {
            // All of a suffix may be meant, or of the tree above it.
            if !contexts.iter().any(|context| within(&dn, context) || within(context, &dn)) {
                self.problem(
                    &path,
                    format!("`{dn}` is not in this directory, whose names end in {expected}"),
                );
            }
        }
    }

    /// What is served: the suffixes, and what the folder has besides.
    pub(super) fn contexts(&self, known: &Known) -> Vec<Dn> {
        let others = known.contexts.iter().filter(|dn| !known.is_among(dn, &self.config.suffixes));
        self.config.suffixes.iter().chain(others).cloned().collect()
    }

    /// Suffixes that cannot be, or not together.
    fn look_at_suffixes(&mut self, known: &Known) {
        let suffixes = self.config.suffixes.clone();
        for (index, suffix) in suffixes.iter().enumerate() {
            let path = format!("suffixes[{}]", index + 1);
            let key = match known.schema.dn_key(suffix) {
                Ok(key) if key.is_root() => {
                    self.problem(&path, "the root cannot be a suffix");
                    continue;
                }
                Ok(key) => key,
                Err(error) => {
                    self.problem(&path, format!("`{suffix}`: {error}"));
                    continue;
                }
            };
            let (before, _) = suffixes.split_at(index);
            let others = before.iter().map(|dn| (dn, "")).chain(
                known
                    .contexts
                    .iter()
                    .filter(|dn| !known.is_among(dn, before))
                    .map(|dn| (dn, ", which the folder has,")),
            );
            let entangled = others.into_iter().find(|(other, _)| {
                known.schema.dn_key(other).is_ok_and(|other| {
                    other != key && !other.is_root() && (key.is_within(&other) || other.is_within(&key))
                })
            });
            if let Some((other, whose)) = entangled {
                self.problem(
                    &path,
                    format!("`{suffix}` and `{other}`{whose} stand one below the other; name the upper one alone, or none"),
                );
            }
        }
    }

    /// Names that entries ought to have, and where they are.
    fn names(&self) -> Vec<(String, Dn)> {
        let mut names = Vec::new();
        let mut add = |path: String, text: &str| names.extend(text.parse().ok().map(|dn: Dn| (path, dn)));
        for (rule, config) in self.config.access.iter().flatten().enumerate() {
            let rule = rule + 1;
            for (key, words) in config.to.iter().flat_map(|to| {
                [("entry", &to.entry), ("one", &to.one), ("subtree", &to.subtree), ("children", &to.children)]
            }) {
                // The root DSE and the schema have names that no suffix is in.
                for text in words.0.iter().filter(|text| text.contains(',')) {
                    add(format!("access[{rule}].to.{key}"), text);
                }
            }
            for (line, allow) in config.allow.iter().enumerate() {
                let group =
                    allow.who.strip_prefix("group ").or_else(|| allow.who.strip_prefix("nested-group "));
                if let Some(group) = group {
                    add(format!("access[{rule}].allow[{}]", line + 1), group.trim());
                }
            }
        }
        let policy = self.config.password_policy.iter();
        names.extend(policy.map(|dn| ("password_policy.default".to_owned(), dn.clone())));
        for (number, reader) in self.config.monitor.iter().flatten().enumerate() {
            names.push((format!("monitor.readers[{}]", number + 1), reader.dn.clone()));
        }
        names
    }

    /// The files it names.
    fn look_at_files(&mut self) {
        if let Some(files) = self.config.tls.clone() {
            let mut readable = true;
            let clients =
                files.client_authorities.iter().map(|path| ("client_certificates.authorities", path));
            for (key, path) in
                [("tls.certificate", &files.certificate), ("tls.key", &files.key)].into_iter().chain(clients)
            {
                if let Err(error) = fs::read(path) {
                    readable = false;
                    self.problem(key, unreadable(path, &error));
                }
            }
            if readable && let Err(error) = files.load() {
                self.problem("tls", format!("{error:#}"));
            }
            self.warn_if_open("tls.key", &files.key);
        } else {
            let listen = self.config.listen.iter().enumerate();
            let ldaps: Vec<_> =
                listen.filter(|(_, url)| url.scheme == Scheme::Ldaps).map(|(index, _)| index).collect();
            for index in ldaps {
                self.problem(
                    &format!("listen[{}]", index + 1),
                    "`ldaps` needs `tls.certificate` and `tls.key`, or --tls-cert and --tls-key",
                );
            }
        }
        if let Some(path) = self.config.log.access.clone().filter(|path| path.as_os_str() != "-") {
            self.look_at_log(&path);
        }
    }

    /// Whether the administrator's password is where only the unit of a service manager finds it.
    fn has_password_elsewhere(&self) -> bool {
        let source = self.config.administrator.as_ref().map(|administrator| &administrator.password);
        matches!(source, Some(PasswordSource::Credential(_)))
            && std::env::var_os("CREDENTIALS_DIRECTORY").is_none()
    }

    /// The administrator's password.
    fn look_at_password(&mut self) {
        if let Some(administrator) = self.config.administrator.clone() {
            let key = match &administrator.password {
                PasswordSource::File(path) => {
                    self.warn_if_open("administrator.password_file", path);
                    "administrator.password_file"
                }
                PasswordSource::Environment(_) => "administrator.password_env",
                PasswordSource::Credential(_) => "administrator.password_credential",
            };
            match administrator.password() {
                Ok(password) if password.is_empty() => self.problem(key, "the password is empty"),
                Ok(_) => {}
                Err(error) => self.problem(key, format!("{error:#}")),
            }
        }
    }

    /// Whether access rules let anybody bind with a password: it is easily forgotten, and looks like a wrong password.
    fn look_at_sign_in(&self) {
        let is_password = |name: &String| {
            let names = ["userPassword", "2.5.4.35", "*"];
            name.starts_with('@') || names.iter().any(|one| one.eq_ignore_ascii_case(name))
        };
        let is_about_passwords = |rule: &RuleConfig| {
            let attributes = rule.to.iter().flat_map(|to| &to.attributes.0).collect::<Vec<_>>();
            attributes.is_empty() || attributes.into_iter().any(is_password)
        };
        let lets_bind = |allow: &AllowConfig| {
            let levels = ["auth", "disclose", "compare", "search", "read", "write", "manage"];
            ["anonymous", "anyone"].contains(&allow.who.trim())
                && allow.rights.0.iter().any(|right| levels.contains(&right.trim()))
        };
        let Some(rules) = &self.config.access else { return };
        if !rules.iter().any(|rule| is_about_passwords(rule) && rule.allow.iter().any(lets_bind)) {
            self.warn(
                "access",
                "nobody but the administrator can sign in with a password: no rule about `userPassword` allows `anonymous: auth`",
            );
        }
    }

    /// The file of the access log.
    fn look_at_log(&mut self, path: &Path) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if path.is_dir() {
            self.problem("log.access", format!("`{}` is a folder; name a file", path.display()));
        } else if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            self.problem("log.access", format!("there is no folder `{}`; make it", folder.display()));
        } else if path.exists() {
            if let Err(error) = fs::OpenOptions::new().append(true).open(path) {
                self.problem("log.access", format!("`{}` cannot be written: {error}", path.display()));
            }
        } else if let Err(error) = access(folder.unwrap_or_else(|| Path::new(".")), AccessFlags::W_OK) {
            self.problem("log.access", format!("`{}` cannot be made: {}", path.display(), error.desc()));
        }
    }

    /// Warns of a secret that everybody on the machine can read.
    fn warn_if_open(&self, key: &str, path: &Path) {
        let mode = fs::metadata(path).map(|file| file.permissions().mode() & 0o777);
        if let Ok(mode) = mode
            && mode & 0o004 != 0
        {
            let path = path.display();
            self.warn(
                key,
                format!("everybody on this machine can read `{path}` (mode {mode:04o}); make it 0600"),
            );
        }
    }
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    format!("`{}` cannot be read: {error}", path.display())
}

impl Known {
    fn of_store(store: &Store, names: &[Dn]) -> Self {
        let schema = Arc::new(store.with_schema(Schema::clone));
        // What cannot be looked up is not said to be missing.
        let missing =
            names.iter().filter(|dn| store.has_entry(dn).is_ok_and(|found| !found)).cloned().collect();
        let mut contexts = store.naming_contexts();
        contexts.retain(|dn| store.has_entry(dn).is_ok_and(|found| found));
        Self { schema, contexts, missing, indexes: indexes(store), served: None, closed: None }
    }

    /// Whether a name is one of these, however it is written.
    pub(super) fn is_among(&self, dn: &Dn, others: &[Dn]) -> bool {
        let Ok(key) = self.schema.dn_key(dn) else { return others.contains(dn) };
        others.iter().any(|other| self.schema.dn_key(other).is_ok_and(|other| other == key))
    }

    /// Asks the process that serves the folder, or opens it as it is. Where neither can be, for it is new or damaged, what
    /// the configuration says is all there is; whoever opens it is told why.
    fn of_folder(data: &Data, schema: Schema, names: &[Dn]) -> Self {
        let schema = Arc::new(schema);
        let mut unknown = Self {
            schema: Arc::clone(&schema),
            contexts: Vec::new(),
            missing: Vec::new(),
            indexes: None,
            served: None,
            closed: None,
        };
        if !Store::is_in(&data.data) {
            return unknown;
        }
        let ask = control::Ask::Known(names.iter().map(ToString::to_string).collect());
        if let Ok(Some(answer)) = control::ask_whole(&data.data, &ask) {
            return Self::read(&answer, &schema).unwrap_or(unknown);
        }
        // It knows its own suffixes; whether others go with them is looked at later.
        match Store::open(StoreOptions::folder(&data.data).schema(schema)) {
            Ok(store) => {
                let known = Self::of_store(&store, names);
                store.close();
                known
            }
            Err(error) => {
                unknown.closed = Some(format!("{:#}", anyhow::Error::new(error)));
                unknown
            }
        }
    }

    fn read(answer: &Json, files: &Schema) -> Option<Self> {
        let texts = |key: &str| -> Option<Vec<&str>> {
            answer.get(key)?.as_array()?.iter().map(Json::as_str).collect()
        };
        let names = |key: &str| -> Option<Vec<Dn>> { texts(key)?.iter().map(|dn| dn.parse().ok()).collect() };
        let served = texts("listening")?.iter().map(|url| url.parse().ok()).collect::<Option<_>>()?;
        let index =
            |pair: &Json| Some((pair.get(0)?.as_str()?.to_owned(), pair.get(1)?.as_str()?.parse().ok()?));
        let indexes = answer.get("indexes")?.as_array()?.iter().map(index).collect::<Option<_>>()?;
        let mut attributes = Attributes::builder();
        for key in ["attributeTypes", "objectClasses"] {
            attributes.push(key, texts(key)?);
        }
        let mut builder = files.to_builder();
        builder.add_subschema(attributes.build().as_ref());
        let (schema, _) = builder.build_lenient();
        Some(Self {
            schema: Arc::new(schema),
            contexts: names("contexts")?,
            missing: names("missing")?,
            indexes: Some(indexes),
            served: Some(served),
            closed: None,
        })
    }
}

/// The indexes a directory has or is to have, if that can be told.
fn indexes(store: &Store) -> Option<Vec<(String, IndexKind)>> {
    let mut all = store.index_progress().ok()?;
    all.retain(|index| index.stage != IndexStage::Removing);
    Some(all.into_iter().map(|index| (index.attribute, index.kind)).collect())
}

fn index_config(indexes: &[(String, IndexKind)]) -> IndexConfig {
    let mut kinds: BTreeMap<&str, Vec<IndexKind>> = BTreeMap::new();
    for (attribute, kind) in indexes {
        kinds.entry(attribute).or_default().push(*kind);
    }
    kinds.into_iter().fold(IndexConfig::none(), |config, (attribute, kinds)| config.index(attribute, kinds))
}

/// What the process that serves a directory tells another that looks at a configuration for it.
pub(in super::super) fn known(store: &Store, listening: &[LdapUrl], names: &[String]) -> Json {
    let names: Vec<Dn> = names.iter().filter_map(|name| name.parse().ok()).collect();
    let Known { schema, contexts, missing, indexes, .. } = Known::of_store(store, &names);
    let texts = |dns: Vec<Dn>| dns.iter().map(ToString::to_string).collect::<Vec<_>>();
    json!({
        "attributeTypes": schema.attribute_types().map(ToString::to_string).collect::<Vec<_>>(),
        "objectClasses": schema.object_classes().map(ToString::to_string).collect::<Vec<_>>(),
        "contexts": texts(contexts),
        "missing": texts(missing),
        "indexes": indexes.iter().flatten().map(|(attribute, kind)| [attribute.as_str(), kind.word()]).collect::<Vec<_>>(),
        "listening": listening.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}
