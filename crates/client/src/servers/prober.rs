//! Asks a member how it is: now and then while it is well, more often while it is not, and at once when an operation
//! gives reason to.

use std::{sync::Arc, time::Duration};

use flext_ldap_directory::{Deadline, Error, ErrorKind};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::{
    health::MemberHealth,
    member::{Member, Occasion},
    shared::{Probes, Shared},
};

/// Between two probes at least, whatever operations say.
const GAP: Duration = Duration::from_millis(50);
/// The longest pause before a member that comes and goes is asked again.
const LONGEST_RECHECK: Duration = Duration::from_secs(30);
/// When it is time for a probe that nobody wants: never in the life of a program that ends soon.
const SELDOM: Duration = Duration::from_secs(365 * 86_400);

/// Looks after a member until it is aborted.
pub(super) async fn watch(shared: Arc<Shared>, member: Arc<Member>) {
    let settings = shared.settings;
    let mut occasion = match settings.probes {
        Probes::Steady => Occasion::Due,
        Probes::OnDemand => wait(&shared, &member).await,
    };
    loop {
        member.set_bar(shared.bar(&member));
        let by = Deadline::after(settings.check_timeout);
        let (falls, started) = (member.probing(), Instant::now());
        let result = timeout_at(by.instant(), member.server.check(by)).await.unwrap_or_else(|_| {
            let message = format!(
                "{} did not say within {:?} whether it is well",
                member.server.name(),
                settings.check_timeout
            );
            Err(Error::new(ErrorKind::Timeout, message))
        });
        if member.probed(occasion, falls, result, started.elapsed()) {
            shared.changed.notify_waiters();
        }
        sleep(GAP).await;
        occasion = wait(&shared, &member).await;
    }
}

/// Waits until the next probe is due, or there is reason for one.
async fn wait(shared: &Shared, member: &Member) -> Occasion {
    let settings = shared.settings;
    let due = || {
        let pause = match member.health() {
            MemberHealth::Well if settings.probes == Probes::OnDemand => SELDOM,
            MemberHealth::Well => settings.check_every,
            _ => {
                let doubled = settings.recheck_every.saturating_mul(2_u32.saturating_pow(member.doublings()));
                doubled.min(LONGEST_RECHECK.max(settings.recheck_every))
            }
        };
        Instant::now() + shared.dice.about(pause)
    };
    let (mut health, mut at) = (member.health(), due());
    loop {
        let now = Instant::now();
        // A server that has stopped answering without a word is found out before anybody's deadline passes.
        if member.wants_probe() || member.is_silent_for(settings.slow) {
            return Occasion::Doubt;
        }
        if now >= at {
            return Occasion::Due;
        }
        tokio::select! {
            () = member.wake.notified() => {}
            () = sleep_until(at.min(now + settings.slow)) => {}
        }
        if member.health() != health {
            (health, at) = (member.health(), due());
        }
    }
}
