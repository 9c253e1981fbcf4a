//! Attribute descriptions that most directories use, as text that is there already.
//!
//! Octets become text by a check of each of them, and text that is kept by an allocation. For the few hundred names that
//! nearly all attributes have, a look into a table does for both. What is not in it costs more and is as good: nothing but
//! speed depends on the list.

/// Spelt as servers spell them, since the exact spelling is looked for. First those of people, organisations and groups (RFC 4519,
/// RFC 4524, RFC 2798, RFC 4523), then accounts and hosts (RFC 2307, sudo), what directories keep for their own operation and say of
/// themselves, Active Directory, and what people write in filters.
const NAMES: &str = "\
    objectClass name cn commonName sn surname givenName gn initials generationQualifier title description \
    uid userid mail displayName telephoneNumber mobile homePhone pager facsimileTelephoneNumber fax \
    employeeNumber employeeType departmentNumber preferredLanguage manager secretary assistant roomNumber \
    carLicense businessCategory labeledURI photo jpegPhoto audio o organizationName ou \
    organizationalUnitName dc domainComponent c countryName co l localityName st stateOrProvinceName street \
    streetAddress postalAddress postalCode postOfficeBox physicalDeliveryOfficeName homePostalAddress \
    registeredAddress personalTitle info drink pseudonym serialNumber distinguishedName dnQualifier \
    x500UniqueIdentifier seeAlso owner member uniqueMember memberOf memberURL roleOccupant userPassword \
    userCertificate userCertificate;binary userSMIMECertificate userSMIMECertificate;binary userPKCS12 \
    cACertificate cACertificate;binary certificateRevocationList certificateRevocationList;binary \
    crossCertificatePair authorityRevocationList host associatedDomain associatedName uniqueIdentifier \
    organizationalStatus buildingName mobileTelephoneNumber telexNumber preferredDeliveryMethod \
    destinationIndicator \
    uidNumber gidNumber gecos homeDirectory loginShell shadowLastChange shadowMin shadowMax shadowWarning \
    shadowInactive shadowExpire shadowFlag memberUid memberNisNetgroup nisNetgroupTriple ipServicePort \
    ipServiceProtocol ipProtocolNumber oncRpcNumber ipHostNumber ipNetworkNumber ipNetmaskNumber macAddress \
    bootParameter bootFile nisMapName nisMapEntry automountMapName automountKey automountInformation \
    sshPublicKey sudoUser sudoHost sudoCommand sudoOption sudoRunAsUser sudoOrder \
    createTimestamp modifyTimestamp creatorsName modifiersName hasSubordinates numSubordinates \
    subschemaSubentry structuralObjectClass entryUUID entryDN entryCSN contextCSN aliasedObjectName ref \
    nsUniqueId parentid entryid nsAccountLock namingContexts altServer supportedExtension supportedControl \
    supportedSASLMechanisms supportedLDAPVersion supportedFeatures vendorName vendorVersion attributeTypes \
    objectClasses matchingRules matchingRuleUse ldapSyntaxes dITContentRules dITStructureRules nameForms \
    administrativeRole subtreeSpecification changeNumber targetDN changeType changes newRDN deleteOldRDN \
    newSuperior pwdChangedTime pwdAccountLockedTime pwdFailureTime pwdHistory pwdGraceUseTime pwdReset \
    pwdPolicySubentry pwdLastSuccess authTimestamp krbPrincipalName krbLastPwdChange krbPasswordExpiration \
    krbPrincipalKey ipaUniqueID \
    sAMAccountName sAMAccountType userPrincipalName userAccountControl objectGUID objectSid objectCategory \
    instanceType whenCreated whenChanged uSNCreated uSNChanged primaryGroupID groupType accountExpires \
    pwdLastSet badPwdCount badPasswordTime lastLogon lastLogonTimestamp lastLogoff logonCount lockoutTime \
    codePage countryCode adminCount company department division wWWHomePage proxyAddresses mailNickname \
    legacyExchangeDN servicePrincipalName msDS-SupportedEncryptionTypes dSCorePropagationData dNSHostName \
    operatingSystem operatingSystemVersion ipPhone otherTelephone directReports managedBy employeeID \
    scriptPath homeDrive profilePath userParameters logonHours isCriticalSystemObject showInAddressBook \
    thumbnailPhoto sIDHistory unicodePwd msDS-User-Account-Control-Computed tokenGroups extensionAttribute1 \
    canonicalName createTimeStamp modifyTimeStamp \
    objectclass samaccountname givenname";

/// Octets of a name that its key holds.
pub(super) const KEY: usize = 16;

/// The key of no text: it begins with 0xFE.
const NONE: u128 = !1;

/// Places in the table, as a power of two: few names want the same one.
const PLACES: u32 = 1 << 10;

/// A name, and its first octets as a number.
#[derive(Clone, Copy)]
struct Known {
    key: u128,
    name: &'static str,
}

/// Each name at the place of its key, or at the first free one behind that.
static TABLE: [Known; PLACES as usize] = table();

/// For each length the octets of a key that are not part of the name. They are 0xFF, which is in no text, so that no key is that
/// of a name of another length.
pub(super) static PADDING: [u128; KEY + 1] = padding();

/// The well-known description that the first `length` octets are, if they are one. They must be text.
#[inline(always)]
pub(super) fn known_description(octets: &[u8], length: usize) -> Option<&'static str> {
    if let Some(first) = octets.first_chunk()
        && let Some(padding) = PADDING.get(length)
        && let key = u128::from_le_bytes(*first) | padding
        && let Some(known) = TABLE.get(place(key, length))
        && known.key == key
    {
        return Some(known.name);
    }
    search(octets.get(..length)?)
}

/// As [`known_description`], for a name that is longer than a key, has little behind it, or is not where it wants to be.
#[inline(never)]
fn search(name: &[u8]) -> Option<&'static str> {
    let (before, from) = TABLE.split_at_checked(place(key_of(name), name.len()))?;
    // There are free places, and they have no name.
    let mut names = from.iter().chain(before).map(|known| known.name).take_while(|known| !known.is_empty());
    names.find(|known| known.as_bytes() == name)
}

/// Where to look for a name first.
#[inline]
const fn place(key: u128, length: usize) -> usize {
    let mixed = (key as u64 ^ length as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> (u64::BITS - PLACES.trailing_zeros())) as usize
}

/// The first octets of a name, as a number.
const fn key_of(name: &[u8]) -> u128 {
    let mut key = u128::MAX;
    let mut at = if name.len() < KEY { name.len() } else { KEY };
    while let Some((octet, _)) = name.split_at(at).0.split_last() {
        key = key << 8 | *octet as u128;
        at -= 1;
    }
    key
}

#[expect(clippy::indexing_slicing, reason = "done when this is compiled")]
const fn padding() -> [u128; KEY + 1] {
    let mut padding = [0; KEY + 1];
    let mut length = 0;
    while length < KEY {
        padding[length] = u128::MAX << (8 * length);
        length += 1;
    }
    padding
}

#[expect(clippy::indexing_slicing, reason = "done when this is compiled")]
const fn table() -> [Known; PLACES as usize] {
    let mut table = [Known { key: NONE, name: "" }; PLACES as usize];
    let (mut left, mut length) = (NAMES, 0);
    while length < left.len() {
        length += 1;
        if length < left.len() && left.as_bytes()[length] != b' ' {
            continue;
        }
        let (name, behind) = left.split_at(length);
        left = behind.trim_ascii_start();
        length = 0;
        let key = key_of(name.as_bytes());
        let mut at = place(key, name.len());
        while !table[at].name.is_empty() {
            at = (at + 1) % table.len();
        }
        // A key does not hold all of a long name.
        let key = if name.len() <= KEY { key } else { NONE };
        table[at] = Known { key, name };
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_with_anything_behind_them() {
        for name in NAMES.split(' ') {
            assert!(crate::attribute::check_description(name).is_ok(), "{name}");
            for behind in ["", "x", "1\u{3}\u{4}\u{1}A", " and as much as a key can hold"] {
                let text = [name, behind].concat();
                let found = known_description(text.as_bytes(), name.len());
                assert_eq!(found, Some(name), "{text}");
            }
        }
    }

    #[test]
    fn nothing_else_is_found() {
        let others = "cN c\0 cn\0 \0 c;n shadowLastChangE shadowLastChange2 preferredLanguagE ärger";
        for text in others.split(' ') {
            assert_eq!(known_description(text.as_bytes(), text.len()), None, "{text}");
            let long = format!("{text} and as much as a key can hold");
            assert_eq!(known_description(long.as_bytes(), text.len()), None, "{text}");
        }
        assert_eq!(known_description(b"cn", 3), None);
        assert_eq!(known_description(b"\xff\xff", 2), None);
        assert_eq!(known_description(b"cn", 0), None);
        for length in 0..20 {
            assert_eq!(known_description(&[0; 40], length), None, "{length}");
        }
    }

    #[test]
    fn looking_does_not_take_long() {
        let far = |name: &str| {
            let at = TABLE.iter().position(|known| known.name == name).unwrap();
            (at + TABLE.len() - place(key_of(name.as_bytes()), name.len())) % TABLE.len()
        };
        let names: Vec<_> = NAMES.split(' ').collect();
        let displaced: Vec<_> = names.iter().filter(|name| far(name) > 0).collect();
        assert!(displaced.len() < names.len() / 4 && names.iter().all(|name| far(name) < 8), "{displaced:?}");
        let taken = TABLE.iter().filter(|known| !known.name.is_empty()).count();
        assert_eq!(taken, names.len(), "a name stands twice");
    }
}
