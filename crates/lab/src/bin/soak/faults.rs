//! What befalls the ways, one thing after another, from a seed.

use std::time::Duration;

use flext_ldap_lab::{End, FaultProxy, Faults, Way};
use tokio::time::sleep;

/// Draws what happens next.
pub(crate) struct Schedule(pub(crate) Dice);

/// splitmix64.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `most`.
    pub(crate) const fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % most
    }

    pub(crate) const fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.below(most - least))
    }
}

impl Schedule {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(Dice::new(seed))
    }

    /// Lets one thing happen to one of the ways, seldom to both, and ends it.
    pub(crate) async fn next(&mut self, ways: &[FaultProxy; 2]) {
        let faults = self.faults();
        let which = self.0.below(8);
        for (number, way) in ways.iter().enumerate() {
            if which == 7 || which % 2 == number as u64 {
                way.set(faults.clone());
            }
        }
        sleep(self.0.millis(20, 700)).await;
        heal(ways);
        sleep(self.0.millis(20, 700)).await;
    }

    /// Nothing that changes what is said: an entry that comes twice, or after the end of its search, is another answer, and
    /// without TLS nobody could tell.
    fn faults(&mut self) -> Faults {
        let cut = |end, dice: &mut Dice| Way {
            end: Some((0..=1_000 + dice.below(200_000), end)),
            ..Way::default()
        };
        let dice = &mut self.0;
        match dice.below(8) {
            0 => Faults::end(End::Reset),
            1 => Faults::end(End::Close),
            2 => Faults::end(End::Silence),
            3 => Faults { to_client: cut(End::Reset, dice), ..Faults::default() },
            4 => Faults { to_client: cut(End::Silence, dice), ..Faults::default() },
            5 => Faults { to_server: cut(End::Close, dice), ..Faults::default() },
            6 => Faults::latency(Duration::from_millis(1)..=dice.millis(5, 60)),
            _ => {
                let drip = Way { drip: Some((200, Duration::from_micros(500))), ..Way::default() };
                Faults { to_client: drip, ..Faults::default() }
            }
        }
    }
}

/// Nothing happens any more.
pub(crate) fn heal(ways: &[FaultProxy; 2]) {
    for way in ways {
        way.set(Faults::default());
    }
}
