//! What kind of server it is and what it can do, as its root DSE (RFC 4512 §5.1) tells, and where it does not, as is known
//! of its kind.
//!
//! This is the one place that knows one product from another. Who needs something of a server asks for that thing
//! here, and never who made the server.

use std::collections::BTreeSet;

use flext_ldap_directory::{
    Actor, Deadline, Directory, DirectoryExt, Error, Request,
    proto::{
        control::{
            Assertion, ControlValue, MatchedValues, PagedResults, PasswordPolicyRequest, PermissiveModify,
            PersistentSearch, PostRead, PreRead, ProxiedAuthorization, ServerSideSort, TreeDelete,
            VirtualListView,
        },
        dn::Dn,
        entry::EntryRef,
        extended::{Cancel, ExtendedOperation, PasswordModify, StartTls, WhoAmI},
        filter::Filter,
        message::{Scope, Search},
        oid::Oid,
        schema::Schema,
    },
};

/// What is read of a root DSE. By name, since servers without RFC 3673 do not know `+`, and others give these for `+`
/// only.
const ATTRIBUTES: [&str; 14] = [
    "objectClass",
    "structuralObjectClass",
    "namingContexts",
    "defaultNamingContext",
    "subschemaSubentry",
    "supportedControl",
    "supportedExtension",
    "supportedFeatures",
    "supportedCapabilities",
    "supportedSASLMechanisms",
    "vendorName",
    "vendorVersion",
    IPA,
    OID_VERSION,
];

/// Only FreeIPA's plug-in for 389-ds has this.
const IPA: &str = "ipaTopologyPluginVersion";
/// And only its plug-ins have operations below this; those without domain levels lack the other.
const IPA_OPERATIONS: &str = "2.16.840.1.113730.3.8.10.";

/// Only Oracle Internet Directory has this.
const OID_VERSION: &str = "orclDirectoryVersion";

/// Content synchronisation (RFC 4533).
const SYNC: Oid = Oid::from_static("1.3.6.1.4.1.4203.1.9.1.1");
/// DirSync ([MS-ADTS] 3.1.1.3.4.1.3).
const DIR_SYNC: Oid = Oid::from_static("1.2.840.113556.1.4.841");
/// The start of a transaction (RFC 5805).
const TRANSACTION: Oid = Oid::from_static("1.3.6.1.1.21.1");
/// Modify-increment (RFC 4525).
const INCREMENT: Oid = Oid::from_static("1.3.6.1.1.14");
/// All operational attributes by `+` (RFC 3673).
const ALL_OPERATIONAL: Oid = Oid::from_static("1.3.6.1.4.1.4203.1.5.1");
/// Active Directory, as a domain controller and as the lightweight service ([MS-ADTS] 3.1.1.3.4.3).
const ACTIVE_DIRECTORY: [&str; 2] = ["1.2.840.113556.1.4.800", "1.2.840.113556.1.4.1851"];

/// Values of an attribute that are looked at, and characters of what it calls itself: no server comes near to either.
const MOST_VALUES: usize = 10_000;
const LONGEST_VENDOR: usize = 256;

/// Which product a server is.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum ServerKind {
    /// Microsoft Active Directory, domain controllers and the lightweight service.
    ActiveDirectory,
    /// Apache Directory Server.
    ApacheDs,
    /// 389 Directory Server, and Red Hat's.
    Ds389,
    /// NetIQ (Novell) eDirectory.
    EDirectory,
    /// The directory of this project.
    FlextLdap,
    /// FreeIPA, which is 389-ds with plug-ins.
    FreeIpa,
    /// OpenLDAP's slapd.
    OpenLdap,
    /// Oracle Unified Directory, Internet Directory, and what was Sun's.
    Oracle,
    /// Samba as a domain controller.
    Samba,
    /// Another one: what its root DSE says is all that is known.
    Unknown,
}

impl ServerKind {
    /// What people call it, e.g. `OpenLDAP`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ActiveDirectory => "Active Directory",
            Self::ApacheDs => "ApacheDS",
            Self::Ds389 => "389 Directory Server",
            Self::EDirectory => "eDirectory",
            Self::FlextLdap => "FLEXT-LDAP",
            Self::FreeIpa => "FreeIPA",
            Self::OpenLdap => "OpenLDAP",
            Self::Oracle => "Oracle",
            Self::Samba => "Samba",
            Self::Unknown => "unknown",
        }
    }
}

/// How a password is changed so that the server's rules for passwords apply.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum PasswordChange {
    /// Password Modify (RFC 3062).
    PasswordModify,
    /// Active Directory's: a modify of `unicodePwd`, which deletes the old value and adds the new one, each in quotes
    /// and UTF-16 ([MS-ADTS] 3.1.1.3.1.5.1).
    UnicodePwd,
    /// A modify of `userPassword`.
    UserPassword,
}

/// What is known of a kind and stands in no root DSE, or wrongly.
struct Known {
    kind: ServerKind,
    /// Whether StartTLS is offered though it is not listed.
    hidden_start_tls: bool,
    /// Whether `defaultNamingContext` is where people are.
    default_context_is_right: bool,
    /// Whether `1.2.840.113556.1.4.1941` is there.
    in_chain: bool,
    token_groups: bool,
    /// Entries of one page, unless somebody has changed it.
    max_page_size: Option<u32>,
    unicode_pwd: bool,
    entry_id: &'static str,
    /// Naming contexts that hold the server's own things; besides all that end in `cn=…`.
    own_contexts: &'static [&'static str],
}

/// Of a server nothing is known about.
const NOTHING: Known = Known {
    kind: ServerKind::Unknown,
    hidden_start_tls: false,
    default_context_is_right: true,
    in_chain: false,
    token_groups: false,
    max_page_size: None,
    unicode_pwd: false,
    entry_id: "entryUUID",
    own_contexts: &[],
};

const KNOWN: [Known; 9] = [
    Known {
        kind: ServerKind::ActiveDirectory,
        in_chain: true,
        token_groups: true,
        // MaxPageSize of the default query policy.
        max_page_size: Some(1_000),
        unicode_pwd: true,
        entry_id: "objectGUID",
        ..NOTHING
    },
    Known { kind: ServerKind::ApacheDs, own_contexts: &["ou=system", "ou=schema", "ou=config"], ..NOTHING },
    // With the retro changelog on, `defaultNamingContext` is `cn=changelog`.
    Known { kind: ServerKind::Ds389, default_context_is_right: false, entry_id: "nsUniqueId", ..NOTHING },
    Known { kind: ServerKind::EDirectory, entry_id: "GUID", ..NOTHING },
    Known { kind: ServerKind::FlextLdap, in_chain: true, ..NOTHING },
    Known {
        kind: ServerKind::FreeIpa,
        entry_id: "nsUniqueId",
        // Of its certificate authority.
        own_contexts: &["o=ipaca"],
        ..NOTHING
    },
    Known { kind: ServerKind::OpenLdap, ..NOTHING },
    Known { kind: ServerKind::Oracle, ..NOTHING },
    Known {
        kind: ServerKind::Samba,
        // It lists no extended operation at all.
        hidden_start_tls: true,
        in_chain: true,
        token_groups: true,
        unicode_pwd: true,
        entry_id: "objectGUID",
        ..NOTHING
    },
];

/// What a server can do.
///
/// It holds for the connection it was read on: SASL mechanisms and StartTLS differ with the protection of the way and with
/// who is bound, so read it again after either has changed.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Which product it is.
    pub kind: ServerKind,
    /// Who it says made it, and which version it says it is.
    pub vendor: Option<String>,
    /// The naming contexts it holds, in its order; those that are no names are left out.
    pub naming_contexts: Vec<Dn>,
    /// Where people and groups are: what the server says where that is to be trusted, else the only naming context that
    /// is not the server's own (`cn=changelog`, say), if there is but one.
    pub default_naming_context: Option<Dn>,
    /// Where the schema is (RFC 4512 §4.2).
    pub schema: Option<Dn>,
    /// SASL mechanisms offered on this connection, in capital letters.
    pub sasl_mechanisms: BTreeSet<String>,
    /// Simple paged results (RFC 2696).
    pub paged: bool,
    /// The most entries of one page, where one is known: larger pages are refused, or cut.
    pub max_page_size: Option<u32>,
    /// Server-side sorting (RFC 2891).
    pub sort: bool,
    /// Virtual list views (draft-ietf-ldapext-ldapv3-vlv).
    pub virtual_list_view: bool,
    /// Proxied authorization (RFC 4370).
    pub proxied_authorization: bool,
    /// Content synchronisation (RFC 4533).
    pub sync: bool,
    /// DirSync, Active Directory's way.
    pub dir_sync: bool,
    /// Persistent searches (draft-ietf-ldapext-psearch).
    pub persistent_search: bool,
    /// Assertions (RFC 4528).
    pub assertion: bool,
    /// Matched values (RFC 3876).
    pub matched_values: bool,
    /// The entry before a change (RFC 4527).
    pub pre_read: bool,
    /// The entry after a change (RFC 4527).
    pub post_read: bool,
    /// Deletion of an entry with all below it.
    pub tree_delete: bool,
    /// Changes that are done already are no errors.
    pub permissive_modify: bool,
    /// Adding to a number (RFC 4525).
    pub increment: bool,
    /// `+` for all operational attributes (RFC 3673).
    pub all_operational: bool,
    /// The control by which a server tells of its password policy (draft-behera-ldap-password-policy).
    pub password_policy: bool,
    /// Password Modify (RFC 3062).
    pub password_modify: bool,
    /// How a password is to be changed.
    pub password_change: PasswordChange,
    /// Who am I? (RFC 4532).
    pub who_am_i: bool,
    /// StartTLS (RFC 4511 §4.14).
    pub start_tls: bool,
    /// Cancel (RFC 3909).
    pub cancel: bool,
    /// Transactions (RFC 5805).
    pub transactions: bool,
    /// The matching rule that follows a chain of names, `1.2.840.113556.1.4.1941`: nested groups in one search.
    pub in_chain: bool,
    /// `tokenGroups`: all groups of an entry, nested ones too, as SIDs.
    pub token_groups: bool,
    /// The attribute that names an entry for ever, also after it has moved.
    pub entry_id: &'static str,
    controls: BTreeSet<Oid>,
    extensions: BTreeSet<Oid>,
    features: BTreeSet<Oid>,
}

impl Capabilities {
    /// Reads the root DSE.
    ///
    /// # Errors
    ///
    /// When the server could not answer, or lets this actor read no root DSE ([`ErrorKind::NoEntry`]).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future abandons the search.
    ///
    /// [`ErrorKind::NoEntry`]: flext_ldap_directory::ErrorKind::NoEntry
    pub async fn read(
        directory: &(impl Directory + ?Sized),
        actor: Actor,
        by: Deadline,
    ) -> Result<Self, Error> {
        let search = Search::new(Dn::root(), Scope::Base, Filter::any()).attributes(ATTRIBUTES);
        let root = directory.search_one(Request::new(search, actor).until(by)).await?;
        Ok(Self::of(root.as_ref()))
    }

    /// The naming context that this name is in, if the server holds it. Of contexts within each other it is the inner one.
    #[must_use]
    pub fn context_of(&self, name: &Dn) -> Option<&Dn> {
        let key = |dn: &Dn| Schema::standard().dn_key(dn).ok();
        let name = key(name)?;
        let holds = |context: &&Dn| key(context).is_some_and(|context| name.is_within(&context));
        self.naming_contexts.iter().filter(holds).max_by_key(|context| context.depth())
    }

    /// What a root DSE says.
    #[must_use]
    pub fn of(root: EntryRef<'_>) -> Self {
        let known = known(root);
        let controls = oids(root, "supportedControl");
        let extensions = oids(root, "supportedExtension");
        let features = oids(root, "supportedFeatures");
        let control = |oid: Oid| controls.contains(&oid);
        let extension = |oid: Oid| extensions.contains(&oid);
        let naming_contexts: Vec<Dn> =
            texts(root, "namingContexts").filter_map(|name| name.parse().ok()).collect();
        let default = root.text("defaultNamingContext").and_then(|name| name.parse().ok());
        let vendor = [root.text("vendorName"), root.text("vendorVersion")];
        let vendor: Vec<_> = vendor.into_iter().flatten().collect();
        let password_modify = extension(PasswordModify::OID);
        Self {
            kind: known.kind,
            vendor: Some(vendor.join(" ").chars().take(LONGEST_VENDOR).collect())
                .filter(|vendor: &String| !vendor.is_empty()),
            default_naming_context: default
                .filter(|_| known.default_context_is_right)
                .or_else(|| only(&naming_contexts, known.own_contexts)),
            naming_contexts,
            schema: root.text("subschemaSubentry").and_then(|name| name.parse().ok()),
            sasl_mechanisms: texts(root, "supportedSASLMechanisms")
                .map(str::to_ascii_uppercase)
                .filter(|name| is_mechanism(name))
                .collect(),
            paged: control(PagedResults::OID),
            max_page_size: known.max_page_size,
            sort: control(ServerSideSort::OID),
            virtual_list_view: control(VirtualListView::OID),
            proxied_authorization: control(ProxiedAuthorization::OID),
            sync: control(SYNC),
            dir_sync: control(DIR_SYNC),
            persistent_search: control(PersistentSearch::OID),
            assertion: control(Assertion::OID),
            matched_values: control(MatchedValues::OID),
            pre_read: control(PreRead::OID),
            post_read: control(PostRead::OID),
            tree_delete: control(TreeDelete::OID),
            permissive_modify: control(PermissiveModify::OID),
            increment: features.contains(&INCREMENT),
            all_operational: features.contains(&ALL_OPERATIONAL),
            password_policy: control(PasswordPolicyRequest::OID),
            password_modify,
            password_change: match (known.unicode_pwd, password_modify) {
                (true, _) => PasswordChange::UnicodePwd,
                (false, true) => PasswordChange::PasswordModify,
                (false, false) => PasswordChange::UserPassword,
            },
            who_am_i: extension(WhoAmI::OID),
            start_tls: known.hidden_start_tls || extension(StartTls::OID),
            cancel: extension(Cancel::OID),
            transactions: extension(TRANSACTION),
            in_chain: known.in_chain,
            token_groups: known.token_groups,
            entry_id: known.entry_id,
            controls,
            extensions,
            features,
        }
    }

    /// Whether the server lists a control.
    #[must_use]
    pub fn lists_control(&self, oid: &Oid) -> bool {
        self.controls.contains(oid)
    }

    /// Whether the server lists an extended operation.
    #[must_use]
    pub fn lists_extension(&self, oid: &Oid) -> bool {
        self.extensions.contains(oid)
    }

    /// Whether the server lists a feature (RFC 3674).
    #[must_use]
    pub fn lists_feature(&self, oid: &Oid) -> bool {
        self.features.contains(oid)
    }
}

fn known(root: EntryRef<'_>) -> &'static Known {
    let kind = kind(root);
    KNOWN.iter().find(|known| known.kind == kind).unwrap_or(&NOTHING)
}

fn kind(root: EntryRef<'_>) -> ServerKind {
    let has =
        |attribute: &str, value: &str| texts(root, attribute).any(|seen| seen.eq_ignore_ascii_case(value));
    let vendor = root.text("vendorName").unwrap_or_default().to_ascii_lowercase();
    let version = root.text("vendorVersion").unwrap_or_default().to_ascii_lowercase();
    if ACTIVE_DIRECTORY.iter().any(|oid| has("supportedCapabilities", oid)) {
        return if vendor.contains("samba") { ServerKind::Samba } else { ServerKind::ActiveDirectory };
    }
    if ["objectClass", "structuralObjectClass"].iter().any(|class| has(class, "OpenLDAProotDSE")) {
        return ServerKind::OpenLdap;
    }
    if root.attributes().get(IPA).is_some()
        || texts(root, "supportedExtension").any(|oid| oid.starts_with(IPA_OPERATIONS))
    {
        return ServerKind::FreeIpa;
    }
    if root.attributes().get(OID_VERSION).is_some() {
        return ServerKind::Oracle;
    }
    // What it calls itself comes before who made it: several makers have several.
    const NAMES: [(&str, ServerKind); 8] = [
        ("flext-ldap", ServerKind::FlextLdap),
        ("edirectory", ServerKind::EDirectory),
        ("389", ServerKind::Ds389),
        ("oracle", ServerKind::Oracle),
        ("sun microsystems", ServerKind::Oracle),
        ("apache software foundation", ServerKind::ApacheDs),
        ("netiq", ServerKind::EDirectory),
        ("novell", ServerKind::EDirectory),
    ];
    let named = NAMES.iter().find(|(name, _)| vendor.starts_with(name) || version.contains(name));
    named.map_or(ServerKind::Unknown, |(_, kind)| *kind)
}

/// The naming context that is not the server's own, if there is but one.
fn only(contexts: &[Dn], own: &[&str]) -> Option<Dn> {
    let of_server = |name: &Dn| {
        let mut top = name.rdns().last().into_iter().flat_map(|top| top.avas());
        top.any(|ava| ava.attribute_type().eq_ignore_ascii_case("cn"))
            || own.iter().any(|own| own.eq_ignore_ascii_case(name.as_str()))
    };
    let mut others = contexts.iter().filter(|name| !of_server(name));
    others.next().filter(|_| others.next().is_none()).cloned()
}

fn texts<'a>(root: EntryRef<'a>, attribute: &str) -> impl Iterator<Item = &'a str> {
    let values = root.attributes().get(attribute).map(|attribute| attribute.values());
    values.into_iter().flatten().take(MOST_VALUES).filter_map(|value| std::str::from_utf8(value).ok())
}

/// Whether this is a name that a mechanism can have (RFC 4422 §3.1).
fn is_mechanism(name: &str) -> bool {
    (1..=20).contains(&name.len())
        && name
            .bytes()
            .all(|octet| octet.is_ascii_uppercase() || octet.is_ascii_digit() || b"-_".contains(&octet))
}

fn oids(root: EntryRef<'_>, attribute: &str) -> BTreeSet<Oid> {
    texts(root, attribute).filter_map(|oid| oid.parse().ok()).collect()
}
