//! Foreign judges: what a name is and which values are equal, as libldap and slapd see it; and what a slapd that lets
//! everybody in hears from our client.

use flext_ldap_client::Connector;
use flext_ldap_directory::{
    Actor, BindReply, BindStep, Deadline, Directory as _, DirectoryExt as _, ErrorKind, Request,
    Session as _,
    proto::{
        attribute::Attributes,
        dn::Dn,
        message::{Add, Compare},
        result::ResultCode,
        schema::Schema,
    },
};
use flext_ldap_lab::{Content, Slapd, SlapdOptions, Tool};

/// What random names are made of.
const PIECES: [&str; 28] = [
    "a", "B", " ", "  ", "=", "+", ",", r"\,", r"\+", r"\=", r"\ ", r"\20", r"\2C", r"\41", r"\C3\A9", "é",
    r#"\""#, r"\\", r"\#", "#", ";", r"\;", "<", r"\<", "cn=", ",dc=", "+sn=", "港",
];

/// SplitMix64, so that every run asks the same.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((bits ^ (bits >> 31)) % bound as u64).unwrap()
    }

    fn pieces(&mut self, most: usize, of: &[&str]) -> String {
        (0..1 + self.below(most)).map(|_| of[self.below(of.len())]).collect()
    }
}

/// How our parser reads a name: types and values, in hexadecimal; `None` where it is none.
fn read(text: &str) -> Option<String> {
    let dn: Dn = text.parse().ok()?;
    let rdns = dn.rdns().map(|rdn| {
        let avas = rdn.avas().map(|ava| {
            let value: String = ava.value().iter().map(|octet| format!("{octet:02x}")).collect();
            format!("{}={value}", ava.attribute_type())
        });
        avas.collect::<Vec<_>>().join("+")
    });
    Some(rdns.collect::<Vec<_>>().join(","))
}

/// DN normalisation and comparison: every name that both take means the same to both.
#[test]
fn dn_comparison_bypass_libldap_reads_names_as_we_do() {
    let mut random = Random(7);
    let names: Vec<_> = (0..3_000).map(|_| format!("cn={}", random.pieces(7, &PIECES))).collect();
    let program = "
import sys, ldap.dn
for line in sys.stdin.buffer.read().decode().split('\\n'):
    try:
        print(','.join('+'.join(a + '=' + v.encode().hex() for a, v, _ in rdn) for rdn in ldap.dn.str2dn(line)))
    except Exception:
        print('no name')
";
    let said = Tool::python(program).unwrap().input(names.join("\n")).run().unwrap().success().unwrap();
    let theirs: Vec<_> = said.lines().collect();
    assert_eq!(theirs.len(), names.len());
    let (mut both, mut differ) = (0, Vec::new());
    for (name, theirs) in names.iter().zip(theirs) {
        match read(name) {
            Some(_) if theirs == "no name" => {}
            Some(ours) if ours == theirs => both += 1,
            // libldap takes the space after an escaped backslash for an escaped space.
            Some(_) if name.contains(r"\\ ") => {}
            Some(ours) => differ.push(format!("{name:?}: {ours}, libldap {theirs}")),
            None => {}
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert!(both > 500, "only {both} names were taken by both");
}

/// Values by their matching rule: slapd says of each pair what our schema says.
#[test]
fn dn_comparison_bypass_slapd_finds_the_same_values_equal() {
    // Not ß, which RFC 4518 §2.2 folds to ss, and slapd does not.
    let pieces =
        ["a", "A", "b", " ", "  ", "é", "É", "e\u{301}", "ss", "\u{ff21}", "-", "0", "Å", "å", "\u{212b}"];
    let suffix = "dn: dc=harbourlane,dc=example\nobjectClass: dcObject\nobjectClass: organization\no: H\ndc: harbourlane\n";
    let slapd =
        Slapd::start(SlapdOptions { content: Content::Text(suffix.to_owned()), ..SlapdOptions::default() })
            .unwrap();
    let schema = Schema::standard();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connector = Connector::builder().clear().url(&slapd.ldap_url().parse().unwrap()).build().unwrap();
        let mut connection = connector.connect().await.unwrap();
        let step = BindStep::simple(slapd.root_dn(), slapd.root_password().into());
        let bound = connection.bind(step, Deadline::after(std::time::Duration::from_secs(30))).await.unwrap();
        let BindReply::Done { actor, .. } = bound else { panic!("not bound") };
        let mut random = Random(11);
        let (mut equal, mut differ) = (0, Vec::new());
        for (number, attribute) in ["description", "telephoneNumber", "seeAlso"].iter().enumerate() {
            let kind = schema.attribute_type(attribute).unwrap();
            for round in 0..60 {
                let mut value = || {
                    let text =
                        random.pieces(4, if number == 1 { &["1", "2", " ", "-", "+"] } else { &pieces });
                    if number == 2 { format!("cn=x{text}x,dc=y") } else { format!("{}x", text.trim_start()) }
                };
                let values: Vec<String> = (0..6).map(|_| value()).collect();
                let first = if number == 1 { values[0].replace('x', "9") } else { values[0].clone() };
                let dn: Dn = format!("cn=e{number}-{round},{}", slapd.suffix()).parse().unwrap();
                let mut attributes = Attributes::builder();
                attributes.push("objectClass", ["device", "extensibleObject"]);
                attributes.push(attribute, [&first]);
                connection
                    .add(Request::new(Add::new(dn.clone(), attributes.build()), actor.clone()))
                    .await
                    .unwrap();
                for other in &values {
                    let other = if number == 1 { other.replace('x', "9") } else { other.clone() };
                    let attribute = attribute.parse().unwrap();
                    let compare =
                        Compare { dn: dn.clone(), attribute, value: other.clone().into_bytes().into() };
                    let reply = connection.call(Request::new(compare, actor.clone()).into_any());
                    let theirs = reply.outcome().await.unwrap().result.code == ResultCode::COMPARE_TRUE;
                    let key = |value: &str| schema.normalize(kind, value.as_bytes()).unwrap().into_owned();
                    let ours = key(&first) == key(&other);
                    equal += usize::from(ours);
                    if ours != theirs {
                        differ
                            .push(format!("{first:?} and {other:?} of {}: equal to us: {ours}", kind.name()));
                    }
                }
            }
        }
        assert!(differ.is_empty(), "{}", differ.join("\n"));
        assert!(equal > 180, "only {equal} pairs were equal");
    });
}

/// Unauthenticated bind: a slapd that takes a name without a password for a success is not even asked.
#[test]
fn unauthenticated_bind_is_not_sent_to_a_server_that_would_take_it() {
    let slapd = Slapd::start(SlapdOptions {
        global_lines: vec!["allow bind_anon_cred bind_anon_dn".to_owned()],
        ..SlapdOptions::default()
    })
    .unwrap();
    // It does take it: OpenLDAP's own client gets in, as nobody.
    let tool =
        Tool::new("ldapwhoami").unwrap().args(["-x", "-H", &slapd.ldap_url(), "-D", "cn=theirs", "-w", ""]);
    assert_eq!(tool.run().unwrap().success().unwrap(), "anonymous\n");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connector = Connector::builder().clear().url(&slapd.ldap_url().parse().unwrap()).build().unwrap();
        let mut connection = connector.connect().await.unwrap();
        for password in ["", "\0", "\0\0"] {
            let step = BindStep::simple("cn=ours", password.into());
            let refused = connection.bind(step, Deadline::after(std::time::Duration::from_secs(30))).await;
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::EmptyPassword, "{password:?}");
        }
        assert_eq!(connection.who_am_i(Actor::Anonymous).await.unwrap(), "");
    });
    let log = slapd.log().unwrap();
    assert!(log.contains("BIND dn=\"cn=theirs\"") && !log.contains("cn=ours"), "{log}");
}
