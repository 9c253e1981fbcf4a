//! Reading what was chosen. No recursion: a filter may be a thousand levels deep.

use roaring::RoaringBitmap;

use super::{PartUse, Planner, READ, Step};
use crate::{
    index::{Budget, Deferred, Part, Untold},
    meter::Meter,
    tables::{Failure, Rows, Tables},
};

/// Entries that can match.
#[derive(Debug)]
pub(super) enum Value {
    Everything,
    Ids(RoaringBitmap),
    /// All but these.
    But(RoaringBitmap),
}

/// A list that was entered.
struct Frame {
    intersects: bool,
    children: std::vec::IntoIter<usize>,
    so_far: Option<Value>,
    /// The nearest intersection around it that has candidates already.
    within: Option<usize>,
}

impl<T: Rows> Planner<'_, T> {
    /// Reads the sets the plan takes and puts them together.
    pub(super) fn evaluate(&mut self) -> Result<Value, Failure> {
        let mut steps: Vec<Option<Step>> = std::mem::take(&mut self.steps).into_iter().map(Some).collect();
        let none = Deferred::default();
        let deferred = self.deferred.as_ref().unwrap_or(&none);
        let mut budget = Budget(READ);
        let mut frames: Vec<Frame> = Vec::new();
        let mut next = Some(0);
        loop {
            let mut value = None;
            if let Some(number) = next.take() {
                let within = frames.last().and_then(|frame| {
                    let own = matches!((frame.intersects, &frame.so_far), (true, Some(Value::Ids(_))));
                    if own { frames.len().checked_sub(1) } else { frame.within }
                });
                let step = steps.get_mut(number).and_then(Option::take).unwrap_or(Step::Everything);
                match step {
                    Step::Intersection(children) | Step::Union(children) if children.is_empty() => {
                        value = Some(Value::Ids(RoaringBitmap::new()));
                    }
                    Step::Intersection(children) => frames.push(Frame::new(true, children, within)),
                    Step::Union(children) => frames.push(Frame::new(false, children, within)),
                    Step::Everything => value = Some(Value::Everything),
                    Step::Nothing => value = Some(Value::Ids(RoaringBitmap::new())),
                    Step::Set { ids, but } => value = Some(Value::of(ids, but)),
                    Step::Read { members, but } => {
                        let within = within.and_then(|frame| frames.get(frame)).and_then(Frame::ids);
                        let read = read(self.tables, &members, within, deferred, &mut budget, self.meter)?;
                        if let (None, Some(note)) = (&read, self.notes.get_mut(number)) {
                            note.told = Err(Some(Untold::TooMany));
                            note.part = PartUse::NotRead;
                        }
                        value = Some(read.map_or(Value::Everything, |ids| Value::of(ids, but)));
                    }
                }
            }
            // A value goes to the list it is of, and where that is complete, on to the next.
            loop {
                let Some(frame) = frames.last_mut() else { return Ok(value.unwrap_or(Value::Everything)) };
                if let Some(value) = value.take() {
                    frame.take(value);
                }
                if !frame.is_decided()
                    && let Some(child) = frame.children.next()
                {
                    next = Some(child);
                    break;
                }
                value = frames.pop().and_then(|frame| frame.so_far);
            }
        }
    }
}

/// The entries under the keys of a leaf; `None` where there are too many rows.
fn read<T: Rows>(
    tables: &Tables<T>,
    members: &[Vec<Part>],
    within: Option<&RoaringBitmap>,
    deferred: &Deferred,
    budget: &mut Budget,
    meter: &Meter,
) -> Result<Option<RoaringBitmap>, Failure> {
    let mut all = RoaringBitmap::new();
    for parts in members {
        let mut ids: Option<RoaringBitmap> = None;
        for part in parts {
            let mut read = RoaringBitmap::new();
            for span in part {
                let within = ids.as_ref().or(within);
                if !tables.read_span(span, within, deferred, budget, meter, &mut read)? {
                    return Ok(None);
                }
            }
            ids = Some(match ids {
                Some(ids) => ids & read,
                None => read,
            });
        }
        all |= ids.unwrap_or_default();
    }
    Ok(Some(all))
}

impl Frame {
    fn new(intersects: bool, children: Vec<usize>, within: Option<usize>) -> Self {
        Self { intersects, children: children.into_iter(), so_far: None, within }
    }

    fn ids(&self) -> Option<&RoaringBitmap> {
        match &self.so_far {
            Some(Value::Ids(ids)) => Some(ids),
            _ => None,
        }
    }

    fn take(&mut self, value: Value) {
        self.so_far = Some(match self.so_far.take() {
            None => value,
            Some(so_far) if self.intersects => so_far.and(value),
            Some(so_far) => so_far.or(value),
        });
    }

    /// Whether no further part changes it.
    fn is_decided(&self) -> bool {
        match &self.so_far {
            Some(Value::Ids(ids)) => self.intersects && ids.is_empty(),
            Some(Value::Everything) => !self.intersects,
            _ => false,
        }
    }
}

impl Value {
    fn of(ids: RoaringBitmap, but: bool) -> Self {
        if but { Self::But(ids) } else { Self::Ids(ids) }
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Everything, value) | (value, Self::Everything) => value,
            (Self::Ids(one), Self::Ids(other)) => Self::Ids(one & other),
            (Self::Ids(ids), Self::But(but)) | (Self::But(but), Self::Ids(ids)) => Self::Ids(ids - but),
            (Self::But(one), Self::But(other)) => Self::But(one | other),
        }
    }

    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Everything, _) | (_, Self::Everything) => Self::Everything,
            (Self::Ids(one), Self::Ids(other)) => Self::Ids(one | other),
            (Self::Ids(ids), Self::But(but)) | (Self::But(but), Self::Ids(ids)) => Self::But(but - ids),
            (Self::But(one), Self::But(other)) => Self::But(one & other),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = (u8, Vec<u32>)> {
        (0..3_u8, prop::collection::vec(0..12_u32, 0..8))
    }

    fn make((kind, ids): (u8, Vec<u32>)) -> Value {
        match kind {
            0 => Value::Everything,
            1 => Value::Ids(ids.into_iter().collect()),
            _ => Value::But(ids.into_iter().collect()),
        }
    }

    fn has(value: &Value, id: u32) -> bool {
        match value {
            Value::Everything => true,
            Value::Ids(ids) => ids.contains(id),
            Value::But(ids) => !ids.contains(id),
        }
    }

    proptest! {
        #[test]
        fn values_are_sets(one in value(), other in value()) {
            let both = make(one.clone()).and(make(other.clone()));
            let either = make(one.clone()).or(make(other.clone()));
            for id in 0..12 {
                let (first, second) = (has(&make(one.clone()), id), has(&make(other.clone()), id));
                prop_assert_eq!(has(&both, id), first && second);
                prop_assert_eq!(has(&either, id), first || second);
            }
        }
    }
}
