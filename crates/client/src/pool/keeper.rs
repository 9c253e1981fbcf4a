//! The task of a pool: opens connections, checks them, closes those that are not needed, and clears up after binds.
//!
//! It alone opens service connections, one after another. It ends when the pool's last handle is dropped or the pool is
//! shut down.

use std::{future::pending, sync::Arc, time::Duration};

use flext_ldap_directory::{BoxFuture, Deadline, Directory, Error, ErrorKind};
use tokio::{
    sync::oneshot,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tracing::Instrument as _;

use super::{
    binds::Binds,
    opening::{Opened, Opener},
    recovery::Recovery,
    shared::{Member, Shared},
};

/// How often connections are looked after.
const TICK: Duration = Duration::from_secs(1);

pub(super) struct Keeper {
    pub(super) shared: Arc<Shared>,
    pub(super) binds: Arc<Binds>,
    pub(super) opener: Opener,
}

/// Something the keeper had somebody else do.
enum Done {
    Checked(Arc<Member>, Result<(), Error>),
    Cleared,
}

impl Keeper {
    pub(super) async fn run(self, mut stopped: oneshot::Receiver<()>) {
        let mut recovery = Recovery::new();
        // When to try again to open a connection.
        let mut again: Option<Instant> = None;
        let mut opening: Option<BoxFuture<'static, Opened>> = None;
        let mut tasks: JoinSet<Done> = JoinSet::new();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let plan = self.shared.plan();
            for member in plan.checks {
                tasks.spawn(check(Arc::clone(&self.shared), member));
            }
            for connection in self.binds.take_returned() {
                let binds = Arc::clone(&self.binds);
                tasks.spawn(async move {
                    binds.clear(connection).await;
                    Done::Cleared
                });
            }
            if let Some(span) = plan.opens {
                let open = self.opener.clone().open(recovery.refused().cloned());
                opening = Some(Box::pin(open.instrument(span)));
            }
            tokio::select! {
                biased;
                // Dropped or told, it is the same.
                _ = &mut stopped => return,
                _ = tick.tick() => {
                    self.shared.tick();
                    self.binds.tick();
                }
                Some(done) = tasks.join_next() => match done {
                    Ok(Done::Checked(member, result)) => {
                        if let Err(error) = &result {
                            tracing::debug!(server = self.shared.server, %error, "a check failed");
                        }
                        self.shared.checked(&member, result.is_ok());
                    }
                    Ok(Done::Cleared) => {}
                    Err(error) => tracing::error!(server = self.shared.server, %error, "a task of the pool failed"),
                },
                opened = maybe(&mut opening) => {
                    opening = None;
                    again = self.opened(opened, &mut recovery);
                }
                () = at(again), if opening.is_none() => {
                    again = None;
                    if recovery.refused().is_some() {
                        opening = Some(Box::pin(self.opener.clone().open(recovery.refused().cloned())));
                    } else {
                        self.shared.clear_obstacle();
                    }
                }
                () = at(plan.settle_at) => self.shared.settle(),
                () = self.shared.keeper.notified() => {}
            }
        }
    }

    /// Takes in what came of an opening. Returns when to try again, if it failed.
    fn opened(&self, opened: Opened, recovery: &mut Recovery) -> Option<Instant> {
        let now = Instant::now();
        let server = &self.shared.server;
        let (next, obstacle, is_refusal) = match opened {
            Opened::Ready(connection) => {
                recovery.succeeded();
                self.shared.opened(*connection);
                return None;
            }
            Opened::Unchanged => return Some(recovery.unchanged(now)),
            Opened::Held(error) => {
                let (next, obstacle) = Recovery::held(error, now);
                (next, obstacle, false)
            }
            Opened::Failed(error) => {
                tracing::debug!(server, %error, "no connection could be opened");
                let (next, obstacle) = self.shared.with_dice(|dice| recovery.failed(error, now, dice));
                (next, obstacle, false)
            }
            Opened::Refused(error, credentials) => {
                tracing::warn!(server, %error, "the server refuses this program's own credentials");
                let (next, obstacle) = recovery.refuse(error, credentials, now);
                (next, obstacle, true)
            }
        };
        self.shared.obstructed(obstacle, is_refusal);
        Some(next)
    }
}

/// Asks a server over a connection it already has.
async fn check(shared: Arc<Shared>, member: Arc<Member>) -> Done {
    let check = &shared.settings.check;
    let request = check.request(Deadline::after(check.timeout));
    let result = check.judge(&shared.server, member.connection.call(request)).await;
    // A server that is busy is no better asked over another connection.
    let result = match result {
        Err(error) if error.kind() == ErrorKind::Overloaded => Ok(()),
        result => result,
    };
    Done::Checked(member, result)
}

async fn maybe(opening: &mut Option<BoxFuture<'static, Opened>>) -> Opened {
    match opening {
        Some(opening) => opening.await,
        None => pending().await,
    }
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => pending().await,
    }
}
