//! That what is known of real servers (`Capabilities`) is what those say which are here: the recorded root DSEs of the
//! client's tests came from here, and go out of date here.

use flext_ldap_client::{Capabilities, Connector};
use flext_ldap_directory::{
    Actor, Deadline,
    proto::{
        ldif::{LdifReader, ReadOptions, Record},
        url::LdapUrl,
    },
};
use flext_ldap_lab::{NsSlapd, Samba, Slapd, SlapdOptions, Tool};
use flext_ldap_testkit::TestDirectory;

const LONG: std::time::Duration = std::time::Duration::from_secs(60);

/// What a server says over an unprotected connection.
fn said(url: &LdapUrl) -> Capabilities {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connector = Connector::builder().clear().url(url).build().unwrap();
        let connection = connector.connect().await.unwrap();
        let read = Capabilities::read(&connection, Actor::Service, Deadline::after(LONG)).await;
        connection.close().await;
        read.unwrap()
    })
}

fn recorded(ldif: &str) -> Capabilities {
    let mut reader = LdifReader::new(ldif.as_bytes(), ReadOptions::default());
    let record = reader.next_record().unwrap();
    let Some(Record::Entry(root)) = record else { unreachable!("{record:?} is no entry") };
    Capabilities::of(root.as_ref())
}

/// The same, but for the version and the names of the moment, which are nobody's promise.
fn difference(name: &str, url: &str, ldif: &str) -> Option<String> {
    let said = said(&url.parse().unwrap());
    let shown = || {
        let search = ["-x", "-LLL", "-o", "ldif-wrap=no", "-H", url, "-s", "base", "-b", "", "*", "+"];
        Tool::new("ldapsearch").unwrap().args(search).run().unwrap().success().unwrap()
    };
    let mut wanted = recorded(ldif);
    wanted.vendor.clone_from(&said.vendor);
    wanted.naming_contexts.clone_from(&said.naming_contexts);
    wanted.default_naming_context.clone_from(&said.default_naming_context);
    // Which mechanisms there are depends on what is installed beside the server.
    wanted.sasl_mechanisms.clone_from(&said.sasl_mechanisms);
    (said != wanted).then(|| format!("{name} says\n{}\nwhich is {said:#?}\nand was {wanted:#?}", shown()))
}

#[test]
fn real_servers_are_as_recorded() {
    let openldap = Slapd::start(SlapdOptions::default()).unwrap();
    let ours = TestDirectory::start().unwrap();
    let ds389 = NsSlapd::start().unwrap();
    let samba = Samba::shared().unwrap();
    let servers = [
        ("OpenLDAP", openldap.ldap_url(), include_str!("../../../client/tests/it/root_dse/openldap.ldif")),
        (
            "our server",
            ours.url().to_owned(),
            include_str!("../../../client/tests/it/root_dse/flext_ldap.ldif"),
        ),
        ("389-ds", ds389.ldap_url(), include_str!("../../../client/tests/it/root_dse/ds389.ldif")),
        ("Samba", samba.ldap_url(), include_str!("../../../client/tests/it/root_dse/samba.ldif")),
    ];
    let differences: Vec<_> =
        servers.iter().filter_map(|(name, url, ldif)| difference(name, url, ldif)).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}
