//! Sets of servers: members that play a script on the paused clock, and a few real ones on the loopback interface.

mod discovery;
mod failing;
mod health;
mod lost;
mod pages;
mod played;
mod real;
mod split;
