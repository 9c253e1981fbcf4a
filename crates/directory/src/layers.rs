//! The layers, one file each.

mod observe;
mod read_only;

pub use self::{
    observe::{Observation, Observe, Observer},
    read_only::ReadOnly,
};
