//! A message of either side.

#![no_main]

use flext_ldap_oracles::decoder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    decoder::message(data);
});
