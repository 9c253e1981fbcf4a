//! A filter in its string form.

#![no_main]

use flext_ldap_oracles::decoder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    decoder::filter_text(data);
});
