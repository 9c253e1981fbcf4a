//! LDIF, read to its end past whatever is wrong.

#![no_main]

use flext_ldap_proto::ldif::{LdifReader, LdifWriter, ReadOptions};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut reader = LdifReader::new(data, ReadOptions::default());
    let mut writer = LdifWriter::new(Vec::new());
    while let Some(record) = reader.next_record().transpose() {
        let _ = record.map(|record| writer.record(&record).unwrap());
    }
});
