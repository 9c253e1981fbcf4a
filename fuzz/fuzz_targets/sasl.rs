//! Messages of SASL mechanisms, and certificates; the first octet says of which.

#![no_main]

use flext_ldap_oracles::sasl;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    sasl::messages(data);
});
