//! How a name that somebody typed leads to an account: by a search, a template, or as a user principal name.
//!
//! What was typed is put into a filter or a name that is parsed already, as a value or a part of one. It adds no
//! assertion to a filter and no component to a name, whatever it holds.

use flext_ldap_directory::{Actor, Deadline, Directory, DirectoryExt as _, Error, ErrorKind, Request};
use flext_ldap_proto::{
    attribute::{AttributeDescription, Selection},
    dn::{Dn, DnError, Rdn},
    entry::Entry,
    filter::{Extensible, Filter, Node},
    message::{Scope, Search},
    result::ResultCode,
};

use crate::{InputError, Reason};

/// Stands in patterns for the name that was typed.
const PLACE: &str = "{user}";

/// How a name that somebody typed leads to an account.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Locator {
    /// The program searches for the entry, and the person binds as it.
    Search(UserSearch),
    /// The name of the entry is made from the name that was typed.
    Template(DnTemplate),
    /// The person binds as `name@domain`, which Active Directory takes.
    Principal(PrincipalName),
}

/// Searches for the entry of whoever signs in; there must be exactly one. What most sites want: people may sign in by
/// any attribute, and entries may be anywhere below the base.
///
/// ```
/// use flext_ldap_identity::UserSearch;
///
/// let by_uid = UserSearch::new("ou=people,dc=harbourlane,dc=example".parse()?, "uid".parse()?);
/// let by_any = UserSearch::matching(
///     "dc=harbourlane,dc=example".parse()?,
///     "(&(objectClass=inetOrgPerson)(|(uid={user})(mail={user})))".parse()?,
/// )?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct UserSearch {
    base: Dn,
    scope: Scope,
    pattern: Filter,
}

/// Makes the name of an entry from the name that was typed: `uid={user},ou=people,dc=harbourlane,dc=example`. Saves a
/// search where all entries are in one place and are named by what people type.
#[derive(Clone, Debug)]
pub struct DnTemplate(Dn);

/// Binds as `name@domain`, as Active Directory takes it, and searches for the entry afterwards. For programs that may
/// not search before somebody has signed in, and where people type account names.
#[derive(Clone, Debug)]
pub struct PrincipalName {
    base: Dn,
    domain: Box<str>,
    others: Vec<Box<str>>,
}

/// A pattern that cannot be used.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// It is the same for everybody.
    #[error("the pattern has no value with `{{user}}` in it, so everybody would be the same")]
    NoPlace,
    /// It compares otherwise than for equality, so that a part of a name would do.
    #[error("`{{user}}` must be compared for equality: `(uid={{user}})`, and not inside a negation")]
    NotEquality,
    /// It is no name.
    #[error(transparent)]
    NotAName(#[from] DnError),
    /// It is no domain.
    #[error("a domain is not empty and has no `@` in it")]
    NotADomain,
}

/// Where a name leads.
pub(crate) enum Located {
    /// To this entry.
    Entry(Dn, Entry),
    /// To an entry of this name, perhaps.
    Name(Dn),
    /// To whoever this is for the directory.
    Principal(String),
}

impl UserSearch {
    /// Whoever has the name that was typed as a value of `attribute`, at `base` or below it.
    #[must_use]
    pub fn new(base: Dn, attribute: AttributeDescription) -> Self {
        Self { base, scope: Scope::Subtree, pattern: Filter::equality(attribute, PLACE) }
    }

    /// Whoever matches `pattern` with `{user}` in its values replaced by the name that was typed, at `base` or below it.
    ///
    /// # Errors
    ///
    /// When no value has `{user}` in it, or one that has is not compared for equality.
    pub fn matching(base: Dn, pattern: Filter) -> Result<Self, PatternError> {
        let has_place = |value: &[u8]| contains(value, PLACE.as_bytes());
        let mut places = 0;
        for node in pattern.nodes() {
            let (has, fits) = match node {
                Node::Equality(_, value) => (has_place(value), true),
                Node::Extensible(Extensible { value, .. }) => (has_place(value), true),
                Node::GreaterOrEqual(_, value)
                | Node::LessOrEqual(_, value)
                | Node::Approximate(_, value) => (has_place(value), false),
                Node::Substrings(_, parts) => {
                    let mut parts = parts.initial.iter().chain(&parts.any).chain(&parts.last);
                    (parts.any(|part| has_place(part)), false)
                }
                _ => (false, true),
            };
            if has && !fits {
                return Err(PatternError::NotEquality);
            }
            places += usize::from(has);
        }
        if negates_place(&pattern) {
            return Err(PatternError::NotEquality);
        }
        if places == 0 {
            return Err(PatternError::NoPlace);
        }
        Ok(Self { base, scope: Scope::Subtree, pattern })
    }

    /// Searches so far, instead of the whole subtree.
    #[must_use]
    pub const fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// The filter for a name.
    #[must_use]
    pub fn filter(&self, name: &str) -> Filter {
        self.pattern.map_values(|value| fill(value, name))
    }
}

impl DnTemplate {
    /// Reads a template: a name with `{user}` in one value or several.
    ///
    /// # Errors
    ///
    /// When it is no name, or no value has `{user}` in it.
    pub fn new(template: &str) -> Result<Self, PatternError> {
        let dn: Dn = template.parse()?;
        let has_place = dn
            .rdns()
            .flat_map(|rdn| rdn.avas().collect::<Vec<_>>())
            .any(|ava| contains(&ava.value(), PLACE.as_bytes()));
        if has_place { Ok(Self(dn)) } else { Err(PatternError::NoPlace) }
    }

    /// The name of the entry for a name that was typed. It has as many components as the template.
    #[must_use]
    pub fn name(&self, name: &str) -> Dn {
        let fill_rdn = |rdn: flext_ldap_proto::dn::RdnRef<'_>| {
            let mut filled: Option<Rdn> = None;
            for ava in rdn.avas() {
                // A type that was parsed is one that can be parsed.
                let Ok(attribute) = ava.attribute_type().parse::<AttributeDescription>() else { continue };
                let value = fill(&ava.value(), name);
                filled = Some(match filled {
                    Some(so_far) => so_far.and(&attribute, &value),
                    None => Rdn::new(&attribute, &value),
                });
            }
            filled.unwrap_or_else(|| rdn.to_rdn())
        };
        self.0.rdns().map(fill_rdn).collect()
    }
}

impl PrincipalName {
    /// People of this domain, whose entries are below `base`. Who types no domain is of this one.
    ///
    /// # Errors
    ///
    /// When the domain is empty or has an `@` in it.
    pub fn new(base: Dn, domain: &str) -> Result<Self, PatternError> {
        Ok(Self { base, domain: check_domain(domain)?, others: Vec::new() })
    }

    /// Takes names of this domain too, from who types it.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn other_domain(mut self, domain: &str) -> Result<Self, PatternError> {
        self.others.push(check_domain(domain)?);
        Ok(self)
    }

    /// What to bind as for a name that was typed.
    ///
    /// # Errors
    ///
    /// When it is of another domain, or has a character in it that account names do not have.
    pub fn principal(&self, name: &str) -> Result<String, InputError> {
        self.split(name).map(|(local, domain)| [local, "@", domain].concat())
    }

    /// The account name and the domain.
    fn split<'a>(&'a self, name: &'a str) -> Result<(&'a str, &'a str), InputError> {
        let (local, domain) = match name.rsplit_once('@') {
            Some((local, typed)) => {
                let mut known = std::iter::once(&self.domain).chain(&self.others);
                let domain = known.find(|known| known.eq_ignore_ascii_case(typed));
                (local, domain.ok_or(InputError::ForbiddenInName)?)
            }
            None => (name, &self.domain),
        };
        // What account names must not have in them (MS-SAMR §3.1.1.6), and `@`. With `\` it would be another kind of name.
        if local.is_empty()
            || local
                .contains(['"', '/', '\\', '[', ']', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@'])
        {
            return Err(InputError::ForbiddenInName);
        }
        Ok((local, domain))
    }

    /// The filter for the entry of a name that was typed.
    fn filter(&self, name: &str) -> Result<Filter, Reason> {
        let (local, domain) = self.split(name).map_err(Reason::Input)?;
        let principal = Filter::equality(description("userPrincipalName")?, [local, "@", domain].concat());
        // Accounts without a principal name of their own have one made of these two.
        let is_own = domain.eq_ignore_ascii_case(&self.domain);
        let account = is_own.then(|| description("sAMAccountName")).transpose()?;
        let account = account.map(|account| Filter::equality(account, local));
        Ok(Filter::or(std::iter::once(principal).chain(account)))
    }
}

impl Locator {
    /// Where a name leads, before anybody has bound.
    pub(crate) async fn before_bind(
        &self,
        directory: &dyn Directory,
        name: &str,
        attributes: &Selection,
        by: Deadline,
    ) -> Result<Located, Reason> {
        match self {
            Self::Search(UserSearch { base, scope, .. }) => {
                let filter = self.filter(name)?;
                let search = Search::new(base.clone(), *scope, filter);
                let (dn, entry) = exactly_one(directory, search, attributes, by).await?;
                Ok(Located::Entry(dn, entry))
            }
            Self::Template(template) => Ok(Located::Name(template.name(name))),
            Self::Principal(principal) => {
                principal.principal(name).map(Located::Principal).map_err(Reason::Input)
            }
        }
    }

    /// The entry of somebody who has bound, if the directory shows it.
    pub(crate) async fn after_bind(
        &self,
        directory: &dyn Directory,
        name: &str,
        located: Located,
        attributes: &Selection,
        by: Deadline,
    ) -> Result<(Dn, Option<Entry>), Reason> {
        match (located, self) {
            (Located::Entry(dn, entry), _) => Ok((dn, Some(entry))),
            (Located::Name(dn), _) => {
                let search =
                    Search::new(dn.clone(), Scope::Base, Filter::any()).attributes(attributes.clone());
                let request = Request::new(search, Actor::Service).until(by);
                match directory.search_optional(request).await {
                    Ok(Some(entry)) => Ok((parsed(&entry)?, Some(entry))),
                    Ok(None) => Ok((dn, None)),
                    Err(error) if error.result_code() == Some(ResultCode::INSUFFICIENT_ACCESS_RIGHTS) => {
                        Ok((dn, None))
                    }
                    Err(error) => Err(error.into()),
                }
            }
            (Located::Principal(_), Self::Principal(PrincipalName { base, .. })) => {
                let search = Search::new(base.clone(), Scope::Subtree, self.filter(name)?);
                let (dn, entry) = exactly_one(directory, search, attributes, by).await?;
                Ok((dn, Some(entry)))
            }
            (Located::Principal(_), _) => {
                Err(Error::new(ErrorKind::Bug, "a principal name that was not asked for").into())
            }
        }
    }

    fn filter(&self, name: &str) -> Result<Filter, Reason> {
        match self {
            Self::Search(search) => Ok(search.filter(name)),
            Self::Principal(principal) => principal.filter(name),
            Self::Template(_) => Err(Error::new(ErrorKind::Bug, "a template has no filter").into()),
        }
    }
}

impl From<UserSearch> for Locator {
    fn from(search: UserSearch) -> Self {
        Self::Search(search)
    }
}

impl From<DnTemplate> for Locator {
    fn from(template: DnTemplate) -> Self {
        Self::Template(template)
    }
}

impl From<PrincipalName> for Locator {
    fn from(principal: PrincipalName) -> Self {
        Self::Principal(principal)
    }
}

/// The one entry that a search finds.
async fn exactly_one(
    directory: &dyn Directory,
    search: Search,
    attributes: &Selection,
    by: Deadline,
) -> Result<(Dn, Entry), Reason> {
    let seconds = u32::try_from(by.remaining().as_secs()).unwrap_or(u32::MAX).max(1);
    // Two tell that there is more than one.
    let search = search.attributes(attributes.clone()).size_limit(2).time_limit(seconds);
    match directory.search_optional(Request::new(search, Actor::Service).until(by)).await {
        Ok(Some(entry)) => Ok((parsed(&entry)?, entry)),
        Ok(None) => Err(Reason::UnknownUser),
        Err(error) if error.kind() == ErrorKind::MoreThanOne => Err(Reason::Ambiguous),
        Err(error) if error.result_code() == Some(ResultCode::SIZE_LIMIT_EXCEEDED) => Err(Reason::Ambiguous),
        Err(error) => Err(error.into()),
    }
}

/// The name of an entry. An empty one would be an anonymous bind.
fn parsed(entry: &Entry) -> Result<Dn, Reason> {
    match entry.dn() {
        Ok(dn) if !dn.is_root() => Ok(dn),
        _ => Err(Reason::protocol("the directory sent an entry whose name is empty or malformed")),
    }
}

/// Whether a value with the place in it is inside a negation, where it would be everybody but one.
fn negates_place(pattern: &Filter) -> bool {
    // How many subtrees are still to come inside each open node, and whether that is inside a negation.
    let mut open: Vec<(usize, bool)> = Vec::new();
    for node in pattern.nodes() {
        while open.last().is_some_and(|(left, _)| *left == 0) {
            open.pop();
        }
        let negated = open.last().is_some_and(|(_, negated)| *negated);
        if let Some((left, _)) = open.last_mut() {
            *left = left.saturating_sub(1);
        }
        match node {
            Node::Equality(_, value) | Node::Extensible(Extensible { value, .. })
                if negated && contains(value, PLACE.as_bytes()) =>
            {
                return true;
            }
            Node::Not => open.push((1, true)),
            Node::And { children } | Node::Or { children } => open.push((*children, negated)),
            _ => {}
        }
    }
    false
}

/// A value of a pattern with the place replaced. What was typed is not looked at again.
fn fill(value: &[u8], name: &str) -> Vec<u8> {
    let place = PLACE.as_bytes();
    let (mut filled, mut rest) = (Vec::with_capacity(value.len() + name.len()), value);
    while let Some(at) = rest.windows(place.len()).position(|window| window == place) {
        let (before, after) = rest.split_at(at);
        filled.extend_from_slice(before);
        filled.extend_from_slice(name.as_bytes());
        rest = after.get(place.len()..).unwrap_or_default();
    }
    filled.extend_from_slice(rest);
    filled
}

fn contains(value: &[u8], part: &[u8]) -> bool {
    value.windows(part.len()).any(|window| window == part)
}

pub(crate) fn description(name: &str) -> Result<AttributeDescription, Reason> {
    name.parse().map_err(|_| Error::new(ErrorKind::Bug, "an attribute's name cannot be read").into())
}

fn check_domain(domain: &str) -> Result<Box<str>, PatternError> {
    if domain.trim().is_empty() || domain.contains('@') {
        return Err(PatternError::NotADomain);
    }
    Ok(domain.into())
}
