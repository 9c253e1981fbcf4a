//! A distinguished name.

#![no_main]

use flext_ldap_proto::dn::Dn;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(name) = text.parse::<Dn>() else { return };
    assert_eq!(name.to_string().parse(), Ok(name.clone()));
    if let (Some(parent), Some(rdn)) = (name.parent(), name.rdn()) {
        assert_eq!(parent.child(&rdn).depth(), name.depth());
    }
});
