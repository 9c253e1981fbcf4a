//! One record: a JSON object, begun when an operation begins and finished when it has ended.

use std::{
    fmt::{self, Write as _},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use flext_ldap_proto::{
    attribute::{AttributeDescription, is_secret},
    control::ProxiedAuthorization,
    dn::{Dn, RdnRef},
    extended::{ExtendedOperation as _, PasswordModify},
    message::{ChangeKind, ExtendedRequest, Limits, Scope, Search},
    schema::GeneralizedTime,
};

use super::super::watch::End;
use crate::{Actor, Applied, Op, Request};

/// Octets of one text.
const LONGEST: usize = 1024;

/// Elements of one list.
const MOST: usize = 100;

/// Stands for a value that is not to be seen.
const HIDDEN: &str = "***";

/// The first part of a record: all that is known before the answer.
#[derive(Default)]
pub(super) struct Draft(String);

impl Draft {
    pub(super) fn of(request: &Request, server: &str, time: SystemTime) -> Self {
        let mut draft = Self(String::with_capacity(256));
        draft.0.push('{');
        draft.text("time", &timestamp(time));
        draft.text("server", server);
        draft.text(
            "actor",
            match &request.actor {
                Actor::Service => "service",
                Actor::Anonymous => "anonymous",
                Actor::User(identity) => identity.authorization(),
            },
        );
        if let Ok(Some(ProxiedAuthorization(proxied))) = request.controls.get(&Limits::DEFAULT) {
            draft.text("proxied", &proxied);
        }
        draft.text("operation", request.op.kind().name());
        draft.what(&request.op);
        draft.list("controls", request.controls.iter().map(|control| control.oid.as_str()));
        draft
    }

    /// The whole record.
    pub(super) fn finish(mut self, end: End<'_>, items: u64, elapsed: Duration) -> String {
        match end {
            End::Answered(outcome) => {
                let code = outcome.result.code;
                self.text("result", code.name().unwrap_or("unnamed"));
                self.member("code", code.0);
            }
            End::Failed(error) => {
                if let Some(code) = error.result_code() {
                    self.text("result", code.name().unwrap_or("unnamed"));
                    self.member("code", code.0);
                }
                self.text("error", error.kind().name());
                self.text(
                    "applied",
                    match error.applied() {
                        Applied::No => "no",
                        Applied::Unknown => "unknown",
                        Applied::Yes => "yes",
                    },
                );
            }
            End::Left { .. } => self.member("abandoned", true),
        }
        if items > 0 {
            self.member("items", items);
        }
        self.member("elapsed_us", elapsed.as_micros());
        self.0.push('}');
        self.0
    }

    fn what(&mut self, op: &Op) {
        match op {
            Op::Search(search) => self.search(search),
            Op::Compare(compare) => {
                self.name("name", &compare.dn);
                self.list("attributes", [compare.attribute.as_str()].into_iter());
            }
            Op::Add(add) => {
                self.name("name", &add.dn);
                let attributes = add.attributes.as_ref();
                self.list("attributes", attributes.iter().map(|attribute| attribute.description()));
            }
            Op::Modify(modify) => {
                self.name("name", &modify.dn);
                let changes = modify.changes.iter().map(|change| (change.kind, &change.attribute));
                self.changes(changes);
            }
            Op::Delete(delete) => self.name("name", &delete.dn),
            Op::Rename(rename) => {
                self.name("name", &rename.dn);
                self.key("new_rdn");
                let rdn = rename.new_rdn.as_ref();
                let shown = if holds_secret([rdn].into_iter()) { HIDDEN } else { rdn.as_str() };
                push_text(&mut self.0, shown);
                if let Some(superior) = &rename.new_superior {
                    self.name("new_superior", superior);
                }
            }
            Op::Extended(extended) => self.extended(extended),
        }
    }

    fn search(&mut self, search: &Search) {
        self.name("name", &search.base);
        self.text(
            "scope",
            match search.scope {
                Scope::Base => "base",
                Scope::One => "one",
                Scope::Subtree => "sub",
                Scope::Children => "children",
                _ => "other",
            },
        );
        self.key("filter");
        push_display(&mut self.0, search.filter.redacted());
        let selectors = search.attributes.selectors();
        self.list_with("attributes", selectors.iter(), push_display);
    }

    fn extended(&mut self, extended: &ExtendedRequest) {
        self.text("oid", extended.oid.as_str());
        if extended.oid == PasswordModify::OID
            && let Ok(PasswordModify { user: Some(user), .. }) = PasswordModify::decode(extended)
        {
            // What is no name may be a password in the wrong place.
            match user.strip_prefix("dn:").unwrap_or(&user).parse::<Dn>() {
                Ok(dn) if !dn.is_root() => self.name("name", &dn),
                _ => self.text("name", HIDDEN),
            }
        }
    }

    fn changes<'a>(&mut self, changes: impl Iterator<Item = (ChangeKind, &'a AttributeDescription)>) {
        self.list_with("changes", changes, |out, (kind, attribute)| {
            out.push_str(match kind {
                ChangeKind::Add => "{\"add\":",
                ChangeKind::Delete => "{\"delete\":",
                ChangeKind::Replace => "{\"replace\":",
                ChangeKind::Increment => "{\"increment\":",
                _ => "{\"other\":",
            });
            push_text(out, attribute.as_str());
            out.push('}');
        });
    }

    fn name(&mut self, key: &str, dn: &Dn) {
        self.text(key, if holds_secret(dn.rdns()) { HIDDEN } else { dn.as_str() });
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        push_text(&mut self.0, value);
    }

    /// A number or a truth value.
    fn member(&mut self, key: &str, value: impl fmt::Display) {
        self.key(key);
        let _ = write!(self.0, "{value}");
    }

    /// A list, if there is anything in it.
    fn list<'a>(&mut self, key: &str, values: impl Iterator<Item = &'a str>) {
        self.list_with(key, values, push_text);
    }

    fn list_with<T>(&mut self, key: &str, values: impl Iterator<Item = T>, push: impl Fn(&mut String, T)) {
        let mut values = values.peekable();
        if values.peek().is_none() {
            return;
        }
        self.key(key);
        self.0.push('[');
        for (index, value) in values.enumerate() {
            if index > 0 {
                self.0.push(',');
            }
            if index == MOST {
                push_text(&mut self.0, "…");
                break;
            }
            push(&mut self.0, value);
        }
        self.0.push(']');
    }

    fn key(&mut self, key: &str) {
        if !self.0.ends_with('{') {
            self.0.push(',');
        }
        push_text(&mut self.0, key);
        self.0.push(':');
    }
}

/// The record that stands for those that are missing.
pub(super) fn dropped_line(time: SystemTime, dropped: u64) -> String {
    let mut record = Draft("{".to_owned());
    record.text("time", &timestamp(time));
    record.member("dropped", dropped);
    record.0.push('}');
    record.0
}

fn holds_secret<'a>(mut rdns: impl Iterator<Item = RdnRef<'a>>) -> bool {
    rdns.any(|rdn| rdn.avas().any(|ava| is_secret(ava.attribute_type())))
}

fn timestamp(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let unix_seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    GeneralizedTime { unix_seconds, nanoseconds: since.subsec_nanos() }.to_rfc3339()
}

/// A JSON string, cut where it gets too long.
fn push_text(out: &mut String, text: &str) {
    push_display(out, text);
}

fn push_display(out: &mut String, text: impl fmt::Display) {
    out.push('"');
    let mut string = JsonString { out, room: LONGEST };
    if write!(string, "{text}").is_err() {
        out.push('…');
    }
    out.push('"');
}

/// Escapes what is written to it (RFC 8259 §7), and fails when it has no more room.
struct JsonString<'a> {
    out: &'a mut String,
    room: usize,
}

impl fmt::Write for JsonString<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            self.room = self.room.checked_sub(character.len_utf8()).ok_or(fmt::Error)?;
            match character {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                // Separators, and what turns the direction of text, would let a value look like something else.
                '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' => {
                    write!(self.out, "\\u{:04x}", u32::from(character))?;
                }
                // Those outside ASCII have no more than four digits.
                _ if character.is_control() => write!(self.out, "\\u{:04x}", u32::from(character))?,
                _ => self.out.push(character),
            }
        }
        Ok(())
    }
}
