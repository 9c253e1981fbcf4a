//! Foreign clients at our directory: they do what people do with them, over every transport, and see what they see
//! at slapd, where each script runs too. And programs that sign people in through our directory: what they ask, and
//! whom they let in.

mod httpd;
mod ldapts;
mod postgresql;
mod python;
mod sign_in;
mod target;
mod tools;
