//! Parsing of definitions (RFC 4512 §4.1), with what servers get wrong. It knows nothing of files: see `source`.
//!
//! Let pass: fields in any order and in any case, missing spaces, quoted OIDs, OIDs that are texts, one value in
//! parentheses. The work grows with the length of the text and with nothing else.

mod scanner;

use std::collections::HashMap;

use self::scanner::Token;
pub(super) use self::scanner::{Failure, Scanner};
use super::{AttributeType, AttributeUsage, ClassKind, ObjectClass, Syntax, syntax::grammar::numeric_oid};

/// A definition that could not be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}, column {column}: {kind}")]
pub struct SchemaError {
    /// Line in the file, from 1; for a subschema entry, the number of the value.
    pub line: usize,
    /// Octets from the start of the line, from 1.
    pub column: usize,
    /// What was wrong.
    pub kind: SchemaErrorKind,
}

/// The ways in which a definition can be wrong.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaErrorKind {
    /// Something else than the grammar wants.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A definition refers to one that is not there.
    #[error("`{definition}` refers to `{missing}`, which is not defined")]
    Missing {
        /// Which definition.
        definition: String,
        /// What it refers to.
        missing: String,
    },
    /// Two different definitions with the same name or OID.
    #[error("`{0}` is defined twice, differently")]
    Conflict(String),
    /// Definitions that inherit from each other.
    #[error("`{0}` inherits from itself")]
    Cycle(String),
    /// A chain of definitions, each inheriting from the next, that is longer than any in use.
    #[error("`{0}` inherits through more than {MAX_INHERITANCE} definitions")]
    TooDeep(String),
}

/// How many definitions one may inherit from in a row.
pub(super) const MAX_INHERITANCE: usize = 64;

/// Items of one list: names, texts, references.
const MAX_LIST: usize = 10_000;

/// The errors of one schema that are kept: a text of garbage would make one for every few octets.
const MAX_ERRORS: usize = 1_000;

/// The first errors of a schema.
#[derive(Debug, Default)]
pub(super) struct Errors(Vec<SchemaError>);

impl Errors {
    /// Keeps an error, unless there are many already.
    pub(super) fn push(&mut self, error: SchemaError) {
        if self.0.len() < MAX_ERRORS {
            self.0.push(error);
        }
    }

    pub(super) fn into_vec(self) -> Vec<SchemaError> {
        self.0
    }
}

/// The longest name or OID, and the longest that macros may make.
const MAX_IDENTIFIER: usize = 255;

/// What `objectidentifier` lines define: a name, in lower case, for an OID or the start of one.
pub(super) type Macros = HashMap<String, String>;

/// An attribute type whose references are not resolved yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct AttributeDraft {
    pub(super) definition: AttributeType,
    pub(super) equality: Option<Box<str>>,
    pub(super) ordering: Option<Box<str>>,
    pub(super) substrings: Option<Box<str>>,
    pub(super) syntax: Option<Box<str>>,
}

/// Parses an attribute type description (§4.1.2) that starts at the scanner's place.
pub(super) fn attribute_type(scanner: &mut Scanner<'_>, macros: &Macros) -> Result<AttributeDraft, Failure> {
    let mut draft = AttributeDraft::default();
    let definition = &mut draft.definition;
    definition.oid = start(scanner, macros)?;
    while let Some(field) = field(scanner)? {
        match field.to_ascii_uppercase().as_str() {
            "NAME" => definition.names = names(scanner)?,
            "DESC" => definition.description = texts(scanner)?.into_iter().next(),
            "OBSOLETE" => definition.obsolete = true,
            "SUP" => definition.superior = Some(oid(scanner, macros)?),
            "EQUALITY" => draft.equality = Some(oid(scanner, macros)?),
            "ORDERING" => draft.ordering = Some(oid(scanner, macros)?),
            "SUBSTR" | "SUBSTRINGS" => draft.substrings = Some(oid(scanner, macros)?),
            "SYNTAX" => (draft.syntax, definition.length) = syntax(scanner, macros)?,
            "SINGLE-VALUE" => definition.single_value = true,
            "COLLECTIVE" => definition.collective = true,
            "NO-USER-MODIFICATION" => definition.no_user_modification = true,
            "USAGE" => definition.usage = usage(scanner)?,
            _ => definition.extensions.push((extension(scanner, field)?, texts(scanner)?)),
        }
    }
    Ok(draft)
}

/// Parses an object class description (§4.1.1) that starts at the scanner's place.
pub(super) fn object_class(scanner: &mut Scanner<'_>, macros: &Macros) -> Result<ObjectClass, Failure> {
    let mut class = ObjectClass { oid: start(scanner, macros)?, ..ObjectClass::default() };
    while let Some(field) = field(scanner)? {
        match field.to_ascii_uppercase().as_str() {
            "NAME" => class.names = names(scanner)?,
            "DESC" => class.description = texts(scanner)?.into_iter().next(),
            "OBSOLETE" => class.obsolete = true,
            "SUP" => class.superiors = oids(scanner, macros)?,
            "ABSTRACT" => class.kind = ClassKind::Abstract,
            "STRUCTURAL" => class.kind = ClassKind::Structural,
            "AUXILIARY" => class.kind = ClassKind::Auxiliary,
            "MUST" => class.must = oids(scanner, macros)?,
            "MAY" => class.may = oids(scanner, macros)?,
            _ => class.extensions.push((extension(scanner, field)?, texts(scanner)?)),
        }
    }
    Ok(class)
}

/// Passes over a description of another kind.
pub(super) fn other(scanner: &mut Scanner<'_>) -> Result<(), Failure> {
    scanner.expect_open("`(`")?;
    let mut depth = 1_usize;
    while depth > 0 {
        match scanner.token()? {
            Token::Open => depth += 1,
            Token::Close => depth -= 1,
            Token::End => return Err(scanner.expected("`)`")),
            Token::Dollar | Token::Quoted(_) | Token::Word(_) => {}
        }
    }
    Ok(())
}

/// Whether a text has the outline of a description: `( … )`, starting with an identifier.
pub(super) fn is_outline(text: &str) -> bool {
    let starts_well = {
        let mut scanner = Scanner::of_value(text);
        matches!((scanner.token(), scanner.token()), (Ok(Token::Open), Ok(Token::Word(_) | Token::Quoted(_))))
    };
    let mut scanner = Scanner::of_value(text);
    starts_well && other(&mut scanner).is_ok() && scanner.finish().is_ok()
}

/// Adds `name oid` to the macros.
pub(super) fn object_identifier(scanner: &mut Scanner<'_>, macros: &mut Macros) -> Result<(), Failure> {
    let Token::Word(name) = scanner.token()? else { return Err(scanner.expected("the name of a macro")) };
    let Token::Word(value) = scanner.token()? else { return Err(scanner.expected("an object identifier")) };
    let value = expand(scanner, macros, value)?;
    macros.insert(name.to_ascii_lowercase(), value.into());
    Ok(())
}

/// The parenthesis and the identifier a definition starts with.
fn start(scanner: &mut Scanner<'_>, macros: &Macros) -> Result<Box<str>, Failure> {
    scanner.expect_open("`(`")?;
    let text = word(scanner, "an object identifier")?;
    if matches!(text.to_ascii_uppercase().as_str(), "NAME" | "DESC" | "SUP") {
        return Err(scanner.expected("an object identifier"));
    }
    expand(scanner, macros, &text)
}

/// The name of the next field, or `None` at the closing parenthesis.
fn field<'t>(scanner: &mut Scanner<'t>) -> Result<Option<&'t str>, Failure> {
    match scanner.token()? {
        Token::Word(field) => Ok(Some(field)),
        Token::Close => Ok(None),
        _ => Err(scanner.expected("a field such as NAME, SUP or SYNTAX, or `)`")),
    }
}

fn extension(scanner: &Scanner<'_>, field: &str) -> Result<Box<str>, Failure> {
    match field.as_bytes() {
        [b'X' | b'x', b'-', _, ..] => Ok(field.into()),
        _ => Err(scanner.expected("a field such as NAME, SUP or SYNTAX, or `)`")),
    }
}

/// A word, quoted or not.
fn word(scanner: &mut Scanner<'_>, what: &'static str) -> Result<Box<str>, Failure> {
    match scanner.token()? {
        Token::Word(word) => Ok(word.into()),
        Token::Quoted(word) => Ok(word.trim().into()),
        _ => Err(scanner.expected(what)),
    }
}

/// One short name or several in parentheses.
fn names(scanner: &mut Scanner<'_>) -> Result<Vec<Box<str>>, Failure> {
    list(scanner, "a quoted name", |scanner, name| identifier(scanner, name.into()))
}

/// One quoted text or several in parentheses.
fn texts(scanner: &mut Scanner<'_>) -> Result<Vec<Box<str>>, Failure> {
    list(scanner, "a quoted text", |_, text| Ok(text.into()))
}

/// One identifier, or several in parentheses with `$` between.
fn oids(scanner: &mut Scanner<'_>, macros: &Macros) -> Result<Vec<Box<str>>, Failure> {
    list(scanner, "a name or an object identifier", |scanner, text| expand(scanner, macros, text.trim()))
}

fn oid(scanner: &mut Scanner<'_>, macros: &Macros) -> Result<Box<str>, Failure> {
    let list = oids(scanner, macros)?;
    match <[Box<str>; 1]>::try_from(list) {
        Ok([oid]) => Ok(oid),
        Err(_) => Err(scanner.expected("one name or object identifier")),
    }
}

fn list(
    scanner: &mut Scanner<'_>,
    what: &'static str,
    read: impl Fn(&Scanner<'_>, &str) -> Result<Box<str>, Failure>,
) -> Result<Vec<Box<str>>, Failure> {
    match scanner.token()? {
        Token::Word(text) => Ok(vec![read(scanner, text)?]),
        Token::Quoted(text) => Ok(vec![read(scanner, &text)?]),
        Token::Open => {
            let mut items = Vec::new();
            loop {
                if items.len() > MAX_LIST {
                    return Err(scanner.expected("a list of at most 10,000"));
                }
                match scanner.token()? {
                    Token::Word(text) => items.push(read(scanner, text)?),
                    Token::Quoted(text) => items.push(read(scanner, &text)?),
                    Token::Dollar => {}
                    Token::Close => return Ok(items),
                    Token::Open | Token::End => return Err(scanner.expected(what)),
                }
            }
        }
        _ => Err(scanner.expected(what)),
    }
}

/// `oid`, `oid{length}`, `'oid{length}'`, `oid {length}`.
fn syntax(scanner: &mut Scanner<'_>, macros: &Macros) -> Result<(Option<Box<str>>, Option<u32>), Failure> {
    const WHAT: &str = "the object identifier of a syntax";
    let text = word(scanner, WHAT)?;
    let (oid, length) = text.split_once('{').map_or((&*text, None), |(oid, length)| (oid, Some(length)));
    let detached = if length.is_none() { scanner.braced() } else { None };
    let length = match length.map(|length| length.trim_end_matches('}')).or(detached) {
        Some(digits) => {
            Some(digits.trim().parse().map_err(|_| scanner.expected("a length such as `{256}`"))?)
        }
        None => None,
    };
    let oid = expand(scanner, macros, oid.trim())?;
    if oid.is_empty() { Err(scanner.expected(WHAT)) } else { Ok((Some(oid), length)) }
}

fn usage(scanner: &mut Scanner<'_>) -> Result<AttributeUsage, Failure> {
    let word = word(scanner, "a usage")?;
    [
        AttributeUsage::UserApplications,
        AttributeUsage::DirectoryOperation,
        AttributeUsage::DistributedOperation,
        AttributeUsage::DsaOperation,
    ]
    .into_iter()
    .find(|usage| usage.to_string().eq_ignore_ascii_case(&word))
    .ok_or_else(|| {
        scanner.expected("`userApplications`, `directoryOperation`, `distributedOperation` or `dSAOperation`")
    })
}

/// An identifier with its macro put in: `Name`, `Name:1.2`. Names that are no macros stay.
fn expand(scanner: &Scanner<'_>, macros: &Macros, text: &str) -> Result<Box<str>, Failure> {
    let (name, suffix) = text.split_once(':').map_or((text, None), |(name, suffix)| (name, Some(suffix)));
    let known = if macros.is_empty() { None } else { macros.get(&name.to_ascii_lowercase()) };
    let expanded: Box<str> = match (known, suffix) {
        (Some(value), Some(suffix)) => format!("{value}.{suffix}").into(),
        (Some(value), None) => value.as_str().into(),
        (None, Some(_)) => return Err(scanner.expected("a macro that an `objectidentifier` line defines")),
        (None, None) => text.into(),
    };
    if expanded.starts_with(|c: char| c.is_ascii_digit())
        && suffix.is_some()
        && !numeric_oid(expanded.as_bytes())
    {
        return Err(scanner.expected("an object identifier"));
    }
    identifier(scanner, expanded)
}

/// What may stand for a definition. Servers in the field use more than RFC 4512 §1.4 allows; what would end a word
/// could not be told apart when printed.
fn identifier(scanner: &Scanner<'_>, text: Box<str>) -> Result<Box<str>, Failure> {
    let is_special = |c: char| c.is_whitespace() || c.is_control() || "()$'\"{}\\:".contains(c);
    if text.is_empty() || text.len() > MAX_IDENTIFIER || text.contains(is_special) {
        return Err(scanner.expected("a name or identifier of 1 to 255 octets without spaces or quotes"));
    }
    Ok(text)
}

impl AttributeDraft {
    /// Whether both define the same, descriptions and extensions aside.
    pub(super) fn means_the_same(&self, other: &Self) -> bool {
        let Self { definition, equality, ordering, substrings, syntax } = self;
        let references = (equality, ordering, substrings, syntax);
        references == (&other.equality, &other.ordering, &other.substrings, &other.syntax)
            && definition.means_the_same(&other.definition)
    }

    /// How much there is of it: the definition, its names, its extensions.
    pub(super) fn parts(&self) -> usize {
        1 + self.definition.names.len() + extension_parts(&self.definition.extensions)
    }
}

impl ObjectClass {
    /// How much there is of it: the definition, its names, its references, its extensions.
    pub(super) fn parts(&self) -> usize {
        let lists = [&self.names, &self.superiors, &self.must, &self.may];
        1 + lists.iter().map(|list| list.len()).sum::<usize>() + extension_parts(&self.extensions)
    }
}

fn extension_parts(extensions: &[(Box<str>, Vec<Box<str>>)]) -> usize {
    extensions.iter().map(|(_, texts)| 1 + texts.len()).sum()
}

impl From<&AttributeType> for AttributeDraft {
    fn from(definition: &AttributeType) -> Self {
        let name = |rule: Option<super::MatchingRule>| rule.map(|rule| rule.name().into());
        Self {
            equality: name(definition.equality),
            ordering: name(definition.ordering),
            substrings: name(definition.substrings),
            syntax: definition.syntax_oid().map(Into::into),
            definition: AttributeType {
                equality: None,
                ordering: None,
                substrings: None,
                syntax: Syntax::UNKNOWN,
                unknown_syntax: None,
                ..definition.clone()
            },
        }
    }
}

#[cfg(test)]
mod tests;
