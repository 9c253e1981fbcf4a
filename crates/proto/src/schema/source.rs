//! Where definitions come from: OpenLDAP `.schema` files, LDIF, the values of a subschema entry.
//!
//! Here a text becomes drafts with the place they stood at; what a draft says is read in `parse`. The LDIF read here is
//! only what schema files need: a folded line is unfolded with the place of each fold kept, so that an error names the
//! line and column in the file.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    ObjectClass, SchemaError, SchemaErrorKind,
    parse::{self, AttributeDraft, Errors, Failure, Macros, Scanner},
};
use crate::attribute::AttributesRef;

/// Where a definition stood.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// A definition with the place it stood at.
#[derive(Clone, Debug)]
pub(super) struct Placed<D> {
    pub(super) draft: D,
    pub(super) position: Position,
    /// Whether it is of a schema this one starts from, and gives way to another of the same name.
    pub(super) gives_way: bool,
}

/// What was read so far, and what was wrong with it.
#[derive(Debug, Default)]
pub(super) struct Drafts {
    pub(super) attribute_types: Vec<Placed<AttributeDraft>>,
    pub(super) object_classes: Vec<Placed<ObjectClass>>,
    pub(super) errors: Errors,
    pub(super) macros: Macros,
    /// Definitions, names and references so far.
    pub(super) parts: usize,
}

/// Definitions, names and references of one schema. Each is kept in many times the octets it can be spelt in; the
/// largest schemas in use have some 50,000.
const MAX_PARTS: usize = 200_000;

/// What a directive or an attribute of a schema entry defines.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Macro,
    AttributeType,
    ObjectClass,
    /// Matching rules, syntaxes, and what this project does not use.
    Other,
}

impl Kind {
    /// By the name of the attribute in a subschema entry or in `cn=config`, or of the directive in a file.
    fn find(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        let plain = lower.strip_prefix("olc").unwrap_or(&lower);
        Some(match plain.strip_suffix('s').unwrap_or(plain) {
            "objectidentifier" => Self::Macro,
            "attributetype" => Self::AttributeType,
            "objectclasse" if plain.ends_with('s') => Self::ObjectClass,
            "objectclas" if plain == "objectclass" && lower == plain => Self::ObjectClass,
            "ldapsyntaxe" | "ldapsyntax" | "matchingrule" | "matchingruleuse" | "ditcontentrule"
            | "ditstructurerule" | "nameform" => Self::Other,
            _ => return None,
        })
    }
}

impl Drafts {
    /// Reads an OpenLDAP `.schema` file.
    pub(super) fn read_openldap(&mut self, text: &str) {
        let lines: Vec<usize> =
            std::iter::once(0).chain(memchr::memchr_iter(b'\n', text.as_bytes()).map(|at| at + 1)).collect();
        let place = |offset: usize| {
            let line = lines.partition_point(|start| *start <= offset);
            let start = lines.get(line.saturating_sub(1)).copied().unwrap_or_default();
            Position { line, column: offset - start + 1 }
        };
        let mut scanner = Scanner::of_file(text);
        loop {
            match self.read_directive(&mut scanner, &place) {
                Ok(true) => {}
                Ok(false) => return,
                Err(failure) => {
                    self.fail(failure, place);
                    scanner.recover();
                }
            }
        }
    }

    /// Reads one directive. `false` at the end of the file.
    fn read_directive(
        &mut self,
        scanner: &mut Scanner<'_>,
        place: &dyn Fn(usize) -> Position,
    ) -> Result<bool, Failure> {
        const WHAT: &str = "`attributetype`, `objectclass` or `objectidentifier`";
        let Some(directive) = scanner.directive(WHAT)? else { return Ok(false) };
        let kind = Kind::find(directive).ok_or_else(|| scanner.expected(WHAT))?;
        self.read_definition(kind, scanner, place)?;
        Ok(true)
    }

    /// Reads an LDIF file. What is not schema is passed over.
    pub(super) fn read_ldif(&mut self, text: &str) {
        for record in Records::new(text) {
            // Macros first: in an entry the order of attributes means nothing.
            let is_macro = |line: &LdifLine| line.kind == Kind::Macro;
            for line in record
                .iter()
                .filter(|line| is_macro(line))
                .chain(record.iter().filter(|line| !is_macro(line)))
            {
                let place = |offset| line.place(offset);
                match &line.value {
                    Some(value) => self.read_value(line.kind, value, &place),
                    None => self.fail(Failure { offset: 0, expected: "base64 of UTF-8" }, place),
                }
            }
        }
    }

    /// Reads a subschema entry.
    pub(super) fn read_subschema(&mut self, attributes: AttributesRef<'_>) {
        let known = || {
            attributes.iter().filter_map(|attribute| {
                let name = attribute.description().split(';').next().unwrap_or_default();
                Some((Kind::find(name).filter(|_| !name.eq_ignore_ascii_case("objectClass"))?, attribute))
            })
        };
        let is_macro = |kind: Kind| kind == Kind::Macro;
        for (kind, attribute) in
            known().filter(|(kind, _)| is_macro(*kind)).chain(known().filter(|(kind, _)| !is_macro(*kind)))
        {
            for (index, value) in attribute.values().enumerate() {
                let place = |offset: usize| Position { line: index + 1, column: offset + 1 };
                match std::str::from_utf8(value) {
                    Ok(value) => self.read_value(kind, value, &place),
                    Err(error) => {
                        self.fail(Failure { offset: error.valid_up_to(), expected: "UTF-8" }, place);
                    }
                }
            }
        }
    }

    /// Reads one value of an attribute.
    fn read_value(&mut self, kind: Kind, value: &str, place: &dyn Fn(usize) -> Position) {
        let mut scanner = Scanner::of_value(value);
        scanner.skip_number();
        let read = self.read_definition(kind, &mut scanner, place).and_then(|()| scanner.finish());
        if let Err(failure) = read {
            self.fail(failure, place);
        }
    }

    fn read_definition(
        &mut self,
        kind: Kind,
        scanner: &mut Scanner<'_>,
        place: &dyn Fn(usize) -> Position,
    ) -> Result<(), Failure> {
        let position = place(scanner.next_offset());
        match kind {
            Kind::Macro => {
                self.count(1, scanner)?;
                parse::object_identifier(scanner, &mut self.macros)?;
            }
            Kind::Other => parse::other(scanner)?,
            Kind::AttributeType => {
                let draft = parse::attribute_type(scanner, &self.macros)?;
                self.count(draft.parts(), scanner)?;
                self.attribute_types.push(Placed { draft, position, gives_way: false });
            }
            Kind::ObjectClass => {
                let draft = parse::object_class(scanner, &self.macros)?;
                self.count(draft.parts(), scanner)?;
                self.object_classes.push(Placed { draft, position, gives_way: false });
            }
        }
        Ok(())
    }

    /// Takes note of parts that are to be kept, as long as there are not too many.
    fn count(&mut self, parts: usize, scanner: &Scanner<'_>) -> Result<(), Failure> {
        let all = self.parts.saturating_add(parts);
        if all > MAX_PARTS {
            return Err(scanner.expected("at most 200,000 definitions, names and references in one schema"));
        }
        self.parts = all;
        Ok(())
    }

    fn fail(&mut self, failure: Failure, place: impl Fn(usize) -> Position) {
        let Position { line, column } = place(failure.offset);
        self.errors.push(SchemaError { line, column, kind: SchemaErrorKind::Expected(failure.expected) });
    }
}

/// One attribute of an LDIF record, unfolded.
#[derive(Debug)]
struct LdifLine {
    kind: Kind,
    /// `None` where it is not what it says it is: base64 of UTF-8.
    value: Option<String>,
    /// For each piece of the value its offset in the value and its place in the file.
    pieces: Vec<(usize, Position)>,
}

impl LdifLine {
    fn place(&self, offset: usize) -> Position {
        let piece = self.pieces.partition_point(|(start, _)| *start <= offset).saturating_sub(1);
        let (start, position) = self.pieces.get(piece).copied().unwrap_or_default();
        Position { line: position.line, column: position.column + (offset - start) }
    }
}

/// The schema attributes of each record of an LDIF file.
struct Records<'t> {
    lines: std::iter::Peekable<std::iter::Enumerate<std::str::Lines<'t>>>,
}

impl<'t> Records<'t> {
    fn new(text: &'t str) -> Self {
        Self { lines: text.lines().enumerate().peekable() }
    }
}

impl Iterator for Records<'_> {
    type Item = Vec<LdifLine>;

    fn next(&mut self) -> Option<Vec<LdifLine>> {
        self.lines.peek()?;
        let mut record = Vec::new();
        while let Some((index, line)) = self.lines.next() {
            if line.is_empty() {
                break;
            }
            // A comment may be folded as well; it has no colon that matters.
            let (name, value) =
                if line.starts_with('#') { ("", line) } else { line.split_once(':').unwrap_or(("", line)) };
            let kind = Kind::find(name.split(';').next().unwrap_or_default())
                .filter(|_| !name.eq_ignore_ascii_case("objectClass"));
            let is_base64 = value.starts_with(':');
            let text = value.trim_start_matches([':', ' ']);
            let mut value = String::from(text);
            let mut pieces = vec![(0, Position { line: index + 1, column: line.len() - text.len() + 1 })];
            while let Some((index, fold)) = self.lines.next_if(|(_, next)| next.starts_with(' ')) {
                if kind.is_some() {
                    pieces.push((value.len(), Position { line: index + 1, column: 2 }));
                    value.push_str(fold.strip_prefix(' ').unwrap_or(fold));
                }
            }
            if let Some(kind) = kind {
                let value = if is_base64 {
                    // The columns of the text are not those of the file then; the line is right.
                    pieces.truncate(1);
                    decoded(&value)
                } else {
                    Some(value)
                };
                record.push(LdifLine { kind, value, pieces });
            }
        }
        Some(record)
    }
}

/// Base64 of UTF-8.
fn decoded(value: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(value.trim_end()).ok()?).ok()
}
