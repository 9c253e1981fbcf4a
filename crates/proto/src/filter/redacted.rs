//! Filters as logs may have them: without values that are secrets.

use std::fmt::{self, Write as _};

use super::{Filter, Node};
use crate::attribute::is_secret;

/// A filter that prints `***` for the values of secret attributes, and of assertions that any attribute can match.
#[derive(Clone, Copy)]
pub struct Redacted<'a>(pub(super) &'a Filter);

impl fmt::Display for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // How many children of each open node are still to come.
        let mut open: Vec<usize> = Vec::new();
        for node in self.0.nodes() {
            match node {
                Node::And { children } => {
                    f.write_str("(&")?;
                    open.push(*children);
                }
                Node::Or { children } => {
                    f.write_str("(|")?;
                    open.push(*children);
                }
                Node::Not => {
                    f.write_str("(!")?;
                    open.push(1);
                }
                leaf => {
                    self::leaf(leaf, f)?;
                    child_done(&mut open);
                }
            }
            while open.last() == Some(&0) {
                open.pop();
                f.write_char(')')?;
                child_done(&mut open);
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redacted({self})")
    }
}

fn child_done(open: &mut [usize]) {
    if let Some(children) = open.last_mut() {
        *children = children.saturating_sub(1);
    }
}

fn leaf(leaf: &Node, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let attribute = match leaf {
        Node::Equality(attribute, _)
        | Node::GreaterOrEqual(attribute, _)
        | Node::LessOrEqual(attribute, _)
        | Node::Approximate(attribute, _)
        | Node::Substrings(attribute, _) => Some(attribute),
        Node::Extensible(extensible) => extensible.attribute.as_ref(),
        _ => return whole(leaf, f),
    };
    match attribute {
        None => f.write_str("(*:=***)"),
        Some(attribute) if is_secret(attribute.attribute_type()) => write!(f, "({attribute}=***)"),
        Some(_) => whole(leaf, f),
    }
}

fn whole(leaf: &Node, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match Filter::leaf(leaf.clone()) {
        Some(filter) => write!(f, "{filter}"),
        None => f.write_str("(?)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_values_are_left_out() {
        let table = [
            ("(uid=ana)", "(uid=ana)"),
            ("(userPassword=tide)", "(userPassword=***)"),
            ("(&(uid=ana)(!(USERPASSWORD=ti*)))", "(&(uid=ana)(!(USERPASSWORD=***)))"),
            ("(|(2.5.4.35>=tide)(userPassword;x-a~=tide))", "(|(2.5.4.35=***)(userPassword;x-a=***))"),
            ("(:caseExactMatch:=tide)", "(*:=***)"),
            ("(userPassword=*)", "(userPassword=*)"),
            ("(&)", "(&)"),
        ];
        for (filter, want) in table {
            assert_eq!(filter.parse::<Filter>().unwrap().redacted().to_string(), want);
        }
    }
}
