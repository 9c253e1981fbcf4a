//! What a collector gets, by a collector that takes it apart.

#[cfg(test)]
mod collector;
#[cfg(test)]
mod export;
#[cfg(test)]
mod stack;
