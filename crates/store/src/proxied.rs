//! Proxied authorization (RFC 4370): operations on behalf of somebody else, for those who have the right to act for
//! them.
//!
//! It is settled before anything else of an operation is looked at, so all that follows (access, who changed an entry,
//! page cookies, "Who am I?") knows only the one on whose behalf it is. Nobody acts for the store's administrator.

use flext_ldap_directory::{Actor, EntryRight, Identity};
use flext_ldap_proto::{
    control::{ControlValue, Controls, ProxiedAuthorization},
    dn::Dn,
    filter::{Filter, Truth},
    message::Limits,
    result::ResultCode,
};

use crate::{
    context::{Access, Caller, Context},
    index::Asked,
    meter::Meter,
    project::View,
    read::{Named, Resolved},
    row::Id,
    store::Store,
    tables::{Failure, Snapshot},
    write::holds,
};

/// Entries looked at for a user name. A directory where more have it has no name for one of them.
const NAMESAKES: u64 = 16;

impl Store {
    /// On whose behalf an operation is, and the controls that are left.
    pub(crate) fn proxied(
        &self,
        caller: Caller,
        mut controls: Controls,
    ) -> Result<(Caller, Controls), Failure> {
        let oid = ProxiedAuthorization::OID;
        let Some(control) = controls.iter().find(|control| control.oid == oid) else {
            return Ok((caller, controls));
        };
        if !control.critical || control.value.is_none() {
            return Err(Failure::refused(
                ResultCode::PROTOCOL_ERROR,
                "proxied authorization must be critical and have a value (RFC 4370, section 3)",
            ));
        }
        let asked = controls
            .get::<ProxiedAuthorization>(&Limits::DEFAULT)
            .map_err(|error| Failure::refused(ResultCode::PROTOCOL_ERROR, error.to_string()))?
            .unwrap_or_default();
        controls.remove(&oid);
        let (actor, account) = self.acting_for(&asked.0, &caller)?;
        let peer = caller.peer.clone();
        Ok((Caller { account, proxy: Some(Box::new(caller)), ..Caller::new(actor, peer) }, controls))
    }

    /// Whoever an authorization id (RFC 4513 §5.2.1.8) names. All that is wrong with one is answered alike, so nobody
    /// learns here who there is.
    pub(crate) fn acting_for(
        &self,
        authorization: &str,
        caller: &Caller,
    ) -> Result<(Actor, Option<Id>), Failure> {
        if matches!(authorization, "" | "dn:") {
            // Whoever asks gives up rights and gets none.
            return Ok((Actor::Anonymous, None));
        }
        let context = &*self.context();
        let tables = self.snapshot()?;
        let named = if let Some(dn) = authorization.strip_prefix("dn:") {
            by_dn(context, &tables, dn)?
        } else if let Some(user) = authorization.strip_prefix("u:") {
            by_user_name(context, &tables, user)?
        } else {
            None
        };
        let access = context.access(caller, &*tables)?;
        let named = named.filter(|(named, _)| may_act_for(context, &access, named));
        access.settled()?;
        let (dn, account) = named
            .and_then(|(named, account)| Some((named.dn.parse::<Dn>().ok()?, account)))
            .ok_or_else(denied)?;
        Ok((Actor::User(Identity::from_successful_bind(dn)), account))
    }
}

/// Whether somebody may act for whoever has this name.
pub(crate) fn may_act_for(context: &Context, access: &Access<'_>, named: &Named) -> bool {
    let is_administrator = context.administrator.as_ref().is_some_and(|one| one.key == named.key);
    access.key.as_deref() == Some(&named.key) || (!is_administrator && access.entry(named, EntryRight::Proxy))
}

pub(crate) fn denied() -> Failure {
    Failure::refused(ResultCode::AUTHORIZATION_DENIED, "no right to act for them")
}

/// A name, and the entry that has it; the administrator's needs none.
pub(crate) type Found = (Named, Option<Id>);

pub(crate) fn by_dn(context: &Context, tables: &Snapshot, dn: &str) -> Result<Option<Found>, Failure> {
    let Some(key) = dn.parse::<Dn>().ok().and_then(|dn| context.schema.dn_key(&dn).ok()) else {
        return Ok(None);
    };
    match context.resolve(tables, &key)? {
        Resolved::Found(id) => Ok(Some((tables.named(id)?, Some(id)))),
        Resolved::Missing(_) => {
            let own = context.administrator.as_ref().filter(|one| one.key == key);
            Ok(own.map(|one| (Named { dn: one.dn.to_string(), key: one.key.clone() }, None)))
        }
    }
}

/// The one entry with this `uid`.
pub(crate) fn by_user_name(
    context: &Context,
    tables: &Snapshot,
    user: &str,
) -> Result<Option<Found>, Failure> {
    by_value(context, tables, "uid", user.as_bytes())
}

/// The one entry with this value, where there is an index to find it by.
pub(crate) fn by_value(
    context: &Context,
    tables: &Snapshot,
    attribute: &str,
    value: &[u8],
) -> Result<Option<Found>, Failure> {
    let asked = Asked::Equality(value);
    let Some(keys) = context.indexes.lookup(&context.schema, &tables.standing, attribute, asked) else {
        return Ok(None);
    };
    let candidates = tables.candidates(&keys)?;
    if candidates.len() > NAMESAKES {
        return Ok(None);
    }
    let Ok(attribute) = attribute.parse() else { return Ok(None) };
    let filter = Filter::equality(attribute, value);
    let everybody = Caller::service();
    let access = context.access(&everybody, tables)?;
    let mut found = None;
    for id in candidates {
        let Some(stored) = tables.stored(id)? else { continue };
        let view = View { named: tables.named(id)?, stored, computed: Default::default() };
        if holds(context, tables, &filter, &access, &view, &Meter::budget())? == Truth::True {
            if found.is_some() {
                return Ok(None);
            }
            found = Some((view.named, Some(id)));
        }
    }
    Ok(found)
}
