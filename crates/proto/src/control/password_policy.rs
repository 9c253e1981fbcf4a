//! Password policy (draft-behera-ldap-password-policy-10 §6): asked for without a value, answered with what the policy
//! has to say about a bind or a change of a password. Request and answer have one OID.

use std::fmt;

use super::{ControlScope, ControlValue};
use crate::{
    ber::{DecodeError, Reader, Tag, Writer},
    message::Limits,
    oid::Oid,
};

const OID: Oid = Oid::from_static("1.3.6.1.4.1.42.2.27.8.5.1");

const WARNING: Tag = Tag::context_constructed(0);
const ERROR: Tag = Tag::context(1);
const TIME_BEFORE_EXPIRATION: Tag = Tag::context(0);
const GRACE_AUTHNS_REMAINING: Tag = Tag::context(1);

/// Asks for the policy's word; it has no value.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "it has no value")]
pub struct PasswordPolicyRequest;

impl ControlValue for PasswordPolicyRequest {
    const OID: Oid = OID;
    const SCOPE: ControlScope = ControlScope::EndToEnd;
    const HAS_VALUE: bool = false;

    fn encode(&self, _writer: &mut Writer) {}

    fn decode(_reader: &mut Reader<'_>, _limits: &Limits) -> Result<Self, DecodeError> {
        Ok(Self)
    }
}

/// What the policy has to say; nothing where all is well.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the value of the draft")]
pub struct PasswordPolicyResponse {
    /// What will be wrong before long.
    pub warning: Option<PasswordPolicyWarning>,
    /// What is wrong.
    pub error: Option<PasswordPolicyError>,
}

/// What will be wrong before long.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the choice of the draft")]
pub enum PasswordPolicyWarning {
    /// Seconds until the password expires; less than 2^31.
    TimeBeforeExpiration(u32),
    /// Binds that the expired password is still good for; less than 2^31.
    GraceAuthNsRemaining(u32),
}

/// What is wrong. Numbers that are not known here pass through.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "a number on the wire")]
pub struct PasswordPolicyError(pub u32);

impl PasswordPolicyError {
    /// The password has expired and must be set anew by an administrator.
    pub const PASSWORD_EXPIRED: Self = Self(0);
    /// The account is locked.
    pub const ACCOUNT_LOCKED: Self = Self(1);
    /// The password must be changed before anything else is done.
    pub const CHANGE_AFTER_RESET: Self = Self(2);
    /// Users may not change this password.
    pub const PASSWORD_MOD_NOT_ALLOWED: Self = Self(3);
    /// The old password must be given too.
    pub const MUST_SUPPLY_OLD_PASSWORD: Self = Self(4);
    /// The password is too easily guessed, or cannot be checked.
    pub const INSUFFICIENT_PASSWORD_QUALITY: Self = Self(5);
    /// The password is too short.
    pub const PASSWORD_TOO_SHORT: Self = Self(6);
    /// The present password is too young to be changed.
    pub const PASSWORD_TOO_YOUNG: Self = Self(7);
    /// The password was used before.
    pub const PASSWORD_IN_HISTORY: Self = Self(8);
    /// The password is too long: OpenLDAP's number from version 2.5 on, which the draft does not have.
    pub const PASSWORD_TOO_LONG: Self = Self(9);

    /// The name in the draft, e.g. `accountLocked`.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::PASSWORD_EXPIRED => "passwordExpired",
            Self::ACCOUNT_LOCKED => "accountLocked",
            Self::CHANGE_AFTER_RESET => "changeAfterReset",
            Self::PASSWORD_MOD_NOT_ALLOWED => "passwordModNotAllowed",
            Self::MUST_SUPPLY_OLD_PASSWORD => "mustSupplyOldPassword",
            Self::INSUFFICIENT_PASSWORD_QUALITY => "insufficientPasswordQuality",
            Self::PASSWORD_TOO_SHORT => "passwordTooShort",
            Self::PASSWORD_TOO_YOUNG => "passwordTooYoung",
            Self::PASSWORD_IN_HISTORY => "passwordInHistory",
            Self::PASSWORD_TOO_LONG => "passwordTooLong",
            _ => return None,
        })
    }
}

impl fmt::Display for PasswordPolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "password policy error {}", self.0),
        }
    }
}

impl ControlValue for PasswordPolicyResponse {
    const OID: Oid = OID;
    const SCOPE: ControlScope = ControlScope::EndToEnd;

    fn encode(&self, writer: &mut Writer) {
        writer.sequence(|writer| {
            if let Some(warning) = self.warning {
                let (tag, number) = match warning {
                    PasswordPolicyWarning::TimeBeforeExpiration(seconds) => (TIME_BEFORE_EXPIRATION, seconds),
                    PasswordPolicyWarning::GraceAuthNsRemaining(binds) => (GRACE_AUTHNS_REMAINING, binds),
                };
                writer.constructed(WARNING, |writer| writer.integer_tagged(tag, number.into()));
            }
            if let Some(error) = self.error {
                writer.integer_tagged(ERROR, error.0.into());
            }
        });
    }

    fn decode(reader: &mut Reader<'_>, _limits: &Limits) -> Result<Self, DecodeError> {
        let mut sequence = reader.sequence()?;
        let warning = match sequence.peek() {
            Some(WARNING) => {
                let mut choice = sequence.constructed(WARNING)?;
                let warning = match choice.peek() {
                    Some(GRACE_AUTHNS_REMAINING) => PasswordPolicyWarning::GraceAuthNsRemaining(
                        choice.unsigned_tagged(GRACE_AUTHNS_REMAINING)?,
                    ),
                    _ => PasswordPolicyWarning::TimeBeforeExpiration(
                        choice.unsigned_tagged(TIME_BEFORE_EXPIRATION)?,
                    ),
                };
                choice.finish()?;
                Some(warning)
            }
            _ => None,
        };
        let error = match sequence.peek() {
            Some(ERROR) => Some(PasswordPolicyError(sequence.unsigned_tagged(ERROR)?)),
            _ => None,
        };
        sequence.finish()?;
        Ok(Self { warning, error })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::{option, prelude::*};

    use super::{PasswordPolicyError as E, PasswordPolicyWarning::*, *};
    use crate::{
        ber::DecodeErrorKind,
        control::{Control, Controls},
    };

    fn decode(bytes: &[u8]) -> Result<Option<PasswordPolicyResponse>, DecodeError> {
        let mut controls = Controls::none();
        controls.push_raw(Control { oid: OID, critical: false, value: Some(Bytes::copy_from_slice(bytes)) });
        controls.get(&Limits::DEFAULT)
    }

    fn encode(response: PasswordPolicyResponse) -> Bytes {
        let mut writer = Writer::new();
        response.encode(&mut writer);
        writer.take()
    }

    #[test]
    fn answers_by_hand() {
        let said = |warning, error| PasswordPolicyResponse { warning, error };
        let table: &[(&str, &[u8], PasswordPolicyResponse)] = &[
            ("nothing", b"\x30\x00", said(None, None)),
            ("an hour", b"\x30\x06\xa0\x04\x80\x02\x0e\x10", said(Some(TimeBeforeExpiration(3600)), None)),
            ("two more", b"\x30\x05\xa0\x03\x81\x01\x02", said(Some(GraceAuthNsRemaining(2)), None)),
            ("expired", b"\x30\x03\x81\x01\x00", said(None, Some(E::PASSWORD_EXPIRED))),
            (
                "both",
                b"\x30\x08\xa0\x03\x81\x01\x00\x81\x01\x02",
                said(Some(GraceAuthNsRemaining(0)), Some(E::CHANGE_AFTER_RESET)),
            ),
            ("in history", b"\x30\x03\x81\x01\x08", said(None, Some(E::PASSWORD_IN_HISTORY))),
            ("a number of tomorrow", b"\x30\x03\x81\x01\x63", said(None, Some(E(99)))),
            (
                "the largest",
                b"\x30\x08\xa0\x06\x80\x04\x7f\xff\xff\xff",
                said(Some(TimeBeforeExpiration(i32::MAX.cast_unsigned())), None),
            ),
        ];
        for (name, bytes, want) in table {
            assert_eq!(decode(bytes), Ok(Some(*want)), "{name}");
            assert_eq!(&*encode(*want), *bytes, "{name}");
        }
        assert_eq!(E::ACCOUNT_LOCKED.to_string(), "accountLocked");
        assert_eq!(E(99).to_string(), "password policy error 99");
    }

    #[test]
    fn errors_by_hand() {
        use DecodeErrorKind::{IntegerOutOfRange, TrailingBytes, Truncated, UnexpectedTag};
        let unexpected = |expected, found| UnexpectedTag { expected, found: Tag(found) };
        let table: &[(&str, &[u8], usize, DecodeErrorKind)] = &[
            ("no value", b"", 0, Truncated),
            ("a set", b"\x31\x00", 0, unexpected(Tag::SEQUENCE, 0x31)),
            ("cut short", b"\x30\x03\x81\x01", 1, Truncated),
            ("a warning of nothing", b"\x30\x02\xa0\x00", 4, Truncated),
            (
                "a warning of a third kind",
                b"\x30\x05\xa0\x03\x82\x01\x00",
                4,
                unexpected(Tag::context(0), 0x82),
            ),
            ("two warnings", b"\x30\x08\xa0\x06\x80\x01\x00\x81\x01\x00", 7, TrailingBytes),
            ("a negative time", b"\x30\x05\xa0\x03\x80\x01\xff", 4, IntegerOutOfRange),
            ("a time of 2^31", b"\x30\x09\xa0\x07\x80\x05\x00\x80\x00\x00\x00", 4, IntegerOutOfRange),
            ("an error without a number", b"\x30\x02\x81\x00", 2, IntegerOutOfRange),
            ("the error first", b"\x30\x08\x81\x01\x00\xa0\x03\x80\x01\x00", 5, TrailingBytes),
            ("behind it", b"\x30\x00\x00", 2, TrailingBytes),
        ];
        for (name, bytes, offset, kind) in table {
            assert_eq!(decode(bytes), Err(DecodeError { offset: *offset, kind: *kind }), "{name}");
        }
    }

    #[test]
    fn the_request_has_no_value() {
        let controls = Controls::none().optional(&PasswordPolicyRequest);
        assert_eq!(controls.iter().map(|control| control.value.clone()).collect::<Vec<_>>(), [None]);
        assert_eq!(controls.get(&Limits::DEFAULT), Ok(Some(PasswordPolicyRequest)));
    }

    proptest! {
        #[test]
        fn answers_are_read_as_written(
            warning in option::of((any::<bool>(), 0..1_u32 << 31)),
            error in option::of(0..1_u32 << 31),
        ) {
            let warning = warning.map(|(time, number)| {
                if time { TimeBeforeExpiration(number) } else { GraceAuthNsRemaining(number) }
            });
            let response = PasswordPolicyResponse { warning, error: error.map(E) };
            prop_assert_eq!(decode(&encode(response)), Ok(Some(response)));
        }

        #[test]
        fn what_is_read_is_written_so_that_it_is_read_again(bytes: Vec<u8>) {
            if let Ok(Some(response)) = decode(&bytes) {
                prop_assert_eq!(decode(&encode(response)), Ok(Some(response)));
            }
        }
    }
}
