//! The value of an extended operation; the first octet says of which.

#![no_main]

use flext_ldap_oracles::control;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    control::extended(data);
});
