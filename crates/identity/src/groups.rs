//! The groups somebody is in, those of groups among them, however deep, in circles or many they are.
//!
//! Work is bounded whatever the directory holds: groups are counted, each is looked at once, and a walk ends at a depth.
//! What is left out for that is said ([`Groups::is_complete`]), and gives nobody a role.

use std::collections::HashSet;

use flext_ldap_directory::{
    Actor, Deadline, Directory, DirectoryExt as _, Entries, Error, ErrorKind, Request,
    proto::{
        attribute::AttributeDescription,
        dn::Dn,
        entry::Entry,
        filter::{Extensible, Filter, Node},
        message::{Scope, Search},
        result::ResultCode,
    },
    ranges,
};

use crate::{Offers, Reason, account::Account, locator::description, name::NameKey};

/// Assertions of one filter: enough to ask for a level of groups at once, few enough for every server.
const AT_ONCE: usize = 50;

/// Active Directory's rule that follows references by itself.
const IN_CHAIN: &str = "1.2.840.113556.1.4.1941";

/// How groups are searched for.
///
/// Where the directory computes them itself ([`Offers`]) it is asked to, in one operation or a few; elsewhere the groups
/// of the entry are searched for, then those of these groups, level by level, some fifty groups an operation.
#[derive(Clone, Debug)]
pub struct GroupSearch {
    base: Dn,
    filter: Option<Filter>,
    member: Vec<AttributeDescription>,
    posix: bool,
    depth: usize,
    most: usize,
}

/// The groups somebody is in.
#[derive(Clone, Debug)]
pub struct Groups {
    names: Vec<Dn>,
    keys: HashSet<NameKey>,
    complete: bool,
}

impl GroupSearch {
    /// Groups at `base` or below it, whose members are in `member`: at most 1,000 of them, ten levels deep.
    #[must_use]
    pub fn new(base: Dn) -> Self {
        Self { base, filter: None, member: Vec::new(), posix: false, depth: 10, most: 1_000 }
    }

    /// Only groups that match this filter. Others are not gone through either where levels are searched one by one.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Attributes whose values are the names of members, instead of `member`: `uniqueMember`, both.
    #[must_use]
    pub fn members_in(mut self, attributes: impl IntoIterator<Item = AttributeDescription>) -> Self {
        self.member = attributes.into_iter().collect();
        self
    }

    /// Also groups that have the account's `uid` in `memberUid`, as those of Unix do (RFC 2307). Not where the directory lists
    /// the groups itself: by `tokenGroups` or `memberOf`.
    #[must_use]
    pub const fn posix(mut self) -> Self {
        self.posix = true;
        self
    }

    /// Levels of groups in groups that are searched where the directory does not compute them. 10; of 1, only the groups
    /// that name the account itself.
    #[must_use]
    pub const fn depth(mut self, levels: usize) -> Self {
        self.depth = levels;
        self
    }

    /// Groups at the most. 1,000. Who is in more gets the nearest.
    #[must_use]
    pub const fn most(mut self, groups: usize) -> Self {
        self.most = groups;
        self
    }

    /// The groups of an account.
    pub(crate) async fn of(
        &self,
        directory: &dyn Directory,
        offers: Offers,
        account: &Account,
        by: Deadline,
    ) -> Result<Groups, Reason> {
        let asking = Asking { search: self, directory, by };
        let mut groups = Groups::none();
        if offers.token_groups {
            asking.token_groups(account, &mut groups).await?;
        } else if offers.nested_member_of {
            asking.member_of(account, &mut groups).await?;
        } else if !(offers.in_chain && self.is_one_chain() && asking.in_chain(account, &mut groups).await?) {
            asking.walk(account, &mut groups).await?;
        }
        Ok(groups)
    }

    /// Attributes of the account that are needed to find its groups.
    pub(crate) fn needs(&self, offers: Offers) -> impl Iterator<Item = &'static str> {
        let member_of = offers.nested_member_of.then_some("memberOf");
        member_of.into_iter().chain(self.posix.then_some("uid"))
    }

    /// Groups that have the account's `uid`, if they are searched for and it has one.
    fn by_uid(&self, account: &Account) -> Result<Option<Filter>, Reason> {
        match account.text("uid") {
            Some(uid) if self.posix => Ok(Some(Filter::equality(description("memberUid")?, uid))),
            _ => Ok(None),
        }
    }

    /// Whether all memberships are by one attribute: the rule for chains follows one, and does not change over to another.
    const fn is_one_chain(&self) -> bool {
        self.member.len() <= 1 && !self.posix
    }

    fn member(&self) -> Result<Vec<AttributeDescription>, Reason> {
        if self.member.is_empty() { Ok(vec![description("member")?]) } else { Ok(self.member.clone()) }
    }
}

impl Groups {
    pub(crate) fn none() -> Self {
        Self { names: Vec::new(), keys: HashSet::new(), complete: true }
    }

    /// Their names, as the directory spells them, nearest first.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &Dn> {
        self.names.iter()
    }

    /// Whether `group` is among them. Names are compared as directories compare them, never by a part of them.
    #[must_use]
    pub fn contains(&self, group: &Dn) -> bool {
        self.keys.contains(&NameKey::of(group))
    }

    pub(crate) fn has(&self, key: &NameKey) -> bool {
        self.keys.contains(key)
    }

    /// Whether these are all: no bound was met, and no name could not be read.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.complete
    }

    /// Adds one that is not there yet; whether it was added.
    fn add(&mut self, dn: Dn, key: NameKey) -> bool {
        let is_new = self.keys.insert(key);
        if is_new {
            self.names.push(dn);
        }
        is_new
    }
}

/// What became of one search.
enum Found {
    All,
    /// There is more than may be taken.
    Full,
}

/// One question after the groups of an account.
struct Asking<'a> {
    search: &'a GroupSearch,
    directory: &'a dyn Directory,
    by: Deadline,
}

impl Asking<'_> {
    /// Active Directory's own list, which holds the primary group too: identifiers, then the entries that have them.
    async fn token_groups(&self, account: &Account, groups: &mut Groups) -> Result<(), Reason> {
        let search = Search::new(account.dn.clone(), Scope::Base, Filter::any()).attributes(["tokenGroups"]);
        let request = Request::new(search, Actor::Service).until(self.by);
        let Some(entry) = self.directory.search_optional(request).await? else {
            return Err(hidden("tokenGroups of the account cannot be read"));
        };
        let entry = self.whole(entry).await?;
        let sids = entry.attributes().get("tokenGroups");
        let mut sids: Vec<Vec<u8>> =
            sids.into_iter().flat_map(|list| list.values()).map(<[u8]>::to_vec).collect();
        if sids.len() > self.search.most {
            sids.truncate(self.search.most);
            groups.complete = false;
        }
        let attribute = description("objectSid")?;
        for chunk in sids.chunks(AT_ONCE) {
            let any = chunk.iter().map(|sid| Filter::equality(attribute.clone(), sid.clone()));
            if let Found::Full = self.collect(Filter::or(any), groups, &mut Vec::new()).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The entry with all values, where the directory sent the first of them only.
    async fn whole(&self, entry: Entry) -> Result<Entry, Reason> {
        match ranges::is_cut(entry.as_ref()) {
            true => {
                let search = Search::new(Dn::root(), Scope::Base, Filter::any());
                let like = Request::new(search, Actor::Service).until(self.by);
                Ok(ranges::whole(self.directory, entry.as_ref(), &like).await?)
            }
            false => Ok(entry),
        }
    }

    /// What the entry says, where the directory follows groups in groups for it.
    async fn member_of(&self, account: &Account, groups: &mut Groups) -> Result<(), Reason> {
        let Some(entry) = &account.entry else {
            return Err(hidden("memberOf of the account cannot be read"));
        };
        let entry = self.whole(entry.clone()).await?;
        for attribute in entry.attributes().iter() {
            let name = attribute.description().split(';').next();
            if !name.is_some_and(|name| name.eq_ignore_ascii_case("memberOf")) {
                continue;
            }
            for value in attribute.values() {
                if groups.names.len() >= self.search.most {
                    groups.complete = false;
                    return Ok(());
                }
                match std::str::from_utf8(value).ok().and_then(|name| name.parse::<Dn>().ok()) {
                    Some(dn) => {
                        let key = NameKey::of(&dn);
                        groups.add(dn, key);
                    }
                    None => groups.complete = false,
                }
            }
        }
        Ok(())
    }

    /// The rule that follows members by itself; whether the directory does so for these attributes.
    async fn in_chain(&self, account: &Account, groups: &mut Groups) -> Result<bool, Reason> {
        let member = self.search.member()?;
        let leaf = |attribute: AttributeDescription| {
            Filter::leaf(Node::Extensible(Extensible {
                attribute: Some(attribute),
                dn_attributes: false,
                rule: Some(IN_CHAIN.into()),
                value: account.dn.as_str().to_owned().into(),
            }))
        };
        let any = member.into_iter().filter_map(leaf);
        match self.collect(Filter::or(any), groups, &mut Vec::new()).await {
            // Ours, where an attribute has no index.
            Err(Reason::Directory(error)) if groups.names.is_empty() && is_unwilling(&error) => Ok(false),
            found => found.map(|_| true),
        }
    }

    /// Level by level.
    async fn walk(&self, account: &Account, groups: &mut Groups) -> Result<(), Reason> {
        let member = self.search.member()?;
        let mut level = vec![account.dn.clone()];
        let mut by_uid = self.search.by_uid(account)?;
        for _ in 0..self.search.depth {
            let mut next = Vec::new();
            for chunk in level.chunks((AT_ONCE / member.len()).max(1)) {
                let any = chunk.iter().flat_map(|dn| {
                    member.iter().map(move |attribute| Filter::equality(attribute.clone(), dn.as_str()))
                });
                let any = Filter::or(any.chain(by_uid.take()));
                if let Found::Full = self.collect(any, groups, &mut next).await? {
                    return Ok(());
                }
            }
            if next.is_empty() {
                return Ok(());
            }
            level = next;
        }
        // The last level may be in groups that nobody asked for.
        groups.complete = false;
        Ok(())
    }

    /// Adds the groups that match, and puts those that were not known yet into `fresh`.
    async fn collect(
        &self,
        filter: Filter,
        groups: &mut Groups,
        fresh: &mut Vec<Dn>,
    ) -> Result<Found, Reason> {
        let filter = match &self.search.filter {
            Some(only) => Filter::and([only.clone(), filter]),
            None => filter,
        };
        // One more than may be taken tells that there are more, also where all that were taken before come again.
        let most = u32::try_from(self.search.most).unwrap_or(u32::MAX).saturating_add(1);
        let search = Search::new(self.search.base.clone(), Scope::Subtree, filter)
            .attributes(["1.1"])
            .size_limit(most);
        let mut entries = self.directory.search(Request::new(search, Actor::Service).until(self.by));
        let mut seen = 0;
        while let Some(entry) = self.next(&mut entries, groups).await? {
            seen += 1;
            // The same one again and again would not end otherwise.
            if seen > most {
                groups.complete = false;
                return Ok(Found::Full);
            }
            let Ok(dn) = entry.dn() else {
                groups.complete = false;
                continue;
            };
            let key = NameKey::of(&dn);
            if groups.keys.contains(&key) {
                continue;
            }
            if groups.names.len() >= self.search.most {
                groups.complete = false;
                return Ok(Found::Full);
            }
            fresh.push(dn.clone());
            groups.add(dn, key);
        }
        Ok(Found::All)
    }

    /// The next entry. A limit of the directory's own ends the list, and is noted.
    async fn next(&self, entries: &mut Entries<'_>, groups: &mut Groups) -> Result<Option<Entry>, Reason> {
        match entries.next().await {
            Err(error)
                if matches!(
                    error.result_code(),
                    Some(ResultCode::SIZE_LIMIT_EXCEEDED | ResultCode::ADMIN_LIMIT_EXCEEDED)
                ) =>
            {
                groups.complete = false;
                Ok(None)
            }
            other => Ok(other?),
        }
    }
}

fn is_unwilling(error: &Error) -> bool {
    matches!(error.result_code(), Some(ResultCode::INAPPROPRIATE_MATCHING | ResultCode::UNWILLING_TO_PERFORM))
}

/// What groups are read from is not shown to the program: nobody is signed in without their groups.
fn hidden(message: &'static str) -> Reason {
    Error::new(ErrorKind::NoEntry, message).into()
}
