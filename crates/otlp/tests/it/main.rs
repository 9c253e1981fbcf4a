//! What a collector gets, by a collector that takes it apart.

mod collector;
mod export;
mod stack;
