//! The value of a control; the first octet says of which.

#![no_main]

use flext_ldap_oracles::control;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    control::value(data);
});
