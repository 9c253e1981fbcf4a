//! Whether the proxy's account may act for its users, where `proxied_authorization` has it do so.
//!
//! Servers let everybody act for themselves and for nobody, so this takes somebody who is there: the first person below
//! `users_ou` or `base_dn` whom the account sees. Their own entry is looked for, once, on their behalf.

use std::io;

use flext_ldap::Config;
use flext_ldap_client::Connection;
use flext_ldap_directory::{
    Actor, DirectoryExt as _, ErrorKind, Request,
    proto::{
        attribute::Selection,
        control::ProxiedAuthorization,
        dn::Dn,
        filter::Filter,
        message::{Scope, Search},
        result::ResultCode,
    },
};

use super::{Report, entry};
use crate::{exit, output};

/// Entries looked at for a person who is not the account itself, and the longest name that is printed.
const ENTRIES: u32 = 2;
const LONGEST_NAME: usize = 1_000;

impl Report<'_> {
    /// `what` is what to call the account that `connection` is of.
    pub(super) async fn acts_for_others(
        &mut self,
        config: &Config,
        what: &str,
        connection: &Connection,
    ) -> io::Result<()> {
        let structure = &config.structure;
        let unknown =
            "whether it may act for others was not looked at, as `proxy.proxied_authorization` needs";
        let Some(base) = structure.users.as_ref().or(structure.base.as_ref()) else {
            let text = format!("{what}: {unknown}: neither `users_ou` nor `base_dn` says where users are");
            return self.line("note", &text);
        };
        let Some(user) = somebody(config, connection, base).await else {
            return self.line("note", &format!("{what}: {unknown}: it sees no person below `{base}`"));
        };
        let on_behalf = ProxiedAuthorization(format!("dn:{user}"));
        let asked = Request::new(entry(&user), Actor::Service).critical(&on_behalf);
        let Err(error) = connection.search_optional(asked.within(config.connection_timeout)).await else {
            // What the user does not see is not the account's doing.
            return self.line("ok", &format!("{what}: may act for `{user}`"));
        };
        if error.kind() != ErrorKind::Rejected {
            return self.fail(&format!("{what}, acting for `{user}`"), &error);
        }
        if error.result_code() == Some(ResultCode::UNAVAILABLE_CRITICAL_EXTENSION) {
            let text =
                "the server does not offer proxied authorization: each user of the proxy has a conversation";
            return self.line("note", text);
        }
        self.first.get_or_insert_with(|| exit::of_directory(&error));
        let evidence = output::chain(&error);
        let mend = "give it that right (`proxy` in an access rule of FLEXT-LDAP, `authzTo` with `authz-policy to` in \
                    slapd, `proxy` in an ACI of 389-ds), or leave `proxy.proxied_authorization` out";
        let text = format!(
            "{what}: may not act for `{user}`, so what users ask of the proxy fails; {evidence}; {mend}"
        );
        self.line("fail", &text)
    }
}

/// A person whom the account sees, and who is not the account.
async fn somebody(config: &Config, connection: &Connection, base: &Dn) -> Option<Dn> {
    let person = Filter::equality("objectClass".parse().ok()?, "person");
    let search = Search::new(base.clone(), Scope::Subtree, person).attributes(Selection::none());
    let request = Request::new(search.size_limit(ENTRIES), Actor::Service).within(config.connection_timeout);
    let mut people = connection.search(request);
    let own = match connection.actor() {
        Some(Actor::User(identity)) => identity.dn().map(Dn::to_string),
        _ => None,
    };
    for _ in 0..ENTRIES {
        let person = people.next().await.ok()??;
        let name = person.dn_str();
        let is_own = own.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(name));
        if !is_own && name.len() <= LONGEST_NAME {
            return name.parse().ok();
        }
    }
    None
}
