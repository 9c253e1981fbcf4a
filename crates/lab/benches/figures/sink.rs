//! The physical bound: a plain blocking socket with requests encoded beforehand, which decodes no answer.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use flext_ldap_directory::proto::{
    ber::{Writer, frame_length},
    control::Controls,
    message::{Authentication, BindRequest, MessageId, Request},
    secret::Secret,
};

use crate::{
    clients::{IN_FLIGHT, Target},
    usage::Watch,
};

/// `searchResultDone` with message id 2 and success, as every server here encodes it, but for the header of the message: lloadd
/// writes its length in four octets.
const DONE: [u8; 12] = *b"\x02\x01\x02\x65\x07\x0a\x01\x00\x04\x00\x04\x00";

const BUFFER: usize = 64 << 10;

/// Does the work of the target.
pub(crate) fn play(target: &Target) -> Result<()> {
    let mut socket = connect(target)?;
    match target.work.as_str() {
        "bulk" => {
            let request = encode(2, Request::Search(Target::everything()?));
            let watch = Watch::start()?;
            socket.write_all(&request)?;
            drain(&mut socket, |_| Ok(()))?;
            watch.report(&mut [])
        }
        "lookup" => {
            let requests = requests(target)?;
            let watch = Watch::start()?;
            let mut times = look_up(socket, &requests)?;
            watch.report(&mut times)
        }
        "pipelined" => {
            let requests = requests(target)?;
            let watch = Watch::start()?;
            look_up_together(socket, &requests, IN_FLIGHT)?;
            watch.report(&mut [])
        }
        work => bail!("no work {work}"),
    }
}

/// Sends one request after another, each when the one before is answered.
pub(crate) fn look_up(mut socket: TcpStream, requests: &[Vec<u8>]) -> Result<Vec<Duration>> {
    let mut answers = Answers::new(socket.try_clone()?);
    let mut times = Vec::with_capacity(requests.len());
    for request in requests {
        let began = Instant::now();
        socket.write_all(request)?;
        answers.wait()?;
        times.push(began.elapsed());
    }
    Ok(times)
}

/// Keeps so many requests under way.
pub(crate) fn look_up_together(mut socket: TcpStream, requests: &[Vec<u8>], in_flight: usize) -> Result<()> {
    let mut answers = Answers::new(socket.try_clone()?);
    let (first, rest) = requests.split_at(requests.len().min(in_flight));
    socket.write_all(&first.concat())?;
    for request in rest {
        answers.wait()?;
        socket.write_all(request)?;
    }
    for _ in first {
        answers.wait()?;
    }
    Ok(())
}

/// Writes the answer to the search for everything into a file, as it comes.
pub(crate) fn capture(target: &Target, file: &Path) -> Result<()> {
    let mut socket = connect(target)?;
    socket.write_all(&encode(2, Request::Search(Target::everything()?)))?;
    let mut out = BufWriter::new(File::create(file)?);
    drain(&mut socket, |octets| Ok(out.write_all(octets)?))?;
    Ok(out.flush()?)
}

pub(crate) fn connect(target: &Target) -> Result<TcpStream> {
    let mut socket = TcpStream::connect((target.host.as_str(), target.port))?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(Duration::from_secs(60)))?;
    let authentication = Authentication::Simple(Secret::new(target.password.as_bytes()));
    let bind = BindRequest { version: 3, name: target.dn.clone(), authentication };
    socket.write_all(&encode(1, Request::Bind(bind)))?;
    let mut answer = [0; 64];
    let octets = socket.read(&mut answer)?;
    // The result code of a bind response follows its id, its tag and its length.
    match answer.get(..octets) {
        Some(
            [0x30, _, 0x02, 0x01, 0x01, 0x61, _, 0x0a, 0x01, 0x00, ..]
            | [0x30, 0x84, _, _, _, _, 0x02, 0x01, 0x01, 0x61, _, 0x0a, 0x01, 0x00, ..],
        ) => Ok(socket),
        answer => bail!("the bind was not answered with success: {answer:02x?}"),
    }
}

pub(crate) fn requests(target: &Target) -> Result<Vec<Vec<u8>>> {
    let searches = target.searches()?.into_iter();
    Ok(searches.zip(2..).map(|(search, id)| encode(id, Request::Search(search))).collect())
}

#[expect(clippy::needless_pass_by_value, reason = "it is made for this call")]
fn encode(id: u32, request: Request) -> Vec<u8> {
    let mut writer = Writer::new();
    request.encode(MessageId(id), &Controls::none(), &mut writer);
    writer.take().to_vec()
}

/// Reads until the last octets are those of the end.
fn drain(socket: &mut TcpStream, mut see: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut buffer = vec![0; BUFFER];
    // The end may come in two reads.
    let mut last = [0; DONE.len()];
    while last != DONE {
        let octets = socket.read(&mut buffer)?;
        let read = buffer.get(..octets).filter(|read| !read.is_empty()).context("the server hung up")?;
        see(read)?;
        let kept = read.len().min(last.len());
        last.rotate_left(kept);
        let (_, new) = last.split_at_mut(DONE.len() - kept);
        new.copy_from_slice(read.split_at(read.len() - kept).1);
    }
    Ok(())
}

/// Finds where searches end, and looks at nothing else.
struct Answers {
    socket: TcpStream,
    buffer: Vec<u8>,
    /// Octets that are looked at.
    done: usize,
    /// Octets that are there.
    there: usize,
}

impl Answers {
    fn new(socket: TcpStream) -> Self {
        Self { socket, buffer: vec![0; BUFFER], done: 0, there: 0 }
    }

    /// Waits until the next search has ended.
    fn wait(&mut self) -> Result<()> {
        loop {
            let waiting = self.buffer.get(self.done..self.there).unwrap_or_default();
            let whole = frame_length(waiting, BUFFER)?.filter(|length| *length <= waiting.len());
            if let Some(message) = whole.and_then(|length| waiting.get(..length)) {
                self.done += message.len();
                if operation(message) == Some(0x65) {
                    return Ok(());
                }
                continue;
            }
            self.buffer.copy_within(self.done..self.there, 0);
            (self.done, self.there) = (0, self.there - self.done);
            let room = self.buffer.get_mut(self.there..).context("a message larger than the buffer")?;
            let octets = self.socket.read(room)?;
            if octets == 0 {
                bail!("the server hung up");
            }
            self.there += octets;
        }
    }
}

/// The tag of a message's operation.
pub(crate) fn operation(message: &[u8]) -> Option<u8> {
    let length = *message.get(1)?;
    let id = if length < 0x80 { 2 } else { 2 + usize::from(length & 0x7f) };
    let octets = usize::from(*message.get(id + 1)?);
    message.get(id + 2 + octets).copied()
}
