//! An answer of a name server to a question for SRV records.

#![no_main]

use flext_ldap_oracles::dns;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    dns::answer(data);
});
