//! The catalog: what can be extracted, and of that what is selected.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{TapError, stream::Stream};

/// A Singer catalog.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Catalog {
    /// The streams.
    pub streams: Vec<CatalogStream>,
}

/// One stream of a [`Catalog`].
#[derive(Clone, Debug, Deserialize, Serialize)]
#[non_exhaustive]
pub struct CatalogStream {
    /// What the tap calls it.
    pub tap_stream_id: String,
    /// What messages call it.
    #[serde(default)]
    pub stream: String,
    /// JSON Schema of its records.
    #[serde(default)]
    pub schema: Value,
    /// Facts about the stream and its properties, selection among them.
    #[serde(default)]
    pub metadata: Vec<Metadata>,
    /// What identifies a record.
    #[serde(default)]
    pub key_properties: Vec<String>,
    /// How it is extracted.
    #[serde(default = "full_table")]
    pub replication_method: String,
}

/// Facts about a stream (empty breadcrumb) or one of its properties.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[non_exhaustive]
pub struct Metadata {
    /// `[]` or `["properties", name]`.
    pub breadcrumb: Vec<String>,
    /// `inclusion`, `selected`, `selected-by-default` and more.
    #[serde(default)]
    pub metadata: Map<String, Value>,
}

fn full_table() -> String {
    "FULL_TABLE".to_owned()
}

impl Catalog {
    /// Reads a catalog from JSON.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn from_json(text: &[u8]) -> Result<Self, TapError> {
        serde_json::from_slice(text).map_err(|error| TapError::Catalog(error.to_string()))
    }

    /// The catalog of these streams.
    pub(crate) fn of(streams: &[Stream]) -> Self {
        Self { streams: streams.iter().map(CatalogStream::of).collect() }
    }

    pub(crate) fn stream(&self, name: &str) -> Option<&CatalogStream> {
        self.streams.iter().find(|stream| stream.tap_stream_id == name)
    }
}

impl CatalogStream {
    fn of(stream: &Stream) -> Self {
        let key = stream.key().to_owned();
        let root = json!({
            "inclusion": "available",
            "selected": true,
            "selected-by-default": true,
            "table-key-properties": [key],
            "valid-replication-keys": [],
            "forced-replication-method": "FULL_TABLE",
        });
        let mut metadata = vec![Metadata::new(Vec::new(), root)];
        metadata.extend(stream.properties.iter().map(|property| {
            let inclusion = if property.is_key { "automatic" } else { "available" };
            Metadata::new(
                vec!["properties".to_owned(), property.name.clone()],
                json!({"inclusion": inclusion, "selected-by-default": !property.secret}),
            )
        }));
        Self {
            tap_stream_id: stream.name.clone(),
            stream: stream.name.clone(),
            schema: Stream::json_schema(&stream.properties),
            metadata,
            key_properties: vec![key],
            replication_method: full_table(),
        }
    }

    /// Whether the stream is to be extracted. Without a word on that it is.
    pub(crate) fn is_selected(&self) -> bool {
        self.metadata.is_empty() || self.root_says()
    }

    /// Whether a property is to be extracted, where that is said. Keys always are, whatever this says.
    pub(crate) fn says(&self, property: &str) -> Option<bool> {
        let own = self.metadata.iter().find(|metadata| {
            matches!(&metadata.breadcrumb[..], [properties, name] if properties == "properties" && name == property)
        });
        match own.map(|own| own.inclusion()) {
            Some(Some("unsupported")) => Some(false),
            Some(Some("automatic")) => Some(true),
            _ => own.and_then(Metadata::says),
        }
    }

    /// The properties spoken about.
    pub(crate) fn mentioned(&self) -> impl Iterator<Item = &str> {
        self.metadata.iter().filter_map(|metadata| match &metadata.breadcrumb[..] {
            [properties, name] if properties == "properties" => Some(name.as_str()),
            _ => None,
        })
    }

    fn root_says(&self) -> bool {
        let root = self.metadata.iter().find(|metadata| metadata.breadcrumb.is_empty());
        root.and_then(Metadata::says).unwrap_or(false)
    }
}

impl Metadata {
    fn new(breadcrumb: Vec<String>, facts: Value) -> Self {
        let metadata = if let Value::Object(facts) = facts { facts } else { Map::new() };
        Self { breadcrumb, metadata }
    }

    fn inclusion(&self) -> Option<&str> {
        self.metadata.get("inclusion").and_then(Value::as_str)
    }

    /// Whether it is selected, where that is said.
    fn says(&self) -> Option<bool> {
        let says = |key| self.metadata.get(key).and_then(Value::as_bool);
        says("selected").or_else(|| says("selected-by-default"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(metadata: &Value) -> CatalogStream {
        serde_json::from_value(json!({"tap_stream_id": "users", "metadata": metadata})).unwrap()
    }

    fn root(facts: &Value) -> Value {
        json!([{"breadcrumb": [], "metadata": facts}])
    }

    #[test]
    fn streams_are_selected() {
        let table = [
            (json!([]), true),
            (root(&json!({})), false),
            (root(&json!({"selected": true})), true),
            (root(&json!({"selected": false, "selected-by-default": true})), false),
            (root(&json!({"selected-by-default": true})), true),
            (root(&json!({"selected": null, "selected-by-default": true})), true),
            (json!([{"breadcrumb": ["properties", "cn"], "metadata": {"selected": true}}]), false),
        ];
        for (metadata, want) in table {
            assert_eq!(stream(&metadata).is_selected(), want, "{metadata}");
        }
    }

    #[test]
    fn properties_are_selected() {
        let table = [
            (json!({"selected": true}), Some(true)),
            (json!({"selected": false}), Some(false)),
            (json!({"selected": false, "inclusion": "automatic"}), Some(true)),
            (json!({"selected": true, "inclusion": "unsupported"}), Some(false)),
            (json!({"inclusion": "available", "selected-by-default": false}), Some(false)),
            (json!({"inclusion": "available", "selected-by-default": false, "selected": true}), Some(true)),
            (json!({"inclusion": "available"}), None),
        ];
        for (facts, want) in table {
            let stream = stream(&json!([
                {"breadcrumb": [], "metadata": {"selected": true}},
                {"breadcrumb": ["properties", "cn"], "metadata": facts},
            ]));
            assert_eq!(stream.says("cn"), want, "{facts}");
            assert_eq!(stream.says("sn"), None, "not spoken about");
        }
        assert_eq!(stream(&json!([])).says("cn"), None);
    }
}
