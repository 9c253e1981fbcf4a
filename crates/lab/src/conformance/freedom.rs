//! Where servers may differ, and where they do: the one list, each with what allows it.

/// The server software of a subject.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Server {
    /// The embedded directory, however it is reached.
    Embedded,
    /// OpenLDAP's slapd, 2.5 and 2.6.
    OpenLdap,
}

/// A place where an RFC leaves a server free, or where slapd is known not to do what one says.
///
/// Diagnostic messages are never compared (RFC 4511 §4.1.9: for people), nor the order of entries, attributes and
/// values (RFC 4511 §4.5.2, RFC 4512 §2.2), nor how far past the asked number a server estimates (RFC 2696 §3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Freedom {
    /// Whether superclasses that were left out are added to `objectClass` (RFC 4512 §3.3 says that they are), or
    /// only taken into account. slapd does the latter.
    ImpliedClassesNotStored,
    /// slapd answers the removal of a value of the name with `namingViolation` (64), where RFC 4511 §4.6 has
    /// `notAllowedOnRDN` (67).
    NamingViolationForRdnValue,
    /// slapd answers an unknown object class with `invalidAttributeSyntax` (21): RFC 4512 §3.3 says only that the
    /// add fails.
    UnknownClassIsSyntaxError,
    /// Under the access rules of the harness slapd lets users read their own password (`by self write` includes it);
    /// access control is local matter (RFC 4511 §3.2).
    OwnPasswordIsReadable,
    /// slapd answers a compare of `entryDN` with `unwillingToPerform` (53); RFC 5020 §2 has it compared as any other.
    EntryDnIsNotCompared,
    /// slapd sends no `matchedDN` when the entry of a modify DN is not there; RFC 4511 §4.1.9 has it in "typically".
    RenameTellsNoMatchedDn,
    /// slapd refuses the `#` form in names for attributes whose syntax it knows as text, where RFC 4514 §2.4 allows
    /// it for any.
    HexadecimalNamesAreRefused,
    /// slapd takes the sequences of five octets that RFC 3629 §3 took out of UTF-8.
    LongUtf8IsTaken,
    /// slapd ends the conversation over a filter in a control that cannot be decoded, as RFC 4511 §4.1.1 allows for a
    /// message that cannot be.
    MalformedAssertionEndsConversation,
    /// slapd fails a search over a sort key that it cannot use, whether the control is critical or not and without its
    /// answer; RFC 2891 §2 has the search done unsorted where it is not.
    UselessSortKeyFailsSearch,
    /// slapd's permissive modify passes over the deletion of an attribute that is not there, not of a value;
    /// MS-ADTS §3.1.1.3.4.1.8 has both.
    PermissiveModifyMissesValues,
    /// slapd with its ppolicy overlay allows an entry one password, whether a policy is in force or not; RFC 4519 §2.41
    /// allows several, and draft-behera-ldap-password-policy-10 §5.1 speaks of one.
    OnePassword,
    /// slapd compares control characters, which RFC 4518 §2.2 maps to nothing.
    ControlCharactersCount,
}

impl Freedom {
    /// Whether `server` takes this freedom.
    #[must_use]
    pub const fn is_taken_by(self, server: Server) -> bool {
        matches!(server, Server::OpenLdap)
    }
}
