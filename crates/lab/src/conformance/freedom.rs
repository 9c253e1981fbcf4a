//! Where servers may differ, and where they do: the one list, each with what allows it.

/// The server software of a subject.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Server {
    /// The embedded directory, however it is reached.
    Embedded,
    /// OpenLDAP's slapd, 2.5 and 2.6.
    OpenLdap,
    /// 389 Directory Server, 2.3.
    Ds389,
}

macro_rules! freedoms {
    ($(#[$doc:meta])* pub enum Freedom { $($(#[doc = $text:literal])+ $name:ident: $server:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[non_exhaustive]
        pub enum Freedom {
            $($(#[doc = $text])+ $name,)*
        }

        impl Freedom {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The server that takes it.
            #[must_use]
            pub const fn server(self) -> Server {
                match self {
                    $(Self::$name => Server::$server,)*
                }
            }

            /// What differs, and what allows it or which sentence it breaks.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($text),+),)*
                }
            }
        }
    };
}

freedoms! {
/// A place where an RFC leaves a server free, or where slapd is known not to do what one says.
///
/// Diagnostic messages are never compared (RFC 4511 §4.1.9: for people), nor the order of entries, attributes and
/// values (RFC 4511 §4.5.2, RFC 4512 §2.2), nor how far past the asked number a server estimates (RFC 2696 §3).
pub enum Freedom {
    /// Whether superclasses that were left out are added to `objectClass` (RFC 4512 §3.3 says that they are), or
    /// only taken into account. slapd does the latter.
    ImpliedClassesNotStored: OpenLdap,
    /// slapd answers the removal of a value of the name with `namingViolation` (64), where RFC 4511 §4.6 has
    /// `notAllowedOnRDN` (67).
    NamingViolationForRdnValue: OpenLdap,
    /// slapd answers an unknown object class with `invalidAttributeSyntax` (21): RFC 4512 §3.3 says only that the
    /// add fails.
    UnknownClassIsSyntaxError: OpenLdap,
    /// Under the access rules of the harness slapd lets users read their own password (`by self write` includes it);
    /// access control is local matter (RFC 4511 §3.2).
    OwnPasswordIsReadable: OpenLdap,
    /// slapd answers a compare of `entryDN` with `unwillingToPerform` (53); RFC 5020 §2 has it compared as any other.
    EntryDnIsNotCompared: OpenLdap,
    /// slapd sends no `matchedDN` when the entry of a modify DN is not there; RFC 4511 §4.1.9 has it in "typically".
    RenameTellsNoMatchedDn: OpenLdap,
    /// slapd refuses the `#` form in names for attributes whose syntax it knows as text, where RFC 4514 §2.4 allows
    /// it for any.
    HexadecimalNamesAreRefused: OpenLdap,
    /// slapd takes the sequences of five octets that RFC 3629 §3 took out of UTF-8.
    LongUtf8IsTaken: OpenLdap,
    /// slapd ends the conversation over a filter in a control that cannot be decoded, as RFC 4511 §4.1.1 allows for a
    /// message that cannot be.
    MalformedAssertionEndsConversation: OpenLdap,
    /// slapd fails a search over a sort key that it cannot use, whether the control is critical or not and without its
    /// answer; RFC 2891 §2 has the search done unsorted where it is not.
    UselessSortKeyFailsSearch: OpenLdap,
    /// slapd's permissive modify passes over the deletion of an attribute that is not there, not of a value;
    /// MS-ADTS §3.1.1.3.4.1.8 has both.
    PermissiveModifyMissesValues: OpenLdap,
    /// slapd with its ppolicy overlay allows an entry one password, whether a policy is in force or not; RFC 4519 §2.41
    /// allows several, and draft-behera-ldap-password-policy-10 §5.1 speaks of one.
    OnePassword: OpenLdap,
    /// slapd compares control characters, which RFC 4518 §2.2 maps to nothing.
    ControlCharactersCount: OpenLdap,
    /// 389-ds 2.3.1 does not outlive a control whose value cannot be decoded: the process ends, and all its connections
    /// with it. A fault; RFC 4511 §4.1.11 and §4.1.1 have an answer, at most the end of one connection.
    MalformedControlEndsServer: Ds389,
    /// 389-ds 2.3.1 does not outlive a virtual list view over entries without an index made for it: the process ends. A
    /// fault; draft-ietf-ldapext-ldapv3-vlv-09 §6 has a result code.
    ViewEndsServer: Ds389,
}
}

impl Freedom {
    /// Whether `server` takes this freedom.
    #[must_use]
    pub fn is_taken_by(self, server: Server) -> bool {
        self.server() == server
    }
}
