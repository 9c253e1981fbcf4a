//! Making anew what can be derived: the state, the tree, the counts of children. The indexes and normal forms follow
//! when the store is opened, since the row that says they are made is taken away.
//!
//! Entries, places, passwords and the change log are never touched: nothing says what they should be.

use crate::{
    clock::Clock,
    read::read_id,
    row::{Id, Node, ROOT, take_octets, tree_key},
    tables::{Failure, Name, Rows, Tables, Writable},
    writer::State,
};

/// Rows that are changed between two looks at a table.
const AT_ONCE: usize = 1_000;

/// Derives what can be, in the open transaction.
pub(crate) fn rebuild(tables: &mut Writable<'_>, index_row: &[u8]) -> Result<(), Failure> {
    let found = state(tables)?;
    match State::read(tables) {
        Ok(mut state) => {
            state.next_id = state.next_id.max(found.next_id);
            state.next_change = state.next_change.max(found.next_change);
            if found.csn > state.csn {
                state.clock = Clock::after(&found.csn);
                state.csn = found.csn;
            }
            state.write(tables)?;
        }
        Err(_) => found.write(tables)?,
    }
    clear(tables)?;
    grow(tables)?;
    count(tables)?;
    tables.put(Name::Meta, index_row, None)
}

/// The state as the other tables have it.
pub(super) fn state<T: Rows>(tables: &Tables<T>) -> Result<State, Failure> {
    let mut last_id = 0;
    for table in [&tables.node, &tables.entry, &tables.secret] {
        if let Some(row) = table.last()?
            && let Ok(id) = read_id(row.0.value())
        {
            last_id = last_id.max(id);
        }
    }
    let number = |key: &[u8]| key.first_chunk().map(|number| u64::from_be_bytes(*number));
    let first_change = tables.change.first()?.and_then(|row| number(row.0.value())).unwrap_or(1);
    let mut state = State {
        clock: Clock::default(),
        next_id: last_id.saturating_add(1),
        next_change: first_change,
        first_change,
        csn: String::new(),
    };
    if let Some((key, row)) = tables.change.last()? {
        state.next_change = number(key.value()).unwrap_or(first_change).saturating_add(1);
        let mut row = row.value().get(1..).unwrap_or_default();
        if let Some(csn) = take_octets(&mut row).and_then(|csn| std::str::from_utf8(csn).ok()) {
            csn.clone_into(&mut state.csn);
            state.clock = Clock::after(csn);
        }
    }
    Ok(state)
}

/// Takes every row of `tree` away.
fn clear(tables: &mut Writable<'_>) -> Result<(), Failure> {
    loop {
        let keys: Vec<Vec<u8>> = tables
            .tree
            .range::<&[u8]>(..)?
            .take(AT_ONCE)
            .map(|row| Ok(row?.0.value().to_vec()))
            .collect::<Result<_, Failure>>()?;
        if keys.is_empty() {
            return Ok(());
        }
        for key in keys {
            tables.put(Name::Tree, &key, None)?;
        }
    }
}

/// Gives every entry whose place can be read its row of `tree`. Of several with one name the first keeps it.
fn grow(tables: &mut Writable<'_>) -> Result<(), Failure> {
    let mut from = ROOT;
    loop {
        let ids = readable(tables, from)?;
        let Some((last, _)) = ids.last() else { return Ok(()) };
        let next = last.checked_add(1);
        for (id, node) in ids {
            if id != ROOT && tables.tree.get(tree_key(node.parent, &node.key).as_slice())?.is_none() {
                tables.put(Name::Tree, &tree_key(node.parent, &node.key), Some(&id.to_be_bytes()))?;
            }
        }
        let Some(next) = next else { return Ok(()) };
        from = next;
    }
}

/// Counts the children of every entry.
fn count(tables: &mut Writable<'_>) -> Result<(), Failure> {
    let mut from = ROOT;
    loop {
        let ids = readable(tables, from)?;
        let Some((last, _)) = ids.last() else { return Ok(()) };
        let next = last.checked_add(1);
        for (id, mut node) in ids {
            let start = id.to_be_bytes();
            let mut children = 0_u32;
            for row in tables.tree.range::<&[u8]>(start.as_slice()..)? {
                if !row?.0.value().starts_with(&start) {
                    break;
                }
                children = children.saturating_add(1);
            }
            if node.children != children {
                node.children = children;
                tables.put(Name::Node, &start, Some(&node.encode()))?;
            }
        }
        let Some(next) = next else { return Ok(()) };
        from = next;
    }
}

/// Some places that can be read, from an id on. There are more as long as any is returned.
fn readable(tables: &Writable<'_>, from: Id) -> Result<Vec<(Id, Node)>, Failure> {
    let from = from.to_be_bytes();
    let mut nodes = Vec::new();
    for row in tables.node.range::<&[u8]>(from.as_slice()..)? {
        let (key, row) = row?;
        if let (Ok(id), Ok(node)) = (read_id(key.value()), Node::decode(row.value())) {
            nodes.push((id, node));
            if nodes.len() >= AT_ONCE {
                break;
            }
        }
    }
    Ok(nodes)
}
