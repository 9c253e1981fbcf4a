use std::{fs, path::Path};

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

/// A cache with one ticket for asking, good until then; and settings of a realm whose one centre is there.
fn place(until: u32, centre: &str) -> TempDir {
    let counted = |octets: &[u8]| [&u32::try_from(octets.len()).unwrap().to_be_bytes()[..], octets].concat();
    let name = |parts: &[&str]| {
        let count = u32::try_from(parts.len()).unwrap().to_be_bytes();
        let parts: Vec<u8> = parts.iter().flat_map(|part| counted(part.as_bytes())).collect();
        [&1_u32.to_be_bytes()[..], &count, &counted(b"R"), &parts].concat()
    };
    let times = [0, 0, until, 0].map(u32::to_be_bytes).concat();
    let (ada, granting) = (name(&["ada"]), name(&["krbtgt", "R"]));
    let key = [&17_u16.to_be_bytes()[..], &counted(&[1; 16])].concat();
    let ticket = [&ada, &granting, &key, &times, &vec![0; 13], &counted(&[0x61, 0]), &counted(b"")];
    let ticket = ticket.map(Vec::as_slice).concat();
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("tickets"), [&[5, 4, 0, 0][..], &ada, &ticket].concat()).unwrap();
    let settings = format!(
        "include {0}\n[libdefaults]\ndefault_realm = R\ndns_lookup_kdc = no\n",
        folder.path().join("realms").display()
    );
    fs::write(folder.path().join("krb5.conf"), settings).unwrap();
    fs::write(folder.path().join("realms"), format!("[realms]\nR = {{\nkdc = {centre}\n}}\n")).unwrap();
    folder
}

async fn fails(folder: &Path) -> Error {
    let kerberos = Kerberos::cache(format!("FILE:{}", folder.join("tickets").display()));
    let kerberos = kerberos.settings(folder.join("krb5.conf"));
    kerberos.ticket("localhost", Deadline::after(Duration::from_secs(5))).await.unwrap_err()
}

#[tokio::test]
async fn an_expired_ticket_asks_for_kinit_and_no_centre() {
    let folder = place(1_000_000_000, "127.0.0.1:1");
    let error = fails(folder.path()).await;
    assert_eq!(error.kind(), ErrorKind::Misuse);
    assert_eq!(error.to_string(), "the ticket of ada@R has expired: get a new one with `kinit`");
    fs::write(folder.path().join("tickets"), b"no tickets").unwrap();
    let error = fails(folder.path()).await;
    assert!(
        error.to_string().contains("is of no use: there is a file of tickets of another version"),
        "{error}"
    );
}

#[tokio::test]
async fn what_a_centre_sends_is_bounded_and_told() {
    /// KRB_AP_ERR_SKEW, at 17:00 on a day in 2026.
    const SKEW: &[u8] = b"\x7e\x3e0\x3c\xa0\x03\x02\x01\x05\xa1\x03\x02\x01\x1e\xa4\x11\x18\x0f20261122170000Z\xa5\x03\x02\x01\x00\xa6\x03\x02\x01\x25\xa9\x03\x1b\x01R\xaa\x0e0\x0c\xa0\x03\x02\x01\x02\xa1\x050\x03\x1b\x01x";
    let skew = [&u32::try_from(SKEW.len()).unwrap().to_be_bytes()[..], SKEW].concat();
    let table: [(Vec<u8>, ErrorKind, &str); 4] = [
        (skew, ErrorKind::Misuse, "the clocks differ too much: it is 2026-11-22 17:00:00 UTC there and "),
        (vec![0x7f, 0xff, 0xff, 0xff], ErrorKind::Protocol, "it is no key distribution centre"),
        (vec![0, 0, 0, 2, 0x30], ErrorKind::Closed, "was lost"),
        (vec![0, 0, 0, 2, 0x30, 0], ErrorKind::Protocol, "malformed"),
    ];
    for (answer, kind, want) in table {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let folder = place(u32::MAX, &listener.local_addr().unwrap().to_string());
        let centre = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let length = stream.read_u32().await.unwrap();
            let mut question = vec![0; usize::try_from(length).unwrap()];
            stream.read_exact(&mut question).await.unwrap();
            stream.write_all(&answer).await.unwrap();
        });
        let error = fails(folder.path()).await;
        centre.await.unwrap();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(want), "{error}");
    }
}

#[tokio::test]
async fn secrets_are_not_printed_and_files_are_said() {
    let kerberos = Kerberos::password("ada@R", "low water 7");
    assert_eq!(format!("{kerberos:?}"), r#"Kerberos { source: "a password", principal: Some("ada@R") }"#);
    assert!(kerberos.is_that_of(&Kerberos::password("ada@R", "low water 7")));
    assert!(!kerberos.is_that_of(&Kerberos::password("ada@R", "high water 7")));
    assert_eq!(Kerberos::password("ada", "\0").check().unwrap_err().kind(), ErrorKind::EmptyPassword);
    let missing = Kerberos::keytab("/nonexistent/keytab").settings("/nonexistent/krb5.conf");
    let error = missing.ticket("localhost", Deadline::after(Duration::from_secs(5))).await.unwrap_err();
    assert!(
        error.to_string().contains("the settings of Kerberos /nonexistent/krb5.conf cannot be read"),
        "{error}"
    );
}
