//! The listener: LDAP on the wire over any directory
