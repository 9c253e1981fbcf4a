//! Foreign clients at our directory: they do what people do with them, over every transport, and see what they see
//! at slapd, where each script runs too.

mod python;
mod target;
mod tools;
