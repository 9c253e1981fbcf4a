//! What a server says of itself in its root DSE (RFC 4512 §5.1), as it is true of the proxy before it: mechanisms that
//! cannot be carried are not offered. What belongs to the listener's own connections (StartTLS, Cancel) is its matter.

use flext_ldap_directory::Op;
use flext_ldap_proto::{
    batch::{Batch, BatchWriter, Item},
    ber::Tag,
    message::Scope,
};

use crate::mechanism;

const MECHANISMS: &str = "supportedSASLMechanisms";

/// Whether an operation reads the root DSE.
pub(crate) fn is_read_by(op: &Op) -> bool {
    matches!(op, Op::Search(search) if search.base.is_root() && search.scope == Scope::Base)
}

/// The root DSE as a client behind a connection that is protected like this is to see it.
pub(crate) fn carried(batch: Batch, is_protected: bool) -> Batch {
    let has_mechanisms = |item: Item<'_>| match item {
        Item::Entry(entry) => entry.dn_str().is_empty() && entry.attributes().get(MECHANISMS).is_some(),
        _ => false,
    };
    if !batch.iter().all(|item| has_mechanisms(item.get())) {
        return batch;
    }
    let mut writer = BatchWriter::new();
    for item in batch.iter() {
        let Item::Entry(entry) = item.get() else { continue };
        writer.entry(entry.dn_str(), &item.controls(), |body| {
            for attribute in entry.attributes().iter() {
                let is_filtered = attribute.description().eq_ignore_ascii_case(MECHANISMS);
                let is_kept = |value: &[u8]| !is_filtered || mechanism::is_offered(value, is_protected);
                // Without any that is left there is no such attribute. Where only types were asked for it has no values.
                if attribute.first().is_some() && !attribute.values().any(is_kept) {
                    continue;
                }
                body.sequence(|body| {
                    body.octets(attribute.description().as_bytes());
                    body.constructed(Tag::SET, |values| {
                        attribute
                            .values()
                            .filter(|value| is_kept(value))
                            .for_each(|value| values.octets(value));
                    });
                });
            }
        });
    }
    writer.take()
}

#[cfg(test)]
mod tests {
    use flext_ldap_proto::control::Controls;

    use super::*;

    fn seen(given: &[&str], is_protected: bool) -> Option<Vec<String>> {
        let mut writer = BatchWriter::new();
        writer.entry("", &Controls::none(), |body| {
            for (description, values) in
                [("vendorName", ["x"].as_slice()), ("supportedSaslMechanisms", given)]
            {
                body.sequence(|body| {
                    body.octets(description.as_bytes());
                    body.constructed(Tag::SET, |set| {
                        values.iter().for_each(|value| set.octets(value.as_bytes()))
                    });
                });
            }
        });
        let batch = carried(writer.take(), is_protected);
        let entry = batch.entries().next().unwrap();
        assert_eq!(entry.text("vendorName"), Some("x"));
        let mechanisms = entry.attributes().get(MECHANISMS)?;
        Some(mechanisms.values().map(|value| String::from_utf8(value.to_vec()).unwrap()).collect())
    }

    #[test]
    fn mechanisms_that_cannot_be_carried_are_left_out() {
        let all = ["GSSAPI", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "EXTERNAL"];
        assert_eq!(seen(&all, true).unwrap(), ["PLAIN", "SCRAM-SHA-256"]);
        assert_eq!(seen(&all, false).unwrap(), ["SCRAM-SHA-256"]);
        assert_eq!(seen(&["EXTERNAL"], true), None);
        assert_eq!(seen(&[], true).unwrap(), [] as [&str; 0]);
    }
}
