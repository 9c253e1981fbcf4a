//! Bounds how long anybody waits for an answer.

use std::time::Duration;

use super::watch::waits_for_changes;
use crate::{Deadline, Directory, Layer, Reply, Request};

/// Gives operations this long at most, whatever they ask for; those that ask for less have less. A search that waits for
/// changes is left alone.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "it is one time")]
pub struct TimeLimit(pub Duration);

impl Layer for TimeLimit {
    fn call(&self, mut request: Request, next: &dyn Directory) -> Reply {
        if !waits_for_changes(&request) {
            request.deadline = request.deadline.earlier(Deadline::after(self.0));
        }
        next.call(request)
    }
}
