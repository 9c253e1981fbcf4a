//! The client against a scripted server, both ends in one test: no real directory, no time that passes by itself.

mod answers;
mod binds;
mod cancel;
mod deadlines;
mod endings;
mod hostile;
mod opening;
mod support;
mod tls;
mod unread;
mod writes;
