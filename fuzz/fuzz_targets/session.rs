//! A listener's answers against a plain map's; the octets choose.

#![no_main]

use flext_ldap_oracles::session;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    session::case(data);
});
