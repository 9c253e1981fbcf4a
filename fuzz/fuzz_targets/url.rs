//! An LDAP URL.

#![no_main]

use flext_ldap_proto::url::LdapUrl;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(url) = text.parse::<LdapUrl>() else { return };
    assert_eq!(url.to_string().parse(), Ok(url));
});
