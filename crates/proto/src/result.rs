//! Results: the code, the text, how far the name matched, and where else to ask (RFC 4511 §4.1.9).

use std::fmt;

/// A result code. Codes of other standards and of vendors pass through.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ResultCode(pub u32);

/// The `LDAPResult` that ends an operation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LdapResult {
    /// What happened.
    pub code: ResultCode,
    /// The last entry that exists on the way to the one named, or empty. As sent: not always a valid name.
    pub matched_dn: String,
    /// For people; never to be parsed.
    pub diagnostic: String,
    /// Where the operation can be carried on; LDAP URLs as sent. Present with `referral` only.
    pub referrals: Vec<String>,
}

impl LdapResult {
    /// `success`.
    #[must_use]
    pub const fn success() -> Self {
        Self::new(ResultCode::SUCCESS)
    }

    /// `code` with nothing else.
    #[must_use]
    pub const fn new(code: ResultCode) -> Self {
        Self { code, matched_dn: String::new(), diagnostic: String::new(), referrals: Vec::new() }
    }

    /// `code`, with a text for people.
    #[must_use]
    pub fn with_diagnostic(code: ResultCode, diagnostic: impl Into<String>) -> Self {
        Self { diagnostic: diagnostic.into(), ..Self::new(code) }
    }
}

macro_rules! result_codes {
    ($($(#[$doc:meta])* $konst:ident = $number:literal, $name:literal;)*) => {
        impl ResultCode {
            $($(#[$doc])* pub const $konst: Self = Self($number);)*

            /// The codes that have a name, in ascending order.
            pub const KNOWN: &'static [Self] = &[$(Self::$konst),*];

            /// The name in RFC 4511 appendix A (or the RFC that added it), e.g. `noSuchObject`.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($name),)*
                    _ => None,
                }
            }
        }
    };
}

result_codes! {
    /// The operation was done.
    SUCCESS = 0, "success";
    /// Out of order with other operations, or an internal error.
    OPERATIONS_ERROR = 1, "operationsError";
    /// The request was not well formed or not known.
    PROTOCOL_ERROR = 2, "protocolError";
    /// The time limit came before the end.
    TIME_LIMIT_EXCEEDED = 3, "timeLimitExceeded";
    /// The size limit came before the end.
    SIZE_LIMIT_EXCEEDED = 4, "sizeLimitExceeded";
    /// A compare whose assertion is false.
    COMPARE_FALSE = 5, "compareFalse";
    /// A compare whose assertion is true.
    COMPARE_TRUE = 6, "compareTrue";
    /// The way of authentication is not offered.
    AUTH_METHOD_NOT_SUPPORTED = 7, "authMethodNotSupported";
    /// Stronger authentication is asked for.
    STRONGER_AUTH_REQUIRED = 8, "strongerAuthRequired";
    /// Another server has it.
    REFERRAL = 10, "referral";
    /// An administrative limit came before the end.
    ADMIN_LIMIT_EXCEEDED = 11, "adminLimitExceeded";
    /// A critical control is not known.
    UNAVAILABLE_CRITICAL_EXTENSION = 12, "unavailableCriticalExtension";
    /// The connection must be protected first.
    CONFIDENTIALITY_REQUIRED = 13, "confidentialityRequired";
    /// The next step of a SASL exchange is awaited.
    SASL_BIND_IN_PROGRESS = 14, "saslBindInProgress";
    /// The entry has no such attribute or value.
    NO_SUCH_ATTRIBUTE = 16, "noSuchAttribute";
    /// The schema has no such attribute type.
    UNDEFINED_ATTRIBUTE_TYPE = 17, "undefinedAttributeType";
    /// The attribute has no such matching rule.
    INAPPROPRIATE_MATCHING = 18, "inappropriateMatching";
    /// A constraint on values is violated.
    CONSTRAINT_VIOLATION = 19, "constraintViolation";
    /// The attribute or value is there already.
    ATTRIBUTE_OR_VALUE_EXISTS = 20, "attributeOrValueExists";
    /// A value does not fit its syntax.
    INVALID_ATTRIBUTE_SYNTAX = 21, "invalidAttributeSyntax";
    /// There is no such entry.
    NO_SUCH_OBJECT = 32, "noSuchObject";
    /// An alias points nowhere useful.
    ALIAS_PROBLEM = 33, "aliasProblem";
    /// The name is not well formed.
    INVALID_DN_SYNTAX = 34, "invalidDNSyntax";
    /// An alias could not be followed.
    ALIAS_DEREFERENCING_PROBLEM = 36, "aliasDereferencingProblem";
    /// Credentials are needed, or of another kind.
    INAPPROPRIATE_AUTHENTICATION = 48, "inappropriateAuthentication";
    /// The credentials are wrong.
    INVALID_CREDENTIALS = 49, "invalidCredentials";
    /// Not allowed.
    INSUFFICIENT_ACCESS_RIGHTS = 50, "insufficientAccessRights";
    /// Too busy now.
    BUSY = 51, "busy";
    /// Not able now.
    UNAVAILABLE = 52, "unavailable";
    /// Not willing.
    UNWILLING_TO_PERFORM = 53, "unwillingToPerform";
    /// A loop was found.
    LOOP_DETECT = 54, "loopDetect";
    /// The entry would stand where the schema does not allow it.
    NAMING_VIOLATION = 64, "namingViolation";
    /// The entry would violate its object classes.
    OBJECT_CLASS_VIOLATION = 65, "objectClassViolation";
    /// Only an entry without children can have this done.
    NOT_ALLOWED_ON_NON_LEAF = 66, "notAllowedOnNonLeaf";
    /// The values that name the entry must stay.
    NOT_ALLOWED_ON_RDN = 67, "notAllowedOnRDN";
    /// There is such an entry already.
    ENTRY_ALREADY_EXISTS = 68, "entryAlreadyExists";
    /// The structural class of an entry must stay.
    OBJECT_CLASS_MODS_PROHIBITED = 69, "objectClassModsProhibited";
    /// More than one server would be needed.
    AFFECTS_MULTIPLE_DSAS = 71, "affectsMultipleDSAs";
    /// A virtual list view could not be given (draft-ietf-ldapext-ldapv3-vlv); its control says why.
    VIRTUAL_LIST_VIEW_ERROR = 76, "virtualListViewError";
    /// Anything else.
    OTHER = 80, "other";
    /// The operation was cancelled (RFC 3909).
    CANCELED = 118, "canceled";
    /// There is no such operation to cancel (RFC 3909).
    NO_SUCH_OPERATION = 119, "noSuchOperation";
    /// It is too late to cancel (RFC 3909).
    TOO_LATE = 120, "tooLate";
    /// The operation cannot be cancelled (RFC 3909).
    CANNOT_CANCEL = 121, "cannotCancel";
    /// The assertion control's filter is not true (RFC 4528).
    ASSERTION_FAILED = 122, "assertionFailed";
    /// The proxied authorization was refused (RFC 4370).
    AUTHORIZATION_DENIED = 123, "authorizationDenied";
    /// The sync state is too old (RFC 4533).
    E_SYNC_REFRESH_REQUIRED = 4096, "e-syncRefreshRequired";
}

impl fmt::Display for ResultCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => write!(f, "result code {}", self.0),
        }
    }
}
