//! Asks servers that hold the same how far they have come, now and then.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use flext_ldap_client::{Capabilities, Pool, Server as _};
use flext_ldap_directory::{
    Actor, Deadline, DirectoryExt, Error, Request,
    health::ReplicationLag,
    layers::{MetricsPage, MetricsSource},
    proto::{
        dn::Dn,
        filter::Filter,
        message::{Scope, Search},
    },
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

/// How long a server may take to say how far it is.
const TIME: Duration = Duration::from_secs(2);

/// What has become known of how far the servers are.
#[derive(Clone)]
pub(super) struct Lags {
    names: Arc<[String]>,
    known: Arc<Mutex<ReplicationLag>>,
}

impl Lags {
    pub(super) fn new(pools: &[Pool]) -> Self {
        let names = pools.iter().map(|pool| pool.name().to_owned()).collect();
        Self { names, known: Arc::default() }
    }

    /// For how long this server has been without a change that another has.
    pub(super) fn of(&self, server: usize) -> Option<Duration> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).of(server, Instant::now())
    }

    /// Asks them all, again and again: several times in what they may be behind. Never ends.
    pub(super) async fn follow(self, pools: Vec<Pool>, base: Dn, most: Duration) {
        let pause = (most / 4).clamp(Duration::from_secs(1), Duration::from_secs(30));
        loop {
            let mut asked = JoinSet::new();
            for (number, pool) in pools.iter().cloned().enumerate() {
                let base = base.clone();
                asked.spawn(async move { (number, changes(&pool, &base).await) });
            }
            while let Some(answer) = asked.join_next().await {
                match answer {
                    Ok((server, Ok(csns))) => {
                        let csns = csns.iter().map(String::as_str);
                        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                        known.observe(server, csns, Instant::now());
                    }
                    // That it does not answer is told elsewhere, and what was known of it stays so.
                    Ok((server, Err(error))) => {
                        let server = self.names.get(server);
                        tracing::debug!(server, %error, "how far a server is, is not known");
                    }
                    Err(error) => tracing::error!(%error, "asking a server how far it is ended by itself"),
                }
            }
            sleep(pause).await;
        }
    }
}

/// The change numbers of the naming context that holds `base`.
async fn changes(pool: &Pool, base: &Dn) -> Result<Vec<String>, Error> {
    let by = Deadline::after(TIME);
    let known = Capabilities::read(pool, Actor::Service, by).await?;
    let Some(context) = known.context_of(base) else { return Ok(Vec::new()) };
    let search =
        Search::new(context.clone(), Scope::Base, Filter::any()).attributes(["contextCSN"]).size_limit(1);
    let found = pool.search_optional(Request::new(search, Actor::Service).until(by)).await?;
    let values = found.iter().flat_map(|entry| {
        let values = entry.attributes().get("contextCSN").map(|found| {
            found
                .values()
                .filter_map(|value| std::str::from_utf8(value).ok().map(str::to_owned))
                .collect::<Vec<_>>()
        });
        values.unwrap_or_default()
    });
    Ok(values.collect())
}

impl MetricsSource for Lags {
    fn collect(&self, page: &mut MetricsPage) {
        for (number, name) in self.names.iter().enumerate() {
            let Some(lag) = self.of(number) else { continue };
            let help = "Seconds for which a server has been without a change that another one has.";
            page.gauge("ldap_replication_lag_seconds", help, &[("server", name)], lag.as_secs_f64());
        }
    }
}
