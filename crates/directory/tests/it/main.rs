//! Tests of the seam.

mod ladder;
mod layers;
mod pages;
mod reply;
mod script;
mod sketches;
