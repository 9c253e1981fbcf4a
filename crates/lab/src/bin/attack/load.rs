//! More work than anybody needs: operations by the thousand, passwords, filters and entries that cost much.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use flext_ldap_directory::proto::{
    attribute::{Attributes, Selection},
    ber::{Tag, Writer},
    dn::Dn,
    extended::{ExtendedOperation as _, WhoAmI},
    filter::{Filter, Node, Substrings},
    message::{Add, Compare, Delete, MessageId, Request, Scope, Search},
    result::ResultCode,
};
use tokio::{io::AsyncWriteExt as _, task::JoinSet};

use crate::{
    Form,
    target::{ADMIN, ADMIN_PASSWORD, PEOPLE, SUFFIX, Target, USER, USER_PASSWORD},
    wire::{Way, Wire, bind, encoded, last, search, tcp_from},
};

fn lookup(number: usize) -> Result<Request> {
    search(Filter::equality("uid".parse()?, format!("crew{number}")), Selection::from(["cn"]))
}

fn person(uid: &str) -> Result<Add> {
    let mut attributes = Attributes::builder();
    attributes.push("objectClass", ["inetOrgPerson"]);
    attributes.push("cn", [uid]);
    attributes.push("sn", ["Quay"]);
    Ok(Add::new(format!("uid={uid},{SUFFIX}").parse()?, attributes.build()))
}

/// Writes all octets on a task of its own, and returns what is read meanwhile, which also owns the connection's end.
fn sending(wire: Wire, octets: Vec<u8>) -> (Wire, tokio::task::JoinHandle<std::io::Result<()>>) {
    let (read, mut write) = tokio::io::split(wire.stream);
    let writing = tokio::spawn(async move {
        write.write_all(&octets).await?;
        write.flush().await
    });
    (Wire::new(tokio::io::join(read, tokio::io::sink())), writing)
}

/// (e) 10,000 operations in one go: each is answered once, and what was abandoned at most once.
pub(crate) async fn pipeline(target: &Target, form: Form) -> Result<String> {
    const OPERATIONS: u32 = 10_000;
    let mut wire = Wire::connect(target, Way::Plain).await?;
    ensure!(wire.ask(1, &bind(ADMIN, ADMIN_PASSWORD)).await? == ResultCode::SUCCESS, "no bind");
    let mut sent = Vec::new();
    // How many answers each must have at least, and has.
    let mut answers: HashMap<u32, (u32, u32)> = HashMap::new();
    let writes = form.of(50, 5);
    let mut adds = 0;
    for id in 2..OPERATIONS + 2 {
        let number = usize::try_from(id)?;
        let request = match number % 5 {
            0 if number.is_multiple_of(writes) => {
                adds += 1;
                Request::Add(person(&format!("new{id}"))?)
            }
            0 | 1 => Request::Compare(Compare {
                dn: format!("uid=crew{},{SUFFIX}", number % PEOPLE).parse()?,
                attribute: "sn".parse()?,
                value: Bytes::from_static(b"Quay"),
            }),
            // What was asked just before, a compare: it may be answered already.
            2 => Request::Abandon(MessageId(id - 1)),
            _ => lookup(number % PEOPLE)?,
        };
        if let Request::Abandon(MessageId(other)) = request {
            answers.insert(other, (0, 0));
        } else {
            answers.insert(id, (1, 0));
        }
        sent.extend_from_slice(&encoded(id, &request));
    }
    let started = Instant::now();
    let (mut wire, writing) = sending(wire, sent);
    let mut left = answers.values().filter(|(least, _)| *least == 1).count();
    while left > 0 {
        let (id, response) = wire.next().await?.context("the connection was closed")?;
        let Some(code) = last(&response) else { continue };
        ensure!(matches!(code, ResultCode::SUCCESS | ResultCode::COMPARE_TRUE), "{id} was answered {code}");
        let (least, had) = answers.get_mut(&id).with_context(|| format!("{id} was not asked"))?;
        *had += 1;
        ensure!(*had == 1, "{id} was answered again");
        left -= usize::try_from(*least)?;
    }
    writing.await??;
    Ok(format!("all answered in {:.1} s, {adds} adds among them", started.elapsed().as_secs_f64()))
}

/// (g) Wrong passwords without end, from another address.
pub(crate) async fn guesses(target: &Target, form: Form) -> Result<String> {
    let count = form.of(32, 300);
    let until = Instant::now() + Duration::from_secs(if form == Form::Short { 4 } else { 30 });
    let mut peers = JoinSet::new();
    for number in 0..count {
        let mut wire = Wire::new(tcp_from([127, 0, 0, 2], target.plain).await?);
        peers.spawn(async move {
            let (mut wrong, mut busy) = (0_u64, 0_u64);
            // Some are for a name that is there, some for one that is not.
            let name = if number % 2 == 0 { USER.to_owned() } else { format!("uid=nobody{number},{SUFFIX}") };
            let mut id = 0;
            while Instant::now() < until {
                id += 1;
                match wire.ask(id, &bind(&name, &format!("guess {id}"))).await? {
                    ResultCode::INVALID_CREDENTIALS => wrong += 1,
                    ResultCode::BUSY => busy += 1,
                    other => anyhow::bail!("a wrong password was answered {other}"),
                }
            }
            anyhow::Ok((wrong, busy))
        });
    }
    let (mut wrong, mut busy) = (0, 0);
    while let Some(peer) = peers.join_next().await {
        let (one, other) = peer??;
        (wrong, busy) = (wrong + one, busy + other);
    }
    Ok(format!("{count} guessers: {wrong} times wrong, {busy} times `busy`; who signs in rightly gets in"))
}

/// A substring assertion that goes far into every description before it fails.
fn substrings(number: usize) -> Result<Filter> {
    let any = ["ropes", "boat", "house"].into_iter().map(|part| Bytes::from_static(part.as_bytes()));
    let any = any.chain([Bytes::from(format!("whale {number}"))]).collect();
    let node = Node::Substrings("description".parse()?, Substrings { initial: None, any, last: None });
    Filter::leaf(node).context("a leaf")
}

/// A delete of a name that no `Dn` holds: of more octets or parts than one may have.
fn named(name: &str) -> Bytes {
    let mut writer = Writer::new();
    writer.sequence(|message| {
        message.integer(2);
        message.primitive(Tag::application(10), name.as_bytes());
    });
    writer.take()
}

/// A filter under so many levels of `&`.
fn nested(levels: usize) -> Result<Filter> {
    let mut filter = substrings(0)?;
    for _ in 0..levels {
        filter = Filter::and([filter]);
    }
    Ok(filter)
}

/// (h) What one person who may sign in can ask for.
pub(crate) async fn bombs(target: &Target, form: Form) -> Result<String> {
    use ResultCode as Code;
    let seconds = u32::try_from(form.of(1, 5))?;
    let limited = |filter: Filter, attributes: Selection| {
        let mut search = Search::new(SUFFIX.parse()?, Scope::Subtree, filter);
        search.attributes = attributes;
        search.time_limit = seconds;
        anyhow::Ok(encoded(2, &Request::Search(search)))
    };
    let nothing = Selection::none;
    let leaves = |count: usize| {
        (0..count)
            .map(|number| Filter::equality("cn".parse().ok()?, format!("{number}")).into())
            .collect::<Option<Vec<_>>>()
            .context("leaves")
    };
    let many_names =
        |count: usize| (0..count).map(|number| format!("x-attribute-{number}")).collect::<Selection>();
    let deep_name: Dn = format!("{}{SUFFIX}", "cn=a,".repeat(900)).parse()?;
    let long_name: Dn = format!("cn={},{SUFFIX}", "a".repeat(60 << 10)).parse()?;
    let at = |base: Dn| encoded(2, &Request::Search(Search::new(base, Scope::Subtree, Filter::any())));
    let refused: &[Code] = &[Code::ADMIN_LIMIT_EXCEEDED];
    let worked: &[Code] = &[Code::SUCCESS, Code::TIME_LIMIT_EXCEEDED];
    let substring_bomb = Filter::or((0..1_000).map(substrings).collect::<Result<Vec<_>>>()?);
    let bombs: Vec<(&str, Bytes, &[Code])> = vec![
        ("1,000 substring assertions", limited(substring_bomb, nothing())?, worked),
        ("900 levels", limited(nested(900)?, nothing())?, worked),
        ("1,001 levels", limited(nested(1_001)?, nothing())?, refused),
        ("9,000 assertions", limited(Filter::or(leaves(9_000)?), nothing())?, worked),
        ("20,000 assertions", limited(Filter::or(leaves(20_000)?), nothing())?, refused),
        ("200,000 assertions", limited(Filter::or(leaves(200_000)?), nothing())?, refused),
        ("9,000 attributes", limited(Filter::any(), many_names(9_000))?, worked),
        ("20,000 attributes", limited(Filter::any(), many_names(20_000))?, refused),
        ("a name of 900 parts", at(deep_name), &[Code::NO_SUCH_OBJECT]),
        ("a name of a million parts", named(&"cn=a,".repeat(1_000_000)), &[Code::INVALID_DN_SYNTAX]),
        ("a name of 60 KiB", at(long_name), &[Code::NO_SUCH_OBJECT]),
        ("a name of 19 MiB", named(&"cn=a".repeat(4_900_000)), &[Code::INVALID_DN_SYNTAX]),
    ];
    let mut peers = JoinSet::new();
    let count = bombs.len();
    for (number, (name, bomb, allowed)) in bombs.into_iter().enumerate() {
        let mut wire = Wire::connect(target, Way::of(number)).await?;
        let code = wire.ask(1, &bind(USER, USER_PASSWORD)).await?;
        ensure!(code == Code::SUCCESS, "no bind: {code}");
        peers.spawn(async move {
            let started = Instant::now();
            let code = wire.answer(2, &bomb).await.context(name)?;
            ensure!(allowed.contains(&code), "{name} was answered {code}");
            anyhow::Ok((started.elapsed(), name))
        });
    }
    let mut longest = (Duration::ZERO, "");
    while let Some(peer) = peers.join_next().await {
        longest = longest.max(peer??);
    }
    let large = large_entries(target, form).await?;
    Ok(format!("{count} kinds, the longest {:.1} s ({}); {large}", longest.0.as_secs_f64(), longest.1))
}

/// Entries as large as a message may be, of one value and of very many: added, searched by their values, deleted.
async fn large_entries(target: &Target, form: Form) -> Result<String> {
    let mut wire = Wire::connect(target, Way::Tls).await?;
    ensure!(wire.ask(1, &bind(ADMIN, ADMIN_PASSWORD)).await? == ResultCode::SUCCESS, "no bind");
    let values = form.of(5_000, 500_000);
    let one: Vec<Vec<u8>> = vec![vec![b'x'; (20 << 20) - (65 << 10)]];
    let many: Vec<Vec<u8>> = (0..values).map(|number| format!("{number:08}").into_bytes()).collect();
    let mut times = Vec::new();
    for (id, (uid, description)) in (2..).step_by(4).zip([("one", one), ("many", many)]) {
        let mut attributes = Attributes::builder();
        attributes.push("objectClass", ["inetOrgPerson"]);
        attributes.push("cn", [uid]);
        attributes.push("sn", ["Quay"]);
        attributes.push("description", description);
        let dn: Dn = format!("uid={uid},{SUFFIX}").parse()?;
        let started = Instant::now();
        let code = wire.ask(id, &Request::Add(Add::new(dn.clone(), attributes.build()))).await?;
        ensure!(code == ResultCode::SUCCESS, "an entry with {uid} was answered {code}");
        let added = started.elapsed();
        searched(target, &dn, form).await?;
        let searched = started.elapsed();
        let code = wire.ask(id + 1, &Request::Delete(Delete { dn })).await?;
        ensure!(code == ResultCode::SUCCESS, "deleting the entry with {uid} was answered {code}");
        let deleted = started.elapsed();
        let [added, searched, deleted] =
            [added, searched - added, deleted - searched].map(|time| time.as_secs_f64());
        times.push(format!("{added:.1}, {searched:.1} and {deleted:.1} s"));
    }
    let [one, many] = times.as_slice() else { anyhow::bail!("two entries") };
    Ok(format!("an entry of 20 MiB added, searched and deleted in {one}; one of {values} values in {many}"))
}

/// Asks from several connections for what takes a look at all there is of an entry, many times over.
async fn searched(target: &Target, dn: &Dn, form: Form) -> Result<()> {
    let filter = Filter::or((0..form.of(2, 20)).map(substrings).collect::<Result<Vec<_>>>()?);
    let mut search = Search::new(dn.clone(), Scope::Base, filter);
    search.time_limit = u32::try_from(form.of(1, 5))?;
    let asked = encoded(2, &Request::Search(search));
    let mut peers = JoinSet::new();
    for number in 0..4 {
        let mut wire = Wire::connect(target, Way::of(number)).await?;
        ensure!(wire.ask(1, &bind(USER, USER_PASSWORD)).await? == ResultCode::SUCCESS, "no bind");
        let asked = asked.clone();
        peers.spawn(async move { wire.answer(2, &asked).await });
    }
    while let Some(code) = peers.join_next().await {
        let code = code??;
        let is_right = matches!(code, ResultCode::SUCCESS | ResultCode::TIME_LIMIT_EXCEEDED);
        ensure!(is_right, "a search of {dn} was answered {code}");
    }
    Ok(())
}

/// (j) Searches that are abandoned with the next message, and ids nobody has asked with.
pub(crate) async fn abandons(target: &Target, form: Form) -> Result<String> {
    let pairs = u32::try_from(form.of(2_000, 50_000))?;
    let everything = crate::wire::everything()?;
    let mut sent = Vec::new();
    for id in 1..=pairs {
        sent.extend_from_slice(&encoded(id, &everything));
        sent.extend_from_slice(&encoded(pairs + id, &Request::Abandon(MessageId(id))));
        sent.extend_from_slice(&encoded(pairs + id, &Request::Abandon(MessageId(3 * pairs + id))));
    }
    let last_id = 2 * pairs + 1;
    sent.extend_from_slice(&encoded(last_id, &Request::Extended(WhoAmI.request())));
    let started = Instant::now();
    let mut entries = 0_u64;
    for way in Way::ALL {
        let wire = Wire::connect(target, way).await?;
        let (mut wire, writing) = sending(wire, sent.clone());
        loop {
            let (id, response) = wire.next().await?.context("the connection was closed")?;
            if id == last_id {
                ensure!(last(&response) == Some(ResultCode::SUCCESS), "{way:?}: {response:?}");
                break;
            }
            entries += 1;
        }
        writing.await??;
    }
    let seconds = started.elapsed().as_secs_f64();
    Ok(format!(
        "three times {pairs} searches and {} abandons in {seconds:.1} s; {entries} entries came",
        2 * pairs
    ))
}
