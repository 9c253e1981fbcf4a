//! Singer tap over any directory
