//! The form of a backup.
//!
//! ```text
//! flext-ldap backup 1
//! format 1
//! csn 20261121212143.123456Z#000000#000#000000
//! context dc=harbourlane,dc=example
//! rows meta 4
//! …
//!
//! ```
//!
//! and after the empty line, for each table in the order of its `rows` line, rows as length of the key, length of the
//! value (32 bits, big-endian), key, value; `ff ff ff ff` after the last row of a table; after the last table the SHA-256
//! of all octets before it. Nothing follows.

use std::io::{self, Read, Write};

use flext_ldap_directory::{Error, ErrorKind};
use sha2::{Digest, Sha256};

use crate::{
    context::Context,
    migrate::FORMAT,
    tables::{Failure, Name, Rows, Tables},
    writer::State,
};

const FIRST_LINE: &str = "flext-ldap backup 1";

/// Octets of the text at the start, at the most.
const TEXT: usize = 1 << 20;

/// Octets of a key, and of a value, at the most: what a table can hold.
const KEY: u32 = 1 << 20;
const VALUE: u32 = 3 << 30;

const END: u32 = u32::MAX;

/// What a backup says of itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Manifest {
    /// The format of the tables.
    pub format: u32,
    /// The change sequence number of the commit; empty if nothing was ever written.
    pub csn: String,
    /// The naming contexts.
    pub contexts: Vec<String>,
    /// Tables, and rows of each.
    pub rows: Vec<(String, u64)>,
}

impl Manifest {
    pub(super) fn of<T: Rows>(tables: &Tables<T>, context: &Context) -> Result<Self, Failure> {
        let mut rows = Vec::new();
        for name in Name::ALL {
            rows.push((name.as_str().to_owned(), tables.of(name).len()?));
        }
        let contexts = context.suffixes.iter().map(|(dn, _)| dn.to_string()).collect();
        Ok(Self { format: FORMAT, csn: State::read(tables)?.csn, contexts, rows })
    }

    /// How many entries there are.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.rows.iter().find(|(table, _)| table == Name::Entry.as_str()).map_or(0, |(_, rows)| *rows)
    }

    fn text(&self) -> String {
        let mut text = format!("{FIRST_LINE}\nformat {}\ncsn {}\n", self.format, self.csn);
        for context in &self.contexts {
            text.push_str(&format!("context {}\n", context.replace(['\n', '\r'], " ")));
        }
        for (table, rows) in &self.rows {
            text.push_str(&format!("rows {table} {rows}\n"));
        }
        text.push('\n');
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let mut manifest = Self::default();
        for line in lines.filter(|line| !line.is_empty()) {
            let (word, rest) = line.split_once(' ')?;
            match word {
                "format" => manifest.format = rest.parse().ok()?,
                "csn" => rest.clone_into(&mut manifest.csn),
                "context" => manifest.contexts.push(rest.to_owned()),
                "rows" => {
                    let (table, rows) = rest.split_once(' ')?;
                    manifest.rows.push((table.to_owned(), rows.parse().ok()?));
                }
                // What a later version adds and an older one can do without.
                _ => {}
            }
        }
        (manifest.format > 0 && !manifest.rows.is_empty()).then_some(manifest)
    }
}

/// Writes a backup.
pub(super) struct StreamWriter<'a> {
    output: &'a mut dyn Write,
    hash: Sha256,
    octets: u64,
}

impl<'a> StreamWriter<'a> {
    pub(super) fn new(output: &'a mut dyn Write, manifest: &Manifest) -> io::Result<Self> {
        let mut stream = Self { output, hash: Sha256::new(), octets: 0 };
        stream.put(manifest.text().as_bytes())?;
        Ok(stream)
    }

    pub(super) fn row(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let too_long = |_| io::Error::other("a row is longer than a backup can hold");
        let lengths = [
            u32::try_from(key.len()).map_err(too_long)?.to_be_bytes(),
            u32::try_from(value.len()).map_err(too_long)?.to_be_bytes(),
        ];
        self.put(lengths.as_flattened())?;
        self.put(key)?;
        self.put(value)
    }

    pub(super) fn end_of_table(&mut self) -> io::Result<()> {
        self.put(&END.to_be_bytes())
    }

    /// Ends the backup: octets, and the checksum in hexadecimal.
    pub(super) fn finish(self) -> io::Result<(u64, String)> {
        let sum = self.hash.finalize();
        self.output.write_all(&sum)?;
        self.output.flush()?;
        Ok((self.octets + sum.len() as u64, hexadecimal(&sum)))
    }

    fn put(&mut self, octets: &[u8]) -> io::Result<()> {
        self.hash.update(octets);
        self.octets += octets.len() as u64;
        self.output.write_all(octets)
    }
}

/// Reads a backup, trusting nothing.
pub(super) struct StreamReader<'a> {
    input: &'a mut dyn Read,
    hash: Sha256,
    offset: u64,
}

/// Ends a table, or is a row of it.
pub(super) type Row = Option<(Vec<u8>, Vec<u8>)>;

impl<'a> StreamReader<'a> {
    /// Reads the text at the start.
    pub(super) fn new(input: &'a mut dyn Read) -> Result<(Self, Manifest), Error> {
        let mut stream = Self { input, hash: Sha256::new(), offset: 0 };
        let mut text = Vec::new();
        while !text.ends_with(b"\n\n") {
            let mut octet = [0];
            stream.take(&mut octet)?;
            text.extend_from_slice(&octet);
            let begun = FIRST_LINE.as_bytes().iter().zip(&text).all(|(one, other)| one == other);
            if !begun || text.len() > TEXT {
                return Err(stream.bad("this is no backup"));
            }
        }
        let manifest = std::str::from_utf8(&text).ok().and_then(Manifest::parse);
        let manifest = manifest.ok_or_else(|| stream.bad("what the backup says of itself cannot be read"))?;
        Ok((stream, manifest))
    }

    pub(super) fn row(&mut self) -> Result<Row, Error> {
        let key = self.number()?;
        if key == END {
            return Ok(None);
        }
        let value = self.number()?;
        if key > KEY || value > VALUE {
            return Err(self.bad("a row is longer than one can be"));
        }
        Ok(Some((self.octets(key)?, self.octets(value)?)))
    }

    /// Reads the checksum, compares it, and makes sure that nothing follows.
    pub(super) fn finish(self) -> Result<String, Error> {
        let Self { input, hash, offset } = self;
        let mut stream = Self { input, hash: Sha256::new(), offset };
        let sum = hash.finalize();
        let mut found = [0; 32];
        stream.take(&mut found)?;
        if sum.as_slice() != found {
            return Err(stream.bad("its checksum is wrong: it was changed or damaged"));
        }
        match stream.input.read(&mut [0]) {
            Ok(0) => Ok(hexadecimal(&sum)),
            Ok(_) => Err(stream.bad("something follows its end")),
            Err(error) => Err(unreadable(error)),
        }
    }

    fn number(&mut self) -> Result<u32, Error> {
        let mut number = [0; 4];
        self.take(&mut number)?;
        Ok(u32::from_be_bytes(number))
    }

    /// So many octets. Memory is taken as they come, not as they are announced.
    fn octets(&mut self, length: u32) -> Result<Vec<u8>, Error> {
        const STEP: usize = 1 << 20;
        let length = usize::try_from(length).map_err(|_| self.bad("a row is longer than one can be"))?;
        let mut octets = Vec::new();
        while octets.len() < length {
            let start = octets.len();
            octets.resize(length.min(start + STEP), 0);
            let Some(part) = octets.get_mut(start..) else { break };
            self.input.read_exact(part).map_err(|error| self.cut(error))?;
            self.hash.update(&*part);
            self.offset += part.len() as u64;
        }
        Ok(octets)
    }

    fn take(&mut self, out: &mut [u8]) -> Result<(), Error> {
        self.input.read_exact(out).map_err(|error| self.cut(error))?;
        self.hash.update(&*out);
        self.offset += out.len() as u64;
        Ok(())
    }

    fn cut(&self, error: io::Error) -> Error {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return self.bad("it ends too early: it is half a backup");
        }
        unreadable(error)
    }

    pub(super) fn bad(&self, what: &str) -> Error {
        Error::new(ErrorKind::Misuse, format!("the backup cannot be used, at octet {}: {what}", self.offset))
    }
}

fn unreadable(error: io::Error) -> Error {
    Error::new(ErrorKind::Storage, format!("the backup cannot be read ({})", error.kind())).with_source(error)
}

fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}
