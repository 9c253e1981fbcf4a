//! The health of a server as its operations tell it, on the paused clock.

use std::{sync::Arc, time::Duration};

use flext_ldap_directory::{
    Actor, Directory as _, Error, ErrorKind, Layered, Request,
    health::{HealthOptions, HealthSign, HealthStatus},
    layers::{HealthWatch, Metrics},
    proto::result::ResultCode,
};

use crate::{
    ladder::search,
    script::{Script, batch, done},
};

#[tokio::test(start_paused = true)]
async fn operations_tell() {
    let script = Script::new(Vec::new());
    let watch = HealthWatch::new("ldap1.harbourlane.example:636", HealthOptions::default());
    let directory = Layered::new(script.clone(), Arc::new(watch.clone()));
    let metrics = Metrics::new([]);
    metrics.add(Arc::new(watch.clone()));
    assert_eq!((watch.status(), metrics.to_string().as_str()), (None, ""));
    let error = |kind| Err(Error::new(kind, "no way there"));
    let timeout = || error(ErrorKind::Timeout);
    let second = Duration::from_secs(1);
    let steps = [
        ("an answer, though no", 1, second, vec![done(ResultCode::NO_SUCH_OBJECT)], HealthStatus::Healthy),
        ("callers in a hurry", 5, second, vec![timeout()], HealthStatus::Healthy),
        ("our own limit", 5, second, vec![error(ErrorKind::Overloaded)], HealthStatus::Healthy),
        ("slow answers", 3, 6 * second, vec![done(ResultCode::SUCCESS)], HealthStatus::Degraded),
        ("silence", 3, 6 * second, vec![timeout()], HealthStatus::Unhealthy),
        ("deliveries", 3, second, vec![batch(&["o=a"]), done(ResultCode::SUCCESS)], HealthStatus::Degraded),
        ("more of them", 6, second, vec![batch(&["o=a"]), done(ResultCode::SUCCESS)], HealthStatus::Healthy),
        ("busy", 3, second, vec![done(ResultCode::BUSY)], HealthStatus::Degraded),
        ("hung up", 3, second, vec![error(ErrorKind::Closed)], HealthStatus::Unhealthy),
    ];
    for (name, number, time, answer, want) in steps {
        for _ in 0..number {
            script.then(answer.iter().map(again).collect());
            let reply = directory.call(Request::new(search().op.into(), Actor::Service));
            tokio::time::sleep(time).await;
            drop(reply.outcome().await);
        }
        assert_eq!(watch.status(), Some(want), "{name}");
    }
    assert_eq!(
        metrics.to_string(),
        "# HELP ldap_server_health 0 healthy, 1 degraded, 2 unhealthy.\n# TYPE ldap_server_health gauge\n\
         ldap_server_health{server=\"ldap1.harbourlane.example:636\"} 2\n"
    );
    assert_eq!(watch.observe(HealthSign::Answered(second)), None);
}

/// The same step once more.
fn again(step: &Result<flext_ldap_directory::Event, Error>) -> Result<flext_ldap_directory::Event, Error> {
    use flext_ldap_directory::Event;
    match step {
        Ok(Event::Batch(_)) => batch(&["o=a"]),
        Ok(Event::Done(outcome)) => done(outcome.result.code),
        Err(error) => Err(Error::new(error.kind(), "no way there")),
    }
}
