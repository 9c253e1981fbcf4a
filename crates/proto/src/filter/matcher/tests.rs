//! What filters say of one entry.

use proptest::prelude::*;

use super::*;
use crate::attribute::Attributes;
use Truth::{False, True, Undefined};

struct Person {
    dn: Dn,
    user: Attributes,
    operational: Attributes,
}

impl Person {
    fn new() -> Self {
        let mut user = Attributes::builder();
        user.push("objectClass", ["top", "person", "organizationalPerson", "inetOrgPerson"]);
        user.push("cn", ["Ana  Brandt", "Brandt, Ana"]);
        user.push("cn;lang-hr;x-y", ["Ana Brandić"]);
        user.push("2.5.4.4", ["Brandt"]);
        user.push("uid", ["ana.brandt"]);
        user.push("mail", ["Ana@harbourlane.example"]);
        user.push("telephoneNumber", ["+49 421-555 01"]);
        user.push("manager", ["UID=kai,  OU=people,dc=harbourlane,dc=example"]);
        user.push("description", ["a*b(c)\\d", "50 % of it"]);
        user.push("uidNumber", ["1000"]);
        user.push("gidNumber", ["not a number"]);
        user.push("userPassword", ["{SSHA}x"]);
        user.push("jpegPhoto", [b"\xff\xd8"]);
        user.push("title", [""; 0]);
        let mut operational = Attributes::builder();
        operational.push("createTimestamp", ["20260301120000Z"]);
        operational.push("entryDN", ["uid=ana.brandt,ou=people,dc=harbourlane,dc=example"]);
        operational.push("structuralObjectClass", ["inetOrgPerson"]);
        Self {
            dn: "uid=ana.brandt,ou=People + l=Bremen,dc=harbourlane,dc=example".parse().unwrap(),
            user: user.build(),
            operational: operational.build(),
        }
    }

    fn evaluate(&self, filter: &Filter, readable: &dyn Fn(&str) -> bool) -> Truth {
        let segments = [self.user.as_ref(), self.operational.as_ref()];
        Matcher::new(filter, Schema::standard()).evaluate(&self.dn, &segments, readable)
    }

    fn matches(&self, text: &str) -> Truth {
        self.evaluate(&text.parse().unwrap(), &|_| true)
    }
}

#[test]
fn assertions() {
    let person = Person::new();
    let table: &[(&str, Truth)] = &[
        // What does not fit the rule's syntax is undefined, and so is its opposite.
        ("(cn=)", Undefined),
        ("(!(cn=))", Undefined),
        ("(telephoneNumber=_)", Undefined),
        ("(cn:caseExactMatch:=)", Undefined),
        // Names, subtypes, options.
        ("(cn=ana brandt)", True),
        ("(CN=  ANA   Brandt )", True),
        ("(commonName=ana brandt)", True),
        ("(2.5.4.3=ana brandt)", True),
        ("(name=ana brandt)", True),
        ("(name=brandt)", True),
        ("(sn=brandt)", True),
        ("(surname=brandt)", True),
        ("(cn=brandt)", False),
        ("(cn=ana brandić)", True),
        ("(cn=ANA BRANDIĆ)", True),
        ("(cn;lang-hr=ana brandić)", True),
        ("(cn;LANG-HR=ana brandić)", True),
        ("(cn;x-y;lang-hr=ana brandić)", True),
        ("(name;lang-hr=ana brandić)", True),
        ("(cn;lang-hr=ana brandt)", False),
        ("(cn;lang-de=ana brandt)", False),
        ("(cn;lang=ana brandić)", False),
        ("(nosuch=x)", Undefined),
        ("(nosuch=*)", Undefined),
        ("(cn;lang-hr=*)", True),
        ("(cn;lang-de=*)", False),
        ("(cn=*)", True),
        ("(title=*)", False),
        ("(street=*)", False),
        ("(entryDN=*)", True),
        // Object classes by name and OID; superclasses are what the entry lists.
        ("(objectClass=person)", True),
        ("(objectClass=PERSON)", True),
        ("(objectClass=2.5.6.6)", True),
        ("(objectClass=groupOfNames)", False),
        ("(objectClass=*)", True),
        ("(structuralObjectClass=2.16.840.1.113730.3.2.2)", True),
        ("(structuralObjectClass=person)", False),
        // By the attribute's rule.
        ("(mail=ana@HARBOURLANE.example)", True),
        ("(telephoneNumber=+494215550 1)", True),
        ("(manager=uid=Kai,ou=People,DC=harbourlane,dc=example)", True),
        ("(manager=0.9.2342.19200300.100.1.1=kai,ou=people,dc=harbourlane,dc=example)", True),
        ("(manager=uid=kai)", False),
        ("(manager=kai)", Undefined),
        ("(entryDN=UID=ana.brandt,ou=people,dc=harbourlane,dc=example)", True),
        ("(uidNumber=1000)", True),
        ("(uidNumber=1e3)", Undefined),
        ("(userPassword={SSHA}x)", True),
        ("(userPassword={ssha}x)", False),
        ("(cn~=ANA BRANDT)", True),
        ("(cn~=ana brant)", False),
        // No equality rule.
        (r"(jpegPhoto=\ff\d8)", Undefined),
        ("(jpegPhoto=*)", True),
        // A value that does not fit its syntax fulfils nothing.
        ("(gidNumber=1)", False),
        ("(gidNumber>=0)", False),
        ("(gidNumber=*)", True),
        // Order.
        ("(uidNumber>=999)", True),
        ("(uidNumber>=1000)", True),
        ("(uidNumber>=1001)", False),
        ("(uidNumber<=1000)", True),
        ("(uidNumber<=999)", False),
        ("(uidNumber<=-5)", False),
        ("(createTimestamp>=20260101000000Z)", True),
        ("(createTimestamp<=20260101000000Z)", False),
        ("(createTimestamp>=202603011300+0100)", True),
        ("(createTimestamp<=202603011300+0100)", True),
        ("(createTimestamp>=yesterday)", Undefined),
        ("(mail>=a)", Undefined),
        // Parts.
        ("(cn=ana*)", True),
        ("(cn=*brandt)", True),
        ("(cn=A*r*ND*t)", True),
        ("(cn=ana*ana*brandt)", False),
        ("(cn=*ana b*)", True),
        ("(cn=*andić)", True),
        ("(name=*lane*)", False),
        ("(mail=*@harbourlane.example)", True),
        ("(telephoneNumber=+49421*)", True),
        (r"(description=a\2ab\28c\29\5cd)", True),
        (r"(description=*\2ab*)", True),
        (r"(description=*\2ac*)", False),
        ("(uidNumber=1*)", Undefined),
        ("(manager=uid=kai*)", Undefined),
    ];
    for (text, want) in table {
        assert_eq!(person.matches(text), *want, "{text}");
    }
}

#[test]
fn extensible_matches() {
    let person = Person::new();
    let table: &[(&str, Truth)] = &[
        ("(cn:caseExactMatch:=Ana Brandt)", True),
        ("(cn:caseExactMatch:=ana brandt)", False),
        ("(cn:CASEexactMATCH:=Ana Brandt)", True),
        ("(cn:2.5.13.5:=Ana Brandt)", True),
        ("(cn:=ana brandt)", True),
        ("(cn:noSuchMatch:=Ana Brandt)", Undefined),
        ("(nosuch:caseExactMatch:=x)", Undefined),
        ("(jpegPhoto:=x)", Undefined),
        ("(jpegPhoto:octetStringMatch:=x)", False),
        // Rules that are not valid for the attribute type (RFC 4511 §4.5.1.7), and one that is though the attribute's own
        // is another (RFC 4517 §4.2.11).
        ("(uidNumber:caseIgnoreMatch:=1000)", Undefined),
        ("(mail:caseIgnoreMatch:=x)", Undefined),
        ("(cn:integerMatch:=5)", Undefined),
        ("(cn:telephoneNumberMatch:=5)", Undefined),
        ("(telephoneNumber:caseIgnoreMatch:=5)", False),
        // Values of the name.
        ("(ou:=people)", False),
        ("(ou:dn:=people)", True),
        ("(l:dn:=bremen)", True),
        ("(dc:dn:=example)", True),
        ("(dc:dn:=com)", False),
        ("(name:dn:=people)", True),
        ("(dc:dn:caseExactIA5Match:=Example)", False),
        // Every attribute the rule applies to.
        ("(:caseIgnoreMatch:=ANA.BRANDT)", True),
        ("(:caseIgnoreMatch:=people)", False),
        ("(:dn:caseIgnoreMatch:=people)", True),
        ("(:caseExactMatch:=ANA.BRANDT)", False),
        ("(:caseExactMatch:=ana.brandt)", True),
        ("(:distinguishedNameMatch:=uid=kai,ou=people,dc=harbourlane,dc=example)", True),
        ("(:distinguishedNameMatch:=kai)", Undefined),
        ("(:integerMatch:=1000)", True),
        ("(:integerMatch:=1001)", False),
        ("(:objectIdentifierMatch:=2.5.6.6)", True),
        // Bits.
        ("(uidNumber:1.2.840.113556.1.4.803:=1000)", True),
        ("(uidNumber:1.2.840.113556.1.4.803:=8)", True),
        ("(uidNumber:1.2.840.113556.1.4.803:=9)", False),
        ("(uidNumber:1.2.840.113556.1.4.804:=9)", True),
        ("(uidNumber:1.2.840.113556.1.4.804:=1)", False),
        ("(uidNumber:1.2.840.113556.1.4.804:=x)", Undefined),
        // A rule of order asks for what comes before.
        ("(uidNumber:integerOrderingMatch:=1001)", True),
        ("(uidNumber:integerOrderingMatch:=1000)", False),
        (r"(cn:caseIgnoreSubstringsMatch:=ana\2abr\2a)", True),
        (r"(cn:caseIgnoreSubstringsMatch:=\2aAN)", False),
        (r"(description:caseExactSubstringsMatch:=a\5c2Ab\2a\5c5Cd)", True),
        (r"(description:caseExactSubstringsMatch:=a\5cb\2a)", Undefined),
        ("(cn:caseIgnoreSubstringsMatch:=ana)", Undefined),
    ];
    for (text, want) in table {
        // `*` cannot stand for itself in an extensible match.
        assert_eq!(person.matches(text), *want, "{text}");
    }
}

#[test]
fn three_valued_lists() {
    let person = Person::new();
    let leaf = |truth| match truth {
        True => "(uid=ana.brandt)",
        False => "(uid=kai)",
        Undefined => "(nosuch=x)",
    };
    let all = [True, False, Undefined];
    for first in all {
        let not = match first {
            True => False,
            False => True,
            Undefined => Undefined,
        };
        assert_eq!(person.matches(&format!("(!{})", leaf(first))), not);
        for second in all {
            let (one, two) = (leaf(first), leaf(second));
            let and = match (first, second) {
                (False, _) | (_, False) => False,
                (True, True) => True,
                _ => Undefined,
            };
            let or = match (first, second) {
                (True, _) | (_, True) => True,
                (False, False) => False,
                _ => Undefined,
            };
            assert_eq!(person.matches(&format!("(&{one}{two})")), and, "(&{one}{two})");
            assert_eq!(person.matches(&format!("(|{one}{two})")), or, "(|{one}{two})");
            assert_eq!(person.matches(&format!("(&(|{one})(!(!{two})))")), and);
            assert_eq!(person.matches(&format!("(|(&{one}(&))(|(|){two}))")), or);
        }
    }
    assert_eq!(person.matches("(&)"), True);
    assert_eq!(person.matches("(|)"), False);
    assert_eq!(person.matches("(!(&))"), False);
    assert_eq!(person.matches("(&(|)(&))"), False);
    assert_eq!(person.matches("(&(&)(!(|)))"), True);
}

/// Bombs of many parts on one long value: work is told of before it is done, and can be ended.
#[test]
fn work_is_told_of_before_it_is_done_and_can_be_ended() {
    let mut user = Attributes::builder();
    user.push("cn", ["ab".repeat(50_000)]);
    let (user, dn) = (user.build(), Dn::root());
    let filter: Filter = format!("(|{})", "(cn=*abd*)".repeat(400)).parse().unwrap();
    let matcher = Matcher::new(&filter, Schema::standard());
    for (most, want) in [(usize::MAX, (False, 400)), (1_000_000, (Undefined, 10))] {
        let told = std::cell::RefCell::new(Vec::new());
        let spend = |octets| {
            told.borrow_mut().push(octets);
            told.borrow().iter().sum::<usize>() <= most
        };
        let truth = matcher.evaluate_with(&dn, &[user.as_ref()], &[], &|_| true, &|_| None, &spend);
        let told = told.into_inner();
        assert_eq!((truth, told.len()), want);
        // The value, what it costs to look at one, to find the attribute, and to ask for the assertion.
        assert!(told.iter().all(|octets| *octets == 100_000 + 16 + 8 + 64));
    }
}

#[test]
fn a_decided_list_is_left() {
    let person = Person::new();
    let seen = std::cell::RefCell::new(Vec::new());
    let readable = |name: &str| {
        seen.borrow_mut().push(name.to_owned());
        true
    };
    let filter = "(&(uid=ana.brandt)(|(cn=ana brandt)(sn=x))(uid=kai)(mail=*))".parse().unwrap();
    assert_eq!(person.evaluate(&filter, &readable), False);
    assert_eq!(*seen.borrow(), ["uid", "cn", "uid"]);
}

#[test]
fn what_may_not_be_read_cannot_be_told() {
    let person = Person::new();
    let readable = |name: &str| name != "userPassword" && name != "cn";
    let matches = |text: &str| person.evaluate(&text.parse().unwrap(), &readable);
    let table: &[(&str, Truth)] = &[
        ("(userPassword=*)", Undefined),
        ("(userPassword={SSHA}x)", Undefined),
        ("(!(userPassword=*))", Undefined),
        ("(!(2.5.4.35=*))", Undefined),
        ("(commonName=ana brandt)", Undefined),
        ("(cn;lang-hr=*)", Undefined),
        ("(cn:dn:=ana brandt)", Undefined),
        // Found only through what it is a subtype of, it is not there.
        ("(name=ana brandt)", False),
        ("(name=brandt)", True),
        ("(:caseIgnoreMatch:=ana brandt)", False),
        ("(:octetStringMatch:={SSHA}x)", False),
    ];
    for (text, want) in table {
        assert_eq!(matches(text), *want, "{text}");
    }
    // The same of an entry without the attribute: the answers do not differ.
    let bare = Person { user: Attributes::default(), ..Person::new() };
    assert_eq!(bare.evaluate(&"(!(userPassword=*))".parse().unwrap(), &readable), Undefined);
    assert_eq!(bare.evaluate(&"(userPassword=*)".parse().unwrap(), &readable), Undefined);
}

#[test]
fn only_dn_matches_look_at_the_name() {
    let looks = |text: &str| Matcher::new(&text.parse().unwrap(), Schema::standard()).looks_at_name();
    assert!(!looks("(&(ou=people)(cn:caseExactMatch:=x))"));
    assert!(looks("(&(ou:dn:=people)(cn=x))"));
    assert!(!looks("(nosuch:dn:=people)"));
}

#[test]
fn a_thousand_levels_cost_no_stack() {
    let person = Person::new();
    let deep = |open: &str, leaf: &str| format!("{}{leaf}{}", open.repeat(999), ")".repeat(999));
    let table = [
        (deep("(!", "(uid=kai)"), True),
        (deep("(&", "(uid=ana.brandt)"), True),
        (deep("(|(uid=kai)", "(nosuch=*)"), Undefined),
        (deep("(&(uid=ana.brandt)", "(uid=kai)"), False),
    ];
    // Made ready here: only the filters are the small stack's matter.
    let _ = Schema::standard();
    let test = move || {
        for (text, want) in table {
            assert_eq!(person.matches(&text), want, "{text:.20}");
        }
    };
    std::thread::Builder::new().stack_size(64 << 10).spawn(test).unwrap().join().unwrap();
}

#[test]
fn many_leaves_are_made_ready_at_linear_cost() {
    let leaf = |number| Filter::present(format!("name;x{number}").parse().unwrap());
    let filter = Filter::or((0..50_000).map(leaf));
    let matcher = Matcher::new(&filter, Schema::standard());
    assert_eq!(matcher.evaluate(&Dn::root(), &[], &|_| true), False);
}

/// Many values of one attribute, and how often each was asked for.
struct Many {
    description: &'static str,
    values: Vec<&'static str>,
    asked: Cell<(u32, u32)>,
}

impl LargeAttribute for Many {
    fn description(&self) -> &str {
        self.description
    }

    fn contains(&self, rule: MatchingRule, normal: &[u8]) -> Option<bool> {
        let (contains, any) = self.asked.get();
        self.asked.set((contains + 1, any));
        (rule.name() == "caseIgnoreMatch")
            .then(|| self.values.iter().any(|value| *rule.normalize(value.as_bytes()).unwrap() == *normal))
    }

    fn any(&self, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let (contains, any) = self.asked.get();
        self.asked.set((contains, any + 1));
        self.values.iter().any(|value| test(value.as_bytes()))
    }
}

#[test]
fn large_attributes_are_asked_and_not_walked_where_that_tells() {
    let person = Person::new();
    let many =
        |description| Many { description, values: vec!["Pilot", "Harbour  Master"], asked: Cell::default() };
    // What is said; how often one value was asked for, and how often all were gone through.
    let table: &[(&str, &str, Truth, (u32, u32))] = &[
        ("(title=*)", "title", True, (0, 0)),
        ("(title=PILOT)", "title", True, (1, 0)),
        ("(title= harbour master)", "title", True, (1, 0)),
        ("(title=cook)", "title", False, (1, 0)),
        ("(!(title=cook))", "title", True, (1, 0)),
        ("(title=har*)", "title", True, (0, 1)),
        ("(title=*cook)", "title", False, (0, 1)),
        ("(title:caseExactMatch:=Pilot)", "title", True, (0, 1)),
        ("(title:caseExactMatch:=pilot)", "title", False, (0, 1)),
        // Subtypes and options, and attributes that are not asked about.
        ("(name=pilot)", "title;lang-en", True, (1, 0)),
        ("(title;lang-de=pilot)", "title;lang-en", False, (0, 0)),
        ("(cn=pilot)", "title", False, (0, 0)),
        ("(cn=ana brandt)", "title", True, (0, 0)),
        // In the entry's own list and among many.
        ("(|(uid=ana.brandt)(title=pilot))", "title", True, (0, 0)),
        ("(unheard=pilot)", "title", Undefined, (0, 0)),
        ("(userPassword=pilot)", "title", False, (0, 0)),
    ];
    for (text, description, want, asked) in table {
        let many = many(description);
        let matcher = Matcher::new(&text.parse().unwrap(), Schema::standard());
        let got = matcher.evaluate_with(
            &person.dn,
            &[person.user.as_ref()],
            &[&many],
            &|_| true,
            &|_| None,
            &|_| true,
        );
        assert_eq!((got, many.asked.get()), (*want, *asked), "{text}");
    }
    // What may not be looked at is not asked about either.
    let many = many("title");
    let matcher = Matcher::new(&"(title=pilot)".parse().unwrap(), Schema::standard());
    let got = matcher.evaluate_with(&person.dn, &[], &[&many], &|name| name != "title", &|_| None, &|_| true);
    assert_eq!((got, many.asked.get()), (Undefined, (0, 0)));
}

#[test]
fn matchers_go_where_searches_go() {
    fn shared<T: Send + Sync>(_: &T) {}

    shared(&Matcher::new(&Filter::any(), Schema::standard()));
}

/// The plain definition, by recursion, of what lists mean.
fn meaning(nodes: &mut std::slice::Iter<'_, Node>, leaf: &dyn Fn(&Node) -> Truth) -> Truth {
    let node = nodes.next().unwrap();
    let mut children: Vec<Truth> = Vec::new();
    for _ in 0..node.children() {
        children.push(meaning(nodes, leaf));
    }
    let (absorbing, neutral) = match node {
        Node::And { .. } => (False, True),
        Node::Or { .. } => (True, False),
        Node::Not => {
            return match children[0] {
                True => False,
                False => True,
                Undefined => Undefined,
            };
        }
        other => return leaf(other),
    };
    if children.contains(&absorbing) {
        absorbing
    } else if children.contains(&Undefined) {
        Undefined
    } else {
        neutral
    }
}

/// What is known of an assertion counts, and only assertions are asked about.
#[test]
fn what_is_known_otherwise_counts() {
    let filter: Filter = "(&(uid=nobody)(|(nosuch=x)(!(uid=ana.brandt))))".parse().unwrap();
    let matcher = Matcher::new(&filter, Schema::standard());
    let asked = std::cell::RefCell::new(Vec::new());
    let attributes = Attributes::builder().build();
    let evaluate = |known: &dyn Fn(usize) -> Option<Truth>| {
        matcher.evaluate_with(&Dn::root(), &[attributes.as_ref()], &[], &|_| true, known, &|_| true)
    };
    let truth = evaluate(&|place| {
        asked.borrow_mut().push(place);
        (place == 1 || place == 3).then_some(True)
    });
    assert_eq!((truth, asked.into_inner()), (True, vec![1, 3]));
    assert_eq!(evaluate(&|_| None), False);
    assert_eq!(evaluate(&|place| (place == 1).then_some(Undefined)), Undefined);
}

fn lists() -> impl Strategy<Value = Filter> {
    let leaf = proptest::sample::select(&["(uid=ana.brandt)", "(uid=kai)", "(nosuch=x)", "(&)", "(|)"][..])
        .prop_map(|text| text.parse::<Filter>().unwrap());
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Filter::and),
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Filter::or),
            inner.prop_map(Filter::not),
        ]
    })
}

proptest! {
    #[test]
    fn lists_mean_what_they_should(filter in lists()) {
        let person = Person::new();
        let leaf = |node: &Node| person.evaluate(&Filter::leaf(node.clone()).unwrap(), &|_| true);
        prop_assert_eq!(person.evaluate(&filter, &|_| true), meaning(&mut filter.nodes().iter(), &leaf));
    }
}
