//! Why access is given or refused: the rules read one by one, as they are written, with what was looked at.
//!
//! This reads the rules in the plain way and shares nothing with how they decide but their meaning; the tests hold one
//! against the other.

use std::fmt;

use flext_ldap_directory::{Actor, Error, Lookup, Peer, PeerAddress, Requester, Target};
use serde::Serialize;

use super::{
    AccessRules,
    attributes::Class,
    grant::{ATTRIBUTE_RIGHTS, ENTRY_RIGHTS, Grant},
    rules::{Inner, Line, Rule},
    subject::{Mismatch, Over, Standing, Subject, Who},
};

/// Why somebody may do something to an entry or an attribute of it, or may not.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// Who asks: a DN, or `anonymous`.
    pub requester: String,
    /// How they are connected: `tls`, `local` or `clear`.
    pub over: String,
    /// From where.
    pub from: String,
    /// The entry.
    pub entry: String,
    /// The attribute; none if it is about the entry itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    /// Each rule, in their order.
    pub rules: Vec<RuleExplanation>,
    /// Each right to the entry or the attribute.
    pub rights: Vec<Verdict>,
    /// What else is to be known: rights that do not come from rules.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What a rule had to say.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RuleExplanation {
    /// Counted from 1.
    pub rule: usize,
    /// As the configuration calls it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What became of it.
    pub outcome: Reading,
    /// Why it was passed over.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<String>,
    /// Its lines as far as they were read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<LineExplanation>,
}

/// What became of a rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reading {
    /// It is not about what was asked for.
    PassedOver,
    /// It is, and the next rules were read too.
    Continued,
    /// It is, and no other rule was read.
    Decided,
    /// An earlier rule decided.
    NotRead,
}

/// What a line of a rule had to say.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct LineExplanation {
    /// The line as written.
    pub line: String,
    /// Whether it names the one who asks.
    pub names: bool,
    /// Why, or why not.
    pub because: String,
}

/// Whether a right is given.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Verdict {
    /// Which right.
    pub right: String,
    /// Whether it is given.
    pub allowed: bool,
    /// Whether nobody is given it, whatever the rules say.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub never: bool,
    /// The rule that gives it, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<usize>,
}

impl AccessRules {
    /// Explains what `who` may do to an entry, or to an attribute of it by its preferred name.
    ///
    /// # Errors
    ///
    /// Those of `lookup`.
    pub fn explain(
        &self,
        who: Requester<'_>,
        lookup: &dyn Lookup,
        target: Target<'_>,
        entry: &str,
        attribute: Option<&str>,
    ) -> Result<Explanation, Error> {
        let rules = &*self.0;
        let memberships =
            if rules.groups.is_empty() { Vec::new() } else { lookup.memberships(&rules.groups)? };
        let reader = Reader { rules, who, memberships: &memberships, target, attribute };
        let mut explained = Vec::with_capacity(rules.rules.len());
        let mut given: Vec<(usize, Grant)> = Vec::new();
        let mut decided = false;
        for (index, rule) in rules.rules.iter().enumerate() {
            let number = index + 1;
            let mut one = RuleExplanation {
                rule: number,
                name: rule.name.clone(),
                outcome: Reading::NotRead,
                because: Vec::new(),
                lines: Vec::new(),
            };
            if !decided {
                one.because = reader.passes_over(rule);
                if one.because.is_empty() {
                    let (grant, goes_on) = reader.lines(rule, &mut one.lines);
                    given.push((number, grant));
                    decided = !goes_on;
                    one.outcome = if goes_on { Reading::Continued } else { Reading::Decided };
                } else {
                    one.outcome = Reading::PassedOver;
                }
            }
            explained.push(one);
        }
        let verdict = |right: &str, wanted: Grant| {
            let rule = given.iter().find(|(_, grant)| grant.contains(wanted)).map(|(number, _)| *number);
            Verdict { right: right.to_owned(), allowed: rule.is_some(), never: false, rule }
        };
        let rights = match attribute {
            None => ENTRY_RIGHTS.iter().map(|(name, right)| verdict(name, Grant::of_entry(*right))).collect(),
            Some(_) => ATTRIBUTE_RIGHTS
                .iter()
                .map(|(name, right)| verdict(name, Grant::of_attribute(*right)))
                .collect(),
        };
        Ok(Explanation {
            requester: match (who.actor, who.actor_name()) {
                (Actor::Service, _) => "the program itself".to_owned(),
                (Actor::Anonymous, _) => "anonymous".to_owned(),
                (Actor::User(_), name) => name,
            },
            over: Over::word(who.peer.protection).0.to_owned(),
            from: origin(who.peer),
            entry: entry.to_owned(),
            attribute: attribute.map(str::to_owned),
            rules: explained,
            rights,
            notes: Vec::new(),
        })
    }
}

/// The name of an actor as it was verified.
trait Name {
    fn actor_name(&self) -> String;
}

impl Name for Requester<'_> {
    fn actor_name(&self) -> String {
        match self.actor {
            Actor::User(identity) => {
                identity.dn().map_or_else(|| identity.authorization().to_owned(), ToString::to_string)
            }
            Actor::Service | Actor::Anonymous => String::new(),
        }
    }
}

fn origin(peer: &Peer) -> String {
    match peer.address {
        PeerAddress::Tcp(address) => address.ip().to_canonical().to_string(),
        PeerAddress::Unix => "unix".to_owned(),
        _ => "the same program".to_owned(),
    }
}

/// Reads rules for one question.
struct Reader<'a> {
    rules: &'a Inner,
    who: Requester<'a>,
    memberships: &'a [bool],
    target: Target<'a>,
    attribute: Option<&'a str>,
}

impl Reader<'_> {
    /// Why a rule is not about what is asked for; nothing if it is.
    fn passes_over(&self, rule: &Rule) -> Vec<String> {
        let mut because = Vec::new();
        let fits = |place: &&super::rules::Place| place.scope.holds(self.target.dn, &place.base);
        if !rule.places.is_empty() && !rule.places.iter().any(|place| fits(&place)) {
            let places: Vec<&str> = rule.places.iter().map(|place| place.text.as_str()).collect();
            because.push(format!("the entry is not where the rule is about: {}", places.join("; ")));
        }
        if let Some(set) = rule.attributes {
            let class = self.attribute.map_or(Class::ENTRY, |name| self.rules.attributes.class(name));
            if !self.rules.attributes.has(set, class) {
                because.push(match self.attribute {
                    Some(name) => format!("it is not about `{name}`"),
                    None => "it is about attributes, not about the entry itself".to_owned(),
                });
            }
        }
        if let Some(number) = rule.filter
            && because.is_empty()
            && !self.target.entry.matches(number)
        {
            let filter = self.rules.filters.get(number).map(ToString::to_string).unwrap_or_default();
            because.push(format!("the entry does not match {filter}"));
        }
        because
    }

    /// Reads the lines of a rule up to the one that counts: what it allows, and whether the next rule is read.
    fn lines(&self, rule: &Rule, read: &mut Vec<LineExplanation>) -> (Grant, bool) {
        for line in &rule.lines {
            let Some(subject) = self.rules.subjects.get(line.subject) else { continue };
            let (names, because) = self.names(subject);
            read.push(LineExplanation { line: written(line), names, because });
            if names {
                return (line.grant, line.goes_on);
            }
        }
        (Grant::NONE, false)
    }

    /// Whether a subject is the one who asks, and why.
    fn names(&self, subject: &Subject) -> (bool, String) {
        match subject.connects(self.who.peer) {
            Err(Mismatch::Over) => {
                let word = Over::word(self.who.peer.protection).0;
                return (false, format!("the connection is `{word}`"));
            }
            Err(Mismatch::From) => {
                return (false, format!("the connection comes from {}", origin(self.who.peer)));
            }
            Ok(()) => {}
        }
        let standing = subject.standing(self.who, &self.rules.administrators, self.memberships);
        let named = |name: &str| match self.who.dn {
            Some(own) => self.target.entry.names(name, own),
            None => false,
        };
        let names = match standing {
            Standing::No => false,
            Standing::Yes => true,
            Standing::Own => self.target.is_self,
            Standing::Named(attribute) => self.rules.named_by.get(attribute).is_some_and(|name| named(name)),
        };
        let either = |yes: &str, no: &str| if names { yes.to_owned() } else { no.to_owned() };
        let because = match &subject.who {
            Who::Anyone => "everybody".to_owned(),
            Who::Anonymous => either("has not said who they are", "has said who they are"),
            Who::Users => either("has said who they are", "has not said who they are"),
            Who::Own => either("it is their own entry", "it is not their own entry"),
            Who::Administrators => either("is an administrator", "is not an administrator"),
            Who::Name(..) => either("has this name", "has another name"),
            Who::Group(_) => either("is a member", "is not a member"),
            Who::Attribute(_) => {
                either("the attribute has their name", "the attribute does not have their name")
            }
        };
        (names, because)
    }
}

/// A line as it would be written.
fn written(line: &Line) -> String {
    let text = &line.text;
    let words = |words: &super::Words| match words.0.as_slice() {
        [word] => word.clone(),
        words => format!("[{}]", words.join(", ")),
    };
    let mut written = format!("{}: {}", text.who, words(&text.rights));
    for (key, list) in [("over", &text.over), ("from", &text.from)] {
        if !list.is_empty() {
            written.push_str(&format!(", {key}: {}", words(list)));
        }
    }
    written
}

impl fmt::Display for Explanation {
    /// As lines for a terminal, the last one with its end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "who    {} ({}, from {})", self.requester, self.over, self.from)?;
        match &self.attribute {
            Some(attribute) => writeln!(f, "what   `{attribute}` of {}", self.entry)?,
            None => writeln!(f, "what   {}", self.entry)?,
        }
        writeln!(f)?;
        let mut unread = 0_usize;
        for rule in &self.rules {
            let name = rule.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
            let number = rule.rule;
            let named = rule.lines.iter().any(|line| line.names);
            match rule.outcome {
                Reading::PassedOver => {
                    writeln!(f, "rule {number}{name}: passed over: {}", rule.because.join("; "))?
                }
                Reading::Decided if named => writeln!(f, "rule {number}{name}: decides")?,
                Reading::Decided => writeln!(
                    f,
                    "rule {number}{name}: decides; it names nobody who asks, so it allows nothing"
                )?,
                Reading::Continued => writeln!(f, "rule {number}{name}: applies, and the next rule is read")?,
                Reading::NotRead => unread += 1,
            }
            for line in &rule.lines {
                let mark = if line.names { "yes" } else { "no " };
                writeln!(f, "    {mark}  {}  ({})", line.line, line.because)?;
            }
        }
        match unread {
            0 => {}
            1 => writeln!(f, "1 rule was not read any more")?,
            unread => writeln!(f, "{unread} rules were not read any more")?,
        }
        if !self.rules.iter().any(|rule| rule.outcome == Reading::Decided) && !self.rights.is_empty() {
            writeln!(f, "no rule decides, so no more is allowed than rules that continue allow")?;
        }
        writeln!(f)?;
        for verdict in &self.rights {
            let verdict_text = match (verdict.never, verdict.allowed) {
                (true, _) => "never",
                (false, true) => "allowed",
                (false, false) => "denied",
            };
            match verdict.rule {
                Some(rule) => writeln!(f, "{:<14} {verdict_text}, by rule {rule}", verdict.right)?,
                None => writeln!(f, "{:<14} {verdict_text}", verdict.right)?,
            }
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}
