//! A few threads that hash and verify passwords, so that a crowd at the door slows down nobody else.
//!
//! Those who wait are served by where they come from, each network in its turn, and where the queue is full it is whoever
//! has the most in it that is refused: one address that guesses without end keeps nobody else from signing in.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use flext_ldap_directory::{Error, ErrorKind, Peer, PeerAddress};
use flext_ldap_proto::result::ResultCode;
use tokio::sync::oneshot;

use crate::tables::Failure;

/// The longest wait for a turn and the work together.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where somebody comes from: an IPv4 address, the /64 of an IPv6 address, which is what one subscriber has, or this
/// machine.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Origin {
    Network(IpAddr),
    Here,
}

impl Origin {
    pub(crate) fn of(peer: &Peer) -> Self {
        match peer.address {
            PeerAddress::Tcp(address) => Self::Network(match address.ip().to_canonical() {
                IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
                address => address,
            }),
            _ => Self::Here,
        }
    }
}

/// Told whether it is to be done, or only to say that it is not.
type Job = Box<dyn FnOnce(bool) + Send>;

/// The pool. Closing it finishes what was accepted.
pub(crate) struct Hashers {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    queue: Mutex<Queue<Job>>,
    added: Condvar,
}

/// What waits.
struct Queue<J> {
    most: usize,
    waiting: usize,
    by_origin: HashMap<Origin, VecDeque<J>>,
    /// Those who have something waiting, the next one first.
    turns: VecDeque<Origin>,
    closed: bool,
}

/// What could not be added, or made room for another.
enum Added<J> {
    Yes,
    /// It is there, and this one is not any more.
    InsteadOf(J),
    Full,
    Closed,
}

impl<J> Queue<J> {
    fn new(most: usize) -> Self {
        let (by_origin, turns) = (HashMap::new(), VecDeque::new());
        Self { most: most.max(1), waiting: 0, by_origin, turns, closed: false }
    }

    fn add(&mut self, from: Origin, job: J) -> Added<J> {
        if self.closed {
            return Added::Closed;
        }
        let mut displaced = None;
        if self.waiting >= self.most {
            let own = self.by_origin.get(&from).map_or(0, VecDeque::len);
            // As many places at most as jobs wait.
            let longest = self.by_origin.values_mut().max_by_key(|jobs| jobs.len());
            let Some(longest) = longest.filter(|jobs| jobs.len() > own.saturating_add(1)) else {
                return Added::Full;
            };
            displaced = longest.pop_back();
            self.waiting = self.waiting.saturating_sub(1);
        }
        let jobs = self.by_origin.entry(from).or_default();
        if jobs.is_empty() {
            self.turns.push_back(from);
        }
        jobs.push_back(job);
        self.waiting = self.waiting.saturating_add(1);
        displaced.map_or(Added::Yes, Added::InsteadOf)
    }

    fn take(&mut self) -> Option<J> {
        let from = self.turns.pop_front()?;
        let jobs = self.by_origin.get_mut(&from)?;
        let job = jobs.pop_front();
        if jobs.is_empty() {
            self.by_origin.remove(&from);
        } else {
            self.turns.push_back(from);
        }
        self.waiting = self.waiting.saturating_sub(1);
        job
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue<Job>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        loop {
            let mut queue = self.queue();
            let job = loop {
                match queue.take() {
                    Some(job) => break job,
                    None if queue.closed => return,
                    None => queue = self.added.wait(queue).unwrap_or_else(PoisonError::into_inner),
                }
            };
            drop(queue);
            job(true);
        }
    }
}

impl Hashers {
    pub(crate) fn start(threads: usize, queue: usize) -> Result<Self, Error> {
        let shared = Arc::new(Shared { queue: Mutex::new(Queue::new(queue)), added: Condvar::new() });
        let hashers = Self { shared, threads: Mutex::default() };
        for _ in 0..threads.max(1) {
            let shared = Arc::clone(&hashers.shared);
            let thread =
                std::thread::Builder::new().name("ldap-hash".to_owned()).spawn(move || shared.work());
            let thread = thread.map_err(|error| {
                hashers.close();
                Error::new(ErrorKind::Overloaded, "a thread for passwords cannot be started")
                    .with_source(error)
            })?;
            hashers.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        }
        Ok(hashers)
    }

    /// Has `work` done by one of the threads, for somebody who comes from there. Answers `busy` where too much waits.
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        from: Origin,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Failure> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |is_due| {
            // Who gave up need not be worked for.
            if !answer.is_closed() {
                let _ = answer.send(is_due.then(work));
            }
        });
        let full = || Failure::refused(ResultCode::BUSY, "too many passwords wait to be checked");
        let added = self.shared.queue().add(from, job);
        match added {
            Added::Yes => self.shared.added.notify_one(),
            Added::InsteadOf(other) => {
                self.shared.added.notify_one();
                other(false);
            }
            Added::Full => return Err(full()),
            Added::Closed => return Err(closed().into()),
        }
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(Some(answer))) => Ok(answer),
            Ok(Ok(None)) => Err(full()),
            Ok(Err(_)) => Err(Error::new(ErrorKind::Bug, "a password was not checked").into()),
            Err(_) => Err(Failure::refused(ResultCode::BUSY, "passwords take too long to check at present")),
        }
    }

    pub(crate) fn close(&self) {
        self.shared.queue().closed = true;
        self.shared.added.notify_all();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A panic in there was told to whoever waited for its answer.
            let _ = thread.join();
        }
    }
}

pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the store is closed")
}

#[cfg(test)]
mod tests {
    use flext_ldap_directory::Protection;

    use super::*;

    fn from(address: &str) -> Origin {
        let address = PeerAddress::Tcp(address.parse().unwrap());
        Origin::of(&Peer {
            address,
            protection: Protection::Clear,
            external: None,
            bindings: None,
            tls: None,
        })
    }

    #[test]
    fn each_network_has_its_turn_and_the_most_demanding_is_refused() {
        let (crowd, one, other) = (from("192.0.2.7:1"), from("[2001:db8::1]:1"), from("[2001:db8:0:1::1]:1"));
        let mut queue = Queue::new(6);
        for number in 0..6 {
            assert!(matches!(queue.add(crowd, number), Added::Yes));
        }
        assert!(matches!(queue.add(crowd, 6), Added::Full));
        assert!(matches!(queue.add(one, 10), Added::InsteadOf(5)));
        assert!(matches!(queue.add(one, 11), Added::InsteadOf(4)));
        assert!(matches!(queue.add(other, 20), Added::InsteadOf(3)));
        // Three of the crowd are left: nobody gets more by being refused less.
        assert!(matches!(queue.add(one, 12), Added::Full));
        assert!(matches!(queue.add(crowd, 7), Added::Full));
        let order: Vec<_> = std::iter::from_fn(|| queue.take()).collect();
        assert_eq!(order, [0, 10, 20, 1, 11, 2]);
        assert!(queue.by_origin.is_empty() && queue.turns.is_empty() && queue.waiting == 0);
        queue.closed = true;
        assert!(matches!(queue.add(one, 13), Added::Closed));
    }

    #[test]
    fn one_subscriber_is_one_network() {
        let table = [
            ("192.0.2.7:1", "192.0.2.7:2", true),
            ("192.0.2.7:1", "192.0.2.8:1", false),
            ("192.0.2.7:1", "[::ffff:192.0.2.7]:1", true),
            ("[2001:db8::1]:1", "[2001:db8::ffff:1]:1", true),
            ("[2001:db8::1]:1", "[2001:db8:0:1::1]:1", false),
        ];
        for (left, right, same) in table {
            assert_eq!(from(left) == from(right), same, "{left} {right}");
        }
    }
}
