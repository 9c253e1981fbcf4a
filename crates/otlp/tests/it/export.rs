//! Sending, sampling, and collectors that are not there.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use flext_ldap_otlp::{Export, Options, StartError};
use tracing::{Span, field::Empty, info_span};
use tracing_subscriber::prelude::*;

use crate::collector::Collector;

const TARGET: &str = "flext_ldap::trace";

fn span(name: &'static str) -> Span {
    info_span!(target: TARGET, "operation", otel.name = name, otel.status_code = Empty, error.type = Empty, count = 3_u64)
}

/// Runs with an export in force that has been started so.
fn exported(options: Options, run: impl FnOnce(&Export)) {
    let export = Export::new();
    let subscriber = tracing_subscriber::registry().with(export.layer());
    tracing::subscriber::with_default(subscriber, || {
        export.start(options).unwrap();
        run(&export);
    });
}

fn options(collector: &Collector) -> Options {
    Options::of("staff-sync", "1.4.0").endpoint(collector.url())
}

#[test]
fn a_command_is_one_trace_below_what_called_it() {
    let collector = Collector::start();
    let caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    exported(options(&collector).root("staff-sync run").traceparent(caller), |export| {
        span("one").in_scope(|| drop(span("two")));
        // What is not made for it is not sent: neither events, nor spans of others, whoever is above.
        tracing::info_span!("theirs").in_scope(|| {
            tracing::info!(target: TARGET, "a secret");
            let failed = span("three");
            failed.record("error.type", "busy");
            failed.record("otel.status_code", "error");
        });
        let statistics = export.finish(Duration::from_secs(5));
        assert_eq!((statistics.ended, statistics.sent, statistics.lost), (4, 4, 0), "{statistics:?}");
        drop(span("late"));
        assert_eq!(export.statistics().ended, 4);
    });
    let want = "staff-sync run\n  one count=3\n    two count=3\n  three! count=3 error.type=busy\n";
    assert_eq!(collector.trees(), [want]);
    let spans = collector.spans();
    assert!(
        spans
            .iter()
            .all(|span| span.trace_id == 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes())
    );
    let root = spans.iter().find(|span| span.name == "staff-sync run").unwrap();
    assert_eq!(root.parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    assert_eq!(collector.resource("service.name"), "staff-sync");
    assert_eq!(collector.resource("service.version"), "1.4.0");
    let head = collector.heads().remove(0).to_ascii_lowercase();
    assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
    assert!(head.contains("content-type: application/x-protobuf\r\n"), "{head}");
    assert!(head.contains(&format!("host: {}\r\n", collector.url().replace("http://", ""))), "{head}");
}

#[test]
fn nothing_is_taken_before_the_start() {
    let collector = Collector::start();
    let export = Export::new();
    let subscriber = tracing_subscriber::registry().with(export.layer());
    tracing::subscriber::with_default(subscriber, || {
        let before = span("before");
        export.start(options(&collector)).unwrap();
        assert!(matches!(export.start(options(&collector)), Err(StartError::Again)));
        drop(span("after"));
        drop(before);
        assert_eq!(export.finish(Duration::from_secs(5)).sent, 1);
    });
    assert_eq!(collector.trees(), ["after count=3\n"]);
}

#[test]
fn of_traces_a_share_is_kept() {
    let collector = Collector::start();
    exported(options(&collector).sampling(0.25), |export| {
        for _ in 0..1_000 {
            span("one").in_scope(|| drop(span("two")));
        }
        let sent = export.finish(Duration::from_secs(5)).sent;
        // Six deviations off.
        assert!((2 * 168..2 * 332).contains(&sent), "{sent}");
    });
    assert!(collector.trees().iter().all(|tree| tree == "one count=3\n  two count=3\n"));
}

#[test]
fn a_collector_that_is_away_holds_nobody_up() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", held.local_addr().unwrap());
    let gone = {
        let gone = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", gone.local_addr().unwrap())
    };
    for (url, why) in [(silent, "it took longer than 300ms"), (gone, "Connection refused")] {
        exported(Options::of("staff-sync", "1").endpoint(url.as_str()).once(), |export| {
            let started = Instant::now();
            for _ in 0..10_000 {
                drop(span("one"));
            }
            let statistics = export.finish(Duration::from_millis(300));
            assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
            assert_eq!((statistics.ended, statistics.sent, statistics.lost), (10_000, 0, 10_000));
            assert_eq!(statistics.collector, url);
            assert!(statistics.failure.as_deref().unwrap().contains(why), "{statistics:?}");
        });
    }
}

#[test]
fn a_refusal_is_told_and_not_taken_for_success() {
    let collector = Collector::start();
    collector.answer("401 Unauthorized");
    exported(options(&collector).once(), |export| {
        drop(span("one"));
        let statistics = export.finish(Duration::from_secs(5));
        assert_eq!((statistics.sent, statistics.lost), (0, 1));
        assert_eq!(statistics.failure.as_deref(), Some("the answer was 401 Unauthorized"));
    });
}

#[test]
fn an_endpoint_of_no_use_is_said() {
    for url in ["localhost:4318", "grpc://localhost:4317", "http://"] {
        let error = Export::new().start(Options::of("x", "1").endpoint(url)).unwrap_err().to_string();
        assert!(error.contains("endpoint") || error.contains("URL"), "{url}: {error}");
    }
}
