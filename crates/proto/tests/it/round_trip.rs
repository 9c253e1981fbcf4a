//! Whatever can be said is read as it was written, whatever its contents.

use bytes::Bytes;
use flext_ldap_proto::{
    attribute::{Attributes, Selection},
    batch::{BatchBuilder, BatchWriter, Item},
    ber::{Reader, Tag, Writer, frame_length},
    control::{Control, Controls},
    filter::Filter,
    message::{
        Add, Authentication, BindRequest, BindResponse, Change, ChangeKind, Compare, Delete, DerefAliases,
        Envelope, ExtendedRequest, ExtendedResponse, IntermediateResponse, Limits, MessageId, Modify, Rename,
        Request, Response, Scope, Search, encode_item,
    },
    oid::Oid,
    result::{LdapResult, ResultCode},
    secret::Secret,
};
use proptest::{collection::vec, option, prelude::*};

const LIMITS: Limits = Limits::DEFAULT;

fn octets() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..40), vec(any::<u8>(), 120..140), vec(any::<u8>(), 250..260)]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![".{0,20}", "[a-z]{120,140}"]
}

fn description() -> impl Strategy<Value = String> {
    prop_oneof!["[a-zA-Z][a-zA-Z0-9-]{0,12}(;[a-z0-9-]{1,6}){0,2}", "[0-2](\\.[1-9][0-9]{0,4}){1,6}"]
}

fn oid() -> impl Strategy<Value = Oid> {
    "[0-2](\\.[1-9][0-9]{0,4}){1,8}".prop_map(|text| text.parse().unwrap())
}

fn dn() -> impl Strategy<Value = String> {
    vec(("[a-z]{1,5}", "[a-zA-Z0-9äß]{1,9}"), 0..4).prop_map(|rdns| {
        rdns.iter().map(|(kind, value)| format!("{kind}={value}")).collect::<Vec<_>>().join(",")
    })
}

fn filter() -> impl Strategy<Value = Filter> {
    let leaf = (description(), octets())
        .prop_map(|(attribute, value)| Filter::equality(attribute.parse().unwrap(), value));
    let leaf =
        prop_oneof![leaf, description().prop_map(|attribute| Filter::present(attribute.parse().unwrap()))];
    leaf.prop_recursive(4, 20, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Filter::and),
            vec(inner.clone(), 0..4).prop_map(Filter::or),
            inner.prop_map(Filter::not),
        ]
    })
}

fn attributes() -> impl Strategy<Value = Vec<(String, Vec<Vec<u8>>)>> {
    vec((description(), vec(octets(), 0..4)), 0..5)
}

fn list(attributes: &[(String, Vec<Vec<u8>>)]) -> Attributes {
    let mut builder = Attributes::builder();
    for (description, values) in attributes {
        builder.push(description, values);
    }
    builder.build()
}

fn controls() -> impl Strategy<Value = Controls> {
    vec((oid(), any::<bool>(), option::of(octets())), 0..4).prop_map(|all| {
        let mut controls = Controls::none();
        for (oid, critical, value) in all {
            controls.push_raw(Control { oid, critical, value: value.map(Bytes::from) });
        }
        controls
    })
}

fn bind() -> impl Strategy<Value = Request> {
    let authentication = prop_oneof![
        octets().prop_map(|password| Authentication::Simple(Secret::new(password))),
        (text(), option::of(octets())).prop_map(|(mechanism, credentials)| Authentication::Sasl {
            mechanism,
            credentials: credentials.map(Secret::new),
        }),
    ];
    (0..128_u32, text(), authentication).prop_map(|(version, name, authentication)| {
        Request::Bind(BindRequest { version, name, authentication })
    })
}

fn search() -> impl Strategy<Value = Request> {
    let scope = prop_oneof![Just(Scope::Base), Just(Scope::One), Just(Scope::Subtree), Just(Scope::Children)];
    let deref = prop_oneof![
        Just(DerefAliases::Never),
        Just(DerefAliases::InSearching),
        Just(DerefAliases::FindingBase),
        Just(DerefAliases::Always),
    ];
    let selection = vec(prop_oneof![description(), text()], 0..4);
    (dn(), scope, deref, 0..1_u32 << 31, 0..1_u32 << 31, any::<bool>(), filter(), selection).prop_map(
        |(base, scope, deref, size, time, types_only, filter, selection)| {
            let mut search = Search::new(base.parse().unwrap(), scope, filter)
                .attributes(selection.iter().collect::<Selection>())
                .deref(deref)
                .size_limit(size)
                .time_limit(time);
            search.types_only = types_only;
            Request::Search(search)
        },
    )
}

fn modify() -> impl Strategy<Value = Request> {
    let kind = prop_oneof![
        Just(ChangeKind::Add),
        Just(ChangeKind::Delete),
        Just(ChangeKind::Replace),
        Just(ChangeKind::Increment),
    ];
    let change = (kind, description(), vec(octets(), 0..4)).prop_map(|(kind, attribute, values)| Change {
        kind,
        attribute: attribute.parse().unwrap(),
        values: values.into_iter().map(Bytes::from).collect(),
    });
    (dn(), vec(change, 0..4))
        .prop_map(|(dn, changes)| Request::Modify(Modify { dn: dn.parse().unwrap(), changes }))
}

fn rename() -> impl Strategy<Value = Request> {
    (dn(), "[a-z]{1,5}=[a-z]{1,5}", any::<bool>(), option::of(dn())).prop_map(
        |(dn, rdn, delete_old_rdn, superior)| {
            Request::Rename(Rename {
                dn: dn.parse().unwrap(),
                new_rdn: rdn.parse().unwrap(),
                delete_old_rdn,
                new_superior: superior.map(|superior| superior.parse().unwrap()),
            })
        },
    )
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        bind(),
        Just(Request::Unbind),
        search(),
        modify(),
        (dn(), attributes())
            .prop_map(|(dn, attributes)| Request::Add(Add::new(dn.parse().unwrap(), list(&attributes)))),
        dn().prop_map(|dn| Request::Delete(Delete { dn: dn.parse().unwrap() })),
        rename(),
        (dn(), description(), octets()).prop_map(|(dn, attribute, value)| Request::Compare(Compare {
            dn: dn.parse().unwrap(),
            attribute: attribute.parse().unwrap(),
            value: value.into(),
        })),
        (0..1_u32 << 31).prop_map(|id| Request::Abandon(MessageId(id))),
        (oid(), option::of(octets())).prop_map(|(oid, value)| Request::Extended(ExtendedRequest {
            oid,
            value: value.map(Bytes::from)
        })),
    ]
}

fn result() -> impl Strategy<Value = LdapResult> {
    (0..1_u32 << 31, text(), text(), vec(text(), 0..3)).prop_map(
        |(code, matched_dn, diagnostic, referrals)| LdapResult {
            code: ResultCode(code),
            matched_dn,
            diagnostic,
            referrals,
        },
    )
}

fn response() -> impl Strategy<Value = Response> {
    prop_oneof![
        (result(), option::of(octets())).prop_map(|(result, credentials)| Response::Bind(BindResponse {
            result,
            server_credentials: credentials.map(Bytes::from),
        })),
        result().prop_map(Response::SearchDone),
        result().prop_map(Response::Modify),
        result().prop_map(Response::Add),
        result().prop_map(Response::Delete),
        result().prop_map(Response::Rename),
        result().prop_map(Response::Compare),
        (result(), option::of(oid()), option::of(octets())).prop_map(|(result, oid, value)| {
            Response::Extended(ExtendedResponse { result, oid, value: value.map(Bytes::from) })
        }),
        (option::of(oid()), option::of(octets())).prop_map(|(oid, value)| {
            Response::Intermediate(IntermediateResponse { oid, value: value.map(Bytes::from) })
        }),
    ]
}

proptest! {
    #[test]
    fn requests(id in 0..1_u32 << 31, request in request(), controls in controls()) {
        let mut writer = Writer::new();
        request.encode(MessageId(id), &controls, &mut writer);
        let bytes = writer.take();
        prop_assert_eq!(frame_length(&bytes, LIMITS.message), Ok(Some(bytes.len())));
        let envelope = Envelope::decode(bytes, &LIMITS).unwrap();
        prop_assert_eq!(envelope.id, MessageId(id));
        prop_assert_eq!(envelope.controls(&LIMITS), Ok(controls));
        prop_assert_eq!(envelope.request(&LIMITS), Ok(request));
        prop_assert!(envelope.response(&LIMITS).is_err());
    }

    #[test]
    fn responses(id in 0..1_u32 << 31, response in response(), controls in controls()) {
        let mut writer = Writer::new();
        response.encode(MessageId(id), &controls, &mut writer);
        let envelope = Envelope::decode(writer.take(), &LIMITS).unwrap();
        prop_assert_eq!(envelope.id, MessageId(id));
        prop_assert_eq!(envelope.controls(&LIMITS), Ok(controls));
        prop_assert_eq!(envelope.response(&LIMITS), Ok(response));
        prop_assert!(envelope.request(&LIMITS).is_err());
    }

    #[test]
    fn items(entries in vec((text(), attributes(), controls()), 1..4), urls in vec(text(), 0..3)) {
        let mut written = BatchWriter::new();
        for (dn, attributes, controls) in &entries {
            let attributes = list(attributes);
            written.entry(dn, controls, |writer| writer.raw(attributes.as_ref().as_bytes()));
        }
        written.reference(&urls, &Controls::none());
        let batch = written.take();
        prop_assert!(written.is_empty() && written.take().is_empty());

        // One after another in one buffer, as they arrive.
        let mut writer = Writer::new();
        batch.iter().for_each(|item| encode_item(MessageId(3), item, &mut writer));
        let bytes = writer.take();
        let mut received = BatchBuilder::over(bytes.clone());
        let mut start = 0;
        while let Some(length) = frame_length(&bytes[start..], LIMITS.message).unwrap() {
            let envelope = Envelope::decode(bytes.slice(start..start + length), &LIMITS).unwrap();
            prop_assert_eq!(envelope.response(&LIMITS), Ok(Response::SearchItem));
            let shift = |range: std::ops::Range<usize>| range.start + start..range.end + start;
            received.add(shift(envelope.op_range()), shift(envelope.controls_range()), &LIMITS).unwrap();
            start += length;
        }
        let received = received.build();
        prop_assert_eq!(received.len(), entries.len() + 1);
        for (item, (dn, attributes, controls)) in received.iter().zip(&entries) {
            let Item::Entry(entry) = item.get() else { panic!("not an entry") };
            prop_assert_eq!(entry.dn_str(), dn);
            let got: Vec<(String, Vec<Vec<u8>>)> = entry
                .attributes()
                .iter()
                .map(|attribute| {
                    (attribute.description().to_owned(), attribute.values().map(<[u8]>::to_vec).collect())
                })
                .collect();
            prop_assert_eq!(&got, attributes);
            prop_assert_eq!(&item.controls(), controls);
            let kept = item.to_entry().unwrap();
            prop_assert_eq!(kept.as_ref(), entry);
            prop_assert_eq!(kept.detach(), kept);
        }
        let Some(Item::Reference(got)) = received.iter().last().map(|item| item.get()) else { panic!("no reference") };
        prop_assert_eq!(got, urls);
    }

    #[test]
    fn integers(value in any::<i64>()) {
        let mut writer = Writer::new();
        writer.integer(value);
        let bytes = writer.take();
        prop_assert_eq!(Reader::new(&bytes).integer(), Ok(value));
        // In the fewest octets: the first nine bits are not all the same (X.690 §8.3.2).
        if let [_, _, first, second, ..] = bytes.as_ref() {
            let start = u16::from_be_bytes([*first, *second]) >> 7;
            prop_assert!(start != 0 && start != 0x1ff);
        }
    }

    #[test]
    fn lengths(sizes in vec(prop_oneof![0..300_usize, 65_500..65_600_usize], 1..3)) {
        let mut writer = Writer::new();
        for size in &sizes {
            writer.constructed(Tag::SET, |writer| {
                writer.sequence(|writer| writer.octets(&vec![7; *size]));
                writer.boolean(true);
            });
        }
        let bytes = writer.take();
        let mut reader = Reader::new(&bytes);
        for size in &sizes {
            let mut set = reader.constructed(Tag::SET).unwrap();
            let mut sequence = set.sequence().unwrap();
            prop_assert_eq!(sequence.octets().unwrap().len(), *size);
            prop_assert_eq!(sequence.finish(), Ok(()));
            prop_assert_eq!(set.boolean(), Ok(true));
            prop_assert_eq!(set.finish(), Ok(()));
        }
        prop_assert_eq!(reader.finish(), Ok(()));
    }

    /// Octets that mean nothing are an error or settle; they never panic.
    #[test]
    fn noise(noise in vec(any::<u8>(), 0..200)) {
        crate::protos::settles(&Bytes::from(noise.clone()));
        crate::protos::settles(&crate::corpus::tlv(0x30, &[b"\x02\x01\x01", noise.as_slice()].concat()).into());
    }
}
