//! When to try again after a connection could not be opened: soon where the server was away, seldom where it refused
//! the secret, since each further refusal counts towards the account's lockout.

use std::{fmt, time::Duration};

use flext_ldap_directory::{Error, ErrorKind, proto::result::ResultCode};
use tokio::time::Instant;

use crate::{Credentials, chance::Dice};

/// The first pause after a failure; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How often a refused secret is read again.
pub(super) const REREAD: Duration = Duration::from_secs(5);
/// How long the same secret is not sent again after it was refused, each time. Directories count failures over half an
/// hour or less, so there are never more than two in that time.
const REFUSED: [Duration; 4] =
    [REREAD, Duration::from_secs(30 * 60), Duration::from_secs(60 * 60), Duration::from_secs(2 * 60 * 60)];

/// How often the same refused secret is sent within `time`, at most, if it stays the same.
pub(super) fn refusals_within(time: Duration) -> u32 {
    let (mut count, mut at, mut last) = (1_u32, Duration::ZERO, REREAD);
    for pause in REFUSED {
        at += pause;
        if at >= time {
            return count;
        }
        (count, last) = (count + 1, pause);
    }
    let more = (time - at).saturating_sub(Duration::from_nanos(1)).as_nanos() / last.as_nanos();
    count.saturating_add(u32::try_from(more).unwrap_or(u32::MAX))
}

/// Why there may be no connection, and when the next attempt is made.
#[derive(Debug)]
pub(super) struct Recovery {
    failures: u32,
    refused: Option<Refused>,
}

/// A secret the server does not take.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) credentials: Credentials,
    /// How often in a row.
    times: usize,
    /// From when on it may be sent again unchanged.
    pub(super) not_before: Instant,
}

/// What is in the way of opening connections, for those who ask meanwhile.
#[derive(Clone, Debug)]
pub(super) struct Obstacle {
    error: Error,
    next: Instant,
    is_refusal: bool,
}

impl Recovery {
    pub(super) const fn new() -> Self {
        Self { failures: 0, refused: None }
    }

    pub(super) const fn refused(&self) -> Option<&Refused> {
        self.refused.as_ref()
    }

    /// A connection was opened.
    pub(super) fn succeeded(&mut self) {
        *self = Self::new();
    }

    /// The server was away. Returns when to try again, and what to say until then.
    pub(super) fn failed(&mut self, error: Error, now: Instant, dice: &Dice) -> (Instant, Obstacle) {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        let next = now + dice.about(pause);
        (next, Obstacle { error, next, is_refusal: false })
    }

    /// Another server has refused the secret: when to read it again, and what to say until then.
    pub(super) fn held(error: Error, now: Instant) -> (Instant, Obstacle) {
        let next = now + REREAD;
        (next, Obstacle { error, next, is_refusal: false })
    }

    /// The server refused these credentials.
    pub(super) fn refuse(
        &mut self,
        error: Error,
        credentials: Credentials,
        now: Instant,
    ) -> (Instant, Obstacle) {
        let times = match &self.refused {
            Some(before) if before.credentials.are_those_of(&credentials) => before.times + 1,
            _ => 1,
        };
        let pause = REFUSED.get(times - 1).or(REFUSED.last()).copied().unwrap_or(LONGEST_PAUSE);
        let not_before = now + pause;
        let is_new = times == 1;
        self.refused = Some(Refused { credentials, times, not_before });
        // A secret that has just been refused for the first time may have been replaced meanwhile: read it at once.
        let next = if is_new { now } else { now + REREAD.min(pause) };
        (next, Obstacle { error, next: not_before, is_refusal: true })
    }

    /// The secret is still the refused one, and it is too early to send it again.
    pub(super) fn unchanged(&self, now: Instant) -> Instant {
        let reread = now + REREAD;
        self.refused.as_ref().map_or(reread, |refused| reread.min(refused.not_before.max(now)))
    }
}

impl Refused {
    /// Whether these credentials may be sent.
    pub(super) fn lets_through(&self, credentials: &Credentials, now: Instant) -> bool {
        !self.credentials.are_those_of(credentials) || now >= self.not_before
    }
}

/// Whether a failed opening says that the credentials are wrong.
pub(super) fn is_refusal(error: &Error) -> bool {
    // What is the server's own trouble passes; anything else it answers to a bind is about who binds.
    error.kind() == ErrorKind::Rejected
        && !matches!(
            error.result_code(),
            Some(
                ResultCode::BUSY | ResultCode::UNAVAILABLE | ResultCode::OTHER | ResultCode::OPERATIONS_ERROR
            )
        )
}

impl Obstacle {
    /// The error for who wanted a connection.
    pub(super) fn error(&self, server: &str) -> Error {
        let next = self.next.saturating_duration_since(Instant::now());
        let message = if self.is_refusal {
            format!(
                "no connection to {server}: it refuses this program's own credentials, which are not sent again unchanged for another {}, so that the account is not locked; correct the secret, which is read again every {}, or the account",
                Seconds(next),
                Seconds(REREAD)
            )
        } else {
            format!(
                "no connection to {server} could be opened; the next attempt is made in {}",
                Seconds(next)
            )
        };
        // That the program's own bind was refused is nothing the caller could mend by asking otherwise.
        let kind = match self.error.kind() {
            kind @ (ErrorKind::Tls | ErrorKind::Timeout | ErrorKind::Confidentiality) => kind,
            _ => ErrorKind::Unreachable,
        };
        Error::new(kind, message).with_source(self.error.clone())
    }

    /// Why the last attempt failed.
    pub(super) fn cause(&self) -> Error {
        self.error.clone()
    }
}

/// Seconds, as messages have them.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            0..2 => write!(f, "{:.1} s", self.0.as_secs_f64()),
            seconds @ 2..120 => write!(f, "{seconds} s"),
            seconds => write!(f, "{} min", seconds.div_ceil(60)),
        }
    }
}

#[cfg(test)]
mod tests {
    use flext_ldap_directory::{Outcome, proto::result::LdapResult};

    use super::*;

    fn refusal() -> Error {
        Error::rejected(Outcome::new(LdapResult::new(ResultCode::INVALID_CREDENTIALS)))
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_a_second() {
        let (mut recovery, dice) = (Recovery::new(), Dice::new());
        let now = Instant::now();
        for most in [20, 40, 80, 160, 320, 640, 1_000, 1_000, 1_000] {
            let (next, _) = recovery.failed(Error::new(ErrorKind::Unreachable, "away"), now, &dice);
            let pause = next - now;
            let most = Duration::from_millis(most);
            assert!((most / 2..=most).contains(&pause), "{pause:?} of {most:?}");
        }
        recovery.succeeded();
        let (next, _) = recovery.failed(Error::new(ErrorKind::Unreachable, "away"), now, &dice);
        assert!(next - now <= FIRST_PAUSE);
    }

    #[test]
    fn refusals_are_counted_before_they_happen() {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        let table = [
            (minutes(0), 1),
            (REREAD, 1),
            (minutes(1), 2),
            (minutes(30), 2),
            (minutes(31), 3),
            (minutes(91), 4),
        ];
        for (time, count) in table {
            assert_eq!(refusals_within(time), count, "{time:?}");
        }
        let hours = |hours: u64| minutes(hours * 60);
        assert_eq!([4, 5, 6, 24].map(|time| refusals_within(hours(time))), [5, 5, 6, 15]);
        assert_eq!(refusals_within(Duration::MAX), u32::MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_secret_is_sent_at_most_twice_in_half_an_hour() {
        let mut recovery = Recovery::new();
        let wrong = Credentials::simple("cn=reader", "old");
        let mut sent = Vec::new();
        let mut now = Instant::now();
        let begun = now;
        while now - begun < Duration::from_secs(24 * 3_600) {
            now = match recovery.refused() {
                Some(refused) if !refused.lets_through(&wrong, now) => recovery.unchanged(now),
                _ => {
                    sent.push(now);
                    recovery.refuse(refusal(), wrong.clone(), now).0
                }
            };
        }
        for (index, first) in sent.iter().enumerate() {
            let within =
                sent[index..].iter().filter(|at| **at - *first < Duration::from_secs(30 * 60)).count();
            assert!(within <= 2, "{within} in half an hour");
        }
        assert_eq!((sent[1] - sent[0], sent.len()), (REREAD, 15));
        // Another secret goes at once.
        assert!(recovery.refused().unwrap().lets_through(&Credentials::simple("cn=reader", "new"), now));
        assert!(!recovery.refused().unwrap().lets_through(&wrong, now));
    }

    #[tokio::test(start_paused = true)]
    async fn errors_say_what_is_done_about_it() {
        let mut recovery = Recovery::new();
        let now = Instant::now();
        let (next, obstacle) = recovery.refuse(refusal(), Credentials::simple("cn=reader", "s3cret"), now);
        assert_eq!(next, now, "read again at once");
        let error = obstacle.error("ldap.harbourlane.example:636");
        assert_eq!(error.kind(), ErrorKind::Unreachable);
        assert_eq!(
            error.to_string(),
            "no connection to ldap.harbourlane.example:636: it refuses this program's own credentials, which are not sent again unchanged for another 5 s, so that the account is not locked; correct the secret, which is read again every 5 s, or the account"
        );
        assert!(!format!("{error:?} {recovery:?}").contains("s3cret"));
        for (code, want) in [
            (ResultCode::INVALID_CREDENTIALS, true),
            (ResultCode::UNWILLING_TO_PERFORM, true),
            (ResultCode::CONSTRAINT_VIOLATION, true),
            (ResultCode::BUSY, false),
            (ResultCode::UNAVAILABLE, false),
        ] {
            assert_eq!(is_refusal(&Error::rejected(Outcome::new(LdapResult::new(code)))), want, "{code}");
        }
        assert!(!is_refusal(&Error::new(ErrorKind::Closed, "gone")));
    }
}
