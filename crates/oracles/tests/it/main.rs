//! The oracles of the fuzz targets, on the seeds and on octets from a random generator.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod random;
mod seeds;
