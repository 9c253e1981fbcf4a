//! Who binds how, from where, and what they search by: what must change before an administrator may ask for more.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet, hash_map::Entry},
    fmt::{self, Write as _},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use flext_ldap_directory::{AgreedTls, Op, Peer, PeerAddress, Protection};
use flext_ldap_proto::{
    filter::{Extensible, Filter, Node},
    schema::{MatchingRule, Schema},
};

/// Clients that are remembered.
const MOST: usize = 10_000;
/// Shapes of filters that are remembered of one client.
const MOST_SHAPES: usize = 64;
/// Octets of a shape, and of a name: one may be spelt with any number of spaces.
const LONGEST: usize = 512;

/// What is remembered of clients: a line for each address, way to bind, name and protection. Cheap to clone; a clone is the
/// same.
///
/// At most 10,000 are kept, and 64 shapes of filters for each. Room is made by the networks that have most of them, by
/// those that were not seen for longest, so that one peer cannot have all others forgotten.
/// No value of a filter is kept, and no name that the directory did not accept.
#[derive(Clone, Default)]
pub struct Clients(Arc<Mutex<HashMap<Key, Arc<Row>>>>);

/// How a client says who it is.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Method {
    /// Not at all.
    Anonymous,
    /// A name and a password.
    Simple,
    /// A SASL mechanism.
    Sasl(String),
}

/// What is known of one kind of client.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "programs keep it and give it back")]
pub struct ClientRecord {
    /// The address without a port, or `local` for a Unix socket.
    pub address: String,
    /// `clear`, `tls` or `local`.
    pub protection: String,
    /// The version of TLS: `1.2` or `1.3`. Empty without TLS.
    pub tls: String,
    /// The cipher suite, by its name at IANA. Empty without TLS.
    pub cipher: String,
    /// `anonymous`, `simple`, the name of the SASL mechanism, or `UNKNOWN` for one that nobody has heard of.
    pub method: String,
    /// Who the directory takes it for: a name, or an authorization id that is none. Empty for who is not bound, and for
    /// binds that were refused.
    pub name: String,
    /// Binds that succeeded.
    pub binds: u64,
    /// Binds that were refused, or had no answer.
    pub refused: u64,
    /// Operations.
    pub operations: u64,
    /// When it was seen first, to the second.
    pub first_seen: SystemTime,
    /// When it was seen last, to the second.
    pub last_seen: SystemTime,
    /// What it searches by, most frequent first.
    pub searches: Vec<SearchShape>,
    /// Searches by shapes for which there was no room.
    pub other_searches: u64,
}

/// The shape of a filter: `(&(objectclass=?)(uid=?))`, with attributes in lower case, and what repeats itself once.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "programs keep it and give it back")]
pub struct SearchShape {
    /// The filter, with `?` for every value.
    pub filter: String,
    /// How often it was asked.
    pub count: u64,
}

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Key {
    address: String,
    protection: String,
    tls: String,
    cipher: String,
    method: String,
    name: NameKey,
}

/// A name in a form that its spellings share, so that whoever signs in has one line.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct NameKey(Box<[u8]>);

impl NameKey {
    /// By the standard schema; what it does not know, and an authorization id, in lower case.
    fn of(name: &str) -> Self {
        let rule = MatchingRule::find("distinguishedNameMatch");
        match rule.and_then(|rule| Schema::standard().normalize_by(rule, name.as_bytes()).ok()) {
            Some(normal) => Self(normal.as_ref().into()),
            None => Self(name.to_lowercase().into_bytes().into()),
        }
    }
}

/// What is counted of one kind of client.
pub(crate) struct Row {
    name: String,
    binds: AtomicU64,
    refused: AtomicU64,
    operations: AtomicU64,
    first_seen: u64,
    last_seen: AtomicU64,
    shapes: Mutex<HashMap<String, u64>>,
    other_searches: AtomicU64,
}

impl Clients {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Row>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known, the last seen first.
    #[must_use]
    pub fn records(&self) -> Vec<ClientRecord> {
        let mut records: Vec<_> = self.lock().iter().map(|(key, row)| row.record(key)).collect();
        records.sort_by(|one, other| {
            let by =
                |record: &ClientRecord| (record.address.clone(), record.method.clone(), record.name.clone());
            other.last_seen.cmp(&one.last_seen).then_with(|| by(one).cmp(&by(other)))
        });
        records
    }

    /// Remembers what was known before: of an earlier run. What is known already stays as it is.
    pub fn restore(&self, records: impl IntoIterator<Item = ClientRecord>) {
        let mut rows = self.lock();
        for record in records.into_iter().take(MOST) {
            let key = Key {
                address: record.address.clone(),
                protection: record.protection.clone(),
                tls: record.tls.clone(),
                cipher: record.cipher.clone(),
                method: record.method.clone(),
                name: NameKey::of(&record.name),
            };
            if rows.len() < MOST
                && let Entry::Vacant(vacant) = rows.entry(key)
            {
                vacant.insert(Arc::new(Row::of(record)));
            }
        }
    }

    /// Where to count what this client does.
    pub(crate) fn row(&self, peer: &Peer, method: &Method, name: &str) -> Arc<Row> {
        let address = match peer.address {
            PeerAddress::Tcp(address) => address.ip().to_string(),
            _ => "local".to_owned(),
        };
        let protection = match peer.protection {
            Protection::Tls => "tls",
            Protection::Local => "local",
            _ => "clear",
        };
        let method = match method {
            Method::Anonymous => "anonymous".to_owned(),
            Method::Simple => "simple".to_owned(),
            Method::Sasl(mechanism) => mechanism.to_ascii_uppercase(),
        };
        let (tls, cipher) = match &peer.tls {
            Some(AgreedTls { version, cipher }) => ((*version).to_owned(), cipher.clone()),
            None => (String::new(), String::new()),
        };
        let protection = protection.to_owned();
        let key = Key { address, protection, tls, cipher, method, name: NameKey::of(name) };
        let mut rows = self.lock();
        if rows.len() >= MOST && !rows.contains_key(&key) {
            make_room(&mut rows);
        }
        Arc::clone(rows.entry(key).or_insert_with(|| Arc::new(Row::new(&cut(name.to_owned())))))
    }
}

/// Forgets an eighth: of the networks that have most, those that were not seen for longest.
fn make_room(rows: &mut HashMap<Key, Arc<Row>>) {
    let mut networks: HashMap<String, Vec<(u64, &Key)>> = HashMap::new();
    for (key, row) in rows.iter() {
        let seen = row.last_seen.load(Ordering::Relaxed);
        networks.entry(network(&key.address)).or_default().push((seen, key));
    }
    let mut places = Vec::with_capacity(rows.len());
    for mut lines in networks.into_values() {
        lines.sort_unstable_by_key(|(seen, _)| Reverse(*seen));
        places.extend(lines.into_iter().enumerate().map(|(place, (seen, key))| (Reverse(place), seen, key)));
    }
    places.sort_unstable_by_key(|(place, seen, _)| (*place, *seen));
    let gone: HashSet<Key> = places.into_iter().take(MOST / 8).map(|(_, _, key)| key.clone()).collect();
    rows.retain(|key, _| !gone.contains(key));
}

/// What one subscriber has: an IPv4 address, or the /64 of an IPv6 one.
fn network(address: &str) -> String {
    match address.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V6(address)) => format!("{:x}/64", address.to_bits() >> 64),
        Ok(address) => address.to_string(),
        Err(_) => address.to_owned(),
    }
}

impl Row {
    fn new(name: &str) -> Self {
        let now = seconds();
        Self {
            name: name.to_owned(),
            binds: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            operations: AtomicU64::new(0),
            first_seen: now,
            last_seen: AtomicU64::new(now),
            shapes: Mutex::default(),
            other_searches: AtomicU64::new(0),
        }
    }

    fn of(record: ClientRecord) -> Self {
        let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let shapes = record.searches.into_iter().take(MOST_SHAPES).map(|shape| (shape.filter, shape.count));
        Self {
            name: record.name,
            binds: AtomicU64::new(record.binds),
            refused: AtomicU64::new(record.refused),
            operations: AtomicU64::new(record.operations),
            first_seen: seconds(record.first_seen),
            last_seen: AtomicU64::new(seconds(record.last_seen)),
            shapes: Mutex::new(shapes.collect()),
            other_searches: AtomicU64::new(record.other_searches),
        }
    }

    fn record(&self, key: &Key) -> ClientRecord {
        let time = |seconds: u64| UNIX_EPOCH + Duration::from_secs(seconds);
        let shapes = self.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut searches: Vec<_> = shapes
            .iter()
            .map(|(filter, count)| SearchShape { filter: filter.clone(), count: *count })
            .collect();
        drop(shapes);
        searches
            .sort_by(|one, other| other.count.cmp(&one.count).then_with(|| one.filter.cmp(&other.filter)));
        ClientRecord {
            address: key.address.clone(),
            protection: key.protection.clone(),
            tls: key.tls.clone(),
            cipher: key.cipher.clone(),
            method: key.method.clone(),
            name: self.name.clone(),
            binds: self.binds.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            operations: self.operations.load(Ordering::Relaxed),
            first_seen: time(self.first_seen),
            last_seen: time(self.last_seen.load(Ordering::Relaxed)),
            searches,
            other_searches: self.other_searches.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn bound(&self) {
        self.binds.fetch_add(1, Ordering::Relaxed);
        self.seen();
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.seen();
    }

    pub(crate) fn asked(&self, op: &Op) {
        self.operations.fetch_add(1, Ordering::Relaxed);
        self.seen();
        let Op::Search(search) = op else { return };
        let shape = shape(&search.filter);
        let mut shapes = self.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = shapes.get_mut(&shape) {
            *count += 1;
        } else if shapes.len() < MOST_SHAPES {
            shapes.insert(shape, 1);
        } else {
            drop(shapes);
            self.other_searches.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn seen(&self) {
        self.last_seen.store(seconds(), Ordering::Relaxed);
    }
}

fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The filter without its values, and with what repeats itself in a list once.
fn shape(filter: &Filter) -> String {
    let mut shape = String::new();
    // Of each open node: how many children are still to come, and where the last leaf among them stands.
    let mut open: Vec<(usize, Option<usize>)> = Vec::new();
    for node in filter.nodes() {
        if shape.len() > LONGEST {
            return cut(shape);
        }
        match node {
            Node::And { children } => start(&mut shape, &mut open, "(&", *children),
            Node::Or { children } => start(&mut shape, &mut open, "(|", *children),
            Node::Not => start(&mut shape, &mut open, "(!", 1),
            node => {
                let start = shape.len();
                leaf(&mut shape, node);
                if let Some((left, last)) = open.last_mut() {
                    *left = left.saturating_sub(1);
                    let is_again = last.is_some_and(|last| shape.get(last..start) == shape.get(start..));
                    if is_again {
                        shape.truncate(start);
                    } else {
                        *last = Some(start);
                    }
                }
            }
        }
        while let Some((0, _)) = open.last() {
            open.pop();
            shape.push(')');
            if let Some((left, last)) = open.last_mut() {
                (*left, *last) = (left.saturating_sub(1), None);
            }
        }
    }
    cut(shape)
}

fn start(shape: &mut String, open: &mut Vec<(usize, Option<usize>)>, text: &str, children: usize) {
    shape.push_str(text);
    open.push((children, None));
}

fn cut(mut shape: String) -> String {
    if shape.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|end| shape.is_char_boundary(*end)).unwrap_or(0);
        shape.truncate(end);
        shape.push('…');
    }
    shape
}

fn leaf(shape: &mut String, node: &Node) {
    let (attribute, assertion) = match node {
        Node::Equality(attribute, _) => (attribute.as_str(), "=?"),
        Node::GreaterOrEqual(attribute, _) => (attribute.as_str(), ">=?"),
        Node::LessOrEqual(attribute, _) => (attribute.as_str(), "<=?"),
        Node::Approximate(attribute, _) => (attribute.as_str(), "~=?"),
        Node::Present(attribute) => (attribute.as_str(), "=*"),
        Node::Substrings(attribute, parts) => {
            let text = match (&parts.initial, parts.any.is_empty(), &parts.last) {
                (Some(_), true, None) => "=?*",
                (None, true, Some(_)) => "=*?",
                (None, false, None) => "=*?*",
                _ => "=?*?",
            };
            (attribute.as_str(), text)
        }
        Node::Extensible(Extensible { attribute, dn_attributes, rule, .. }) => {
            let attribute =
                attribute.as_ref().map_or("", |attribute| attribute.as_str()).to_ascii_lowercase();
            let dn = if *dn_attributes { ":dn" } else { "" };
            let rule = rule.as_deref().map(|rule| format!(":{rule}")).unwrap_or_default();
            // Writing to a text cannot fail.
            let _: fmt::Result = write!(shape, "({attribute}{dn}{rule}:=?)");
            return;
        }
        _ => ("", "?"),
    };
    shape.push('(');
    shape.extend(attribute.chars().map(|character| character.to_ascii_lowercase()));
    shape.push_str(assertion);
    shape.push(')');
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clients({})", self.lock().len())
    }
}

#[cfg(test)]
mod tests {
    use flext_ldap_proto::message::{Scope, Search};

    use super::*;

    #[test]
    fn shapes_have_no_values_and_no_repetitions() {
        for (filter, want) in [
            ("(uid=maja)", "(uid=?)"),
            ("(&(objectClass=person)(UID=maja))", "(&(objectclass=?)(uid=?))"),
            ("(|(uid=a)(uid=b)(uid=c)(mail=d))", "(|(uid=?)(mail=?))"),
            ("(&(|(cn=a)(cn=b))(cn=c))", "(&(|(cn=?))(cn=?))"),
            ("(!(cn=secret*))", "(!(cn=?*))"),
            ("(cn=*secret)", "(cn=*?)"),
            ("(cn=*se*cret*)", "(cn=*?*)"),
            ("(cn=a*b)", "(cn=?*?)"),
            ("(cn=*)", "(cn=*)"),
            ("(&)", "(&)"),
            ("(&(|)(cn=a))", "(&(|)(cn=?))"),
            ("(uidNumber>=1000)", "(uidnumber>=?)"),
            ("(memberOf:1.2.840.113556.1.4.1941:=cn=x)", "(memberof:1.2.840.113556.1.4.1941:=?)"),
            ("(ou:dn:=People)", "(ou:dn:=?)"),
        ] {
            assert_eq!(shape(&filter.parse().unwrap()), want);
        }
        let long = Filter::and((0..200).map(|n| Filter::present(format!("attribute{n}").parse().unwrap())));
        assert!(shape(&long).len() <= LONGEST + '…'.len_utf8());
    }

    #[test]
    fn rows_are_bounded_and_the_latest_stay() {
        let clients = Clients::default();
        let peer = Peer::in_process();
        for number in 0..=MOST {
            let row = clients.row(&peer, &Method::Simple, &format!("cn={number}"));
            row.bound();
            row.last_seen.store(number as u64, Ordering::Relaxed);
        }
        let records = clients.records();
        assert_eq!(records.len(), MOST - MOST / 8 + 1);
        assert_eq!(records[0].name, format!("cn={MOST}"));
        assert!(!records.iter().any(|record| record.name == "cn=0"));
    }

    #[test]
    fn who_has_most_lines_makes_room() {
        let clients = Clients::default();
        let from = |address: &str| Peer {
            address: PeerAddress::Tcp(format!("{address}:4000").parse().unwrap()),
            protection: Protection::Clear,
            ..Peer::in_process()
        };
        for address in ["192.0.2.17", "[2001:db8:1::17]"] {
            let row = clients.row(&from(address), &Method::Simple, "uid=printer");
            row.last_seen.store(1, Ordering::Relaxed);
        }
        // One subscriber has 2⁶⁴ addresses, and somebody who signs in, any number of names that are none of others.
        for number in 0..MOST {
            clients.row(&from(&format!("[2001:db8:2::{number:x}]")), &Method::Anonymous, "").bound();
            clients.row(&from("192.0.2.66"), &Method::Simple, &format!("cn={number}")).bound();
        }
        let records = clients.records();
        assert!(records.len() <= MOST);
        assert_eq!(records.iter().filter(|record| record.name == "uid=printer").count(), 2);
    }

    #[test]
    fn spellings_of_a_name_are_one_client() {
        let clients = Clients::default();
        for name in ["uid=maja,o=Harbour Lane", "UID = maja, O=harbour  lane", r"uid=m\61ja,o=Harbour\20Lane"]
        {
            clients.row(&Peer::in_process(), &Method::Simple, name).bound();
        }
        let records = clients.records();
        assert_eq!((records.len(), records[0].binds), (1, 3));
        assert_eq!(records[0].name, "uid=maja,o=Harbour Lane");
        let clients = Clients::default();
        clients.row(&Peer::in_process(), &Method::Simple, &format!("uid={}maja", " ".repeat(60_000))).bound();
        clients.row(&Peer::in_process(), &Method::Simple, "uid=maja").bound();
        let records = clients.records();
        assert_eq!((records.len(), records[0].name.len()), (1, LONGEST + '…'.len_utf8()));
    }

    #[test]
    fn what_is_kept_comes_back() {
        let clients = Clients::default();
        let peer = Peer::in_process();
        let row = clients.row(&peer, &Method::Sasl("plain".to_owned()), "dn:uid=Maja");
        row.bound();
        row.refused();
        for _ in 0..3 {
            let filter = "(uid=maja)".parse().unwrap();
            row.asked(&Search::new("dc=example".parse().unwrap(), Scope::Subtree, filter).into());
        }
        for number in 0..MOST_SHAPES {
            let filter = format!("(a{number}=x)").parse().unwrap();
            row.asked(&Search::new("dc=example".parse().unwrap(), Scope::Subtree, filter).into());
        }
        let records = clients.records();
        assert_eq!(records[0].searches[0], SearchShape { filter: "(uid=?)".to_owned(), count: 3 });
        let record = &records[0];
        assert_eq!((record.method.as_str(), record.name.as_str()), ("PLAIN", "dn:uid=Maja"));
        assert_eq!((record.binds, record.refused, record.operations), (1, 1, 67));
        assert_eq!((record.searches.len(), record.other_searches), (MOST_SHAPES, 1));
        let again = Clients::default();
        again.restore(records.clone());
        assert_eq!(again.records(), records);
        // Another spelling of the name is the same client, and TLS of another version another one.
        again.row(&peer, &Method::Sasl("PLAIN".to_owned()), "dn:UID=maja").bound();
        assert_eq!((again.records().len(), again.records()[0].binds), (1, 2));
        let old = AgreedTls { version: "1.2", cipher: "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".to_owned() };
        let peer = Peer { protection: Protection::Tls, tls: Some(old.clone()), ..peer };
        again.row(&peer, &Method::Sasl("PLAIN".to_owned()), "dn:uid=maja").bound();
        let records = again.records();
        let old_ones: Vec<_> = records.iter().filter(|record| record.tls == "1.2").collect();
        assert_eq!((records.len(), old_ones.len()), (2, 1));
        assert_eq!((&old_ones[0].cipher, old_ones[0].binds), (&old.cipher, 1));
    }
}
