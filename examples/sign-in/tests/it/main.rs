//! The service as a browser meets it, in front of a directory on a port of its own.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::{net::SocketAddr, time::Duration};

use flext_ldap::{
    Stack,
    client::{Capabilities, Connector, Credentials},
    directory::{
        Actor, Deadline, DirectoryExt, Request,
        proto::message::{ChangeKind, Modify},
    },
};
use flext_ldap_example_sign_in::{offers, service};
use flext_ldap_testkit::TestDirectory;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const LDIF: &str = "\
dn: dc=harbourlane,dc=example
objectClass: domain
dc: harbourlane

dn: ou=people,dc=harbourlane,dc=example
objectClass: organizationalUnit

dn: ou=groups,dc=harbourlane,dc=example
objectClass: organizationalUnit

dn: uid=ada,ou=people,dc=harbourlane,dc=example
objectClass: inetOrgPerson
uid: ada
cn: Ada Byrne
sn: Byrne
userPassword: low water 7

dn: cn=tugs,ou=groups,dc=harbourlane,dc=example
objectClass: groupOfNames
member: uid=ada,ou=people,dc=harbourlane,dc=example

dn: cn=pilots,ou=groups,dc=harbourlane,dc=example
objectClass: groupOfNames
member: cn=tugs,ou=groups,dc=harbourlane,dc=example

dn: cn=policy,dc=harbourlane,dc=example
objectClass: device
objectClass: pwdPolicy
pwdAttribute: userPassword
pwdMustChange: TRUE
pwdLockout: TRUE
pwdMaxFailure: 3
";

const WRONG: &str = "The name or the password is wrong.";

struct Service {
    directory: TestDirectory,
    address: SocketAddr,
}

impl Service {
    async fn start() -> Self {
        let directory = TestDirectory::builder().ldif(LDIF).start().unwrap();
        let url = directory.url().parse().unwrap();
        let reader = Credentials::simple(directory.admin_dn().as_str(), directory.admin_password());
        let stack = Stack::of([Connector::builder().clear().url(&url)]).credentials(reader).build().unwrap();
        let by = Deadline::after(Duration::from_secs(10));
        let offers = offers(&Capabilities::read(&stack, Actor::Service, by).await.unwrap());
        assert!(offers.in_chain && !offers.token_groups && !offers.unicode_password);
        let app = service(stack.clone(), stack, offers, directory.base_dn()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async { axum::serve(listener, app).await });
        Self { directory, address }
    }

    /// Sends a form: the status and what is shown.
    async fn post(&self, path: &str, form: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = form.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {length}\r\n\r\n{form}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    async fn sign_in(&self, form: &str) -> (u16, String) {
        self.post("/sign-in", form).await
    }

    async fn set(&self, attribute: &str, value: &str) {
        let ada = "uid=ada,ou=people,dc=harbourlane,dc=example".parse().unwrap();
        let modify = Modify::new(ada).change(ChangeKind::Replace, attribute.parse().unwrap(), [value]);
        self.directory.store().modify(Request::new(modify, Actor::Service)).await.unwrap();
    }
}

fn told(status: u16, text: &str) -> (u16, String) {
    (status, text.to_owned())
}

#[tokio::test]
async fn who_gives_the_right_password_is_welcome() {
    let service = Service::start().await;
    let welcome = told(200, "Welcome, Ada Byrne. You are here as [Pilot].");
    assert_eq!(service.sign_in("name=ada&password=low+water+7").await, welcome);
    for wrong in [
        "name=ada&password=high+water+7",
        "name=nobody&password=low+water+7",
        "name=*&password=low+water+7",
        "name=ada&password=",
        "name=&password=",
    ] {
        assert_eq!(service.sign_in(wrong).await, told(401, WRONG), "{wrong}");
    }
    let (status, _) = service.sign_in("name=ada").await;
    assert_eq!(status, 422);
    let (status, _) = service.sign_in(&format!("name=ada&password={}", "x".repeat(9_000))).await;
    assert_eq!(status, 413);
}

#[tokio::test]
async fn who_must_change_the_password_does_so_and_is_welcome() {
    let service = Service::start().await;
    service.set("pwdPolicySubentry", "cn=policy,dc=harbourlane,dc=example").await;
    service.set("pwdReset", "TRUE").await;
    let refused = service.sign_in("name=ada&password=low+water+7").await;
    assert_eq!(refused, told(403, "Your password must be changed before you can sign in."));
    let change = "name=ada&password=low+water+7&new_password=neap+tide+8";
    let changed = told(200, "Your password has been changed.");
    assert_eq!(service.post("/password", change).await, changed);
    let refused = told(403, "The name or the old password is wrong.");
    assert_eq!(service.post("/password", change).await, refused);
    let (status, _) = service.sign_in("name=ada&password=neap+tide+8").await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn who_is_locked_out_is_not_told_so() {
    let service = Service::start().await;
    service.set("pwdPolicySubentry", "cn=policy,dc=harbourlane,dc=example").await;
    for _ in 0..3 {
        assert_eq!(service.sign_in("name=ada&password=x").await, told(401, WRONG));
    }
    assert_eq!(service.sign_in("name=ada&password=low+water+7").await, told(401, WRONG));
}

#[tokio::test]
async fn without_a_directory_nobody_is_wrong() {
    let Service { directory, address } = Service::start().await;
    drop(directory);
    let service = Service { directory: TestDirectory::start().unwrap(), address };
    let later = told(503, "Signing in is not possible at present. Please try again later.");
    assert_eq!(service.sign_in("name=ada&password=low+water+7").await, later);
}
