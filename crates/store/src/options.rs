//! How a store is opened: where it lies, what it serves, who may do what, and how much.

use std::{
    fmt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use flext_ldap_directory::AccessPolicy;
use flext_ldap_proto::{dn::Dn, schema::Schema, secret::Secret};

use crate::{
    certificates::CertificateRule,
    clock::TimeSource,
    constraint::{ConstraintOptions, MemberOf, ReferentialIntegrity, UniqueValues},
    credentials::Form,
    index::{IndexConfig, IndexProgress, Listener},
    long_work::LongWork,
    memory,
    ppolicy::{DefaultPasswordPolicy, PasswordQuality, Settings},
    unindexed::Unindexed,
};

/// Where a store keeps its data.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Location {
    /// In this folder, which is made if it is not there. One process at a time.
    Folder(PathBuf),
    /// In memory: gone when the store is closed.
    Memory,
}

/// How a store is opened.
///
/// ```
/// use flext_ldap_store::StoreOptions;
///
/// let options = StoreOptions::memory()
///     .suffix("dc=harbourlane,dc=example".parse()?)
///     .administrator("cn=admin,dc=harbourlane,dc=example".parse()?, "a password".into());
/// # Ok::<(), flext_ldap_proto::dn::DnError>(())
/// ```
#[derive(Clone)]
#[must_use = "give it to `Store::open`"]
pub struct StoreOptions {
    pub(crate) location: Location,
    pub(crate) suffixes: Vec<Dn>,
    pub(crate) schema: SchemaHandle,
    pub(crate) administrator: Option<(Dn, Secret)>,
    pub(crate) peer_administrators: Vec<u32>,
    pub(crate) certificate_rules: Vec<CertificateRule>,
    pub(crate) policy: Arc<dyn AccessPolicy>,
    pub(crate) constraints: ConstraintOptions,
    pub(crate) limits: Limits,
    pub(crate) form: Form,
    pub(crate) ppolicy: Settings,
    pub(crate) time: TimeSource,
    pub(crate) indexes: Option<IndexConfig>,
    pub(crate) index_listener: Listener,
    pub(crate) unindexed: Unindexed,
    pub(crate) slow: Option<Duration>,
    pub(crate) long_work: LongWork,
    pub(crate) verify_pages: bool,
    pub(crate) rebuild: bool,
    pub(crate) in_steps: bool,
}

/// What a store is willing to do for one caller. Administrators are bound by `references`, `renamed`,
/// `kept_inline`, `cache` and the queues only.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Entries one search, or all pages of one together, may return. 10,000 a search; pages are not counted together.
    pub size: u32,
    /// Time one search may work, waiting for its reader not counted. 60 seconds.
    pub time: Duration,
    /// Entries one search may look at. 5,000,000.
    pub lookthrough: u64,
    /// Parts of one filter: assertions and what joins them, whatever it comes in. 10,000; of a persistent search's 1,000 at
    /// most.
    pub filter: usize,
    /// Octets of the attributes of one entry in an answer, when some of them are large; a search that comes to one that
    /// would be larger ends with `adminLimitExceeded`, and administrators' do too. 64 KiB less than the 20 MiB that
    /// clients of this project take in one message.
    pub entry: usize,
    /// Values an attribute may have in the row of its entry; with more, each has a row of its own. 64.
    pub inline_values: usize,
    /// Octets that the values of an attribute may have in the row of its entry. 16 KiB.
    pub inline_octets: usize,
    /// Octets that sorted searches may take together, the lists kept for their next pages included. 64 MiB, of which one
    /// search may take a quarter: some 150,000 entries. Administrators are bound by it too.
    pub sort_memory: usize,
    /// Entries that one tree delete may take. 5,000, whoever asks.
    pub tree_delete: usize,
    /// Persistent searches at the same time; further ones are answered `busy`. 1,000, of which one name, or one address
    /// without a name, may have an eighth. Administrators are bound by it too.
    pub persistent_searches: usize,
    /// Entries that one operation may change because they refer to what it deletes or renames. 10,000, whoever asks.
    pub references: usize,
    /// Names that one operation may change while others refer to any: an entry and all below it. 250,000, whoever asks.
    pub renamed: usize,
    /// Values that one operation may put into entries or remove. 250,000; others who write wait meanwhile.
    /// Administrators and the program itself are not bound by it.
    pub written_values: u64,
    /// Values that may be added to an attribute which is always in the row of its entry: `objectClass`, `ref` and `pwd…`.
    /// 1,000, whoever asks.
    pub kept_inline: usize,
    /// Octets of pages kept in memory. 32 MiB.
    pub cache: usize,
    /// Writes that may wait for the writer; further ones are answered `busy`. 4,096.
    pub write_queue: usize,
    /// Threads that hash and verify passwords, 19 MiB each while they work. 2.
    pub hashing_threads: usize,
    /// Passwords that may wait to be hashed or verified; further ones are answered `busy`. 64.
    pub hashing_queue: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            size: 10_000,
            time: Duration::from_secs(60),
            lookthrough: 5_000_000,
            filter: 10_000,
            entry: (20 << 20) - (64 << 10),
            inline_values: 64,
            inline_octets: 16 << 10,
            sort_memory: 64 << 20,
            tree_delete: 5_000,
            persistent_searches: 1_000,
            references: 10_000,
            renamed: 250_000,
            written_values: 250_000,
            kept_inline: 1_000,
            cache: 32 << 20,
            write_queue: 4096,
            hashing_threads: 2,
            hashing_queue: 64,
        }
    }
}

impl StoreOptions {
    /// A store in `folder`.
    pub fn folder(folder: impl Into<PathBuf>) -> Self {
        Self::at(Location::Folder(folder.into()))
    }

    /// A store in memory.
    pub fn memory() -> Self {
        Self::at(Location::Memory)
    }

    /// A store at `location`, with the standard schema, no suffix, no administrator, and a
    /// [`StandardPolicy`](crate::StandardPolicy).
    pub fn at(location: Location) -> Self {
        Self {
            location,
            suffixes: Vec::new(),
            schema: SchemaHandle::Standard,
            administrator: None,
            peer_administrators: Vec::new(),
            certificate_rules: Vec::new(),
            policy: Arc::new(crate::StandardPolicy::default()),
            constraints: ConstraintOptions::default(),
            limits: Limits::default(),
            form: Form::default(),
            ppolicy: Settings::default(),
            time: TimeSource::default(),
            indexes: None,
            index_listener: Listener::default(),
            unindexed: Unindexed::default(),
            slow: Some(Duration::from_secs(1)),
            long_work: LongWork::default(),
            verify_pages: false,
            rebuild: false,
            in_steps: false,
        }
    }

    /// The same, elsewhere.
    pub(crate) fn located(mut self, location: Location) -> Self {
        self.location = location;
        self
    }

    /// Serves this naming context too. Its entry need not be there yet; it can be added. What a store holds already is
    /// served without being named; where none is named so is what it held before all of it was deleted.
    pub fn suffix(mut self, suffix: Dn) -> Self {
        self.suffixes.push(suffix);
        self
    }

    /// Checks entries by this schema.
    pub fn schema(mut self, schema: Arc<Schema>) -> Self {
        self.schema = SchemaHandle::Shared(schema);
        self
    }

    /// Lets `dn` bind with `password` and do everything. It needs no entry. The password is kept hashed, in memory.
    pub fn administrator(mut self, dn: Dn, password: Secret) -> Self {
        self.administrator = Some((dn, password));
        self
    }

    /// Lets processes of this user that come over a Unix socket act as the administrator by SASL EXTERNAL. Root may
    /// always do so, and who runs this process where the caller says so by this method.
    pub fn peer_administrator(mut self, uid: u32) -> Self {
        self.peer_administrators.push(uid);
        self
    }

    /// Lets those who show a client certificate sign in by SASL EXTERNAL as the entry that this rule finds. Of several rules
    /// the first that finds one decides; without any, nobody signs in so.
    ///
    /// ```
    /// use flext_ldap_store::{CertificateRule, StoreOptions};
    ///
    /// let options = StoreOptions::memory()
    ///     .certificate_rule(CertificateRule::Subject)
    ///     .certificate_rule("mail=mail".parse()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn certificate_rule(mut self, rule: CertificateRule) -> Self {
        self.certificate_rules.push(rule);
        self
    }

    /// Offers SCRAM (SASL), and has passwords that are set from now on kept in the form it needs beside their hash.
    ///
    /// What SCRAM needs is a second way to guess a password for whoever gets hold of the file, and a much cheaper one than
    /// the hash: it is fast arithmetic, without memory to fill. So it is there only for who asks for it. Without this SCRAM is not offered, and
    /// yet taken for passwords that were imported in its form (RFC 5803: `{SCRAM-SHA-256}4096:salt$StoredKey:ServerKey`).
    pub fn scram(mut self) -> Self {
        self.form = Form::HashAndKeys;
        self
    }

    /// Decides about access by this policy. The administrator and the program itself are not asked about.
    pub fn policy(mut self, policy: Arc<dyn AccessPolicy>) -> Self {
        self.policy = policy;
        self
    }

    /// Indexes these attributes in these ways. What the store has otherwise is built or removed while it serves. A store
    /// that is opened without being told keeps the indexes it has.
    pub fn indexes(mut self, indexes: IndexConfig) -> Self {
        self.indexes = Some(indexes);
        self
    }

    /// Tells `listener` how far the building of indexes is, after each step. It is called on the thread that writes, so
    /// it must not wait.
    pub fn index_listener(mut self, listener: impl Fn(&IndexProgress) + Send + Sync + 'static) -> Self {
        self.index_listener = Listener::new(listener);
        self
    }

    /// Does this about searches that no index narrows.
    pub fn unindexed(mut self, unindexed: Unindexed) -> Self {
        self.unindexed = unindexed;
        self
    }

    /// Leaves a warning (target `flext_ldap::slow`) for each search that worked longer than `slow`, with what it asked,
    /// how it was done, and what it looked at. A second, unless this says otherwise.
    pub fn slow(mut self, slow: Duration) -> Self {
        self.slow = Some(slow);
        self
    }

    /// Runs long work by `run`, which calls what it is given once: work on one entry that cannot be done in slices, because
    /// the entry is very large (a group of a million members) or the filter is. It is run in place unless this is called,
    /// and others who are served on the same thread wait. Where the store is asked from the tasks of a tokio runtime of
    /// several threads, `tokio::task::block_in_place` lets them go on.
    ///
    /// ```
    /// use flext_ldap_store::StoreOptions;
    ///
    /// let options = StoreOptions::memory().long_work(|work| tokio::task::block_in_place(work));
    /// ```
    pub fn long_work(mut self, run: impl Fn(&mut dyn FnMut()) + Send + Sync + 'static) -> Self {
        self.long_work = LongWork::new(run);
        self
    }

    /// Leaves no warning for slow searches.
    pub fn without_slow_log(mut self) -> Self {
        self.slow = None;
        self
    }

    /// Has values that name entries follow them when they are renamed, and go with them when they are deleted; with
    /// `None`, they stay as they are. Unless this is called, [`ReferentialIntegrity::default`].
    pub fn referential_integrity(mut self, references: Option<ReferentialIntegrity>) -> Self {
        self.constraints.references = references;
        self
    }

    /// Holds these values to be unique, besides those of other constraints given so.
    pub fn unique(mut self, values: UniqueValues) -> Self {
        self.constraints.unique.push(values);
        self
    }

    /// Computes `memberOf` from these attributes of groups; with `None`, it is an attribute like others. Unless this is
    /// called, [`MemberOf::default`].
    pub fn member_of(mut self, member_of: Option<MemberOf>) -> Self {
        self.constraints.member_of = member_of;
        self
    }

    /// Holds accounts that do not name a policy by `pwdPolicySubentry` to this one: the name of a `pwdPolicy` entry, or a
    /// [`PasswordPolicy`](crate::PasswordPolicy).
    ///
    /// ```
    /// use flext_ldap_store::{PasswordPolicy, StoreOptions};
    ///
    /// let mut rules = PasswordPolicy::default();
    /// (rules.lockout, rules.max_failure) = (true, 5);
    /// let options = StoreOptions::memory().password_policy(rules);
    /// ```
    pub fn password_policy(mut self, policy: impl Into<DefaultPasswordPolicy>) -> Self {
        self.ppolicy.default = policy.into();
        self
    }

    /// Has this decide which new passwords are good enough, where a policy wants them checked. A
    /// [`StandardQuality`](crate::StandardQuality) unless it is called.
    pub fn password_quality(mut self, quality: Arc<dyn PasswordQuality>) -> Self {
        self.ppolicy.quality = quality;
        self
    }

    /// Tells who binds to a locked account that it is locked, if they send the password policy control. Unless it is
    /// called it looks like a wrong password, so that nobody learns by guessing which accounts there are.
    pub fn tell_lockout(mut self) -> Self {
        self.ppolicy.tells_lockout = true;
        self
    }

    /// Takes the time from `now` instead of from the machine: for tests of what happens in a month.
    pub fn clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.time = TimeSource::new(now);
        self
    }

    /// Within these limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// As a load in bulk wants it, by the only one who uses the store: with up to 128 MiB for pages, no more than a quarter
    /// of what is free and no less than the limit says; and with what is loaded stored in steps before the commit that
    /// makes it count. A crash undoes such steps. Where storage fails in one, nothing more is written until the store is
    /// opened again, and entries that were not reported may be there then.
    pub fn for_load(mut self) -> Self {
        const MOST: usize = 128 << 20;
        let free = memory::free().map_or(0, |free| free / 4);
        self.limits.cache = self.limits.cache.max(free.min(MOST));
        self.in_steps = true;
        self
    }

    /// Verifies the checksum of every page when the store is opened. That reads the whole file; it is done anyway after
    /// a stop that was not clean.
    pub fn verify_pages(mut self) -> Self {
        self.verify_pages = true;
        self
    }

    /// Derives the tree, the counts of children and the indexes anew when the store is opened, and whatever else
    /// [`check`](crate::Store::check) says is mended so.
    pub fn rebuild(mut self) -> Self {
        self.rebuild = true;
        self
    }
}

impl fmt::Debug for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreOptions")
            .field("location", &self.location)
            .field("suffixes", &self.suffixes)
            .field("administrator", &self.administrator.as_ref().map(|(dn, _)| dn))
            .field("peer_administrators", &self.peer_administrators)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The standard schema without a copy, or the caller's.
#[derive(Clone)]
pub(crate) enum SchemaHandle {
    Standard,
    Shared(Arc<Schema>),
}

impl SchemaHandle {
    /// Whether it is the same schema, not one that is equal.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Standard, Self::Standard) => true,
            (Self::Shared(one), Self::Shared(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl std::ops::Deref for SchemaHandle {
    type Target = Schema;

    fn deref(&self) -> &Schema {
        match self {
            Self::Standard => Schema::standard(),
            Self::Shared(schema) => schema,
        }
    }
}
