//! The decoders: what is accepted is the same after it is written and read again, and what is written is a fixpoint.

use bytes::Bytes;
use flext_ldap_proto::{
    attribute::{AttributeDescription, AttributesRef},
    batch::{Batch, BatchBuilder, Item},
    ber::{Reader, Writer},
    dn::Dn,
    filter::Filter,
    ldif::{LdifReader, LdifWriter, ReadOptions, Record},
    message::{Envelope, Limits, Response, encode_item},
    schema::{Schema, SchemaBuilder},
    url::LdapUrl,
};

/// A message of either side.
pub fn message(data: &[u8]) -> bool {
    let (bytes, limits) = (Bytes::copy_from_slice(data), Limits::DEFAULT);
    let Ok(envelope) = Envelope::decode(bytes.clone(), &limits) else { return false };
    let Ok(controls) = envelope.controls(&limits) else { return false };
    let mut writer = Writer::new();
    let mut settled = false;
    if let Ok(request) = envelope.request(&limits) {
        request.encode(envelope.id, &controls, &mut writer);
        let encoded = writer.take();
        let again = Envelope::decode(encoded.clone(), &limits).unwrap();
        assert_eq!((again.id, again.controls(&limits)), (envelope.id, Ok(controls.clone())));
        assert_eq!(again.request(&limits).as_ref(), Ok(&request));
        again.request(&limits).unwrap().encode(again.id, &controls, &mut writer);
        assert_eq!(writer.take(), encoded, "{request:?}");
        settled = true;
    }
    if let Ok(response) = envelope.response(&limits)
        && response != Response::SearchItem
    {
        response.encode(envelope.id, &controls, &mut writer);
        let encoded = writer.take();
        let again = Envelope::decode(encoded.clone(), &limits).unwrap();
        assert_eq!((again.id, again.controls(&limits)), (envelope.id, Ok(controls.clone())));
        assert_eq!(again.response(&limits).as_ref(), Ok(&response));
        again.response(&limits).unwrap().encode(again.id, &controls, &mut writer);
        assert_eq!(writer.take(), encoded, "{response:?}");
        settled = true;
    }
    if let Some(batch) = batch_of(&bytes, &envelope) {
        let item = batch.iter().next().unwrap();
        assert_eq!(item.controls(), controls);
        encode_item(envelope.id, item, &mut writer);
        let encoded = writer.take();
        let again = batch_of(&encoded, &Envelope::decode(encoded.clone(), &limits).unwrap()).unwrap();
        let copy = again.iter().next().unwrap();
        assert_eq!((copy.controls(), told(copy.get())), (controls, told(item.get())));
        encode_item(envelope.id, copy, &mut writer);
        assert_eq!(writer.take(), encoded);
        settled = true;
    }
    settled
}

fn batch_of(bytes: &Bytes, envelope: &Envelope) -> Option<Batch> {
    let mut builder = BatchBuilder::over(bytes.clone());
    builder.add(envelope.op_range(), envelope.controls_range(), &Limits::DEFAULT).ok()?;
    Some(builder.build())
}

/// All that an item says.
fn told(item: Item<'_>) -> Vec<Vec<u8>> {
    match item {
        Item::Entry(entry) => {
            let mut said = vec![entry.dn_str().as_bytes().to_vec()];
            for attribute in entry.attributes().iter() {
                said.push(attribute.description().as_bytes().to_vec());
                said.extend(attribute.values().map(<[u8]>::to_vec));
            }
            said
        }
        Item::Reference(urls) => urls.into_iter().map(|url| url.as_bytes().to_vec()).collect(),
        Item::Intermediate(intermediate) => vec![
            format!("{:?}", intermediate.oid).into_bytes(),
            intermediate.value.unwrap_or_default().to_vec(),
        ],
        _ => Vec::new(),
    }
}

/// A filter in wire form. Its string form, where it has one, means the same.
pub fn filter_ber(data: &[u8]) -> bool {
    let bytes = Bytes::copy_from_slice(data);
    let Ok(filter) = Filter::decode(&mut Reader::new(&bytes), &Limits::DEFAULT) else { return false };
    settles(&filter);
    true
}

/// A filter in its string form. Its wire form means the same.
pub fn filter_text(data: &[u8]) -> bool {
    let Some(filter) = text(data).and_then(|text| text.parse::<Filter>().ok()) else { return false };
    settles(&filter);
    true
}

fn settles(filter: &Filter) {
    let encoded = encode(filter);
    // What is deeper than a peer may send can be spelt all the same.
    let mut limits = Limits::DEFAULT;
    limits.depth += 1;
    let mut reader = Reader::new(&encoded);
    let again = Filter::decode(&mut reader, &limits).unwrap();
    reader.finish().unwrap();
    assert_eq!(&again, filter);
    assert_eq!(encode(&again), encoded);
    let spelt = filter.to_string();
    let again: Filter = spelt.parse().unwrap();
    assert_eq!((&again, again.to_string()), (filter, spelt));
}

fn encode(filter: &Filter) -> Bytes {
    let mut writer = Writer::new();
    filter.encode(&mut writer);
    writer.take()
}

/// A distinguished name: the same in its string form, put together from its parts, and by their values.
pub fn dn(data: &[u8]) -> bool {
    let Some(name) = text(data).and_then(|text| text.parse::<Dn>().ok()) else { return false };
    let spelt = name.to_string();
    let again: Dn = spelt.parse().unwrap();
    assert_eq!((&again, again.to_string()), (&name, spelt));
    assert_eq!(name.rdns().count(), name.depth());
    let parts = |name: &Dn| name.rdns().map(|rdn| rdn.as_str().to_owned()).collect::<Vec<_>>();
    assert_eq!(parts(&name.rdns().map(|rdn| rdn.to_rdn()).collect::<Dn>()), parts(&name));
    if let (Some(parent), Some(rdn)) = (name.parent(), name.rdn()) {
        assert_eq!((parent.depth() + 1, parts(&parent.child(&rdn))), (name.depth(), parts(&name)));
    }
    for rdn in name.rdns() {
        let parts: Vec<(AttributeDescription, Vec<u8>)> =
            rdn.avas().map(|ava| (ava.attribute_type().parse().unwrap(), ava.value().into_owned())).collect();
        let (first, rest) = parts.split_first().unwrap();
        let start = flext_ldap_proto::dn::Rdn::new(&first.0, &first.1);
        let built = rest.iter().fold(start, |rdn, (attribute, value)| rdn.and(attribute, value));
        let values: Vec<_> = built.as_ref().avas().map(|ava| ava.value().into_owned()).collect();
        assert_eq!(values, parts.into_iter().map(|(_, value)| value).collect::<Vec<_>>(), "{rdn}");
    }
    if let Ok(key) = Schema::standard().dn_key(&name) {
        assert_eq!(key.depth(), name.depth());
        assert_eq!(Schema::standard().dn_key(&again), Ok(key));
    }
    true
}

/// LDIF, read to its end past whatever is wrong: each record is the same after it is written and read again, and so is
/// all of it. Whether nothing was wrong.
pub fn ldif(data: &[u8]) -> bool {
    let mut reader = LdifReader::new(data, ReadOptions::default());
    let (mut all, mut records) = (true, Vec::new());
    while let Some(record) = reader.next_record().transpose() {
        match record {
            Ok(record) => records.push(record),
            Err(_) => all = false,
        }
    }
    for record in &records {
        let written = write(std::slice::from_ref(record));
        assert_eq!(read(&written), std::slice::from_ref(record), "{}", String::from_utf8_lossy(&written));
    }
    // Content and changes do not go into one file.
    if records.iter().all(|record| matches!(record, Record::Entry(_)))
        || records.iter().all(|record| matches!(record, Record::Change(..)))
    {
        let written = write(&records);
        let again = read(&written);
        assert_eq!(again, records);
        assert_eq!(write(&again), written);
    }
    all
}

fn write(records: &[Record]) -> Vec<u8> {
    let mut writer = LdifWriter::new(Vec::new());
    for record in records {
        writer.record(record).unwrap();
    }
    writer.into_inner()
}

fn read(written: &[u8]) -> Vec<Record> {
    let mut reader = LdifReader::new(written, ReadOptions::default());
    let mut records = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        records.push(record);
    }
    records
}

/// Schema definitions, as files of both kinds and as a subschema entry, on top of the standard schema and alone. What is
/// made of them can be published and read again. Whether any was read without an error and defines something.
pub fn schema(data: &[u8]) -> bool {
    let mut accepted = false;
    let bases: [(fn() -> SchemaBuilder, usize); 2] = [
        (Schema::builder, 0),
        (|| Schema::standard().to_builder(), Schema::standard().attribute_types().count()),
    ];
    for (base, bare) in bases {
        let mut read = |add: &dyn Fn(&mut SchemaBuilder)| {
            let mut builder = base();
            add(&mut builder);
            let (schema, errors) = builder.build_lenient();
            // What was defined wrongly is kept as far as possible, and may lack what a definition must have.
            if bare == 0 && errors.is_empty() {
                republishes(&schema);
            }
            accepted |= errors.is_empty() && schema.attribute_types().count() > bare;
        };
        if let Some(text) = text(data) {
            read(&|builder| {
                builder.add_openldap(text);
            });
            read(&|builder| {
                builder.add_ldif(text);
            });
        }
        if let Ok(attributes) = AttributesRef::check(data, &Limits::DEFAULT) {
            read(&|builder| {
                builder.add_subschema(attributes);
            });
        }
    }
    accepted
}

/// What a schema publishes is read without an error, and publishes the same.
fn republishes(schema: &Schema) {
    let published = schema.to_subschema();
    let mut builder = Schema::builder();
    builder.add_subschema(published.as_ref());
    let (again, errors) = builder.build_lenient();
    assert_eq!(errors, []);
    assert_eq!(again.to_subschema(), published);
}

/// An LDAP URL.
pub fn url(data: &[u8]) -> bool {
    let Some(url) = text(data).and_then(|text| text.parse::<LdapUrl>().ok()) else { return false };
    let spelt = url.to_string();
    let again: LdapUrl = spelt.parse().unwrap();
    assert_eq!((&again, again.to_string()), (&url, spelt));
    true
}

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}
