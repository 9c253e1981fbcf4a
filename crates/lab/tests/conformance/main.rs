//! The conformance suite on all that is ours: the store, alone and behind our listener and client. `tests/it` runs
//! the same checks on a real slapd.

#[cfg(test)]
mod layers;

use flext_ldap_lab::conformance::subjects::{self, Transport};

flext_ldap_lab::conformance!(store: subjects::store());
flext_ldap_lab::conformance!(plain: subjects::listener(Transport::Plain));
flext_ldap_lab::conformance!(start_tls: subjects::listener(Transport::StartTls));
flext_ldap_lab::conformance!(ldaps: subjects::listener(Transport::Ldaps));
flext_ldap_lab::conformance!(ldapi: subjects::listener(Transport::Ldapi));
flext_ldap_lab::conformance!(every_layer: subjects::layers(Transport::Plain));
flext_ldap_lab::conformance!(stack: subjects::stack());
flext_ldap_lab::conformance!(proxy_plain: subjects::proxied(Transport::Plain));
flext_ldap_lab::conformance!(proxy_start_tls: subjects::proxied(Transport::StartTls));

flext_ldap_lab::conformance_of_each_wrapper!();
