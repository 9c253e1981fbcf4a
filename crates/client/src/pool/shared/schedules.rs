//! The pool under many orders of those who use it: at each lock and each wait shuttle draws who goes on. Whoever is left
//! waiting when nobody can go on, a turn that was lost, ends the test, with the order that led there.
//!
//! The connections are sockets that nobody is on; what travels on them is not asked here.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

use shuttle::{
    Config, Runner,
    future::block_on,
    scheduler::{PctScheduler, RandomScheduler, Scheduler},
    thread::{self, JoinHandle},
};
use tokio::net::UnixStream;

use super::*;
use crate::{connection::Bounds, exposure::Exposure, transport::Transport};

/// Orders that are drawn at random, and by how few places at which somebody else goes on need be right for a fault.
const ORDERS: usize = 1_000;
const CHANGES: usize = 3;

const RULES: Rules = Rules { max: 2, busy: 1, room: 2 };

/// What is on each connection at present, in short and alone.
type Seen = BTreeMap<u64, (usize, usize)>;

struct World {
    shared: Arc<Shared>,
    seen: Mutex<Seen>,
    is_over: AtomicBool,
}

impl World {
    fn new() -> Arc<Self> {
        let settings = Settings {
            min: 1,
            rules: RULES,
            short: 10,
            waiting: 16,
            acquire: Duration::from_secs(600),
            idle: Duration::from_secs(600),
            age: Duration::from_secs(600),
            check: Check { entry: None, timeout: Duration::from_secs(1) },
            check_every: Duration::from_secs(600),
            check_after: Duration::from_secs(600),
        };
        let shared = Arc::new(Shared::new("ldap.harbourlane.example".to_owned(), settings));
        Arc::new(Self { shared, seen: Mutex::default(), is_over: AtomicBool::new(false) })
    }

    /// Not one that shuttle knows of: looking changes no order.
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    /// Uses a place for a while.
    fn use_place(&self, lease: &Lease, class: Class) {
        let (id, is_alone) = (lease.member.id, usize::from(class == Class::Alone));
        {
            let mut seen = self.seen();
            let (short, alone) = seen.entry(id).or_default();
            *short += 1 - is_alone;
            *alone += is_alone;
            assert!(*short + *alone <= RULES.room, "{short} and {alone} on one connection");
            let alone: Vec<_> = seen.values().map(|(_, alone)| *alone).collect();
            assert!(alone.iter().all(|alone| *alone <= 1), "two that are alone are on one connection");
        }
        thread::yield_now();
        let mut seen = self.seen();
        let (short, alone) = seen.entry(id).or_default();
        *short -= 1 - is_alone;
        *alone -= is_alone;
    }

    /// What the keeper does, but for its clock.
    fn keeper(self: &Arc<Self>, is_well: bool) -> JoinHandle<()> {
        let world = Arc::clone(self);
        thread::spawn(move || {
            let mut others = Vec::new();
            while !world.is_over.load(Ordering::Relaxed) {
                let plan = world.shared.plan();
                let is_idle = plan.checks.is_empty() && plan.opens.is_none();
                for member in &plan.checks {
                    world.shared.checked(member, is_well);
                }
                if plan.opens.is_some() {
                    let (ours, other) = UnixStream::pair().unwrap();
                    others.push(other);
                    let transport = Transport::Unix(ours);
                    let name = world.shared.server.clone();
                    world.shared.opened(Connection::start(
                        transport,
                        name,
                        Exposure::Guarded,
                        Bounds::DEFAULT,
                    ));
                }
                // It looks again after whatever it has done.
                if is_idle {
                    block_on(world.shared.keeper.notified());
                }
            }
        })
    }

    /// Somebody who takes places, one after the other.
    fn caller(self: &Arc<Self>, class: Class, how: Option<Fared>) -> JoinHandle<()> {
        let world = Arc::clone(self);
        thread::spawn(move || {
            for _ in 0..2 {
                match block_on(world.shared.acquire(class, later())) {
                    Ok(lease) => {
                        world.use_place(&lease, class);
                        if let Some(how) = how {
                            world.shared.fared(&lease, how);
                        }
                    }
                    Err(error) => {
                        assert!(!world.shared.is_open(), "{error}");
                        assert_eq!(error.kind(), ErrorKind::Closed);
                    }
                }
            }
        })
    }

    /// Somebody who asks and does not wait, or not to the end.
    fn quitter(self: &Arc<Self>, class: Class) -> JoinHandle<()> {
        let world = Arc::clone(self);
        thread::spawn(move || {
            for _ in 0..2 {
                let mut asked = pin!(world.shared.acquire(class, later()));
                let polled = asked.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                thread::yield_now();
                drop(polled);
            }
        })
    }

    /// Waits for all, and looks whether everything was given back.
    fn end(self: Arc<Self>, callers: Vec<JoinHandle<()>>, keeper: JoinHandle<()>) {
        for caller in callers {
            caller.join().unwrap();
        }
        self.is_over.store(true, Ordering::Relaxed);
        self.shared.keeper.notify_one();
        keeper.join().unwrap();
        let (_, present) = self.shared.counters();
        assert_eq!((present.in_flight, present.waiting), (0, 0));
        assert!(present.open <= RULES.max);
        // Seats and members hold each other.
        drop(self.shared.clear());
    }
}

fn later() -> Deadline {
    Deadline::after(Duration::from_secs(3_600))
}

/// Who does what.
type Scene = fn(&Arc<World>) -> Vec<JoinHandle<()>>;

/// Plays it in many orders: any, and such in which few places matter, which finds what needs somebody to be very slow.
fn in_many_orders(is_well: bool, scene: Scene) {
    play(RandomScheduler::new(ORDERS), is_well, scene);
    play(PctScheduler::new(CHANGES, ORDERS), is_well, scene);
}

fn play(scheduler: impl Scheduler + 'static, is_well: bool, scene: Scene) {
    let mut config = Config::new();
    config.stack_size = 1 << 19;
    Runner::new(scheduler, config).run(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _within = runtime.enter();
        let world = World::new();
        let callers = scene(&world);
        let keeper = world.keeper(is_well);
        world.end(callers, keeper);
    });
}

#[test]
fn everybody_has_a_turn_and_gives_it_back() {
    in_many_orders(true, |world| {
        vec![
            world.caller(Class::Short, None),
            world.caller(Class::Short, None),
            world.caller(Class::Broad, None),
            world.caller(Class::Alone, None),
            world.caller(Class::Alone, None),
        ]
    });
}

#[test]
fn who_gives_up_takes_no_turn_away() {
    in_many_orders(true, |world| {
        vec![
            world.caller(Class::Short, None),
            world.caller(Class::Alone, None),
            world.quitter(Class::Short),
            world.quitter(Class::Alone),
            world.quitter(Class::Broad),
        ]
    });
}

#[test]
fn connections_that_are_lost_are_replaced_for_who_waits() {
    in_many_orders(false, |world| {
        vec![
            world.caller(Class::Short, Some(Fared::Lost)),
            world.caller(Class::Alone, Some(Fared::Lost)),
            world.caller(Class::Short, None),
            world.quitter(Class::Alone),
        ]
    });
}

#[test]
fn who_waits_while_the_pool_is_shut_down_is_told() {
    in_many_orders(true, |world| {
        let stopping = Arc::clone(&world.shared);
        vec![
            world.caller(Class::Short, None),
            world.caller(Class::Alone, None),
            world.caller(Class::Alone, None),
            thread::spawn(move || stopping.stop()),
        ]
    });
}
