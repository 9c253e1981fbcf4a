//! The tap: what a directory has, and the extraction of it.

use std::{
    io::Write,
    iter,
    time::{SystemTime, UNIX_EPOCH},
};

use flext_ldap_directory::{
    Actor, Directory, DirectoryExt, Entries, Error, ErrorKind, Request, Session, SessionExt, ranges,
};
use flext_ldap_proto::{
    attribute::Selection,
    batch::Item,
    control::{ControlValue, PagedResults},
    dn::Dn,
    entry::{Entry, EntryRef},
    filter::Filter,
    message::{Scope, Search},
    schema::{Schema, SchemaError},
};
use serde_json::{Map, Value, json};

use crate::{
    Catalog, Config, StreamSummary, Summary, TapError,
    property::Property,
    record::RecordWriter,
    stream::{Stream, streams},
    time::push_rfc3339,
};

/// A tap over a directory whose schema has been read.
pub struct Tap<'d> {
    source: Source<'d>,
    paged: bool,
    schema: Schema,
    schema_errors: Vec<SchemaError>,
    streams: Vec<Stream>,
}

/// Asks the directory.
struct Source<'d> {
    directory: &'d dyn Directory,
    search: Box<dyn Fn(Request<Search>, Option<u32>) -> Entries<'d> + 'd>,
    actor: Actor,
    config: Config,
}

impl<'d> Tap<'d> {
    /// Reads what `directory` says of itself, on behalf of `actor`. Its searches are not paged.
    ///
    /// # Errors
    ///
    /// When the directory cannot be asked, or the configuration does not fit it.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost but the answers.
    pub async fn over<D: Directory>(
        directory: &'d D,
        actor: Actor,
        config: Config,
    ) -> Result<Self, TapError> {
        let search = Box::new(|request, _| directory.search(request));
        Self::discover(Source { directory, search, actor, config }).await
    }

    /// As [`over`](Self::over), on one conversation, where searches are paged if the directory offers that.
    ///
    /// # Errors
    ///
    /// As [`over`](Self::over).
    ///
    /// # Cancel safety
    ///
    /// As [`over`](Self::over).
    pub async fn over_session<S: Session>(
        session: &'d S,
        actor: Actor,
        config: Config,
    ) -> Result<Self, TapError> {
        let search = Box::new(|request, page| match page {
            Some(size) => session.search_pages(request, size),
            None => session.search(request),
        });
        Self::discover(Source { directory: session, search, actor, config }).await
    }

    async fn discover(source: Source<'d>) -> Result<Self, TapError> {
        let wanted = ["namingContexts", "defaultNamingContext", "subschemaSubentry", "supportedControl"];
        let root = source.entry("root DSE", Dn::root(), &wanted).await?;
        let of_schema = root.text("subschemaSubentry").and_then(|dn| dn.parse().ok()).ok_or(
            TapError::Undiscoverable("the directory does not say where its schema is; bind with more rights"),
        )?;
        let wanted = ["attributeTypes", "objectClasses", "matchingRules", "ldapSyntaxes"];
        let subschema = source.entry("schema", of_schema, &wanted).await?;
        let mut builder = Schema::builder();
        builder.add_subschema(subschema.attributes());
        let (schema, schema_errors) = builder.build_lenient();
        let streams = streams(&source.config, &schema, naming_context(&root).as_ref())?;
        let paging = PagedResults::OID;
        let paged = root
            .attributes()
            .get("supportedControl")
            .is_some_and(|controls| controls.values().any(|control| control == paging.as_str().as_bytes()));
        Ok(Self { source, paged, schema, schema_errors, streams })
    }

    /// What can be extracted.
    #[must_use]
    pub fn catalog(&self) -> Catalog {
        Catalog::of(&self.streams)
    }

    /// Definitions of the directory's schema that could not be used. What they define is taken for lists of text.
    #[must_use]
    pub fn schema_errors(&self) -> &[SchemaError] {
        &self.schema_errors
    }

    /// Writes the messages of all streams that `catalog` selects (without one, of all) to `out`: for each its SCHEMA,
    /// its RECORDs and a STATE that says it is complete. `state` is what an earlier run ended with; what it says of
    /// other streams is kept. Memory does not grow with the number of entries.
    ///
    /// # Errors
    ///
    /// When a stream fails. Then no STATE says that it is complete, and the streams after it are not begun.
    ///
    /// # Cancel safety
    ///
    /// Not cancel-safe: when the future is dropped, `out` has the messages of the batches so far.
    pub async fn sync(
        &self,
        catalog: Option<&Catalog>,
        state: Option<Value>,
        mut out: impl Write,
    ) -> Result<Summary, TapError> {
        let mut state = match state {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(state)) => state,
            Some(_) => return Err(TapError::State),
        };
        let own = self.catalog();
        let catalog = catalog.unwrap_or(&own);
        for selected in catalog.streams.iter().filter(|stream| stream.is_selected()) {
            if !self.streams.iter().any(|stream| stream.name == selected.tap_stream_id) {
                let name = &selected.tap_stream_id;
                return Err(TapError::Catalog(format!(
                    "it selects the stream `{name}`, which this configuration does not have"
                )));
            }
        }
        let mut summary = Summary::default();
        let mut messages = Vec::new();
        for stream in &self.streams {
            let Some(entry) = catalog.stream(&stream.name).filter(|entry| entry.is_selected()) else {
                continue;
            };
            let properties: Vec<&Property> = stream
                .properties
                .iter()
                // Without a word on it a property goes with its stream, unless it is a secret.
                .filter(|property| property.is_key || entry.says(&property.name).unwrap_or(!property.secret))
                .collect();
            let mut done = self.stream(stream, &properties, &mut messages, &mut out).await?;
            done.unknown_properties = entry
                .mentioned()
                .filter(|name| {
                    entry.says(name).unwrap_or(true)
                        && !stream.properties.iter().any(|property| property.name == *name)
                })
                .map(str::to_owned)
                .collect();
            summary.streams.push(done);
            complete(&mut state, &stream.name);
            write_state(&mut out, &state)?;
        }
        if summary.streams.is_empty() {
            write_state(&mut out, &state)?;
        }
        Ok(summary)
    }

    /// Writes the SCHEMA and the RECORDs of one stream.
    async fn stream(
        &self,
        stream: &Stream,
        properties: &[&Property],
        messages: &mut Vec<u8>,
        out: &mut impl Write,
    ) -> Result<StreamSummary, TapError> {
        let message = json!({
            "type": "SCHEMA",
            "stream": stream.name,
            "schema": Stream::json_schema(properties.iter().copied()),
            "key_properties": [stream.key()],
        });
        writeln!(out, "{message}").map_err(TapError::Output)?;

        let attributes: Vec<&str> = properties
            .iter()
            .filter_map(|property| property.attribute.as_ref())
            .map(|attribute| attribute.as_str())
            .collect();
        let selection = if attributes.is_empty() { Selection::none() } else { attributes.iter().collect() };
        let search = Search::new(stream.base.clone(), stream.scope, stream.filter.clone())
            .attributes(selection.clone());
        let mut writer = RecordWriter::new(stream, &self.schema, properties.iter().copied());
        let mut entries = self.source.search(search, self.paged);
        let failed = |records, source| TapError::Search { stream: stream.name.clone(), records, source };
        // Whoever asks for a part of an attribute is not given all of it.
        let asks_for_parts = attributes.iter().any(|one| one.to_ascii_lowercase().contains(";range="));
        let (mut time, mut references, mut cut) = (Vec::new(), 0_u64, Vec::new());
        loop {
            let batch = entries.next_batch().await.map_err(|source| failed(writer.records, source))?;
            let Some(batch) = batch else { break };
            references += batch.iter().filter(|item| matches!(item.get(), Item::Reference(_))).count() as u64;
            messages.clear();
            now(&mut time);
            let is_cut = |entry: &EntryRef<'_>| !asks_for_parts && ranges::is_cut(*entry);
            for entry in batch.entries().filter(is_cut) {
                let dn = entry.dn().map_err(|error| {
                    let message = "an entry of which there is more to read has no name that can be asked for";
                    failed(writer.records, Error::new(ErrorKind::Protocol, message).with_source(error))
                })?;
                cut.push(dn);
            }
            let result = writer.entries(messages, batch.entries().filter(|entry| !is_cut(entry)), &time);
            out.write_all(messages).and_then(|()| out.flush()).map_err(TapError::Output)?;
            result?;
        }
        // Not before the end: on one conversation the answers would come behind what nobody reads meanwhile.
        for dn in cut {
            let search = Search::new(dn, Scope::Base, Filter::any()).attributes(selection.clone());
            let entry = self.whole(search).await.map_err(|source| failed(writer.records, source))?;
            messages.clear();
            now(&mut time);
            let result = writer.entries(messages, iter::once(entry.as_ref()), &time);
            out.write_all(messages).and_then(|()| out.flush()).map_err(TapError::Output)?;
            result?;
        }
        Ok(StreamSummary {
            stream: stream.name.clone(),
            records: writer.records,
            references,
            misfits: writer.misfits(),
            unknown_properties: Vec::new(),
        })
    }

    /// The entry with the values that Active Directory did not send unasked.
    async fn whole(&self, search: Search) -> Result<Entry, Error> {
        let Source { directory, .. } = self.source;
        let entry = directory.search_one(self.source.request(search.clone())).await?;
        ranges::whole(directory, entry.as_ref(), &self.source.request(search)).await
    }
}

impl<'d> Source<'d> {
    fn search(&self, search: Search, paged: bool) -> Entries<'d> {
        (self.search)(self.request(search), paged.then_some(self.config.page_size))
    }

    fn request(&self, search: Search) -> Request<Search> {
        Request::new(search, self.actor.clone()).within(self.config.timeout)
    }

    async fn entry(&self, what: &'static str, dn: Dn, attributes: &[&str]) -> Result<Entry, TapError> {
        let search =
            Search::new(dn, Scope::Base, Filter::any()).attributes(attributes.iter().collect::<Selection>());
        let mut entries = self.search(search, false);
        let mut found = None;
        let result = loop {
            match entries.next().await {
                Ok(Some(entry)) if found.is_none() => found = Some(entry.detach()),
                Ok(Some(_)) => {
                    break Err(Error::new(
                        ErrorKind::MoreThanOne,
                        "more than one entry came where one was asked for",
                    ));
                }
                Ok(None) => {
                    break found
                        .ok_or_else(|| Error::new(ErrorKind::NoEntry, "there is no such entry to be seen"));
                }
                Err(error) => break Err(error),
            }
        };
        result.map_err(|source| TapError::Discovery { what, source })
    }
}

/// Where the directory's data is: the context it calls its default, or the only one.
fn naming_context(root: &Entry) -> Option<Dn> {
    let text = root.text("defaultNamingContext").or_else(|| {
        let mut contexts = root.attributes().get("namingContexts")?.values();
        let first = contexts.next()?;
        if contexts.next().is_some() { None } else { str::from_utf8(first).ok() }
    });
    text?.parse().ok()
}

/// Notes that a stream is complete.
fn complete(state: &mut Map<String, Value>, stream: &str) {
    let bookmarks = state.entry("bookmarks").or_insert_with(|| json!({}));
    if !bookmarks.is_object() {
        *bookmarks = json!({});
    }
    if let Value::Object(bookmarks) = bookmarks {
        bookmarks.insert(stream.to_owned(), json!({}));
    }
}

fn write_state(out: &mut impl Write, state: &Map<String, Value>) -> Result<(), TapError> {
    let message = json!({"type": "STATE", "value": state});
    writeln!(out, "{message}").and_then(|()| out.flush()).map_err(TapError::Output)
}

/// This moment, as RFC 3339 spells it, to the microsecond.
fn now(out: &mut Vec<u8>) {
    out.clear();
    // A clock before 1970 is wrong anyhow.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(0);
    push_rfc3339(out, seconds, since.subsec_micros().saturating_mul(1000));
}
