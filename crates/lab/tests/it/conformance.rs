//! The conformance suite on real servers, over every transport: what it asks of ours is what another server does.

use std::collections::BTreeSet;

use flext_ldap_lab::conformance::{
    Server,
    subjects::{self, Transport},
};

flext_ldap_lab::conformance!(slapd_plain: subjects::slapd(Transport::Plain));
flext_ldap_lab::conformance!(slapd_start_tls: subjects::slapd(Transport::StartTls));
flext_ldap_lab::conformance!(slapd_ldaps: subjects::slapd(Transport::Ldaps));
flext_ldap_lab::conformance!(slapd_ldapi: subjects::slapd(Transport::Ldapi));

flext_ldap_lab::conformance!(ns_slapd_plain: subjects::ns_slapd(Transport::Plain));
flext_ldap_lab::conformance!(ns_slapd_start_tls: subjects::ns_slapd(Transport::StartTls));
flext_ldap_lab::conformance!(ns_slapd_ldaps: subjects::ns_slapd(Transport::Ldaps));
flext_ldap_lab::conformance!(ns_slapd_ldapi: subjects::ns_slapd(Transport::Ldapi));

flext_ldap_lab::conformance!(proxied_slapd_plain: subjects::proxied_slapd(Transport::Plain));
flext_ldap_lab::conformance!(proxied_slapd_ldaps: subjects::proxied_slapd(Transport::Ldaps));

// In clear only: the proxy's own way to the server is clear there, and by that 389-ds decides what it does with passwords.
flext_ldap_lab::conformance!(proxied_ns_slapd_plain: subjects::proxied_ns_slapd(Transport::Plain));

flext_ldap_lab::conformance!(proxied_samba_plain: subjects::proxied_samba(Transport::Plain));

// The stack of a configuration, with all its layers.
flext_ldap_lab::conformance!(stacked_slapd: subjects::stacked_slapd());
flext_ldap_lab::conformance!(stacked_ns_slapd: subjects::stacked_ns_slapd());
flext_ldap_lab::conformance!(stacked_samba: subjects::stacked_samba());

flext_ldap_lab::conformance!(samba_plain: async { subjects::samba(Transport::Plain) });
flext_ldap_lab::conformance!(samba_start_tls: async { subjects::samba(Transport::StartTls) });
flext_ldap_lab::conformance!(samba_ldaps: async { subjects::samba(Transport::Ldaps) });

/// Makes a module of tests, of some areas, for each way to sign in, and `SIGNED_IN`, the list of them.
macro_rules! signed_in {
    ($($areas:tt: {$($name:ident: $server:ident by $mechanism:literal over $transport:ident, $strength:expr;)*})*) => {
        $($(flext_ldap_lab::conformance_of!($name $areas:
            subjects::by_sasl(Server::$server, $mechanism, Transport::$transport, $strength));)*)*

        const SIGNED_IN: &[(Server, &str)] = &[$($((Server::$server, $mechanism)),*),*];
    };
}

/// A security layer that seals, one that signs, and none.
const SEALED: u32 = u32::MAX;
const SIGNED: u32 = 1;
const BARE: u32 = 0;

// The areas in which much is said inside what a mechanism protects.
signed_in! {
    [add bind extended modify paging search value]: {
        ours_plain: Embedded by "PLAIN" over Ldaps, BARE;
        ours_scram_sha_256: Embedded by "SCRAM-SHA-256" over Plain, BARE;
        ours_scram_sha_512: Embedded by "SCRAM-SHA-512" over Plain, BARE;
        ours_scram_sha_256_plus: Embedded by "SCRAM-SHA-256-PLUS" over Ldaps, BARE;
        ours_scram_sha_512_plus: Embedded by "SCRAM-SHA-512-PLUS" over StartTls, BARE;
        ours_external_certificate: Embedded by "EXTERNAL" over Ldaps, BARE;
        ours_external_socket: Embedded by "EXTERNAL" over Ldapi, BARE;

        slapd_by_plain: OpenLdap by "PLAIN" over StartTls, BARE;
        slapd_by_digest_md5: OpenLdap by "DIGEST-MD5" over Plain, BARE;
        slapd_by_scram_sha_1: OpenLdap by "SCRAM-SHA-1" over Plain, BARE;
        slapd_by_scram_sha_256: OpenLdap by "SCRAM-SHA-256" over Ldaps, BARE;
        slapd_by_scram_sha_512: OpenLdap by "SCRAM-SHA-512" over Plain, BARE;
        slapd_by_external_certificate: OpenLdap by "EXTERNAL" over Ldaps, BARE;
        slapd_by_external_socket: OpenLdap by "EXTERNAL" over Ldapi, BARE;
        slapd_by_gssapi_sealed: OpenLdap by "GSSAPI" over Plain, SEALED;
        slapd_by_gssapi_signed: OpenLdap by "GSSAPI" over Plain, SIGNED;
        slapd_by_gssapi_in_tls: OpenLdap by "GSSAPI" over Ldaps, BARE;
        slapd_by_gss_spnego_sealed: OpenLdap by "GSS-SPNEGO" over Plain, SEALED;
        slapd_by_gss_spnego_signed: OpenLdap by "GSS-SPNEGO" over Plain, SIGNED;

        samba_by_gssapi_sealed: Samba by "GSSAPI" over Plain, SEALED;
        samba_by_gssapi_signed: Samba by "GSSAPI" over Plain, SIGNED;
        samba_by_gss_spnego_sealed: Samba by "GSS-SPNEGO" over Plain, SEALED;
        samba_by_gss_spnego_signed: Samba by "GSS-SPNEGO" over Plain, SIGNED;
    }

    // Without extended operations: 389-ds takes a malformed change of a password for one whose new password it is to make up,
    // and gives that to the administrator, who is an entry here.
    [add bind modify paging search value]: {
        ns_slapd_by_plain: Ds389 by "PLAIN" over Ldaps, BARE;
        ns_slapd_by_digest_md5: Ds389 by "DIGEST-MD5" over Ldaps, BARE;
        ns_slapd_by_scram_sha_1: Ds389 by "SCRAM-SHA-1" over Ldaps, BARE;
        ns_slapd_by_scram_sha_256: Ds389 by "SCRAM-SHA-256" over Ldaps, BARE;
        ns_slapd_by_scram_sha_512: Ds389 by "SCRAM-SHA-512" over StartTls, BARE;
        ns_slapd_by_external_socket: Ds389 by "EXTERNAL" over Ldapi, BARE;
        ns_slapd_by_gssapi_sealed: Ds389 by "GSSAPI" over Plain, SEALED;
        ns_slapd_by_gss_spnego_sealed: Ds389 by "GSS-SPNEGO" over Plain, SEALED;
    }
}

/// What servers offer and our client does not have, each with why.
const NOT_HAD: &[(&str, &str)] = &[
    ("ANONYMOUS", "nobody is signed in by it"),
    ("CRAM-MD5", "it shows the server's keeper the password, proves no server, and was given up for SCRAM"),
    ("GS2-IAKERB", "Kerberos through the server, for clients that reach no centre"),
    ("GS2-KRB5", "Kerberos without a security layer: GSSAPI does the same, inside TLS too"),
    ("LOGIN", "a password as it is, which was never standardized: PLAIN does the same"),
    ("NTLM", "MD4 and RC4 of a password, which Microsoft itself gives up: Kerberos is there"),
    ("SCRAM-SHA-224", "registered nowhere: SCRAM-SHA-256 is offered wherever it is"),
    ("SCRAM-SHA-384", "registered nowhere: SCRAM-SHA-512 is offered wherever it is"),
];

#[test]
fn no_mechanism_that_a_server_offers_is_left_without_a_run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut left, mut not_had) = (Vec::new(), BTreeSet::new());
        // By one that is there, to begin with.
        for (server, mechanism, transport) in [
            (Server::Embedded, "SCRAM-SHA-256", Transport::Plain),
            (Server::Embedded, "SCRAM-SHA-256", Transport::StartTls),
            (Server::Embedded, "SCRAM-SHA-256", Transport::Ldaps),
            (Server::Embedded, "EXTERNAL", Transport::Ldapi),
            (Server::OpenLdap, "PLAIN", Transport::Plain),
            (Server::OpenLdap, "PLAIN", Transport::Ldaps),
            (Server::OpenLdap, "EXTERNAL", Transport::Ldapi),
            (Server::Ds389, "PLAIN", Transport::Plain),
            (Server::Ds389, "PLAIN", Transport::Ldaps),
            (Server::Ds389, "EXTERNAL", Transport::Ldapi),
            (Server::Samba, "GSSAPI", Transport::Plain),
            (Server::Samba, "GSSAPI", Transport::Ldaps),
        ] {
            let subject = subjects::by_sasl(server, mechanism, transport, BARE).await.unwrap();
            let offered = subjects::offered(&subject).await.unwrap();
            assert!(!offered.is_empty(), "{server:?} offers nothing over {transport:?}");
            let is_run = |name: &String| SIGNED_IN.contains(&(server, name.as_str()));
            for name in offered.into_iter().filter(|name| !is_run(name)) {
                match NOT_HAD.iter().find(|(other, _)| *other == name) {
                    Some((name, _)) => drop(not_had.insert(*name)),
                    None => left.push(format!("{server:?} over {transport:?}: {name}")),
                }
            }
        }
        assert!(left.is_empty(), "{left:#?}");
        assert_eq!(not_had.len(), NOT_HAD.len(), "these only are offered: {not_had:?}");
    });
}
