//! SPNEGO (RFC 4178), where Kerberos is all that is offered: so there is nothing to negotiate, and nobody on the way can
//! have something weaker be chosen.

use std::time::SystemTime;

use bytes::Bytes;
use flext_ldap_proto::ber::{Reader, Tag, Writer};

use crate::{
    Context, ContextOptions, Credential, Initiator, KerberosError,
    context::MECHANISM,
    der::OBJECT_IDENTIFIER,
    der::{ReadFields as _, WriteFields as _},
};

/// 1.3.6.1.5.5.2: SPNEGO.
const SPNEGO: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x02];
/// 1.2.840.48018.1.2.2: how Windows 2000 wrote the number of Kerberos, which some still answer with.
const MECHANISM_BY_MISTAKE: &[u8] = &[0x2a, 0x86, 0x48, 0x82, 0xf7, 0x12, 0x01, 0x02, 0x02];

/// What a negotiation has come to (RFC 4178 §4.2.2).
const COMPLETED: i32 = 0;
const INCOMPLETE: i32 = 1;
const REJECTED: i32 = 2;

/// A negotiation, as whoever begins it.
#[derive(Debug)]
pub struct Negotiation {
    state: State,
}

#[derive(Debug)]
enum State {
    /// The service has not answered.
    Begun(Initiator),
    /// The mechanism has ended, the negotiation has not: the service is to sign what was offered.
    Agreed(Box<Context>),
    Over,
}

/// What comes next in a negotiation.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "a negotiation goes on or has ended")]
pub enum Negotiated {
    /// This is to be sent, and an answer awaited.
    Send(Bytes),
    /// Both ends agree.
    Done(Box<Context>),
}

impl Negotiation {
    /// Begins with a ticket for the service. Returns the first message.
    ///
    /// # Errors
    ///
    /// [`KerberosError::NoRandomness`].
    pub fn new(
        credential: &Credential,
        options: &ContextOptions,
        now: SystemTime,
    ) -> Result<(Self, Bytes), KerberosError> {
        let (initiator, token) = Initiator::new(credential, options, now)?;
        let mut writer = Writer::new();
        writer.constructed(Tag::application_constructed(0), |frame| {
            frame.primitive(OBJECT_IDENTIFIER, SPNEGO);
            frame.field(0, |field| {
                field.sequence(|init| {
                    init.field(0, |field| field.raw(&offered()));
                    init.field(2, |field| field.octets(&token));
                });
            });
        });
        Ok((Self { state: State::Begun(initiator) }, writer.take()))
    }

    /// Takes an answer of the service.
    ///
    /// # Errors
    ///
    /// As [`Initiator::complete`], and for a service that chose something else.
    pub fn answer(&mut self, answer: &[u8], now: SystemTime) -> Result<Negotiated, KerberosError> {
        let Response { state, mechanism, token, mic } = Response::read(&Bytes::copy_from_slice(answer))?;
        if mechanism.is_some_and(|one| one != MECHANISM && one != MECHANISM_BY_MISTAKE) {
            return Err(KerberosError::Malformed("a mechanism chosen that was not offered"));
        }
        let mut context = match (std::mem::replace(&mut self.state, State::Over), token) {
            (State::Begun(initiator), Some(token)) => Box::new(initiator.complete(&token, now)?),
            (State::Agreed(context), None) => context,
            (State::Begun(_), None) if state == Some(REJECTED) => {
                return Err(KerberosError::Malformed("a service that takes no Kerberos in this negotiation"));
            }
            _ => return Err(KerberosError::Malformed("a step of a negotiation out of turn")),
        };
        if let Some(mic) = mic {
            context.check_mic(&offered(), &mic)?;
            if state == Some(COMPLETED) || state.is_none() {
                return Ok(Negotiated::Done(context));
            }
        }
        match state {
            Some(COMPLETED) | None => Ok(Negotiated::Done(context)),
            Some(REJECTED) => Err(KerberosError::Malformed("a service that refuses what it agreed to")),
            // It wants to be sure that nobody changed what was offered, and says so by going on.
            _ => {
                let mic = context.mic(&offered());
                self.state = State::Agreed(context);
                let mut writer = Writer::new();
                writer.constructed(Tag::context_constructed(1), |frame| {
                    frame.sequence(|response| {
                        response.field(0, |field| field.enumerated(INCOMPLETE));
                        response.field(3, |field| field.octets(&mic));
                    });
                });
                Ok(Negotiated::Send(writer.take()))
            }
        }
    }
}

/// The mechanisms that are offered, in the octets that are signed.
fn offered() -> Bytes {
    let mut writer = Writer::new();
    writer.sequence(|list| list.primitive(OBJECT_IDENTIFIER, MECHANISM));
    writer.take()
}

struct Response {
    state: Option<i32>,
    mechanism: Option<Bytes>,
    token: Option<Bytes>,
    mic: Option<Bytes>,
}

impl Response {
    fn read(octets: &Bytes) -> Result<Self, KerberosError> {
        let mut reader = Reader::new(octets);
        let mut response = reader.constructed(Tag::context_constructed(1))?.sequence()?;
        let state = response.optional(0)?.map(|mut field| field.enumerated()).transpose()?;
        let mechanism =
            response.optional(1)?.map(|mut field| field.primitive(OBJECT_IDENTIFIER)).transpose()?;
        let token = response.optional(2)?.map(|mut field| field.octets()).transpose()?;
        let mic = response.optional(3)?.map(|mut field| field.octets()).transpose()?;
        Ok(Self { state, mechanism, token: token.filter(|token| !token.is_empty()), mic })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::{EncryptionType, Key, Principal};

    fn begin() -> (Negotiation, Bytes) {
        let ticket = Credential {
            client: Principal::parse("ada@R", None).unwrap(),
            service: Principal::of_host("ldap", "localhost", "R"),
            key: Key::new(EncryptionType::Aes128Sha1, &[1; 16]).unwrap(),
            ticket: Bytes::from_static(&[0x61, 0]),
            until: 0,
        };
        Negotiation::new(&ticket, &ContextOptions::default(), UNIX_EPOCH + Duration::from_secs(1)).unwrap()
    }

    #[test]
    fn kerberos_is_all_that_is_offered() {
        let (_, first) = begin();
        let mut reader = Reader::new(&first);
        let mut frame = reader.constructed(Tag::application_constructed(0)).unwrap();
        assert_eq!(frame.primitive_slice(OBJECT_IDENTIFIER).unwrap(), SPNEGO);
        let mut init = frame.field(0).unwrap().sequence().unwrap();
        assert_eq!(init.field(0).unwrap().rest(), offered());
        let token = init.field(2).unwrap().octets().unwrap();
        assert!(token.windows(MECHANISM.len()).any(|octets| octets == MECHANISM));
        init.finish().unwrap();
    }

    #[test]
    fn answers_that_lead_nowhere() {
        let answer = |state: Option<i32>, mechanism: &[u8], token: Option<&[u8]>| {
            let mut writer = Writer::new();
            writer.constructed(Tag::context_constructed(1), |frame| {
                frame.sequence(|response| {
                    if let Some(state) = state {
                        response.field(0, |field| field.enumerated(state));
                    }
                    response.field(1, |field| field.primitive(OBJECT_IDENTIFIER, mechanism));
                    if let Some(token) = token {
                        response.field(2, |field| field.octets(token));
                    }
                });
            });
            writer.take()
        };
        let ntlm = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0a];
        let table = [
            ("another mechanism", answer(Some(INCOMPLETE), ntlm, Some(b"x")), "that was not offered"),
            ("no", answer(Some(REJECTED), MECHANISM, None), "takes no Kerberos"),
            ("a success without a proof", answer(Some(COMPLETED), MECHANISM, None), "out of turn"),
            ("a success with an empty proof", answer(Some(COMPLETED), MECHANISM, Some(b"")), "out of turn"),
            ("nonsense", answer(None, MECHANISM_BY_MISTAKE, Some(b"x")), "malformed"),
            ("nothing", Bytes::new(), "malformed"),
        ];
        for (name, message, want) in table {
            let (mut negotiation, _) = begin();
            let now = UNIX_EPOCH + Duration::from_secs(1);
            let error = negotiation.answer(&message, now).unwrap_err().to_string();
            assert!(error.contains(want), "{name}: {error}");
            assert!(negotiation.answer(&message, now).is_err(), "{name}, once more");
        }
    }
}
