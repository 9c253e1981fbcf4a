//! `check`: proves that what the tables say of each other is true, and names every fault.
//!
//! | what | is proved by |
//! |---|---|
//! | places | every entry stands below one that is there, under the normal form of its name, and no circle |
//! | tree | every row leads to the entry of that name, every entry has its row, and children are counted right |
//! | entries | every row can be read and is what the schema allows, the values of its name among its attributes |
//! | values | every value of a large attribute has its row and its key, the entry counts them right, none is a stray |
//! | constraints | no two entries share a unique value; references lead somewhere, where they must |
//! | identity | no two entries share an entryUUID, as far as it has an index for equality |
//! | secrets | every row can be read and belongs to an entry |
//! | index | every entry is under exactly its keys |
//! | change log | every row can be read, none is missing, change sequence numbers ascend |
//! | state | ids and change numbers to be given out are free |
//!
//! Memory does not grow with the store: rows are read in the order of their keys, and what index rows say is added up
//! per entry, in windows of a million entries. All of it is read from one commit. Pages that are freed meanwhile are
//! kept for it, so the file grows by what is written while a check runs and uses that space again afterwards.
//!
//! Checksums of pages are not looked at here: [`StoreOptions::verify_pages`](crate::StoreOptions::verify_pages) is for
//! that. What can be derived is made anew by [`StoreOptions::rebuild`](crate::StoreOptions::rebuild).

mod index;
mod log;
mod places;
mod rebuild;
mod values;

use std::{collections::HashMap, fmt};

use flext_ldap_directory::{Error, ErrorKind};

pub(crate) use self::rebuild::rebuild;
use crate::{
    Store,
    context::Context,
    read::Named,
    row::{Id, Node, ROOT},
    tables::{Failure, Rows, Tables},
    writer::State,
};

/// Something in a store that is not as it must be.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Fault {
    /// The table it is in: `meta`, `node`, `tree`, `entry`, `value`, `secret`, `index`,
    /// `change`.
    pub table: &'static str,
    /// The id of the entry, if it is about one.
    pub id: Option<u32>,
    /// The name of that entry, as far as it can be told.
    pub dn: Option<String>,
    /// What is wrong.
    pub what: String,
    /// What mends it.
    pub remedy: Remedy,
}

/// What mends a fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Remedy {
    /// What is wrong can be derived from what is right, and is by
    /// [`StoreOptions::rebuild`](crate::StoreOptions::rebuild).
    Rebuild,
    /// The entry is to be changed by whoever keeps the directory.
    Modify,
    /// Something is lost that only a backup or an export has.
    Restore,
}

impl Remedy {
    /// As people read it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Rebuild => "`check --mend` derives it anew",
            Self::Modify => "change the entry",
            Self::Restore => "restore it from a backup or an export",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.table)?;
        if let Some(id) = self.id {
            write!(f, ": entry {id}")?;
        }
        if let Some(dn) = &self.dn {
            write!(f, " `{dn}`")?;
        }
        write!(f, ": {}; {}", self.what, self.remedy.advice())
    }
}

/// What a check tells while it goes on.
#[derive(Debug)]
#[non_exhaustive]
pub enum CheckEvent<'a> {
    /// A fault was found.
    Fault(&'a Fault),
    /// So many entries have been looked at.
    Entries(u64),
}

/// What a check has looked at, and how many faults it found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct CheckReport {
    /// Entries.
    pub entries: u64,
    /// Rows of indexes.
    pub index_rows: u64,
    /// Rows of the change log.
    pub changes: u64,
    /// The change sequence number of the commit that was looked at; empty in a store that was never written.
    pub csn: String,
    /// Faults.
    pub faults: u64,
    /// Of these, such as [`StoreOptions::rebuild`](crate::StoreOptions::rebuild) mends.
    pub rebuildable: u64,
}

impl Store {
    /// Proves that the tables agree, and tells every fault as it is found. The store may be in use.
    ///
    /// Blocks the thread for as long as reading every row takes. Pages that are freed meanwhile are not used again
    /// before it returns.
    ///
    /// # Errors
    ///
    /// When rows cannot be read at all. Faults are no error: they are told to `tell` and counted.
    pub fn check(&self, tell: &mut dyn FnMut(CheckEvent<'_>)) -> Result<CheckReport, Error> {
        self.check_while(&mut || true, tell)
    }

    /// As [`check`](Self::check), for as long as `goes_on` says so. It is asked every thousand rows.
    ///
    /// # Errors
    ///
    /// As `check`; [`Closed`](ErrorKind::Closed) when `goes_on` ended it.
    pub fn check_while(
        &self,
        goes_on: &mut dyn FnMut() -> bool,
        tell: &mut dyn FnMut(CheckEvent<'_>),
    ) -> Result<CheckReport, Error> {
        // In this order: which indexes are wanted changes after the snapshot that says how far they are.
        let context = self.context();
        let tables = self.snapshot().map_err(Failure::into_error)?;
        self.reading("the check", || check(&*tables, &context, goes_on, tell)).map_err(Failure::into_error)
    }
}

fn check<T: Rows>(
    tables: &Tables<T>,
    context: &Context,
    goes_on: &mut dyn FnMut() -> bool,
    tell: &mut dyn FnMut(CheckEvent<'_>),
) -> Result<CheckReport, Failure> {
    let (report, climbed) = (CheckReport::default(), HashMap::new());
    let mut check = Check { tables, context, goes_on, passed: 0, tell, report, climbed };
    let state = check.state()?;
    check.report.csn = state.csn.clone();
    check.windows(&state)?;
    check.strays()?;
    check.tree()?;
    check.changes(&state)?;
    Ok(check.report)
}

/// A check under way.
struct Check<'a, T> {
    tables: &'a Tables<T>,
    context: &'a Context,
    goes_on: &'a mut dyn FnMut() -> bool,
    /// Rows looked at.
    passed: u64,
    tell: &'a mut dyn FnMut(CheckEvent<'_>),
    report: CheckReport,
    /// Names of entries that have others below them, as far as they are known; never more than [`CLIMBED`].
    climbed: HashMap<Id, Named>,
}

/// Rows after which it is asked whether to go on.
const ASKED: u64 = 1_000;

/// Names that are remembered.
const CLIMBED: usize = 10_000;

/// Levels a name can have.
const LEVELS: usize = 1_000;

/// Why an entry has no name.
enum Nameless {
    /// This one on the way up is not there, or cannot be read.
    Lost(Id),
    /// The way up never ends.
    Circle,
}

impl<T: Rows> Check<'_, T> {
    /// To be called for each row. Fails once nobody waits for the rest.
    fn pass(&mut self) -> Result<(), Failure> {
        self.passed += 1;
        if self.passed.is_multiple_of(ASKED) && !(self.goes_on)() {
            let error = Error::new(ErrorKind::Closed, "the check was given up before it was done");
            return Err(Failure::Failed(error));
        }
        Ok(())
    }

    fn fault(&mut self, fault: &Fault) {
        self.report.faults += 1;
        if fault.remedy == Remedy::Rebuild {
            self.report.rebuildable += 1;
        }
        (self.tell)(CheckEvent::Fault(fault));
    }

    /// Tells a fault that is about one entry.
    fn of_entry(
        &mut self,
        table: &'static str,
        id: Id,
        dn: Option<&str>,
        what: impl Into<String>,
        remedy: Remedy,
    ) {
        let fault = Fault { table, id: Some(id), dn: dn.map(str::to_owned), what: what.into(), remedy };
        self.fault(&fault);
    }

    /// Tells a fault that is about no entry.
    fn of_table(&mut self, table: &'static str, what: impl Into<String>, remedy: Remedy) {
        self.fault(&Fault { table, id: None, dn: None, what: what.into(), remedy });
    }

    /// The state of the store, or what it would be if its row is lost.
    fn state(&mut self) -> Result<State, Failure> {
        match State::read(self.tables) {
            Ok(state) => Ok(state),
            Err(_) => {
                self.of_table("meta", "the state of the store cannot be read", Remedy::Rebuild);
                rebuild::state(self.tables)
            }
        }
    }

    fn readable_node(&self, id: Id) -> Result<Option<Node>, Failure> {
        let row = self.tables.node.get(id.to_be_bytes().as_slice())?;
        Ok(row.and_then(|row| Node::decode(row.value()).ok()))
    }

    /// The name of what stands at `node`, or why it has none.
    fn name(&mut self, node: &Node) -> Result<Result<Named, Nameless>, Failure> {
        let mut path = Vec::new();
        let mut id = node.parent;
        let mut named = loop {
            if id == ROOT {
                break Named::default();
            }
            if let Some(named) = self.climbed.get(&id) {
                break named.clone();
            }
            if path.len() >= LEVELS {
                return Ok(Err(Nameless::Circle));
            }
            let Some(above) = self.readable_node(id)? else { return Ok(Err(Nameless::Lost(id))) };
            let next = above.parent;
            path.push((id, above));
            id = next;
        };
        if self.climbed.len() + path.len() > CLIMBED {
            self.climbed.clear();
        }
        while let Some((id, above)) = path.pop() {
            named = named.child(&above);
            self.climbed.insert(id, named.clone());
        }
        Ok(Ok(named.child(node)))
    }

    /// The name of an entry, to be shown.
    fn shown(&mut self, id: Id) -> Result<Option<String>, Failure> {
        let Some(node) = self.readable_node(id)? else { return Ok(None) };
        Ok(match self.name(&node)? {
            Ok(named) => Some(named.dn),
            Err(_) => Some(node.name),
        })
    }
}
