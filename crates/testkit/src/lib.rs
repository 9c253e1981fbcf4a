//! An LDAP directory inside a test: one line, port 0, milliseconds

pub mod company;
