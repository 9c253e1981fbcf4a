//! The layers, one file each.

mod audit;
mod breaker;
mod health;
mod metrics;
mod observe;
mod read_only;
mod time_limit;
mod traces;
mod watch;

pub use self::{
    audit::{Audit, AuditSink, AuditStatistics, AuditTrail},
    breaker::{Breaker, BreakerOpen, BreakerOptions, BreakerState, BreakerStatistics, OperationClass},
    health::HealthWatch,
    metrics::{Metrics, MetricsPage, MetricsSource, ServerMetrics},
    observe::{Observation, Observe, Observer},
    read_only::ReadOnly,
    time_limit::TimeLimit,
    traces::Traces,
};
