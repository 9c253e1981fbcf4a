//! What pools and the set count, for Prometheus.

use std::sync::Arc;

use flext_ldap_client::{Pool, Server as _, ServerSet};
use flext_ldap_directory::layers::{MetricsPage, MetricsSource};

pub(super) struct Counts {
    pub(super) pools: Vec<Pool>,
    pub(super) set: Arc<ServerSet>,
}

impl MetricsSource for Counts {
    fn collect(&self, page: &mut MetricsPage) {
        for pool in &self.pools {
            let (server, stats) = (pool.name(), pool.stats());
            for (state, number) in [
                ("open", stats.open),
                ("idle", stats.idle),
                ("bind_idle", stats.binds.idle),
                ("conversation", stats.binds.conversations),
            ] {
                let labels = [("server", server), ("state", state)];
                page.gauge(
                    "ldap_pool_connections",
                    "Connections, by what they are for.",
                    &labels,
                    number as f64,
                );
            }
            let labels = [("server", server)];
            let waiting = (stats.waiting + stats.binds.waiting) as f64;
            page.gauge("ldap_pool_waiting", "Operations that wait for a connection.", &labels, waiting);
            for (name, help, count) in [
                ("ldap_pool_opened_total", "Service connections opened.", stats.opened),
                (
                    "ldap_pool_open_failures_total",
                    "Connections that could not be opened.",
                    stats.open_failures,
                ),
                ("ldap_pool_refusals_total", "Refusals of the program's own credentials.", stats.refusals),
                ("ldap_pool_lost_total", "Connections that ended by themselves.", stats.lost),
                ("ldap_pool_wait_timeouts_total", "Operations that waited in vain.", stats.wait_timeouts),
                ("ldap_pool_turned_away_total", "Operations refused, as too many waited.", stats.turned_away),
                ("ldap_binds_total", "Binds of users sent.", stats.binds.binds),
            ] {
                page.counter(name, help, &labels, count);
            }
        }
        let stats = self.set.statistics();
        page.counter("ldap_retries_total", "Operations that were sent again.", &[], stats.retries);
        let help = "Times one was not sent again, as too much was already.";
        page.counter("ldap_refused_retries_total", help, &[], stats.refused_retries);
    }
}
