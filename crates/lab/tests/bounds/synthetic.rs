//! A directory that holds nothing: the base of a search says how many entries to make, and how large.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use flext_ldap_directory::{
    Actor, BindReply, BindStep, BoxFuture, Deadline, Directory, Error, ErrorKind, Event, Events, Op, Outcome,
    Peer, Reply, Request, Session, Sessions,
    proto::{
        batch::{Batch, BatchWriter},
        ber::Tag,
        control::Controls,
        message::Search,
    },
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Octets of one batch, as the store makes them.
const BATCH: usize = 64 << 10;

/// The directory.
#[derive(Default)]
pub(crate) struct Synthetic {
    made: Arc<AtomicU64>,
    reversing: Option<Mutex<Reversing>>,
}

/// Searches that wait until there are so many.
struct Reversing {
    searches: usize,
    waiting: Vec<(UnboundedSender<Event>, usize)>,
}

impl Synthetic {
    /// One that lets `searches` come, and then answers all of them, an entry of each in turn, the last first.
    pub(crate) fn reversing(searches: usize) -> Self {
        Self { reversing: Some(Mutex::new(Reversing { searches, waiting: Vec::new() })), ..Self::default() }
    }

    /// Entries made so far.
    pub(crate) fn made(&self) -> u64 {
        self.made.load(Ordering::SeqCst)
    }

    fn search(&self, search: &Search) -> Reply {
        let mut numbers = search.base.rdns().filter_map(|rdn| {
            let ava = rdn.avas().next()?;
            std::str::from_utf8(&ava.value()).ok()?.parse::<u64>().ok()
        });
        let (octets, left) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        let octets = usize::try_from(octets).unwrap();
        match &self.reversing {
            Some(reversing) => {
                let (sender, receiver) = unbounded_channel();
                reversing.lock().unwrap().take(sender, octets);
                Reply::events(Received(receiver))
            }
            None => Reply::events(Made { left, octets, made: self.made.clone() }),
        }
    }
}

impl Reversing {
    fn take(&mut self, sender: UnboundedSender<Event>, octets: usize) {
        self.waiting.push((sender, octets));
        if self.waiting.len() < self.searches {
            return;
        }
        for _ in 0..3 {
            for (sender, octets) in self.waiting.iter().rev() {
                sender.send(Event::Batch(batch(1, *octets).1)).unwrap();
            }
        }
        while let Some((sender, _)) = self.waiting.pop() {
            sender.send(Event::Done(Outcome::success())).unwrap();
        }
    }
}

impl Directory for Synthetic {
    fn call(&self, request: Request) -> Reply {
        match request.op {
            Op::Search(search) => self.search(&search),
            _ => Reply::ready(Err(Error::new(ErrorKind::Misuse, "only searches are answered here"))),
        }
    }
}

impl Sessions for Synthetic {
    fn open(&self, _peer: Peer) -> BoxFuture<'_, Result<Box<dyn Session>, Error>> {
        let reversing = self.reversing.as_ref().map(|reversing| {
            let reversing = reversing.lock().unwrap();
            Mutex::new(Reversing { searches: reversing.searches, waiting: Vec::new() })
        });
        let session = Self { made: self.made.clone(), reversing };
        Box::pin(async { Ok(Box::new(session) as Box<dyn Session>) })
    }
}

impl Session for Synthetic {
    fn bind(&mut self, _step: BindStep, _by: Deadline) -> BoxFuture<'_, Result<BindReply, Error>> {
        let done =
            BindReply::Done { actor: Actor::Anonymous, outcome: Outcome::success(), credentials: None };
        Box::pin(async { Ok(done) })
    }
}

/// Entries that are made when they are asked for.
struct Made {
    left: u64,
    octets: usize,
    made: Arc<AtomicU64>,
}

impl Events for Made {
    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(Ok(Event::Done(Outcome::success())));
        }
        let (number, batch) = batch(this.left, this.octets);
        this.left -= number;
        this.made.fetch_add(number, Ordering::SeqCst);
        Poll::Ready(Ok(Event::Batch(batch)))
    }
}

/// Entries that somebody else makes.
struct Received(UnboundedReceiver<Event>);

impl Events for Received {
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Event, Error>> {
        let event = ready!(self.0.poll_recv(cx));
        Poll::Ready(event.ok_or_else(|| Error::new(ErrorKind::Bug, "nobody answers this search")))
    }
}

/// As many entries as fit, at most `left`, and how many they are.
fn batch(left: u64, octets: usize) -> (u64, Batch) {
    let value = vec![b'x'; octets];
    let mut writer = BatchWriter::new();
    let mut number = 0;
    while number < left && (number == 0 || writer.size() < BATCH) {
        let dn = format!("uid=p{:07},ou=people,dc=harbourlane,dc=example", left - number);
        writer.entry(&dn, &Controls::none(), |writer| {
            for (name, value) in [("cn", &b"Ada Byrne"[..]), ("description", &value)] {
                writer.sequence(|writer| {
                    writer.octets(name.as_bytes());
                    writer.constructed(Tag::SET, |writer| writer.octets(value));
                });
            }
        });
        number += 1;
    }
    (number, writer.take())
}
