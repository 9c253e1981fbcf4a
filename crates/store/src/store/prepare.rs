//! What is settled when a store is opened: tables, schema, indexes, suffixes, keys.

use std::sync::{Arc, atomic::Ordering};

use flext_ldap_directory::{Error, ErrorKind};
use flext_ldap_proto::dn::Dn;
use sha2::{Digest, Sha256};

use super::NAMES_ROW;
use crate::{
    check,
    constraint::Constraints,
    context::{Administrator, Context},
    index::{self, Indexes},
    migrate,
    options::StoreOptions,
    ppolicy::PasswordPolicy,
    project::is_computed_name,
    row::{Id, ROOT, tree_key},
    subschema::Subschema,
    tables::{Counts, Failure, Name, Writable, storage_error},
    values::rekey,
    write::former_suffixes,
    writer::{STEPS, State},
};

/// What earlier versions keep in place of [`NAMES_ROW`], of names and indexes. Where it is, one of them has made the indexes.
const INDEX_ROW: &[u8] = b"index";
const PAGE_KEY_ROW: &[u8] = b"page-key";

/// Makes the tables if there are none, and settles what depends on them and on the options.
pub(super) fn prepare(
    database: &redb::Database,
    options: StoreOptions,
    counts: &Arc<Counts>,
) -> Result<(Context, State), Failure> {
    let mut transaction = database.begin_write().map_err(storage_error)?;
    // A crash before the first write then needs no recovery.
    transaction.set_quick_repair(true);
    let (context, state) = {
        let mut tables = Writable::open(&transaction, Arc::clone(counts))?;
        migrate::migrate(&mut tables)?;
        let was_loaded = tables.meta.get(STEPS)?.is_some();
        if was_loaded {
            tracing::warn!("a load came to no end: what it left is put in order");
            tables.put(Name::Meta, STEPS, None)?;
        }
        let rebuild = options.rebuild || was_loaded;
        if rebuild {
            check::rebuild(&mut tables, NAMES_ROW)?;
            index::clear(&mut tables)?;
        }
        let state = State::read(&tables)?;
        let (subschema, schema) = Subschema::open(options.schema, &tables)?;
        let passwords = Context::password_types(&schema);
        let config = options.indexes.unwrap_or_else(|| tables.standing.config());
        let is_apart = |name: &str| is_computed_name(name) || passwords.contains(&name.to_ascii_lowercase());
        let mut indexes = Indexes::new(&schema, &config, &is_apart).map_err(misuse)?;
        let constraints = Constraints::new(options.constraints, &schema, &indexes)?;
        constraints.need(&schema, &mut indexes);
        let mut context = Context {
            suffixes: Vec::new(),
            policy: options.policy.for_schema(&schema).unwrap_or(options.policy),
            administrator: None,
            certificate_rules: options.certificate_rules,
            peer_administrators: options.peer_administrators,
            limits: options.limits,
            form: options.form,
            ppolicy: options.ppolicy,
            time: options.time,
            page_key: page_key(&mut tables)?,
            marks: Arc::default(),
            passwords,
            subschema,
            constraints,
            indexes,
            index_listener: options.index_listener,
            unindexed: options.unindexed,
            slow: options.slow,
            long_work: options.long_work,
            schema,
        };
        let is_told = !options.suffixes.is_empty();
        let mut suffixes = options.suffixes;
        for (_, id) in tables.children(ROOT, None, usize::MAX)? {
            let stored = tables.existing_node(id)?.name;
            suffixes.push(stored.parse().map_err(|_| Failure::damaged("a naming context"))?);
        }
        for suffix in suffixes {
            add_suffix(&mut context, suffix)?;
        }
        if !is_told {
            for suffix in former_suffixes(&tables)?.iter().filter_map(|name| name.parse().ok()) {
                // One that the others or the schema have no room for any more has no entries either.
                let _ = add_suffix(&mut context, suffix);
            }
        }
        if let Some((dn, password)) = options.administrator {
            let key = context
                .schema
                .dn_key(&dn)
                .map_err(|error| misuse(format!("the administrator's name: {error}")))?;
            let salt = uuid::Uuid::new_v4().into_bytes().to_vec();
            let digest =
                Sha256::new().chain_update(&salt).chain_update(password.expose()).finalize().to_vec();
            if password.is_empty() {
                return Err(misuse("the administrator's password is empty".to_owned()));
            }
            context.administrator = Some(Administrator { dn, key, salt, digest });
        }
        rebuild_keys(&context, &mut tables)?;
        if tables.meta.get(INDEX_ROW)?.is_some() {
            index::clear(&mut tables)?;
            tables.put(Name::Meta, INDEX_ROW, None)?;
        }
        PasswordPolicy::seek_default(&context, &tables)?;
        counts.deferred.store(tables.deferred()?.ids().count() as u64, Ordering::Relaxed);
        index::reconcile(&mut tables, &context.indexes)?;
        index::settle_needed(&context, &mut tables)?;
        if rebuild {
            index::settle_all(&context, &mut tables)?;
        }
        (context, state)
    };
    transaction.commit().map_err(storage_error)?;
    Ok((context, state))
}

fn misuse(message: String) -> Failure {
    Failure::Failed(Error::new(ErrorKind::Misuse, message))
}

fn add_suffix(context: &mut Context, suffix: Dn) -> Result<(), Failure> {
    let key = context
        .schema
        .dn_key(&suffix)
        .map_err(|error| misuse(format!("the naming context `{suffix}`: {error}")))?;
    if key.is_root() {
        return Err(misuse("the root cannot be a naming context".to_owned()));
    }
    for (other, other_key) in &context.suffixes {
        if *other_key == key {
            return Ok(());
        }
        if key.is_within(other_key) || other_key.is_within(&key) {
            return Err(misuse(format!(
                "the naming contexts `{other}` and `{suffix}` stand one below the other"
            )));
        }
    }
    context.suffixes.push((suffix, key));
    Ok(())
}

fn page_key(tables: &mut Writable<'_>) -> Result<Vec<u8>, Failure> {
    if let Some(row) = tables.meta.get(PAGE_KEY_ROW)? {
        return Ok(row.value().to_vec());
    }
    let key = [uuid::Uuid::new_v4().into_bytes(), uuid::Uuid::new_v4().into_bytes()].concat();
    tables.put(Name::Meta, PAGE_KEY_ROW, Some(&key))?;
    Ok(key)
}

/// Makes the keys of names, and of the values of large attributes, anew where they were made by other rules than today's.
fn rebuild_keys(context: &Context, tables: &mut Writable<'_>) -> Result<(), Failure> {
    const AT_ONCE: usize = 1_000;
    let wanted = Indexes::names_definition(&context.schema);
    if tables.meta.get(NAMES_ROW)?.is_some_and(|row| row.value() == wanted) {
        return Ok(());
    }
    let mut from = ROOT + 1;
    loop {
        let ids = tables.ids(from, AT_ONCE)?;
        let Some(last) = ids.last() else { break };
        from = last.saturating_add(1);
        for id in ids {
            rename_key(context, tables, id)?;
            let Some(stored) = tables.stored(id)? else { continue };
            for large in stored.large() {
                rekey(context, tables, large)?;
            }
        }
    }
    tables.put(Name::Meta, NAMES_ROW, Some(&wanted))
}

/// Makes the key of one name anew.
fn rename_key(context: &Context, tables: &mut Writable<'_>, id: Id) -> Result<(), Failure> {
    let mut node = tables.existing_node(id)?;
    let unnamed = || {
        Failure::Failed(Error::new(
            ErrorKind::Misuse,
            format!(
                "the schema given cannot compare the stored name `{}`; open the store with its own",
                node.name
            ),
        ))
    };
    let name: Dn = node.name.parse().map_err(|_| unnamed())?;
    let key = context.schema.dn_key(&name).map_err(|_| unnamed())?.rdns().to_vec();
    if key == node.key {
        return Ok(());
    }
    if tables.child(node.parent, &key)?.is_some() {
        return Err(Failure::Failed(Error::new(
            ErrorKind::Misuse,
            format!(
                "by the schema given, two entries have the name `{}`; open the store with its own",
                node.name
            ),
        )));
    }
    tables.put(Name::Tree, &tree_key(node.parent, &node.key), None)?;
    tables.put(Name::Tree, &tree_key(node.parent, &key), Some(&id.to_be_bytes()))?;
    node.key = key;
    tables.put(Name::Node, &id.to_be_bytes(), Some(&node.encode()))
}
