//! LDIF, read to its end past whatever is wrong, and what was read written and read again.

#![no_main]

use flext_ldap_proto::ldif::{LdifReader, LdifWriter, ReadOptions};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut reader = LdifReader::new(data, ReadOptions::default());
    while let Some(record) = reader.next_record().transpose() {
        let Ok(record) = record else { continue };
        let mut writer = LdifWriter::new(Vec::new());
        writer.record(&record).unwrap();
        let written = writer.into_inner();
        let mut again = LdifReader::new(&written[..], ReadOptions::default());
        assert_eq!(again.next_record().unwrap(), Some(record));
        assert_eq!(again.next_record().unwrap(), None);
    }
});
