//! Attributes that grow large and shrink again, against a map of sets: whatever is added, deleted and replaced, in
//! whatever spelling, the store has the same values, finds the entry by each of them and by no other, and is the same
//! after it was opened again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use flext_ldap_directory::Actor;
use flext_ldap_proto::{
    attribute::Attributes,
    dn::Dn,
    message::{Add, Change, ChangeKind, Compare, Delete, Modify, Rename},
    result::ResultCode,
    schema::Schema,
};
use flext_ldap_store::{
    ExportOptions, ImportOptions, IndexConfig, IndexKind, IndexStage, Limits, Store, StoreOptions,
};
use proptest::prelude::*;

use crate::support::*;

/// With options and without, indexed and not, names and text; `ou` names the entries, `berth` has an order.
const ATTRIBUTES: [&str; 8] =
    ["cn", "cn;lang-en", "seeAlso", "description", "mail", "ou", "berth", "berth;lang-en"];
const VALUES: u8 = 14;
const ENTRIES: u8 = 2;

/// One value, in one of two spellings.
type Spelt = (u8, bool);

#[derive(Clone, Debug)]
enum Step {
    /// What becomes of the attributes of an entry.
    Modify(u8, Vec<(ChangeKind, usize, Vec<Spelt>)>),
    Add(u8, Vec<(usize, BTreeSet<u8>)>),
    Delete(u8),
    /// To a value of `ou`; whether the old one goes.
    Rename(u8, u8, bool),
    /// With these bounds from now on.
    Reopen(usize, usize),
}

fn values() -> impl Strategy<Value = Vec<Spelt>> {
    prop::collection::vec((0..VALUES, any::<bool>()), 0..9)
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![
        4 => Just(ChangeKind::Add),
        3 => Just(ChangeKind::Delete),
        1 => Just(ChangeKind::Replace),
    ];
    let change = (kind, 0..ATTRIBUTES.len(), values());
    let given = (0..ATTRIBUTES.len(), prop::collection::btree_set(0..VALUES, 1..12));
    prop_oneof![
        8 => (0..ENTRIES, prop::collection::vec(change, 1..4)).prop_map(|(entry, changes)| Step::Modify(entry, changes)),
        2 => (0..ENTRIES, prop::collection::vec(given, 0..4)).prop_map(|(entry, given)| Step::Add(entry, given)),
        1 => (0..ENTRIES).prop_map(Step::Delete),
        1 => (0..ENTRIES, 0..VALUES, any::<bool>()).prop_map(|(entry, name, gone)| Step::Rename(entry, name, gone)),
        1 => (2..6_usize, 100..700_usize).prop_map(|(values, octets)| Step::Reopen(values, octets)),
    ]
}

/// Some are so long that their keys are hashes.
fn spelling(attribute: &str, (number, capitals): Spelt) -> String {
    let mut text = format!("v{number}");
    if number % 5 == 0 {
        text.push_str(&"-quay".repeat(50));
    }
    match attribute {
        "seeAlso" => text = format!("cn={text},{SUFFIX}"),
        "mail" => text.push_str("@harbourlane.example"),
        // Some have the same first hundred octets: indexes do not tell their order.
        _ if attribute.starts_with("berth") && number % 3 == 0 => {
            text = format!("v{}{text}", "-north-quay".repeat(10));
        }
        _ => {}
    }
    if capitals { text.to_uppercase() } else { text }
}

/// Attributes with their values, as they were given, by number; and the value of `ou` that names the entry.
#[derive(Clone, Debug, Default, PartialEq)]
struct Held {
    name: u8,
    values: BTreeMap<usize, BTreeMap<u8, String>>,
}

/// Entries by number: their names change.
type Model = BTreeMap<u8, Held>;

const OU: usize = 5;

fn name(held: &Held) -> Dn {
    dn(&format!("ou={},{SUFFIX}", spelling("ou", (held.name, false))))
}

fn change(held: &mut Held, (kind, attribute, spelt): &(ChangeKind, usize, Vec<Spelt>)) -> ResultCode {
    let text = |one: &Spelt| spelling(ATTRIBUTES[*attribute], *one);
    let own = held.values.entry(*attribute).or_default();
    match kind {
        ChangeKind::Add if spelt.is_empty() => return ResultCode::PROTOCOL_ERROR,
        ChangeKind::Delete if own.is_empty() => return ResultCode::NO_SUCH_ATTRIBUTE,
        ChangeKind::Delete if spelt.is_empty() => own.clear(),
        ChangeKind::Delete => {
            let gone: BTreeSet<u8> = spelt.iter().map(|(number, _)| *number).collect();
            if gone.iter().any(|number| own.remove(number).is_none()) {
                return ResultCode::NO_SUCH_ATTRIBUTE;
            }
        }
        _ => {
            if *kind == ChangeKind::Replace {
                own.clear();
            }
            for one in spelt {
                if own.insert(one.0, text(one)).is_some() {
                    return ResultCode::ATTRIBUTE_OR_VALUE_EXISTS;
                }
            }
        }
    }
    if own.is_empty() {
        held.values.remove(attribute);
    }
    ResultCode::SUCCESS
}

fn has_name(held: &Held) -> bool {
    held.values.get(&OU).is_some_and(|values| values.contains_key(&held.name))
}

async fn play(opened: &mut Option<Store>, folder: &std::path::Path, model: &mut Model, step: &Step) {
    if let Step::Reopen(values, octets) = step {
        drop(opened.take());
        *opened = Some(open(folder, *values, *octets));
    }
    let store = opened.as_ref().unwrap();
    match step {
        Step::Reopen(..) => {}
        Step::Modify(number, changes) => {
            let Some(held) = model.get_mut(number) else { return };
            let mut after = held.clone();
            let failed =
                changes.iter().map(|one| change(&mut after, one)).find(|code| *code != ResultCode::SUCCESS);
            let want = match failed {
                Some(code) => code,
                None if !has_name(&after) => ResultCode::NOT_ALLOWED_ON_RDN,
                None => ResultCode::SUCCESS,
            };
            let changes = changes.iter().map(|(kind, place, spelt)| Change {
                kind: *kind,
                attribute: attribute(ATTRIBUTES[*place]),
                values: spelt.iter().map(|one| Bytes::from(spelling(ATTRIBUTES[*place], *one))).collect(),
            });
            let modify = Modify { dn: name(held), changes: changes.collect() };
            assert_eq!(code(store, modify).await, want, "{step:?}");
            if want == ResultCode::SUCCESS {
                *held = after;
            }
        }
        Step::Add(number, given) => {
            if model.contains_key(number) {
                return;
            }
            let mut held = Held { name: *number, ..Held::default() };
            if model.values().any(|other| other.name == held.name) {
                return;
            }
            for (place, numbers) in given {
                let texts = numbers.iter().map(|one| (*one, spelling(ATTRIBUTES[*place], (*one, false))));
                held.values.insert(*place, texts.collect());
            }
            let mut attributes = Attributes::builder();
            attributes.push("objectClass", ["organizationalUnit", "extensibleObject"]);
            for (place, values) in &held.values {
                attributes.push(ATTRIBUTES[*place], values.values());
            }
            // The value in the name is added where it is not given.
            let own = held.values.entry(OU).or_default();
            own.entry(*number).or_insert_with(|| spelling("ou", (*number, false)));
            ok(store, Add::new(name(&held), attributes.build())).await;
            model.insert(*number, held);
        }
        Step::Delete(number) => {
            let Some(held) = model.remove(number) else { return };
            ok(store, Delete { dn: name(&held) }).await;
        }
        Step::Rename(number, to, gone) => {
            if !model.contains_key(number)
                || model.iter().any(|(one, held)| one != number && held.name == *to)
            {
                return;
            }
            let held = model.get_mut(number).unwrap();
            let rename = Rename {
                dn: name(held),
                new_rdn: format!("ou={}", spelling("ou", (*to, false))).parse().unwrap(),
                delete_old_rdn: *gone,
                new_superior: None,
            };
            ok(store, rename).await;
            let own = held.values.entry(OU).or_default();
            if *gone {
                own.remove(&held.name);
            }
            own.entry(*to).or_insert_with(|| spelling("ou", (*to, false)));
            held.name = *to;
        }
    }
}

fn schema() -> Arc<Schema> {
    let mut builder = Schema::builder();
    builder.add_subschema(Schema::standard().to_subschema().as_ref());
    let mut attributes = Attributes::builder();
    attributes.push(
        "attributeTypes",
        ["( 1.3.6.1.4.1.99999.1 NAME 'berth' EQUALITY caseIgnoreMatch ORDERING caseIgnoreOrderingMatch \
             SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )"],
    );
    builder.add_subschema(attributes.build().as_ref());
    Arc::new(builder.build().unwrap())
}

/// With few values, the order and the parts of `berth` are not indexed: these indexes come and go.
fn indexes(values: usize) -> IndexConfig {
    let mut kinds = vec![IndexKind::Presence, IndexKind::Equality];
    if values > 2 {
        kinds.extend([IndexKind::Ordering, IndexKind::Substring]);
    }
    IndexConfig::default().index("berth", kinds)
}

fn open(folder: &std::path::Path, values: usize, octets: usize) -> Store {
    let mut limits = Limits::default();
    (limits.inline_values, limits.inline_octets) = (values, octets);
    let options = StoreOptions::folder(folder).suffix(dn(SUFFIX)).limits(limits);
    Store::open(options.schema(schema()).indexes(indexes(values))).unwrap()
}

/// Waits until no index is built or removed any more: that looks at entries too.
fn settled(store: &Store) {
    while store.index_progress().unwrap().iter().any(|one| one.stage != IndexStage::Ready) {
        std::thread::yield_now();
    }
}

/// Rows, their number, their length and all index rows.
fn sound(store: &Store) {
    settled(store);
    clean(store);
}

async fn agrees(store: &Store, model: &Model) {
    settled(store);
    for held in model.values() {
        let entry = read(store, &name(held).to_string()).await.unwrap();
        for (place, attribute) in ATTRIBUTES.iter().enumerate() {
            let mut found: Vec<String> = entry.attributes().get(attribute).map_or_else(Vec::new, |one| {
                one.values().map(|value| String::from_utf8(value.to_vec()).unwrap()).collect()
            });
            let mut want: Vec<String> =
                held.values.get(&place).map_or_else(Vec::new, |own| own.values().cloned().collect());
            found.sort();
            want.sort();
            assert_eq!(found, want, "{attribute} of {}", name(held));
        }
    }
    let among = |has: &dyn Fn(&Held) -> bool| {
        let mut names: Vec<String> =
            model.values().filter(|held| has(held)).map(|held| name(held).to_string()).collect();
        names.sort();
        names
    };
    for (place, attribute) in ATTRIBUTES.iter().enumerate() {
        // What has options is asked for by its name too.
        let places = match *attribute {
            "cn" => vec![0, 1],
            "berth" => vec![6, 7],
            _ => vec![place],
        };
        let present = |held: &Held| places.iter().any(|place| held.values.contains_key(place));
        let all = "(objectClass=organizationalUnit)";
        let (found, _) = find(store, subtree(&format!("(&{all}({attribute}=*))")), Actor::Service).await;
        assert_eq!(found, among(&present), "{attribute} is there");
        let (found, _) = find(store, subtree(&format!("(&{all}({attribute}=v1*))")), Actor::Service).await;
        let starts = |held: &Held| {
            let own = places.iter().filter_map(|place| held.values.get(place)).flatten();
            let mut texts = own.map(|(_, text)| text.to_lowercase());
            texts.any(|text| text.starts_with("v1"))
        };
        if *attribute != "seeAlso" {
            assert_eq!(found, among(&starts), "{attribute} starts with v1");
        }
        if attribute.starts_with("berth") {
            for bound in ["v1", "v-north", "v9"] {
                for (sign, before) in [("<=", true), (">=", false)] {
                    let filter = format!("(&{all}({attribute}{sign}{bound}))");
                    let (found, _) = find(store, subtree(&filter), Actor::Service).await;
                    let fits = |held: &Held| {
                        let own = places.iter().filter_map(|place| held.values.get(place)).flatten();
                        let mut texts = own.map(|(_, text)| text.to_lowercase());
                        texts.any(|text| if before { *text <= *bound } else { *text >= *bound })
                    };
                    assert_eq!(found, among(&fits), "{attribute}{sign}{bound}");
                }
            }
        }
        for number in 0..VALUES {
            let has = |held: &Held| {
                let mut own = places.iter().filter_map(|place| held.values.get(place));
                own.any(|own| own.contains_key(&number))
            };
            let text = spelling(attribute, (number, number % 2 == 0));
            let equal = flext_ldap_proto::filter::Filter::equality(
                crate::support::attribute(attribute),
                text.clone().into_bytes(),
            );
            let search = flext_ldap_proto::message::Search::new(
                dn(SUFFIX),
                flext_ldap_proto::message::Scope::Subtree,
                equal,
            );
            let before = store.counters().entries_read;
            assert_eq!(find(store, search, Actor::Service).await.0, among(&has), "{attribute}={text}");
            if *attribute != "description" && !attribute.contains(';') {
                // The index leads to these entries and to no other.
                let looked = store.counters().entries_read - before;
                assert_eq!(looked, among(&has).len() as u64, "{attribute}={text}");
            }
            if number < 3 {
                for held in model.values() {
                    let compare = Compare {
                        dn: name(held),
                        attribute: crate::support::attribute(attribute),
                        value: Bytes::from(text.clone()),
                    };
                    let want = match (present(held), has(held)) {
                        (false, _) => ResultCode::NO_SUCH_ATTRIBUTE,
                        (true, true) => ResultCode::COMPARE_TRUE,
                        (true, false) => ResultCode::COMPARE_FALSE,
                    };
                    assert_eq!(code(store, compare).await, want);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn large_attributes_and_sets_agree(steps in prop::collection::vec(step(), 1..50)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let mut store = Some(open(folder.path(), 4, 400));
            ok(store.as_ref().unwrap(), entry(SUFFIX, &["objectClass: organization", "objectClass: dcObject", "o: Harbour Lane", "dc: harbourlane"])).await;
            let mut model = Model::new();
            for number in 0..ENTRIES {
                play(&mut store, folder.path(), &mut model, &Step::Add(number, vec![(0, (0..9).collect())])).await;
            }
            for step in &steps {
                play(&mut store, folder.path(), &mut model, step).await;
            }
            agrees(store.as_ref().unwrap(), &model).await;
            drop(store.take());
            let store = open(folder.path(), 3, 300);
            sound(&store);
            agrees(&store, &model).await;
            let mut text = Vec::new();
            let mut everything = ExportOptions::default();
            everything.operational = true;
            store.export(&mut text, &everything).unwrap();
            let again = Store::open(options().schema(schema()).indexes(indexes(3))).unwrap();
            again.import(text.as_slice(), &ImportOptions::default(), &mut |_| {}).unwrap();
            agrees(&again, &model).await;
        });
    }
}
