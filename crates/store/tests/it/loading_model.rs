//! That it makes no difference to an entry, or to a refusal, what came before it in a load: entries like those before them
//! are made into rows without being looked at anew, and these must be the rows that an add of each makes.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    time::{Duration, UNIX_EPOCH},
};

use flext_ldap_store::{
    ExportOptions, ImportOptions, IndexConfig, IndexKind, Store, StoreOptions, UniqueValues,
};
use proptest::prelude::*;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use crate::{durability::Disk, support::*};

const HASH: &str = "{SSHA}6Uj6JpXmLXAYTdOQ9JgTfmOTCpFzYWx0";

/// What is given begins with this where it could be taken for what the directory makes.
const UUID: &str = "00000000-0000-4000-8000-0000000";

/// A record on its way to be LDIF.
#[derive(Clone, Debug)]
struct Draft {
    before: Vec<String>,
    rdn: String,
    parent: String,
    lines: Vec<(String, String)>,
}

/// A kind of entry, with what is odd about one.
#[derive(Clone, Debug)]
struct Odd {
    kind: usize,
    number: usize,
    parent: usize,
    twists: Vec<(usize, usize)>,
    /// The entry of this kind and number is changed instead, in this way.
    change: Option<usize>,
}

const CHANGES: usize = 12;

const KINDS: usize = 8;
const TWISTS: usize = 62;

fn odd() -> impl Strategy<Value = Odd> {
    let twists = prop_oneof![
        3 => Just(Vec::new()),
        3 => prop::collection::vec((0..TWISTS, 0..12_usize), 1..2),
        1 => prop::collection::vec((0..TWISTS, 0..12_usize), 2..4),
    ];
    (0..KINDS, 0..60_usize, 0..40_usize, twists).prop_map(|(kind, number, parent, twists)| Odd {
        kind,
        number,
        parent,
        twists,
        change: None,
    })
}

/// Plain entries, few of them, and changes of these.
fn changed() -> impl Strategy<Value = Odd> {
    let change = prop_oneof![2 => Just(None), 1 => (0..CHANGES).prop_map(Some)];
    (0..KINDS, 0..12_usize, 20..28_usize, change).prop_map(|(kind, number, parent, change)| Odd {
        kind,
        number,
        parent,
        twists: Vec::new(),
        change,
    })
}

impl Odd {
    fn draft(&self) -> Draft {
        let n = self.number;
        let (rdn, lines): (String, Vec<(&str, String)>) = match self.kind {
            0 => (
                format!("uid=crew{n}"),
                vec![
                    ("objectClass", "inetOrgPerson".into()),
                    ("uid", format!("crew{n}")),
                    ("cn", format!("Crew {n}")),
                    ("sn", "Quay".into()),
                    ("mail", format!("crew{n}@harbourlane.example")),
                ],
            ),
            1 => (
                format!("uid=hand{n}"),
                vec![
                    ("objectClass", "top".into()),
                    ("objectClass", "person".into()),
                    ("objectClass", "organizationalPerson".into()),
                    ("objectClass", "inetOrgPerson".into()),
                    ("objectClass", "posixAccount".into()),
                    ("uid", format!("hand{n}")),
                    ("cn", format!("Hand {n}")),
                    ("sn", "Quay".into()),
                    ("uidNumber", n.to_string()),
                    ("gidNumber", "5".into()),
                    ("homeDirectory", format!("/home/hand{n}")),
                    ("telephoneNumber", format!("+1 555 01{n:02}")),
                    ("manager", format!("uid=crew{},ou=people,{SUFFIX}", n % 7)),
                ],
            ),
            2 => (
                format!("cn=watch {n}"),
                vec![
                    ("objectClass", "groupOfNames".into()),
                    ("cn", format!("watch {n}")),
                    ("member", format!("uid=crew{n},ou=people,{SUFFIX}")),
                    ("member", format!("uid=hand{n},ou=people,{SUFFIX}")),
                    ("description", "of the night".into()),
                ],
            ),
            3 => (
                format!("ou=quay {n}"),
                vec![("objectClass", "organizationalUnit".into()), ("ou", format!("quay {n}"))],
            ),
            4 => (
                format!("uid=old{n}"),
                vec![
                    ("objectClass", "inetOrgPerson".into()),
                    ("uid", format!("old{n}")),
                    ("cn", format!("Old {n}")),
                    ("sn", "Quay".into()),
                    ("structuralObjectClass", "inetOrgPerson".into()),
                    ("entryUUID", format!("{UUID}{n:05}")),
                    ("creatorsName", format!("cn=admin,{SUFFIX}")),
                    ("createTimestamp", format!("19990101{n:06}Z").replace("60Z", "59Z")),
                    ("entryCSN", format!("19990101000000.{n:06}Z#000000#000#000000")),
                    ("modifiersName", format!("cn=admin,{SUFFIX}")),
                    ("modifyTimestamp", "19990101000000Z".into()),
                    ("userPassword", HASH.into()),
                ],
            ),
            5 => (
                format!("cn=light {n}"),
                vec![
                    ("objectClass", "device".into()),
                    ("objectClass", "extensibleObject".into()),
                    ("cn", format!("light {n}")),
                    ("serialNumber", n.to_string()),
                    ("l", "Quay".into()),
                ],
            ),
            6 => (
                format!("cn=elsewhere {n}"),
                vec![
                    ("objectClass", "referral".into()),
                    ("objectClass", "extensibleObject".into()),
                    ("cn", format!("elsewhere {n}")),
                    ("ref", format!("ldap://other.example/ou=q{n},dc=example")),
                ],
            ),
            _ => (
                format!("cn=other {n}"),
                vec![
                    ("objectClass", "alias".into()),
                    ("objectClass", "extensibleObject".into()),
                    ("cn", format!("other {n}")),
                    ("aliasedObjectName", format!("uid=crew{n},ou=people,{SUFFIX}")),
                ],
            ),
        };
        let lines = lines.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let parent = match self.parent {
            0..25 => format!("ou=people,{SUFFIX}"),
            25..31 => format!("ou=groups,{SUFFIX}"),
            31 => format!("OU=People, {SUFFIX}"),
            32 => "ou=people ,dc=HARBOURLANE,dc=example".to_owned(),
            33 => SUFFIX.to_owned(),
            34 => "dc=example".to_owned(),
            35 => format!("ou=nowhere,{SUFFIX}"),
            36 => format!("ou=quay {},ou=people,{SUFFIX}", n % 5),
            37 => format!("cn=other {},ou=people,{SUFFIX}", n % 9),
            38 => format!("cn=elsewhere {},ou=people,{SUFFIX}", n % 9),
            _ => format!("uid=crew{},ou=people,{SUFFIX}", n % 9),
        };
        let mut draft = Draft { before: Vec::new(), rdn, parent, lines };
        self.twists.iter().for_each(|(twist, at)| draft.twist(*twist, *at));
        draft
    }

    fn text(&self) -> String {
        let draft = self.draft();
        let Some(change) = self.change else { return draft.text() };
        let n = self.number;
        let (name, value) = draft.value_of_name();
        let change = match change {
            0 => "changetype: delete\n".to_owned(),
            1 => format!("changetype: modrdn\nnewrdn: {name}={value} moved\ndeleteoldrdn: {}\n", n % 2),
            2 => format!(
                "changetype: modrdn\nnewrdn: {name}={value}\ndeleteoldrdn: 1\nnewsuperior: ou=groups,{SUFFIX}\n"
            ),
            3 => "changetype: modify\nadd: objectClass\nobjectClass: extensibleObject\n-\nadd: l\nl: Quay\n-\n".to_owned(),
            4 => "changetype: modify\ndelete: objectClass\nobjectClass: extensibleObject\n-\n".to_owned(),
            5 => "changetype: modify\ndelete: objectClass\nobjectClass: posixAccount\n-\ndelete: uidNumber\n-\n\
                  delete: gidNumber\n-\ndelete: homeDirectory\n-\n"
                .to_owned(),
            6 => "changetype: modify\ndelete: mail\n-\n".to_owned(),
            7 => "changetype: modify\ndelete: description\n-\nreplace: member\nmember: cn=nobody\n-\n".to_owned(),
            8 => "changetype: modify\nreplace: sn\nsn: Quay\nsn: Pier\n-\n".to_owned(),
            9 => "changetype: modify\nreplace: sn\nsn: quay\n-\ndelete: telephoneNumber\n-\n".to_owned(),
            10 => "changetype: modify\nreplace: objectClass\nobjectClass: person\nobjectClass: inetOrgPerson\n-\n".to_owned(),
            _ => format!("changetype: modify\nreplace: userPassword\nuserPassword: {HASH}{n}\n-\n"),
        };
        format!("dn: {},{}\n{change}\n", draft.rdn, draft.parent)
    }
}

impl Draft {
    fn add(&mut self, name: &str, value: impl Into<String>) {
        self.lines.push((name.to_owned(), value.into()));
    }

    fn value_of_name(&self) -> (String, String) {
        let (name, value) = self.rdn.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    }

    fn twist(&mut self, twist: usize, at: usize) {
        let place = at % self.lines.len();
        let (name, value) = self.lines[place].clone();
        match twist {
            0 => self.lines[place].0 = name.to_uppercase(),
            1 => {
                self.lines.iter_mut().filter(|one| one.0 == name).for_each(|one| one.0.make_ascii_lowercase())
            }
            2 => {
                let oid = [
                    ("cn", "2.5.4.3"),
                    ("sn", "2.5.4.4"),
                    ("objectClass", "2.5.4.0"),
                    ("mail", "rfc822Mailbox"),
                ];
                let oid = oid.into_iter().find(|one| one.0 == name).map_or("surname", |one| one.1);
                self.lines.iter_mut().filter(|one| one.0 == name).for_each(|one| one.0 = oid.to_owned());
            }
            3 => self.add(&format!("{name};lang-de"), value),
            4 => self.lines[place].0 = format!("{name};x-odd"),
            5 => self.lines.insert(place, (name, value)),
            6 => self.lines.insert(place, (name, value.to_uppercase())),
            7 => self.lines.insert(place, (name, format!(" {value} "))),
            8 => self.lines.insert(place, (name, format!("{value}x"))),
            9 => self.lines[place].1 = String::new(),
            10 => self.lines[place].1 = " ".into(),
            11 => self.lines[place].1 = "\u{0}".into(),
            12 => self.lines[place].1 = "not a name, no number".into(),
            13 => self.lines[place].1 = format!("{value}\u{e4}\u{df}"),
            14 => drop(self.lines.remove(place)),
            15 => self.lines.swap(place, 0),
            16 => self.lines.reverse(),
            17 => self.add("objectClass", "unheardOf"),
            18 => self.lines.insert(0, ("objectClass".into(), "top".into())),
            19 => self.add("objectClass", "dcObject"),
            20 => self.lines.insert(0, ("objectClass".into(), "extensibleObject".into())),
            21 => self.lines.retain(|one| one.1 != "inetOrgPerson"),
            22 => self
                .lines
                .iter_mut()
                .filter(|one| one.0 == "objectClass")
                .for_each(|one| one.1.make_ascii_lowercase()),
            23 => self.add("objectClass", "account"),
            24 => self.add("objectClass", "person"),
            25 => self.add("entryUUID", format!("{UUID}{at:05}")),
            26 => self.add("entryUUID", format!("{UUID}{at:05}").to_uppercase()),
            27 => self.add("entryUUID", "no uuid"),
            28 => self.add("entryUUID", ""),
            29 => self.add("entryCSN", "19990101000000.000000Z#000000#000#000000"),
            30 => self.add("entryCSN", "yesterday"),
            31 => self.add("createTimestamp", ["19990101000000Z", "1999", "199901010000Z"][at % 3]),
            32 => self.add("modifyTimestamp", ["19990101000000Z", "19990101000000.5Z", "x"][at % 3]),
            33 => self.add("structuralObjectClass", ["inetOrgPerson", "person", "nothing"][at % 3]),
            34 => self.add("memberOf", format!("cn=watch {at},ou=people,{SUFFIX}")),
            35 => {
                let (name, value) = self.value_of_name();
                self.rdn = format!("{name}={value}+sn=Quay");
            }
            36 => {
                let (name, value) = self.value_of_name();
                if let Some((first, rest)) = value.split_at_checked(1) {
                    self.rdn = format!("{name}=\\{:02x}{rest}", first.as_bytes()[0]);
                }
            }
            37 => self.rdn.push_str(" x"),
            38 => self.rdn = self.rdn.to_uppercase(),
            39 => {
                let (name, value) = self.value_of_name();
                self.rdn = format!("{name}=\"{value}\"");
            }
            40 => {
                let (_, value) = self.value_of_name();
                self.rdn = format!("description={value}");
            }
            41 => {
                let (_, value) = self.value_of_name();
                self.rdn = format!("2.5.4.3={value}");
            }
            42 => self.rdn = format!("{name}={}", value.replace(',', "\\,").replace('+', "\\+")),
            43 => {
                let (name, value) = self.value_of_name();
                let hex: String = value.bytes().map(|one| format!("{one:02x}")).collect();
                self.rdn = format!("{name}=#04{:02x}{hex}", value.len());
            }
            44 => self.add("userPassword", HASH),
            45 => self.add("userPassword;x-odd", HASH),
            46 => self.add("userPassword", "in clear"),
            47 => {
                self.add("userPassword", HASH);
                self.add("userPassword", format!("{HASH}{at}"));
            }
            48 => self.add("pwdHistory", format!("19990101000000Z#1.3.6.1.4.1.1466.115.121.1.40#38#{HASH}")),
            49 => (0..14 + at % 4).for_each(|one| self.add("description", format!("watch {one}"))),
            50 => (0..60 + at).for_each(|one| self.add("description", format!("watch {one}"))),
            51 => self.add("description", "x".repeat((16 << 10) - 6 + at)),
            52 => self.add("unheardOf", "x"),
            53 => self.add(["uidNumber", "mailLocalAddress", "c", "loginShell"][at % 4], "5"),
            54 => self.add(
                ["entryDN", "hasSubordinates", "numSubordinates", "subschemaSubentry", "contextCSN"][at % 5],
                ["cn=subschema", "TRUE", "3"][at % 3],
            ),
            55 => self.add(
                ["pwdChangedTime", "pwdAccountLockedTime", "pwdFailureTime", "pwdReset", "pwdPolicySubentry"]
                    [at % 5],
                ["19990101000000Z", "TRUE", "cn=policy,dc=example"][at % 3],
            ),
            56 => self.add("creatorsName", ["cn=somebody", "", "nobody"][at % 3]),
            57 => self.before.push("changetype: add".into()),
            58 => {
                self.before.push("control: 2.16.840.1.113730.3.4.2 true".into());
                self.before.push("changetype: add".into());
            }
            59 => self.add("seeAlso", ["cn=a,dc=b", "CN=A, DC=b", "cn=#0401,dc=b"][at % 3]),
            60 => {
                self.add("seeAlso", "cn=a,dc=b");
                self.add("seeAlso", ["CN=A, DC=b", "cn=b,dc=b"][at % 2]);
            }
            _ => self.rdn.push_str(&"x".repeat(at * 40)),
        }
        if self.lines.is_empty() {
            self.add("objectClass", "person");
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let mut put = |name: &str, value: &str| {
            let plain = value.is_ascii()
                && !value.starts_with([' ', ':', '<'])
                && !value.ends_with(' ')
                && !value.bytes().any(|one| one < 32);
            if plain {
                writeln!(text, "{name}: {value}").unwrap();
            } else {
                writeln!(text, "{name}:: {}", base64(value.as_bytes())).unwrap();
            }
        };
        put("dn", &format!("{},{}", self.rdn, self.parent));
        for line in &self.before {
            let (name, value) = line.split_once(": ").unwrap();
            put(name, value);
        }
        self.lines.iter().for_each(|(name, value)| put(name, value));
        text.push('\n');
        text
    }
}

fn base64(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in octets.chunks(3) {
        let number =
            three.iter().fold(0_usize, |sum, one| sum << 8 | usize::from(*one)) << (8 * (3 - three.len()));
        for digit in 0..4 {
            let is_there = digit <= three.len();
            text.push(if is_there { char::from(DIGITS[number >> (18 - 6 * digit) & 63]) } else { '=' });
        }
    }
    text
}

fn base() -> Vec<String> {
    vec![
        format!(
            "dn: {SUFFIX}\nobjectClass: organization\nobjectClass: dcObject\no: Harbour Lane\ndc: harbourlane\n\n"
        ),
        format!("dn: ou=people,{SUFFIX}\nobjectClass: organizationalUnit\nou: people\n\n"),
        format!("dn: ou=groups,{SUFFIX}\nobjectClass: organizationalUnit\nou: groups\n\n"),
    ]
}

/// With constraints that look at every add, none is made into rows in advance.
fn store(disk: &Disk, each_alone: bool, indexes: &IndexConfig) -> Store {
    let mut options = StoreOptions::memory()
        .suffix(dn(SUFFIX))
        .indexes(indexes.clone())
        .clock(|| UNIX_EPOCH + Duration::from_secs(1_900_000_000));
    if each_alone {
        options = options.unique(UniqueValues::of(["employeeNumber"]));
    }
    Store::open_on(disk.clone(), options).unwrap()
}

fn load(store: &Store, text: &str) -> (u64, Vec<(u64, String)>) {
    let mut options = ImportOptions::default();
    options.continue_on_error = true;
    let report = store.import(text.as_bytes(), &options, &mut |_| {}).unwrap();
    assert_eq!(report.refused, report.refusals.len() as u64);
    (report.applied, report.refusals)
}

/// Everything, without what differs from one store to the next. What is given of that is told from what is not.
fn exported(store: &Store) -> String {
    let mut everything = ExportOptions::default();
    everything.operational = true;
    everything.password_hashes = true;
    let mut text = Vec::new();
    store.export(&mut text, &everything).unwrap();
    let text = String::from_utf8(text).unwrap();
    let is_made = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap_or_default();
        name == "entryUUID" && !value.starts_with("00000000-")
            || name == "entryCSN" && !value.starts_with("1999")
    };
    text.lines().filter(|line| !is_made(line)).fold(String::new(), |text, line| text + line + "\n")
}

/// All rows of a table; of indexes those that say nothing of identifiers.
fn rows(disk: &Disk, table: &'static str, with_parts: bool) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let database = Database::builder().create_with_backend(Disk::from(disk.copy())).unwrap();
    let definition: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new(table);
    let table_rows = database.begin_read().unwrap().open_table(definition).unwrap();
    let rows = table_rows.iter().unwrap().map(|row| {
        let (key, value) = row.unwrap();
        (key.value().to_vec(), value.value().to_vec())
    });
    let own: [&[u8]; 2] = [b"1.3.6.1.1.16.4\0", b"1.3.6.1.4.1.4203.666.1.7\0"];
    let is_of_parts = |key: &[u8]| {
        key.starts_with(b"\0")
            || key.split(|octet| *octet == 0).nth(1).is_some_and(|rest| rest.starts_with(b"~"))
    };
    let is_left_out = |key: &[u8]| {
        table == "index" && (own.iter().any(|own| key.starts_with(own)) || !with_parts && is_of_parts(key))
    };
    rows.filter(|(key, _)| !is_left_out(key)).collect()
}

fn no_difference(odd: &[Odd], indexes: &IndexConfig) {
    let texts: Vec<String> = base().into_iter().chain(odd.iter().map(Odd::text)).collect();
    let (together, looked_at, alone) = (Disk::default(), Disk::default(), Disk::default());
    let text = texts.concat();
    let (one, two, three) =
        (store(&together, false, indexes), store(&looked_at, true, indexes), store(&alone, false, indexes));
    let report = load(&one, &text);
    assert_eq!(load(&two, &text), report, "{text}");
    let mut expected = (0, Vec::new());
    let mut line = 0;
    for text in &texts {
        let (applied, refusals) = load(&three, text);
        expected.0 += applied;
        expected.1.extend(refusals.into_iter().map(|(at, reason)| (at + line, reason)));
        line += text.lines().count() as u64;
    }
    assert_eq!(report, expected, "{text}");
    let left = exported(&one);
    assert_eq!(exported(&two), left, "{text}");
    assert_eq!(exported(&three), left, "{text}");
    let found = faults(&one);
    for store in [one, two, three] {
        assert_eq!(faults(&store), found, "{text}");
        store.close();
    }
    // Whoever gives identifiers answers for them.
    assert!(found.iter().all(|fault| fault.contains("its entryUUID is that of")), "{found:?}: {text}");
    for table in ["node", "tree", "value", "secret", "index"] {
        assert!(rows(&together, table, true) == rows(&looked_at, table, true), "{table}: {text}");
        assert!(rows(&together, table, false) == rows(&alone, table, false), "{table}, one by one: {text}");
    }
}

fn indexes(all: bool) -> IndexConfig {
    let mut indexes = IndexConfig::default().index("employeeNumber", [IndexKind::Equality]);
    if all {
        use IndexKind::{Equality, Ordering, Presence, Substring};
        for name in
            ["cn", "uid", "description", "objectClass", "structuralObjectClass", "memberOf", "entryUUID"]
        {
            indexes = indexes.index(name, [Equality, Presence]);
        }
        for name in ["sn", "mail", "telephoneNumber"] {
            indexes = indexes.index(name, [Equality, Presence, Substring]);
        }
        for name in ["uidNumber", "createTimestamp", "pwdChangedTime"] {
            indexes = indexes.index(name, [Equality, Presence, Ordering]);
        }
    }
    indexes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("LOADING_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(12)
    ))]

    #[test]
    fn what_came_before_an_entry_makes_no_difference_to_it(
        odd in prop::collection::vec(odd(), 1..60),
        all in any::<bool>(),
    ) {
        no_difference(&odd, &indexes(all));
    }

    #[test]
    fn nor_does_it_what_is_changed_in_the_same_load(
        odd in prop::collection::vec(changed(), 1..80),
        all in any::<bool>(),
    ) {
        no_difference(&odd, &indexes(all));
    }
}
