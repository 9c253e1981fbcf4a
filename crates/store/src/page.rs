//! Cookies of paged searches (RFC 2696): where the next page starts, sealed for one query of one actor.
//!
//! The store keeps nothing between pages, so a client that never comes back costs nothing, and a cookie is good after
//! a restart. It says nothing a client could not know, and one that was altered or made for another query is refused.

use flext_ldap_directory::Actor;
use flext_ldap_proto::{ber::Writer, message::Search, result::ResultCode};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{lists::ListId, row::Id, tables::Failure};

/// Where a search goes on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Token {
    /// After this id.
    Id(Id),
    /// After the child with this name, in the order of names.
    Child(Vec<u8>),
    /// After this place of a sorted list, where this entry stood.
    Place { list: ListId, order: [u8; 8], at: u32, id: Id },
}

const SEAL: usize = 32;

/// Seals `token` for the search that it belongs to.
pub(crate) fn seal(key: &[u8], search: &Search, actor: &Actor, token: &Token) -> Vec<u8> {
    let mut cookie = match token {
        Token::Id(id) => [b"i".as_slice(), &id.to_be_bytes()].concat(),
        Token::Child(name) => [b"c".as_slice(), name].concat(),
        Token::Place { list, order, at, id } => {
            [b"s".as_slice(), list, order, &at.to_be_bytes(), &id.to_be_bytes()].concat()
        }
    };
    let seal = mac(key, search, actor, &cookie);
    cookie.extend_from_slice(&seal);
    cookie
}

/// Opens a cookie that this store sealed for the same search and actor.
pub(crate) fn open(key: &[u8], search: &Search, actor: &Actor, cookie: &[u8]) -> Result<Token, Failure> {
    let opened = (|| {
        let (token, seal) = cookie.split_at_checked(cookie.len().checked_sub(SEAL)?)?;
        if !bool::from(mac(key, search, actor, token).ct_eq(seal)) {
            return None;
        }
        match token.split_first()? {
            (b'i', id) => Some(Token::Id(Id::from_be_bytes(id.try_into().ok()?))),
            (b'c', name) => Some(Token::Child(name.to_vec())),
            (b's', place) => {
                let (list, place) = place.split_first_chunk()?;
                let (order, place) = place.split_first_chunk()?;
                let (at, id) = place.split_first_chunk()?;
                Some(Token::Place {
                    list: *list,
                    order: *order,
                    at: u32::from_be_bytes(*at),
                    id: Id::from_be_bytes(id.try_into().ok()?),
                })
            }
            _ => None,
        }
    })();
    opened.ok_or_else(|| {
        Failure::refused(
            ResultCode::UNWILLING_TO_PERFORM,
            "the paging cookie is not one that was given out for this search; start again without one",
        )
    })
}

/// HMAC-SHA-256 (RFC 2104) over the query, the actor and the token, each with its length before it.
fn mac(key: &[u8], search: &Search, actor: &Actor, token: &[u8]) -> Vec<u8> {
    let mut attributes = Writer::new();
    search.attributes.encode(&mut attributes);
    let filter = search.filter.to_string();
    let actor = match actor {
        Actor::Service => "service".to_owned(),
        Actor::Anonymous => String::new(),
        Actor::User(identity) => identity.authorization().to_owned(),
    };
    let scope = format!("{:?} {:?} {}", search.scope, search.deref, search.types_only);
    let parts = [
        search.base.as_str().as_bytes(),
        scope.as_bytes(),
        filter.as_bytes(),
        attributes.as_slice(),
        actor.as_bytes(),
        token,
    ];
    let mut block = [0_u8; 64];
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let mut inner = Sha256::new().chain_update(block.map(|octet| octet ^ 0x36));
    for part in parts {
        inner.update((part.len() as u64).to_be_bytes());
        inner.update(part);
    }
    Sha256::new()
        .chain_update(block.map(|octet| octet ^ 0x5c))
        .chain_update(inner.finalize())
        .finalize()
        .to_vec()
}
