//! LDAP's language without I/O: BER, messages, controls, names, filters, schema, LDIF, URLs
