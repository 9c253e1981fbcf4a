//! The invented company Harbour Lane Instruments, as LDIF of any size.
//!
//! The same number of people and the same seed give the same bytes, everywhere and for ever: a test may count on a
//! person by name. Every person is computed from the seed and an index alone, so a million of them are written in
//! constant memory.
//!
//! What is in it, so that a test need not go looking: names outside ASCII (base64 lines), names with commas, plus
//! signs and quotes in DNs (RFC 4514 escapes), several values of one attribute, long folded lines, a few small
//! binary photographs, groups of groups of groups, accounts that are disabled, expired or were never used, and a
//! handful of passwords in clear text.
//!
//! Not here: anything that talks to a server or reads LDIF. This module needs nothing but `std`.

mod ldif;
mod words;

use std::io::{self, Write};

use ldif::{Entry, escape_dn_value};
use words::{DEPARTMENT_NAMES, DIVISION_NAMES, FIRST_NAMES, LAST_NAMES, PASSWORD_WORDS, SITES, TITLES};

/// Where the company lives in a directory.
pub const SUFFIX: &str = "dc=harbourlane,dc=example";

/// How many departments there are, whatever the number of people.
pub const DEPARTMENTS: usize = DEPARTMENT_NAMES.len();

/// People from this index on have no password.
const WITH_PASSWORD: u32 = 6;

/// Every so many people have a photograph.
const PHOTO_EVERY: u32 = 97;

/// Whole names before they repeat with a number behind the user name.
const NAMES: u64 = (FIRST_NAMES.len() * LAST_NAMES.len()) as u64;

/// The company with so many people, arranged by `seed`.
///
/// ```
/// # use flext_ldap_testkit::company::company;
/// let small = company(100, 7);
/// let mut ldif = Vec::new();
/// small.write_ldif(&mut ldif)?;
/// assert_eq!(small.people().count(), 100);
/// assert!(String::from_utf8_lossy(&ldif).starts_with("dn: dc=harbourlane,dc=example\n"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn company(people: u32, seed: u64) -> Company {
    Company { people, seed }
}

/// A company of a given size and seed: nothing is computed until it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Company {
    people: u32,
    seed: u64,
}

/// One person of the company.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Person {
    /// The user name: ASCII, unique within the company.
    pub uid: String,
    /// The full name; not always ASCII, not always unique.
    pub cn: String,
    /// The distinguished name of the person's entry.
    pub dn: String,
    /// The password in clear text, for the few who have one.
    pub password: Option<String>,
    /// Whether the account may be used, and whether it ever was.
    pub standing: Standing,
}

/// The state of a person's account, as the entry says it with `shadowAccount` attributes (RFC 2307).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// In use.
    Active,
    /// Switched off: `shadowExpire` is 1 and the login shell is `/usr/sbin/nologin`.
    Disabled,
    /// Ended on a day that has passed: `shadowExpire` counts its days since 1970.
    Expired,
    /// Made, and never signed in to: `shadowLastChange` is 0.
    NeverSeen,
}

/// How many of what the company's LDIF holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// All entries, containers and the suffix included.
    pub entries: u64,
    /// People, whatever their standing.
    pub people: u64,
    /// Entries of departments.
    pub departments: u64,
    /// Groups; a group that would be empty is not written, for `groupOfNames` needs a member.
    pub groups: u64,
    /// People whose account is [`Standing::Disabled`].
    pub disabled: u64,
    /// People whose account is [`Standing::Expired`].
    pub expired: u64,
    /// People whose account is [`Standing::NeverSeen`].
    pub never_seen: u64,
}

impl Company {
    /// Writes the whole company, parents before children, groups last.
    ///
    /// # Errors
    /// What `out` answers; part of the LDIF is written then.
    pub fn write_ldif<W: Write + ?Sized>(&self, out: &mut W) -> io::Result<()> {
        self.write_containers(out)?;
        for index in 0..self.people {
            self.write_person(out, index)?;
        }
        self.each_group(|name, description, members| write_group(out, name, description, members))
    }

    /// Every person, in the order of the LDIF.
    pub fn people(&self) -> impl Iterator<Item = Person> + use<> {
        let company = *self;
        (0..self.people).map(move |index| company.person(index))
    }

    /// Those who have a password, six at most, all of them active.
    #[must_use]
    pub fn with_passwords(&self) -> Vec<Person> {
        self.people().take(WITH_PASSWORD as usize).collect()
    }

    /// Counts what [`Company::write_ldif`] writes.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts =
            Counts { people: u64::from(self.people), departments: DEPARTMENTS as u64, ..Counts::default() };
        for index in 0..self.people {
            match self.standing(index) {
                Standing::Active => {}
                Standing::Disabled => counts.disabled += 1,
                Standing::Expired => counts.expired += 1,
                Standing::NeverSeen => counts.never_seen += 1,
            }
        }
        let counted: Result<(), std::convert::Infallible> = self.each_group(|_, _, _| {
            counts.groups += 1;
            Ok(())
        });
        match counted {
            Ok(()) => {}
        }
        counts.entries = 1 + CONTAINERS.len() as u64 + counts.departments + counts.people + counts.groups;
        counts
    }

    fn person(&self, index: u32) -> Person {
        let (first, last, round) = self.name(index);
        let mut uid = format!("{}.{}", first.1, last.1);
        if round > 0 {
            uid.push_str(&(round + 1).to_string());
        }
        Person {
            cn: format!("{} {}", first.0, last.0),
            dn: format!("uid={uid},ou=people,{SUFFIX}"),
            password: (index < WITH_PASSWORD).then(|| self.password(index)),
            standing: self.standing(index),
            uid,
        }
    }

    /// First name, last name, and how often this whole name has been given before. The walk through all whole names
    /// has a stride coprime to their number, so that none repeats within a round.
    fn name(&self, index: u32) -> ((&'static str, &'static str), (&'static str, &'static str), u64) {
        let (round, step) = (u64::from(index) / NAMES, u64::from(index) % NAMES);
        let stride = 30 * (61 + self.seed % 37) + 1;
        let place = (self.seed % NAMES + step * stride) % NAMES;
        let last_names = LAST_NAMES.len() as u64;
        (pick(&FIRST_NAMES, place / last_names), pick(&LAST_NAMES, place % last_names), round)
    }

    fn password(&self, index: u32) -> String {
        let mut random = self.random(index, b'p');
        format!(
            "{}-{}-{:02}",
            pick(&PASSWORD_WORDS, u64::from(index)),
            pick(&PASSWORD_WORDS, random.next()),
            random.next() % 100
        )
    }

    /// The first people lead a department each; the rest are spread evenly.
    fn department(&self, index: u32) -> usize {
        let departments = DEPARTMENTS as u64;
        let number = if self.leads(index) { u64::from(index) } else { self.random(index, b'd').next() };
        usize::try_from(number % departments).unwrap_or_default()
    }

    fn leads(&self, index: u32) -> bool {
        (index as usize) < DEPARTMENTS
    }

    fn standing(&self, index: u32) -> Standing {
        if self.leads(index) {
            return Standing::Active;
        }
        match self.random(index, b's').next() % 100 {
            0..=3 => Standing::Disabled,
            4..=6 => Standing::Expired,
            7..=11 => Standing::NeverSeen,
            _ => Standing::Active,
        }
    }

    fn random(&self, index: u32, purpose: u8) -> SplitMix64 {
        SplitMix64::new(self.seed ^ (u64::from(index) << 8) ^ u64::from(purpose))
    }

    fn write_containers<W: Write + ?Sized>(&self, out: &mut W) -> io::Result<()> {
        Entry::new(out, SUFFIX)?
            .each("objectClass", ["top", "dcObject", "organization"])?
            .put("dc", "harbourlane")?
            .put("o", "Harbour Lane Instruments")?
            .put("description", "An invented maker of tide gauges, echo sounders and ship's chronometers")?
            .end()?;
        for (name, description) in CONTAINERS {
            Entry::new(out, &format!("ou={name},{SUFFIX}"))?
                .each("objectClass", ["top", "organizationalUnit"])?
                .put("ou", name)?
                .put("description", description)?
                .end()?;
        }
        for (number, name) in DEPARTMENT_NAMES.iter().enumerate() {
            Entry::new(out, &format!("ou={},ou=departments,{SUFFIX}", escape_dn_value(name)))?
                .each("objectClass", ["top", "organizationalUnit"])?
                .put("ou", name)?
                .put("businessCategory", pick(&DIVISION_NAMES, division_of(number) as u64))?
                .put("telephoneNumber", &format!("+1 555 0100 {number:02}"))?
                .end()?;
        }
        Ok(())
    }

    fn write_person<W: Write + ?Sized>(&self, out: &mut W, index: u32) -> io::Result<()> {
        let person = self.person(index);
        let (first, last, _) = self.name(index);
        let department = self.department(index);
        let mut random = self.random(index, b'e');
        let site = pick(&SITES, random.next());
        let title = if self.leads(index) { "Head of department" } else { pick(&TITLES, random.next()) };

        let mut entry = Entry::new(out, &person.dn)?;
        entry
            .each(
                "objectClass",
                ["top", "person", "organizationalPerson", "inetOrgPerson", "posixAccount", "shadowAccount"],
            )?
            .put("uid", &person.uid)?
            .put("cn", &person.cn)?
            .put("sn", last.0)?
            .put("givenName", first.0)?
            .put("displayName", &format!("{}, {}", last.0, first.0))?
            .put("employeeNumber", &format!("{:07}", 1_000_000 + u64::from(index)))?
            .put("title", title)?
            .put("departmentNumber", &format!("{:02}", department + 1))?
            .put("ou", pick(&DEPARTMENT_NAMES, department as u64))?
            .put("l", site)?
            .put("mail", &format!("{}@harbourlane.example", person.uid))?;
        if random.one_in(3) {
            entry.put("mail", &format!("staff{index}@post.harbourlane.example"))?;
        }
        entry.put("telephoneNumber", &format!("+1 555 01{:02} {:04}", department, random.next() % 10_000))?;
        if random.one_in(4) {
            entry
                .put("telephoneNumber", &format!("+1 555 0199 {:04}", random.next() % 10_000))?
                .put("mobile", &format!("+1 555 0198 {:04}", random.next() % 10_000))?;
        }
        if random.one_in(10) {
            entry
                .put("postalAddress", &format!("{} Harbour Lane${site}$HL1 4QZ", 1 + random.next() % 90))?
                .put(
                "description",
                &format!(
                    "Keeps the calibration records of the {} and answers for the spare parts of {site}",
                    pick(&DEPARTMENT_NAMES, department as u64)
                ),
            )?;
        }
        if index > 0 {
            let head = if self.leads(index) { 0 } else { department as u32 };
            entry.put("manager", &self.person(head).dn)?;
        }
        if index % PHOTO_EVERY == 3 {
            entry.put_bytes("jpegPhoto", &photo(&mut random))?;
        }
        self.put_account(&mut entry, index, &person, department)?;
        entry.end()
    }

    /// The attributes of RFC 2307: numbers, home, and the standing of the account.
    fn put_account<W: Write + ?Sized>(
        &self,
        entry: &mut Entry<'_, W>,
        index: u32,
        person: &Person,
        department: usize,
    ) -> io::Result<()> {
        let mut random = self.random(index, b'a');
        let kind = match person.standing {
            Standing::Expired => "contractor",
            _ if random.one_in(12) => "apprentice",
            _ => "employee",
        };
        // Days since 1970: some day of the years 2015 to 2019, and of 2020 to 2024.
        let (changed, ended) = (16_436 + random.next() % 1_800, 18_262 + random.next() % 1_800);
        let shell = if person.standing == Standing::Disabled { "/usr/sbin/nologin" } else { "/bin/sh" };
        entry
            .put("employeeType", kind)?
            .put("uidNumber", &(100_000 + u64::from(index)).to_string())?
            .put("gidNumber", &(20_000 + department).to_string())?
            .put("homeDirectory", &format!("/home/{}", person.uid))?
            .put("loginShell", shell)?;
        match person.standing {
            Standing::Active => entry.put("shadowLastChange", &changed.to_string())?,
            Standing::Disabled => {
                entry.put("shadowLastChange", &changed.to_string())?.put("shadowExpire", "1")?
            }
            Standing::Expired => entry
                .put("shadowLastChange", &changed.to_string())?
                .put("shadowExpire", &ended.to_string())?,
            Standing::NeverSeen => entry.put("shadowLastChange", "0")?,
        };
        if let Some(password) = &person.password {
            entry.put("userPassword", password)?;
        }
        Ok(())
    }

    /// Calls `visit` with the name, the description and the members of every group that has members.
    fn each_group<E>(
        &self,
        mut visit: impl FnMut(&str, &str, &mut dyn Iterator<Item = String>) -> Result<(), E>,
    ) -> Result<(), E> {
        // With fewer people than departments the last departments are empty; the first people lead, in order.
        let staffed = DEPARTMENTS.min(self.people as usize);
        for (number, name) in DEPARTMENT_NAMES.iter().enumerate().take(staffed) {
            let members = (0..self.people).filter(|&index| self.department(index) == number);
            visit(name, "Everyone in the department", &mut members.map(|index| self.person(index).dn))?;
        }
        let mut divisions = Vec::new();
        for (division, name) in DIVISION_NAMES.iter().enumerate() {
            let mut departments = DEPARTMENT_NAMES
                .iter()
                .enumerate()
                .take(staffed)
                .filter(|&(number, _)| division_of(number) == division)
                .map(|(_, name)| group_dn(name))
                .peekable();
            if departments.peek().is_some() {
                visit(name, "The departments of the division", &mut departments)?;
                divisions.push(group_dn(name));
            }
        }
        if self.people == 0 {
            return Ok(());
        }
        visit("everyone", "Groups of groups of people", &mut divisions.into_iter())?;
        visit(
            "directory-admins",
            "May change the directory",
            &mut self.people().take(3).map(|person| person.dn),
        )?;
        visit(
            "department-heads",
            "One of every department",
            &mut self.people().take(staffed).map(|person| person.dn),
        )?;
        let remote = (0..self.people).filter(|&index| self.random(index, b'r').one_in(10));
        visit(
            "remote-access",
            "People and a group side by side",
            &mut std::iter::once(group_dn("department-heads"))
                .chain(remote.map(|index| self.person(index).dn)),
        )
    }
}

const CONTAINERS: [(&str, &str); 3] = [
    ("departments", "What the company is divided into"),
    ("people", "Everyone who has an account"),
    ("groups", "Who belongs together, and may do what"),
];

fn write_group<W: Write + ?Sized>(
    out: &mut W,
    name: &str,
    description: &str,
    members: &mut dyn Iterator<Item = String>,
) -> io::Result<()> {
    let mut entry = Entry::new(out, &group_dn(name))?;
    entry.each("objectClass", ["top", "groupOfNames"])?.put("cn", name)?.put("description", description)?;
    for member in members {
        entry.put("member", &member)?;
    }
    entry.end()
}

fn group_dn(name: &str) -> String {
    format!("cn={},ou=groups,{SUFFIX}", escape_dn_value(name))
}

fn division_of(department: usize) -> usize {
    department * DIVISION_NAMES.len() / DEPARTMENTS
}

/// Bytes that begin and end as a JPEG file does. No picture.
fn photo(random: &mut SplitMix64) -> Vec<u8> {
    let mut bytes = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00".to_vec();
    for _ in 0..12 {
        bytes.extend(random.next().to_be_bytes());
    }
    bytes.extend(b"\xff\xd9");
    bytes
}

/// The item at `number`, counted round and round.
fn pick<T: Copy + Default>(items: &[T], number: u64) -> T {
    let count = (items.len() as u64).max(1);
    usize::try_from(number % count).ok().and_then(|place| items.get(place)).copied().unwrap_or_default()
}

/// Vigna's SplitMix64: a counter and a finaliser, so that any seed is a good one.
struct SplitMix64(u64);

impl SplitMix64 {
    fn new(seed: u64) -> Self {
        // One round, or neighbouring seeds would share a stream shifted by one.
        Self(Self(seed).next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.next().is_multiple_of(count)
    }
}

#[cfg(test)]
mod tests;
