//! A few threads that hash and verify passwords, so that a crowd at the door slows down nobody else, and one address
//! does not take every place in the queue.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use flext_ldap_directory::{Error, ErrorKind};
use flext_ldap_proto::result::ResultCode;
use tokio::sync::oneshot;

use crate::tables::Failure;

/// The longest wait for a turn and the work together.
const PATIENCE: Duration = Duration::from_secs(30);

type Job = Box<dyn FnOnce() + Send>;

/// The pool. Closing it finishes what was accepted.
pub(crate) struct Hashers {
    sender: Mutex<Option<SyncSender<Job>>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// How many places one address may have.
    share: usize,
    taken: Arc<Taken>,
}

/// Places in the queue, by address.
type Taken = Mutex<HashMap<IpAddr, usize>>;

/// A place, given back when it is dropped.
struct Place {
    of: IpAddr,
    taken: Arc<Taken>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = taken.get_mut(&self.of) {
            *places = places.saturating_sub(1);
            if *places == 0 {
                taken.remove(&self.of);
            }
        }
    }
}

impl Hashers {
    pub(crate) fn start(threads: usize, queue: usize) -> Result<Self, Error> {
        let (sender, receiver) = sync_channel::<Job>(queue.max(1));
        let receiver = Arc::new(Mutex::new(receiver));
        let threads = (0..threads.max(1))
            .map(|_| {
                let receiver = Arc::clone(&receiver);
                std::thread::Builder::new().name("ldap-hash".to_owned()).spawn(move || work(&receiver))
            })
            .collect::<Result<_, _>>()
            .map_err(|error| {
                Error::new(ErrorKind::Overloaded, "a thread for passwords cannot be started")
                    .with_source(error)
            })?;
        Ok(Self {
            sender: Mutex::new(Some(sender)),
            threads: Mutex::new(threads),
            share: queue.div_ceil(2).max(1),
            taken: Arc::default(),
        })
    }

    /// As [`run`](Self::run), for somebody at `address`, who has half of the places at the most (of IPv6, a /64).
    pub(crate) async fn run_for<R: Send + 'static>(
        &self,
        address: Option<IpAddr>,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Failure> {
        let Some(address) = address else { return self.run(work).await };
        let place = self.place(address)?;
        self.run(move || {
            let _place = place;
            work()
        })
        .await
    }

    fn place(&self, address: IpAddr) -> Result<Place, Failure> {
        let of = match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(address) => match address.to_ipv4_mapped() {
                Some(address) => IpAddr::V4(address),
                None => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
            },
        };
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let places = taken.entry(of).or_insert(0);
        if *places >= self.share {
            return Err(Failure::refused(
                ResultCode::BUSY,
                "too many passwords from this address wait to be checked",
            ));
        }
        *places = places.saturating_add(1);
        Ok(Place { of, taken: Arc::clone(&self.taken) })
    }

    /// Has `work` done by one of the threads. Answers `busy` at once where too much waits.
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, Failure> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move || {
            // Who gave up need not be worked for.
            if !answer.is_closed() {
                let _ = answer.send(work());
            }
        });
        let sent = match &*self.sender.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(sender) => sender.try_send(job),
            None => Err(TrySendError::Disconnected(job)),
        };
        match sent {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                return Err(Failure::refused(ResultCode::BUSY, "too many passwords wait to be checked"));
            }
            Err(TrySendError::Disconnected(_)) => return Err(closed().into()),
        }
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(Error::new(ErrorKind::Bug, "a password was not checked").into()),
            Err(_) => Err(Failure::refused(ResultCode::BUSY, "passwords take too long to check at present")),
        }
    }

    pub(crate) fn close(&self) {
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A panic in there was told to whoever waited for its answer.
            let _ = thread.join();
        }
    }
}

fn work(receiver: &Mutex<Receiver<Job>>) {
    loop {
        let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

pub(crate) fn closed() -> Error {
    Error::new(ErrorKind::Closed, "the store is closed")
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn one_address_has_half_of_the_places() {
        let hashers = Hashers::start(1, 8).unwrap();
        let (go, wait) = mpsc::channel::<()>();
        let at = |text: &str| Some(text.parse().unwrap());
        let busy = |done: Result<(), Failure>| matches!(done, Err(Failure::Refused(result)) if result.code == ResultCode::BUSY);
        let mut held = Box::pin(hashers.run(move || wait.recv().unwrap()));
        assert!(polled(&mut held).is_pending());
        let mut waiting = Vec::new();
        for _ in 0..4 {
            let mut one = Box::pin(hashers.run_for(at("192.0.2.7"), || ()));
            assert!(polled(&mut one).is_pending());
            waiting.push(one);
        }
        assert!(busy(hashers.run_for(at("192.0.2.7"), || ()).await));
        assert!(busy(hashers.run_for(at("::ffff:192.0.2.7"), || ()).await));
        let mut other = Box::pin(hashers.run_for(at("192.0.2.8"), || ()));
        assert!(polled(&mut other).is_pending());
        go.send(()).unwrap();
        held.await.unwrap();
        other.await.unwrap();
        for one in waiting {
            one.await.unwrap();
        }
        // All places are free again, whoever of a /64 asks.
        assert_eq!(hashers.taken.lock().unwrap().len(), 0);
        let first = hashers.place("2001:db8::1".parse().unwrap());
        assert_eq!(hashers.taken.lock().unwrap().values().copied().collect::<Vec<_>>(), [1]);
        let second = hashers.place("2001:db8::ffff:1".parse().unwrap());
        assert_eq!(hashers.taken.lock().unwrap().values().copied().collect::<Vec<_>>(), [2]);
        drop((first, second));
        assert_eq!(hashers.taken.lock().unwrap().len(), 0);
        hashers.close();
    }

    fn polled<F: Future + Unpin>(future: &mut F) -> std::task::Poll<F::Output> {
        std::pin::Pin::new(future).poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
    }
}
