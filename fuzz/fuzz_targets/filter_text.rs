//! A filter in its string form.

#![no_main]

use flext_ldap_proto::filter::Filter;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(filter) = text.parse::<Filter>() else { return };
    assert_eq!(filter.to_string().parse(), Ok(filter));
});
