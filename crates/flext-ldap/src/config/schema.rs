//! The file as JSON Schema (draft 2020-12), for editors: made of the table of keys, and a little stricter than the reader,
//! which takes a number in quotes too. What keys mean together, it does not say.

use serde_json::{Map, Value, json};

use super::keys::{KEYS, Key, Kind, TOP};

/// The schema of the file.
#[must_use]
pub fn json_schema() -> Value {
    let mut top = keys(KEYS);
    require(&mut top, &["primary_server"]);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "FLEXT-LDAP configuration",
        "type": "object",
        "properties": { TOP: top },
        "required": [TOP],
        "additionalProperties": false,
    })
}

fn require(schema: &mut Value, names: &[&str]) {
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("required".to_owned(), json!(names));
    }
}

/// A map of these keys. As deep as the table.
fn keys(keys: &[Key]) -> Value {
    let properties: Map<_, _> = keys
        .iter()
        .map(|key| {
            let mut schema = kind(&key.kind);
            if let Some(schema) = schema.as_object_mut() {
                schema.insert("description".to_owned(), key.help.into());
                if let Some(default) = key.default {
                    let default = match key.kind {
                        Kind::Flag => (default == "true").into(),
                        Kind::Number(..) => default.parse::<u64>().map_or(Value::Null, Into::into),
                        Kind::Share => default.parse::<f64>().map_or(Value::Null, Into::into),
                        _ => default.into(),
                    };
                    schema.insert("default".to_owned(), default);
                }
            }
            (key.name.to_owned(), schema)
        })
        .collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn kind(kind: &Kind) -> Value {
    match kind {
        Kind::Map(below) => keys(below),
        Kind::List(below) => json!({ "type": "array", "items": keys(below) }),
        Kind::Named(below) => json!({
            "type": "object",
            "propertyNames": { "pattern": "^[A-Za-z0-9-]+(_[A-Za-z0-9-]+)*$" },
            "additionalProperties": keys(below),
        }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Text | Kind::File | Kind::Dn => json!({ "type": "string", "minLength": 1 }),
        Kind::Host => json!({ "type": "string", "minLength": 1, "pattern": "^[^/@%\\s]+$" }),
        Kind::Url => json!({ "type": "string", "pattern": "^[Ll][Dd][Aa][Pp][SsIi]?://" }),
        Kind::Urls => json!({ "type": "string", "pattern": "^[Ll][Dd][Aa][Pp][SsIi]?://" }),
        Kind::Address => json!({
            "anyOf": [
                { "type": "integer", "minimum": 0, "maximum": 65_535 },
                { "type": "string", "minLength": 1 },
            ],
        }),
        Kind::Variable => json!({ "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$" }),
        Kind::Credential => json!({ "type": "string", "pattern": "^[^/]+$" }),
        Kind::Time => json!({
            "anyOf": [
                { "type": "integer", "minimum": 1 },
                { "type": "string", "pattern": "^0*[1-9][0-9]* ?(ms|s|m|h|d)?$" },
            ],
        }),
        Kind::Number(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Share => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        Kind::Word(words) => {
            let upper = words.iter().map(|word| word.to_ascii_uppercase());
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).chain(upper).collect();
            json!({ "enum": words })
        }
        Kind::Version => json!({ "type": "string", "pattern": "^[0-9]+\\.[0-9]+\\.[0-9]+$" }),
    }
}
