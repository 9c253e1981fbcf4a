//! The programs as their users meet them: arguments, standard output, standard error, exit code.

#[cfg(test)]
mod access;
#[cfg(test)]
mod arguments;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod care;
#[cfg(test)]
mod changes;
#[cfg(test)]
mod client_config;
#[cfg(test)]
#[path = "../../../otlp/tests/it/collector.rs"]
#[expect(dead_code, reason = "the tests of the exporter ask more of it")]
mod collector;
#[cfg(test)]
mod config;
#[cfg(test)]
mod controls;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod extract;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod operation;
#[cfg(test)]
mod ping;
#[cfg(test)]
mod ppolicy;
#[cfg(test)]
mod program;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod ranges;
#[cfg(test)]
mod sasl;
#[cfg(test)]
mod search;
#[cfg(test)]
mod serve;
#[cfg(test)]
mod tap;
#[cfg(test)]
mod traces;
