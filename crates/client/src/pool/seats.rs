//! Which connection an operation goes onto. No socket, no clock and no lock in here.
//!
//! Operations are many on one connection, so a result that nobody reads could hold back its neighbours. Hence three
//! classes, and what each puts up with beside it.

/// What an operation may be to those beside it on a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Class {
    /// Its answer is small: it goes beside others like it.
    Short,
    /// A search whose result may be of any size. Goes onto a connection where nothing else is; where there are no more
    /// of those, beside others like it, as long as none of them has shown to be long.
    Broad,
    /// Nothing goes beside it: a conversation, or a search that stays.
    Alone,
}

/// A connection, as far as placing cares.
pub(super) trait Line {
    /// Whether it has ended.
    fn is_closed(&self) -> bool;
    /// Octets that came for operations on it and that nobody has read.
    fn unread(&self) -> usize;
}

/// How much a connection is trusted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    Good,
    /// An operation on it fared badly: used where there is no better one, while it is checked.
    Suspect,
    /// Not used until a check has found it well.
    Doubtful,
}

/// One connection with what goes on on it.
#[derive(Debug)]
pub(super) struct Seat<L> {
    pub(super) line: L,
    pub(super) short: usize,
    pub(super) broad: usize,
    /// Operations that have shown to be long, whatever class they came as, and those that are alone.
    pub(super) long: usize,
    pub(super) standing: Standing,
    /// Not used for so long that it must be checked before it is used again.
    pub(super) is_stale: bool,
    /// Past its age: used where there is no other.
    pub(super) is_leaving: bool,
}

/// The bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Connections.
    pub(super) max: usize,
    /// Operations in flight on the least loaded connection from which on a further one is wanted.
    pub(super) busy: usize,
    /// Operations in flight on one connection at most.
    pub(super) room: usize,
}

/// What holds beside the seats when an operation is placed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstances {
    /// Connections that can be opened, one that is being opened included.
    pub(super) openable: usize,
    /// Operations that wait before this one for a connection with nothing else on it.
    pub(super) before: usize,
    /// Whether this operation would rather wait for a further connection than be beside others it should not be beside.
    pub(super) is_patient: bool,
}

/// Where an operation goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// Onto this one.
    At(usize),
    /// Onto this one, and one more is wanted beside it.
    AtAndOpen(usize),
    /// Onto this one once it is checked.
    Check(usize),
    /// Nowhere yet.
    Wait,
    /// Nowhere yet; one more connection is wanted.
    WaitAndOpen,
}

/// Octets nobody has read, from which on nothing further is put onto a connection.
const CLOGGED: usize = 64 << 10;

impl Rules {
    /// Connections that long results may take: all but one, which is for the rest.
    fn lanes(&self) -> usize {
        (self.max - 1).max(1)
    }
}

impl<L> Seat<L> {
    pub(super) const fn new(line: L) -> Self {
        Self {
            line,
            short: 0,
            broad: 0,
            long: 0,
            standing: Standing::Good,
            is_stale: false,
            is_leaving: false,
        }
    }

    /// Operations on it.
    pub(super) const fn load(&self) -> usize {
        self.short + self.broad + self.long
    }

    const fn is_lane(&self) -> bool {
        self.broad + self.long > 0
    }

    pub(super) const fn count(&mut self, class: Class) -> &mut usize {
        match class {
            Class::Short => &mut self.short,
            Class::Broad => &mut self.broad,
            Class::Alone => &mut self.long,
        }
    }
}

/// Places an operation. `None` when a connection was found that has ended: it is to be taken out first.
pub(super) fn place<L: Line>(
    seats: &[Seat<L>],
    class: Class,
    rules: &Rules,
    now: Circumstances,
) -> Option<Place> {
    // One walk for both: with several connections it is much of what an operation costs here.
    let mut lanes = 0;
    for seat in seats {
        if seat.line.is_closed() {
            return None;
        }
        lanes += usize::from(seat.is_lane());
    }
    Some(match class {
        Class::Short => place_short(seats, lanes, rules, now),
        Class::Broad | Class::Alone => place_long(seats, lanes, class, rules, now),
    })
}

fn place_short<L: Line>(seats: &[Seat<L>], lanes: usize, rules: &Rules, now: Circumstances) -> Place {
    let usable = |seat: &Seat<L>| is_usable(seat, rules);
    // Whoever waits for a connection of its own gets the last one, so it must run empty some day.
    let kept_free = (now.before > 0 && lanes < rules.lanes())
        .then(|| seats.iter().rposition(|seat| !seat.is_lane()))
        .flatten()
        .filter(|last| seats.iter().take(*last).any(|seat| !seat.is_lane() && usable(seat)));
    let among = |index: usize, seat: &Seat<L>| !seat.is_lane() && usable(seat) && Some(index) != kept_free;
    if let Some((index, seat)) = least_loaded(seats, |index, seat| among(index, seat) && !seat.is_stale) {
        let wants_more = seat.load() >= rules.busy && now.openable > 0;
        return if wants_more { Place::AtAndOpen(index) } else { Place::At(index) };
    }
    let waits_for_check = now.is_patient && is_one_checked(seats);
    if !waits_for_check && let Some((index, _)) = least_loaded(seats, among) {
        return Place::Check(index);
    }
    if now.is_patient && (now.openable > 0 || is_one_checked(seats)) {
        // One that is being checked may well be good.
        return wait(now.openable > 0 && !is_one_checked(seats));
    }
    // Better beside a long result than not at all.
    let beside = least_loaded(seats, |_, seat| usable(seat) && seat.long == 0)
        .or_else(|| least_loaded(seats, |_, seat| usable(seat)));
    match beside {
        Some((index, _)) => Place::At(index),
        None => wait(now.openable > 0),
    }
}

fn place_long<L: Line>(
    seats: &[Seat<L>],
    lanes: usize,
    class: Class,
    rules: &Rules,
    now: Circumstances,
) -> Place {
    let free = rules.lanes().saturating_sub(lanes);
    if free > 0 {
        let is_idle = |seat: &Seat<L>| seat.load() == 0 && is_usable(seat, rules);
        if let Some((index, _)) = least_loaded(seats, |_, seat| is_idle(seat) && !seat.is_stale) {
            return Place::At(index);
        }
        let waits_for_check = now.is_patient && is_one_checked(seats);
        if !waits_for_check && let Some((index, _)) = least_loaded(seats, |_, seat| is_idle(seat)) {
            return Place::Check(index);
        }
    }
    let openable = now.openable.min(free);
    if now.is_patient && is_one_checked(seats) {
        return Place::Wait;
    }
    if class == Class::Alone || (now.is_patient && now.before < openable) {
        return wait(openable > 0);
    }
    // With one connection there is nothing to keep apart.
    let fits = |seat: &Seat<L>| {
        let is_shared = seat.long == 0 && (rules.max == 1 || (seat.short == 0 && seat.broad > 0));
        is_shared && !seat.is_stale && is_usable(seat, rules)
    };
    // Here too one runs empty for who waits.
    let kept_free = (now.before > 0)
        .then(|| seats.iter().rposition(fits))
        .flatten()
        .filter(|last| seats.iter().take(*last).any(fits));
    match least_loaded(seats, |index, seat| fits(seat) && Some(index) != kept_free) {
        Some((index, _)) if openable > 0 => Place::AtAndOpen(index),
        Some((index, _)) => Place::At(index),
        None => wait(openable > 0),
    }
}

const fn wait(opens: bool) -> Place {
    if opens { Place::WaitAndOpen } else { Place::Wait }
}

fn is_one_checked<L>(seats: &[Seat<L>]) -> bool {
    seats.iter().any(|seat| seat.standing == Standing::Doubtful && seat.load() == 0)
}

fn is_usable<L: Line>(seat: &Seat<L>, rules: &Rules) -> bool {
    seat.standing != Standing::Doubtful && seat.load() < rules.room && seat.line.unread() < CLOGGED
}

/// The first of the least loaded among the best: so with little to do the others stay idle, and can be closed.
fn least_loaded<L>(seats: &[Seat<L>], among: impl Fn(usize, &Seat<L>) -> bool) -> Option<(usize, &Seat<L>)> {
    let key = |seat: &Seat<L>| (seat.standing == Standing::Suspect, seat.is_leaving, seat.load());
    let mut best: Option<(usize, &Seat<L>)> = None;
    for (index, seat) in seats.iter().enumerate() {
        if best.is_none_or(|(_, other)| key(seat) < key(other)) && among(index, seat) {
            best = Some((index, seat));
            if key(seat) == (false, false, 0) {
                // None is better, and each look at a connection costs.
                break;
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    struct Fake {
        is_closed: bool,
        unread: usize,
    }

    impl Line for Fake {
        fn is_closed(&self) -> bool {
            self.is_closed
        }

        fn unread(&self) -> usize {
            self.unread
        }
    }

    const RULES: Rules = Rules { max: 3, busy: 2, room: 4 };
    const NOW: Circumstances = Circumstances { openable: 0, before: 0, is_patient: true };

    fn seat(short: usize, broad: usize, long: usize) -> Seat<Fake> {
        Seat { short, broad, long, ..Seat::new(Fake { is_closed: false, unread: 0 }) }
    }

    /// What is so, the seats, what is to be placed, the circumstances, and where it goes.
    type Row = (&'static str, Vec<Seat<Fake>>, Class, Circumstances, Option<Place>);

    #[test]
    fn where_operations_go() {
        let openable = |openable| Circumstances { openable, ..NOW };
        let behind = |before, openable| Circumstances { openable, before, ..NOW };
        let hasty = |openable| Circumstances { openable, is_patient: false, ..NOW };
        let suspect = || Seat { standing: Standing::Suspect, ..seat(0, 0, 0) };
        let doubtful = || Seat { standing: Standing::Doubtful, ..seat(0, 0, 0) };
        let stale = || Seat { is_stale: true, ..seat(0, 0, 0) };
        let leaving = || Seat { is_leaving: true, ..seat(0, 0, 0) };
        let clogged = || Seat { line: Fake { is_closed: false, unread: CLOGGED }, ..seat(0, 1, 0) };
        let dead = || Seat { line: Fake { is_closed: true, unread: 0 }, ..seat(0, 0, 0) };
        use Class::*;
        use Place::*;
        #[rustfmt::skip]
        let table: Vec<Row> = vec![
            ("least loaded, first of equals", vec![seat(2, 0, 0), seat(1, 0, 0), seat(1, 0, 0)], Short, NOW, Some(At(1))),
            ("one more when all are busy", vec![seat(2, 0, 0), seat(3, 0, 0)], Short, openable(1), Some(AtAndOpen(0))),
            ("busy, and no more can be had", vec![seat(2, 0, 0), seat(3, 0, 0)], Short, NOW, Some(At(0))),
            ("none is open", vec![], Short, openable(3), Some(WaitAndOpen)),
            ("none is open nor can be", vec![], Short, NOW, Some(Wait)),
            ("full", vec![seat(4, 0, 0)], Short, NOW, Some(Wait)),
            ("never beside a long result, if another is there", vec![seat(0, 0, 1), seat(3, 0, 0)], Short, NOW, Some(At(1))),
            ("nor beside one that may become long", vec![seat(0, 1, 0), seat(3, 0, 0)], Short, NOW, Some(At(1))),
            ("rather a further connection", vec![seat(0, 1, 0), seat(0, 0, 1)], Short, openable(1), Some(WaitAndOpen)),
            ("but not for ever", vec![seat(0, 0, 1), seat(0, 1, 0)], Short, hasty(1), Some(At(1))),
            ("never where nobody reads", vec![clogged()], Short, NOW, Some(Wait)),
            ("suspects last", vec![suspect(), seat(3, 0, 0)], Short, NOW, Some(At(1))),
            ("suspects rather than none", vec![suspect()], Short, NOW, Some(At(0))),
            ("those that leave last", vec![leaving(), seat(3, 0, 0)], Short, NOW, Some(At(1))),
            ("doubtful ones not at all", vec![doubtful()], Short, NOW, Some(Wait)),
            ("stale ones are checked", vec![stale(), seat(1, 1, 0)], Short, NOW, Some(Check(0))),
            ("one at a time", vec![doubtful(), stale()], Short, NOW, Some(Wait)),
            ("but not for ever", vec![doubtful(), stale()], Short, hasty(0), Some(Check(1))),
            ("unless another is there", vec![stale(), seat(1, 0, 0)], Short, NOW, Some(At(1))),
            ("the dead are taken out first", vec![seat(0, 0, 0), dead()], Short, NOW, None),
            ("the last one runs empty for who waits for it", vec![seat(1, 0, 0), seat(0, 0, 0)], Short, behind(1, 0), Some(At(0))),
            ("but the only one does not", vec![seat(0, 1, 0), seat(1, 0, 0)], Short, behind(1, 0), Some(At(1))),

            ("a broad search goes where nothing is", vec![seat(1, 0, 0), seat(0, 0, 0)], Broad, NOW, Some(At(1))),
            ("or onto a further connection", vec![seat(1, 0, 0)], Broad, openable(2), Some(WaitAndOpen)),
            ("which those before it do not leave it", vec![seat(0, 1, 0), seat(1, 0, 0)], Broad, behind(1, 1), Some(AtAndOpen(0))),
            ("or beside its like, if none has shown to be long", vec![seat(0, 2, 1), seat(1, 0, 0), seat(0, 3, 0)], Broad, NOW, Some(At(2))),
            ("one connection stays for the rest", vec![seat(0, 1, 0), seat(0, 2, 0), seat(0, 0, 0)], Broad, NOW, Some(At(0))),
            ("not beside a long one", vec![seat(0, 0, 1), seat(0, 1, 1), seat(0, 0, 0)], Broad, NOW, Some(Wait)),
            ("not where nobody reads", vec![clogged(), seat(0, 0, 1), seat(0, 0, 0)], Broad, NOW, Some(Wait)),
            ("stale ones are checked one at a time", vec![doubtful(), stale()], Broad, NOW, Some(Wait)),
            ("a stale one is checked", vec![stale()], Broad, openable(1), Some(Check(0))),

            ("alone is alone", vec![seat(0, 1, 0), seat(1, 0, 0)], Alone, NOW, Some(Wait)),
            ("alone on a further one", vec![seat(0, 1, 0), seat(1, 0, 0)], Alone, openable(1), Some(WaitAndOpen)),
            ("alone on an idle one", vec![seat(0, 1, 0), seat(0, 0, 0)], Alone, openable(1), Some(At(1))),
        ];
        for (name, seats, class, now, want) in table {
            assert_eq!(place(&seats, class, &RULES, now), want, "{name}");
        }
        let one = Rules { max: 1, ..RULES };
        assert_eq!(place(&[seat(1, 0, 0)], Broad, &one, NOW), Some(At(0)), "with one all share");
        assert_eq!(place(&[seat(1, 0, 0)], Alone, &one, NOW), Some(Wait));
        assert_eq!(place(&[seat(0, 0, 0)], Alone, &one, NOW), Some(At(0)));
    }

    fn any_seat() -> impl Strategy<Value = Seat<Fake>> {
        let standing = prop_oneof![Just(Standing::Good), Just(Standing::Suspect), Just(Standing::Doubtful)];
        let unread = prop_oneof![4 => Just(0), 1 => Just(CLOGGED)];
        (0..4_usize, 0..3_usize, 0..2_usize, standing, any::<bool>(), any::<bool>(), unread).prop_map(
            |(short, broad, long, standing, is_stale, is_leaving, unread)| Seat {
                line: Fake { is_closed: false, unread },
                short,
                broad,
                long,
                standing,
                is_stale,
                is_leaving,
            },
        )
    }

    proptest! {
        #[test]
        fn whatever_goes_on_the_promises_hold(
            seats in prop::collection::vec(any_seat(), 0..5),
            class in prop_oneof![Just(Class::Short), Just(Class::Broad), Just(Class::Alone)],
            openable in 0..3_usize,
            before in 0..4_usize,
            is_patient: bool,
        ) {
            let rules = Rules { max: 5, busy: 2, room: 6 };
            let now = Circumstances { openable, before, is_patient };
            let place = place(&seats, class, &rules, now).unwrap();
            let at = match place {
                Place::At(index) | Place::AtAndOpen(index) | Place::Check(index) => Some(index),
                Place::Wait | Place::WaitAndOpen => None,
            };
            if matches!(place, Place::AtAndOpen(_) | Place::WaitAndOpen) {
                prop_assert!(openable > 0);
            }
            let Some(index) = at else {
                // Nobody waits who could be served: an idle good connection is always somebody's.
                let waits_for_check = is_patient && is_one_checked(&seats);
                let is_ready = |seat: &Seat<Fake>| is_usable(seat, &rules) && !(seat.is_stale && waits_for_check);
                let idle = seats.iter().any(|seat| seat.load() == 0 && is_ready(seat));
                let lanes = seats.iter().filter(|seat| seat.is_lane()).count();
                prop_assert!(!idle || (class != Class::Short && lanes >= 4));
                return Ok(());
            };
            let seat = &seats[index];
            prop_assert!(is_usable(seat, &rules));
            prop_assert_eq!(seat.is_stale && class != Class::Short, matches!(place, Place::Check(_)) && class != Class::Short);
            match class {
                Class::Alone => prop_assert_eq!(seat.load(), 0),
                Class::Broad => prop_assert!(seat.long == 0 && seat.short == 0),
                // A short one is beside a long one only where no other connection is usable and no more is waited for.
                Class::Short if seat.is_lane() => {
                    prop_assert!(!is_patient || (openable == 0 && !is_one_checked(&seats)));
                    prop_assert!(!seats.iter().any(|seat| !seat.is_lane() && is_usable(seat, &rules)));
                }
                Class::Short => {}
            }
            if class != Class::Short && seat.load() == 0 {
                prop_assert!(seats.iter().filter(|seat| seat.is_lane()).count() < 4, "one stays for the rest");
            }
        }
    }
}
