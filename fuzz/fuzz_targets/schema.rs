//! Schema definitions, as a file and as a subschema entry.

#![no_main]

use flext_ldap_proto::{attribute::AttributesRef, message::Limits, schema::Schema};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut builder = Schema::builder();
    if let Ok(text) = std::str::from_utf8(data) {
        builder.add_openldap(text).add_ldif(text);
    }
    if let Ok(attributes) = AttributesRef::check(data, &Limits::DEFAULT) {
        builder.add_subschema(attributes);
    }
    let _ = builder.build_lenient();
});
