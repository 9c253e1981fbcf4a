//! `flext-ldap`: one command line for LDAP directories.
fn main() {}
