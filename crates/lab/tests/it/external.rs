//! SASL EXTERNAL of our client on a real slapd: the certificate says who, over ldaps and over StartTLS.

use flext_ldap_client::{Connector, Credentials, TlsOptions};
use flext_ldap_directory::{Actor, DirectoryExt as _, ErrorKind};
use flext_ldap_lab::{Content, Slapd, SlapdOptions};
use flext_ldap_testkit::company::company;

#[test]
fn a_client_certificate_signs_in_over_ldaps_and_start_tls() {
    let people = company(10, 3);
    let mut ldif = Vec::new();
    people.write_ldif(&mut ldif).unwrap();
    let content = Content::Text(String::from_utf8(ldif).unwrap());
    let slapd = Slapd::start(SlapdOptions { content, ..SlapdOptions::default() }).unwrap();
    let person = people.people().next().unwrap();
    let identity = slapd.authority().client(&person.uid).unwrap();
    let trusting = || TlsOptions::new().ca_pem(slapd.ca_pem());
    let shown = || {
        trusting().client_certificate_pem(identity.certificate_pem.as_str(), identity.key_pem.as_str().into())
    };
    let (ldap, ldaps) = (slapd.ldap_url().parse().unwrap(), slapd.ldaps_url().parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for builder in [
            Connector::builder().ldaps(shown()).url(&ldaps),
            Connector::builder().start_tls(shown()).url(&ldap),
        ] {
            let connector = builder.credentials(Credentials::External).build().unwrap();
            let connection = connector.connect().await.unwrap();
            assert_eq!(connection.who_am_i(Actor::Service).await.unwrap(), format!("dn:{}", person.dn));
            let Some(Actor::User(identity)) = connection.actor() else { panic!("not bound") };
            assert_eq!(identity.dn().map(ToString::to_string), Some(person.dn.clone()));
            connection.close().await;
        }
        // Without a certificate there is nobody to be.
        let builder = Connector::builder().ldaps(trusting()).url(&ldaps);
        let error = builder.credentials(Credentials::External).build().unwrap().connect().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected, "{error}");
    });
}
