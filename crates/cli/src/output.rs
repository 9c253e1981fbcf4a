//! How entries are printed: LDIF (RFC 2849) or one JSON object a line.

use std::{
    error::Error,
    fmt,
    fs::{self, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use flext_ldap_directory::{
    ErrorKind,
    proto::{
        attribute::Attributes,
        entry::EntryRef,
        ldif::LdifWriter,
        line::{OneLine, is_unseen},
    },
};
use tempfile::NamedTempFile;

use crate::value_files::ValueFiles;

/// The error and what caused it. What an error has said of its cause is not said again.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let told = error.to_string();
        if !text.contains(&told) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&told);
        }
        cause = error.source();
    }
    text
}

/// What to do about an error, as context to it: told after it and its causes, on a line of its own.
#[derive(Debug)]
pub(crate) struct Advice(pub(crate) String);

/// Adds advice to an error, behind what it has.
pub(crate) fn advise(mut error: anyhow::Error, advice: &str) -> anyhow::Error {
    if let Some(Advice(said)) = error.downcast_mut() {
        said.push_str("; ");
        said.push_str(advice);
        return error;
    }
    error.context(Advice(advice.to_owned()))
}

impl fmt::Display for Advice {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

/// A text in which others have a part, such as servers: nothing that steers a terminal, begins a line of its own, or
/// turns the direction in which a line is read.
pub(crate) fn on_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        match is_unseen(character) {
            true => line.extend(character.escape_default()),
            false => line.push(character),
        }
    }
    line
}

/// JSON in which others have a part: as [`on_one_line`], by JSON's own escapes.
pub(crate) fn json(value: &serde_json::Value) -> String {
    let mut line = String::new();
    for character in value.to_string().chars() {
        match is_unseen(character) {
            // All of these have four digits.
            true => line.push_str(&format!("\\u{:04x}", u32::from(character))),
            false => line.push(character),
        }
    }
    line
}

/// The format of entries on standard output.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Format {
    /// LDIF
    Ldif,
    /// One JSON object a line: `{"dn": "…", "cn": ["…"]}`; a value that is not UTF-8 is `{"base64": "…"}`
    Jsonl,
}

/// Prints entries.
pub(crate) enum EntryWriter<W> {
    /// As LDIF, some values in files.
    Ldif(LdifWriter<W>, Option<ValueFiles>),
    /// As JSON lines.
    Jsonl(W),
}

impl<W: Write> EntryWriter<W> {
    /// Prints to `output`. `width` is the column to fold LDIF lines at, 0 for not at all.
    pub(crate) fn new(format: Format, output: W, width: usize) -> Self {
        match format {
            Format::Ldif => Self::Ldif(LdifWriter::new(output).width(width), None),
            Format::Jsonl => Self::Jsonl(output),
        }
    }

    /// With values in files, where the format has URLs for them.
    pub(crate) fn files(mut self, values: Option<ValueFiles>) -> Self {
        if let Self::Ldif(_, files) = &mut self {
            *files = values;
        }
        self
    }

    /// Prints one entry.
    ///
    /// # Errors
    ///
    /// That it could not be written, or of the server, that an attribute has a name that is none: in LDIF that could be
    /// another line.
    pub(crate) fn entry(&mut self, entry: EntryRef<'_>) -> anyhow::Result<()> {
        self.put(entry).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => {
                let message =
                    format!("the server sent `{}` with what is no attribute", OneLine(entry.dn_str()));
                flext_ldap_directory::Error::new(ErrorKind::Protocol, message).with_source(error).into()
            }
            _ => error.into(),
        })
    }

    fn put(&mut self, entry: EntryRef<'_>) -> io::Result<()> {
        match self {
            Self::Ldif(writer, _)
                if entry.attributes().iter().all(|attribute| attribute.first().is_none()) =>
            {
                names_only(writer, entry)
            }
            Self::Ldif(writer, None) => writer.entry(entry),
            Self::Ldif(writer, Some(files)) => {
                writer.entry_with(entry, |description, value| files.put(description, value))
            }
            Self::Jsonl(output) => json_line(entry, output),
        }
    }

    /// Prints a comment, where the format has comments.
    pub(crate) fn comment(&mut self, text: &str) -> io::Result<()> {
        match self {
            Self::Ldif(writer, _) => writer.comment(text),
            Self::Jsonl(_) => Ok(()),
        }
    }

    /// Prints the version line, where the format has one.
    pub(crate) fn version(&mut self) -> io::Result<()> {
        match self {
            Self::Ldif(writer, _) => writer.version(),
            Self::Jsonl(_) => Ok(()),
        }
    }

    /// The output, with nothing held back.
    pub(crate) fn into_inner(self) -> W {
        match self {
            Self::Ldif(writer, _) => writer.into_inner(),
            Self::Jsonl(output) => output,
        }
    }
}

/// Where an export goes: standard output, or a file.
///
/// A file has its name when all of it is safe on disk, and not before: an earlier export is better than a part of one.
/// Only its owner can read it, since there may be password hashes in it, unless the file it replaces was for others too.
pub(crate) enum Output {
    /// Not a file of ours to replace: standard output, a pipe, a device.
    Stream(BufWriter<Box<dyn Write>>),
    /// A file that is not whole yet.
    File { output: BufWriter<NamedTempFile>, path: PathBuf },
}

impl Output {
    /// Begins. `-` is standard output, as is no path.
    pub(crate) fn create(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path.filter(|path| path.as_os_str() != "-") else {
            return Ok(Self::Stream(buffered(Box::new(io::stdout().lock()))));
        };
        Self::begin(path).with_context(|| format!("failed to create {}", path.display()))
    }

    fn begin(path: &Path) -> io::Result<Self> {
        let there = fs::metadata(path).ok();
        if there.as_ref().is_some_and(|there| !there.is_file()) {
            return Ok(Self::Stream(buffered(Box::new(OpenOptions::new().write(true).open(path)?))));
        }
        // A link is kept, and what it leads to replaced.
        let path = if there.is_some() { fs::canonicalize(path)? } else { path.to_owned() };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".");
        let file = tempfile::Builder::new()
            .prefix(&name)
            .suffix(".part")
            .tempfile_in(folder.unwrap_or_else(|| Path::new(".")))?;
        if let Some(there) = there {
            file.as_file().set_permissions(there.permissions())?;
        }
        Ok(Self::File { output: buffered(file), path })
    }

    /// Ends: what is written is all of it.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Stream(mut output) => output.flush()?,
            Self::File { output, path } => output
                .into_inner()
                .map_err(io::IntoInnerError::into_error)
                .and_then(|file| file.as_file().sync_all().and_then(|()| Ok(file.persist(&path)?)))
                .map(|_| ())
                .with_context(|| format!("failed to write {}", path.display()))?,
        }
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stream(output) => output.write(octets),
            Self::File { output, .. } => output.write(octets),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stream(output) => output.flush(),
            Self::File { output, .. } => output.flush(),
        }
    }
}

fn buffered<W: Write>(output: W) -> BufWriter<W> {
    BufWriter::with_capacity(1 << 16, output)
}

/// An entry whose attributes have no values, as a search for names only gets it: ldapsearch prints `cn:`.
fn names_only<W: Write>(writer: &mut LdifWriter<W>, entry: EntryRef<'_>) -> io::Result<()> {
    let none: [&[u8]; 1] = [b""];
    let mut named = Attributes::builder();
    for attribute in entry.attributes().iter() {
        named.push(attribute.description(), none);
    }
    writer.entry(EntryRef::new(entry.dn_str(), named.build().as_ref()))
}

fn json_line(entry: EntryRef<'_>, output: &mut impl Write) -> io::Result<()> {
    output.write_all(b"{\"dn\":")?;
    serde_json::to_writer(&mut *output, entry.dn_str())?;
    for attribute in entry.attributes().iter() {
        output.write_all(b",")?;
        serde_json::to_writer(&mut *output, attribute.description())?;
        output.write_all(b":[")?;
        for (index, value) in attribute.values().enumerate() {
            if index > 0 {
                output.write_all(b",")?;
            }
            match std::str::from_utf8(value) {
                Ok(text) => serde_json::to_writer(&mut *output, text)?,
                Err(_) => write!(output, "{{\"base64\":\"{}\"}}", STANDARD.encode(value))?,
            }
        }
        output.write_all(b"]")?;
    }
    output.write_all(b"}\n")
}

#[cfg(test)]
mod tests {
    use flext_ldap_directory::proto::entry::Entry;

    use super::*;

    #[test]
    fn others_steer_nothing_in_json() {
        let said = "a\u{1b}[2J\r\n\u{9b}b\u{202e}c\u{2028}d\u{2066}e\u{200f}";
        let value = serde_json::json!({ "said": said });
        let escaped = r#"{"said":"a\u001b[2J\r\n\u009bb\u202ec\u2028d\u2066e\u200f"}"#;
        assert_eq!(json(&value), escaped);
        assert_eq!(serde_json::from_str::<serde_json::Value>(escaped).unwrap(), value);
    }

    #[test]
    fn a_file_that_was_not_finished_stays_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.ldif");
        fs::write(&path, "what was saved").unwrap();
        let mut output = Output::create(Some(&path)).unwrap();
        output.write_all(&[b'x'; 1 << 20]).unwrap();
        drop(output);
        assert_eq!(fs::read_to_string(&path).unwrap(), "what was saved");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left over");
        let mut output = Output::create(Some(&path)).unwrap();
        output.write_all(b"what is new").unwrap();
        output.finish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "what is new");
    }

    #[test]
    fn json_lines_escape_text_and_encode_octets() {
        let attributes = Attributes::builder()
            .attribute(&"cn".parse().unwrap(), ["Zoë \"Z\"", "two\nlines"])
            .attribute(&"jpegPhoto".parse().unwrap(), [b"\xff\xd8".as_slice()])
            .build();
        let entry = Entry::new(&"cn=Zoë,dc=example".parse().unwrap(), attributes);
        let mut writer = EntryWriter::new(Format::Jsonl, Vec::new(), 0);
        writer.entry(entry.as_ref()).unwrap();
        let line = String::from_utf8(writer.into_inner()).unwrap();
        let expected =
            r#"{"dn":"cn=Zoë,dc=example","cn":["Zoë \"Z\"","two\nlines"],"jpegPhoto":[{"base64":"/9g="}]}"#;
        assert_eq!(line, format!("{expected}\n"));
    }
}
