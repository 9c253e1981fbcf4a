//! Parts of values: three octets at a time, with the two at either end marked.
//!
//! A normalised value that contains a part contains every three octets of the part; one that starts with it starts with
//! its first two. So the entries of some keys are all that can match, and few others. What a part of two octets asks is a
//! range of keys; a part of one octet in the middle asks too much and is left to others, or to a look at each entry.
//!
//! Matching ([`MatchingRule::has_substrings`](flext_ldap_proto::schema::MatchingRule::has_substrings)) lets the ends of a
//! value stand for a space, so spaces at the ends of a part are not looked for.

use flext_ldap_proto::filter::Substrings;

/// Values of more octets are not taken apart; they stand under one key that is added to every answer.
const LONGEST: usize = 256;

/// Marks. No UTF-8 has these octets, and normalised text is UTF-8; if other octets met them, there would be some
/// candidates too many.
const START: u8 = 0xfe;
const END: u8 = 0xff;
/// A value too long.
pub(super) const LONG: [u8; 3] = [0xfd, 0xfd, 0xfd];

/// Keys asked for one assertion: more would not narrow it further.
const ASKED: usize = 24;

/// Keys to look at: one, or all from the first to the last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Grams {
    One([u8; 3]),
    Range([u8; 3], [u8; 3]),
    /// Both of these together: the two octets before another, and at the end.
    Within([u8; 2]),
}

/// The keys of a normalised value.
pub(super) fn of_value(value: &[u8], grams: &mut impl Extend<[u8; 3]>) {
    if value.len() > LONGEST {
        return grams.extend([LONG]);
    }
    grams.extend(value.array_windows::<3>().copied());
    if let [first, rest @ ..] = value {
        grams.extend([[START, *first, rest.first().copied().unwrap_or_default()]]);
    }
    if let [rest @ .., last] = value {
        // The last octet first, so that one octet at the end is a range.
        grams.extend([[END, *last, rest.last().copied().unwrap_or_default()]]);
    }
}

/// What every value with these normalised parts has, whole or too long. Empty where nothing can be said.
pub(super) fn of_parts(parts: &Substrings) -> Vec<Grams> {
    let mut asked = Vec::new();
    if let Some(part) = &parts.initial {
        match part.trim_ascii_end() {
            // A space at the start of what is left would be one that is looked for as such.
            core if core.starts_with(b" ") => middle(core, &mut asked),
            [] => {}
            [one] => asked.push(Grams::Range([START, *one, 0], [START, *one, u8::MAX])),
            core @ [one, two, ..] => {
                asked.push(Grams::One([START, *one, *two]));
                middle(core, &mut asked);
            }
        }
    }
    if let Some(part) = &parts.last {
        match part.trim_ascii_start() {
            core if core.ends_with(b" ") => middle(core, &mut asked),
            [] => {}
            [one] => asked.push(Grams::Range([END, *one, 0], [END, *one, u8::MAX])),
            core @ [.., before, last] => {
                asked.push(Grams::One([END, *last, *before]));
                middle(core, &mut asked);
            }
        }
    }
    for part in &parts.any {
        let core = part.trim_ascii();
        if let [one, two] = core {
            asked.push(Grams::Within([*one, *two]));
        }
        middle(core, &mut asked);
    }
    asked.truncate(ASKED);
    asked
}

fn middle(part: &[u8], asked: &mut Vec<Grams>) {
    for gram in part.trim_ascii().array_windows::<3>() {
        if !asked.contains(&Grams::One(*gram)) {
            asked.push(Grams::One(*gram));
        }
        if asked.len() >= ASKED {
            return;
        }
    }
}

impl Grams {
    /// The ranges of keys, each from the first to the last, that are this together.
    pub(super) fn ranges(self) -> Vec<([u8; 3], [u8; 3])> {
        match self {
            Self::One(gram) => vec![(gram, gram)],
            Self::Range(first, last) => vec![(first, last)],
            Self::Within([one, two]) => {
                vec![([one, two, 0], [one, two, u8::MAX]), ([END, two, one], [END, two, one])]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bytes::Bytes;
    use flext_ldap_proto::schema::MatchingRule;
    use proptest::prelude::*;

    use super::*;

    fn parts(text: &str) -> Substrings {
        let mut pieces: Vec<Bytes> =
            text.split('*').map(|part| Bytes::copy_from_slice(part.as_bytes())).collect();
        let last = pieces.pop().filter(|part| !part.is_empty());
        let initial = Some(pieces.remove(0)).filter(|part| !part.is_empty());
        Substrings { initial, any: pieces.into_iter().filter(|part| !part.is_empty()).collect(), last }
    }

    #[test]
    fn what_parts_ask_for() {
        let table: [(&str, &[Grams]); 8] = [
            ("j*", &[Grams::Range([START, b'j', 0], [START, b'j', 255])]),
            ("jo*", &[Grams::One([START, b'j', b'o'])]),
            ("jon*", &[Grams::One([START, b'j', b'o']), Grams::One(*b"jon")]),
            ("*n", &[Grams::Range([END, b'n', 0], [END, b'n', 255])]),
            ("*son", &[Grams::One([END, b'n', b'o']), Grams::One(*b"son")]),
            ("*o*", &[]),
            ("*oh*", &[Grams::Within(*b"oh")]),
            ("*ohn*", &[Grams::One(*b"ohn")]),
        ];
        for (text, want) in table {
            assert_eq!(of_parts(&parts(text)), want, "{text}");
        }
        let long = "x".repeat(40) + "abcdefghijklmnopqrstuvwxyzabcdefghijklm*";
        assert_eq!(of_parts(&parts(&long)).len(), ASKED);
    }

    #[test]
    fn what_values_stand_under() {
        let of = |value: &[u8]| {
            let mut grams = BTreeSet::new();
            of_value(value, &mut grams);
            grams.into_iter().collect::<Vec<_>>()
        };
        assert_eq!(of(b"anna"), [*b"ann", *b"nna", [START, b'a', b'n'], [END, b'a', b'n']]);
        assert_eq!(of(b"a"), [[START, b'a', 0], [END, b'a', 0]]);
        assert!(of(b"").is_empty());
        assert_eq!(of(&[b'x'; LONGEST + 1]), [LONG]);
    }

    fn text() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["a", "b", "A", " ", "  ", "é", "\u{301}", "ß"]), 0..8)
            .prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]
        /// The planner's promise: whatever the rule matches stands under every key asked for.
        #[test]
        fn what_matches_is_found(value in text(), asked in prop::collection::vec(text(), 2..5)) {
            let parts = parts(&asked.join("*"));
            for rule in ["caseIgnoreSubstringsMatch", "caseExactSubstringsMatch", "telephoneNumberSubstringsMatch"] {
                let rule = MatchingRule::find(rule).unwrap();
                let (Ok(normal), Ok(parts)) = (rule.normalize(value.as_bytes()), rule.normalize_substrings(&parts)) else {
                    continue;
                };
                if parts == Substrings::default() || !MatchingRule::has_substrings(&normal, &parts) {
                    continue;
                }
                let mut grams = BTreeSet::new();
                of_value(&normal, &mut grams);
                for asked in of_parts(&parts) {
                    let found = asked.ranges().iter().any(|(first, last)| grams.range(*first..=*last).next().is_some());
                    prop_assert!(found, "{asked:?} of {parts:?} in {normal:?}");
                }
            }
        }
    }
}
