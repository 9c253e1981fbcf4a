//! The conformance suite on real servers, over every transport: what it asks of ours is what another server does.

use flext_ldap_lab::conformance::subjects::{self, Transport};

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
