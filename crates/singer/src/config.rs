//! What the tap is told.

use std::{fmt, path::PathBuf, time::Duration};

use flext_ldap_proto::{dn::Dn, filter::Filter, message::Scope, secret::Secret};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};

/// The tap's settings, one JSON object. A setting that is not known is refused: it is a misspelt one.
///
/// The library itself connects to nothing; what says where and as whom is for the program around it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Where the directory is: `ldap://`, `ldaps://` or `ldapi://`.
    pub url: String,
    /// Whether TLS is started on an `ldap://` connection.
    #[serde(default)]
    pub start_tls: bool,
    /// Certificates in PEM to trust instead of the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Whom to bind as; anonymous if absent.
    #[serde(default)]
    pub bind_dn: Option<String>,
    /// The password to bind with.
    #[serde(default, deserialize_with = "secret")]
    pub bind_password: Option<Secret>,
    /// Where streams start that do not say; the directory's naming context if absent.
    #[serde(default, deserialize_with = "parsed_option")]
    pub base: Option<Dn>,
    /// Entries of one page, where the directory offers paging: 1 to 2,147,483,647.
    #[serde(default = "default_page_size", deserialize_with = "page_size")]
    pub page_size: u32,
    /// How long to wait for the directory with each page of a search, in seconds; at least 1.
    #[serde(default = "default_timeout", deserialize_with = "seconds")]
    pub timeout: Duration,
    /// How properties are named.
    #[serde(default)]
    pub attribute_naming: Naming,
    /// The property that identifies a record; found out from the schema if absent.
    #[serde(default)]
    pub key_attribute: Option<String>,
    /// What to extract; users and groups if absent.
    #[serde(default)]
    pub streams: Option<Vec<StreamConfig>>,
}

/// How properties are named.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Naming {
    /// As the directory's schema spells them: `givenName`.
    #[default]
    Ldap,
    /// In lower case with underscores: `given_name`.
    SnakeCase,
}

/// One stream.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct StreamConfig {
    /// What the stream is called.
    pub name: String,
    /// Where to start.
    #[serde(default, deserialize_with = "parsed_option")]
    pub base: Option<Dn>,
    /// How far to go: `base`, `one`, `sub`, `children`.
    #[serde(default = "default_scope", deserialize_with = "scope")]
    pub scope: Scope,
    /// Which entries. With `object_classes` both must hold.
    #[serde(default, deserialize_with = "parsed_option")]
    pub filter: Option<Filter>,
    /// Entries of any of these classes; their attributes are the properties.
    #[serde(default, alias = "object_class", deserialize_with = "one_or_many")]
    pub object_classes: Vec<String>,
    /// The properties, if not all attributes of the classes.
    #[serde(default)]
    pub attributes: Option<Vec<String>>,
}

/// Settings that cannot be used.
#[derive(Debug)]
pub struct ConfigError(serde_json::Error);

impl Config {
    /// The settings of a directory at `url`, all others as if absent.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            start_tls: false,
            ca_file: None,
            bind_dn: None,
            bind_password: None,
            base: None,
            page_size: default_page_size(),
            timeout: default_timeout(),
            attribute_naming: Naming::default(),
            key_attribute: None,
            streams: None,
        }
    }

    /// Reads settings from a JSON object.
    ///
    /// # Errors
    ///
    /// When one is missing, not known, or not what it should be.
    pub fn from_json(settings: Map<String, Value>) -> Result<Self, ConfigError> {
        serde_json::from_value(Value::Object(settings)).map_err(ConfigError)
    }

    /// A setting from the text of an environment variable: a string where the setting is one, JSON elsewhere.
    #[must_use]
    pub fn value_from_text(setting: &str, text: &str) -> Value {
        const TEXTS: [&str; 7] =
            ["url", "ca_file", "bind_dn", "bind_password", "base", "attribute_naming", "key_attribute"];
        if TEXTS.contains(&setting) {
            return Value::String(text.to_owned());
        }
        serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
    }

    /// The names of the settings.
    #[must_use]
    pub const fn settings() -> &'static [&'static str] {
        &[
            "url",
            "start_tls",
            "ca_file",
            "bind_dn",
            "bind_password",
            "base",
            "page_size",
            "timeout",
            "attribute_naming",
            "key_attribute",
            "streams",
        ]
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration cannot be used: {}", self.0)
    }
}

impl std::error::Error for ConfigError {}

const fn default_page_size() -> u32 {
    1000
}

const fn default_timeout() -> Duration {
    Duration::from_secs(300)
}

const fn default_scope() -> Scope {
    Scope::Subtree
}

/// A page of no entries would be asked for for ever, and one above `maxInt` (RFC 4511 §4.1.1) is refused by servers.
fn page_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    match u32::deserialize(deserializer)? {
        size @ 1..=0x7fff_ffff => Ok(size),
        _ => Err(de::Error::custom("`page_size` must be between 1 and 2147483647")),
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    match u32::deserialize(deserializer)? {
        0 => Err(de::Error::custom("`timeout` must be at least 1 second")),
        seconds => Ok(Duration::from_secs(seconds.into())),
    }
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    // The message of the usual error quotes what it found.
    let value = Value::deserialize(deserializer)?;
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(Secret::new(text.into_bytes()))),
        _ => Err(de::Error::custom("`bind_password` must be a string")),
    }
}

fn parsed_option<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: fmt::Display>,
{
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(|error| de::Error::custom(format_args!("`{text}` is {error}"))))
        .transpose()
}

fn scope<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Scope, D::Error> {
    match String::deserialize(deserializer)?.to_ascii_lowercase().as_str() {
        "base" => Ok(Scope::Base),
        "one" | "onelevel" => Ok(Scope::One),
        "sub" | "subtree" => Ok(Scope::Subtree),
        "children" => Ok(Scope::Children),
        other => Err(de::Error::unknown_variant(other, &["base", "one", "sub", "children"])),
    }
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(one) => Ok(vec![one]),
        many => serde_json::from_value(many).map_err(de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(settings: &Value) -> Result<Config, String> {
        Config::from_json(settings.as_object().unwrap().clone()).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults() {
        let config = read(&json!({"url": "ldap://localhost"})).unwrap();
        assert_eq!(
            (config.page_size, config.timeout, config.attribute_naming),
            (1000, Duration::from_secs(300), Naming::Ldap)
        );
        assert!(config.streams.is_none() && config.bind_dn.is_none() && config.base.is_none());
        assert_eq!(format!("{config:?}"), format!("{:?}", Config::new("ldap://localhost")));
    }

    #[test]
    fn streams() {
        let config = read(&json!({
            "url": "ldap://localhost",
            "attribute_naming": "snake_case",
            "streams": [
                {"name": "people", "object_class": "person", "scope": "one", "filter": "(uid=a*)"},
                {"name": "units", "object_classes": ["organizationalUnit", "locality"], "base": "dc=harbourlane,dc=example"},
            ],
        }))
        .unwrap();
        let [people, units] = &config.streams.unwrap()[..] else { panic!("two streams") };
        assert_eq!((people.scope, &people.object_classes[..]), (Scope::One, &["person".to_owned()][..]));
        assert_eq!(people.filter.as_ref().unwrap().to_string(), "(uid=a*)");
        assert_eq!((units.scope, units.object_classes.len()), (Scope::Subtree, 2));
        assert_eq!(units.base.as_ref().unwrap().as_str(), "dc=harbourlane,dc=example");
    }

    #[test]
    fn mistakes_are_named() {
        let table = [
            (json!({}), "missing field `url`"),
            (json!({"url": "x", "bind_pasword": "y"}), "unknown field `bind_pasword`"),
            (json!({"url": "x", "bind_password": 12345}), "`bind_password` must be a string"),
            (json!({"url": "x", "base": "cn"}), "`cn` is not a distinguished name: expected `=` at offset 2"),
            (json!({"url": "x", "streams": [{"name": "a", "filter": "(cn=a"}]}), "`(cn=a` is not a filter"),
            (json!({"url": "x", "streams": [{"name": "a", "scope": "all"}]}), "unknown variant `all`"),
            (json!({"url": "x", "attribute_naming": "camel"}), "unknown variant `camel`"),
            (json!({"url": "x", "page_size": 0}), "`page_size` must be between 1 and 2147483647"),
            (
                json!({"url": "x", "page_size": 2_147_483_648_u32}),
                "`page_size` must be between 1 and 2147483647",
            ),
            (json!({"url": "x", "timeout": 0}), "`timeout` must be at least 1 second"),
        ];
        for (settings, want) in table {
            let error = read(&settings).unwrap_err();
            assert!(
                error.starts_with("the configuration cannot be used: ") && error.contains(want),
                "{error}"
            );
            assert!(!error.contains("12345"), "{error}");
        }
    }

    #[test]
    fn environment_texts() {
        assert_eq!(Config::value_from_text("bind_password", "123"), json!("123"));
        assert_eq!(Config::value_from_text("page_size", "123"), json!(123));
        assert_eq!(Config::value_from_text("start_tls", "true"), json!(true));
        assert_eq!(Config::value_from_text("streams", r#"[{"name":"a"}]"#), json!([{"name": "a"}]));
        assert_eq!(Config::value_from_text("page_size", "many"), json!("many"));
    }

    #[test]
    fn the_list_of_settings_is_the_truth() {
        for setting in Config::settings() {
            let mut settings = Map::new();
            settings.insert((*setting).to_owned(), json!({"not": "right"}));
            let error = Config::from_json(settings).unwrap_err().to_string();
            assert!(!error.contains("unknown field"), "{error}");
        }
        let error = read(&json!({"?": 1})).unwrap_err();
        assert_eq!(error.matches('`').count() / 2, Config::settings().len() + 1, "{error}");
    }
}
