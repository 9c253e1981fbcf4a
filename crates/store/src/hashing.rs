//! A few threads that hash and verify passwords, so that a crowd at the door slows down nobody else.

use std::{
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
        Ok(Self { sender: Mutex::new(Some(sender)), threads: Mutex::new(threads) })
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
