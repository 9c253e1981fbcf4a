//! Entries that are not stored (root DSE, subschema), and answers for names that lead nowhere or elsewhere.

use std::sync::Arc;

use flext_ldap_directory::{EntryRight, Peer};
use flext_ldap_proto::{
    attribute::Attributes,
    dn::{Dn, DnKey},
    result::{LdapResult, ResultCode},
    url::LdapUrl,
};
use flext_ldap_sasl::Mechanism;
use roaring::RoaringBitmap;

use crate::{
    context::{Access, Context, SUBSCHEMA},
    controls::SUPPORTED,
    extended::Extension,
    index::Asked,
    known::Class,
    project::View,
    read::{Named, Resolved},
    row::{Id, ROOT, Stored},
    session,
    tables::{Failure, Rows, Tables},
};

/// Features (RFC 3674): all operational attributes, absolute true and false, increment, `@class`.
const FEATURES: [&str; 4] =
    ["1.3.6.1.4.1.4203.1.5.1", "1.3.6.1.4.1.4203.1.5.3", "1.3.6.1.1.14", "1.3.6.1.4.1.4203.1.5.2"];

/// The root DSE (RFC 4512 §5.1).
pub(crate) fn root_dse(context: &Context, peer: &Peer) -> View {
    let mut user = Attributes::builder();
    user.push("objectClass", ["top"]);
    let mut operational = Attributes::builder();
    operational.push("structuralObjectClass", ["top"]);
    if !context.suffixes.is_empty() {
        operational.push("namingContexts", context.suffixes.iter().map(|(dn, _)| dn.as_str()));
    }
    operational.push("subschemaSubentry", [SUBSCHEMA]);
    operational.push("supportedLDAPVersion", ["3"]);
    operational.push("supportedControl", SUPPORTED.iter().map(|(oid, _)| oid.as_str()));
    operational.push("supportedExtension", Extension::ALL.iter().map(|(oid, _)| oid.as_str()));
    operational.push("supportedFeatures", FEATURES);
    let mechanisms: Vec<_> = session::offered(context, peer).map(Mechanism::name).collect();
    if !mechanisms.is_empty() {
        operational.push("supportedSASLMechanisms", mechanisms);
    }
    operational.push("vendorName", ["FLEXT-LDAP"]);
    operational.push("vendorVersion", [concat!("flext-ldap ", env!("CARGO_PKG_VERSION"))]);
    let mut computed = Attributes::builder();
    computed.push("entryDN", [""]);
    View {
        named: Named::default(),
        stored: Stored::new(user.build(), operational.build()),
        computed: computed.build(),
    }
}

/// Whether a name is that of the subschema entry.
pub(crate) fn is_subschema(context: &Context, key: &DnKey) -> bool {
    key.depth() == 1 && subschema_name(context).is_some_and(|(_, subschema)| subschema == *key)
}

fn subschema_name(context: &Context) -> Option<(Dn, DnKey)> {
    let dn: Dn = SUBSCHEMA.parse().ok()?;
    let key = context.schema.dn_key(&dn).ok()?;
    Some((dn, key))
}

/// The subschema entry (RFC 4512 §4.2).
pub(crate) fn subschema(context: &Context) -> View {
    let mut user = Attributes::builder();
    user.push("objectClass", ["top", "subentry", "subschema", "extensibleObject"]);
    user.push("cn", ["subschema"]);
    let mut computed = Attributes::builder();
    computed.push("entryDN", [SUBSCHEMA]);
    computed.push("hasSubordinates", ["FALSE"]);
    computed.push("subschemaSubentry", [SUBSCHEMA]);
    computed.push("structuralObjectClass", ["subschema"]);
    if !context.subschema.modified.is_empty() {
        computed.push("modifyTimestamp", [context.subschema.modified.as_str()]);
    }
    let named =
        subschema_name(context).map(|(dn, key)| Named { dn: dn.to_string(), key }).unwrap_or_default();
    View {
        named,
        stored: Stored::new(user.build(), context.schema.to_subschema()),
        computed: computed.build(),
    }
}

/// `noSuchObject`, with the last entry on the way that the one who asks may know of.
pub(crate) fn missing<T: Rows>(
    context: &Context,
    tables: &Tables<T>,
    access: &Access<'_>,
    mut last: Option<Id>,
) -> Result<Failure, Failure> {
    let _ = context;
    let mut result = LdapResult::new(ResultCode::NO_SUCH_OBJECT);
    while let Some(id) = last.filter(|id| *id != ROOT) {
        let named = tables.named(id)?;
        if access.entry(&named, EntryRight::Disclose) {
            result.matched_dn = named.dn;
            break;
        }
        last = Some(tables.existing_node(id)?.parent);
    }
    Ok(Failure::Refused(result))
}

/// Whether the one who asks may know of an entry right below the root.
pub(crate) fn knows_a_suffix<T: Rows>(
    context: &Context,
    access: &Access<'_>,
    tables: &Tables<T>,
) -> Result<bool, Failure> {
    for (_, suffix) in &context.suffixes {
        if let Resolved::Found(id) = context.resolve(tables, suffix)?
            && access.entry(&tables.named(id)?, EntryRight::Disclose)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Fails with a referral (RFC 3296) where `id` is, or is below, an entry that says that others hold it. One that whoever
/// asks may not know of says nothing: its name and what it refers to are as hidden as any entry's.
pub(crate) fn refer<T: Rows>(
    context: &Context,
    tables: &Tables<T>,
    access: &Access<'_>,
    id: Option<Id>,
    asked: &Dn,
    manage_dsa_it: bool,
) -> Result<(), Failure> {
    let Some(mut id) = id else { return Ok(()) };
    if manage_dsa_it {
        return Ok(());
    }
    let referrals = of_class(context, tables, Class::Referral)?;
    if referrals.is_empty() {
        return Ok(());
    }
    while id != ROOT {
        if referrals.contains(id) {
            let named = tables.named(id)?;
            if !access.entry(&named, EntryRight::Disclose) {
                id = tables.existing_node(id)?.parent;
                continue;
            }
            let mut result = LdapResult::new(ResultCode::REFERRAL);
            result.referrals = referral_urls(tables, id, &named, asked)?;
            result.matched_dn = named.dn;
            return Err(Failure::Refused(result));
        }
        id = tables.existing_node(id)?.parent;
    }
    Ok(())
}

/// The entries of a class. Most directories have none of those that are asked for here.
pub(crate) fn of_class<T: Rows>(
    context: &Context,
    tables: &Tables<T>,
    class: Class,
) -> Result<Arc<RoaringBitmap>, Failure> {
    let asked = Asked::Equality(class.name().as_bytes());
    let find = || match context.indexes.lookup(&context.schema, &tables.standing, "objectClass", asked) {
        Some(keys) => tables.candidates(&keys),
        None => Ok(RoaringBitmap::new()),
    };
    match &tables.known {
        Some(known) => known.of_class(context, class, find),
        None => find().map(Arc::new),
    }
}

/// The URLs of a referral object, each with the name asked for in place of the object's own.
pub(crate) fn referral_urls<T: Rows>(
    tables: &Tables<T>,
    id: Id,
    named: &Named,
    asked: &Dn,
) -> Result<Vec<String>, Failure> {
    let stored = tables.stored(id)?.ok_or_else(|| Failure::damaged("an entry"))?;
    let below = asked.depth().saturating_sub(named.key.rdns().len());
    let mut urls = Vec::new();
    let references = stored.operational().get("ref").or_else(|| stored.user().get("ref"));
    for value in references.map(|one| one.values().collect::<Vec<_>>()).unwrap_or_default() {
        let Ok(text) = std::str::from_utf8(value) else { continue };
        // A label after the URL (RFC 3296 §2.2) is for people.
        let text = text.split(' ').next().unwrap_or_default();
        match text.parse::<LdapUrl>() {
            Ok(mut url) => {
                // One without a name means the same name there, as it does to who follows it (RFC 4511 §4.1.10).
                url.dn = if url.dn.is_root() {
                    asked.clone()
                } else {
                    let rdns: Vec<_> = asked.rdns().take(below).map(|rdn| rdn.to_rdn()).collect();
                    rdns.iter().rev().fold(url.dn, |dn, rdn| dn.child(rdn))
                };
                urls.push(url.to_string());
            }
            Err(_) => urls.push(text.to_owned()),
        }
    }
    Ok(urls)
}
