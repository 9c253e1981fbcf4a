//! An LDAP client: one multiplexed connection over TCP, TLS, StartTLS and Unix sockets
