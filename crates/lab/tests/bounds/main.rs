//! What both ends together may cost, in counts: our client on our listener, in front of a directory that makes its
//! answers up as they are asked for, so that all the memory there is belongs to the two ends.

#[cfg(test)]
mod ends;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod synthetic;
