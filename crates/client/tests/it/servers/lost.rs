//! No call is lost: whatever servers do, every operation ends, in time, and with the truth.

use std::{sync::Arc, time::Duration};

use flext_ldap_client::{Choice, MemberHealth, WhenDown};
use flext_ldap_directory::{Applied, DirectoryExt as _, ErrorKind, proto::result::ResultCode};
use proptest::{prelude::*, test_runner::TestRunner};
use tokio::time::Instant;

use super::played::{Mood, Played, QUICK, pass, set, who_within};
use crate::support::modify;

const SERVERS: usize = 3;

fn moods() -> impl Strategy<Value = Mood> {
    prop_oneof![
        3 => Just(QUICK),
        1 => Just(Mood::Answers(Duration::from_millis(700))),
        1 => Just(Mood::Answers(Duration::from_millis(2_500))),
        1 => Just(Mood::Refuses),
        1 => Just(Mood::Silent),
        1 => Just(Mood::Resets),
        1 => Just(Mood::Says(ResultCode::BUSY)),
        1 => Just(Mood::Full),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Turns(usize, Mood),
    Read(u64),
    Write(u64),
    Passes(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..SERVERS, moods()).prop_map(|(server, mood)| Step::Turns(server, mood)),
        (1..8_000_u64).prop_map(Step::Read),
        (1..8_000_u64).prop_map(Step::Write),
        (1..5_000_u64).prop_map(Step::Passes),
    ];
    prop::collection::vec(step, 1..40)
}

fn choices() -> impl Strategy<Value = Choice> {
    prop::sample::select(vec![
        Choice::InOrder,
        Choice::RoundRobin,
        Choice::Fewest,
        Choice::Nearest,
        Choice::Latency,
        Choice::Weighted,
    ])
}

#[test]
fn every_operation_ends_in_time_and_with_the_truth() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let cases = (steps(), choices(), any::<bool>());
    let result = runner.run(&cases, |(steps, choice, waits)| {
        runtime.block_on(play(steps, choice, if waits { WhenDown::Wait } else { WhenDown::Fail }))
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

async fn play(steps: Vec<Step>, choice: Choice, when_down: WhenDown) -> Result<(), TestCaseError> {
    let servers: Vec<_> = (0..SERVERS).map(|number| Played::new(&number.to_string(), QUICK)).collect();
    let set = Arc::new(set(&servers, |builder| builder.choice(choice).when_down(when_down)));
    let mut operations = Vec::new();
    for step in steps {
        match step {
            Step::Turns(server, mood) => servers[server].turns(mood),
            Step::Passes(millis) => pass(Duration::from_millis(millis)).await,
            Step::Read(millis) => {
                let (set, time) = (Arc::clone(&set), Duration::from_millis(millis));
                operations.push(tokio::spawn(async move {
                    let started = Instant::now();
                    let result = who_within(&*set, time).await.map(|_| ());
                    (started.elapsed(), time, result)
                }));
            }
            Step::Write(millis) => {
                let (set, time) = (Arc::clone(&set), Duration::from_millis(millis));
                operations.push(tokio::spawn(async move {
                    let started = Instant::now();
                    let result = set.modify(modify("uid=ada", "x").within(time)).await.map(|_| ());
                    (started.elapsed(), time, result)
                }));
            }
        }
    }
    for operation in operations {
        let (took, time, result) = operation.await.unwrap();
        prop_assert!(took <= time + Duration::from_millis(2), "{took:?} of {time:?}: {result:?}");
        if let Err(error) = result {
            let expected = [
                ErrorKind::Unreachable,
                ErrorKind::Closed,
                ErrorKind::Timeout,
                ErrorKind::Overloaded,
                ErrorKind::Rejected,
            ];
            prop_assert!(expected.contains(&error.kind()), "{error}");
        }
    }
    // When all are well, all are known to be so, and an operation is answered.
    for server in &servers {
        server.turns(QUICK);
    }
    pass(Duration::from_secs(200)).await;
    let statistics = set.statistics();
    for member in &statistics.members {
        prop_assert_eq!(member.health, MemberHealth::Well, "{:?}", member);
        prop_assert_eq!(member.in_flight, 0);
    }
    prop_assert!(who_within(&*set, Duration::from_secs(1)).await.is_ok());
    Ok(())
}

/// A server notes which writes it may have done: with random failures no write is ever at two of them.
#[tokio::test(start_paused = true)]
async fn no_write_is_done_twice() {
    let servers: Vec<_> = (0..SERVERS).map(|number| Played::new(&number.to_string(), QUICK)).collect();
    let set = Arc::new(set(&servers, |builder| builder.choice(Choice::RoundRobin).when_down(WhenDown::Wait)));
    let moods =
        [QUICK, Mood::Resets, Mood::Refuses, Mood::Full, QUICK, Mood::Says(ResultCode::BUSY), Mood::Silent];
    let mut touched = 0;
    for round in 0..600_usize {
        for (place, server) in servers.iter().enumerate() {
            server.turns(moods[(round * (place + 2) + round / 7) % moods.len()].clone());
        }
        let before: Vec<_> = servers.iter().map(|server| server.asked()).collect();
        let result = set.modify(modify("uid=ada", "x").within(Duration::from_secs(2))).await;
        // Servers that got it while in a mood in which it may be done.
        let may_have_done = servers.iter().zip(&before).filter(|(server, before)| {
            server.asked() > **before && !matches!(server.mood(), Mood::Refuses | Mood::Full)
        });
        let count = may_have_done.count();
        assert!(
            count <= 1,
            "round {round}: {count} servers may have done it, and the caller was told {result:?}"
        );
        match result {
            Ok(_) => assert_eq!(count, 1, "round {round}: reported done"),
            Err(error) if error.applied() == Applied::No && error.kind() != ErrorKind::Rejected => {
                assert_eq!(count, 0, "round {round}: reported not done: {error}");
            }
            Err(_) => touched += count,
        }
    }
    assert!(touched > 50, "the test has tried what it is for: {touched}");
}
