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
    /// Samba 4.17 as a domain controller of Active Directory.
    Samba,
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
    /// slapd sends a page of a sorted search before it lets go of that search: whoever asks for the next page at once
    /// may be told `busy` (51), which RFC 4511 §A.2 has a client try again after.
    SortedPageMayBeBusy: OpenLdap,
    /// slapd's permissive modify passes over the deletion of an attribute that is not there, not of a value;
    /// MS-ADTS §3.1.1.3.4.1.8 has both.
    PermissiveModifyMissesValues: OpenLdap,
    /// slapd that is told `sasl-cbinding` offers SCRAM that binds to the channel, and then wants the binding to be called
    /// `ldap`, which is none that there is: only mechanisms without `-PLUS` let a client in. A fault: RFC 5802 §6.
    BindingOfItsOwnName: OpenLdap,
    /// slapd with its ppolicy overlay allows an entry one password, whether a policy is in force or not; RFC 4519 §2.41
    /// allows several, and draft-behera-ldap-password-policy-10 §5.1 speaks of one.
    OnePassword: OpenLdap,
    /// slapd compares control characters, which RFC 4518 §2.2 maps to nothing.
    ControlCharactersCount: OpenLdap,
    /// 389-ds 2.3.1 never answers a write with a pre-read or post-read control whose value cannot be decoded. A fault; RFC
    /// 4511 §4.1.11 and §4.1.1 have an answer, at most the end of the connection.
    MalformedControlIsNotAnswered: Ds389,
    /// 389-ds 2.3.1 does not outlive a virtual list view by a value over a key with an ordering rule: the process ends with
    /// SIGSEGV. A fault; draft-ietf-ldapext-ldapv3-vlv-09 §6 has a result code.
    ViewEndsServer: Ds389,
    /// 389-ds answers "Who am I?" with a blank after `dn:`. A fault: RFC 4513 §5.2.1.8 has none.
    BlankInWhoAmI: Ds389,
    /// 389-ds takes attribute types in names, and names in values, as text: an identifier, an alias or an escaped letter
    /// makes another name, and the `#` form is refused. A fault: RFC 4514 §2.3 and §2.4, RFC 4517 §4.2.15.
    NamesAreText: Ds389,
    /// 389-ds keeps one of several blanks in a name; RFC 4514 §5.1 lets a server give names in a form of its own.
    NamesLoseBlanks: Ds389,
    /// 389-ds knows an attribute in a compare by some of its names and a class by its name only. A fault: RFC 4512 §1.4
    /// and RFC 4517 §4.2.26.
    TypesByOneName: Ds389,
    /// 389-ds does not look at whether an entry has one structural class, nor whether it keeps it. A fault: RFC 4512
    /// §2.4.2.
    NoStructuralClass: Ds389,
    /// 389-ds takes an entryUUID from its administrator. RFC 4530 §2 has it NO-USER-MODIFICATION, which RFC 4512 §4.1.2
    /// leaves to directories that administer them.
    KeptAttributesCanBeGiven: Ds389,
    /// 389-ds gives no entryCSN, structuralObjectClass, hasSubordinates and subschemaSubentry; a fault for the last and
    /// structuralObjectClass (RFC 4512 §4.2 and §3.4), the others are from drafts and X.501.
    FewOperationalAttributes: Ds389,
    /// 389-ds ends passwords and assertion values at a NUL. A fault: they are octets (RFC 4511 §4.2, §4.1.6).
    NulEndsValues: Ds389,
    /// 389-ds takes an undefined filter item for false, so its negation is true, and a compare of an unknown type or a
    /// malformed value for a false one. A fault: RFC 4511 §4.5.1.7 and §4.10.
    UndefinedIsFalse: Ds389,
    /// 389-ds refuses the true and false filters; RFC 4526 is an extension and the root DSE does not list it.
    NoTrueFalseFilters: Ds389,
    /// 389-ds does not find subtypes by their supertype, nor give them. A fault: RFC 4512 §2.5.1.
    NoSupertypes: Ds389,
    /// 389-ds refuses a search over a matching rule it does not know and ignores `:dn`. A fault: RFC 4511 §4.5.1.7.7 has
    /// the first Undefined.
    FewMatchingRules: Ds389,
    /// 389-ds orders numbers as text where its schema names no ordering rule. RFC 2307 §3 gives uidNumber none, and RFC
    /// 4511 §4.5.1.7.3 has such an item Undefined.
    NumbersAreOrderedAsText: Ds389,
    /// 389-ds refuses deep filters and long substrings; a server may limit what it is asked (RFC 4511 §4.5.2,
    /// `unwillingToPerform` and `adminLimitExceeded`).
    FiltersAreBounded: Ds389,
    /// 389-ds has no increment; RFC 4525 is an extension and the root DSE does not list it.
    NoIncrement: Ds389,
    /// 389-ds has no assertion control; RFC 4528 is an extension and the root DSE does not list it.
    NoAssertionControl: Ds389,
    /// 389-ds has no matched values, permissive modify, relax, don't-use-copy and RFC 3672's subentries; controls are
    /// optional (RFC 4511 §4.1.11), and it answers `unavailableCriticalExtension`.
    NoRefinements: Ds389,
    /// 389-ds has no selection of attributes by class; RFC 4529 is an extension and the root DSE does not list it.
    NoClassSelections: Ds389,
    /// 389-ds has no subordinate scope; it is from a draft, and RFC 4511 §4.5.1.2 has servers refuse what they do not
    /// know.
    NoSubordinateScope: Ds389,
    /// 389-ds does not follow entries of class referral unless its database is told to (RFC 3296 is an extension).
    NoReferralObjects: Ds389,
    /// 389-ds ignores a critical proxied authorization control on extended operations. A fault: RFC 4511 §4.1.11.
    ProxyStopsAtOperations: Ds389,
    /// 389-ds has a password policy of its own in place of draft-behera-ldap-password-policy-10's subentries.
    OwnPasswordPolicy: Ds389,
    /// 389-ds does not change passwords by the extended operation over a clear connection; RFC 3062 §4 wants protection.
    PasswordModifyWantsProtection: Ds389,
    /// 389-ds sorts by none of the ordering rules of RFC 4517, and does not say so. A fault: RFC 2891 §2.
    NoOrderByName: Ds389,
    /// 389-ds takes a cookie that nobody gave for the number of a search, and begins one where its connection has paged
    /// before. A fault: RFC 2696 §3 has a search that cannot be resumed answered with an error.
    CookiesAreNumbers: Ds389,
    /// 389-ds refuses for the same reasons with other result codes; RFC 4511 Appendix A tells what each is for, not which
    /// of several reasons comes first.
    OtherCodes: Ds389,
    /// Samba keeps an inetOrgPerson as an account, as MS-ADTS §3.1.1.3 has it: of one more class, with some twenty attributes
    /// that come with all user attributes, and with one description at most.
    PeopleAreAccounts: Samba,
    /// Samba's passwords are in unicodePwd (MS-ADTS §3.1.1.3.1.5.1); a userPassword lets nobody in, so those whom the suite
    /// adds cannot bind. That people can is shown by the tests of signing in.
    PasswordsAreElsewhere: Samba,
    /// Samba shows nobody who has not bound more than the root DSE (MS-ADTS §5.1.1.1.1, and RFC 4513 §5.1.1 leaves it to the
    /// server).
    NoAnonymousReading: Samba,
    /// Samba knows neither "Who am I?" nor the change of a password (RFC 4532, RFC 3062), and lists no extended operation;
    /// StartTLS works all the same.
    NoExtendedOperations: Samba,
    /// Samba has the schema of Active Directory: other attributes needed, allowed and of one value, lengths limited, no
    /// options, no referral, subentry, pwdPolicy and extensibleObject. RFC 4512 §4.2 has a client read the schema.
    SchemaOfItsOwn: Samba,
    /// Samba takes no name for a value that names no entry (MS-ADTS §3.1.1.1.6).
    ReferencesMustExist: Samba,
    /// Samba takes only names of one value a component, the type by its name and with no brackets, stars or equals signs
    /// in it where the suite has them. A fault for the latter: RFC 4514 §3.
    NamesAreSimple: Samba,
    /// Samba gives the types in names in capital letters; RFC 4514 §5.1 lets a server give names in a form of its own.
    NamesInItsOwnForm: Samba,
    /// Samba knows attributes in changes by their name, not by their identifier. A fault: RFC 4512 §1.4.
    AttributesByOneName: Samba,
    /// Samba sends no `matchedDN`; RFC 4511 §4.1.9 has it in "typically".
    NoMatchedName: Samba,
    /// Samba refuses several changes of the attribute that names an entry, whatever they come to; RFC 4511 §4.6 looks at the
    /// outcome only.
    ChangesOfNamesAreRefused: Samba,
    /// Samba gives whenCreated, uSNCreated, objectGUID and the like where RFC 4512 §3.4, RFC 4530 and RFC 5020 have
    /// createTimestamp, entryUUID and entryDN, and has objectClass's values for structuralObjectClass.
    OperationalsOfItsOwn: Samba,
    /// Samba has no assertions, reads before and after, ManageDsaIT, proxied authorization, relax and don't-use-copy; controls
    /// are optional (RFC 4511 §4.1.11), and it answers `unavailableCriticalExtension`.
    FewControls: Samba,
    /// Samba ignores a critical control that it knows but not for the operation. A fault: RFC 4511 §4.1.11.
    StrayControlsAreIgnored: Samba,
    /// Samba refuses a value that is there although the permissive modify control is (MS-ADTS §3.1.1.3.4.1.8 has it pass).
    PermissiveModifyAddsOnce: Samba,
    /// Samba has no subordinate scope; it is from a draft, and RFC 4511 §4.5.1.2 has servers refuse what they do not
    /// know.
    NoScopeOfSubordinates: Samba,
    /// Samba takes no notice of a size limit. A fault: RFC 4511 §4.5.1.4.
    SizeLimitsAreIgnored: Samba,
    /// Samba takes no notice of the filter where the root DSE is asked for. A fault: RFC 4511 §4.5.1.7.
    RootMatchesAnything: Samba,
    /// Samba sorts by one key, and gives nothing for several; MS-ADTS §3.1.1.3.4.1.13 has one too.
    OneSortKey: Samba,
    /// Samba does not say that it cannot sort by a key, even where it is critical. A fault: RFC 2891 §2.
    OrdersAreIgnored: Samba,
    /// Samba refuses for the same reasons with other result codes; RFC 4511 Appendix A tells what each is for, not which of
    /// several reasons comes first.
    CodesOfItsOwn: Samba,
}
}

impl Freedom {
    /// Whether `server` takes this freedom.
    #[must_use]
    pub fn is_taken_by(self, server: Server) -> bool {
        self.server() == server
    }
}

#[cfg(test)]
mod tests {
    use std::{fmt::Write as _, path::Path};

    use super::*;

    const BEGIN: &str = "<!-- what follows is made by a test of crates/lab -->\n";

    /// `DIFFERENCES_UPDATE=1` writes it.
    #[test]
    fn the_document_lists_every_freedom() {
        let mut list = String::new();
        for (server, title) in [
            (Server::OpenLdap, "OpenLDAP"),
            (Server::Ds389, "389 Directory Server"),
            (Server::Samba, "Samba as a domain controller"),
        ] {
            write!(list, "\n### {title}\n\n").unwrap();
            for freedom in Freedom::ALL.iter().filter(|freedom| freedom.is_taken_by(server)) {
                writeln!(list, "- `{freedom:?}`:{}", freedom.text()).unwrap();
            }
        }
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/compatibility.md");
        let text = std::fs::read_to_string(&file).unwrap();
        let (kept, listed) = text.split_once(BEGIN).unwrap();
        if std::env::var_os("DIFFERENCES_UPDATE").is_some() {
            std::fs::write(&file, format!("{kept}{BEGIN}{list}")).unwrap();
        } else {
            assert_eq!(listed, list, "run it with DIFFERENCES_UPDATE=1");
        }
    }

    #[test]
    fn every_freedom_names_its_reason() {
        for freedom in Freedom::ALL {
            assert!(
                ["RFC ", "draft-", "MS-ADTS"].iter().any(|reason| freedom.text().contains(reason)),
                "{freedom:?} names nothing that allows or forbids it"
            );
        }
    }
}
