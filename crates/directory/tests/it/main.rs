//! Tests of the seam.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "what fails here fails the test"
)]

mod audit;
mod breaker;
mod health;
mod ladder;
mod layers;
mod metrics;
mod pages;
mod ranges;
mod reply;
mod script;
mod sketches;
mod traces;
