//! Servers in processes of their own: ours over the store, and one that replays a search from memory.

use std::collections::{HashMap, hash_map::Entry};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use flext_ldap_directory::proto::{
    batch::BatchBuilder,
    ber::{Writer, frame_length},
    filter::Node,
    message::{Envelope, Limits, MessageId, Request},
};
use flext_ldap_server::Server;
use flext_ldap_store::{ImportOptions, IndexConfig, IndexKind, Store, StoreOptions};
use flext_ldap_testkit::company::SUFFIX;

use crate::usage::Watch;

/// A server that was started; ends when it is dropped.
pub(crate) struct Helper {
    process: Child,
    url: String,
}

impl Helper {
    /// Starts a process whose first line is its URL, and which ends when its input does.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut url = String::new();
        BufReader::new(process.stdout.take().context("no output")?).read_line(&mut url)?;
        let url = url.trim_end().trim_end_matches('/').to_owned();
        if url.is_empty() {
            bail!("it did not start: {}", process.wait()?);
        }
        Ok(Self { process, url })
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Kills it, so that it closes nothing in order.
    pub(crate) fn kill(mut self) -> Result<()> {
        Ok(self.process.kill()?)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        // It has nothing left to lose, and the folder it uses is about to go.
        let _ = self.process.wait();
    }
}

pub(crate) fn options(folder: &str) -> Result<StoreOptions> {
    Ok(StoreOptions::folder(folder).suffix(SUFFIX.parse()?))
}

/// `import FOLDER LDIF [slapd]`: loads a store; with `slapd` one that has the indexes of slapd's database.
pub(crate) fn import(arguments: &[String]) -> Result<()> {
    let (ldif, options) = match arguments {
        [folder, ldif] => (ldif, options(folder)?),
        [folder, ldif, slapd] if slapd == "slapd" => (ldif, options(folder)?.indexes(slapd_indexes())),
        _ => bail!("wrong arguments"),
    };
    let watch = Watch::start()?;
    let store = Store::open(options.for_load())?;
    let mut settings = ImportOptions::default();
    settings.hash_clear_passwords = true;
    store.import(BufReader::new(File::open(ldif)?), &settings, &mut |_| ())?;
    store.close();
    watch.report(&mut [])
}

/// Those of `slapd.conf` in [`flext_ldap_lab::slapd`].
fn slapd_indexes() -> IndexConfig {
    let names = ["objectClass", "uid", "cn", "sn", "mail", "member", "entryUUID", "entryCSN"];
    names.iter().fold(IndexConfig::none(), |config, name| config.index(name, [IndexKind::Equality]))
}

/// `serve FOLDER DN PASSWORD`: our listener over a store.
#[expect(clippy::print_stdout, reason = "the parent reads it")]
pub(crate) fn serve(arguments: &[String]) -> Result<()> {
    let [folder, dn, password] = arguments else { bail!("wrong arguments") };
    let store = Store::open(options(folder)?.administrator(dn.parse()?, password.as_str().into()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let server = Server::builder(Arc::new(store)).listen("ldap://127.0.0.1:0".parse()?).start();
    let server = runtime.block_on(server)?;
    println!("{}", server.urls().first().context("it listens nowhere")?);
    std::io::stdin().read_to_end(&mut Vec::new())?;
    runtime.block_on(server.shutdown(Duration::from_secs(1)));
    Ok(())
}

/// `replay FILE`: answers from memory with what the file holds: a search for a user name with that entry, any other
/// search with everything.
#[expect(clippy::print_stdout, reason = "the parent reads it")]
pub(crate) fn replay(arguments: &[String]) -> Result<()> {
    let [file] = arguments else { bail!("wrong arguments") };
    let mut memory = Memory::new(std::fs::read(file)?)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("ldap://{}", listener.local_addr()?);
    std::thread::spawn(move || -> Result<()> {
        for socket in listener.incoming() {
            let mut socket = socket?;
            socket.set_nodelay(true)?;
            // A client that goes is none of our business.
            let _ = memory.serve(&mut socket);
        }
        Ok(())
    });
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// What a search for everything has found.
struct Memory {
    stream: Vec<u8>,
    /// The stream under each message id it was asked for with: written once, for the next client that uses it.
    streams: HashMap<u32, Vec<u8>>,
    /// The operations that answer searches for a user name.
    people: HashMap<String, Vec<u8>>,
}

impl Memory {
    fn new(stream: Vec<u8>) -> Result<Self> {
        let mut people = HashMap::new();
        each(&stream, |message, envelope| {
            let op = message.get(envelope.op_range()).unwrap_or_default();
            let mut entry = BatchBuilder::over(Bytes::copy_from_slice(op));
            if entry.add(0..op.len(), 0..0, &Limits::DEFAULT).is_ok() {
                let entry = entry.build();
                let name = entry.entries().next().and_then(|entry| Some(entry.text("uid")?.to_owned()));
                people.extend(name.map(|name| (name, op.to_vec())));
            }
        })?;
        Ok(Self { stream, streams: HashMap::new(), people })
    }

    /// Serves one client. What is asked in one piece is answered in one piece.
    fn serve(&mut self, socket: &mut TcpStream) -> Result<()> {
        let limits = Limits::DEFAULT;
        let (mut received, mut octets) = (BytesMut::new(), [0; 64 << 10]);
        let mut writer = Writer::new();
        loop {
            let whole = frame_length(&received, limits.message)?.filter(|length| *length <= received.len());
            let Some(length) = whole else {
                socket.write_all(writer.as_slice())?;
                writer.clear();
                let read = socket.read(&mut octets)?;
                received
                    .extend_from_slice(octets.get(..read).filter(|read| !read.is_empty()).context("over")?);
                continue;
            };
            let message = Envelope::decode(received.split_to(length).freeze(), &limits)?;
            match message.request(&limits)? {
                Request::Bind(_) => put(&mut writer, message.id, b"\x61\x07\x0a\x01\x00\x04\x00\x04\x00"),
                Request::Search(search) => match search.filter.nodes() {
                    [Node::Equality(_, value)] => {
                        if let Some(person) = self.people.get(&*String::from_utf8_lossy(value)) {
                            put(&mut writer, message.id, person);
                        }
                        put(&mut writer, message.id, b"\x65\x07\x0a\x01\x00\x04\x00\x04\x00");
                    }
                    _ => {
                        let stream = match self.streams.entry(message.id.0) {
                            Entry::Occupied(known) => known.into_mut(),
                            Entry::Vacant(new) => new.insert(renumbered(&self.stream, message.id)?),
                        };
                        socket.write_all(stream)?;
                    }
                },
                _ => return Ok(()),
            }
        }
    }
}

/// The messages of `stream` under another message id.
fn renumbered(stream: &[u8], id: MessageId) -> Result<Vec<u8>> {
    let mut writer = Writer::new();
    each(stream, |message, envelope| {
        put(&mut writer, id, message.get(envelope.op_range()).unwrap_or_default());
    })?;
    Ok(writer.take().to_vec())
}

/// Writes a message.
fn put(writer: &mut Writer, id: MessageId, op: &[u8]) {
    writer.sequence(|writer| {
        writer.integer(i64::from(id.0));
        writer.raw(op);
    });
}

/// Shows every message of `stream`.
fn each(stream: &[u8], mut see: impl FnMut(&[u8], &Envelope)) -> Result<()> {
    let limits = Limits::DEFAULT;
    let mut rest = stream;
    while let Some(length) = frame_length(rest, limits.message)? {
        let (message, after) = rest.split_at_checked(length).context("the stream is cut")?;
        see(message, &Envelope::decode(Bytes::copy_from_slice(message), &limits)?);
        rest = after;
    }
    Ok(())
}
