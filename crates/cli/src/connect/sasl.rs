//! Signing in by SASL: -Y, -U, -R, -X and -O, as OpenLDAP's tools have them.

use flext_ldap_client::{Kerberos, Mechanism, Sasl, Strength};

use super::Connect;
use crate::{conf::Conf, exit::Usage};

/// What SASL must be (`-O`). Layers are those of Kerberos; of the other mechanisms, strength is that of TLS.
#[derive(Clone, Copy, Debug)]
pub(super) struct Properties {
    /// No password as it is, whatever protects the way.
    no_plain: bool,
    /// How strong the layer must be, and may be.
    strength: Strength,
}

impl Default for Properties {
    fn default() -> Self {
        Self { no_plain: false, strength: Strength::ANY }
    }
}

impl Connect {
    /// Whether something asks for SASL.
    pub(super) fn asks_for_sasl(&self, conf: &Conf) -> bool {
        self.mechanism.is_some() || self.sasl_user.is_some() || conf.get("SASL_MECH").is_some()
    }

    pub(super) fn sasl(&self, conf: &Conf) -> anyhow::Result<Sasl> {
        let by_conf = || {
            let name = conf.get("SASL_MECH")?;
            Some(
                mechanism(name)
                    .map_err(|error| Usage(format!("SASL_MECH of ldap.conf is `{name}`: {error}"))),
            )
        };
        let mechanism = match (self.mechanism, &self.sasl_user) {
            (Some(mechanism), _) => Some(mechanism),
            (None, _) => by_conf().transpose()?,
        };
        let mut sasl = match mechanism {
            Some(Mechanism::External) => Sasl::external(),
            Some(mechanism @ (Mechanism::Gssapi | Mechanism::GssSpnego)) => {
                Sasl::kerberos(self.kerberos()?).only(mechanism)
            }
            _ => {
                let user = match (&self.sasl_user, mechanism) {
                    (Some(user), _) => user.clone(),
                    (None, Some(Mechanism::OauthBearer)) => String::new(),
                    (None, _) => return Err(Usage("-Y needs a user: -U".to_owned()).into()),
                };
                let password = match self.given_password()? {
                    Some(password) => password,
                    None => super::ask_password("SASL password: ", "-y")?,
                };
                let sasl = Sasl::password(user, password);
                match mechanism {
                    Some(mechanism) => sasl.only(mechanism),
                    None => sasl,
                }
            }
        };
        if let Some(realm) = self.realm.as_ref().filter(|_| mechanism == Some(Mechanism::DigestMd5)) {
            sasl = sasl.realm(realm);
        }
        if let Some(authorization) = &self.authzid {
            sasl = sasl.acting_for(authorization);
        }
        let properties = self.properties.unwrap_or_default();
        if properties.no_plain {
            sasl = sasl.never_showing_password();
        }
        if mechanism.is_some_and(Mechanism::is_kerberos) {
            sasl = sasl.strength(properties.strength);
        } else if properties.strength.least > 0 {
            sasl = sasl.guarded();
        }
        Ok(sasl)
    }

    /// Who to be by Kerberos: whoever has signed in on this machine, or by a password whoever -U says.
    fn kerberos(&self) -> anyhow::Result<Kerberos> {
        let principal = match (&self.sasl_user, &self.realm) {
            (Some(user), Some(realm)) if !user.contains('@') => Some(format!("{user}@{realm}")),
            (user, _) => user.clone(),
        };
        Ok(match (principal, self.given_password()?) {
            (Some(principal), Some(password)) => Kerberos::password(principal, password),
            (Some(principal), None) => Kerberos::cached().principal(principal),
            (None, None) => Kerberos::cached(),
            (None, Some(_)) => return Err(Usage("a password needs a user: -U".to_owned()).into()),
        })
    }
}

/// A mechanism by its name.
pub(super) fn mechanism(name: &str) -> Result<Mechanism, String> {
    Mechanism::named(name).ok_or_else(|| {
        let known = Mechanism::BY_STRENGTH.into_iter();
        let others = [
            Mechanism::Gssapi,
            Mechanism::GssSpnego,
            Mechanism::External,
            Mechanism::DigestMd5,
            Mechanism::OauthBearer,
        ];
        let names: Vec<_> = known.chain(others).map(Mechanism::name).collect();
        format!("the mechanisms are {}", names.join(", "))
    })
}

/// Properties, with commas between them.
pub(super) fn properties(text: &str) -> Result<Properties, String> {
    let mut properties = Properties::default();
    for one in text.split(',') {
        let number = |text: &str| text.parse::<u32>().map_err(|_| format!("`{one}` has no number"));
        match one.split_once('=') {
            // There are no anonymous mechanisms here.
            None if one == "none" || one == "noanonymous" => {}
            None if one == "noplain" => properties.no_plain = true,
            Some(("minssf", ssf)) => properties.strength.least = number(ssf)?,
            Some(("maxssf", ssf)) => properties.strength.most = number(ssf)?,
            Some(("maxbufsize", ignored)) => {
                number(ignored)?;
            }
            _ => {
                return Err(
                    "the properties are none, noanonymous, noplain, minssf=N, maxssf=N and maxbufsize=N"
                        .to_owned(),
                );
            }
        }
    }
    Ok(properties)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_those_of_the_tools() {
        let read =
            |text| properties(text).map(|one| (one.no_plain, one.strength.least, one.strength.most)).ok();
        let table = [
            ("none", Some((false, 0, u32::MAX))),
            ("noplain", Some((true, 0, u32::MAX))),
            ("noanonymous,noplain,minssf=56", Some((true, 56, u32::MAX))),
            ("minssf=0,maxssf=0", Some((false, 0, 0))),
            ("maxbufsize=65536", Some((false, 0, u32::MAX))),
            ("forwardsec", None),
            ("minssf", None),
            ("minssf=much", None),
            ("", None),
        ];
        for (text, want) in table {
            assert_eq!(read(text), want, "{text}");
        }
    }
}
