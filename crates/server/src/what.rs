//! What an operation was about, for the access log: names, filters without secret values, attributes; no values.

use std::fmt::{self, Write as _};

use flext_ldap_proto::{
    filter::{Filter, Node},
    message::{Authentication, BindRequest, ChangeKind, ExtendedRequest, Modify, Request, Scope, Search},
};

use crate::{What, access_log::Cut};

/// Attributes whose values are not logged, by name without options.
const SECRET: &[&str] = &[
    "userPassword",
    "2.5.4.35",
    "authPassword",
    "1.3.6.1.4.1.4203.1.3.4",
    "unicodePwd",
    "dBCSPwd",
    "supplementalCredentials",
    "sambaNTPassword",
    "sambaLMPassword",
    "sambaPasswordHistory",
    "krbPrincipalKey",
    "pwdHistory",
    "clearTextPassword",
    "orclPassword",
    "oathSecret",
];

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
    what.push_with("filter", |cut| print(&search.filter, cut));
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

/// Prints a filter with `***` for the values of secret attributes, and of assertions that any attribute can match.
fn print(filter: &Filter, cut: &mut Cut) -> fmt::Result {
    // How many children of each open node are still to come.
    let mut open: Vec<usize> = Vec::new();
    for node in filter.nodes() {
        match node {
            Node::And { children } => {
                cut.write_str("(&")?;
                open.push(*children);
            }
            Node::Or { children } => {
                cut.write_str("(|")?;
                open.push(*children);
            }
            Node::Not => {
                cut.write_str("(!")?;
                open.push(1);
            }
            leaf => {
                self::leaf(leaf, cut)?;
                child_done(&mut open);
            }
        }
        while open.last() == Some(&0) {
            open.pop();
            cut.write_char(')')?;
            child_done(&mut open);
        }
    }
    Ok(())
}

fn child_done(open: &mut [usize]) {
    if let Some(children) = open.last_mut() {
        *children = children.saturating_sub(1);
    }
}

fn leaf(leaf: &Node, cut: &mut Cut) -> fmt::Result {
    let attribute = match leaf {
        Node::Equality(attribute, _)
        | Node::GreaterOrEqual(attribute, _)
        | Node::LessOrEqual(attribute, _)
        | Node::Approximate(attribute, _)
        | Node::Substrings(attribute, _) => Some(attribute),
        Node::Extensible(extensible) => extensible.attribute.as_ref(),
        _ => return whole(leaf, cut),
    };
    match attribute {
        None => cut.write_str("(*:=***)"),
        Some(attribute)
            if SECRET.iter().any(|secret| secret.eq_ignore_ascii_case(attribute.attribute_type())) =>
        {
            write!(cut, "({attribute}=***)")
        }
        Some(_) => whole(leaf, cut),
    }
}

fn whole(leaf: &Node, cut: &mut Cut) -> fmt::Result {
    match Filter::leaf(leaf.clone()) {
        Some(filter) => write!(cut, "{filter}"),
        None => cut.write_str("(?)"),
    }
}
