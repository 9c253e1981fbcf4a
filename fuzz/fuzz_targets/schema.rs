//! Schema definitions, as files and as a subschema entry.

#![no_main]

use flext_ldap_oracles::decoder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    decoder::schema(data);
});
