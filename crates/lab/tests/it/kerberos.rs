//! The realms of the harness, by a client that is not ours: libldap signs in by Kerberos at slapd, 389-ds and Samba.

use flext_ldap_lab::{Content, DEFAULT_SUFFIX, Kdc, NsSlapd, Samba, Slapd, SlapdOptions, Tool};

const RIGHT: &str = "low water 7";

fn entries() -> String {
    format!(
        "dn: {DEFAULT_SUFFIX}\nobjectClass: dcObject\nobjectClass: organization\no: Harbour Lane\ndc: harbourlane\n\n\
         dn: ou=people,{DEFAULT_SUFFIX}\nobjectClass: organizationalUnit\nou: people\n\n\
         dn: uid=ada,ou=people,{DEFAULT_SUFFIX}\nobjectClass: inetOrgPerson\nuid: ada\ncn: Ada Byrne\nsn: Byrne\n"
    )
}

/// `-N`: without it libldap asks for a ticket for the name of the machine.
fn who_am_i(url: &str) -> Tool {
    Tool::new("ldapwhoami").unwrap().args(["-Y", "GSSAPI", "-N", "-Q", "-H", url])
}

#[test]
fn slapd_and_389_ds_know_who_has_signed_in() {
    let kdc = Kdc::start().unwrap();
    kdc.add_principal("ada", RIGHT).unwrap();
    assert!(kdc.add_principal("ada", RIGHT).is_err(), "there are two of her");
    assert!(kdc.sign_in("ada", "high water 7").is_err(), "any password will do");
    let slapd = SlapdOptions { content: Content::Text(entries()), ..kdc.slapd_options() };
    let slapd = Slapd::start(slapd).unwrap();
    let ds389 = NsSlapd::start_with(&kdc.server_environment()).unwrap();
    let (url, root) = (ds389.ldap_url(), ds389.root_dn());
    let arguments = ["-x", "-H", &url, "-D", &root, "-w", ds389.root_password()];
    Tool::new("ldapadd").unwrap().args(arguments).input(entries()).run().unwrap().success().unwrap();

    let servers = [("slapd", slapd.ldap_url()), ("389-ds", ds389.ldap_url())];
    let servers = servers.map(|(name, url)| (name, url.replace("127.0.0.1", "localhost")));
    let nobody = kdc.client_environment("nobody");
    let ada = kdc.sign_in("ada", RIGHT).unwrap();
    let her = format!("uid=ada,ou=people,{DEFAULT_SUFFIX}");
    for (name, url) in servers {
        let said = who_am_i(&url).envs(&nobody).run().unwrap();
        assert_ne!(said.code, Some(0), "{name}: {}", said.said());
        let said = who_am_i(&url)
            .envs(&ada)
            .run()
            .unwrap()
            .success()
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(said.trim_end().trim_start_matches("dn:").trim(), her, "{name}");
    }

    // The same by a file of keys, which leaves the password what it is.
    let keytab = kdc.keytab("ada").unwrap();
    let mut by_key = kdc.client_environment("ada-by-key");
    by_key.push(("KRB5_CLIENT_KTNAME", keytab.into()));
    let said = who_am_i(&slapd.ldap_url().replace("127.0.0.1", "localhost")).envs(&by_key).run().unwrap();
    assert_eq!(said.success().unwrap(), format!("dn:{her}\n"));
    kdc.sign_in("ada", RIGHT).unwrap();
}

#[test]
fn samba_knows_who_has_signed_in() {
    let samba = Samba::shared().unwrap();
    let administrator = samba.sign_in("Administrator", samba.root_password()).unwrap();
    assert!(samba.sign_in("Administrator", "high water 7").is_err(), "any password will do");
    let url = samba.ldap_url();
    // It does not know who we are when asked so (RFC 4532), but shows its people to none but its own.
    let search = ["-LLL", "-Q", "-H", &url, "-b", DEFAULT_SUFFIX, "(sAMAccountName=Administrator)", "1.1"];
    let anonymous =
        Tool::new("ldapsearch").unwrap().arg("-x").args(search.iter().filter(|one| **one != "-Q"));
    let said = anonymous.run().unwrap();
    assert_eq!(said.code, Some(1), "{}", said.said());
    for mechanism in ["GSSAPI", "GSS-SPNEGO"] {
        let search = Tool::new("ldapsearch").unwrap().args(["-Y", mechanism, "-N"]).args(search);
        let found = search.envs(&administrator).run().unwrap().success().unwrap();
        assert!(found.starts_with("dn: CN=Administrator,CN=Users,DC=harbourlane,DC=example\n"), "{found}");
    }
}
