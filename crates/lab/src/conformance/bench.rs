//! What a check works with: the administrator's conversation, an entry of its own to work below, and short ways to
//! say what is asked again and again.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use flext_ldap_client::Connection;
use flext_ldap_directory::{
    Actor, BindReply, BindStep, Deadline, Directory as _, DirectoryExt as _, Operation, Outcome, Request,
    Session,
    proto::{
        attribute::{AttributeDescription, Attributes, AttributesRef, Selection},
        control::ControlValue,
        dn::{Dn, Rdn},
        entry::Entry,
        extended::{ExtendedOperation as _, WhoAmI},
        filter::Filter,
        message::{Add, Change, ChangeKind, Compare, Delete, Modify, Rename, Scope, Search},
        result::ResultCode,
        secret::Secret,
    },
};

use super::{Freedom, Subject};

/// How long a bind may take.
const BIND_PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// The classes of a person, with those that are implied.
const PERSON: &str = "objectClass: top\nobjectClass: person\nobjectClass: organizationalPerson\n\
                      objectClass: inetOrgPerson";

/// What Samba adds to entries, and gives with all user attributes ([`Freedom::PeopleAreAccounts`]).
const KEPT_BY_SAMBA: [&str; 24] = [
    "accountexpires",
    "badpasswordtime",
    "badpwdcount",
    "codepage",
    "countrycode",
    "distinguishedname",
    "instancetype",
    "lastlogoff",
    "lastlogon",
    "logoncount",
    "name",
    "objectcategory",
    "objectguid",
    "objectsid",
    "primarygroupid",
    "pwdlastset",
    "samaccountname",
    "samaccounttype",
    "showinadvancedviewonly",
    "useraccountcontrol",
    "usnchanged",
    "usncreated",
    "whenchanged",
    "whencreated",
];

/// The values of each attribute of an entry, sorted, by lower-case description.
pub(super) type Contents = BTreeMap<String, Vec<String>>;

/// One change of a modify: what to do, to which attribute, with which values.
pub(super) type ChangeRow<'a> = (ChangeKind, &'a str, &'a [&'a str]);

/// What a check works with.
pub(super) struct Bench<'a> {
    pub(super) subject: &'a Subject,
    /// The check's own entry, an `organizationalUnit`. Nothing but the check works below it.
    pub(super) home: Dn,
    /// The administrator's conversation, which the checks of an area share.
    pub(super) admin: &'a Conversation,
}

/// A conversation, and whom it is bound as.
pub(super) struct Conversation {
    pub(super) session: Box<dyn Session>,
    pub(super) actor: Actor,
}

impl<'a> Bench<'a> {
    /// Adds the check's entry.
    pub(super) async fn prepare(subject: &'a Subject, admin: &'a Conversation, name: &str) -> Result<Self> {
        let name = &format!("{name}{}", subject.tag());
        let home = subject.suffix().child(&Rdn::new(&"ou".parse()?, name.as_bytes()));
        let entry =
            Add::new(home.clone(), attributes(&format!("objectClass: organizationalUnit\nou: {name}")));
        admin.done(entry).await.context("cannot add the entry of the check")?;
        Ok(Self { subject, home, admin })
    }

    pub(super) fn takes(&self, freedom: Freedom) -> bool {
        self.subject.takes(freedom)
    }

    /// A new conversation, as anonymous.
    pub(super) async fn anonymous(&self) -> Result<Conversation> {
        Conversation::open(self.subject).await
    }

    /// A new conversation as an entry below home, which has the password.
    pub(super) async fn as_user(&self, relative: &str, password: &str) -> Result<Conversation> {
        if let Some(sign_in) = self.subject.sign_in().filter(|sign_in| sign_in.takes_users()) {
            let uid = as_uid(&format!("{relative} {}", self.home.rdns().next().context("no home")?));
            let name = [(ChangeKind::Replace, "uid", &[uid.as_str()][..])];
            self.admin.done(self.modify(relative, &name)?).await.context("cannot give a uid")?;
            return Conversation::over(sign_in.user(&uid, password).await?);
        }
        let mut conversation = self.anonymous().await?;
        conversation.bind(self.dn(relative)?.as_str(), password.into()).await?;
        Ok(conversation)
    }

    /// A name below home; home itself for an empty one.
    pub(super) fn dn(&self, relative: &str) -> Result<Dn> {
        let text =
            if relative.is_empty() { self.home.to_string() } else { format!("{relative},{}", self.home) };
        text.parse().with_context(|| format!("not a name: {text}"))
    }

    /// An add below home, its attributes written as lines of `type: value`.
    pub(super) fn entry(&self, relative: &str, lines: &str) -> Result<Add> {
        Ok(Add::new(self.dn(relative)?, attributes(lines)))
    }

    /// Adds an entry below home, or fails the check.
    pub(super) async fn add(&self, relative: &str, lines: &str) -> Result<()> {
        self.admin.done(self.entry(relative, lines)?).await.with_context(|| format!("cannot add {relative}"))
    }

    /// Adds a person below home, named by `cn`.
    pub(super) async fn add_person(&self, cn: &str, lines: &str) -> Result<()> {
        self.add(&format!("cn={cn}"), &person(cn, lines)).await
    }

    /// A modify of an entry below home.
    pub(super) fn modify(&self, relative: &str, changes: &[ChangeRow<'_>]) -> Result<Modify> {
        let mut modify = Modify::new(self.dn(relative)?);
        for (kind, attribute, values) in changes {
            modify.changes.push(Change {
                kind: *kind,
                attribute: attribute.parse()?,
                values: values.iter().map(|value| value.as_bytes().to_vec().into()).collect(),
            });
        }
        Ok(modify)
    }

    pub(super) fn delete(&self, relative: &str) -> Result<Delete> {
        Ok(Delete { dn: self.dn(relative)? })
    }

    pub(super) fn compare(&self, relative: &str, attribute: &str, value: &str) -> Result<Compare> {
        let attribute: AttributeDescription = attribute.parse()?;
        Ok(Compare { dn: self.dn(relative)?, attribute, value: value.as_bytes().to_vec().into() })
    }

    /// A rename; `new_superior` is relative to home too.
    pub(super) fn rename(
        &self,
        relative: &str,
        new_rdn: &str,
        delete_old_rdn: bool,
        new_superior: Option<&str>,
    ) -> Result<Rename> {
        Ok(Rename {
            dn: self.dn(relative)?,
            new_rdn: new_rdn.parse()?,
            delete_old_rdn,
            new_superior: new_superior.map(|relative| self.dn(relative)).transpose()?,
        })
    }

    /// A search of home and all below it.
    pub(super) fn search(&self, filter: &str) -> Result<Search> {
        Ok(Search::new(self.home.clone(), Scope::Subtree, parsed(filter)?))
    }

    /// The entry below home, all user attributes.
    pub(super) async fn read(&self, relative: &str) -> Result<Contents> {
        let mut entry = self.read_selected(relative, ["*"]).await?;
        if self.takes(Freedom::PeopleAreAccounts) {
            entry.retain(|name, _| !KEPT_BY_SAMBA.contains(&name.as_str()));
            if let Some(classes) = entry.get_mut("objectclass") {
                classes.retain(|class| class != "user");
            }
        }
        Ok(entry)
    }

    /// Some attributes of the entry below home.
    pub(super) async fn read_selected(
        &self,
        relative: &str,
        selection: impl Into<Selection>,
    ) -> Result<Contents> {
        self.admin.read(self.dn(relative)?, selection).await
    }

    /// Whether there is an entry of this name below home.
    pub(super) async fn exists(&self, relative: &str) -> Result<bool> {
        let search =
            Search::new(self.dn(relative)?, Scope::Base, Filter::any()).attributes(Selection::none());
        match self.admin.code(search).await? {
            ResultCode::SUCCESS => Ok(true),
            ResultCode::NO_SUCH_OBJECT => Ok(false),
            code => bail!("reading {relative}: {code}"),
        }
    }

    /// The names of the entries that match below home, as [`Conversation::names`].
    pub(super) async fn find(&self, filter: &str) -> Result<Vec<String>> {
        self.admin.names(self.search(filter)?).await
    }
}

impl Conversation {
    /// A new conversation of the administrator.
    pub(super) async fn of_administrator(subject: &Subject) -> Result<Self> {
        let (dn, password) = subject.administrator();
        if let Some(sign_in) = subject.sign_in()
            && let Some(connection) = sign_in.administrator(password).await?
        {
            return Self::over(connection);
        }
        let mut admin = Self::open(subject).await?;
        admin.bind(dn.as_str(), password.clone()).await.context("the administrator cannot bind")?;
        Ok(admin)
    }

    /// A connection on which somebody has signed in.
    fn over(connection: Connection) -> Result<Self> {
        let actor = connection.actor().context("nobody is bound")?;
        Ok(Self { session: Box::new(connection), actor })
    }

    pub(super) async fn open(subject: &Subject) -> Result<Self> {
        let session =
            subject.sessions().open(subject.peer().clone()).await.context("cannot open a conversation")?;
        Ok(Self { session, actor: Actor::Anonymous })
    }

    /// Takes one step of a bind; who is bound afterwards is remembered.
    pub(super) async fn step(&mut self, step: BindStep) -> Result<BindReply, flext_ldap_directory::Error> {
        self.actor = Actor::Anonymous;
        let reply = self.session.bind(step, Deadline::after(BIND_PATIENCE)).await?;
        if let BindReply::Done { actor, .. } = &reply {
            self.actor = actor.clone();
        }
        Ok(reply)
    }

    /// Binds with a password, or fails the check.
    pub(super) async fn bind(&mut self, name: &str, password: Secret) -> Result<()> {
        match self.step(BindStep::simple(name, password)).await? {
            BindReply::Done { .. } => Ok(()),
            other => bail!("the bind as {name} was answered {other:?}"),
        }
    }

    /// The code of the answer to a bind.
    pub(super) async fn bind_code(&mut self, step: BindStep) -> Result<ResultCode> {
        Ok(match self.step(step).await? {
            BindReply::Done { outcome, .. }
            | BindReply::Continue { outcome, .. }
            | BindReply::Refused(outcome) => outcome.result.code,
        })
    }

    /// Asks, with everything said.
    pub(super) fn request<O: Operation>(&self, op: O) -> Request<O> {
        Request::new(op, self.actor.clone())
    }

    /// The answer to an operation.
    pub(super) async fn outcome(&self, op: impl Operation) -> Result<Outcome> {
        Ok(self.session.call(self.request(op).into_any()).outcome().await?)
    }

    /// The answer to an operation with a critical control.
    pub(super) async fn outcome_with<C: ControlValue>(
        &self,
        op: impl Operation,
        control: &C,
    ) -> Result<Outcome> {
        Ok(self.session.call(self.request(op).critical(control).into_any()).outcome().await?)
    }

    /// The code of the answer to an operation.
    pub(super) async fn code(&self, op: impl Operation) -> Result<ResultCode> {
        Ok(self.outcome(op).await?.result.code)
    }

    /// Does an operation, or fails the check.
    pub(super) async fn done(&self, op: impl Operation) -> Result<()> {
        let result = self.outcome(op).await?.result;
        ensure!(result.code == ResultCode::SUCCESS, "{}: {}", result.code, result.diagnostic);
        Ok(())
    }

    /// Who the directory says this is.
    pub(super) async fn who_am_i(&self) -> Result<String> {
        Ok(self.session.extended::<WhoAmI>(self.request(WhoAmI.request())).await?)
    }

    /// Some attributes of an entry that must be there.
    pub(super) async fn read(&self, dn: Dn, selection: impl Into<Selection>) -> Result<Contents> {
        let search = Search::new(dn.clone(), Scope::Base, Filter::any()).attributes(selection);
        let entry = self.session.search_one(self.request(search)).await;
        Ok(contents(entry.with_context(|| format!("cannot read {dn}"))?.attributes()))
    }

    /// The entries of a search.
    pub(super) async fn entries(&self, search: Search) -> Result<Vec<Entry>> {
        Ok(self.session.search_all(self.request(search)).await?)
    }

    /// The first values of the names of the entries of a search, sorted: `x` for `cn=x,ou=y`.
    pub(super) async fn names(&self, search: Search) -> Result<Vec<String>> {
        names(self.entries(search.attributes(Selection::none())).await?.iter())
    }
}

/// A name of letters, digits and hyphens, as every server takes them.
fn as_uid(text: &str) -> String {
    let letters = text.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' });
    letters.collect::<String>().to_lowercase()
}

/// The first value of the name of each entry, sorted.
pub(super) fn names<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in entries {
        let dn = entry.dn()?;
        let rdn = dn.rdns().next().context("an entry without a name")?;
        let ava = rdn.avas().next().context("a component without a value")?;
        names.push(String::from_utf8_lossy(&ava.value()).into_owned());
    }
    names.sort();
    Ok(names)
}

/// Attributes as text, values sorted, descriptions in lower case.
pub(super) fn contents(attributes: AttributesRef<'_>) -> Contents {
    attributes
        .iter()
        .map(|attribute| {
            let mut values: Vec<_> =
                attribute.values().map(|value| String::from_utf8_lossy(value).into_owned()).collect();
            values.sort();
            (attribute.description().to_ascii_lowercase(), values)
        })
        .collect()
}

/// What [`contents`] of an entry with these lines would be.
pub(super) fn wanted(lines: &str) -> Contents {
    contents(attributes(lines).as_ref())
}

/// Attributes written as lines of `type: value`. Lines of the same type make one attribute.
pub(super) fn attributes(lines: &str) -> Attributes {
    let mut collected: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in lines.lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap_or_else(|| (line.trim_end_matches(':'), ""));
        match collected.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => collected.push((name, vec![value])),
        }
    }
    let mut builder = Attributes::builder();
    for (name, values) in collected {
        builder.push(name, values);
    }
    builder.build()
}

/// The lines of a person named by `cn`, with more lines.
pub(super) fn person(cn: &str, lines: &str) -> String {
    let sn = if lines.contains("sn: ") { "" } else { "sn: Harker\n" };
    format!("{PERSON}\ncn: {cn}\n{sn}{lines}")
}

/// A filter from text.
pub(super) fn parsed(filter: &str) -> Result<Filter> {
    filter.parse().with_context(|| format!("not a filter: {filter}"))
}
