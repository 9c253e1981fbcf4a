//! What callers see when the way to a server fails: our client, pools and sets, through a proxy that spoils what passes, on
//! our directory.
//!
//! Answers are right or errors, soon, and always to whoever asked.

#[cfg(test)]
mod client;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod referrals;
#[cfg(test)]
mod set;
