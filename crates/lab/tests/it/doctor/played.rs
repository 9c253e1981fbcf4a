//! What no server here does by itself: a name server with the records of a test, and a directory that plays another.

use std::{
    net::{SocketAddr, UdpSocket},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    thread::JoinHandle,
    time::Duration,
};

use flext_ldap_directory::{
    Actor, BindReply, BindStep, BoxFuture, Deadline, Directory, Error, Event, Events, Op, Outcome, Peer,
    Reply, Request, Session, Sessions,
    proto::{
        batch::{Batch, BatchWriter},
        ber::Tag,
        control::Controls,
        entry::Entry,
        ldif::{LdifReader, ReadOptions, Record},
        message::Scope,
        result::{LdapResult, ResultCode},
    },
};

/// A name server that gives the same records for every name of a service, over UDP.
pub(super) struct NameServer {
    pub(super) address: SocketAddr,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl NameServer {
    /// Answers questions for names that begin with `label` by these hosts and ports, and says of others that there are no
    /// such.
    pub(super) fn start(label: &'static str, records: Vec<(&'static str, u16)>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let address = socket.local_addr().unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            let mut octets = [0; 1_500];
            while !is_over.load(Ordering::SeqCst) {
                if let Ok((length, from)) = socket.recv_from(&mut octets) {
                    let answer = answer(&octets[..length], label, &records);
                    socket.send_to(&answer, from).unwrap();
                }
            }
        });
        Self { address, ended, thread: Some(thread) }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn answer(question: &[u8], label: &str, records: &[(&str, u16)]) -> Vec<u8> {
    // The header, and the question without what may follow it (OPT, 11 octets).
    let mut answer = question[..question.len() - usize::from(question[11]) * 11].to_vec();
    let is_known = answer[13..].starts_with(label.as_bytes());
    let records = if is_known { records } else { &[] };
    // An answer, and where there is none that there is no such name.
    answer[2..4].copy_from_slice(&if is_known { 0x8180_u16 } else { 0x8183 }.to_be_bytes());
    answer[6..8].copy_from_slice(&u16::try_from(records.len()).unwrap().to_be_bytes());
    answer[10..12].copy_from_slice(&[0, 0]);
    for (host, port) in records {
        let mut target = Vec::new();
        for label in host.split('.').filter(|label| !label.is_empty()) {
            target.push(u8::try_from(label.len()).unwrap());
            target.extend_from_slice(label.as_bytes());
        }
        target.push(0);
        answer.extend_from_slice(&[0xc0, 12, 0, 33, 0, 1, 0, 0, 1, 44]);
        answer.extend_from_slice(&u16::try_from(6 + target.len()).unwrap().to_be_bytes());
        for word in [0, 0, *port] {
            answer.extend_from_slice(&word.to_be_bytes());
        }
        answer.extend_from_slice(&target);
    }
    answer
}

/// A directory that says what it is told to say.
#[derive(Clone)]
pub(super) struct Played {
    root: Entry,
    entries: Vec<Entry>,
    bind: LdapResult,
    /// What those who are not bound are told.
    unbound: Option<LdapResult>,
    binds: Arc<AtomicUsize>,
}

impl Played {
    /// One with the root DSE of a recorded server, some more attributes in it, and these entries.
    pub(super) fn new(root: &str, more: &str, entries: &str) -> Self {
        Self {
            root: read(&format!("{}\n{more}", root.trim_end())).remove(0),
            entries: read(entries),
            bind: LdapResult::success(),
            unbound: None,
            binds: Arc::default(),
        }
    }

    /// Answers binds by a name with this.
    pub(super) fn binds(mut self, code: ResultCode, diagnostic: &str) -> Self {
        self.bind = LdapResult::with_diagnostic(code, diagnostic);
        self
    }

    /// Answers those who are not bound with this, whatever they ask besides the root DSE.
    pub(super) fn unbound(mut self, code: ResultCode, diagnostic: &str) -> Self {
        self.unbound = Some(LdapResult::with_diagnostic(code, diagnostic));
        self
    }

    /// Binds by a name that were asked for.
    pub(super) fn count(&self) -> usize {
        self.binds.load(Ordering::SeqCst)
    }
}

fn read(ldif: &str) -> Vec<Entry> {
    let mut reader = LdifReader::new(ldif.as_bytes(), ReadOptions::default());
    let mut entries = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        let Record::Entry(entry) = record else { panic!("{record:?} is no entry") };
        entries.push(entry);
    }
    entries
}

impl Directory for Played {
    fn call(&self, request: Request) -> Reply {
        let Op::Search(search) = &request.op else {
            return Reply::ready(Ok(LdapResult::new(ResultCode::UNWILLING_TO_PERFORM).into()));
        };
        if search.base.is_root() && search.scope == Scope::Base {
            return found(std::slice::from_ref(&self.root));
        }
        match &self.unbound {
            Some(result) if matches!(request.actor, Actor::Anonymous) => {
                Reply::ready(Ok(result.clone().into()))
            }
            _ => {
                let is_base = |entry: &Entry| entry.dn_str().eq_ignore_ascii_case(search.base.as_str());
                let chosen =
                    self.entries.iter().filter(|entry| (search.scope == Scope::Base) == is_base(entry));
                found(&chosen.cloned().collect::<Vec<_>>())
            }
        }
    }
}

impl Sessions for Played {
    fn open(&self, _peer: Peer) -> BoxFuture<'_, Result<Box<dyn Session>, Error>> {
        let session = self.clone();
        Box::pin(async { Ok(Box::new(session) as Box<dyn Session>) })
    }
}

impl Session for Played {
    fn bind(&mut self, step: BindStep, _by: Deadline) -> BoxFuture<'_, Result<BindReply, Error>> {
        let BindStep::Simple { name, .. } = step else { panic!("{step:?} is not played") };
        let reply = if name.is_empty() {
            BindReply::Done { actor: Actor::Anonymous, outcome: Outcome::success(), credentials: None }
        } else {
            self.binds.fetch_add(1, Ordering::SeqCst);
            if self.bind.code == ResultCode::SUCCESS {
                // Who it is matters to nobody here: what is shown is shown to all who are bound.
                self.unbound = None;
                BindReply::Done { actor: Actor::Anonymous, outcome: Outcome::success(), credentials: None }
            } else {
                BindReply::Refused(self.bind.clone().into())
            }
        };
        Box::pin(async { Ok(reply) })
    }
}

struct Found(Option<Batch>);

impl Events for Found {
    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        Poll::Ready(Ok(match self.0.take() {
            Some(batch) => Event::Batch(batch),
            None => Event::Done(Outcome::success()),
        }))
    }
}

fn found(entries: &[Entry]) -> Reply {
    let mut writer = BatchWriter::new();
    for entry in entries {
        writer.entry(entry.dn_str(), &Controls::none(), |body| {
            for attribute in entry.as_ref().attributes().iter() {
                body.sequence(|body| {
                    body.octets(attribute.description().as_bytes());
                    body.constructed(Tag::SET, |values| {
                        attribute.values().for_each(|value| values.octets(value));
                    });
                });
            }
        });
    }
    Reply::events(Found(Some(writer.take())))
}
