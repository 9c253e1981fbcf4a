//! How the servers of a stack are, for people and programs: JSON.

use std::fmt;

use flext_ldap_client::Server as _;
use flext_ldap_directory::{
    health::HealthStatus,
    layers::{BreakerState, OperationClass},
};
use serde::Serialize;

use super::{Member, Parts};

/// How the servers of a [`Stack`](super::Stack) are at one instant. Its text is JSON, on one line.
///
/// All together are `healthy` when each one is, `unhealthy` when none is and none is `degraded`, and `degraded` otherwise.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct HealthReport {
    /// `healthy`, `degraded` or `unhealthy`.
    #[serde(serialize_with = "by_name")]
    pub status: HealthStatus,
    /// Each server, in their order.
    pub servers: Vec<ServerReport>,
}

impl HealthReport {
    /// Whether any server is asked at this instant: not all are `down` by [`choice`](ServerReport::choice), which turns with
    /// the first sign, where [`status`](Self::status) weighs the last ten.
    #[must_use]
    pub fn is_of_use(&self) -> bool {
        self.servers.iter().any(|server| server.choice != "down")
    }
}

/// How one server is.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ServerReport {
    /// `host:port`, or the path of a socket.
    pub server: String,
    /// As of all; nothing before it was asked for the first time.
    #[serde(serialize_with = "maybe_by_name")]
    pub status: Option<HealthStatus>,
    /// What the set makes of it: `well`, `suspect`, `slow`, `busy`, `down`.
    pub choice: String,
    /// The moving average of the time to the first answer on service connections, in milliseconds; 0 while there was none.
    /// Checks and conversations of users do not count.
    pub latency_ms: f64,
    /// Service connections that are open.
    pub connections: usize,
    /// Operations on them.
    pub in_flight: usize,
    /// Operations that wait for a connection.
    pub waiting: usize,
    /// Whether reads are made: `closed` (they are), `open` (they are not), `half-open` (some are).
    pub reads: &'static str,
    /// Whether writes are made, likewise.
    pub writes: &'static str,
    /// For how many seconds it has been without a change that another server has, where that can be told. Beyond what may
    /// be it is `degraded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_seconds: Option<f64>,
    /// Why it was not well the last time it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

pub(super) fn of(parts: &Parts) -> HealthReport {
    let known = parts.set.as_ref().map(|set| set.statistics().members).unwrap_or_default();
    let servers: Vec<_> = parts
        .members
        .iter()
        .zip(known)
        .enumerate()
        .map(|(number, (member, known))| {
            let stats = member.pool.stats();
            let lag = parts.lags.as_ref().and_then(|lags| lags.of(number));
            let behind = lag.is_some_and(|lag| lag > parts.most_lag).then_some(HealthStatus::Degraded);
            ServerReport {
                server: member.pool.name().to_owned(),
                status: member
                    .health
                    .status()
                    .map(|status| behind.map_or(status, |behind| status.max(behind))),
                choice: format!("{:?}", known.health).to_ascii_lowercase(),
                latency_ms: known.latency.as_secs_f64() * 1e3,
                connections: stats.open,
                in_flight: stats.in_flight,
                waiting: stats.waiting,
                reads: circuit(member, OperationClass::Read),
                writes: circuit(member, OperationClass::Write),
                lag_seconds: lag.map(|lag| lag.as_secs_f64()),
                last_error: known.last_error,
            }
        })
        .collect();
    HealthReport { status: together(servers.iter().map(|server| server.status)), servers }
}

fn together(each: impl Iterator<Item = Option<HealthStatus>> + Clone) -> HealthStatus {
    let mut each = each.map(|status| status.unwrap_or(HealthStatus::Unhealthy));
    let is_well = |status| status == HealthStatus::Healthy;
    match (
        each.clone().next().is_some() && each.clone().all(is_well),
        each.all(|one| one == HealthStatus::Unhealthy),
    ) {
        (true, _) => HealthStatus::Healthy,
        (false, true) => HealthStatus::Unhealthy,
        (false, false) => HealthStatus::Degraded,
    }
}

fn circuit(member: &Member, class: OperationClass) -> &'static str {
    match member.breaker.state(class) {
        BreakerState::Closed => "closed",
        BreakerState::HalfOpen => "half-open",
        BreakerState::Open { .. } => "open",
    }
}

fn by_name<S: serde::Serializer>(status: &HealthStatus, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(status.name())
}

fn maybe_by_name<S: serde::Serializer>(
    status: &Option<HealthStatus>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(status.map_or("unknown", HealthStatus::name))
}

impl fmt::Display for HealthReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_as_well_as_what_is_left_of_them() {
        use HealthStatus::{Degraded, Healthy, Unhealthy};
        let table: &[(&[Option<HealthStatus>], HealthStatus)] = &[
            (&[Some(Healthy), Some(Healthy)], Healthy),
            (&[Some(Healthy), Some(Unhealthy)], Degraded),
            (&[Some(Degraded)], Degraded),
            (&[Some(Unhealthy), None], Unhealthy),
            (&[None], Unhealthy),
            (&[], Unhealthy),
        ];
        for (each, want) in table {
            assert_eq!(together(each.iter().copied()), *want, "{each:?}");
        }
    }
}
