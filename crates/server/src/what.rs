//! What an operation was about, for the access log: names, filters without secret values, attributes; no values.

use std::fmt::{self, Write as _};

use flext_ldap_proto::message::{
    Authentication, BindRequest, ChangeKind, ExtendedRequest, Modify, Request, Scope, Search,
};

use crate::{What, access_log::Cut};

/// Describes a request. Abandon and Unbind have nothing to describe.
pub(crate) fn describe(request: &Request) -> What {
    let mut what = What::default();
    match request {
        Request::Bind(bind) => self::bind(&mut what, bind),
        Request::Search(search) => self::search(&mut what, search),
        Request::Modify(modify) => self::modify(&mut what, modify),
        Request::Add(add) => what.push("dn", &add.dn),
        Request::Delete(delete) => what.push("dn", &delete.dn),
        Request::Rename(rename) => {
            what.push("dn", &rename.dn);
            what.push("newrdn", &rename.new_rdn);
            if let Some(superior) = &rename.new_superior {
                what.push("newsuperior", superior);
            }
        }
        Request::Compare(compare) => {
            what.push("dn", &compare.dn);
            what.push("attr", &compare.attribute);
        }
        Request::Extended(extended) => self::extended(&mut what, extended),
        Request::Abandon(_) | Request::Unbind => {}
    }
    what
}

fn bind(what: &mut What, bind: &BindRequest) {
    what.push("name", &bind.name);
    match &bind.authentication {
        Authentication::Sasl { mechanism, .. } => what.push("mech", mechanism),
        _ => what.push("mech", "simple"),
    }
}

fn search(what: &mut What, search: &Search) {
    what.push("base", &search.base);
    let scope = match search.scope {
        Scope::Base => "base",
        Scope::One => "one",
        Scope::Subtree => "sub",
        Scope::Children => "children",
        _ => "other",
    };
    what.push("scope", scope);
    what.push("filter", search.filter.redacted());
    if !search.attributes.selectors().is_empty() {
        what.push_with("attrs", |cut| {
            for (index, selector) in search.attributes.selectors().iter().enumerate() {
                if index > 0 {
                    cut.write_char(' ')?;
                }
                self::selector(selector, cut)?;
            }
            Ok(())
        });
    }
}

fn selector(selector: &flext_ldap_proto::attribute::Selector, cut: &mut Cut) -> fmt::Result {
    use flext_ldap_proto::attribute::Selector;
    match selector {
        Selector::AllUser => cut.write_char('*'),
        Selector::AllOperational => cut.write_char('+'),
        Selector::None => cut.write_str("1.1"),
        Selector::ObjectClass(class) => write!(cut, "@{class}"),
        Selector::Attribute(attribute) => write!(cut, "{attribute}"),
        Selector::Unrecognised(text) => cut.write_str(text),
        _ => cut.write_char('?'),
    }
}

fn modify(what: &mut What, modify: &Modify) {
    what.push("dn", &modify.dn);
    what.push_with("changes", |cut| {
        for (index, change) in modify.changes.iter().enumerate() {
            let kind = match change.kind {
                ChangeKind::Add => "add",
                ChangeKind::Delete => "delete",
                ChangeKind::Replace => "replace",
                ChangeKind::Increment => "increment",
                _ => "other",
            };
            let space = if index > 0 { " " } else { "" };
            write!(cut, "{space}{kind}:{}", change.attribute)?;
        }
        Ok(())
    });
}

fn extended(what: &mut What, extended: &ExtendedRequest) {
    what.push("oid", &extended.oid);
    if let Some(name) = extended.oid.name() {
        what.push("name", name);
    }
}
