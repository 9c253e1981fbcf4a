//! A configuration of programs (YAML).

#![no_main]

use flext_ldap_oracles::config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    config::text(data);
});
