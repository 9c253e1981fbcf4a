//! One short sketch for each user of the seam. They need only compile: what they show is that each user can be written
//! with what the seam gives, and what it cannot get wrong.

use std::{collections::HashMap, sync::Arc, time::Duration};

use flext_ldap_directory::{
    Actor, AttributeRight, BindReply, BindStep, Deadline, Directory, DirectoryExt, Entries, EntryRight,
    Error, Event, Identity, Layered, OpKind, Peer, Request, SessionExt, Sessions,
    layers::{Observation, Observe, Observer, ReadOnly},
    proto::{
        attribute::{AttributeDescription, Attributes},
        batch::Item,
        dn::{Dn, Rdn},
        entry::Entry,
        extended::{ExtendedOperation, PasswordModify},
        filter::Filter,
        message::{Add, ChangeKind, Compare, Delete, Modify, Rename, Scope, Search},
        secret::Secret,
    },
};

type AnyError = Box<dyn std::error::Error>;

/// The command line's search: as whoever the connection is bound as, entries as they come, references beside them.
async fn command_line_search(
    directory: &dyn Directory,
    base: Dn,
    filter: Filter,
) -> Result<(u64, Vec<String>), Error> {
    let search = Search::new(base, Scope::Subtree, filter).attributes(["cn", "mail"]).size_limit(500);
    let mut entries = directory.search(Request::new(search, Actor::Service).within(Duration::from_secs(60)));
    let mut count = 0;
    while let Some(entry) = entries.next().await? {
        let _ = (entry.dn_str(), entry.text("mail"));
        count += 1;
    }
    Ok((count, entries.references().map(str::to_owned).collect()))
}

/// The tap: whole batches, from wire form straight to its output. Memory is one batch, whatever the size of the result.
async fn tap(directory: &impl Directory, base: Dn, output: &mut Vec<u8>) -> Result<(), Error> {
    let mut entries =
        directory.search(Request::new(Search::new(base, Scope::Subtree, Filter::any()), Actor::Service));
    while let Some(batch) = entries.next_batch().await? {
        for entry in batch.entries() {
            output.extend_from_slice(entry.dn_str().as_bytes());
            for attribute in entry.attributes().iter() {
                attribute.values().for_each(|value| output.extend_from_slice(value));
            }
        }
    }
    Ok(())
}

/// A listener over the store: one conversation a peer, and the actor of every request is what its bind proved.
async fn listener(store: Arc<dyn Sessions>, peer: Peer) -> Result<(), Error> {
    let mut session = store.open(peer).await?;
    let mut actor = Actor::Anonymous;
    let step = BindStep::simple("cn=admin,dc=example", Secret::from("wrong"));
    match session.bind(step, Deadline::after(Duration::from_secs(30))).await? {
        BindReply::Done { actor: bound, .. } => actor = bound,
        BindReply::Continue { .. } | BindReply::Refused(_) => {}
    }
    let search = Search::new(Dn::root(), Scope::Base, Filter::any());
    let mut reply = session.call(Request::new(search, actor).into_any());
    loop {
        // The type of the answer follows from the event: a search cannot be answered like a compare.
        match reply.next().await {
            Ok(Event::Batch(batch)) => batch.iter().for_each(|item| drop(item.op_bytes().to_vec())),
            Ok(Event::Done(outcome)) => return drop_it(outcome.result.code.0),
            Err(error) => return drop_it(error.answer().code.0),
        }
    }
}

fn drop_it(_code: u32) -> Result<(), Error> {
    Ok(())
}

/// A proxy: the listener above over layers over a pool. The pool is shared; an operation carries its actor with it, and
/// a pool that cannot act for that actor refuses instead of lending its own rights.
fn proxy(pool: Arc<dyn Sessions>, counts: Arc<Counts>) -> Arc<dyn Sessions> {
    Arc::new(Layered::new(Layered::new(pool, Arc::new(ReadOnly)), Arc::new(Observe::new(counts))))
}

/// A metrics layer: labels from a closed set, never a name or a filter.
#[derive(Default)]
struct Counts(std::sync::Mutex<HashMap<(OpKind, Option<u32>), u64>>);

impl Observer for Counts {
    fn finished(&self, seen: &Observation<'_>) {
        let key = (seen.kind, seen.code.map(|code| code.0));
        *self.0.lock().expect("no observer panics").entry(key).or_default() += 1;
    }
}

/// Sign-in: find with the service's rights, prove on a conversation of its own, so that a user's password never meets
/// service traffic. The value in the filter cannot be anything but a value.
async fn sign_in(
    directory: &dyn Directory,
    sessions: &dyn Sessions,
    people: Dn,
    name: &str,
    password: Secret,
) -> Result<Option<Identity>, Error> {
    let Ok(uid) = "uid".parse::<AttributeDescription>() else { return Ok(None) };
    let search = Search::new(people, Scope::Subtree, Filter::equality(uid, name)).attributes(["1.1"]);
    let Some(person) = directory.search_optional(Request::new(search, Actor::Service)).await? else {
        return Ok(None);
    };
    let mut session = sessions.open(Peer::in_process()).await?;
    match session
        .bind(BindStep::simple(person.dn_str(), password), Deadline::after(Duration::from_secs(10)))
        .await?
    {
        BindReply::Done { actor: Actor::User(identity), .. } => Ok(Some(identity)),
        _ => Ok(None),
    }
}

/// A paged stream: only a conversation has it, since a cookie is good on its own connection only.
async fn paged(sessions: &dyn Sessions, base: Dn) -> Result<usize, Error> {
    let session = sessions.open(Peer::in_process()).await?;
    let search = Request::new(Search::new(base, Scope::Subtree, Filter::any()), Actor::Anonymous);
    let mut entries: Entries<'_> = session.search_pages(search, 500);
    let mut kept: Vec<Entry> = Vec::new();
    while let Some(batch) = entries.next_batch().await? {
        for item in batch.iter() {
            match item.get() {
                Item::Entry(entry) => kept.push(entry.to_entry()),
                Item::Reference(urls) => drop(urls),
                _ => {}
            }
        }
    }
    Ok(kept.len())
}

/// All that changes something, as an administrator's tool does it.
async fn changes(directory: &impl Directory, admin: Identity) -> Result<(), AnyError> {
    let actor = || Actor::User(admin.clone());
    let (cn, sn, class) = ("cn".parse()?, "sn".parse()?, "objectClass".parse()?);
    let parent: Dn = "ou=people,dc=example".parse()?;
    let dn = parent.child(&Rdn::new(&cn, b"Ada Nordin"));
    let attributes = Attributes::builder()
        .attribute(&class, ["person"])
        .attribute(&cn, ["Ada Nordin"])
        .attribute(&sn, ["Nordin"])
        .build();
    directory.add(Request::new(Add::new(dn.clone(), attributes), actor())).await?;
    let modify = Modify::new(dn.clone()).change(ChangeKind::Replace, sn.clone(), ["Norden"]);
    directory.modify(Request::new(modify, actor())).await?;
    let compare = Compare { dn: dn.clone(), attribute: sn, value: "Norden".into() };
    let _same: bool = directory.compare(Request::new(compare, actor())).await?;
    let new_rdn: Rdn = "cn=Ada Norden".parse()?;
    let rename =
        Rename { dn: dn.clone(), new_rdn: new_rdn.clone(), delete_old_rdn: true, new_superior: None };
    directory.rename(Request::new(rename, actor())).await?;
    let change =
        PasswordModify { user: None, old: None, new: Some(Secret::from("a long and winding phrase")) };
    directory.extended::<PasswordModify>(Request::new(change.request(), actor())).await?;
    directory.delete(Request::new(Delete { dn: parent.child(&new_rdn) }, actor())).await?;
    Ok(())
}

/// A policy is asked where filters are evaluated; it names rights, not operations.
fn policy(target_is_self: bool, right: AttributeRight, entry: EntryRight) -> bool {
    matches!((right, entry), (AttributeRight::Read, EntryRight::Disclose)) || target_is_self
}

#[test]
fn the_sketches_compile() {
    let _ = (command_line_search, listener, proxy, sign_in, paged, policy);
    let _ = async |directory: &Layered<Arc<dyn Directory>, ReadOnly>, id: Identity| {
        let _ = tap(directory, Dn::root(), &mut Vec::new()).await;
        let _ = changes(directory, id).await;
    };
}
