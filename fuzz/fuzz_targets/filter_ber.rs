//! A filter in wire form.

#![no_main]

use bytes::Bytes;
use flext_ldap_proto::{
    ber::{Reader, Writer},
    filter::Filter,
    message::Limits,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    let Ok(filter) = Filter::decode(&mut Reader::new(&bytes), &Limits::DEFAULT) else { return };
    let mut writer = Writer::new();
    filter.encode(&mut writer);
    let again = writer.take();
    assert_eq!(Filter::decode(&mut Reader::new(&again), &Limits::DEFAULT), Ok(filter));
});
