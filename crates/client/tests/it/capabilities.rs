//! What is made of root DSEs. Those of OpenLDAP, 389-ds, Samba and ours are recorded, and compared with the real ones by
//! `crates/lab/tests/it/capabilities.rs`; each of the others says where it was written from.

use flext_ldap_client::{Capabilities, PasswordChange, ServerKind};
use flext_ldap_directory::proto::{
    attribute::Attributes,
    control::{ControlValue as _, ManageDsaIt},
    dn::Dn,
    entry::Entry,
    extended::{Cancel, ExtendedOperation as _},
    ldif::{LdifReader, ReadOptions, Record},
    oid::Oid,
};

const SERVERS: [(ServerKind, &str); 9] = [
    (ServerKind::ActiveDirectory, include_str!("root_dse/active_directory.ldif")),
    (ServerKind::ApacheDs, include_str!("root_dse/apache_ds.ldif")),
    (ServerKind::Ds389, include_str!("root_dse/ds389.ldif")),
    (ServerKind::EDirectory, include_str!("root_dse/edirectory.ldif")),
    (ServerKind::FlextLdap, include_str!("root_dse/flext_ldap.ldif")),
    (ServerKind::FreeIpa, include_str!("root_dse/free_ipa.ldif")),
    (ServerKind::OpenLdap, include_str!("root_dse/openldap.ldif")),
    (ServerKind::Oracle, include_str!("root_dse/oracle.ldif")),
    (ServerKind::Samba, include_str!("root_dse/samba.ldif")),
];

fn of(ldif: &str) -> Capabilities {
    let mut reader = LdifReader::new(ldif.as_bytes(), ReadOptions::default());
    let record = reader.next_record().unwrap();
    let Some(Record::Entry(root)) = record else { unreachable!("{record:?} is no entry") };
    Capabilities::of(root.as_ref())
}

/// The names of what a server can do, in one line.
fn can(server: &Capabilities) -> String {
    let named = [
        ("paged", server.paged),
        ("sort", server.sort),
        ("vlv", server.virtual_list_view),
        ("proxied", server.proxied_authorization),
        ("sync", server.sync),
        ("dirsync", server.dir_sync),
        ("psearch", server.persistent_search),
        ("assertion", server.assertion),
        ("matched", server.matched_values),
        ("preread", server.pre_read),
        ("postread", server.post_read),
        ("treedelete", server.tree_delete),
        ("permissive", server.permissive_modify),
        ("increment", server.increment),
        ("plus", server.all_operational),
        ("ppolicy", server.password_policy),
        ("passmod", server.password_modify),
        ("whoami", server.who_am_i),
        ("starttls", server.start_tls),
        ("cancel", server.cancel),
        ("txn", server.transactions),
        ("inchain", server.in_chain),
        ("tokengroups", server.token_groups),
    ];
    named.iter().filter(|(_, can)| *can).map(|(name, _)| *name).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_kind_is_known_by_its_root_dse() {
    for (kind, ldif) in SERVERS {
        assert_eq!(of(ldif).kind, kind);
    }
}

#[test]
fn what_each_can() {
    use ServerKind::*;
    let table = [
        (ActiveDirectory, "paged sort vlv dirsync treedelete permissive whoami starttls inchain tokengroups"),
        (ApacheDs, "paged sort sync psearch plus ppolicy passmod whoami starttls"),
        (Ds389, "paged sort vlv proxied psearch preread postread plus ppolicy passmod whoami starttls"),
        (EDirectory, "paged sort vlv psearch plus passmod starttls"),
        (
            FlextLdap,
            "paged sort vlv proxied psearch assertion matched preread postread treedelete permissive increment plus \
             ppolicy passmod whoami cancel inchain",
        ),
        (
            FreeIpa,
            "paged sort vlv proxied sync psearch preread postread plus ppolicy passmod whoami starttls",
        ),
        (
            OpenLdap,
            "paged proxied assertion matched preread postread increment plus passmod whoami starttls cancel txn",
        ),
        (
            Oracle,
            "paged sort vlv proxied psearch assertion matched preread postread treedelete increment plus ppolicy \
             passmod whoami starttls cancel",
        ),
        (Samba, "paged sort vlv dirsync treedelete permissive starttls inchain tokengroups"),
    ];
    for ((kind, want), (_, ldif)) in table.into_iter().zip(SERVERS) {
        assert_eq!(can(&of(ldif)), want, "{}", kind.name());
    }
}

#[test]
fn how_each_names_entries_and_changes_passwords() {
    use PasswordChange::{PasswordModify, UnicodePwd};
    use ServerKind::*;
    let table = [
        (ActiveDirectory, "objectGUID", UnicodePwd, Some(1_000)),
        (ApacheDs, "entryUUID", PasswordModify, None),
        (Ds389, "nsUniqueId", PasswordModify, None),
        (EDirectory, "GUID", PasswordModify, None),
        (FlextLdap, "entryUUID", PasswordModify, None),
        (FreeIpa, "nsUniqueId", PasswordModify, None),
        (OpenLdap, "entryUUID", PasswordModify, None),
        (Oracle, "entryUUID", PasswordModify, None),
        (Samba, "objectGUID", UnicodePwd, None),
    ];
    for ((kind, id, change, page), (_, ldif)) in table.into_iter().zip(SERVERS) {
        let server = of(ldif);
        let seen = (server.entry_id, server.password_change, server.max_page_size);
        assert_eq!(seen, (id, change, page), "{}", kind.name());
    }
}

#[test]
fn where_people_and_the_schema_are() {
    let harbourlane: Dn = "dc=harbourlane,dc=example".parse().unwrap();
    for (kind, ldif) in SERVERS {
        let server = of(ldif);
        let default = server.default_naming_context.map(|name| name.as_str().to_ascii_lowercase());
        let want = if kind == ServerKind::EDirectory { "" } else { harbourlane.as_str() };
        assert_eq!(default.as_deref(), Some(want), "{kind:?}");
        assert!(server.schema.is_some_and(|schema| !schema.is_root()), "{kind:?}");
    }
    // The retro changelog puts itself first; what is not the server's own is still but one.
    let changelog = "dn:\nvendorName: 389 Project\ndefaultnamingcontext: cn=changelog\nnamingContexts: cn=changelog\n\
                     namingContexts: dc=harbourlane,dc=example\n";
    assert_eq!(of(changelog).default_naming_context, Some(harbourlane));
    // Of two nobody can tell which.
    let two = of("dn:\nnamingContexts: dc=a\nnamingContexts: dc=b\nnamingContexts: no name\n");
    assert_eq!((two.default_naming_context, two.naming_contexts.len()), (None, 2));
}

#[test]
fn an_unknown_server_is_what_it_says() {
    let server =
        of("dn:\nobjectClass: top\nvendorName: Harbour Lane Instruments\nsupportedControl: no oid\n\
                     supportedControl: 1.2.840.113556.1.4.319\nsupportedExtension: 1.3.6.1.4.1.4203.1.11.3\n\
                     supportedFeatures: 1.3.6.1.1.14\nsupportedSASLMechanisms: scram-sha-256\n");
    assert_eq!(server.kind, ServerKind::Unknown);
    assert_eq!(server.vendor.as_deref(), Some("Harbour Lane Instruments"));
    assert_eq!(can(&server), "paged increment whoami");
    assert_eq!(server.password_change, PasswordChange::UserPassword);
    assert!(server.sasl_mechanisms.contains("SCRAM-SHA-256"));
    assert_eq!(server.schema, None);
    let nothing = Capabilities::of(Entry::new(&Dn::root(), Attributes::builder().build()).as_ref());
    assert_eq!((nothing.kind, can(&nothing).as_str(), nothing.vendor), (ServerKind::Unknown, "", None));
}

#[test]
fn what_has_no_field_can_be_asked_for() {
    let server = of(SERVERS[6].1);
    assert!(server.lists_control(&ManageDsaIt::OID) && server.lists_extension(&Cancel::OID));
    assert!(server.lists_feature(&Oid::from_static("1.3.6.1.4.1.4203.1.5.3")));
    assert!(!server.lists_control(&Cancel::OID));
}

/// Makers have had several names.
#[test]
fn former_names_are_known() {
    let table = [
        ("Novell, Inc.", "LDAP Agent for Novell eDirectory 8.8 SP8", ServerKind::EDirectory),
        ("Micro Focus", "LDAP Agent for Micro Focus eDirectory 9.2", ServerKind::EDirectory),
        ("Sun Microsystems, Inc.", "Sun-Directory-Server/11.1.1.3.0", ServerKind::Oracle),
        ("Oracle Corporation", "Oracle Directory Server Enterprise Edition 11", ServerKind::Oracle),
        ("389 Project", "389-Directory/1.4.3", ServerKind::Ds389),
    ];
    for (name, version, kind) in table {
        assert_eq!(of(&format!("dn:\nvendorName: {name}\nvendorVersion: {version}\n")).kind, kind, "{name}");
    }
    // Before domain levels FreeIPA was known by its operations alone.
    let enrol = "dn:\nvendorName: 389 Project\nsupportedExtension: 2.16.840.1.113730.3.8.10.3\n";
    assert_eq!(of(enrol).kind, ServerKind::FreeIpa);
}

#[test]
fn of_a_root_dse_without_an_end_a_part_is_taken() {
    let contexts: String = (0..12_000).map(|number| format!("namingContexts: dc=a{number}\n")).collect();
    let vendor = "é".repeat(100_000);
    let mechanisms =
        format!("PLAIN\nsupportedSASLMechanisms: {}\nsupportedSASLMechanisms: A B", "X".repeat(21));
    let server = of(&format!(
        "dn:\nobjectClass: top\n{contexts}vendorName: {vendor}\nsupportedSASLMechanisms: {mechanisms}\n"
    ));
    assert_eq!(server.naming_contexts.len(), 10_000);
    assert_eq!(server.vendor, Some("é".repeat(256)));
    assert_eq!(server.sasl_mechanisms.into_iter().collect::<Vec<_>>(), ["PLAIN"]);
}
