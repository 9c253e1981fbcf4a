//! LDIF, read to its end past whatever is wrong.

#![no_main]

use flext_ldap_oracles::decoder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    decoder::ldif(data);
});
