//! Password policy: the edges of each rule, with a clock that the test turns.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use flext_ldap_directory::{Actor, BindReply, BindStep, Deadline, Identity, Op, Outcome, Request, Session};
use flext_ldap_proto::{
    control::{
        Assertion, Controls, PasswordPolicyError as Code, PasswordPolicyRequest, PasswordPolicyResponse,
        PasswordPolicyWarning as Warning, PostRead, PreRead, TreeDelete,
    },
    extended::{ExtendedOperation, PasswordModify, WhoAmI},
    message::{Change, ChangeKind, Delete, Limits as Decoding, Modify, Rename, Scope, Search},
    result::ResultCode,
    secret::Secret,
};
use flext_ldap_store::{
    DefaultPasswordPolicy, ExportOptions, ImportOptions, Limits, PasswordPolicy, QualityCheck, Store,
    StoreOptions,
};

use crate::{controls::code_with, support::*};

const ANNA: &str = "uid=anna,ou=people,dc=harbourlane,dc=example";
const POLICY: &str = "cn=strict,dc=harbourlane,dc=example";
const RIGHT: &str = "low water 7";
const START: u64 = 1_800_000_000;

/// A clock that stands still until it is turned.
#[derive(Clone)]
struct Hand(Arc<AtomicU64>);

impl Hand {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(START)))
    }

    fn forward(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }

    fn options(&self) -> StoreOptions {
        let hand = self.clone();
        options().clock(move || UNIX_EPOCH + Duration::from_secs(hand.0.load(Ordering::SeqCst)))
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn rules(set: impl FnOnce(&mut PasswordPolicy)) -> PasswordPolicy {
    let mut rules = PasswordPolicy::default();
    set(&mut rules);
    rules
}

/// A store with this policy for all, where Anna has a password.
async fn with(policy: impl Into<DefaultPasswordPolicy>) -> (Store, Hand) {
    let hand = Hand::new();
    let store = Store::open(hand.options().password_policy(policy)).unwrap();
    fill(&store).await;
    ok(&store, set_password(RIGHT)).await;
    ok(&store, one(ChangeKind::Replace, "pwdReset", &[])).await;
    (store, hand)
}

fn one(kind: ChangeKind, name: &str, values: &[&str]) -> Modify {
    modify(vec![change(kind, name, values)])
}

fn change(kind: ChangeKind, name: &str, values: &[&str]) -> Change {
    let values = values.iter().map(|value| Bytes::copy_from_slice(value.as_bytes())).collect();
    Change { kind, attribute: attribute(name), values }
}

fn modify(changes: Vec<Change>) -> Modify {
    Modify { dn: dn(ANNA), changes }
}

fn set_password(password: &str) -> Modify {
    one(ChangeKind::Replace, "userPassword", &[password])
}

fn old_and_new(old: &str, new: &str) -> Modify {
    modify(vec![
        change(ChangeKind::Delete, "userPassword", &[old]),
        change(ChangeKind::Add, "userPassword", &[new]),
    ])
}

fn exop(old: Option<&str>, new: Option<&str>) -> flext_ldap_proto::message::ExtendedRequest {
    PasswordModify { user: None, old: old.map(Secret::from), new: new.map(Secret::from) }.request()
}

fn anna() -> Actor {
    Actor::User(Identity::from_successful_bind(dn(ANNA)))
}

fn heard(outcome: &Outcome) -> Option<PasswordPolicyResponse> {
    outcome.controls.get(&Decoding::DEFAULT).unwrap()
}

/// What a bind with the control comes to.
async fn signs_in(session: &mut dyn Session, password: &str) -> (ResultCode, PasswordPolicyResponse) {
    let controls = Controls::none().optional(&PasswordPolicyRequest);
    let step = BindStep::Simple { name: ANNA.to_owned(), password: password.into(), controls };
    let outcome = match session.bind(step, Deadline::after(seconds(60))).await.unwrap() {
        BindReply::Done { outcome, .. } | BindReply::Refused(outcome) => outcome,
        BindReply::Continue { .. } => panic!("a simple bind has one step"),
    };
    (outcome.result.code, heard(&outcome).unwrap())
}

async fn tries(store: &Store, password: &str) -> (ResultCode, PasswordPolicyResponse) {
    signs_in(&mut *session(store).await, password).await
}

const NOTHING: PasswordPolicyResponse = PasswordPolicyResponse { warning: None, error: None };
const IN: (ResultCode, PasswordPolicyResponse) = (ResultCode::SUCCESS, NOTHING);
const OUT: (ResultCode, PasswordPolicyResponse) = (ResultCode::INVALID_CREDENTIALS, NOTHING);

fn warned(warning: Warning) -> (ResultCode, PasswordPolicyResponse) {
    (ResultCode::SUCCESS, PasswordPolicyResponse { warning: Some(warning), error: None })
}

fn refused(error: Code) -> (ResultCode, PasswordPolicyResponse) {
    (ResultCode::INVALID_CREDENTIALS, PasswordPolicyResponse { warning: None, error: Some(error) })
}

/// The values of one of Anna's attributes.
async fn values(store: &Store, name: &str) -> Vec<String> {
    let entry = read(store, ANNA).await.unwrap();
    let found = entry.attributes().get(name);
    found
        .map(|one| one.values().map(|value| String::from_utf8(value.to_vec()).unwrap()).collect())
        .unwrap_or_default()
}

/// Asks as Anna, with the control.
async fn by_anna(store: &Store, op: impl Into<Op>) -> (ResultCode, Option<Code>) {
    use flext_ldap_directory::Directory;
    let mut request = Request::new(op.into(), anna());
    request.controls = request.controls.optional(&PasswordPolicyRequest);
    let outcome = store.call(request).outcome().await.unwrap();
    (outcome.result.code, heard(&outcome).and_then(|heard| heard.error))
}

fn lockout(most: usize) -> PasswordPolicy {
    rules(|rules| (rules.lockout, rules.max_failure) = (true, most))
}

#[tokio::test]
async fn an_account_is_locked_for_as_long_as_the_policy_says() {
    let mut policy = lockout(3);
    policy.lockout_duration = seconds(60);
    let hand = Hand::new();
    let store = Store::open(hand.options().password_policy(policy).tell_lockout()).unwrap();
    fill(&store).await;
    ok(&store, set_password(RIGHT)).await;
    for _ in 0..2 {
        assert_eq!(tries(&store, "wrong").await, OUT);
    }
    assert_eq!(values(&store, "pwdFailureTime").await.len(), 2);
    // A success forgets what failed before it.
    assert_eq!(tries(&store, RIGHT).await, IN);
    assert_eq!(values(&store, "pwdFailureTime").await, Vec::<String>::new());
    let modified = values(&store, "modifyTimestamp").await;

    for _ in 0..3 {
        assert_eq!(tries(&store, "wrong").await, OUT);
    }
    assert_eq!(values(&store, "pwdAccountLockedTime").await, ["20270115080000Z"]);
    assert_eq!(
        values(&store, "pwdFailureTime").await,
        ["20270115080000.000000Z", "20270115080000.000001Z", "20270115080000.000002Z"]
    );
    assert_eq!(values(&store, "modifyTimestamp").await, modified);
    assert_eq!(tries(&store, RIGHT).await, refused(Code::ACCOUNT_LOCKED));
    assert_eq!(tries(&store, "wrong").await, refused(Code::ACCOUNT_LOCKED));
    hand.forward(59);
    assert_eq!(tries(&store, RIGHT).await, refused(Code::ACCOUNT_LOCKED));
    hand.forward(1);
    // One more, since the old failures are not forgotten, locks anew.
    assert_eq!(tries(&store, "wrong").await, OUT);
    assert_eq!(tries(&store, RIGHT).await, refused(Code::ACCOUNT_LOCKED));
    hand.forward(60);
    assert_eq!(tries(&store, RIGHT).await, IN);
    for name in ["pwdAccountLockedTime", "pwdFailureTime"] {
        assert_eq!(values(&store, name).await, Vec::<String>::new(), "{name}");
    }
}

#[tokio::test]
async fn failures_are_forgotten_after_their_interval() {
    let mut policy = lockout(2);
    policy.failure_count_interval = seconds(100);
    let (store, hand) = with(policy).await;
    assert_eq!(tries(&store, "wrong").await, OUT);
    hand.forward(100);
    assert_eq!(tries(&store, "wrong").await, OUT);
    assert_eq!(values(&store, "pwdFailureTime").await, ["20270115080140.000000Z"]);
    hand.forward(99);
    assert_eq!(tries(&store, "wrong").await, OUT);
    assert_eq!(tries(&store, RIGHT).await, OUT, "locked, and not told so");
    assert_eq!(values(&store, "pwdFailureTime").await.len(), 2);
}

#[tokio::test]
async fn an_administrator_locks_and_unlocks() {
    let (store, hand) = with(lockout(2)).await;
    for _ in 0..2 {
        assert_eq!(tries(&store, "wrong").await, OUT);
    }
    hand.forward(1_000_000_000);
    assert_eq!(tries(&store, RIGHT).await, OUT);
    let unlock = one(ChangeKind::Delete, "pwdAccountLockedTime", &[]);
    assert_eq!(by_anna(&store, unlock.clone()).await.0, ResultCode::INSUFFICIENT_ACCESS_RIGHTS);
    ok(&store, unlock).await;
    assert_eq!(values(&store, "pwdFailureTime").await, Vec::<String>::new());
    assert_eq!(tries(&store, "wrong").await, OUT);
    assert_eq!(tries(&store, RIGHT).await, IN);

    // A new password unlocks too; what was locked for good stays locked.
    for _ in 0..2 {
        assert_eq!(tries(&store, "wrong").await, OUT);
    }
    ok(&store, set_password("neap tide 8")).await;
    assert_eq!(tries(&store, "neap tide 8").await, IN);
    ok(&store, one(ChangeKind::Add, "pwdAccountLockedTime", &["000001010000Z"])).await;
    assert_eq!(tries(&store, "neap tide 8").await, OUT);
    ok(&store, set_password(RIGHT)).await;
    assert_eq!(tries(&store, RIGHT).await, OUT);
    ok(&store, one(ChangeKind::Delete, "pwdAccountLockedTime", &["000001010000Z"])).await;
    assert_eq!(tries(&store, RIGHT).await, IN);
}

#[tokio::test]
async fn the_lock_for_good_and_the_times_of_an_account_need_no_policy() {
    let (store, hand) = with(DefaultPasswordPolicy::None).await;
    let at = |seconds: u64| {
        let unix_seconds = i64::try_from(START + seconds).unwrap();
        flext_ldap_proto::schema::GeneralizedTime { unix_seconds, nanoseconds: 0 }.to_string()
    };
    ok(&store, one(ChangeKind::Add, "pwdStartTime", &[&at(10)])).await;
    ok(&store, one(ChangeKind::Add, "pwdEndTime", &[&at(20)])).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        hand.forward(9);
        seen.push(tries(&store, RIGHT).await == IN);
        hand.forward(1);
        seen.push(tries(&store, RIGHT).await == IN);
    }
    assert_eq!(seen, [false, true, true, false, false, false, false, false]);
    ok(&store, one(ChangeKind::Delete, "pwdEndTime", &[])).await;
    assert_eq!(tries(&store, RIGHT).await, IN);
    ok(&store, one(ChangeKind::Add, "pwdAccountLockedTime", &["000001010000Z"])).await;
    assert_eq!(tries(&store, RIGHT).await, OUT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_guesses_are_no_more_than_guesses_in_turn() {
    let mut limits = Limits::default();
    limits.hashing_queue = 1_000;
    let hand = Hand::new();
    let store = Store::open(hand.options().limits(limits).password_policy(lockout(5))).unwrap();
    fill(&store).await;
    ok(&store, set_password(RIGHT)).await;
    let before = store.counters();
    let guesses: Vec<_> = (0..100)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { tries(&store, &format!("guess {number}")).await })
        })
        .collect();
    for guess in guesses {
        assert_eq!(guess.await.unwrap(), OUT);
    }
    let after = store.counters();
    assert_eq!(after.passwords_verified - before.passwords_verified, 5);
    assert_eq!(after.writes - before.writes, 5);
    assert_eq!(values(&store, "pwdFailureTime").await.len(), 5);
    assert_eq!(tries(&store, RIGHT).await, OUT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_binds_with_the_right_password_are_let_in() {
    let (store, _) = with(lockout(2)).await;
    let before = store.counters().commits;
    let binds: Vec<_> = (0..20)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { tries(&store, RIGHT).await })
        })
        .collect();
    for bind in binds {
        assert_eq!(bind.await.unwrap(), IN);
    }
    assert_eq!(store.counters().commits, before, "a bind that is in order writes nothing");
}

#[tokio::test]
async fn every_way_to_try_a_password_counts() {
    let (store, _) = with(lockout(4)).await;
    let refused = (ResultCode::UNWILLING_TO_PERFORM, None);
    assert_eq!(by_anna(&store, exop(Some("wrong"), Some("spring tide"))).await, refused);
    assert_eq!(
        by_anna(&store, old_and_new("wrong", "spring tide")).await,
        (ResultCode::NO_SUCH_ATTRIBUTE, None)
    );
    assert_eq!(tries(&store, "wrong").await, OUT);
    assert_eq!(values(&store, "pwdFailureTime").await.len(), 3);
    assert_eq!(by_anna(&store, exop(Some("wrong"), Some("spring tide"))).await, refused);
    // Locked, for each of them.
    assert_eq!(by_anna(&store, exop(Some(RIGHT), Some("spring tide"))).await, refused);
    assert_eq!(tries(&store, RIGHT).await, OUT);
}

#[tokio::test]
async fn nothing_is_written_where_nothing_counts() {
    let (store, _) = with(rules(|rules| rules.max_failure = 3)).await;
    ok(&store, person("dora")).await;
    let before = store.counters().commits;
    for _ in 0..5 {
        assert_eq!(tries(&store, "wrong").await, OUT);
        assert_eq!(bind(&store, "uid=nobody,dc=harbourlane,dc=example", "x").await, Err(OUT.0));
    }
    assert_eq!(tries(&store, RIGHT).await, IN);
    assert_eq!(store.counters().commits, before);
    // Nor of one who has no password, nor of the administrator.
    let store = with(lockout(2)).await.0;
    let before = store.counters().commits;
    for name in ["uid=bert,ou=people,dc=harbourlane,dc=example", ADMIN] {
        for _ in 0..5 {
            assert_eq!(bind(&store, name, "x").await, Err(OUT.0));
        }
    }
    assert!(bind(&store, ADMIN, ADMIN_PASSWORD).await.is_ok());
    assert_eq!(store.counters().commits, before);
}

#[tokio::test]
async fn an_account_is_held_longer_with_each_failure() {
    let (store, hand) =
        with(rules(|rules| (rules.min_delay, rules.max_delay) = (seconds(2), seconds(5)))).await;
    for delay in [2, 4, 5, 5] {
        assert_eq!(tries(&store, "wrong").await, OUT);
        let before = store.counters().passwords_verified;
        hand.forward(delay - 1);
        assert_eq!(tries(&store, RIGHT).await, OUT, "{delay}");
        assert_eq!(store.counters().passwords_verified, before);
        hand.forward(1);
    }
    assert_eq!(tries(&store, RIGHT).await, IN);
}

#[tokio::test]
async fn an_account_left_unused_is_locked() {
    let (store, hand) = with(rules(|rules| rules.max_idle = seconds(100))).await;
    hand.forward(1_000);
    // Nobody knows how long it was unused.
    assert_eq!(tries(&store, RIGHT).await, IN);
    assert_eq!(values(&store, "pwdLastSuccess").await, ["20270115081640Z"]);
    hand.forward(100);
    assert_eq!(tries(&store, RIGHT).await, IN);
    hand.forward(101);
    assert_eq!(tries(&store, RIGHT).await, OUT);
    ok(&store, set_password("neap tide 8")).await;
    assert_eq!(tries(&store, "neap tide 8").await, IN);
}

#[tokio::test]
async fn passwords_expire_after_a_warning() {
    let (store, hand) = with(rules(|rules| {
        (rules.max_age, rules.expire_warning) = (seconds(1_000), seconds(100));
        (rules.grace_authn_limit, rules.grace_expiry) = (3, seconds(50));
    }))
    .await;
    hand.forward(899);
    assert_eq!(tries(&store, RIGHT).await, IN);
    hand.forward(1);
    assert_eq!(tries(&store, RIGHT).await, warned(Warning::TimeBeforeExpiration(100)));
    hand.forward(99);
    assert_eq!(tries(&store, RIGHT).await, warned(Warning::TimeBeforeExpiration(1)));
    hand.forward(1);
    assert_eq!(tries(&store, "wrong").await, OUT);
    assert_eq!(tries(&store, RIGHT).await, warned(Warning::GraceAuthNsRemaining(2)));
    assert_eq!(tries(&store, RIGHT).await, warned(Warning::GraceAuthNsRemaining(1)));
    assert_eq!(values(&store, "pwdGraceUseTime").await.len(), 2);
    hand.forward(50);
    assert_eq!(tries(&store, RIGHT).await, refused(Code::PASSWORD_EXPIRED));
    // Without the control it is told like a wrong password.
    assert_eq!(bind(&store, ANNA, RIGHT).await, Err(ResultCode::INVALID_CREDENTIALS));
    // A new password has its whole life before it.
    ok(&store, set_password("neap tide 8")).await;
    assert_eq!(values(&store, "pwdGraceUseTime").await, Vec::<String>::new());
    assert_eq!(tries(&store, "neap tide 8").await, IN);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn grace_is_counted_exactly() {
    let (store, hand) =
        with(rules(|rules| (rules.max_age, rules.grace_authn_limit) = (seconds(10), 2))).await;
    hand.forward(10);
    let binds: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { tries(&store, RIGHT).await })
        })
        .collect();
    let mut seen = Vec::new();
    for bind in binds {
        seen.push(bind.await.unwrap());
    }
    for left in [1, 0] {
        let want = warned(Warning::GraceAuthNsRemaining(left));
        assert_eq!(seen.iter().filter(|one| **one == want).count(), 1);
    }
    assert_eq!(seen.iter().filter(|one| **one == refused(Code::PASSWORD_EXPIRED)).count(), 6);
}

#[tokio::test]
async fn who_must_change_the_password_does_nothing_else() {
    let (store, _) = with(rules(|rules| rules.must_change = true)).await;
    assert_eq!(tries(&store, RIGHT).await, IN);
    ok(&store, set_password("from the desk 1")).await;
    assert_eq!(values(&store, "pwdReset").await, ["TRUE"]);
    let mut session = session(&store).await;
    let must = PasswordPolicyResponse { warning: None, error: Some(Code::CHANGE_AFTER_RESET) };
    assert_eq!(signs_in(&mut *session, "from the desk 1").await, (ResultCode::SUCCESS, must));

    let call = async |op: Op, asks: bool| {
        let mut request = Request::new(op, anna());
        if asks {
            request.controls = request.controls.optional(&PasswordPolicyRequest);
        }
        let outcome = session.call(request).outcome().await.unwrap();
        (outcome.result.code, heard(&outcome))
    };
    let denied = ResultCode::INSUFFICIENT_ACCESS_RIGHTS;
    let search = Search::new(dn(""), Scope::Base, filter("(objectClass=*)"));
    assert_eq!(call(search.clone().into(), true).await, (denied, Some(must)));
    assert_eq!(call(search.clone().into(), false).await, (denied, None));
    let both = modify(vec![
        change(ChangeKind::Replace, "userPassword", &["spring tide 9"]),
        change(ChangeKind::Replace, "mail", &["a@harbourlane.example"]),
    ]);
    let others = PasswordModify {
        user: Some("uid=bert,ou=people,dc=harbourlane,dc=example".to_owned()),
        old: None,
        new: Some("x".into()),
    };
    for op in [
        Op::Delete(Delete { dn: dn(ANNA) }),
        Op::Modify(both),
        Op::Modify(one(ChangeKind::Replace, "mail", &["a@harbourlane.example"])),
        Op::Extended(others.request()),
        // Nothing is changed, but what the entry holds could be told.
        Op::Modify(modify(Vec::new())),
    ] {
        assert_eq!(call(op.clone(), true).await, (denied, Some(must)), "{op:?}");
    }
    let tell = [
        Controls::none().critical(&PreRead(["mail"].into())),
        Controls::none().critical(&PostRead(["mail"].into())),
        Controls::none().critical(&Assertion(filter("(mail=*)"))),
    ];
    for controls in tell {
        let mut request = Request::new(Op::from(set_password("spring tide 9")), anna());
        request.controls = controls;
        assert_eq!(session.call(request).outcome().await.unwrap().result.code, denied);
    }
    // Taking the password away is no change of it.
    let gone = one(ChangeKind::Delete, "userPassword", &["from the desk 1"]);
    assert_eq!(call(gone.into(), true).await, (ResultCode::SUCCESS, None));
    assert_eq!(values(&store, "pwdReset").await, ["TRUE"]);
    assert_eq!(call(search.clone().into(), true).await, (denied, Some(must)));
    assert_eq!(call(WhoAmI.request().into(), true).await, (ResultCode::SUCCESS, None));
    assert_eq!(call(set_password("spring tide 9").into(), true).await, (ResultCode::SUCCESS, None));
    assert_eq!(values(&store, "pwdReset").await, Vec::<String>::new());
    assert_eq!(call(search.into(), true).await, (ResultCode::SUCCESS, None));
    assert_eq!(tries(&store, "spring tide 9").await, IN);
    // The same by the extended operation, and where an administrator says so.
    ok(&store, one(ChangeKind::Replace, "pwdReset", &["TRUE"])).await;
    assert_eq!(tries(&store, "spring tide 9").await, (ResultCode::SUCCESS, must));
    let changed = by_anna(&store, exop(Some("spring tide 9"), Some("flood mark 3"))).await;
    assert_eq!(changed, (ResultCode::SUCCESS, None));
    assert_eq!(tries(&store, "flood mark 3").await, IN);
    // An administrator who says FALSE with the new password is taken at their word.
    let quietly = modify(vec![
        change(ChangeKind::Replace, "userPassword", &[RIGHT]),
        change(ChangeKind::Replace, "pwdReset", &["FALSE"]),
    ]);
    ok(&store, quietly).await;
    assert_eq!(tries(&store, RIGHT).await, IN);
}

#[tokio::test]
async fn owners_are_held_to_the_rules_of_a_change() {
    let (store, hand) = with(rules(|rules| {
        rules.min_age = seconds(60);
        rules.in_history = 2;
        (rules.check_quality, rules.min_length, rules.max_length) = (QualityCheck::Always, 8, 20);
        rules.safe_modify = true;
    }))
    .await;
    let violated = |error| (ResultCode::CONSTRAINT_VIOLATION, Some(error));
    let old = (ResultCode::INSUFFICIENT_ACCESS_RIGHTS, Some(Code::MUST_SUPPLY_OLD_PASSWORD));
    hand.forward(59);
    assert_eq!(
        by_anna(&store, old_and_new(RIGHT, "spring tide 9")).await,
        violated(Code::PASSWORD_TOO_YOUNG)
    );
    hand.forward(1);
    for op in [
        Op::Modify(set_password("spring tide 9")),
        Op::Modify(one(ChangeKind::Delete, "userPassword", &[])),
        Op::Extended(exop(None, Some("spring tide 9"))),
    ] {
        assert_eq!(by_anna(&store, op.clone()).await, old, "{op:?}");
    }
    for (new, error) in [
        ("seven 7", Code::PASSWORD_TOO_SHORT),
        ("ÄÖÜäöüß", Code::PASSWORD_TOO_SHORT),
        ("twenty-one characters", Code::PASSWORD_TOO_LONG),
        ("the quay at noon", Code::INSUFFICIENT_PASSWORD_QUALITY),
        ("zzzzzzzzzz", Code::INSUFFICIENT_PASSWORD_QUALITY),
        (RIGHT, Code::PASSWORD_IN_HISTORY),
    ] {
        assert_eq!(by_anna(&store, old_and_new(RIGHT, new)).await, violated(error), "{new}");
        assert_eq!(by_anna(&store, exop(Some(RIGHT), Some(new))).await, violated(error), "{new}");
    }
    assert_eq!(values(&store, "pwdFailureTime").await, Vec::<String>::new());

    let mut before = RIGHT.to_owned();
    for new in ["ÄÖÜäöüßÉ", "second tide", "a third tide"] {
        assert_eq!(by_anna(&store, old_and_new(&before, new)).await, (ResultCode::SUCCESS, None), "{new}");
        assert_eq!(tries(&store, new).await, IN);
        hand.forward(60);
        before = new.to_owned();
    }
    for (new, error) in [
        ("second tide", Some(Code::PASSWORD_IN_HISTORY)),
        ("ÄÖÜäöüßÉ", Some(Code::PASSWORD_IN_HISTORY)),
        // Two are remembered; this one is older.
        (RIGHT, None),
    ] {
        assert_eq!(by_anna(&store, exop(Some(&before), Some(new))).await.1, error, "{new}");
    }
    // The directory's own are long enough.
    hand.forward(60);
    assert_eq!(by_anna(&store, exop(Some(RIGHT), None)).await, (ResultCode::SUCCESS, None));
    // The administrator is held to nothing.
    ok(&store, set_password("quay")).await;
    ok(&store, set_password("quay")).await;
    let hash = "{SSHA}6Uj6JpXmLXAYTdOQ9JgTfmOTCpFzYWx0";
    ok(&store, set_password(hash)).await;
}

#[tokio::test]
async fn without_quality_checks_nothing_is_checked() {
    let (store, _) = with(rules(|rules| (rules.min_length, rules.allow_user_change) = (8, true))).await;
    assert_eq!(by_anna(&store, old_and_new(RIGHT, "quay")).await, (ResultCode::SUCCESS, None));
    // One password it is, for whom the policy is.
    let two = one(ChangeKind::Add, "userPassword", &["second"]);
    assert_eq!(by_anna(&store, two.clone()).await.0, ResultCode::CONSTRAINT_VIOLATION);
    ok(&store, two).await;

    let (store, _) = with(rules(|rules| rules.allow_user_change = false)).await;
    let denied = (ResultCode::INSUFFICIENT_ACCESS_RIGHTS, Some(Code::PASSWORD_MOD_NOT_ALLOWED));
    assert_eq!(by_anna(&store, old_and_new(RIGHT, "quay")).await, denied);
    assert_eq!(by_anna(&store, exop(Some(RIGHT), Some("quay"))).await, denied);
}

#[tokio::test]
async fn an_entry_names_its_own_policy() {
    let (store, _) = with(rules(|rules| rules.allow_user_change = false)).await;
    let strict = entry(
        POLICY,
        &[
            "objectClass: device",
            "objectClass: pwdPolicy",
            "cn: strict",
            "pwdAttribute: userPassword",
            "pwdLockout: TRUE",
            "pwdMaxFailure: 1",
            "pwdGraceAuthnLimit: 2",
        ],
    );
    ok(&store, strict).await;
    ok(&store, one(ChangeKind::Add, "pwdPolicySubentry", &[POLICY])).await;
    assert_eq!(by_anna(&store, set_password("neap tide 8")).await, (ResultCode::SUCCESS, None));
    assert_eq!(tries(&store, "wrong").await, OUT);
    assert_eq!(tries(&store, "neap tide 8").await, OUT);
    // A name that leads nowhere leaves the default in force.
    ok(&store, Delete { dn: dn(POLICY) }).await;
    assert_eq!(tries(&store, "neap tide 8").await, IN);
    let denied = (ResultCode::INSUFFICIENT_ACCESS_RIGHTS, Some(Code::PASSWORD_MOD_NOT_ALLOWED));
    assert_eq!(by_anna(&store, set_password(RIGHT)).await, denied);

    // The default can be an entry too, which need not be there yet.
    let (store, _) = with(dn(POLICY)).await;
    assert_eq!(tries(&store, "wrong").await, OUT);
    assert_eq!(values(&store, "pwdFailureTime").await, Vec::<String>::new());
}

#[tokio::test]
async fn the_default_policy_cannot_be_taken_away() {
    let (rules, above) =
        ("cn=strict,ou=rules,dc=harbourlane,dc=example", "ou=rules,dc=harbourlane,dc=example");
    let (store, _) = with(dn(rules)).await;
    ok(&store, entry(above, &["objectClass: organizationalUnit", "ou: rules"])).await;
    let lines = ["objectClass: device", "objectClass: pwdPolicy", "cn: strict", "pwdAttribute: userPassword"];
    ok(&store, entry(rules, &lines)).await;
    let renamed = |name: &str, to: &str| Rename {
        dn: dn(name),
        new_rdn: to.parse().unwrap(),
        delete_old_rdn: true,
        new_superior: None,
    };
    let on = |changes| Modify { dn: dn(rules), changes };
    let class = vec![
        change(ChangeKind::Delete, "objectClass", &["PWDPOLICY"]),
        change(ChangeKind::Delete, "pwdAttribute", &[]),
    ];
    for op in [
        Op::from(Delete { dn: dn(rules) }),
        renamed(rules, "cn=lax").into(),
        renamed(above, "ou=old rules").into(),
        on(class.clone()).into(),
    ] {
        assert_eq!(code(&store, op.clone()).await, ResultCode::UNWILLING_TO_PERFORM, "{op:?}");
    }
    let tree = Controls::none().critical(&TreeDelete);
    let done = code_with(&store, Delete { dn: dn(above) }, tree, Actor::Service).await;
    assert_eq!(done, ResultCode::UNWILLING_TO_PERFORM);
    assert!(read(&store, rules).await.is_some());
    // It may be changed, and written otherwise.
    ok(&store, on(vec![change(ChangeKind::Replace, "pwdMinLength", &["9"])])).await;
    ok(&store, renamed(rules, "cn=STRICT")).await;
    // Where it is no policy, nothing is lost.
    let (store, _) = with(dn(POLICY)).await;
    ok(&store, entry(POLICY, &["objectClass: device", "cn: strict"])).await;
    ok(&store, Delete { dn: dn(POLICY) }).await;
}

#[tokio::test]
async fn the_old_password_is_asked_for_where_the_policy_says_so() {
    let (store, _) = with(DefaultPasswordPolicy::None).await;
    assert_eq!(by_anna(&store, exop(None, Some("quay"))).await, (ResultCode::SUCCESS, None));
    let (store, _) = with(rules(|rules| rules.safe_modify = true)).await;
    let denied = (ResultCode::INSUFFICIENT_ACCESS_RIGHTS, Some(Code::MUST_SUPPLY_OLD_PASSWORD));
    assert_eq!(by_anna(&store, exop(None, Some("quay"))).await, denied);
}

#[tokio::test]
async fn an_added_password_begins_its_life() {
    let (store, _) = with(rules(|rules| rules.must_change = true)).await;
    let dora = "uid=dora,ou=people,dc=harbourlane,dc=example";
    let mut add = person("dora");
    let mut attributes = flext_ldap_proto::attribute::Attributes::builder();
    for attribute in add.attributes.as_ref().iter() {
        attributes.push(attribute.description(), attribute.values());
    }
    attributes.push("userPassword", ["high water 1"]);
    add.attributes = attributes.build();
    ok(&store, add).await;
    let entry = read(&store, dora).await.unwrap();
    let text = |name: &str| entry.attributes().get(name).and_then(|one| one.text()).map(str::to_owned);
    assert_eq!(text("pwdChangedTime").as_deref(), Some("20270115080000Z"));
    assert_eq!(text("pwdReset").as_deref(), Some("TRUE"));
    // What only the directory sets is not given by others.
    for name in ["pwdChangedTime", "pwdFailureTime", "pwdGraceUseTime", "pwdLastSuccess"] {
        let op = one(ChangeKind::Replace, name, &["20270115080000Z"]);
        assert_eq!(code(&store, op).await, ResultCode::CONSTRAINT_VIOLATION, "{name}");
    }
    assert_eq!(
        code(&store, one(ChangeKind::Add, "pwdHistory", &["x"])).await,
        ResultCode::CONSTRAINT_VIOLATION
    );
}

#[tokio::test]
async fn former_passwords_are_not_read_and_survive_an_export() {
    let policy = rules(|rules| rules.in_history = 3);
    let (store, hand) = with(policy.clone()).await;
    ok(&store, set_password("second tide")).await;
    ok(&store, one(ChangeKind::Delete, "userPassword", &[])).await;
    assert_eq!(values(&store, "pwdHistory").await, Vec::<String>::new());
    assert_eq!(store.check(&mut |_| {}).unwrap().faults, 0);
    assert_eq!(find(&store, subtree("(pwdHistory=*)"), Actor::Service).await.0, Vec::<String>::new());
    let mut export = ExportOptions::default();
    let ldif = |export: &ExportOptions| {
        let mut ldif = Vec::new();
        store.export(&mut ldif, export).unwrap();
        String::from_utf8(ldif).unwrap()
    };
    export.operational = true;
    assert!(!ldif(&export).contains("pwdHistory"));
    export.password_hashes = true;
    let text = ldif(&export);
    assert_eq!(text.matches("pwdHistory").count(), 2);

    let again = Store::open(hand.options().password_policy(policy)).unwrap();
    again.import(text.as_bytes(), &ImportOptions::default(), &mut |_| {}).unwrap();
    assert_eq!(values(&again, "pwdHistory").await, Vec::<String>::new());
    let used = (ResultCode::CONSTRAINT_VIOLATION, Some(Code::PASSWORD_IN_HISTORY));
    for password in [RIGHT, "second tide"] {
        assert_eq!(by_anna(&again, set_password(password)).await, used, "{password}");
    }
    assert_eq!(by_anna(&again, set_password("a third tide")).await, (ResultCode::SUCCESS, None));
    // Nothing is left behind.
    ok(&again, Delete { dn: dn(ANNA) }).await;
    ok(&again, person("anna")).await;
    assert_eq!(by_anna(&again, set_password(RIGHT)).await, (ResultCode::SUCCESS, None));
}

#[tokio::test]
async fn the_control_is_answered_when_it_is_asked_for() {
    let (store, _) = with(rules(|rules| rules.max_age = seconds(10))).await;
    let (_, root) = {
        let search = Search::new(dn(""), Scope::Base, filter("(objectClass=*)")).attributes(["+"]);
        let found = entries(&store, search, Actor::Service).await.0;
        ((), found[0].clone())
    };
    let supported: Vec<_> =
        root.attributes().get("supportedControl").unwrap().values().map(<[u8]>::to_vec).collect();
    assert!(supported.contains(&b"1.3.6.1.4.1.42.2.27.8.5.1".to_vec()));
    for (name, password) in
        [(ANNA, RIGHT), (ANNA, "wrong"), ("uid=nobody,dc=harbourlane,dc=example", "x"), ("", "")]
    {
        for asks in [false, true] {
            let controls =
                if asks { Controls::none().critical(&PasswordPolicyRequest) } else { Controls::none() };
            let step = BindStep::Simple { name: name.to_owned(), password: password.into(), controls };
            let mut session = session(&store).await;
            let reply = session.bind(step, Deadline::after(seconds(30))).await.unwrap();
            let (BindReply::Done { outcome, .. } | BindReply::Refused(outcome)) = reply else {
                panic!("a simple bind has one step")
            };
            assert_eq!(heard(&outcome), asks.then_some(NOTHING), "{name} {password} {asks}");
        }
    }
}

/// A refusal comes no sooner for a name that is not there, or has nothing to be counted, than for one whose failure has to
/// be on disk first.
#[tokio::test]
async fn refusals_take_as_long_whether_or_not_anything_is_counted() {
    let (store, _) = with(rules(|rules| (rules.lockout, rules.max_failure) = (true, 1))).await;
    let refused = async |name: &str, password: &str| {
        let started = std::time::Instant::now();
        assert_eq!(bind(&store, name, password).await, Err(ResultCode::INVALID_CREDENTIALS), "{name}");
        started.elapsed()
    };
    let (bert, missing) =
        ("uid=bert,ou=people,dc=harbourlane,dc=example", "uid=nobody,ou=people,dc=harbourlane,dc=example");
    // Counted; locked, by the right password too; without a password; not there; no name of here; the administrator.
    for (name, password) in [
        (ANNA, "wrong"),
        (ANNA, "wrong"),
        (ANNA, RIGHT),
        (bert, "wrong"),
        (missing, "wrong"),
        ("cn=x,dc=elsewhere", "wrong"),
        (ADMIN, "wrong"),
    ] {
        let took = refused(name, password).await;
        assert!(took >= Duration::from_millis(100), "{name}: {took:?}");
    }
    let failures = values(&store, "pwdFailureTime").await;
    assert_eq!(failures.len(), 1, "{failures:?}");
}
