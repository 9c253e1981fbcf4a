//! Which attributes hold secrets, by name: for whoever logs or shows what passes by, and knows no schema.

/// By name and, where they have one that is written, by OID.
const SECRET: &[&str] = &[
    "userPassword",
    "2.5.4.35",
    "authPassword",
    "1.3.6.1.4.1.4203.1.3.4",
    "unicodePwd",
    "dBCSPwd",
    "supplementalCredentials",
    "sambaNTPassword",
    "sambaLMPassword",
    "sambaPasswordHistory",
    "krbPrincipalKey",
    "pwdHistory",
    "clearTextPassword",
    "orclPassword",
    "oathSecret",
];

/// Whether the values of an attribute type, by its name without options, are secrets of those directories that are
/// known here. Access rules are what keeps them from being read; this keeps them out of logs.
#[must_use]
pub fn is_secret(attribute_type: &str) -> bool {
    SECRET.iter().any(|secret| secret.eq_ignore_ascii_case(attribute_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_known_in_any_spelling() {
        assert!(
            ["userPassword", "USERPASSWORD", "2.5.4.35", "unicodePwd"].iter().all(|name| is_secret(name))
        );
        assert!(["uid", "userPasswordHint", ""].iter().all(|name| !is_secret(name)));
    }
}
