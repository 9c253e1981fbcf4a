//! What is counted, under which names, and that nothing anybody asks for makes a series.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use flext_ldap_directory::{
    Actor, Directory as _, Error, ErrorKind, Identity, Layered, Op, Request,
    layers::{Breaker, BreakerOptions, Metrics, OperationClass, ServerMetrics},
    proto::{
        attribute::Attributes,
        dn::Rdn,
        extended::{ExtendedOperation as _, WhoAmI},
        filter::Filter,
        message::{Add, ChangeKind, Compare, Delete, Modify, Rename, Scope, Search},
        result::ResultCode,
    },
};

use crate::script::{Answer, Script, batch, done};

const PEOPLE: &str = "ou=people,dc=harbourlane,dc=example";

fn one(base: &str, filter: &str) -> Op {
    Search::new(base.parse().unwrap(), Scope::Subtree, filter.parse().unwrap()).into()
}

fn no_way() -> Answer {
    vec![Err(Error::new(ErrorKind::Unreachable, "no way there"))]
}

/// The lines that are not comments and not buckets, without their sums.
fn samples(metrics: &Metrics) -> Vec<String> {
    let text = metrics.to_string();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.contains("_bucket{"));
    lines.filter(|line| !line.contains("_seconds_sum{")).map(str::to_owned).collect()
}

/// All there is before the value.
fn series(metrics: &Metrics) -> BTreeSet<String> {
    let text = metrics.to_string();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn operations_are_counted() {
    let metrics = Metrics::new([PEOPLE.parse().unwrap()]);
    let script = Script::new(vec![
        vec![batch(&["o=a", "o=b"]), done(ResultCode::SUCCESS)],
        vec![done(ResultCode::NO_SUCH_OBJECT)],
        no_way(),
        vec![done(ResultCode(9_999))],
        vec![done(ResultCode::SUCCESS)],
    ]);
    let directory = Layered::new(script, Arc::new(metrics.server("ldap1.harbourlane.example", 636)));
    let delete = Delete { dn: "o=a".parse().unwrap() };
    let ops = [
        one(PEOPLE, "(uid=ana)"),
        one("dc=example", "(&(uid=ana)(cn=*))"),
        one(PEOPLE, "(cn=a*)"),
        delete.into(),
        one(PEOPLE, "(uid=ana)"),
    ];
    for (index, op) in ops.into_iter().enumerate() {
        let reply = directory.call(Request::new(op, Actor::Service));
        tokio::time::sleep(Duration::from_millis(1 + index as u64)).await;
        if index < 4 {
            drop(reply.outcome().await);
        }
    }
    let server = r#"server="ldap1.harbourlane.example:636""#;
    let address = r#"server_address="ldap1.harbourlane.example",server_port="636""#;
    let otel = r#"db_system_name="ldap",db_operation_name="#;
    let want = [
        format!(r#"db_client_operation_duration_seconds_count{{{otel}"search",{address}}} 1"#),
        format!(
            r#"db_client_operation_duration_seconds_count{{{otel}"search",{address},error_type="noSuchObject"}} 1"#
        ),
        format!(
            r#"db_client_operation_duration_seconds_count{{{otel}"search",{address},error_type="unreachable"}} 1"#
        ),
        format!(
            r#"db_client_operation_duration_seconds_count{{{otel}"search",{address},error_type="abandoned"}} 1"#
        ),
        format!(
            r#"db_client_operation_duration_seconds_count{{{otel}"delete",{address},error_type="unnamed"}} 1"#
        ),
        format!(r#"flext_ldap_errors_total{{error_type="noSuchObject",operation="search",{server}}} 1"#),
        format!(r#"flext_ldap_errors_total{{error_type="unreachable",operation="search",{server}}} 1"#),
        format!(r#"flext_ldap_errors_total{{error_type="abandoned",operation="search",{server}}} 1"#),
        format!(r#"flext_ldap_errors_total{{error_type="unnamed",operation="delete",{server}}} 1"#),
        format!(r#"flext_ldap_operation_duration_seconds_count{{operation_type="search",{server}}} 4"#),
        format!(r#"flext_ldap_operation_duration_seconds_count{{operation_type="delete",{server}}} 1"#),
        format!(r#"flext_ldap_operations_total{{operation_type="search",{server},status="success"}} 1"#),
        format!(r#"flext_ldap_operations_total{{operation_type="search",{server},status="error"}} 1"#),
        format!(r#"flext_ldap_operations_total{{operation_type="search",{server},status="exception"}} 1"#),
        format!(r#"flext_ldap_operations_total{{operation_type="search",{server},status="abandoned"}} 1"#),
        format!(r#"flext_ldap_operations_total{{operation_type="delete",{server},status="error"}} 1"#),
        format!(r#"flext_ldap_search_results_count_sum{{base_dn="{PEOPLE}",filter_type="equality"}} 2"#),
        format!(r#"flext_ldap_search_results_count_count{{base_dn="{PEOPLE}",filter_type="equality"}} 1"#),
        r#"flext_ldap_search_results_count_sum{base_dn="other",filter_type="compound"} 0"#.to_owned(),
        r#"flext_ldap_search_results_count_count{base_dn="other",filter_type="compound"} 1"#.to_owned(),
        format!(r#"ldap_result_total{{op="search",code="success",{server}}} 1"#),
        format!(r#"ldap_result_total{{op="search",code="noSuchObject",{server}}} 1"#),
        format!(r#"ldap_result_total{{op="delete",code="unnamed",{server}}} 1"#),
    ];
    assert_eq!(samples(&metrics), want);
    let text = metrics.to_string();
    // 1, 2, 3 and 5 ms, by the clock of the test.
    for (bound, count) in [("0.0001", 0), ("0.001", 1), ("0.0025", 2), ("0.005", 4), ("30", 4), ("+Inf", 4)] {
        let line = format!(
            r#"flext_ldap_operation_duration_seconds_bucket{{operation_type="search",{server},le="{bound}"}} {count}"#
        );
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(text.contains(&format!(
        "flext_ldap_operation_duration_seconds_sum{{operation_type=\"search\",{server}}} 0.011\n"
    )));
}

#[tokio::test(start_paused = true)]
async fn a_breaker_shows_its_state() {
    let metrics = Metrics::new([]);
    let breaker = Breaker::new("ldap1", BreakerOptions { minimum: 1, ..BreakerOptions::default() });
    metrics.add(Arc::new(breaker.clone()));
    let script = Script::new(vec![no_way()]);
    let inner = Layered::new(script, Arc::new(breaker.clone()));
    let directory = Layered::new(inner, Arc::new(metrics.local("ldap1")));
    for _ in 0..2 {
        directory.call(Request::new(one(PEOPLE, "(cn=*)"), Actor::Service)).outcome().await.unwrap_err();
    }
    assert_eq!(breaker.statistics(OperationClass::Read).refused, 1);
    let samples = samples(&metrics);
    for wanted in [
        r#"ldap_breaker_opened_total{server="ldap1",class="read"} 1"#,
        r#"ldap_breaker_refused_total{server="ldap1",class="read"} 1"#,
        r#"ldap_breaker_state{server="ldap1",class="read"} 2"#,
        r#"ldap_breaker_state{server="ldap1",class="write"} 0"#,
        r#"flext_ldap_errors_total{error_type="breaker_open",operation="search",server="ldap1"} 1"#,
    ] {
        assert!(samples.iter().any(|line| line == wanted), "{wanted} is not in {samples:#?}");
    }
}

/// One of each operation, with names and values made of `text`.
fn ops(text: &str) -> Vec<Op> {
    let rdn = Rdn::new(&"uid".parse().unwrap(), text.as_bytes());
    let dn = format!("{rdn},{PEOPLE}").parse::<flext_ldap_directory::proto::dn::Dn>().unwrap();
    let attribute = || "cn".parse().unwrap();
    let mut attributes = Attributes::builder();
    attributes.push("cn", [text]);
    let filter = Filter::and([Filter::equality(attribute(), text), Filter::present("mail".parse().unwrap())]);
    vec![
        Search::new(dn.clone(), Scope::Base, filter).into(),
        Search::new(dn.clone(), Scope::Subtree, Filter::equality(attribute(), text)).into(),
        Compare { dn: dn.clone(), attribute: attribute(), value: text.to_owned().into() }.into(),
        Add::new(dn.clone(), attributes.build()).into(),
        Modify::new(dn.clone()).change(ChangeKind::Replace, attribute(), [text.to_owned()]).into(),
        Rename { dn: dn.clone(), new_rdn: rdn, delete_old_rdn: true, new_superior: None }.into(),
        Delete { dn }.into(),
        WhoAmI.request().into(),
    ]
}

async fn ask_as(directory: &Layered<Script, ServerMetrics>, script: &Script, text: &str, turn: usize) {
    let who = Identity::from_successful_bind_as(format!("u:{text}"));
    let op = ops(text).swap_remove(turn % 8);
    script.then(match turn % 3 {
        0 => vec![done(ResultCode::SUCCESS)],
        1 => vec![done(ResultCode::BUSY)],
        _ => no_way(),
    });
    drop(directory.call(Request::new(op, Actor::User(who))).outcome().await);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_names_users_and_filters_add_no_series() {
    let metrics = Metrics::new([PEOPLE.parse().unwrap()]);
    let script = Script::new(Vec::new());
    let directory = Layered::new(script.clone(), Arc::new(metrics.server("ldap1.harbourlane.example", 636)));
    for turn in 0..24 {
        ask_as(&directory, &script, "ana", turn).await;
    }
    let before = series(&metrics);
    let mut random = 7_u64;
    for turn in 0..100_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let odd = char::from_u32((random >> 44) as u32).unwrap_or('\n');
        ask_as(&directory, &script, &format!("{odd}{:x}", random >> 13), turn).await;
    }
    let after = series(&metrics);
    assert_eq!(after.difference(&before).collect::<Vec<_>>(), Vec::<&String>::new());
    println!("metrics: {} series after 100,024 operations", after.len());
}

#[test]
fn servers_are_bounded() {
    let metrics = Metrics::new([]);
    let names: Vec<_> = (0..300).map(|number| format!("ldap{number}.harbourlane.example")).collect();
    let shown = |name: &str| format!("{:?}", metrics.server(name, 389));
    let other = r#"ServerMetrics { address: "other", port: "", .. }"#;
    for _ in 0..2 {
        let own = names.iter().filter(|name| shown(name) != other).count();
        assert_eq!(own, 256);
    }
}
