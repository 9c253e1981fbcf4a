//! The client's end.

use std::{fmt, num::NonZeroU32};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flext_ldap_proto::{
    channel_binding::{BindingKind, ChannelBindings},
    secret::Secret,
};
use subtle::ConstantTimeEq as _;

use super::{
    FEWEST, MOST, ScramHash,
    message::{ServerFinal, ServerFirst, escape},
    prepared,
};
use crate::{SaslError, saslprep};

/// What a client does about channel binding.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the three flags of RFC 5802 §6")]
pub enum ClientBinding {
    /// Nothing: there is nothing to bind to, or nobody knows what the server offers.
    Unable,
    /// Nothing, because the server does not offer it. If it does, somebody has changed its list, and it will say so.
    NotOffered,
    /// Binds to these, by a kind of them.
    To(BindingKind, ChannelBindings),
}

/// One exchange, as its client: [`first`](Self::first), [`respond`](Self::respond), [`accept`](Self::accept).
pub struct ScramClient {
    hash: ScramHash,
    /// `gs2-header`.
    header: String,
    /// `client-first-message-bare`.
    bare: String,
    nonce: String,
    password: Secret,
    binding: Vec<u8>,
    stage: Stage,
}

enum Stage {
    Begun,
    /// The proof is sent; this is what the server has to answer.
    Proven(Vec<u8>),
    /// The server has shown that it knows the password.
    Accepted,
    Broken,
}

impl ScramClient {
    /// An exchange for `user`, who wants to act as `authorization` if that is given. The nonce must be used for nothing
    /// else: see [`nonce`](crate::nonce).
    ///
    /// # Errors
    ///
    /// [`SaslError::Unsendable`] for a name with a NUL, or an empty name or password; [`SaslError::NothingToBind`].
    pub fn new(
        hash: ScramHash,
        user: &str,
        password: Secret,
        authorization: Option<&str>,
        binding: &ClientBinding,
        nonce: String,
    ) -> Result<Self, SaslError> {
        let user = saslprep(user).unwrap_or_else(|| user.into());
        let has_nul = |name: &str| name.contains('\0');
        if user.is_empty() || has_nul(&user) || authorization.is_some_and(has_nul) {
            return Err(SaslError::Unsendable("an empty name, or one with a NUL,"));
        }
        if password.is_empty() {
            return Err(SaslError::Unsendable("an empty password"));
        }
        let (flag, data) = match binding {
            ClientBinding::Unable => ("n".to_owned(), Vec::new()),
            ClientBinding::NotOffered => ("y".to_owned(), Vec::new()),
            ClientBinding::To(kind, bindings) => {
                let data = bindings.get(*kind).ok_or(SaslError::NothingToBind)?;
                (format!("p={}", kind.name()), data.to_vec())
            }
        };
        let authorization = authorization.map(|name| format!("a={}", escape(name))).unwrap_or_default();
        let header = format!("{flag},{authorization},");
        let binding = [header.as_bytes(), &data].concat();
        let bare = format!("n={},r={nonce}", escape(&user));
        Ok(Self { hash, header, bare, nonce, password, binding, stage: Stage::Begun })
    }

    /// The first message.
    #[must_use]
    pub fn first(&self) -> Secret {
        Secret::new(format!("{}{}", self.header, self.bare))
    }

    /// The answer to a message of the server that goes on. It takes as long as the server's iterations do: up to a
    /// second.
    ///
    /// # Errors
    ///
    /// When the server's message is not what it must be.
    pub fn respond(&mut self, challenge: &[u8]) -> Result<Secret, SaslError> {
        match std::mem::replace(&mut self.stage, Stage::Broken) {
            Stage::Begun => self.prove(challenge),
            // A server that cannot send its proof along with success sends it before that.
            Stage::Proven(signature) => {
                verify(&signature, challenge)?;
                self.stage = Stage::Accepted;
                Ok(Secret::default())
            }
            Stage::Accepted | Stage::Broken => {
                Err(SaslError::OutOfTurn("more than the mechanism has messages"))
            }
        }
    }

    fn prove(&mut self, challenge: &[u8]) -> Result<Secret, SaslError> {
        let first = ServerFirst::parse(challenge)?;
        // Ours must be followed by something of the server's.
        if first.nonce.strip_prefix(&self.nonce).is_none_or(str::is_empty) {
            return Err(SaslError::WrongNonce);
        }
        let iterations = match NonZeroU32::new(first.iterations) {
            Some(count) if (FEWEST..=MOST).contains(&count.get()) => count,
            Some(count) if count.get() > MOST => return Err(SaslError::TooManyIterations(count.get())),
            _ => return Err(SaslError::TooFewIterations(first.iterations)),
        };
        let Self { hash, .. } = *self;
        let salted = hash.salted(&prepared(self.password.expose()), &first.salt, iterations);
        let key = hash.hmac(&salted, b"Client Key");
        let without_proof = format!("c={},r={}", STANDARD.encode(&self.binding), first.nonce);
        let mut signed = format!("{},", self.bare).into_bytes();
        signed.extend_from_slice(challenge);
        signed.extend_from_slice(format!(",{without_proof}").as_bytes());
        let signature = hash.hmac(&hash.digest(&key), &signed);
        let proof: Vec<u8> = key.iter().zip(signature.iter()).map(|(one, other)| one ^ other).collect();
        let expected = hash.hmac(&hash.hmac(&salted, b"Server Key"), &signed);
        self.stage = Stage::Proven(expected.to_vec());
        Ok(Secret::new(format!("{without_proof},p={}", STANDARD.encode(proof))))
    }

    /// Takes the server's success, with what it sent along. Only then has the server shown that it knows the password
    /// (RFC 5802 §3); before, it may be anybody.
    ///
    /// # Errors
    ///
    /// [`SaslError::ServerNotProven`], and when the message is malformed or comes too early.
    pub fn accept(&mut self, last: Option<&[u8]>) -> Result<(), SaslError> {
        match (std::mem::replace(&mut self.stage, Stage::Broken), last) {
            (Stage::Proven(signature), Some(message)) => {
                verify(&signature, message)?;
                self.stage = Stage::Accepted;
                Ok(())
            }
            (Stage::Accepted, None | Some(b"")) => {
                self.stage = Stage::Accepted;
                Ok(())
            }
            (Stage::Accepted, Some(_)) => Err(SaslError::OutOfTurn("more than the mechanism has messages")),
            (Stage::Begun | Stage::Proven(_) | Stage::Broken, _) => Err(SaslError::ServerNotProven),
        }
    }
}

fn verify(signature: &[u8], message: &[u8]) -> Result<(), SaslError> {
    match ServerFinal::parse(message)? {
        ServerFinal::Signature(theirs) if theirs.ct_eq(signature).into() => Ok(()),
        ServerFinal::Signature(_) => Err(SaslError::ServerNotProven),
        ServerFinal::Error(word) => {
            let word = word.chars().filter(char::is_ascii_graphic).take(64).collect();
            Err(SaslError::Refused(word))
        }
    }
}

impl fmt::Debug for ScramClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramClient").field("hash", &self.hash).finish_non_exhaustive()
    }
}
