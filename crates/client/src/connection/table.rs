//! Message ids, and what is in flight under each (RFC 4511 §4.1.1.1).
//!
//! An id is a slot and the generation of that slot, compared whole. A slot's next user gets the next generation, so no
//! id is ever given out twice and a late answer finds nobody.

use flext_ldap_directory::proto::message::MessageId;

/// Bits of an id that number the slot.
const SLOT_BITS: u32 = super::Bounds::MOST_IN_FLIGHT.trailing_zeros();
const SLOTS: usize = super::Bounds::MOST_IN_FLIGHT;
const LAST_GENERATION: u32 = MessageId::MAX.0 >> SLOT_BITS;

/// What is in flight.
#[derive(Debug)]
pub(super) struct Table<T> {
    slots: Vec<Slot<T>>,
    free: Vec<usize>,
    in_flight: usize,
    last_generation: u32,
}

#[derive(Debug)]
struct Slot<T> {
    /// Of the present user, or of the next one.
    generation: u32,
    user: Option<T>,
}

/// Whom an answer is for.
#[derive(Debug)]
pub(super) enum Found<'a, T> {
    /// An operation in flight.
    InFlight(&'a mut T),
    /// One that was in flight once.
    Over,
    /// None that ever was.
    Never,
}

impl<T> Table<T> {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), in_flight: 0, last_generation: LAST_GENERATION }
    }

    /// Takes `user` in under an id of its own; gives it back once all ids have been used.
    pub(super) fn insert(&mut self, user: T) -> Result<MessageId, T> {
        let Some(index) = self.free_slot() else { return Err(user) };
        let Some(slot) = self.slots.get_mut(index) else { return Err(user) };
        slot.user = Some(user);
        self.in_flight += 1;
        Ok(join(index, slot.generation))
    }

    /// An id for a message that is never answered; `None` once all have been used.
    pub(super) fn spend(&mut self) -> Option<MessageId> {
        let index = self.free_slot()?;
        let slot = self.slots.get_mut(index)?;
        let id = join(index, slot.generation);
        slot.generation += 1;
        if slot.generation <= self.last_generation {
            self.free.push(index);
        }
        Some(id)
    }

    fn free_slot(&mut self) -> Option<usize> {
        if let Some(index) = self.free.pop() {
            return Some(index);
        }
        if self.slots.len() == SLOTS {
            return None;
        }
        // Generation 0 is left out, for id 0 is the server's (RFC 4511 §4.4).
        self.slots.push(Slot { generation: 1, user: None });
        Some(self.slots.len() - 1)
    }

    pub(super) fn get_mut(&mut self, id: MessageId) -> Option<&mut T> {
        let (index, generation) = split(id);
        self.slots.get_mut(index).filter(|slot| slot.generation == generation)?.user.as_mut()
    }

    /// Ends what is in flight under `id`. The id is not given out again.
    pub(super) fn remove(&mut self, id: MessageId) -> Option<T> {
        let (index, generation) = split(id);
        let slot = self.slots.get_mut(index).filter(|slot| slot.generation == generation)?;
        let user = slot.user.take()?;
        self.in_flight -= 1;
        slot.generation += 1;
        if generation < self.last_generation {
            self.free.push(index);
        }
        Some(user)
    }

    /// Whom an answer with `id` is for.
    pub(super) fn find(&mut self, id: MessageId) -> Found<'_, T> {
        let (index, generation) = split(id);
        match self.slots.get_mut(index) {
            Some(slot) if generation != 0 && generation < slot.generation => Found::Over,
            Some(Slot { generation: present, user: Some(user) }) if *present == generation => {
                Found::InFlight(user)
            }
            _ => Found::Never,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.in_flight
    }

    /// Ends everything.
    pub(super) fn drain(&mut self) -> Vec<(MessageId, T)> {
        self.in_flight = 0;
        let slots = self.slots.iter_mut().enumerate();
        slots
            .filter_map(|(index, slot)| {
                let user = slot.user.take()?;
                let id = join(index, slot.generation);
                slot.generation += 1;
                Some((id, user))
            })
            .collect()
    }
}

fn join(index: usize, generation: u32) -> MessageId {
    // An index is below SLOTS, so it fits the bits it has.
    MessageId(generation << SLOT_BITS | u32::try_from(index).unwrap_or_default())
}

const fn split(id: MessageId) -> (usize, u32) {
    (id.0 as usize & (SLOTS - 1), id.0 >> SLOT_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_never_given_out_twice() {
        let mut table = Table { last_generation: 3, ..Table::new() };
        let mut seen = std::collections::HashSet::new();
        while let Ok(id) = table.insert(()) {
            assert!(id != MessageId::UNSOLICITED && id <= MessageId::MAX);
            assert!(seen.insert(id), "{id:?} twice");
            assert!(table.remove(id).is_some());
        }
        assert_eq!(seen.len(), 3 * SLOTS);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn the_largest_id_is_the_largest_there_is() {
        let largest = LAST_GENERATION << SLOT_BITS | (SLOTS as u32 - 1);
        assert_eq!(MessageId(largest), MessageId::MAX);
    }

    #[test]
    fn an_answer_finds_its_operation_or_nobody() {
        let mut table = Table::new();
        let one = table.insert("one").unwrap();
        let two = table.insert("two").unwrap();
        assert!(matches!(table.find(one), Found::InFlight(&mut "one")));
        assert_eq!(table.remove(one), Some("one"));
        assert_eq!(table.remove(one), None);
        let three = table.insert("three").unwrap();
        assert_ne!(one, three);
        assert!(matches!(table.find(one), Found::Over));
        assert!(matches!(table.find(three), Found::InFlight(&mut "three")));
        assert!(matches!(table.find(MessageId(0)), Found::Never));
        assert!(matches!(table.find(MessageId(two.0 + (1 << SLOT_BITS))), Found::Never));
        assert!(matches!(table.find(MessageId::MAX), Found::Never));
        assert_eq!(table.drain(), [(three, "three"), (two, "two")]);
        assert_eq!(table.len(), 0);
    }
}
