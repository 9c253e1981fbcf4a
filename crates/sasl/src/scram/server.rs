//! The server's end.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flext_ldap_proto::channel_binding::{BindingKind, ChannelBindings};
use subtle::ConstantTimeEq as _;

use super::{
    ScramKeys,
    message::{ClientFinal, ClientFirst, Flag},
};
use crate::{SaslError, saslprep};

/// Who wants to sign in.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "what the first message holds")]
pub struct Asked {
    /// The name, prepared.
    pub user: String,
    /// As whom they want to act, if as somebody else.
    pub authorization: Option<String>,
}

/// One exchange, as its server: [`begin`](Self::begin) with the first message, [`challenge`](Self::challenge) with the
/// keys of whom it names, [`proof`](Self::proof) with the second.
pub struct ScramServer {
    /// What the client says of channel binding, with the data it has to send for it.
    binding: Vec<u8>,
    client_bare: String,
    client_nonce: String,
    challenged: Option<(ScramKeys, String, String)>,
}

impl ScramServer {
    /// Reads the first message. `plus` says whether the mechanism is the one that binds to the channel, `bindings` what
    /// the channel has: where it has anything, that mechanism must be offered.
    ///
    /// # Errors
    ///
    /// When the message is malformed; [`SaslError::Downgraded`] where somebody has hidden from the client what is
    /// offered; [`SaslError::NothingToBind`] for a kind of binding that there is not.
    pub fn begin(plus: bool, bindings: &ChannelBindings, message: &[u8]) -> Result<(Self, Asked), SaslError> {
        let first = ClientFirst::parse(message)?;
        let mut binding = first.header.as_bytes().to_vec();
        match (&first.flag, plus) {
            (Flag::Bound(kind), true) => {
                let data = BindingKind::named(kind).and_then(|kind| bindings.get(kind));
                binding.extend_from_slice(data.ok_or(SaslError::NothingToBind)?);
            }
            (Flag::Unable, false) => {}
            (Flag::NotOffered, false) if bindings.is_empty() => {}
            (Flag::NotOffered, false) => return Err(SaslError::Downgraded),
            (Flag::Bound(_), false) | (Flag::Unable | Flag::NotOffered, true) => {
                return Err(SaslError::Malformed("channel binding and mechanism contradict each other"));
            }
        }
        let asked = Asked {
            user: saslprep(&first.user).map_or_else(|| first.user.clone(), |user| user.into_owned()),
            authorization: first.authorization,
        };
        let server = Self {
            binding,
            client_bare: first.bare.to_owned(),
            client_nonce: first.nonce.to_owned(),
            challenged: None,
        };
        Ok((server, asked))
    }

    /// The answer to the first message. Where there is nobody of that name it is given the keys
    /// [of nobody](ScramKeys::of_nobody). The nonce must be used for nothing else: see [`nonce`](crate::nonce).
    pub fn challenge(&mut self, keys: ScramKeys, nonce: &str) -> Vec<u8> {
        let nonce = format!("{}{nonce}", self.client_nonce);
        let message = format!("r={nonce},s={},i={}", STANDARD.encode(&keys.salt), keys.iterations);
        self.challenged = Some((keys, nonce, message.clone()));
        message.into_bytes()
    }

    /// Reads the second message. It says nothing yet of whether the password is right: [`Proof::verify`] does.
    ///
    /// # Errors
    ///
    /// When the message is malformed, or of another exchange; [`SaslError::WrongBinding`] where the client sees another
    /// channel.
    pub fn proof(self, message: &[u8]) -> Result<Proof, SaslError> {
        let Some((keys, nonce, challenge)) = self.challenged else {
            return Err(SaslError::OutOfTurn("a proof without having been asked"));
        };
        let last = ClientFinal::parse(message)?;
        if !bool::from(last.nonce.as_bytes().ct_eq(nonce.as_bytes())) {
            return Err(SaslError::WrongNonce);
        }
        if !bool::from(last.binding.ct_eq(&self.binding)) {
            return Err(SaslError::WrongBinding);
        }
        let signed = format!("{},{challenge},{}", self.client_bare, last.without_proof);
        Ok(Proof { keys, signed, proof: last.proof })
    }
}

/// What a client has sent to show that it knows the password.
pub struct Proof {
    keys: ScramKeys,
    signed: String,
    proof: Vec<u8>,
}

impl Proof {
    /// The keys that it was asked with.
    #[must_use]
    pub const fn keys(&self) -> &ScramKeys {
        &self.keys
    }

    /// Whether the password is right; then what shows the client that the keys are known here, the last message.
    #[must_use]
    pub fn verify(&self) -> Option<Vec<u8>> {
        let ScramKeys { hash, stored, server, .. } = &self.keys;
        let signature = hash.hmac(stored, self.signed.as_bytes());
        if self.proof.len() != signature.len() {
            return None;
        }
        let key: Vec<u8> = self.proof.iter().zip(signature.iter()).map(|(one, other)| one ^ other).collect();
        let fits: bool = hash.digest(&key).ct_eq(stored).into();
        fits.then(|| {
            format!("v={}", STANDARD.encode(&*hash.hmac(server, self.signed.as_bytes()))).into_bytes()
        })
    }
}

impl fmt::Debug for ScramServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramServer").finish_non_exhaustive()
    }
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proof").field("keys", &self.keys).finish_non_exhaustive()
    }
}
