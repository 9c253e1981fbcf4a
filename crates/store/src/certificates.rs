//! Who a client certificate is: rules from the options, for SASL EXTERNAL inside TLS.

use std::{fmt, str::FromStr};

use flext_ldap_proto::{attribute::AttributeDescription, certificate::CertificateNames};

use crate::{
    context::Context,
    proxied::{Found, by_dn, by_value},
    tables::{Failure, Snapshot},
};

/// How a certificate leads to an entry. Written `subject`, or a name in the certificate and the attribute whose value it
/// is: `subject.cn=uid`, `mail=mail`, `host=cn`, `principal=uid`.
///
/// ```
/// use flext_ldap_store::CertificateRule;
///
/// assert!("subject".parse::<CertificateRule>().is_ok());
/// assert!("mail=mail".parse::<CertificateRule>().is_ok());
/// assert!("serial=uid".parse::<CertificateRule>().is_err());
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CertificateRule {
    /// The entry that has the subject's name.
    Subject,
    /// The one entry with a name of the certificate as a value of an attribute, which needs an equality index.
    Value {
        /// Which name.
        name: CertificateName,
        /// Which attribute.
        attribute: AttributeDescription,
    },
}

/// A name in a certificate.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum CertificateName {
    /// A value of this attribute in the subject.
    Subject(AttributeDescription),
    /// A mail address among the subject's alternative names.
    Mail,
    /// A host name there.
    Host,
    /// A user principal name there.
    Principal,
}

impl CertificateRule {
    /// The entry, if there is one and no other.
    pub(crate) fn find(
        &self,
        context: &Context,
        tables: &Snapshot,
        names: &CertificateNames,
    ) -> Result<Option<Found>, Failure> {
        let (name, attribute) = match self {
            Self::Subject => return by_dn(context, tables, names.subject.as_str()),
            Self::Value { name, attribute } => (name, attribute.as_str()),
        };
        let mut found: Option<Found> = None;
        for value in name.values(context, names) {
            let Some(one) = by_value(context, tables, attribute, &value)? else { continue };
            if found.as_ref().is_some_and(|other| other.1 != one.1) {
                return Ok(None);
            }
            found = Some(one);
        }
        Ok(found)
    }
}

impl CertificateName {
    fn values(&self, context: &Context, names: &CertificateNames) -> Vec<Vec<u8>> {
        let octets = |names: &[String]| names.iter().map(|name| name.clone().into_bytes()).collect();
        match self {
            Self::Mail => octets(&names.mail),
            Self::Host => octets(&names.hosts),
            Self::Principal => octets(&names.principals),
            Self::Subject(attribute) => {
                let wanted = context.preferred(attribute.as_str());
                let avas = names.subject.rdns().flat_map(|rdn| rdn.avas().collect::<Vec<_>>());
                let same = avas.filter(|ava| context.preferred(ava.attribute_type()) == wanted);
                same.map(|ava| ava.value().into_owned()).collect()
            }
        }
    }
}

/// A text that is no rule.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "expected `subject`, or `subject.ATTRIBUTE`, `mail`, `host` or `principal` with `=` and the attribute to look for it in"
)]
pub struct CertificateRuleError(());

impl FromStr for CertificateRule {
    type Err = CertificateRuleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let no_rule = |_| CertificateRuleError(());
        if text == "subject" {
            return Ok(Self::Subject);
        }
        let (name, attribute) = text.split_once('=').ok_or(CertificateRuleError(()))?;
        let name = match name {
            "mail" => CertificateName::Mail,
            "host" => CertificateName::Host,
            "principal" => CertificateName::Principal,
            other => {
                let attribute = other.strip_prefix("subject.").ok_or(CertificateRuleError(()))?;
                CertificateName::Subject(attribute.parse().map_err(no_rule)?)
            }
        };
        Ok(Self::Value { name, attribute: attribute.parse().map_err(no_rule)? })
    }
}

impl fmt::Display for CertificateRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subject => f.write_str("subject"),
            Self::Value { name, attribute } => {
                match name {
                    CertificateName::Subject(attribute) => write!(f, "subject.{}", attribute.as_str())?,
                    CertificateName::Mail => f.write_str("mail")?,
                    CertificateName::Host => f.write_str("host")?,
                    CertificateName::Principal => f.write_str("principal")?,
                }
                write!(f, "={}", attribute.as_str())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_they_are_written() {
        for text in ["subject", "subject.cn=uid", "mail=mail", "host=cn", "principal=uid"] {
            assert_eq!(text.parse::<CertificateRule>().unwrap().to_string(), text);
        }
        for text in
            ["", "Subject", "mail", "mail=", "=mail", "serial=uid", "subject=", "subject.=uid", "mail=a b"]
        {
            assert!(text.parse::<CertificateRule>().is_err(), "{text}");
        }
    }
}
