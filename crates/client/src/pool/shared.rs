//! The service connections of a pool, and who waits for one: everything that happens under its lock.
//!
//! An operation takes a place and gives it back, each under the lock for as long as it takes to look at a few counters.
//! Nothing is awaited or sent while the lock is held, no connection is dropped, and nobody but the keeper is woken.

#[cfg(test)]
mod schedules;

#[cfg(not(test))]
use std::sync::{Mutex, MutexGuard};
use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use flext_ldap_directory::{Deadline, Error, ErrorKind, layers::Traces};
#[cfg(test)]
use shuttle::sync::{Mutex, MutexGuard};
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, Sleep, sleep_until},
};
use tracing::Span;

use super::{
    check::Check,
    recovery::Obstacle,
    seats::{Circumstances, Class, Line, Place, Rules, Seat, Standing, place},
};
use crate::{Connection, chance::Dice, trace::Step};

/// How long an operation rather waits for a further connection than be beside others it should not be beside.
const PATIENCE: Duration = Duration::from_millis(250);

/// How long a connection is taken to be well after a check, so that a flood of bad answers is no flood of checks.
const WELL: Duration = Duration::from_secs(1);

/// A service connection. It is never bound again.
pub(super) struct Member {
    id: u64,
    pub(super) connection: Connection,
    /// What it is of, so that a place on it is one pointer. Seats hold members in turn: [`Shared::clear`] ends that.
    shared: Arc<Shared>,
}

/// A member in its seat.
#[derive(Debug)]
pub(super) struct Berth {
    member: Arc<Member>,
    /// The member's, at hand.
    id: u64,
    /// Whether an operation was put onto it since the last tick.
    was_used: bool,
    /// The tick at which it was first found without use.
    idle_since: Option<Instant>,
    is_checked_now: bool,
    /// When it was last found well.
    well_at: Instant,
    check_at: Instant,
    leave_at: Instant,
    /// How long it may be idle.
    idle: Duration,
}

/// The bounds and times of a pool.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) min: usize,
    pub(super) rules: Rules,
    /// Entries a search may ask for and still count as short.
    pub(super) short: u32,
    pub(super) waiting: usize,
    pub(super) acquire: Duration,
    pub(super) idle: Duration,
    pub(super) age: Duration,
    pub(super) check: Check,
    pub(super) check_every: Duration,
    pub(super) check_after: Duration,
}

/// What the handle, the keeper, replies and conversations all see.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) server: String,
    pub(super) settings: Settings,
    state: Mutex<State>,
    /// Wakes the keeper.
    pub(super) keeper: Notify,
    /// Wakes those who wait for the pool to change.
    pub(super) changed: Notify,
}

#[derive(Debug)]
struct State {
    is_open: bool,
    seats: Vec<Seat<Berth>>,
    is_opening: bool,
    /// Somebody wants a further connection.
    is_wanted: bool,
    /// Why none can be opened at present.
    obstacle: Option<Obstacle>,
    quick: VecDeque<Waiter>,
    slow: VecDeque<Waiter>,
    next_id: u64,
    dice: Dice,
    counters: Counters,
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub(super) opened: u64,
    pub(super) open_failures: u64,
    pub(super) refusals: u64,
    pub(super) lost: u64,
    pub(super) pruned: u64,
    pub(super) aged: u64,
    pub(super) checks: u64,
    pub(super) check_failures: u64,
    pub(super) waited: u64,
    pub(super) wait_timeouts: u64,
    pub(super) turned_away: u64,
}

/// What there is at present.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Present {
    pub(super) open: usize,
    pub(super) idle: usize,
    pub(super) in_flight: usize,
    pub(super) waiting: usize,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    class: Class,
    since: Instant,
    turn: Turn,
    /// That of its waiting: a connection that is opened for it is below.
    span: Span,
}

/// Turns that are given out once the lock is given back.
#[must_use = "whoever waits is told by `give`"]
pub(super) struct Turns(Vec<(Turn, Result<Lease, Error>)>);

/// How somebody who waits is told.
type Turn = oneshot::Sender<Result<Lease, Error>>;

/// A place on a connection. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) member: Arc<Member>,
    class: Class,
}

/// What came of asking for a place.
pub(super) enum Taken {
    Lease(Lease),
    /// Behind a pointer: most operations need not wait, and would carry the room for it about.
    Later(Box<Waiting>),
    Refused(Error),
}

/// How an operation has fared, as far as its connection is concerned.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fared {
    /// The connection is to be checked.
    Badly,
    /// The connection has ended, or nothing sensible comes from it.
    Lost,
}

/// What the keeper is to do.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) checks: Vec<Arc<Member>>,
    pub(super) opens: Option<Span>,
    /// When the patience of somebody who waits ends next.
    pub(super) settle_at: Option<Instant>,
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("id", &self.id)
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}

impl Line for Berth {
    fn is_closed(&self) -> bool {
        self.member.connection.is_closed()
    }

    fn unread(&self) -> usize {
        self.member.connection.unread()
    }
}

impl Shared {
    pub(super) fn new(server: String, settings: Settings) -> Self {
        let state = State {
            is_open: true,
            seats: Vec::new(),
            is_opening: false,
            is_wanted: false,
            obstacle: None,
            quick: VecDeque::new(),
            slow: VecDeque::new(),
            next_id: 0,
            dice: Dice::new(),
            counters: Counters::default(),
        };
        Self { server, settings, state: Mutex::new(state), keeper: Notify::new(), changed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in this module can panic half-way through a change that others rely on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shut(&self) -> Error {
        Error::new(
            ErrorKind::Closed,
            format!("the pool of connections to {} has been shut down", self.server),
        )
    }

    /// Takes a place for an operation, or a place in the queue. The socket of a connection on which nothing else is, is
    /// looked at before a write, since nobody could tell whether it was applied if the server was gone; before a read
    /// only where there is reason to.
    pub(super) fn take(self: &Arc<Self>, class: Class, is_write: bool, by: Deadline) -> Taken {
        loop {
            let mut state = self.lock();
            if !state.is_open {
                return Taken::Refused(self.shut());
            }
            let place = state.place(&self.settings, class, state.slow.len(), true);
            let (index, wants_more) = match place {
                Some(Place::At(index)) => (index, false),
                Some(Place::AtAndOpen(index)) => (index, true),
                Some(Place::Check(index)) => {
                    state.doubt(index);
                    drop(state);
                    self.keeper.notify_one();
                    continue;
                }
                Some(wait @ (Place::Wait | Place::WaitAndOpen)) => {
                    return self.queue(state, class, wait == Place::WaitAndOpen, by);
                }
                None => {
                    let gone = state.reap();
                    drop(state);
                    drop(gone);
                    self.settle();
                    self.keeper.notify_one();
                    continue;
                }
            };
            let Some((lease, look)) = state.seat(index, class) else { continue };
            let wakes = wants_more && !std::mem::replace(&mut state.is_wanted, true);
            drop(state);
            if wakes {
                self.keeper.notify_one();
            }
            let connection = &lease.member.connection;
            let look = look.is_alone && (is_write || look.has_rested || connection.may_have_news());
            if !look || connection.is_silent() {
                return Taken::Lease(lease);
            }
            // Closed, or the server has said something that nobody has heard yet.
            self.fared(&lease, Fared::Lost);
        }
    }

    fn queue(
        self: &Arc<Self>,
        mut state: MutexGuard<'_, State>,
        class: Class,
        opens: bool,
        by: Deadline,
    ) -> Taken {
        if let (Some(obstacle), true) = (&state.obstacle, state.seats.is_empty()) {
            return Taken::Refused(obstacle.error(&self.server));
        }
        if state.quick.len() + state.slow.len() >= self.settings.waiting {
            state.counters.turned_away += 1;
            let message = format!(
                "{} operations wait for a connection to {} already, which is as many as may: ask for less at a time, or allow more connections",
                self.settings.waiting, self.server
            );
            return Taken::Refused(Error::new(ErrorKind::Overloaded, message));
        }
        let since = Instant::now();
        let (turn, receiver) = oneshot::channel();
        state.next_id += 1;
        state.counters.waited += 1;
        state.is_wanted |= opens;
        let id = state.next_id;
        let queue = if class == Class::Short { &mut state.quick } else { &mut state.slow };
        let span = Step::Wait.span(&self.server);
        queue.push_back(Waiter { id, class, since, turn, span: span.clone() });
        drop(state);
        self.keeper.notify_one();
        let acquire = Deadline::after(self.settings.acquire);
        Taken::Later(Box::new(Waiting {
            shared: Arc::clone(self),
            id,
            turn: receiver,
            is_over: false,
            until: by.earlier(acquire).instant(),
            is_impatient: acquire < by,
            timer: None,
            span,
        }))
    }

    /// Takes a place, and waits for it.
    pub(super) async fn acquire(self: &Arc<Self>, class: Class, by: Deadline) -> Result<Lease, Error> {
        match self.take(class, false, by) {
            Taken::Lease(lease) => Ok(lease),
            Taken::Later(waiting) => waiting.await,
            Taken::Refused(error) => Err(error),
        }
    }

    /// Notes that something is wrong with the connection of `lease`.
    pub(super) fn fared(self: &Arc<Self>, lease: &Lease, how: Fared) {
        let mut state = self.lock();
        let mut gone = Vec::new();
        if let Some(index) = state.position(lease.member.id)
            && let Some(seat) = state.seats.get_mut(index)
        {
            match how {
                Fared::Lost if seat.line.is_closed() => gone = state.reap(),
                Fared::Lost => seat.standing = Standing::Doubtful,
                Fared::Badly if seat.standing == Standing::Good && seat.line.well_at.elapsed() >= WELL => {
                    seat.standing = Standing::Suspect;
                }
                Fared::Badly => {}
            }
        }
        drop(state);
        drop(gone);
        self.settle();
        self.keeper.notify_one();
    }

    /// Notes that the operation of `lease` has shown to be long.
    pub(super) fn reveal(&self, lease: &mut Lease) {
        let mut state = self.lock();
        if let Some(index) = state.position(lease.member.id)
            && let Some(seat) = state.seats.get_mut(index)
        {
            *seat.count(lease.class) -= 1;
            seat.long += 1;
        }
        lease.class = Class::Alone;
    }

    fn release(self: &Arc<Self>, member: &Member, class: Class) {
        let mut state = self.lock();
        let mut gone = None;
        // The only one stays until another has taken its place, where there is room for both.
        let can_leave = state.seats.len() > 1 || self.settings.rules.max == 1;
        if let Some(index) = state.position(member.id)
            && let Some(seat) = state.seats.get_mut(index)
        {
            *seat.count(class) -= 1;
            if can_leave && seat.is_leaving && seat.line.is_idle(seat.load()) {
                gone = Some(state.seats.remove(index));
                state.counters.aged += 1;
            }
        }
        let is_waited_for = !(state.quick.is_empty() && state.slow.is_empty());
        drop(state);
        if gone.is_some() {
            self.keeper.notify_one();
        }
        drop(gone);
        if is_waited_for {
            self.settle();
        }
    }

    /// Gives places to those who wait, as far as there are any.
    pub(super) fn settle(self: &Arc<Self>) {
        let turns = self.lock().settle(self);
        turns.give();
    }

    /// What is to be done now.
    pub(super) fn plan(self: &Arc<Self>) -> Plan {
        let mut state = self.lock();
        let gone = state.reap();
        let mut plan = Plan::default();
        for seat in &mut state.seats {
            let berth = &mut seat.line;
            if seat.standing != Standing::Good && !berth.is_checked_now {
                berth.is_checked_now = true;
                plan.checks.push(Arc::clone(&berth.member));
            }
        }
        let open = state.seats.len();
        let is_wanted = state.is_wanted || open < self.settings.min;
        let may_open = state.is_open && !state.is_opening && state.obstacle.is_none();
        if may_open && is_wanted && open < self.settings.rules.max {
            (state.is_wanted, state.is_opening) = (false, true);
            let first = state.quick.iter().chain(&state.slow).min_by_key(|waiter| waiter.id);
            plan.opens = Some(first.map_or_else(Span::none, |waiter| waiter.span.clone()));
        }
        let now = Instant::now();
        let ends = state.quick.iter().chain(&state.slow).map(|waiter| waiter.since + PATIENCE);
        plan.settle_at = ends.filter(|at| *at > now).min();
        let turns = state.settle(self);
        drop(state);
        drop(gone);
        turns.give();
        plan
    }

    /// Takes a new connection in.
    pub(super) fn opened(self: &Arc<Self>, connection: Connection) {
        let now = Instant::now();
        let mut state = self.lock();
        // Who wants yet another says so again.
        (state.is_opening, state.is_wanted) = (false, false);
        state.obstacle = None;
        state.counters.opened += 1;
        let spare = if state.is_open {
            state.next_id += 1;
            let member = Arc::new(Member { id: state.next_id, connection, shared: Arc::clone(self) });
            let berth = Berth {
                id: member.id,
                member,
                was_used: true,
                idle_since: None,
                is_checked_now: false,
                well_at: now,
                check_at: now + state.dice.around(self.settings.check_every),
                leave_at: state.later(now, self.settings.age),
                idle: state.dice.around(self.settings.idle),
            };
            state.seats.push(Seat::new(berth));
            None
        } else {
            Some(connection)
        };
        let turns = state.settle(self);
        drop(state);
        drop(spare);
        turns.give();
        self.changed.notify_waiters();
    }

    /// Notes that none could be opened.
    pub(super) fn obstructed(self: &Arc<Self>, obstacle: Obstacle, is_refusal: bool) {
        let mut state = self.lock();
        state.is_opening = false;
        state.obstacle = Some(obstacle);
        let counters = &mut state.counters;
        counters.open_failures += 1;
        counters.refusals += u64::from(is_refusal);
        let turns = state.settle(self);
        drop(state);
        turns.give();
        self.changed.notify_waiters();
    }

    /// From now on connections may be opened again.
    pub(super) fn clear_obstacle(&self) {
        self.lock().obstacle = None;
    }

    /// Uses the pool's random numbers.
    pub(super) fn with_dice<T>(&self, with: impl FnOnce(&Dice) -> T) -> T {
        with(&self.lock().dice)
    }

    /// Notes what a check has found.
    pub(super) fn checked(self: &Arc<Self>, member: &Arc<Member>, is_well: bool) {
        let now = Instant::now();
        let mut state = self.lock();
        state.counters.checks += 1;
        state.counters.check_failures += u64::from(!is_well);
        let mut gone = None;
        if let Some(index) = state.position(member.id) {
            if is_well {
                let check_at = now + state.dice.around(self.settings.check_every);
                if let Some(seat) = state.seats.get_mut(index) {
                    seat.standing = Standing::Good;
                    seat.is_stale = false;
                    seat.line.is_checked_now = false;
                    seat.line.check_at = check_at;
                    seat.line.well_at = now;
                }
            } else {
                gone = Some(state.seats.remove(index));
                state.counters.lost += 1;
                // Somebody may have been about to use it.
                state.is_wanted |= !(state.quick.is_empty() && state.slow.is_empty());
                state.doubt_idle();
            }
        }
        let turns = state.settle(self);
        drop(state);
        drop(gone);
        turns.give();
        self.changed.notify_waiters();
    }

    /// Looks after all connections: which are stale, due for a check, too old, or not needed any more. At most one is
    /// closed at a time.
    pub(super) fn tick(self: &Arc<Self>) {
        let now = Instant::now();
        let mut state = self.lock();
        let mut gone = state.reap();
        let (check_after, min) = (self.settings.check_after, self.settings.min);
        let mut has_check = false;
        for seat in &mut state.seats {
            let load = seat.load();
            let berth = &mut seat.line;
            if load > 0 || std::mem::take(&mut berth.was_used) {
                (berth.idle_since, seat.is_stale) = (None, false);
            } else {
                let since = *berth.idle_since.get_or_insert(now);
                seat.is_stale = now.duration_since(since.max(berth.well_at)) >= check_after;
            }
            if now >= berth.check_at && !has_check {
                // One that answers operations all the time is known to be well; one at a time is asked.
                has_check = berth.idle_since.is_some();
                berth.check_at = now + self.settings.check_every;
                if has_check && seat.standing == Standing::Good {
                    seat.standing = Standing::Suspect;
                }
            }
        }
        if !state.seats.iter().any(|seat| seat.is_leaving)
            && let Some(seat) = state.seats.iter_mut().find(|seat| seat.line.leave_at <= now)
        {
            seat.is_leaving = true;
        }
        let has_others = state.seats.len() > 1 || self.settings.rules.max == 1;
        if !has_others {
            // The only one stays until another has taken its place.
            state.is_wanted |= state.seats.iter().any(|seat| seat.is_leaving);
        }
        let is_dispensable = state.seats.len() > min;
        let leaves = state.seats.iter().rposition(|seat| {
            let is_idle = seat.line.is_idle(seat.load());
            let is_unused =
                seat.line.idle_since.is_some_and(|since| now.duration_since(since) >= seat.line.idle);
            is_idle && ((seat.is_leaving && has_others) || (is_dispensable && is_unused))
        });
        if let Some(index) = leaves {
            let seat = state.seats.remove(index);
            if seat.is_leaving {
                state.counters.aged += 1;
            } else {
                state.counters.pruned += 1;
            }
            gone.push(seat);
        }
        let turns = state.settle(self);
        drop(state);
        drop(gone);
        turns.give();
    }

    pub(super) fn counters(&self) -> (Counters, Present) {
        let state = self.lock();
        let present = Present {
            open: state.seats.len(),
            idle: state.seats.iter().filter(|seat| seat.load() == 0).count(),
            in_flight: state.seats.iter().map(Seat::load).sum(),
            waiting: state.quick.len() + state.slow.len(),
        };
        (state.counters, present)
    }

    /// Operations in flight, and waiting.
    pub(super) fn load(&self) -> usize {
        let state = self.lock();
        state.seats.iter().map(Seat::load).sum::<usize>() + state.quick.len() + state.slow.len()
    }

    /// Why no connection can be opened at present.
    pub(super) fn obstacle(&self) -> Option<Obstacle> {
        self.lock().obstacle.clone()
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().is_open
    }

    /// Takes nothing new from now on. Whoever waits is told so.
    pub(super) fn stop(self: &Arc<Self>) {
        let mut state = self.lock();
        state.is_open = false;
        let turns = state.settle(self);
        drop(state);
        turns.give();
        self.changed.notify_waiters();
    }

    /// Whether operations are in flight, also such whose callers have gone.
    pub(super) fn is_busy(&self) -> bool {
        self.lock().seats.iter().any(|seat| !seat.line.is_closed() && !seat.line.is_idle(seat.load()))
    }

    /// Gives all connections up.
    pub(super) fn clear(&self) -> Vec<Arc<Member>> {
        let seats = std::mem::take(&mut self.lock().seats);
        seats.into_iter().map(|seat| seat.line.member).collect()
    }
}

impl Berth {
    /// Whether nothing goes on on it, with so many operations known of: a write goes on when its caller has gone.
    fn is_idle(&self, load: usize) -> bool {
        load == 0 && self.member.connection.in_flight() == 0
    }
}

/// What is known of a seat that was just taken.
struct Look {
    /// Nothing else is on it.
    is_alone: bool,
    /// It was not used for a while.
    has_rested: bool,
}

impl State {
    fn position(&self, id: u64) -> Option<usize> {
        self.seats.iter().position(|seat| seat.line.id == id)
    }

    fn place(&self, settings: &Settings, class: Class, before: usize, is_patient: bool) -> Option<Place> {
        let openable = match self.obstacle {
            Some(_) => 0,
            None => settings.rules.max.saturating_sub(self.seats.len()),
        };
        place(&self.seats, class, &settings.rules, Circumstances { openable, before, is_patient })
    }

    fn seat(&mut self, index: usize, class: Class) -> Option<(Lease, Look)> {
        let seat = self.seats.get_mut(index)?;
        let look = Look { is_alone: seat.load() == 0, has_rested: seat.line.idle_since.is_some() };
        *seat.count(class) += 1;
        seat.line.was_used = true;
        let lease = Lease { member: Arc::clone(&seat.line.member), class };
        Some((lease, look))
    }

    fn doubt(&mut self, index: usize) {
        if let Some(seat) = self.seats.get_mut(index) {
            seat.standing = Standing::Doubtful;
        }
    }

    /// What ended one connection may have ended the idle ones too: a new one is opened while they are checked.
    fn doubt_idle(&mut self) {
        for seat in &mut self.seats {
            if seat.load() == 0 {
                seat.standing = Standing::Doubtful;
            }
        }
    }

    /// Takes the connections out that have ended. To be dropped once the lock is given back.
    #[must_use]
    fn reap(&mut self) -> Vec<Seat<Berth>> {
        if !self.seats.iter().any(|seat| seat.line.is_closed()) {
            return Vec::new();
        }
        let (gone, seats): (Vec<_>, _) =
            std::mem::take(&mut self.seats).into_iter().partition(|seat| seat.line.is_closed());
        self.seats = seats;
        self.counters.lost += u64::try_from(gone.len()).unwrap_or_default();
        self.is_wanted = true;
        self.doubt_idle();
        gone
    }

    /// An instant about so much later.
    fn later(&mut self, now: Instant, time: Duration) -> Instant {
        let time = self.dice.around(time);
        now.checked_add(time).unwrap_or_else(|| Deadline::after(Duration::MAX).instant())
    }

    fn settle(&mut self, shared: &Arc<Shared>) -> Turns {
        let mut turns = Turns(Vec::new());
        if self.quick.is_empty() && self.slow.is_empty() {
            return turns;
        }
        let failure = if !self.is_open {
            Some(None)
        } else if self.seats.is_empty() && !self.is_opening {
            self.obstacle.clone().map(Some)
        } else {
            None
        };
        if let Some(obstacle) = failure {
            for waiter in self.quick.drain(..).chain(self.slow.drain(..)) {
                let error = obstacle.as_ref().map_or_else(|| shared.shut(), |one| one.error(&shared.server));
                turns.0.push((waiter.turn, Err(error)));
            }
            return turns;
        }
        let now = Instant::now();
        let mut quick = std::mem::take(&mut self.quick);
        while let Some(waiter) = quick.pop_front() {
            if let Some(waiter) = self.settle_one(waiter, 0, now, shared, &mut turns) {
                quick.push_front(waiter);
                break;
            }
        }
        self.quick = quick;
        let mut rest = VecDeque::new();
        let mut slow = std::mem::take(&mut self.slow);
        while let Some(waiter) = slow.pop_front() {
            let before = rest.len();
            if let Some(waiter) = self.settle_one(waiter, before, now, shared, &mut turns) {
                rest.push_back(waiter);
                // Those behind fare no better.
                if before >= shared.settings.rules.max {
                    break;
                }
            }
        }
        rest.append(&mut slow);
        self.slow = rest;
        turns
    }

    /// Gives a place to one who waits. Gives him back if there is none.
    fn settle_one(
        &mut self,
        waiter: Waiter,
        before: usize,
        now: Instant,
        shared: &Arc<Shared>,
        turns: &mut Turns,
    ) -> Option<Waiter> {
        let is_patient = now.duration_since(waiter.since) < PATIENCE;
        let before = if waiter.class == Class::Short { self.slow.len() } else { before };
        let index = match self.place(&shared.settings, waiter.class, before, is_patient) {
            Some(Place::At(index)) => index,
            Some(Place::AtAndOpen(index)) => {
                self.is_wanted = true;
                index
            }
            Some(Place::Check(index)) => {
                self.doubt(index);
                shared.keeper.notify_one();
                return Some(waiter);
            }
            Some(Place::WaitAndOpen) => {
                if !std::mem::replace(&mut self.is_wanted, true) && !self.is_opening {
                    shared.keeper.notify_one();
                }
                return Some(waiter);
            }
            // The keeper takes out what has ended.
            Some(Place::Wait) => return Some(waiter),
            None => {
                shared.keeper.notify_one();
                return Some(waiter);
            }
        };
        match self.seat(index, waiter.class) {
            Some((lease, _)) => {
                turns.0.push((waiter.turn, Ok(lease)));
                None
            }
            None => Some(waiter),
        }
    }
}

impl Turns {
    pub(super) fn give(self) {
        for (turn, lease) in self.0 {
            // Who has gone meanwhile gives its place back by dropping it.
            drop(turn.send(lease));
        }
    }
}

impl Lease {
    /// One more place on the same connection, for something that goes on for itself.
    pub(super) fn again(&self) -> Self {
        let mut state = self.member.shared.lock();
        // One that was taken out meanwhile counts nothing any more.
        if let Some(index) = state.position(self.member.id)
            && let Some(seat) = state.seats.get_mut(index)
        {
            *seat.count(self.class) += 1;
        }
        drop(state);
        Self { member: Arc::clone(&self.member), class: self.class }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.member.shared
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.member.shared.release(&self.member, self.class);
    }
}

/// A place in the queue.
#[derive(Debug)]
pub(super) struct Waiting {
    shared: Arc<Shared>,
    id: u64,
    turn: oneshot::Receiver<Result<Lease, Error>>,
    is_over: bool,
    until: Instant,
    /// Whether the pool's patience ends before the caller's.
    is_impatient: bool,
    /// Set when the caller first waits: only then is there a runtime for sure.
    timer: Option<Pin<Box<Sleep>>>,
    span: Span,
}

impl Waiting {
    fn timeout(&self) -> Error {
        let mut state = self.shared.lock();
        state.counters.wait_timeouts += 1;
        let open = state.seats.len();
        let in_flight: usize = state.seats.iter().map(Seat::load).sum();
        let why = match (&state.obstacle, open) {
            (_, 0) => "none is open yet, the server takes long to let one in",
            (Some(_), _) => "those that are open are taken, and no other can be opened",
            (None, _) if open < self.shared.settings.rules.max => {
                "those that are open are taken, and another takes long"
            }
            (None, _) => "all are taken: read results to their end or drop them, or allow more connections",
        };
        let end = if self.is_impatient { "the time allowed for that" } else { "its deadline" };
        let message = format!(
            "no connection to {} came free for the operation by {end}: {why} ({open} open, {in_flight} operations on them)",
            self.shared.server
        );
        let error = Error::new(ErrorKind::Timeout, message);
        match &state.obstacle {
            Some(obstacle) => error.with_source(obstacle.cause()),
            None => error,
        }
    }
}

impl Future for Waiting {
    type Output = Result<Lease, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Poll::Ready(turn) = Pin::new(&mut this.turn).poll(cx) {
            this.is_over = true;
            let turn = turn.unwrap_or_else(|_| Err(this.shared.shut()));
            Traces::end(&this.span, turn.as_ref().err());
            return Poll::Ready(turn);
        }
        let until = this.until;
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        std::task::ready!(timer.as_mut().poll(cx));
        let error = this.timeout();
        Traces::end(&this.span, Some(&error));
        Poll::Ready(Err(error))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.is_over {
            Traces::end(&self.span, None);
            let mut state = self.shared.lock();
            let State { quick, slow, .. } = &mut *state;
            quick.retain(|waiter| waiter.id != self.id);
            slow.retain(|waiter| waiter.id != self.id);
        }
    }
}
