//! The store's answers to searches against a plain list's; the octets choose.

#![no_main]

use flext_ldap_oracles::search;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    search::case(data);
});
