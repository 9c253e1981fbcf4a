//! The seam: what answers LDAP operations, and what wraps it
