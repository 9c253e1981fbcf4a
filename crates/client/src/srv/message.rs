//! Questions for SRV records and their answers as DNS writes them (RFC 1035 §4, RFC 2782): no more of DNS than that.
//!
//! Answers come from the network: nothing is indexed, names are followed a bounded number of times, and only forwards to
//! what stands before.

use std::time::Duration;

use super::{SrvAnswer, SrvRecord};

const TYPE_SRV: u16 = 33;
const TYPE_CNAME: u16 = 5;
const TYPE_OPT: u16 = 41;
const CLASS_IN: u16 = 1;
/// Octets of an answer that we say we take over UDP: what passes everywhere in one piece (RFC 6891, DNS flag day 2020).
pub(super) const UDP_SIZE: u16 = 1232;
/// Octets of the record that says so.
const SIZE_RECORD: usize = 11;
/// Octets of a name in text, at most (RFC 1035 §2.3.4).
const LONGEST_NAME: usize = 253;
/// Records of one answer that are looked at; there are at most 4,096 in 64 KiB that have anything in them.
const MOST_RECORDS: u16 = 4_096;
/// Pointers followed in one name.
const MOST_JUMPS: usize = 64;

/// What an answer says.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Said {
    /// These are the records; none, where the name has none or is not there at all.
    Records(SrvAnswer),
    /// Ask again by TCP.
    Truncated,
    /// The server did not understand the question.
    NotUnderstood,
    /// The server could not or would not: its code (RFC 1035 §4.1.1).
    Failed(u8),
}

/// Why octets are no answer to the question.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Malformed {
    /// It is not the answer to this question: another one's, or a forged one.
    OfAnother,
    /// It is cut short, or goes round in circles.
    Broken,
}

/// A question for the SRV records of `name`, or `None` where that is no name.
pub(super) fn question(id: u16, name: &str) -> Option<Vec<u8>> {
    let mut message = Vec::with_capacity(64 + name.len());
    // Flags: a standard query, recursion desired. One question, and in the additional section what we take (EDNS).
    for word in [id, 0x0100, 1, 0, 0, 1] {
        message.extend_from_slice(&word.to_be_bytes());
    }
    encode_name(name, &mut message)?;
    for word in [TYPE_SRV, CLASS_IN] {
        message.extend_from_slice(&word.to_be_bytes());
    }
    // The root's name, OPT, our size, no extended code, version or flags, no options.
    message.push(0);
    for word in [TYPE_OPT, UDP_SIZE, 0, 0, 0] {
        message.extend_from_slice(&word.to_be_bytes());
    }
    Some(message)
}

/// The same question without saying what we take, for servers that do not understand that (RFC 6891 §6.2.2).
pub(super) fn without_size(question: &[u8]) -> Vec<u8> {
    let mut plain = question.to_vec();
    plain.truncate(question.len().saturating_sub(SIZE_RECORD));
    // The count of the additional section.
    if let Some(count) = plain.get_mut(10..12) {
        count.fill(0);
    }
    plain
}

fn encode_name(name: &str, message: &mut Vec<u8>) -> Option<()> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.len() > LONGEST_NAME || !name.is_ascii() {
        return None;
    }
    for label in name.split('.') {
        let length = u8::try_from(label.len()).ok().filter(|length| (1..=63).contains(length))?;
        message.push(length);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    Some(())
}

/// Reads the answer to the question `id` for `name`.
pub(super) fn answer(id: u16, name: &str, octets: &[u8]) -> Result<Said, Malformed> {
    let mut reader = Reader { octets, at: 0 };
    let (given, flags) = (reader.word()?, reader.word()?);
    let [questions, answers, _authorities, _additional] =
        [reader.word()?, reader.word()?, reader.word()?, reader.word()?];
    let is_response = flags & 0x8000 != 0;
    if given != id || !is_response {
        return Err(Malformed::OfAnother);
    }
    let code = u8::try_from(flags & 0xf).unwrap_or(u8::MAX);
    const NOT_UNDERSTOOD: u8 = 1;
    const NO_SUCH_NAME: u8 = 3;
    // A server that understood nothing need not repeat the question; nobody gains by forging that.
    match code {
        NOT_UNDERSTOOD => return Ok(Said::NotUnderstood),
        1.. if questions == 0 => return Ok(Said::Failed(code)),
        _ => {}
    }
    let asked = name.strip_suffix('.').unwrap_or(name);
    let is_ours = questions == 1
        && reader.name()?.is_some_and(|name| name.eq_ignore_ascii_case(asked))
        && reader.word()? == TYPE_SRV
        && reader.word()? == CLASS_IN;
    if !is_ours {
        return Err(Malformed::OfAnother);
    }
    const TRUNCATED: u16 = 0x0200;
    match code {
        _ if flags & TRUNCATED != 0 => return Ok(Said::Truncated),
        0 | NO_SUCH_NAME => {}
        code => return Ok(Said::Failed(code)),
    }
    let mut found = SrvAnswer { records: Vec::new(), ttl: Duration::MAX };
    // The name may be an alias of another one, of which the records then are.
    let mut owner = asked.to_owned();
    for _ in 0..answers.min(MOST_RECORDS) {
        let of = reader.name()?;
        let (kind, class) = (reader.word()?, reader.word()?);
        let ttl = reader.ttl()?;
        let length = usize::from(reader.word()?);
        let mut data = reader.part(length)?;
        let is_owned = of.is_some_and(|of| of.eq_ignore_ascii_case(&owner));
        match kind {
            TYPE_CNAME if class == CLASS_IN && is_owned => {
                owner = data.name()?.ok_or(Malformed::Broken)?;
                found.ttl = found.ttl.min(ttl);
            }
            TYPE_SRV if class == CLASS_IN && is_owned => {
                let (priority, weight, port) = (data.word()?, data.word()?, data.word()?);
                // What is no name of a host cannot be connected to, and may be meant for whoever prints it.
                let Some(target) = data.name()?.filter(|target| is_host(target)) else { continue };
                found.records.push(SrvRecord { priority, weight, port, target });
                found.ttl = found.ttl.min(ttl);
            }
            _ => {}
        }
    }
    Ok(Said::Records(found))
}

/// Whether a name is one that a host can have (RFC 952, RFC 1123 §2.1), or the root's, which says that there is none.
/// Underscores are taken, for they are met with.
fn is_host(name: &str) -> bool {
    !name.starts_with('-')
        && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet))
}

/// Reads a message from front to back.
#[derive(Clone, Copy)]
struct Reader<'a> {
    octets: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn octet(&mut self) -> Result<u8, Malformed> {
        let octet = *self.octets.get(self.at).ok_or(Malformed::Broken)?;
        self.at += 1;
        Ok(octet)
    }

    fn word(&mut self) -> Result<u16, Malformed> {
        Ok(u16::from_be_bytes([self.octet()?, self.octet()?]))
    }

    /// A time to live; what has its highest bit set counts as none (RFC 2181 §8).
    fn ttl(&mut self) -> Result<Duration, Malformed> {
        let seconds = u32::from(self.word()?) << 16 | u32::from(self.word()?);
        Ok(Duration::from_secs(if seconds >> 31 == 0 { u64::from(seconds) } else { 0 }))
    }

    /// A reader of the next so many octets, which may still point to what stands before them; this one goes on behind.
    fn part(&mut self, length: usize) -> Result<Self, Malformed> {
        let end = self.at.checked_add(length).ok_or(Malformed::Broken)?;
        let octets = self.octets.get(..end).ok_or(Malformed::Broken)?;
        let part = Self { octets, at: self.at };
        self.at = end;
        Ok(part)
    }

    /// A name as text without the dot at the end; `None` where a label of it is no plain ASCII or has a dot in it.
    fn name(&mut self) -> Result<Option<String>, Malformed> {
        let (mut text, mut is_plain) = (String::new(), true);
        let mut reader = *self;
        let mut end = None;
        // A pointer must point before the place where this part of the name begins, so it cannot go in circles.
        let mut before = self.at;
        let mut jumps = 0;
        loop {
            let length = reader.octet()?;
            match length >> 6 {
                0 if length == 0 => break,
                0 => {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    for _ in 0..length {
                        let octet = reader.octet()?;
                        is_plain &= octet.is_ascii_graphic() && octet != b'.';
                        text.push(char::from(octet));
                    }
                    if text.len() > 2 * LONGEST_NAME {
                        return Err(Malformed::Broken);
                    }
                }
                3 => {
                    let place = usize::from(length & 0x3f) << 8 | usize::from(reader.octet()?);
                    end.get_or_insert(reader.at);
                    jumps += 1;
                    if place >= before || jumps > MOST_JUMPS {
                        return Err(Malformed::Broken);
                    }
                    (before, reader.at) = (place, place);
                }
                _ => return Err(Malformed::Broken),
            }
        }
        self.at = end.unwrap_or(reader.at);
        is_plain &= text.len() <= LONGEST_NAME;
        Ok(is_plain.then_some(text))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: &str = "_ldap._tcp.harbourlane.example";

    /// An answer with this header's flags, and these records behind the question.
    fn response(flags: u16, answers: &[Vec<u8>]) -> Vec<u8> {
        let mut message = Vec::new();
        for word in [7, flags, 1, u16::try_from(answers.len()).unwrap(), 0, 0] {
            message.extend_from_slice(&word.to_be_bytes());
        }
        encode_name(NAME, &mut message).unwrap();
        message.extend_from_slice(&[0, 33, 0, 1]);
        message.extend(answers.concat());
        message
    }

    fn record(owner: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
        let mut record = owner.to_vec();
        record.extend_from_slice(&kind.to_be_bytes());
        record.extend_from_slice(&CLASS_IN.to_be_bytes());
        record.extend_from_slice(&ttl.to_be_bytes());
        record.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
        record.extend_from_slice(data);
        record
    }

    fn srv(priority: u16, weight: u16, port: u16, target: &[u8]) -> Vec<u8> {
        let mut data: Vec<u8> = [priority, weight, port].iter().flat_map(|word| word.to_be_bytes()).collect();
        data.extend_from_slice(target);
        data
    }

    /// A pointer to the name in the question.
    const ASKED: [u8; 2] = [0xc0, 12];

    #[test]
    fn the_question_is_what_rfc_1035_says() {
        let question = question(0x1234, "_ldap._tcp.a.example.").unwrap();
        let expected = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\x01\x05_ldap\x04_tcp\x01a\x07example\0\0\x21\0\x01\
            \0\0\x29\x04\xd0\0\0\0\0\0\0";
        assert_eq!(question, expected);
        let plain = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x05_ldap\x04_tcp\x01a\x07example\0\0\x21\0\x01";
        assert_eq!(without_size(&question), plain);
        let long = format!("_ldap._tcp.{}.example", "x".repeat(64));
        for bad in ["", ".", "a..b", &long, &"a.".repeat(128), "_ldap._tcp.hafen\u{df}e.example"] {
            assert_eq!(super::question(1, bad), None, "{bad}");
        }
    }

    #[test]
    fn answers_are_read() {
        let name = |text: &str| {
            let mut octets = Vec::new();
            encode_name(text, &mut octets).unwrap();
            octets
        };
        // `dc2` and then a pointer to `harbourlane.example`, which stands 11 octets behind the name asked for.
        let compressed = [b"\x03dc2".as_slice(), &[0xc0, 12 + 11]].concat();
        let records = [
            record(&ASKED, TYPE_SRV, 600, &srv(0, 100, 389, &name("dc1.harbourlane.example"))),
            record(&ASKED, TYPE_SRV, 300, &srv(10, 0, 3389, &compressed)),
            record(&name("else.example"), TYPE_SRV, 1, &srv(0, 0, 1, &name("else.example"))),
            record(&ASKED, 16, 1, b"\x04text"),
        ];
        let answer = answer(7, NAME, &response(0x8180, &records)).unwrap();
        let record = |priority, weight, port, target: &str| SrvRecord {
            priority,
            weight,
            port,
            target: target.into(),
        };
        let expected = SrvAnswer {
            records: vec![
                record(0, 100, 389, "dc1.harbourlane.example"),
                record(10, 0, 3389, "dc2.harbourlane.example"),
            ],
            ttl: Duration::from_secs(300),
        };
        assert_eq!(answer, Said::Records(expected));
    }

    #[test]
    fn what_is_no_name_of_a_host_is_passed_over() {
        for (target, is_taken) in [
            (b"\x03dc1\x07example\0".as_slice(), true),
            (b"\x05dc_1-\0", true),
            (b"\0", true),
            (b"\x05$(id)\x07example\0", false),
            (b"\x03a\"b\0", false),
            (b"\x02a/\0", false),
            (b"\x03a@b\0", false),
            (b"\x03a:1\0", false),
            (b"\x02-o\0", false),
        ] {
            let records = [record(&ASKED, TYPE_SRV, 60, &srv(0, 0, 636, target))];
            let Ok(Said::Records(found)) = answer(7, NAME, &response(0x8180, &records)) else { panic!() };
            assert_eq!(found.records.len(), usize::from(is_taken), "{}", target.escape_ascii());
        }
    }

    #[test]
    fn an_alias_is_followed_within_the_answer() {
        let mut alias = Vec::new();
        encode_name("_ldap._tcp.lisbon.example", &mut alias).unwrap();
        let records = [
            record(&ASKED, TYPE_CNAME, 60, &alias),
            record(&alias, TYPE_SRV, 600, &srv(0, 0, 389, b"\x02dc\0")),
        ];
        let Ok(Said::Records(found)) = answer(7, NAME, &response(0x8180, &records)) else { panic!() };
        assert_eq!((found.records.len(), found.ttl), (1, Duration::from_secs(60)));
    }

    #[test]
    fn that_there_is_nothing_is_an_answer_too() {
        let none = Said::Records(SrvAnswer { records: vec![], ttl: Duration::MAX });
        for flags in [0x8180, 0x8183] {
            assert_eq!(answer(7, NAME, &response(flags, &[])).as_ref(), Ok(&none));
        }
        assert_eq!(answer(7, NAME, &response(0x8182, &[])), Ok(Said::Failed(2)));
        assert_eq!(answer(7, NAME, &response(0x8380, &[])), Ok(Said::Truncated));
        let root = [record(&ASKED, TYPE_SRV, 60, &srv(0, 0, 0, b"\0"))];
        let Ok(Said::Records(found)) = answer(7, NAME, &response(0x8180, &root)) else { panic!() };
        assert_eq!(found.records[0].target, "");
    }

    #[test]
    fn what_is_no_answer_to_the_question_is_none() {
        let good = response(0x8180, &[]);
        let table: &[(&str, Vec<u8>, Malformed)] = &[
            ("another id", [&[9, 9], &good[2..]].concat(), Malformed::OfAnother),
            ("a question", response(0x0100, &[]), Malformed::OfAnother),
            ("nothing", vec![], Malformed::Broken),
            ("cut short", good[..20].to_vec(), Malformed::Broken),
            ("a record cut short", response(0x8180, &[ASKED.to_vec()]), Malformed::Broken),
            (
                "a pointer to itself",
                response(0x8180, &[record(&[0xc0, u8::try_from(good.len()).unwrap()], 33, 1, &[])]),
                Malformed::Broken,
            ),
            (
                "a pointer beyond the end",
                response(0x8180, &[record(&[0xff, 0xff], 33, 1, &[])]),
                Malformed::Broken,
            ),
            (
                "data shorter than its length",
                response(0x8180, &[record(&ASKED, 33, 1, &[0, 0, 0])]),
                Malformed::Broken,
            ),
        ];
        for (name, octets, expected) in table {
            assert_eq!(answer(7, NAME, octets), Err(*expected), "{name}");
        }
        let question = question(7, "_ldap._tcp.other.example").unwrap();
        let mut echoed = question.clone();
        echoed[2] = 0x81;
        assert_eq!(answer(7, NAME, &echoed), Err(Malformed::OfAnother), "the answer to another question");
    }

    proptest! {
        /// Whatever comes, it is read in bounded time and without a panic.
        #[test]
        fn any_octets_are_read(octets in prop::collection::vec(any::<u8>(), 0..600)) {
            let mut framed = response(0x8180, &[]);
            let _ = answer(7, NAME, &octets);
            framed[7] = 200;
            framed.extend_from_slice(&octets);
            let _ = answer(7, NAME, &framed);
        }

        /// Octets changed anywhere in a good answer.
        #[test]
        fn any_damage_is_read(at in 0..200_usize, octet in any::<u8>(), cut in 0..200_usize) {
            let mut good = response(0x8180, &[
                record(&ASKED, TYPE_SRV, 600, &srv(0, 1, 389, b"\x02dc\xc0\x17")),
                record(&ASKED, TYPE_SRV, 600, &srv(0, 1, 389, b"\x02dd\xc0\x17")),
            ]);
            if let Some(place) = good.get_mut(at) {
                *place = octet;
            }
            good.truncate(good.len().saturating_sub(cut));
            let _ = answer(7, NAME, &good);
        }
    }
}
