//! One or more of every message of LDAPv3, with the parts that are optional there and not there.

use bytes::Bytes;
use flext_ldap_proto::{
    attribute::Attributes,
    batch::BatchWriter,
    ber::{Tag, Writer},
    control::{Assertion, Controls, ManageDsaIt, PagedResults, PostRead, PreRead, ReadEntry},
    dn::Dn,
    entry::Entry,
    extended::{Cancel, ExtendedOperation, NOTICE_OF_DISCONNECTION, PasswordModify, StartTls, WhoAmI},
    message::{
        Add, Authentication, BindRequest, BindResponse, ChangeKind, Compare, Delete, DerefAliases,
        ExtendedResponse, IntermediateResponse, MessageId, Modify, Rename, Request, Response, Scope, Search,
        encode_item,
    },
    oid::Oid,
    result::{LdapResult, ResultCode},
    secret::Secret,
};

pub(crate) const NAME: &str = "uid=ada,ou=people,dc=harbourlane,dc=example";

pub(crate) fn dn(text: &str) -> Dn {
    text.parse().unwrap()
}

pub(crate) fn requests() -> Vec<(&'static str, Request, Controls)> {
    let none = Controls::none;
    let simple = |name: &str, password: &str| {
        Request::Bind(BindRequest {
            version: 3,
            name: name.to_owned(),
            authentication: Authentication::Simple(Secret::from(password)),
        })
    };
    let sasl = |mechanism: &str, credentials: Option<&str>| {
        Request::Bind(BindRequest {
            version: 3,
            name: String::new(),
            authentication: Authentication::Sasl {
                mechanism: mechanism.to_owned(),
                credentials: credentials.map(Secret::from),
            },
        })
    };
    let filter = "(&(objectClass=person)(|(cn=Ad*by*ne)(!(mail=*)))(uidNumber>=5)(uidNumber<=9)(sn~=Burn)\
                  (cn:dn:caseExactMatch:=Ada))";
    let mut all = Search::new(dn(NAME), Scope::Children, filter.parse().unwrap())
        .attributes(["cn", "userCertificate;binary", "*", "+", "1.1", "@person"])
        .size_limit(1000)
        .time_limit(0x7fff_ffff)
        .deref(DerefAliases::Always);
    all.types_only = true;
    let modify = Modify::new(dn(NAME))
        .change(
            ChangeKind::Add,
            "mail".parse().unwrap(),
            ["ada@harbourlane.example", "a@harbourlane.example"],
        )
        .change(ChangeKind::Delete, "description".parse().unwrap(), <[&str; 0]>::default())
        .change(ChangeKind::Replace, "cn;lang-en".parse().unwrap(), ["Ada Byrne"])
        .change(ChangeKind::Add, "userPassword".parse().unwrap(), ["korrekt Pferd"])
        .change(ChangeKind::Increment, "uidNumber".parse().unwrap(), ["1"]);
    let rename = |new_superior: Option<&str>| {
        Request::Rename(Rename {
            dn: dn(NAME),
            new_rdn: "uid=ada.byrne".parse().unwrap(),
            delete_old_rdn: true,
            new_superior: new_superior.map(dn),
        })
    };
    let read = ["cn", "modifyTimestamp"];
    vec![
        ("anonymous bind", simple("", ""), none()),
        ("simple bind", simple(NAME, "korrekt Pferd"), none()),
        ("SASL bind", sasl("EXTERNAL", None), none()),
        ("SASL bind with credentials", sasl("PLAIN", Some("\0ada\0korrekt Pferd")), none()),
        ("unbind", Request::Unbind, none()),
        (
            "search of the root",
            Request::Search(Search::new(Dn::root(), Scope::Base, "(objectClass=*)".parse().unwrap())),
            none(),
        ),
        (
            "search with everything",
            Request::Search(all),
            none()
                .critical(&PagedResults { size: 500, cookie: Bytes::from_static(b"\0\x01cookie") })
                .optional(&ManageDsaIt),
        ),
        (
            "modify",
            Request::Modify(modify),
            none()
                .critical(&Assertion("(cn=Ada)".parse().unwrap()))
                .optional(&PreRead(read.into()))
                .critical(&PostRead(read.into())),
        ),
        ("modify nothing", Request::Modify(Modify::new(Dn::root())), none()),
        ("add", Request::Add(Add::new(dn(NAME), attributes())), none()),
        ("delete", Request::Delete(Delete { dn: dn(NAME) }), none().critical(&ManageDsaIt)),
        ("rename", rename(None), none()),
        ("move", rename(Some("ou=former,dc=harbourlane,dc=example")), none()),
        (
            "compare",
            Request::Compare(Compare {
                dn: dn(NAME),
                attribute: "cn".parse().unwrap(),
                value: Bytes::from_static(b"\xff\0"),
            }),
            none(),
        ),
        ("abandon", Request::Abandon(MessageId(0x7fff_ffff)), none()),
        ("StartTLS", Request::Extended(StartTls.request()), none()),
        ("who am I", Request::Extended(WhoAmI.request()), none()),
        ("cancel", Request::Extended(Cancel(MessageId(5)).request()), none()),
        (
            "password modify",
            Request::Extended(
                PasswordModify {
                    user: Some(NAME.to_owned()),
                    old: Some("old".into()),
                    new: Some("new".into()),
                }
                .request(),
            ),
            none(),
        ),
    ]
}

pub(crate) fn responses() -> Vec<(&'static str, Response, Controls)> {
    let none = Controls::none;
    let ok = LdapResult::success;
    let refused = LdapResult {
        code: ResultCode::REFERRAL,
        matched_dn: "dc=harbourlane,dc=example".to_owned(),
        diagnostic: "ask the other one, bitte schön".to_owned(),
        referrals: vec![
            "ldap://ldap2.harbourlane.example/".to_owned(),
            "ldap://ldap3.harbourlane.example/".to_owned(),
        ],
    };
    let mut read = Writer::new();
    ReadEntry(Entry::new(&dn(NAME), attributes())).encode(&mut read);
    let mut with_read = none();
    with_read.push_raw(flext_ldap_proto::control::Control {
        oid: Oid::from_static("1.3.6.1.1.13.2"),
        critical: false,
        value: Some(read.take()),
    });
    let extended = |result, oid: Option<Oid>, value: Option<&'static [u8]>| {
        Response::Extended(ExtendedResponse { result, oid, value: value.map(Bytes::from_static) })
    };
    vec![
        ("bind", Response::Bind(BindResponse { result: ok(), server_credentials: None }), none()),
        (
            "bind in progress",
            Response::Bind(BindResponse {
                result: LdapResult::new(ResultCode::SASL_BIND_IN_PROGRESS),
                server_credentials: Some(Bytes::from_static(b"r=nonce,s=salt,i=4096")),
            }),
            none(),
        ),
        (
            "bind with a referral",
            Response::Bind(BindResponse { result: refused.clone(), server_credentials: Some(Bytes::new()) }),
            none(),
        ),
        (
            "search done",
            Response::SearchDone(ok()),
            none().optional(&PagedResults { size: 0, cookie: Bytes::from_static(b"next") }),
        ),
        ("modify", Response::Modify(ok()), with_read),
        ("add", Response::Add(LdapResult::new(ResultCode::ENTRY_ALREADY_EXISTS)), none()),
        ("delete", Response::Delete(refused), none()),
        ("rename", Response::Rename(LdapResult::new(ResultCode::E_SYNC_REFRESH_REQUIRED)), none()),
        ("compare", Response::Compare(LdapResult::new(ResultCode::COMPARE_TRUE)), none()),
        ("extended without fields", extended(ok(), None, None), none()),
        ("extended", extended(ok(), Some(Oid::from_static("1.3.6.1.1.8")), Some(b"value")), none()),
        (
            "notice of disconnection",
            extended(
                LdapResult::with_diagnostic(ResultCode::UNAVAILABLE, "shutting down"),
                Some(NOTICE_OF_DISCONNECTION),
                None,
            ),
            none(),
        ),
        (
            "intermediate",
            Response::Intermediate(IntermediateResponse {
                oid: Some(Oid::from_static("1.3.6.1.4.1.4203.1.9.1.4")),
                value: Some(Bytes::from_static(b"\x80\x01x")),
            }),
            none(),
        ),
        (
            "empty intermediate",
            Response::Intermediate(IntermediateResponse { oid: None, value: None }),
            none(),
        ),
    ]
}

/// The messages of an entry, an entry with a control, a bare entry, and a reference.
pub(crate) fn items() -> Vec<(&'static str, Bytes)> {
    let mut writer = BatchWriter::new();
    let controls = Controls::none().optional(&PagedResults { size: 1, cookie: Bytes::from_static(b"state") });
    writer.entry(NAME, &Controls::none(), |writer| writer.raw(attributes().as_ref().as_bytes()));
    writer.entry(NAME, &controls, |writer| writer.raw(attributes().as_ref().as_bytes()));
    writer.entry("", &Controls::none(), |_| {});
    writer.reference(
        &["ldap://ldap2.harbourlane.example/ou=a".to_owned(), "ldap://ldap3.harbourlane.example/".to_owned()],
        &Controls::none(),
    );
    let batch = writer.take();
    let names = ["entry", "entry with a control", "empty entry", "reference"];
    names
        .into_iter()
        .zip(batch.iter())
        .map(|(name, item)| {
            let mut writer = Writer::new();
            encode_item(MessageId(9), item, &mut writer);
            (name, writer.take())
        })
        .collect()
}

/// Every message of the corpus, encoded.
pub(crate) fn messages() -> Vec<(&'static str, Bytes)> {
    let mut writer = Writer::new();
    let mut messages = Vec::new();
    for (name, request, controls) in requests() {
        request.encode(MessageId(2), &controls, &mut writer);
        messages.push((name, writer.take()));
    }
    for (name, response, controls) in responses() {
        response.encode(MessageId(300), &controls, &mut writer);
        messages.push((name, writer.take()));
    }
    messages.extend(items());
    messages
}

pub(crate) fn attributes() -> Attributes {
    let mut builder = Attributes::builder();
    builder.push("objectClass", ["top", "person"]);
    builder.push("cn", ["Ada Byrne", "Ädä"]);
    builder.push("jpegPhoto", [vec![0xff_u8; 200]]);
    builder.push("description", <[&str; 0]>::default());
    builder.build()
}

/// `contents` with a header of tag and length before it.
pub(crate) fn tlv(tag: u8, contents: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.primitive(Tag(tag), contents);
    writer.take().to_vec()
}
