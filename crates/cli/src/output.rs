//! How entries are printed: LDIF (RFC 2849) or one JSON object a line.

use std::{
    fs::OpenOptions,
    io::{self, BufWriter, Write},
    path::Path,
};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use flext_ldap_directory::proto::{attribute::Attributes, entry::EntryRef, ldif::LdifWriter};

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
    /// As LDIF.
    Ldif(LdifWriter<W>),
    /// As JSON lines.
    Jsonl(W),
}

impl<W: Write> EntryWriter<W> {
    /// Prints to `output`. `width` is the column to fold LDIF lines at, 0 for not at all.
    pub(crate) fn new(format: Format, output: W, width: usize) -> Self {
        match format {
            Format::Ldif => Self::Ldif(LdifWriter::new(output).width(width)),
            Format::Jsonl => Self::Jsonl(output),
        }
    }

    /// Prints one entry.
    pub(crate) fn entry(&mut self, entry: EntryRef<'_>) -> io::Result<()> {
        match self {
            Self::Ldif(writer) if entry.attributes().iter().all(|attribute| attribute.first().is_none()) => {
                names_only(writer, entry)
            }
            Self::Ldif(writer) => writer.entry(entry),
            Self::Jsonl(output) => json_line(entry, output),
        }
    }

    /// Prints a comment, where the format has comments.
    pub(crate) fn comment(&mut self, text: &str) -> io::Result<()> {
        match self {
            Self::Ldif(writer) => writer.comment(text),
            Self::Jsonl(_) => Ok(()),
        }
    }

    /// Prints the version line, where the format has one.
    pub(crate) fn version(&mut self) -> io::Result<()> {
        match self {
            Self::Ldif(writer) => writer.version(),
            Self::Jsonl(_) => Ok(()),
        }
    }

    /// The output, with nothing held back.
    pub(crate) fn into_inner(self) -> W {
        match self {
            Self::Ldif(writer) => writer.into_inner(),
            Self::Jsonl(output) => output,
        }
    }
}

/// Where an export goes: standard output, or a file only its owner can read, since there may be password hashes in it.
pub(crate) fn create(path: Option<&Path>) -> anyhow::Result<BufWriter<Box<dyn Write>>> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let output: Box<dyn Write> = match path {
        None => Box::new(io::stdout().lock()),
        Some(path) => {
            let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
            Box::new(file.with_context(|| format!("failed to create {}", path.display()))?)
        }
    };
    Ok(BufWriter::with_capacity(1 << 16, output))
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
