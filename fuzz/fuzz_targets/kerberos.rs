//! Messages of Kerberos and of SPNEGO, and files of tickets, keys and settings; the first octet says of which.

#![no_main]

use flext_ldap_oracles::kerberos;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    kerberos::messages(data);
});
