//! How a test directory is started.

use std::{borrow::Cow, path::PathBuf, sync::Arc};

use flext_ldap_proto::{
    attribute::Attributes,
    dn::Dn,
    entry::Entry,
    ldif::{ChangeRecord, LdifReader, LdifWriter, ReadOptions, Record},
    schema::Schema,
};
use flext_ldap_server::ServerLimits;
use flext_ldap_store::{Limits, StandardPolicy};

use crate::{TestDirectory, TestDirectoryError};

/// The suffix where none is named and no LDIF is given.
const SUFFIX: &str = "dc=harbourlane,dc=example";
/// The administrator's password where none is given.
const PASSWORD: &str = "test administrator";

/// How a test directory will be started. See [`TestDirectory::builder`].
#[derive(Debug, Default)]
#[must_use = "nothing runs before `start`"]
pub struct TestDirectoryBuilder {
    suffix: Option<String>,
    ldif: Option<Ldif>,
    admin: Option<(String, String)>,
    pub(crate) schema: Option<Arc<Schema>>,
    pub(crate) policy: StandardPolicy,
    pub(crate) scram: bool,
    pub(crate) store_limits: Option<Limits>,
    pub(crate) server_limits: ServerLimits,
    pub(crate) tls: bool,
    pub(crate) ldapi: bool,
}

#[derive(Debug)]
enum Ldif {
    Text(String),
    File(PathBuf),
}

/// What a builder comes to.
pub(crate) struct Contents {
    pub(crate) suffix: Dn,
    pub(crate) ldif: String,
    pub(crate) admin_dn: Dn,
    pub(crate) admin_password: String,
}

impl TestDirectoryBuilder {
    /// Serves this suffix. Where it is not named it is the first entry of the LDIF, and without LDIF
    /// `dc=harbourlane,dc=example`.
    pub fn suffix(mut self, suffix: impl Into<String>) -> Self {
        self.suffix = Some(suffix.into());
        self
    }

    /// Loads this LDIF, parents before children. Clear-text passwords in it are hashed, which takes some 30 ms each.
    /// Without LDIF there is the entry of the suffix and nothing else.
    pub fn ldif(mut self, text: impl Into<String>) -> Self {
        self.ldif = Some(Ldif::Text(text.into()));
        self
    }

    /// Loads the LDIF in this file; otherwise as [`ldif`](Self::ldif).
    pub fn ldif_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ldif = Some(Ldif::File(path.into()));
        self
    }

    /// The administrator, who may do everything and needs no entry. `cn=admin` below the suffix unless set.
    pub fn admin(mut self, dn: impl Into<String>, password: impl Into<String>) -> Self {
        self.admin = Some((dn.into(), password.into()));
        self
    }

    /// Checks entries by this schema instead of the standard one.
    pub fn schema(mut self, schema: Arc<Schema>) -> Self {
        self.schema = Some(schema);
        self
    }

    /// Lets those who have not bound read what users read.
    pub fn anonymous_read(mut self) -> Self {
        self.policy = self.policy.anonymous_read();
        self
    }

    /// Offers SCRAM, and keeps what it needs of each password.
    pub fn scram(mut self) -> Self {
        self.scram = true;
        self
    }

    /// What the directory does for one caller: size limits, time limits.
    pub fn store_limits(mut self, limits: Limits) -> Self {
        self.store_limits = Some(limits);
        self
    }

    /// What the listener takes from peers.
    pub fn server_limits(mut self, limits: ServerLimits) -> Self {
        self.server_limits = limits;
        self
    }

    /// Offers StartTLS, and ldaps on a port of its own: see [`TestDirectory::ldaps_url`] and [`TestDirectory::ca_pem`].
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Listens on a Unix socket too: see [`TestDirectory::ldapi_url`]. By SASL EXTERNAL whoever runs the test is the
    /// administrator there.
    pub fn ldapi(mut self) -> Self {
        self.ldapi = true;
        self
    }

    /// Loads and starts. When it returns, clients can connect.
    ///
    /// # Errors
    ///
    /// When a name or the LDIF is wrong, or the system has no port or thread left.
    pub fn start(self) -> Result<TestDirectory, TestDirectoryError> {
        TestDirectory::run(&self)
    }

    pub(crate) fn contents(&self) -> Result<Contents, TestDirectoryError> {
        let given = match &self.ldif {
            Some(Ldif::Text(text)) => Some(Cow::Borrowed(text.as_str())),
            Some(Ldif::File(path)) => {
                let read = |source| TestDirectoryError::Read { path: path.clone(), source };
                Some(Cow::Owned(std::fs::read_to_string(path).map_err(read)?))
            }
            None => None,
        };
        let suffix = match (&self.suffix, &given) {
            (Some(suffix), _) => parse(suffix)?,
            (None, Some(ldif)) => first_name(ldif)?,
            (None, None) => parse(SUFFIX)?,
        };
        let ldif = match given {
            Some(ldif) => ldif.into_owned(),
            None => suffix_entry(&suffix)?,
        };
        let (admin_dn, admin_password) = match &self.admin {
            Some((dn, password)) => (parse(dn)?, password.clone()),
            None => (parse(&format!("cn=admin,{suffix}"))?, PASSWORD.to_owned()),
        };
        Ok(Contents { suffix, ldif, admin_dn, admin_password })
    }
}

fn parse(name: &str) -> Result<Dn, TestDirectoryError> {
    name.parse().map_err(|source| TestDirectoryError::Dn { name: name.to_owned(), source })
}

/// The name of the first entry.
fn first_name(ldif: &str) -> Result<Dn, TestDirectoryError> {
    let mut reader = LdifReader::new(ldif.as_bytes(), ReadOptions::default());
    let name = match reader.next_record()? {
        Some(Record::Entry(entry)) => entry.dn_str().to_owned(),
        Some(Record::Change(_, ChangeRecord::Add(add))) => add.dn.as_str().to_owned(),
        _ => return Err(TestDirectoryError::NoSuffix),
    };
    parse(&name)
}

/// The least entry that can stand at the suffix.
fn suffix_entry(suffix: &Dn) -> Result<String, TestDirectoryError> {
    let none = || TestDirectoryError::SuffixEntry(suffix.to_string());
    let rdn = suffix.rdn().ok_or_else(none)?;
    let ava = rdn.as_ref().avas().next().ok_or_else(none)?;
    let classes = [("dc", "domain"), ("o", "organization"), ("ou", "organizationalUnit"), ("c", "country")];
    let (_, class) = classes
        .into_iter()
        .find(|(attribute, _)| attribute.eq_ignore_ascii_case(ava.attribute_type()))
        .ok_or_else(none)?;
    let mut attributes = Attributes::builder();
    attributes.push("objectClass", [class]);
    attributes.push(ava.attribute_type(), [ava.value()]);
    let mut writer = LdifWriter::new(Vec::new());
    writer.entry(Entry::new(suffix, attributes.build()).as_ref())?;
    String::from_utf8(writer.into_inner()).map_err(|_| none())
}
