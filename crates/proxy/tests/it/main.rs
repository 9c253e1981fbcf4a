//! The proxy's sessions over a scripted upstream, where time is tested, and behind a listener over real directories.

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod directories;
#[cfg(test)]
mod lost;
#[cfg(test)]
mod strangers;
#[cfg(test)]
mod toy;
