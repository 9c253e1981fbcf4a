//! kill -9 while indexes are built and removed under a store that serves and is written to.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use flext_ldap_directory::{
    Actor, Directory as _, Event, Request,
    proto::{
        entry::Entry,
        filter::Filter,
        message::{Change, ChangeKind, Modify, Scope, Search},
        result::ResultCode,
    },
};
use flext_ldap_store::{ImportOptions, IndexConfig, IndexStage, Store, StoreOptions};

use super::{SUFFIX, ask, check, killed, name, open, tell};

const PEOPLE: usize = 3_000;

/// How long indexes may take to be whole.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the process that is killed does: opens the store with other indexes than it has, and writes meanwhile.
pub(crate) async fn build(folder: &Path, round: u32) -> anyhow::Result<()> {
    let indexes = if round.is_multiple_of(2) { IndexConfig::default() } else { IndexConfig::none() };
    let store = Store::open(StoreOptions::folder(folder).suffix(SUFFIX.parse()?).indexes(indexes))?;
    for count in 0.. {
        // Those at the end are looked at last.
        let number = PEOPLE - 1 - (count * 7) % PEOPLE;
        let uid = format!("crew{number}");
        let change = Change {
            kind: ChangeKind::Replace,
            attribute: "sn".parse()?,
            values: vec![format!("Master {round}").into()],
        };
        ask(&store, Modify { dn: name(&uid)?, changes: vec![change] }).await?;
        tell(&uid)?;
    }
    Ok(())
}

pub(crate) async fn rounds_of(rounds: u32) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let options = StoreOptions::folder(folder.path()).suffix(SUFFIX.parse()?).indexes(IndexConfig::none());
    let store = Store::open(options)?;
    let report = store.import(people()?.as_bytes(), &ImportOptions::default(), &mut |_| {})?;
    ensure!(report.refused == 0, "{:?}", report.refusals);
    store.close();
    drop(store);
    let (mut acknowledged, mut halves) = (0, 0);
    for round in 0..rounds {
        let told = killed("build", folder.path(), round)?;
        acknowledged += told.len();
        // With the indexes that it has, or is to have.
        let store = open(folder.path()).with_context(|| format!("round {round}"))?;
        halves += u32::from(!is_settled(&store)?);
        let all = verify(&store).await.with_context(|| format!("round {round}, at once"))?;
        for uid in told {
            let found = all.iter().find(|entry| entry.text("uid") == Some(&uid));
            let sn = found.and_then(|entry| entry.text("sn"));
            ensure!(sn == Some(&format!("Master {round}")), "round {round}: {uid} is {sn:?}");
        }
        // Some are left half done for the next, which wants others.
        if round % 3 != 2 {
            let deadline = Instant::now() + PATIENCE;
            while !is_settled(&store)? {
                ensure!(Instant::now() < deadline, "round {round}: {:?}", store.index_progress()?);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            verify(&store).await.with_context(|| format!("round {round}, when all is done"))?;
        }
        check(&store).with_context(|| format!("round {round}"))?;
        store.close();
    }
    ensure!(rounds < 4 || halves > 0, "no index was ever caught half done");
    writeln!(
        std::io::stdout(),
        "{rounds} rounds, {halves} with indexes half done, {acknowledged} acknowledged writes, none lost, no fault"
    )?;
    Ok(())
}

fn is_settled(store: &Store) -> anyhow::Result<bool> {
    Ok(store.index_progress()?.iter().all(|one| one.stage == IndexStage::Ready))
}

/// Searches by what may have an index find what a look at every entry does. Returns all entries.
async fn verify(store: &Store) -> anyhow::Result<Vec<Entry>> {
    let all = search(store, Filter::any()).await?;
    ensure!(all.len() == PEOPLE + 1, "there are {} entries", all.len());
    let is = |attribute: &'static str, test: fn(&str) -> bool| {
        let found = all.iter().filter(|entry| entry.text(attribute).is_some_and(test));
        found.map(|entry| entry.dn_str().to_owned()).collect::<BTreeSet<_>>()
    };
    for (filter, expected) in [
        ("(uid=crew7)", is("uid", |uid| uid == "crew7")),
        ("(sn=quay)", is("sn", |sn| sn == "Quay")),
        ("(sn=master*)", is("sn", |sn| sn.starts_with("Master"))),
        ("(cn=*crew 29*)", is("cn", |cn| cn.contains("Crew 29"))),
        ("(mail=crew1*)", is("mail", |mail| mail.starts_with("crew1"))),
        ("(&(mail=*9@*)(sn=*ay))", {
            let (mail, sn) = (is("mail", |mail| mail.contains("9@")), is("sn", |sn| sn.ends_with("ay")));
            mail.intersection(&sn).cloned().collect()
        }),
    ] {
        let found = search(store, filter.parse()?).await?;
        let found: BTreeSet<_> = found.iter().map(|entry| entry.dn_str().to_owned()).collect();
        ensure!(found == expected, "{filter} finds {} of {} entries", found.len(), expected.len());
    }
    Ok(all)
}

async fn search(store: &Store, filter: Filter) -> anyhow::Result<Vec<Entry>> {
    let search = Search::new(SUFFIX.parse()?, Scope::Subtree, filter);
    let mut reply = store.call(Request::new(search, Actor::Service).into_any());
    let mut found = Vec::new();
    loop {
        match reply.next().await? {
            Event::Batch(batch) => found.extend(batch.entries().map(|entry| entry.to_entry())),
            Event::Done(outcome) if outcome.result.code == ResultCode::SUCCESS => return Ok(found),
            Event::Done(outcome) => bail!("{outcome:?}"),
        }
    }
}

/// The people, as LDIF.
fn people() -> anyhow::Result<String> {
    let mut out = format!(
        "dn: {SUFFIX}\nobjectClass: organization\nobjectClass: dcObject\no: Harbour Lane Instruments\n\n"
    );
    for number in 0..PEOPLE {
        write!(
            out,
            "dn: uid=crew{number},{SUFFIX}\nobjectClass: inetOrgPerson\ncn: Crew {number} Quay\nsn: Quay\n\
             mail: crew{number}@harbourlane.example\n\n"
        )?;
    }
    Ok(out)
}
