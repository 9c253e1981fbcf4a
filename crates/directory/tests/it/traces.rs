//! What the spans of operations say, and that they say nothing else.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use flext_ldap_directory::{
    Actor, Directory as _, Error, ErrorKind, Layered, Op, Request,
    layers::Traces,
    proto::{
        message::{Delete, Scope, Search},
        result::ResultCode,
    },
};
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{Layer, layer::Context, prelude::*, registry::LookupSpan};

use crate::script::{Script, batch, done};

const PEOPLE: &str = "ou=people,dc=harbourlane,dc=example";

/// Keeps spans as lines: what is above, and the fields in their order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() != "db.system.name" {
            self.0 += &format!(" {}={value:?}", field.name()).replace('"', "");
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Log {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        assert_eq!(span.metadata().target(), Traces::TARGET);
        let mut line = Line(if span.parent().is_some() { "below:" } else { "above:" }.to_owned());
        attributes.record(&mut line);
        span.extensions_mut().insert(line);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        values.record(context.span(id).unwrap().extensions_mut().get_mut::<Line>().unwrap());
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let line = context.span(&id).unwrap().extensions_mut().remove::<Line>().unwrap();
        self.0.lock().unwrap().push(line.0);
    }
}

fn one(base: &str) -> Op {
    Search::new(base.parse().unwrap(), Scope::Subtree, "(uid=tarn)".parse().unwrap()).into()
}

/// What is heard of these operations, each with its answer, which is read unless it is the last.
async fn heard(script: Script, ops: Vec<Op>) -> Vec<String> {
    let traces = Traces::new([PEOPLE.parse().unwrap()]);
    let server = Layered::new(script, Arc::new(traces.server("ldap1.harbourlane.example:636")));
    let directory = Layered::new(server, Arc::new(traces));
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(log.clone()));
    let count = ops.len();
    for (number, op) in ops.into_iter().enumerate() {
        let reply = directory.call(Request::new(op, Actor::Service).within(Duration::from_secs(1)));
        if number + 1 < count {
            drop(reply.outcome().await);
        }
    }
    std::mem::take(&mut *log.0.lock().unwrap())
}

#[tokio::test]
async fn an_attempt_is_below_what_was_asked_for() {
    let script = Script::new(vec![
        vec![batch(&["uid=tarn", "uid=ana"]), done(ResultCode::SUCCESS)],
        vec![done(ResultCode::NO_SUCH_OBJECT)],
        vec![Err(Error::new(ErrorKind::Unreachable, "no way to tarn"))],
        vec![done(ResultCode::SUCCESS)],
    ]);
    let delete = Delete { dn: "uid=tarn".parse().unwrap() };
    let ops =
        vec![one(&format!("cn=x,{}", PEOPLE.to_uppercase())), one("o=tarn"), delete.into(), one(PEOPLE)];
    let lines = heard(script, ops).await;
    let server = "server.address=ldap1.harbourlane.example server.port=636";
    let search = "otel.name=ldap.search otel.kind=client db.operation.name=search";
    let octets = lines[0].rsplit_once("flext_ldap.octets=").unwrap().1.split_once(' ').unwrap().0;
    assert!(octets.parse::<u64>().unwrap() > 10, "{octets}");
    let rows =
        |rows: u64, octets: &str| format!("db.response.returned_rows={rows} flext_ldap.octets={octets}");
    let want = [
        format!(
            "{search} db.namespace={PEOPLE} {server} {} db.response.status_code=success otel.status_code=unset",
            rows(2, octets)
        ),
        format!(
            "{search} db.namespace=other {server} {} db.response.status_code=noSuchObject error.type=noSuchObject \
             otel.status_code=error",
            rows(0, "0")
        ),
        format!(
            "otel.name=ldap.delete otel.kind=client db.operation.name=delete {server} error.type=unreachable otel.status_code=error"
        ),
        format!(
            "{search} db.namespace={PEOPLE} {server} {} error.type=abandoned otel.status_code=unset",
            rows(0, "0")
        ),
    ];
    for (number, want) in want.iter().enumerate() {
        assert_eq!(lines[2 * number], format!("below: {want}"));
        let above = want.replace(&format!(" {server}"), "").replace("=client", "=internal");
        assert_eq!(lines[2 * number + 1], format!("above: {above}"));
    }
    assert_eq!(lines.len(), 8);
    assert!(!lines.concat().contains("tarn"), "{lines:?}");
}
