//! One direction of one connection.

use std::{future::pending, sync::atomic::Ordering, time::Duration};

use bytes::{Bytes, BytesMut};
use flext_ldap_directory::proto::ber::frame_length;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::tcp::{ReadHalf, WriteHalf},
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{End, Faults, Shared, Way};

/// How late a message passes that no other follows.
const LATE: Duration = Duration::from_millis(50);
/// Messages longer than this pass as they are.
const MESSAGE: usize = 32 << 20;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Direction {
    ToServer,
    ToClient,
}

pub(super) struct Pump<'a> {
    direction: Direction,
    number: u64,
    faults: watch::Receiver<Faults>,
    shared: &'a Shared,
    random: Random,
    /// Octets passed so far.
    passed: u64,
    /// Where in the range of [`Way::end`] this connection ends: a share of it.
    lot: u64,
    /// A message that passes after the next, or at this time.
    held: Option<(Bytes, Instant)>,
}

impl<'a> Pump<'a> {
    pub(super) fn new(
        direction: Direction,
        number: u64,
        faults: watch::Receiver<Faults>,
        shared: &'a Shared,
    ) -> Self {
        let mut random =
            Random(shared.seed ^ number.wrapping_mul(2) ^ u64::from(direction == Direction::ToServer));
        // Neighbouring seeds are far apart after the first draw.
        let lot = random.draw();
        Self { direction, number, faults, shared, random, passed: 0, lot, held: None }
    }

    /// Passes until the sender ends it, or a fault does.
    pub(super) async fn run(mut self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) -> Result<(), End> {
        let mut octets = BytesMut::new();
        let first = self.way().inject;
        self.pass(&mut to, &first).await?;
        loop {
            let way = self.way();
            if let Some(end) = self.end_of(&way).filter(|(at, _)| self.passed >= *at).map(|(_, end)| end) {
                self.ended(end).await?;
                continue;
            }
            let late = self.held.as_ref().map(|(_, at)| *at);
            tokio::select! {
                // A change of the faults holds before what comes next.
                biased;
                Ok(()) = self.faults.changed() => {}
                () = async { match late { Some(at) => sleep_until(at).await, None => pending().await } } => {
                    self.release(&mut to).await?;
                }
                read = from.read_buf(&mut octets) => match read {
                    Ok(1..) => {
                        if self.direction == Direction::ToServer {
                            self.shared.keep(self.number, &octets);
                        }
                        self.take(&mut octets, &mut to).await?;
                    }
                    Ok(0) => {
                        let rest = octets.split().freeze();
                        self.pass(&mut to, &rest).await?;
                        self.release(&mut to).await?;
                        return to.shutdown().await.map_err(|_| End::Reset);
                    }
                    Err(_) => return Err(End::Reset),
                },
            }
        }
    }

    fn way(&mut self) -> Way {
        let faults = self.faults.borrow_and_update();
        match self.direction {
            Direction::ToServer => faults.to_server.clone(),
            Direction::ToClient => faults.to_client.clone(),
        }
    }

    fn end_of(&self, way: &Way) -> Option<(u64, End)> {
        let (range, end) = way.end.as_ref()?;
        let span = range.end().saturating_sub(*range.start()).saturating_add(1);
        Some((range.start().saturating_add(self.lot % span), *end))
    }

    /// Ends the connection, or waits until the faults change where it falls silent.
    async fn ended(&mut self, end: End) -> Result<(), End> {
        self.shared.ended.fetch_add(1, Ordering::Relaxed);
        if end != End::Silence {
            return Err(end);
        }
        match self.faults.changed().await {
            Ok(()) => Ok(()),
            Err(_) => Err(End::Reset),
        }
    }

    /// Passes what was read: as it comes, or message by message where messages are spoiled.
    async fn take(&mut self, octets: &mut BytesMut, to: &mut WriteHalf<'_>) -> Result<(), End> {
        let way = self.way();
        if way.flipped + way.doubled + way.swapped == 0.0 && self.held.is_none() {
            let all = octets.split().freeze();
            return self.pass(to, &all).await;
        }
        loop {
            match frame_length(octets, MESSAGE) {
                Ok(Some(length)) if length <= octets.len() => {
                    let message = octets.split_to(length).freeze();
                    self.spoil(message, &way, to).await?;
                }
                Ok(_) => return Ok(()),
                // No LDAP, TLS for one: passed as it is.
                Err(_) => {
                    let all = octets.split().freeze();
                    return self.pass(to, &all).await;
                }
            }
        }
    }

    async fn spoil(&mut self, message: Bytes, way: &Way, to: &mut WriteHalf<'_>) -> Result<(), End> {
        let flipped = self.random.hits(way.flipped);
        let doubled = self.random.hits(way.doubled);
        let swapped = self.random.hits(way.swapped);
        self.shared.spoiled.fetch_add(u64::from(flipped || doubled || swapped), Ordering::Relaxed);
        let message = if flipped { self.flip(&message) } else { message };
        if swapped && self.held.is_none() {
            self.held = Some((message, Instant::now() + LATE));
            return Ok(());
        }
        self.pass(to, &message).await?;
        if doubled {
            self.pass(to, &message).await?;
        }
        self.release(to).await
    }

    fn flip(&mut self, message: &[u8]) -> Bytes {
        let mut message = message.to_vec();
        let bits = message.len() as u64 * 8;
        let bit = self.random.draw() % bits.max(1);
        if let Some(octet) = usize::try_from(bit / 8).ok().and_then(|at| message.get_mut(at)) {
            *octet ^= 1 << (bit % 8);
        }
        message.into()
    }

    async fn release(&mut self, to: &mut WriteHalf<'_>) -> Result<(), End> {
        match self.held.take() {
            Some((message, _)) => self.pass(to, &message).await,
            None => Ok(()),
        }
    }

    /// Writes octets as late, as slowly and as far as the faults say.
    async fn pass(&mut self, to: &mut WriteHalf<'_>, octets: &[u8]) -> Result<(), End> {
        let mut rest = octets;
        let way = self.way();
        let latency = self.random.within(&way.latency);
        if !latency.is_zero() && !rest.is_empty() {
            sleep(latency).await;
        }
        while !rest.is_empty() {
            let way = self.way();
            let mut length = way.drip.map_or(rest.len(), |(piece, _)| piece.clamp(1, rest.len()));
            if let Some((at, end)) = self.end_of(&way) {
                let left = usize::try_from(at.saturating_sub(self.passed)).unwrap_or(usize::MAX);
                if left == 0 {
                    self.ended(end).await?;
                    continue;
                }
                length = length.min(left);
            }
            let (piece, after) = rest.split_at(length);
            to.write_all(piece).await.map_err(|_| End::Reset)?;
            self.passed += length as u64;
            rest = after;
            if let Some((_, pause)) = way.drip.filter(|_| !rest.is_empty()) {
                sleep(pause).await;
            }
        }
        Ok(())
    }
}

/// SplitMix64: enough chance for tests, and the same every time.
struct Random(u64);

impl Random {
    const fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn hits(&mut self, share: f64) -> bool {
        // 53 bits are what a double holds exactly.
        share > 0.0 && ((self.draw() >> 11) as f64) < share * (1_u64 << 53) as f64
    }

    fn within(&mut self, range: &std::ops::RangeInclusive<Duration>) -> Duration {
        let span = range.end().saturating_sub(*range.start());
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        *range.start() + Duration::from_micros(self.draw() % micros.saturating_add(1))
    }
}
