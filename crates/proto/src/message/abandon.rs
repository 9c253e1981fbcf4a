//! `AbandonRequest` (RFC 4511 §4.11).
