//! Whether the server would take a password without TLS: asked with an invented name and password, once.
//!
//! Nobody's password goes out, and nobody's account counts the failure. The demand for signing of Active Directory is heard in
//! the same way: a simple bind without TLS is answered with `strongerAuthRequired`.

use flext_ldap_client::{Connector, Credentials};
use flext_ldap_directory::proto::{
    dn::{Dn, Rdn},
    message::Limits,
    result::ResultCode,
};

use super::{
    Doctor, Finding, LARGEST_MESSAGE, What,
    reach::{Looked, about},
    told,
};
use crate::config::Protection;

/// What is sent as a password, for it must not be empty.
const NO_PASSWORD: &str = "asked by flext-ldap doctor; nobody's password";

pub(super) async fn look(doctor: &Doctor, looked: &Looked, findings: &mut Vec<Finding>) {
    let (Some(address), Protection::StartTls) = (looked.address, looked.way.protection) else { return };
    let base = looked.capabilities.as_ref().and_then(|known| known.default_naming_context.clone());
    let Ok(cn) = "cn".parse() else { return };
    let name = base.unwrap_or_else(Dn::root).child(&Rdn::new(&cn, b"flext-ldap doctor"));
    let connector = Connector::builder()
        .clear()
        .address(address.ip().to_string(), address.port())
        .connect_timeout(doctor.patience)
        .limits(Limits::DEFAULT.with_message(LARGEST_MESSAGE))
        .credentials(Credentials::simple(name.as_str(), NO_PASSWORD))
        .dangerous_clear_passwords();
    let Ok(connector) = connector.build() else { return };
    let mend = "have it refuse them: `security simple_bind=128` (OpenLDAP), `nsslapd-require-secure-binds: on` (389-ds), \
                `LDAPServerIntegrity` 2 (Active Directory)";
    match connector.connect().await {
        Ok(connection) => {
            connection.close().await;
            let cause = "it lets in an invented name with an invented password";
            let finding = Finding::warning(What::ClearPasswords, about(&looked.way), cause);
            findings.push(
                finding.evidence(format!("the bind as `{name}` succeeded")).mend("see what answers there"),
            );
        }
        Err(error) => match error.result_code() {
            Some(ResultCode::CONFIDENTIALITY_REQUIRED | ResultCode::STRONGER_AUTH_REQUIRED) => {
                let cause = "it refuses passwords without TLS";
                let finding = Finding::good(What::TlsDemanded, about(&looked.way), cause);
                findings.push(finding.evidence(told(&error)));
            }
            // On the loopback interface servers may do without.
            Some(ResultCode::INVALID_CREDENTIALS | ResultCode::NO_SUCH_OBJECT)
                if !address.ip().is_loopback() =>
            {
                let cause = "it takes passwords without TLS: a program that is set up wrongly shows them to everybody on the way";
                let finding = Finding::warning(What::ClearPasswords, about(&looked.way), cause);
                let evidence = format!(
                    "a bind in clear, as `{name}`, which is invented, was answered: {}",
                    told(&error)
                );
                findings.push(finding.evidence(evidence).mend(mend));
            }
            // It cannot be told.
            _ => {}
        },
    }
}
