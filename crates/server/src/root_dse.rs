//! The part of the root DSE (RFC 4512 §5.1) that is the listener's: which of the extended operations that belong to a
//! connection are offered. A directory cannot know, and one behind a proxy knows its own connection only.

use flext_ldap_proto::{
    batch::{Batch, BatchWriter, Item},
    ber::{Tag, Writer},
    entry::EntryRef,
    extended::{Cancel, ExtendedOperation as _, StartTls},
    message::{Scope, Search},
};

use crate::monitor::MONITOR;

const SUPPORTED_EXTENSION: &str = "supportedExtension";

/// Where a server tells of itself (slapd-monitor(5)).
pub(crate) const MONITOR_CONTEXT: &str = "monitorContext";

/// Whether a search reads the root DSE.
pub(crate) fn is_read_by(search: &Search) -> bool {
    search.base.is_root() && search.scope == Scope::Base
}

/// The root DSE as the directory gave it, with Cancel in `supportedExtension`, and StartTLS where `tls` is offered and
/// only there, and with `monitorContext` if `monitor` says so. If the extensions are not among what was asked for, or are
/// without values, they stay as they are.
pub(crate) fn completed(batch: Batch, tls: bool, monitor: bool) -> Batch {
    let is_ours = |entry: EntryRef<'_>| entry.dn_str().is_empty() && (monitor || lists_extensions(entry));
    if !batch.iter().all(|item| matches!(item.get(), Item::Entry(entry) if is_ours(entry))) {
        return batch;
    }
    let mut writer = BatchWriter::new();
    for item in batch.iter() {
        if let Item::Entry(entry) = item.get() {
            writer.entry(entry.dn_str(), &item.controls(), |body| {
                complete(entry, tls, body);
                if monitor {
                    body.sequence(|body| {
                        body.octets(MONITOR_CONTEXT.as_bytes());
                        body.constructed(Tag::SET, |values| values.octets(MONITOR.as_bytes()));
                    });
                }
            });
        }
    }
    writer.take()
}

fn lists_extensions(entry: EntryRef<'_>) -> bool {
    entry.dn_str().is_empty()
        && entry.attributes().get(SUPPORTED_EXTENSION).is_some_and(|extensions| extensions.first().is_some())
}

fn complete(entry: EntryRef<'_>, tls: bool, body: &mut Writer) {
    let (cancel, start_tls) = (Cancel::OID, StartTls::OID);
    let ours = [cancel.as_str().as_bytes(), start_tls.as_str().as_bytes()];
    for attribute in entry.attributes().iter() {
        let extensions = attribute.description().eq_ignore_ascii_case(SUPPORTED_EXTENSION);
        body.sequence(|body| {
            body.octets(attribute.description().as_bytes());
            body.constructed(Tag::SET, |values| {
                for value in attribute.values() {
                    if !(extensions && ours.contains(&value)) {
                        values.octets(value);
                    }
                }
                if extensions && attribute.first().is_some() {
                    for offered in ours.iter().take(if tls { 2 } else { 1 }) {
                        values.octets(offered);
                    }
                }
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use flext_ldap_proto::control::Controls;

    use super::*;

    /// What becomes of a root DSE with these extensions.
    fn listed(dn: &str, given: &[&str], tls: bool) -> Vec<String> {
        let mut writer = BatchWriter::new();
        writer.entry(dn, &Controls::none(), |body| {
            for (description, values) in [("objectClass", ["top"].as_slice()), ("SUPPORTEDextension", given)]
            {
                body.sequence(|body| {
                    body.octets(description.as_bytes());
                    body.constructed(Tag::SET, |set| {
                        values.iter().for_each(|value| set.octets(value.as_bytes()))
                    });
                });
            }
        });
        let batch = completed(writer.take(), tls, false);
        let Some(Item::Entry(entry)) = batch.item(0).map(|item| item.get()) else { panic!("no entry") };
        assert_eq!((batch.len(), entry.dn_str(), entry.text("objectClass")), (1, dn, Some("top")));
        let extensions = entry.attributes().get(SUPPORTED_EXTENSION).unwrap();
        extensions.values().map(|value| String::from_utf8(value.to_vec()).unwrap()).collect()
    }

    #[test]
    fn extensions_of_the_connection_are_listed() {
        let (who, cancel, tls) = ("1.3.6.1.4.1.4203.1.11.3", "1.3.6.1.1.8", "1.3.6.1.4.1.1466.20037");
        assert_eq!(listed("", &[who], false), [who, cancel]);
        assert_eq!(listed("", &[who], true), [who, cancel, tls]);
        // What a server behind us offers on its connections is not what we offer on ours.
        assert_eq!(listed("", &[tls, who, cancel], false), [who, cancel]);
        assert_eq!(listed("", &[], true), [] as [&str; 0]);
        assert_eq!(listed("cn=x", &[who], true), [who]);
    }
}
