//! Access rules as they stand in a configuration file. What they mean is settled in [`super::parse`]; here is their
//! shape only, so that whoever reads the file can say where in it something is wrong.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};

/// One access rule as written.
///
/// ```yaml
/// name: passwords
/// to: {attributes: userPassword}
/// allow: [self: write, anonymous: auth]
/// over: [tls, local]
/// ```
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "it is what a file says, and programs write it too")]
pub struct RuleConfig {
    /// What explanations call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is about; everything where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<TargetConfig>,
    /// Who may do what. The first line that names the one who asks counts.
    pub allow: Vec<AllowConfig>,
    /// Over which connections: `tls`, `local`, `clear`. Over others it allows nothing.
    #[serde(default, skip_serializing_if = "Words::is_empty")]
    pub over: Words,
    /// From where: addresses, networks (`10.1.0.0/16`), `unix`. From elsewhere it allows nothing.
    #[serde(default, skip_serializing_if = "Words::is_empty")]
    pub from: Words,
}

/// What a rule is about: places, a filter and attributes. All that is said must fit.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "it is what a file says, and programs write it too")]
pub struct TargetConfig {
    /// These entries.
    #[serde(default, skip_serializing_if = "Words::is_empty")]
    pub entry: Words,
    /// The entries directly below these.
    #[serde(default, skip_serializing_if = "Words::is_empty")]
    pub one: Words,
    /// These entries and all below them.
    #[serde(default, skip_serializing_if = "Words::is_empty")]
    pub subtree: Words,
    /// All entries below these.
    #[serde(default, skip_serializing_if = "Words::is_empty")]
    pub children: Words,
    /// Entries that match this filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Attributes and their subtypes: names, `@class`, `*` (user attributes), `+` (operational ones), and `entry`, the
    /// entry itself. Where nothing is said, all of these.
    #[serde(default, skip_serializing_if = "Words::is_empty")]
    pub attributes: Words,
}

/// One line of `allow`: a requester and their rights, and over which connections.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "it is what a file says, and programs write it too")]
pub struct AllowConfig {
    /// Who: `anyone`, `anonymous`, `users`, `self`, `administrators`, `dn DN`, `one DN`, `subtree DN`, `children DN`,
    /// `group DN`, `nested-group DN`, `attribute NAME`.
    pub who: String,
    /// What: `none`, `auth`, `disclose`, `compare`, `search`, `read`, `write`, `manage`, each with those before it;
    /// `add`, `delete`, `rename`, `add-values`, `delete-values`, `selfwrite`, `proxy`; and `continue`.
    pub rights: Words,
    /// As for the rule; both must hold.
    pub over: Words,
    /// As for the rule; both must hold.
    pub from: Words,
}

/// A word or a list of words.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(transparent)]
#[expect(clippy::exhaustive_structs, reason = "a list is all it is")]
pub struct Words(pub Vec<String>);

impl Words {
    /// Whether nothing was said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Into<String>> FromIterator<T> for Words {
    fn from_iter<I: IntoIterator<Item = T>>(words: I) -> Self {
        Self(words.into_iter().map(Into::into).collect())
    }
}

impl From<&str> for Words {
    fn from(word: &str) -> Self {
        Self(vec![word.to_owned()])
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Words;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a word or a list of words")
            }

            fn visit_str<E>(self, word: &str) -> Result<Words, E> {
                Ok(Words::from(word))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Words, A::Error> {
                let mut words = Vec::new();
                while let Some(word) = list.next_element::<String>()? {
                    words.push(word);
                }
                if words.is_empty() {
                    return Err(A::Error::custom(
                        "the list is empty; leave the key out, or say what is meant",
                    ));
                }
                Ok(Words(words))
            }
        }
        deserializer.deserialize_any(OneOrMany)
    }
}

impl<'de> Deserialize<'de> for AllowConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Line;
        impl<'de> Visitor<'de> for Line {
            type Value = AllowConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a line like `users: read`")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<AllowConfig, E> {
                Err(E::custom(format!(
                    "`{text}` is not a line like `users: read`; between brackets, a name with commas stands in quotes"
                )))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<AllowConfig, A::Error> {
                let mut line = AllowConfig::default();
                let mut named = false;
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "over" => line.over = map.next_value()?,
                        "from" => line.from = map.next_value()?,
                        _ if named => {
                            return Err(A::Error::custom(format!(
                                "one line names one requester: give `{key}` a line of its own, after `{}`",
                                line.who
                            )));
                        }
                        _ => {
                            line.rights = map.next_value()?;
                            line.who = key;
                            named = true;
                        }
                    }
                }
                if !named {
                    return Err(A::Error::custom("the line does not say who; write one like `users: read`"));
                }
                Ok(line)
            }
        }
        deserializer.deserialize_any(Line)
    }
}

impl Serialize for AllowConfig {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(&self.who, &self.rights)?;
        if !self.over.is_empty() {
            map.serialize_entry("over", &self.over)?;
        }
        if !self.from.is_empty() {
            map.serialize_entry("from", &self.from)?;
        }
        map.end()
    }
}
