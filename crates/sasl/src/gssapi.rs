//! GSSAPI (RFC 4752) and GSS-SPNEGO, by Kerberos, the client's end only; and the security layers that they agree on.
//!
//! With GSSAPI the layer is agreed on in two messages after the context is there. With GSS-SPNEGO, which Microsoft
//! describes (MS-ADTS §5.1.1.1.2), it follows from the flags of the context.

use std::time::SystemTime;

use flext_ldap_kerberos::{
    Context, ContextOptions, Credential, Initiator, KerberosError,
    spnego::{Negotiated, Negotiation},
};
use flext_ldap_proto::{channel_binding::BindingKind, secret::Secret};

use crate::SaslError;

/// How strong a security layer must be, and may be: 0 is none, 1 signs what is said, and more seals it by a key of so many
/// bits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "a range has two ends")]
pub struct Strength {
    /// At least.
    pub least: u32,
    /// At most.
    pub most: u32,
}

impl Strength {
    /// The strongest that the other end has; none, if it has none.
    pub const ANY: Self = Self { least: 0, most: u32::MAX };
    /// None.
    pub const NONE: Self = Self { least: 0, most: 0 };

    const fn allows(self, bits: u32) -> bool {
        self.least <= bits && bits <= self.most
    }
}

/// What a client has to say of itself besides its ticket.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "whoever signs in makes it")]
pub struct GssapiOptions<'a> {
    /// As whom to act, if as somebody else.
    pub authorization: Option<&'a str>,
    /// The layer.
    pub strength: Strength,
    /// `tls-server-end-point` of the TLS connection, if there is one.
    pub binding: Option<&'a [u8]>,
    /// The time.
    pub now: SystemTime,
}

impl GssapiOptions<'_> {
    fn context(&self, signs: bool) -> ContextOptions {
        let name = BindingKind::TlsServerEndPoint.name().as_bytes();
        let binding = self.binding.map(|data| [name, b":", data].concat());
        ContextOptions { signs, seals: self.strength.most > SIGNED, binding }
    }
}

/// The strength of a layer that signs.
const SIGNED: u32 = 1;

/// Layers in messages (RFC 4752 §3.3).
const NO_LAYER: u8 = 1;
const SIGNS: u8 = 2;
const SEALS: u8 = 4;

/// Octets of a protected message that we ask for at most, and those we make. Some send more all the same.
const FRAME: u32 = 0xffff;

/// One exchange by GSSAPI.
#[derive(Debug)]
pub struct Gssapi {
    state: State,
    first: Secret,
    authorization: String,
    strength: Strength,
    now: SystemTime,
}

#[derive(Debug)]
enum State {
    /// The server has not proved itself.
    Begun(Initiator),
    /// It has not said which layers it has.
    Proved(Box<Context>),
    /// It has not said that it is content.
    Agreed(Option<SecurityLayer>),
    Over,
}

impl Gssapi {
    /// An exchange by this ticket.
    ///
    /// # Errors
    ///
    /// [`SaslError::Kerberos`].
    pub fn new(ticket: &Credential, options: &GssapiOptions<'_>) -> Result<Self, SaslError> {
        let (initiator, first) = Initiator::new(ticket, &options.context(true), options.now)?;
        Ok(Self {
            state: State::Begun(initiator),
            first: Secret::new(first),
            authorization: options.authorization.unwrap_or_default().to_owned(),
            strength: options.strength,
            now: options.now,
        })
    }

    pub(crate) fn first(&self) -> Secret {
        self.first.clone()
    }

    pub(crate) fn respond(&mut self, challenge: &[u8]) -> Result<Secret, SaslError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Begun(initiator) => {
                self.state = State::Proved(Box::new(initiator.complete(challenge, self.now)?));
                Ok(Secret::default())
            }
            State::Proved(mut context) => {
                let (offer, _) = context.open(challenge)?;
                let [layers, size @ ..] = <[u8; 4]>::try_from(offer.as_slice())
                    .map_err(|_| SaslError::Malformed("an offer of layers that is none"))?;
                let [a, b, c] = size;
                let most = u32::from_be_bytes([0, a, b, c]);
                let bits = context.bits();
                let choices = [(SEALS, bits), (SIGNS, SIGNED), (NO_LAYER, 0)];
                let can = |(flag, bits): &(u8, u32)| layers & flag != 0 && self.strength.allows(*bits);
                let (choice, bits) = choices.into_iter().find(can).ok_or(SaslError::NoLayer)?;
                // Without a layer there is no size either.
                let [_, a, b, c] = if bits == 0 { [0; 4] } else { FRAME.to_be_bytes() };
                let answer = context.sign(&[&[choice, a, b, c], self.authorization.as_bytes()].concat());
                self.state = State::Agreed(match bits {
                    0 => None,
                    _ => Some(SecurityLayer::new(context, bits > SIGNED, most)?),
                });
                Ok(Secret::new(answer))
            }
            State::Agreed(_) | State::Over => {
                Err(SaslError::OutOfTurn("more than the mechanism has messages"))
            }
        }
    }

    pub(crate) fn accept(&mut self) -> Result<Option<SecurityLayer>, SaslError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Agreed(layer) => Ok(layer),
            _ => Err(SaslError::OutOfTurn("a success before the mechanism has ended")),
        }
    }
}

/// One exchange by GSS-SPNEGO.
#[derive(Debug)]
pub struct GssSpnego {
    negotiation: Negotiation,
    first: Secret,
    strength: Strength,
    now: SystemTime,
    context: Option<Box<Context>>,
}

impl GssSpnego {
    /// An exchange by this ticket. Nobody can act as somebody else by it.
    ///
    /// # Errors
    ///
    /// [`SaslError::Kerberos`]; [`SaslError::Unsendable`] where somebody else is to be acted for.
    pub fn new(ticket: &Credential, options: &GssapiOptions<'_>) -> Result<Self, SaslError> {
        if options.authorization.is_some_and(|name| !name.is_empty()) {
            return Err(SaslError::Unsendable("the name of somebody to act for"));
        }
        let context = options.context(options.strength.most >= SIGNED);
        let (negotiation, first) = Negotiation::new(ticket, &context, options.now)?;
        let (first, strength, now) = (Secret::new(first), options.strength, options.now);
        Ok(Self { negotiation, first, strength, now, context: None })
    }

    pub(crate) fn first(&self) -> Secret {
        self.first.clone()
    }

    pub(crate) fn respond(&mut self, challenge: &[u8]) -> Result<Secret, SaslError> {
        match self.negotiation.answer(challenge, self.now)? {
            Negotiated::Send(message) => Ok(Secret::new(message)),
            Negotiated::Done(context) => {
                self.context = Some(context);
                Ok(Secret::default())
            }
        }
    }

    pub(crate) fn accept(&mut self, last: Option<&[u8]>) -> Result<Option<SecurityLayer>, SaslError> {
        if let Some(last) = last.filter(|last| !last.is_empty()) {
            match self.negotiation.answer(last, self.now)? {
                Negotiated::Done(context) => self.context = Some(context),
                Negotiated::Send(_) => {
                    return Err(SaslError::OutOfTurn("a success before the mechanism has ended"));
                }
            }
        }
        let context = self.context.take().ok_or(SaslError::ServerNotProven)?;
        let bits = match self.strength.most {
            0 => 0,
            SIGNED => SIGNED,
            _ => context.bits(),
        };
        if !self.strength.allows(bits) {
            return Err(SaslError::NoLayer);
        }
        match bits {
            0 => Ok(None),
            // Nobody says how much they take; everybody takes this.
            _ => SecurityLayer::new(context, bits > SIGNED, FRAME).map(Some),
        }
    }
}

/// What protects a conversation from the end of a bind on (RFC 4422 §3.7), once for each direction.
///
/// Everything is cut into frames: four octets that say how long a protected message is, and that message.
#[derive(Debug)]
pub struct SecurityLayer {
    context: Box<Context>,
    seals: bool,
    most: usize,
}

impl SecurityLayer {
    /// Octets of a protected message that are taken at most. It has three octets of length.
    pub const LONGEST: usize = 0xff_ffff;

    fn new(context: Box<Context>, seals: bool, most: u32) -> Result<Self, SaslError> {
        let most = usize::try_from(most.min(FRAME)).unwrap_or(0).saturating_sub(Context::OVERHEAD);
        if most == 0 {
            return Err(SaslError::Malformed("a layer for messages without content"));
        }
        Ok(Self { context, seals, most })
    }

    /// Bits of its key, or 1 if it only signs.
    #[must_use]
    pub const fn strength(&self) -> u32 {
        if self.seals { self.context.bits() } else { SIGNED }
    }

    /// Whether nobody can read what is said.
    #[must_use]
    pub const fn seals(&self) -> bool {
        self.seals
    }

    /// The beginning of `text` in a frame, and how many octets of it are in there.
    ///
    /// # Errors
    ///
    /// [`SaslError::Kerberos`]: there are no random numbers.
    pub fn protect(&mut self, text: &[u8]) -> Result<(Vec<u8>, usize), SaslError> {
        let text = text.get(..self.most).unwrap_or(text);
        let token = if self.seals { self.context.seal(text)? } else { self.context.sign(text) };
        let length = u32::try_from(token.len()).unwrap_or(u32::MAX).to_be_bytes();
        Ok(([&length[..], &token].concat(), text.len()))
    }

    /// What is in a frame, without its four octets of length.
    ///
    /// # Errors
    ///
    /// [`SaslError::Kerberos`]: somebody has changed what was said; [`SaslError::OutOfTurn`]: it is not sealed, and should
    /// be. Nothing more is to be believed then.
    pub fn open(&mut self, frame: &[u8]) -> Result<Vec<u8>, SaslError> {
        let (text, was_sealed) = self.context.open(frame)?;
        if self.seals && !was_sealed {
            return Err(SaslError::OutOfTurn("a message that is not sealed, where all are to be"));
        }
        Ok(text)
    }
}

impl From<KerberosError> for SaslError {
    fn from(error: KerberosError) -> Self {
        Self::Kerberos(error)
    }
}
