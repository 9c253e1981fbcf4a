//! Questions about access that are not part of an operation: may this password be used to bind, and why is it so.

use std::sync::Arc;

use flext_ldap_directory::{
    AccessPolicy, Actor, AttributeRight, Error, Identity, Outcome, Peer, Requester, Target,
};
use flext_ldap_proto::{dn::Dn, result::ResultCode};

use super::{
    AccessRules, Explanation,
    standing::{About, Standing},
};
use crate::{
    context::{Caller, base},
    read::{Named, Resolved},
    store::Store,
    tables::Failure,
};

impl Store {
    /// Whether the password of an entry may be used to bind from this peer. The administrator's always may.
    pub(crate) fn may_authenticate(&self, identity: &Identity, peer: &Peer) -> Result<bool, Failure> {
        let context = &*self.context();
        let Some(dn) = identity.dn() else { return Ok(false) };
        let named = Named { dn: dn.to_string(), key: context.key(dn)? };
        if context.administrator.as_ref().is_some_and(|one| one.key == named.key) {
            return Ok(true);
        }
        let caller = Caller::new(Actor::Anonymous, peer.clone());
        let tables = self.snapshot()?;
        let access = context.access(&caller, &*tables)?;
        let may = access.attribute(&named, "userPassword", AttributeRight::Authenticate);
        access.settled()?;
        Ok(may)
    }
}

impl Store {
    /// Explains what whoever binds as `who` (nobody: anonymous) from `peer` may do by `rules` to the entry `on`, or to
    /// an attribute of it. Groups and the entry are looked up in this store; its own policy is not asked.
    ///
    /// # Errors
    ///
    /// A name or an attribute that the schema does not know, and whatever reading meets.
    pub fn explain_access(
        &self,
        rules: &AccessRules,
        who: Option<&Dn>,
        peer: &Peer,
        on: &Dn,
        attribute: Option<&str>,
    ) -> Result<Explanation, Error> {
        self.explained(rules, who, peer, on, attribute).map_err(|failure| match failure {
            Failure::Failed(error) => error,
            Failure::Refused(result) => Error::rejected(Outcome::new(result)),
        })
    }

    fn explained(
        &self,
        rules: &AccessRules,
        who: Option<&Dn>,
        peer: &Peer,
        on: &Dn,
        attribute: Option<&str>,
    ) -> Result<Explanation, Failure> {
        let context = &*self.context();
        let rules = rules.settled(&context.schema);
        let attribute = match attribute.map(|name| (name, context.schema.attribute_type(base(name)))) {
            None => None,
            Some((_, Some(kind))) => Some(kind.name()),
            Some((name, None)) => {
                return Err(Failure::refused(
                    ResultCode::UNDEFINED_ATTRIBUTE_TYPE,
                    format!("attribute type `{name}` is not defined"),
                ));
            }
        };
        // Nobody acts as them: it is only said what would be.
        let actor =
            who.map_or(Actor::Anonymous, |dn| Actor::User(Identity::from_successful_bind(dn.clone())));
        let key = who.map(|dn| context.key(dn).map(Arc::new)).transpose()?;
        let caller = Caller::new(actor, peer.clone());
        let named = Named { dn: on.to_string(), key: context.key(on)? };
        let tables = self.snapshot()?;
        let policy: Arc<dyn AccessPolicy> = Arc::new(rules.clone());
        let requester = Requester { actor: &caller.actor, dn: key.as_deref(), peer: &caller.peer };
        let about = About { context, entries: &*tables, caller: &caller, key: key.as_deref() };
        let rights = policy.rights_of(requester, &about)?;
        let standing = Standing { key: key.clone(), rights: Some((policy, rights)) };
        let access = context.access_of(&caller, &*tables, standing);
        let seen = access.at(&named);
        let target = Target { dn: &named.key, is_self: key.as_deref() == Some(&named.key), entry: &seen };
        let mut explanation = rules.explain(requester, &about, target, &named.dn, attribute)?;
        if seen.seen().is_none() {
            explanation
                .notes
                .push("there is no such entry; it matches no filter and names nobody".to_owned());
        }
        access.settled()?;
        if let Some(who) = who
            && !context.is_unrestricted(&caller).1
            && matches!(context.resolve(&*tables, &context.key(who)?)?, Resolved::Missing(_))
        {
            explanation.notes.push(format!("there is no entry `{who}`: nobody can sign in by this name"));
        }
        if context.is_unrestricted(&caller).1 {
            for verdict in &mut explanation.rights {
                verdict.allowed = true;
            }
            explanation
                .notes
                .push("the store's administrator may do everything, whatever the rules say".to_owned());
        }
        if attribute.is_some_and(|name| context.is_password(name)) {
            for verdict in &mut explanation.rights {
                if ["compare", "search", "read"].contains(&verdict.right.as_str()) {
                    (verdict.allowed, verdict.never, verdict.rule) = (false, true, None);
                }
            }
            explanation
                .notes
                .push("passwords are not searched, compared or read, whatever the rules say".to_owned());
        }
        Ok(explanation)
    }
}
