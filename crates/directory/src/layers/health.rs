//! Learns how well a server is from the operations that are asked of it anyway.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use flext_ldap_proto::{batch::Batch, result::ResultCode};
use tokio::time::Instant;

use super::{
    BreakerOpen,
    metrics::{MetricsPage, MetricsSource},
    watch::{End, Witness, waits_for_changes, watch},
};
use crate::{
    Directory, Error, ErrorKind, Layer, Reply, Request,
    health::{Health, HealthOptions, HealthSign, HealthStatus},
};

/// The layer, around one server; a clone is the same. Whoever checks servers by other means tells it too
/// ([`observe`](Self::observe)).
///
/// A search is judged by its first delivery, since how long all of it takes depends on how much it is and on who reads it.
/// No answer counts from [`slow`](HealthOptions::slow) on, and not where a search waits for changes. What was given up sooner,
/// or never got as far as the server, says nothing.
#[derive(Clone, Debug)]
pub struct HealthWatch {
    server: Arc<str>,
    health: Arc<Mutex<Health>>,
    slow: Duration,
}

impl HealthWatch {
    /// Of the server that metrics call `server`.
    #[must_use]
    pub fn new(server: impl Into<Arc<str>>, options: HealthOptions) -> Self {
        let health = Arc::new(Mutex::new(Health::new(options)));
        Self { server: server.into(), health, slow: options.slow }
    }

    /// How the server is; `None` before anything was asked of it.
    #[must_use]
    pub fn status(&self) -> Option<HealthStatus> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).status()
    }

    /// Takes in a sign from elsewhere: the outcome of a check, say. Returns the new status if that changed it.
    pub fn observe(&self, sign: HealthSign) -> Option<HealthStatus> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).observe(sign)
    }
}

impl Layer for HealthWatch {
    fn call(&self, request: Request, next: &dyn Directory) -> Reply {
        let due = !waits_for_changes(&request);
        let watched = Watched { watch: self.clone(), started: Instant::now(), due, delivered: false };
        watch(next.call(request), watched)
    }
}

impl MetricsSource for HealthWatch {
    fn collect(&self, page: &mut MetricsPage) {
        let Some(status) = self.status() else { return };
        let value = match status {
            HealthStatus::Healthy => 0.0,
            HealthStatus::Degraded => 1.0,
            HealthStatus::Unhealthy => 2.0,
        };
        let help = "0 healthy, 1 degraded, 2 unhealthy.";
        page.gauge("ldap_server_health", help, &[("server", &*self.server)], value);
    }
}

struct Watched {
    watch: HealthWatch,
    started: Instant,
    /// Whether the server owes an answer soon.
    due: bool,
    delivered: bool,
}

impl Witness for Watched {
    fn delivered(&mut self, _batch: &Batch) {
        if !self.delivered {
            self.delivered = true;
            self.watch.observe(HealthSign::Answered(self.started.elapsed()));
        }
    }

    fn ended(&mut self, end: End<'_>) {
        let sign = match end {
            End::Answered(outcome) => self.of_code(outcome.result.code),
            End::Failed(error) => self.of_error(error),
            End::Left { waited } => self.of_silence().filter(|_| waited),
        };
        if let Some(sign) = sign {
            self.watch.observe(sign);
        }
    }
}

impl Watched {
    /// No answer. A caller in a hurry is no sign of a server that is slow.
    fn of_silence(&self) -> Option<HealthSign> {
        let silent = self.due && !self.delivered && self.started.elapsed() >= self.watch.slow;
        silent.then_some(HealthSign::Silent)
    }

    fn of_code(&self, code: ResultCode) -> Option<HealthSign> {
        match code {
            ResultCode::BUSY | ResultCode::UNAVAILABLE | ResultCode::OTHER => Some(HealthSign::Refused),
            _ if self.delivered => None,
            _ => Some(HealthSign::Answered(self.started.elapsed())),
        }
    }

    fn of_error(&self, error: &Error) -> Option<HealthSign> {
        if std::error::Error::source(error).is_some_and(|source| source.is::<BreakerOpen>()) {
            return None;
        }
        match error.kind() {
            ErrorKind::Unreachable | ErrorKind::Tls | ErrorKind::Closed | ErrorKind::Protocol => {
                Some(HealthSign::Silent)
            }
            ErrorKind::Timeout => self.of_silence(),
            ErrorKind::Storage => Some(HealthSign::Refused),
            ErrorKind::Rejected => error.result_code().and_then(|code| self.of_code(code)),
            _ => None,
        }
    }
}
