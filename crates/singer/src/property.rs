//! Properties: what an attribute is called in a stream and what its values are in JSON.

use flext_ldap_proto::{
    attribute::AttributeDescription,
    schema::{AttributeType, Schema, Syntax},
};
use serde_json::{Value, json};

use crate::{Naming, json::push_text};

/// One property of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Property {
    /// What it is called in messages.
    pub(crate) name: String,
    /// Where its values come from; the entry's name if absent.
    pub(crate) attribute: Option<AttributeDescription>,
    /// What one value is in JSON.
    pub(crate) kind: Kind,
    /// At most one value: no array.
    pub(crate) single: bool,
    /// Part of the key, so always extracted and never null.
    pub(crate) is_key: bool,
    /// Proves who somebody is: extracted only when asked for.
    pub(crate) secret: bool,
}

/// What one value is in JSON.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// A string.
    Text,
    /// A string in base64.
    Binary,
    /// True or false.
    Boolean,
    /// A number.
    Integer,
    /// A `date-time` string.
    Time,
}

/// Attributes whose values prove who somebody is, or help to find out how.
const SECRETS: [&str; 23] = [
    "userPassword",
    "authPassword",
    "unicodePwd",
    "dBCSPwd",
    "lmPwdHistory",
    "ntPwdHistory",
    "supplementalCredentials",
    "krbPrincipalKey",
    "krbExtraData",
    "sambaNTPassword",
    "sambaLMPassword",
    "sambaPasswordHistory",
    "pwdHistory",
    "sambaClearTextPassword",
    "sambaPreviousClearTextPassword",
    "ipaNTHash",
    "passwordHistory",
    "unixUserPassword",
    "msSFU30Password",
    "ms-Mcs-AdmPwd",
    "msLAPS-Password",
    "msDS-ManagedPassword",
    "userPKCS12",
];

impl Property {
    /// The entry's name.
    pub(crate) fn dn() -> Self {
        Self {
            name: "dn".to_owned(),
            attribute: None,
            kind: Kind::Text,
            single: true,
            is_key: false,
            secret: false,
        }
    }

    /// An attribute, typed by the schema; one the schema does not know is a list of strings.
    pub(crate) fn attribute(attribute: AttributeDescription, schema: &Schema, naming: Naming) -> Self {
        let known = schema.attribute_type(attribute.attribute_type());
        let name = match naming {
            Naming::Ldap => attribute.as_str().to_owned(),
            Naming::SnakeCase => snake_case(attribute.as_str()),
        };
        // By its preferred name where it has one: `2.5.4.35;x-old` is a password too.
        let plain = known.map_or_else(|| attribute.attribute_type(), AttributeType::name);
        let secret = SECRETS.iter().any(|name| name.eq_ignore_ascii_case(plain));
        Self {
            name,
            attribute: Some(attribute),
            kind: known.map_or(Kind::Text, Kind::of),
            single: known.is_some_and(|known| known.single_value),
            is_key: false,
            secret,
        }
    }

    /// The JSON Schema of the property.
    pub(crate) fn json_schema(&self) -> Value {
        let (json_type, format) = match self.kind {
            Kind::Text => ("string", None),
            Kind::Binary => ("string", Some(("contentEncoding", "base64"))),
            Kind::Boolean => ("boolean", None),
            Kind::Integer => ("integer", None),
            Kind::Time => ("string", Some(("format", "date-time"))),
        };
        let mut schema = match (self.single, self.is_key) {
            (true, true) => json!({"type": [json_type]}),
            (true, false) => json!({"type": [json_type, "null"]}),
            (false, _) => json!({"type": ["array", "null"], "items": {"type": [json_type]}}),
        };
        if let Some((keyword, value)) = format {
            let place = if self.single { Some(&mut schema) } else { schema.get_mut("items") };
            if let Some(Value::Object(place)) = place {
                place.insert(keyword.to_owned(), value.into());
            }
        }
        schema
    }

    /// `"name":`, as it stands in a record.
    pub(crate) fn lead(&self) -> Vec<u8> {
        let mut out = Vec::new();
        push_text(&mut out, &self.name);
        out.push(b':');
        out
    }
}

impl Kind {
    fn of(attribute: &AttributeType) -> Self {
        match attribute.syntax.oid() {
            "1.3.6.1.4.1.1466.115.121.1.7" => Self::Boolean,
            "1.3.6.1.4.1.1466.115.121.1.27" | "1.2.840.113556.1.4.906" => Self::Integer,
            "1.3.6.1.4.1.1466.115.121.1.24" => Self::Time,
            // Whether an unknown syntax is text shows in each value.
            _ if attribute.syntax.is_text() || attribute.syntax == Syntax::UNKNOWN => Self::Text,
            _ => Self::Binary,
        }
    }
}

/// `givenName` as `given_name`, `entryUUID` as `entry_uuid`, `sAMAccountName` as `sam_account_name`.
fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len().saturating_add(4));
    let mut characters = name.chars().peekable();
    let mut last = '-';
    // Letters and digits since the start or the last separator.
    let mut run = 0_usize;
    while let Some(character) = characters.next() {
        if !character.is_ascii_alphanumeric() {
            if run > 0 {
                out.push('_');
            }
            run = 0;
            continue;
        }
        // A word starts at a capital after a small letter, and at the last of several capitals. A single small letter
        // before capitals belongs to them.
        let starts_word = character.is_ascii_uppercase()
            && run >= 2
            && (!last.is_ascii_uppercase() || characters.peek().is_some_and(char::is_ascii_lowercase));
        if starts_word {
            out.push('_');
        }
        out.push(character.to_ascii_lowercase());
        last = character;
        run = run.saturating_add(1);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snake_case_names() {
        let table = [
            ("cn", "cn"),
            ("givenName", "given_name"),
            ("telephoneNumber", "telephone_number"),
            ("entryUUID", "entry_uuid"),
            ("objectGUID", "object_guid"),
            ("sAMAccountName", "sam_account_name"),
            ("dNSHostName", "dns_host_name"),
            ("cACertificate", "ca_certificate"),
            ("userPKCS12", "user_pkcs12"),
            ("x500UniqueIdentifier", "x500_unique_identifier"),
            ("msDS-UserPasswordExpiryTimeComputed", "ms_ds_user_password_expiry_time_computed"),
            ("userCertificate;binary", "user_certificate_binary"),
            ("2.5.4.3", "2_5_4_3"),
        ];
        for (name, want) in table {
            assert_eq!(snake_case(name), want);
        }
    }

    #[test]
    fn types_come_from_the_schema() {
        let table = [
            ("entryUUID", Kind::Text, true, false),
            ("cn", Kind::Text, false, false),
            ("displayName", Kind::Text, true, false),
            ("manager", Kind::Text, false, false),
            ("uidNumber", Kind::Integer, true, false),
            ("createTimestamp", Kind::Time, true, false),
            ("hasSubordinates", Kind::Boolean, true, false),
            ("jpegPhoto", Kind::Binary, false, false),
            ("userPassword", Kind::Binary, false, true),
            ("cn;lang-en", Kind::Text, false, false),
            ("2.5.4.35;x-old", Kind::Binary, false, true),
            ("someThingElse", Kind::Text, false, false),
        ];
        for (name, kind, single, secret) in table {
            let property = Property::attribute(name.parse().unwrap(), Schema::standard(), Naming::Ldap);
            assert_eq!((property.kind, property.single, property.secret), (kind, single, secret), "{name}");
        }
    }

    #[test]
    fn json_schemas() {
        let schema = |name: &str| {
            Property::attribute(name.parse().unwrap(), Schema::standard(), Naming::Ldap)
                .json_schema()
                .to_string()
        };
        let table = [
            ("displayName", r#"{"type":["string","null"]}"#),
            ("cn", r#"{"type":["array","null"],"items":{"type":["string"]}}"#),
            ("uidNumber", r#"{"type":["integer","null"]}"#),
            ("hasSubordinates", r#"{"type":["boolean","null"]}"#),
            ("createTimestamp", r#"{"type":["string","null"],"format":"date-time"}"#),
            (
                "jpegPhoto",
                r#"{"type":["array","null"],"items":{"type":["string"],"contentEncoding":"base64"}}"#,
            ),
            ("someThingElse", r#"{"type":["array","null"],"items":{"type":["string"]}}"#),
        ];
        for (name, want) in table {
            assert_eq!(schema(name), want, "{name}");
        }
        let key = Property { is_key: true, ..Property::dn() };
        assert_eq!(key.json_schema().to_string(), r#"{"type":["string"]}"#);
    }
}
