//! Reading a map of keys so that everything wrong with it is told: each problem with its place, its key path, and what
//! is allowed. Keys that nobody asked for are problems themselves.

use std::{cell::RefCell, fmt, str::FromStr, time::Duration};

use super::node::{Key, Node, Place, Value};

/// Problems that are told at most.
const MOST: usize = 50;

/// Something wrong with a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// Where it stands.
    pub place: Place,
    /// E.g. `limits.size`; empty where it is about no key.
    pub path: String,
    /// What is wrong, and what is allowed.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place: Place { line, column }, path, message } = self;
        if *line > 0 {
            write!(f, "line {line}, column {column}: ")?;
        }
        if !path.is_empty() {
            write!(f, "`{path}`: ")?;
        }
        f.write_str(message)
    }
}

/// What is wrong so far.
#[derive(Debug, Default)]
pub struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    /// Adds one, unless there are very many.
    pub fn add(&self, place: Place, path: impl Into<String>, message: impl Into<String>) {
        let mut problems = self.0.borrow_mut();
        if problems.len() < MOST {
            problems.push(Problem { place, path: path.into(), message: message.into() });
        }
    }

    /// Whether no more are told.
    pub(crate) fn are_many(&self) -> bool {
        self.0.borrow().len() >= MOST
    }

    /// This alone, in place of all that was found so far.
    pub fn only(&self, place: Place, message: impl Into<String>) {
        self.0.borrow_mut().clear();
        self.add(place, "", message);
    }

    /// Whether the file is something else than keys of a configuration, which is told without a key.
    #[must_use]
    pub fn is_of_another_kind(&self) -> bool {
        self.0.borrow().iter().any(|problem| problem.path.is_empty())
    }

    /// All of them, as they stand in the file.
    pub fn into_sorted(self) -> Vec<Problem> {
        let mut problems = self.0.into_inner();
        problems.sort_by_key(|problem| problem.place);
        problems
    }
}

/// A map of keys that is being read.
#[derive(Debug)]
pub struct Section<'a> {
    path: String,
    place: Place,
    entries: &'a [(Key, Node)],
    asked: RefCell<Vec<&'static str>>,
    /// What is wrong so far.
    pub problems: &'a Problems,
}

impl<'a> Section<'a> {
    /// The whole of a file.
    pub fn root(node: &'a Node, problems: &'a Problems) -> Self {
        Self::of(node, String::new(), problems)
    }

    fn of(node: &'a Node, path: String, problems: &'a Problems) -> Self {
        let entries = match &node.value {
            Value::Map(entries) => entries.as_slice(),
            Value::Nothing => &[],
            _ => {
                let found = node.kind();
                problems.add(node.place, path.clone(), format!("expected a map of keys, found {found}"));
                &[]
            }
        };
        Self { path, place: node.place, entries, asked: RefCell::default(), problems }
    }

    /// Where it begins.
    pub const fn place(&self) -> Place {
        self.place
    }

    /// The full path of a key in here.
    pub fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of a key, which from now on is one of those allowed.
    pub fn get(&self, key: &'static str) -> Option<&'a Node> {
        if !self.asked.borrow().contains(&key) {
            self.asked.borrow_mut().push(key);
        }
        let (_, node) = self.entries.iter().find(|(name, _)| name.name == key)?;
        (node.value != Value::Nothing).then_some(node)
    }

    /// All keys with their values, where the keys are the user's.
    pub fn entries(&self) -> impl Iterator<Item = (&'a Key, &'a Node)> {
        self.entries.iter().map(|(key, node)| (key, node))
    }

    /// A map of keys.
    pub fn section(&self, key: &'static str) -> Option<Self> {
        let node = self.get(key)?;
        Some(Section::of(node, self.path_of(key), self.problems))
    }

    /// A list of maps of keys.
    pub fn sections(&self, key: &'static str) -> Vec<Self> {
        let Some(node) = self.get(key) else { return Vec::new() };
        let Value::List(items) = &node.value else {
            self.wrong(key, node, "a list");
            return Vec::new();
        };
        let section =
            |(index, item)| Section::of(item, format!("{}[{}]", self.path_of(key), index + 1), self.problems);
        items.iter().enumerate().map(section).collect()
    }

    /// The map of keys below one of [`entries`](Self::entries).
    #[must_use]
    pub fn below(&self, key: &'a Key, node: &'a Node) -> Self {
        Section::of(node, self.path_of(&key.name), self.problems)
    }

    /// Says of a key that its value is wrong, and what is `expected`; what was found is told too.
    pub fn wrong(&self, key: &str, node: &Node, expected: &str) {
        let found = node.kind();
        self.problems.add(node.place, self.path_of(key), format!("expected {expected}, found {found}"));
    }

    /// Text. Numbers are text too where text is asked for.
    pub fn text(&self, key: &'static str) -> Option<&'a str> {
        let node = self.get(key)?;
        let text = text_of(node);
        if text.is_none() {
            self.wrong(key, node, "a text");
        }
        text
    }

    /// A text or a list of them, each read by `T`.
    pub fn list<T: FromStr<Err: fmt::Display>>(&self, key: &'static str) -> Vec<T> {
        let Some(node) = self.get(key) else { return Vec::new() };
        self.list_of(key, node)
    }

    /// As [`list`](Self::list), of a value at hand.
    pub fn list_of<T: FromStr<Err: fmt::Display>>(&self, key: &str, node: &Node) -> Vec<T> {
        let items = match &node.value {
            Value::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        items
            .iter()
            .filter_map(|item| {
                let Some(text) = text_of(item) else {
                    self.wrong(key, item, "a text or a list of them");
                    return None;
                };
                self.read(key, item, text)
            })
            .collect()
    }

    /// Text that `T` reads.
    pub fn parsed<T: FromStr<Err: fmt::Display>>(&self, key: &'static str) -> Option<T> {
        let node = self.get(key)?;
        match text_of(node) {
            Some(text) => self.read(key, node, text),
            None => {
                self.wrong(key, node, "a text");
                None
            }
        }
    }

    fn read<T: FromStr<Err: fmt::Display>>(&self, key: &str, node: &Node, text: &str) -> Option<T> {
        text.parse()
            .map_err(|error| {
                self.problems.add(node.place, self.path_of(key), format!("`{text}`: {error}"));
            })
            .ok()
    }

    /// `true` or `false`.
    pub fn flag(&self, key: &'static str) -> Option<bool> {
        let node = self.get(key)?;
        match node.value {
            Value::Flag(flag) => Some(flag),
            _ => {
                self.wrong(key, node, "`true` or `false`");
                None
            }
        }
    }

    /// One of these words.
    pub fn word<T: Copy>(&self, key: &'static str, words: &[(&'static str, T)]) -> Option<T> {
        let node = self.get(key)?;
        let text = text_of(node).unwrap_or_default();
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            let hint = suggestion(text, &names);
            self.wrong(key, node, &format!("{}{hint}", one_of(&names)));
        }
        found
    }

    /// Puts a count of something that there must be one of into `target`, if there is one.
    pub fn number<N: TryFrom<u64>>(&self, key: &'static str, target: &mut N) {
        let Some(node) = self.get(key) else { return };
        let number = text_of(node).and_then(count).filter(|number| *number > 0);
        match number.and_then(|number| N::try_from(number).ok()) {
            Some(number) => *target = number,
            None => self.wrong(key, node, "a whole number from 1"),
        }
    }

    /// Puts a count into `target`, where there may be none of what it counts.
    pub fn number_or_none<N: TryFrom<u64>>(&self, key: &'static str, target: &mut N) {
        let Some(node) = self.get(key) else { return };
        match text_of(node).and_then(count).and_then(|number| N::try_from(number).ok()) {
            Some(number) => *target = number,
            None => self.wrong(key, node, "a whole number"),
        }
    }

    /// Puts a limit into `target`, if there is one: `most` where there is to be none.
    pub fn limit<N: TryFrom<u64>>(&self, key: &'static str, target: &mut N, most: N) {
        let Some(node) = self.get(key) else { return };
        if is_unlimited(node) {
            *target = most;
            return;
        }
        match text_of(node).and_then(count).and_then(|number| N::try_from(number).ok()) {
            Some(number) => *target = number,
            None => self.wrong(key, node, "a whole number, or `unlimited`"),
        }
    }

    /// Puts a number of octets into `target`, if there is one; no fewer than `least`.
    pub fn octets(&self, key: &'static str, target: &mut usize, least: usize) {
        let Some(node) = self.get(key) else { return };
        let number = text_of(node).and_then(whole_number).and_then(|number| usize::try_from(number).ok());
        match number.filter(|number| *number >= least) {
            Some(number) => *target = number,
            None => self.wrong(key, node, &format!("octets like `256KiB` or `64MiB`, {least} or more")),
        }
    }

    /// Puts a time into `target`, if there is one; where there is to be no limit, one that nobody lives to see.
    pub fn time_limit(&self, key: &'static str, target: &mut Duration) {
        let Some(node) = self.get(key) else { return };
        if is_unlimited(node) {
            *target = Duration::MAX;
            return;
        }
        match text_of(node).and_then(time) {
            Some(time) if time.is_zero() => *target = Duration::MAX,
            Some(time) => *target = time,
            None => self.wrong(key, node, "a time like `500ms`, `30s`, `15m` or `1h`, or `unlimited`"),
        }
    }

    /// Puts a time into `target`, if there is one.
    pub fn duration(&self, key: &'static str, target: &mut Duration) {
        let Some(node) = self.get(key) else { return };
        match text_of(node).and_then(time) {
            Some(time) => *target = time,
            None => self.wrong(key, node, "a time like `500ms`, `30s`, `15m` or `1h`"),
        }
    }

    /// What is expected where there are several keys, none of which was asked for or is near one that was (in LDIF some
    /// are by chance).
    #[must_use]
    pub fn foreign(&self) -> Option<String> {
        let asked = self.asked.borrow();
        let is_ldif = self.entries.first().is_some_and(|(key, _)| key.name == "dn");
        let is_meant = |name: &str| asked.contains(&name) || !is_ldif && !suggestion(name, &asked).is_empty();
        let is_foreign =
            self.entries.len() > 1 && !self.entries.iter().take(MOST).any(|(key, _)| is_meant(&key.name));
        is_foreign.then(|| one_of(&asked))
    }

    /// Tells of every key that was not asked for.
    pub fn finish(self) {
        let asked = self.asked.borrow();
        let mut told = false;
        for (key, _) in self.entries {
            if self.problems.are_many() {
                break;
            }
            if !asked.contains(&key.name.as_str()) {
                let message = match suggestion(&key.name, &asked) {
                    hint if hint.is_empty() && !told => {
                        told = true;
                        format!("unknown key; expected {}", one_of(&asked))
                    }
                    hint => format!("unknown key{hint}"),
                };
                self.problems.add(key.place, self.path_of(&key.name), message);
            }
        }
    }
}

/// The text of a value that is one: a number is text where text is asked for.
#[must_use]
pub fn text_of(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text) | Value::Number(text) => Some(text),
        _ => None,
    }
}

/// Whether a value says that there is no limit: `0`, as OpenLDAP has it for times, `unlimited`, `off`, `none`, `false`.
#[must_use]
pub fn is_unlimited(node: &Node) -> bool {
    match &node.value {
        Value::Flag(flag) => !flag,
        _ => text_of(node).is_some_and(|text| ["0", "unlimited", "off", "none"].contains(&text)),
    }
}

/// `10`, `10_000`.
fn count(text: &str) -> Option<u64> {
    let text = text.trim();
    text.starts_with(|first: char| first.is_ascii_digit()).then(|| text.replace('_', "").parse().ok())?
}

fn one_of(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [one] => one.clone(),
        _ => format!("one of {}", names.join(", ")),
    }
}

/// What serde says of a key it does not know, with the key that may have been meant in place of all that there are.
#[must_use]
pub fn meant(error: &str) -> String {
    let Some((before, rest)) = error.split_once("unknown field `") else { return error.to_owned() };
    let Some((word, rest)) = rest.split_once('`') else { return error.to_owned() };
    let (names, after) = rest.split_at(rest.find('\n').unwrap_or(rest.len()));
    // In one reader's words they stand between backticks, in another's they do not.
    let words = names.split([',', ' ', '`']).filter(|word| !word.is_empty());
    let names: Vec<_> = words.filter(|word| !["expected", "one", "of", "or"].contains(word)).collect();
    match suggestion(word, &names) {
        hint if hint.is_empty() => error.to_owned(),
        hint => format!("{before}unknown field `{word}`{hint}{after}"),
    }
}

/// `; did you mean …?` for what is near one of `names`.
#[must_use]
pub fn suggestion(text: &str, names: &[&str]) -> String {
    let near = names.iter().map(|name| (distance(&text.to_ascii_lowercase(), name), name)).min();
    match near {
        Some((far, name)) if far <= (name.len() / 3).clamp(1, 3) => format!("; did you mean `{name}`?"),
        _ => String::new(),
    }
}

/// Letters to change, add or take away between two words. Long ones are far from everything.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<_>, Vec<_>) = (one.chars().collect(), other.chars().collect());
    if one.len().max(other.len()) > 64 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.iter().enumerate() {
        let mut left = index + 1;
        let mut next = vec![left];
        for (above, target) in row.windows(2).zip(&other) {
            let [diagonal, up] = above else { continue };
            left = (left + 1).min(up + 1).min(diagonal + usize::from(letter != target));
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}

/// `10`, `10_000`, `64KiB`, `64MiB`, `1GiB`.
fn whole_number(text: &str) -> Option<u64> {
    let text = text.trim().replace('_', "");
    let (digits, unit) = match text.find(|character: char| !character.is_ascii_digit()) {
        Some(end) => text.split_at_checked(end)?,
        None => (text.as_str(), ""),
    };
    let factor = match unit.trim() {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// `500ms`, `30s`, `15m`, `1h`, `7d`; a number alone is seconds.
#[must_use]
pub fn time(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (digits, unit) = match text.find(|character: char| !character.is_ascii_digit()) {
        Some(end) => text.split_at_checked(end)?,
        None => (text, "s"),
    };
    let number = digits.parse::<u64>().ok()?;
    let seconds = match unit.trim() {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    // More than a century is a slip, and clocks would overflow.
    number.checked_mul(seconds).filter(|seconds| *seconds <= 3_155_760_000).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers() {
        let table = [
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("30", Some(30_000)),
            ("15m", Some(900_000)),
            ("1h", Some(3_600_000)),
            ("7d", Some(604_800_000)),
            ("1.5s", None),
            ("s", None),
            ("-1s", None),
            ("99999999999999999d", None),
        ];
        for (text, want) in table {
            assert_eq!(time(text), want.map(Duration::from_millis), "{text}");
        }
        let table = [
            ("64MiB", Some(64 << 20)),
            ("10_000", Some(10_000)),
            ("1 KiB", Some(1024)),
            ("5MB", None),
            ("", None),
            ("18446744073709551615GiB", None),
        ];
        for (text, want) in table {
            assert_eq!(whole_number(text), want, "{text}");
        }
    }

    #[test]
    fn what_was_meant_by_a_field() {
        let said = "line 2: unknown field `atributes`, expected one of `entry`, `attributes`, `filter`";
        assert_eq!(
            meant(&format!("{said}\n 1 | x")),
            "line 2: unknown field `atributes`; did you mean `attributes`?\n 1 | x"
        );
        assert_eq!(
            meant("unknown field `sef`, expected self or users"),
            "unknown field `sef`; did you mean `self`?"
        );
        let far = said.replace("atributes", "anything");
        assert_eq!(meant(&far), far);
        assert_eq!(meant("missing field `allow`"), "missing field `allow`");
    }

    #[test]
    fn what_was_meant() {
        let names = ["listen", "limits", "suffixes", "tls"];
        let table = [
            ("lisen", "; did you mean `listen`?"),
            ("Limits", "; did you mean `limits`?"),
            ("suffix", "; did you mean `suffixes`?"),
            ("tsl", ""),
            ("something", ""),
        ];
        for (text, want) in table {
            assert_eq!(suggestion(text, &names), want, "{text}");
        }
    }
}
