//! Every test that needs a real server or a foreign client. `./test --quick` leaves this binary out.

#[cfg(test)]
mod capabilities;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod ds389;
#[cfg(test)]
mod external;
#[cfg(test)]
mod foreign;
#[cfg(test)]
mod gssapi;
#[cfg(test)]
mod hang;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod judges;
#[cfg(test)]
mod kerberos;
#[cfg(test)]
mod libldap;
#[cfg(test)]
mod parallel;
#[cfg(test)]
mod samba;
#[cfg(test)]
mod sasl;
#[cfg(test)]
mod tap;
