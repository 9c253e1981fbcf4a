//! What is seen of people and groups, and whether it is all of it.
//!
//! Counting ends at [`MOST`]: a directory of a million people is not read to say so.

use flext_ldap_client::Capabilities;
use flext_ldap_directory::{
    DirectoryExt as _, Entries, Error, ErrorKind, Request, SessionExt as _,
    proto::{
        attribute::Selection,
        dn::Dn,
        filter::Filter,
        message::{Scope, Search},
        result::ResultCode,
    },
};

use super::{Finding, LONGEST_VALUE, View, What, cut, told, write::Found};

/// Entries that are counted.
const MOST: usize = 5_000;
/// Entries of a page.
const PAGE: u32 = 500;
/// Entries whose attributes are looked at.
const SAMPLE: usize = 100;

const PEOPLE: &str = "(|(objectClass=person)(objectClass=account)(objectClass=posixAccount))";
/// Where machines have the class of people too: normal accounts of users (MS-SAMR §2.2.1.9).
const PEOPLE_AMONG_MACHINES: &str = "(sAMAccountType=805306368)";
const GROUPS: &str = "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=posixGroup)(objectClass=group))";

/// Octets of a name that is looked at for what it is below.
const LONGEST_NAME: usize = 8 << 10;

/// What a search came to.
struct Count {
    seen: usize,
    /// The name of the first.
    first: Option<String>,
    /// Of how many the attributes were looked at, and how many have each of those asked for.
    sampled: usize,
    with: Vec<(&'static str, usize)>,
    /// What all that were seen are below.
    within: Option<Dn>,
    end: End,
}

enum End {
    /// There are no more.
    All,
    /// It was not counted further.
    Enough,
    /// The server gives no more.
    Limit(Error),
}

impl Count {
    fn number(&self) -> String {
        match self.end {
            End::All => self.seen.to_string(),
            End::Enough | End::Limit(_) => format!("{} or more", self.seen),
        }
    }
}

/// Looks at people and groups below `base`.
pub(super) async fn look(
    view: &View<'_>,
    base: &Dn,
    capabilities: &Capabilities,
    findings: &mut Vec<Finding>,
    found: &mut Found,
) {
    let about = format!("base `{base}`, seen as {}", view.who);
    let (people, groups) = (people(capabilities), GROUPS);
    let attributes = [capabilities.entry_id, "memberOf", "mail", "uid", "cn"];
    let whole = count(view, base, people, &attributes, false).await;
    let mut seen = match whole {
        Ok(seen) => seen,
        Err(error) if error.kind() == ErrorKind::Timeout => {
            let cause = "people are not found in the time allowed";
            let mend = "have `objectClass` indexed on the server, name a base that is nearer (-b BASE), or allow more (--timeout)";
            let finding = Finding::failure(What::NoAnswer, about, ErrorKind::Timeout, cause);
            findings.push(finding.evidence(told(&error)).mend(mend));
            return;
        }
        Err(error) => {
            findings.push(nothing(view, about, Some(&error)));
            return;
        }
    };
    if seen.seen == 0 && !matches!(seen.end, End::Limit(_)) {
        findings.push(nothing(view, about, None));
        return;
    }
    if let End::Limit(error) = &seen.end {
        let paged = match capabilities.paged {
            true => count(view, base, people, &attributes, true).await.ok(),
            false => None,
        };
        findings.push(limited(&about, view, seen.seen, error, paged.as_ref()));
        seen = paged.filter(|paged| paged.seen > seen.seen).unwrap_or(seen);
    }
    findings.push(Finding::good(What::People, &about, format!("people seen: {}", seen.number())));
    if view.is_nobody() {
        findings.push(open(base, seen.first.as_deref()));
    }
    found.users = seen.within.take().filter(|dn| is_below(dn, base));
    findings.push(attributes_of(&about, &seen));
    match count(view, base, groups, &[], capabilities.paged).await {
        Ok(mut groups) => {
            found.groups = groups.within.take().filter(|dn| is_below(dn, base));
            let finding = match groups.seen {
                0 => Finding::warning(What::Groups, &about, "no groups are seen")
                    .mend("let the account read them, if there are any"),
                _ => Finding::good(What::Groups, &about, format!("groups seen: {}", groups.number())),
            };
            findings.push(finding);
        }
        Err(error) => {
            let mend = "let the account read them, if there are any";
            let finding = Finding::warning(What::Groups, &about, "no groups are seen");
            findings.push(finding.evidence(told(&error)).mend(mend));
        }
    }
}

/// Whether the entry at `base` is seen, as `config check --online` wants of the base of a configuration.
pub(super) async fn is_seen(view: &View<'_>, base: &Dn) -> bool {
    let search = Search::new(base.clone(), Scope::Base, Filter::any()).attributes(["1.1"]);
    let read = view.connection.search_optional(Request::new(search, view.actor.clone()).until(view.by()));
    matches!(read.await, Ok(Some(_)))
}

/// Whether those who did not sign in see people.
pub(super) async fn anonymous(
    view: &View<'_>,
    base: &Dn,
    capabilities: &Capabilities,
    findings: &mut Vec<Finding>,
) {
    let Ok(filter) = people(capabilities).parse::<Filter>() else { return };
    let search =
        Search::new(base.clone(), Scope::Subtree, filter).attributes(Selection::none()).size_limit(1);
    let mut entries = view.connection.search(Request::new(search, view.actor.clone()).until(view.by()));
    // That they are refused is as it should be.
    if let Ok(Some(entry)) = entries.next().await {
        findings.push(open(base, Some(entry.dn_str())));
    }
}

fn people(capabilities: &Capabilities) -> &'static str {
    if capabilities.token_groups { PEOPLE_AMONG_MACHINES } else { PEOPLE }
}

async fn count(
    view: &View<'_>,
    base: &Dn,
    filter: &str,
    attributes: &[&'static str],
    by_pages: bool,
) -> Result<Count, Error> {
    let filter: Filter = filter
        .parse()
        .map_err(|error| Error::new(ErrorKind::Bug, "a filter of this program is none").with_source(error))?;
    let selection = match attributes {
        [] => Selection::none(),
        some => some.iter().collect(),
    };
    let search = Search::new(base.clone(), Scope::Subtree, filter).attributes(selection);
    let request = Request::new(search, view.actor.clone()).until(view.by());
    let mut entries: Entries<'_> = match by_pages {
        true => view.connection.search_pages(request, PAGE),
        false => view.connection.search(request),
    };
    let with = attributes.iter().map(|name| (*name, 0)).collect();
    let mut count = Count { seen: 0, first: None, sampled: 0, with, within: None, end: End::All };
    loop {
        match entries.next().await {
            Ok(Some(_)) if count.seen == MOST => {
                count.end = End::Enough;
                return Ok(count);
            }
            Ok(Some(entry)) => {
                count.seen += 1;
                let name = Some(entry.dn_str()).filter(|name| name.len() <= LONGEST_NAME);
                let parent = name.and_then(|name| name.parse().ok()).and_then(|dn: Dn| dn.parent());
                count.within = match (count.within.take(), parent) {
                    (Some(within), Some(parent)) => Some(common(within, &parent)),
                    (None, parent) => parent,
                    (within, None) => within,
                };
                count.first.get_or_insert_with(|| cut(entry.dn_str(), LONGEST_VALUE));
                if count.sampled < SAMPLE {
                    count.sampled += 1;
                    let shown = |name: &str| entry.as_ref().attributes().get(name).is_some();
                    count.with.iter_mut().for_each(|(name, with)| *with += usize::from(shown(name)));
                }
            }
            Ok(None) => return Ok(count),
            Err(error) if is_limit(&error) => {
                count.end = End::Limit(error);
                return Ok(count);
            }
            // What was seen was seen, and it is enough to go on.
            Err(error) if error.kind() == ErrorKind::Timeout && count.seen > 0 => {
                count.end = End::Enough;
                return Ok(count);
            }
            Err(error) => return Err(error),
        }
    }
}

fn is_limit(error: &Error) -> bool {
    matches!(
        error.result_code(),
        Some(
            ResultCode::SIZE_LIMIT_EXCEEDED
                | ResultCode::ADMIN_LIMIT_EXCEEDED
                | ResultCode::TIME_LIMIT_EXCEEDED
        )
    )
}

fn nothing(view: &View<'_>, about: String, error: Option<&Error>) -> Finding {
    let cause = "no people are seen there";
    let finding = match view.is_nobody() {
        true => Finding::note(What::NothingSeen, about, cause)
            .mend("as it mostly is for those who did not sign in: say as whom, by -D and -W"),
        false => Finding::failure(What::NothingSeen, about, ErrorKind::NoEntry, cause)
            .mend("let the account read them (an access rule), or name the base they are below: -b BASE"),
    };
    match error {
        Some(error) => finding.code(error.result_code()).evidence(told(error)),
        None => finding.evidence(format!("nothing matches {PEOPLE}")),
    }
}

fn limited(about: &str, view: &View<'_>, seen: usize, error: &Error, paged: Option<&Count>) -> Finding {
    let all = paged.filter(|paged| !matches!(paged.end, End::Limit(_)));
    let pages = match (all, paged) {
        (Some(all), _) => format!("in pages of {PAGE} it gives {}", all.number()),
        (None, Some(paged)) => format!("in pages it gives no more than {} either", paged.seen),
        (None, None) => "it offers no pages".to_owned(),
    };
    let raise = format!(
        "raise the limit for {}: `limits dn.exact=… size=unlimited` (OpenLDAP), `nsSizeLimit: -1` in its entry (389-ds), \
         MaxPageSize (Active Directory)",
        view.who
    );
    let mend = if all.is_some() { format!("read in pages, or {raise}") } else { raise };
    Finding::warning(What::SizeLimit, about, format!("one search gives {seen} people, and there are more"))
        .code(error.result_code())
        .evidence(format!("{}; {pages}", told(error)))
        .mend(mend)
}

fn open(base: &Dn, shown: Option<&str>) -> Finding {
    let evidence = shown.map_or_else(String::new, |name| format!("`{name}` was shown"));
    Finding::warning(What::AnonymousReads, format!("base `{base}`"), "people can be read without signing in")
        .evidence(evidence)
        .mend("if that is not meant, have it end: `access to * by users read by anonymous auth` (OpenLDAP), an ACI for \
               `ldap:///all` in place of `ldap:///anyone` (389-ds), no `anonymous_read` (FLEXT-LDAP)")
}

fn attributes_of(about: &str, people: &Count) -> Finding {
    let counts: Vec<_> = people.with.iter().map(|(name, with)| format!("{name} {with}")).collect();
    let cause = format!("of {} people, so many show: {}", people.sampled, counts.join(", "));
    if let Some((id, 0)) = people.with.first() {
        return Finding::warning(What::Attributes, about, cause).mend(format!(
            "let the account read `{id}`: without it somebody who is renamed is taken for somebody new"
        ));
    }
    Finding::good(What::Attributes, about, cause)
}

/// What both are within.
fn common(mut one: Dn, other: &Dn) -> Dn {
    while !is_within(other, &one) {
        let Some(parent) = one.parent() else { return Dn::root() };
        one = parent;
    }
    one
}

/// As far as spelling tells, which is enough for names of one server.
fn is_within(dn: &Dn, base: &Dn) -> bool {
    let parts = |dn: &Dn| dn.rdns().map(|rdn| rdn.as_str().to_lowercase()).collect::<Vec<_>>();
    parts(dn).ends_with(&parts(base))
}

fn is_below(dn: &Dn, base: &Dn) -> bool {
    is_within(dn, base) && dn.depth() > base.depth()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_filters() {
        for filter in [PEOPLE, PEOPLE_AMONG_MACHINES, GROUPS] {
            assert_eq!(filter.parse::<Filter>().unwrap().to_string(), filter);
        }
    }

    #[test]
    fn what_names_have_in_common() {
        let dn = |text: &str| text.parse::<Dn>().unwrap();
        let table = [
            ("ou=a,dc=x", "ou=A,dc=x", "ou=a,dc=x"),
            ("ou=a,dc=x", "ou=b,ou=a,dc=x", "ou=a,dc=x"),
            ("ou=b,ou=a,dc=x", "ou=a,dc=x", "ou=a,dc=x"),
            ("ou=b,dc=x", "ou=a,dc=x", "dc=x"),
            ("ou=b,dc=y", "ou=a,dc=x", ""),
        ];
        for (one, other, want) in table {
            assert_eq!(common(dn(one), &dn(other)), dn(want), "{one} {other}");
        }
        assert!(is_below(&dn("ou=a,DC=x"), &dn("dc=x")) && !is_below(&dn("dc=x"), &dn("dc=x")));
    }
}
