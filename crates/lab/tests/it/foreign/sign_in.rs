//! Our directory as programs that sign people in see it: people, groups, TLS, and a log of all it was asked.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use flext_ldap_lab::Authority;
use flext_ldap_server::{AccessLog, Connected, Disconnected, Finished, Server, ServerTls};
use flext_ldap_testkit::TestDirectory;

use super::target::{ADMIN, BASE, COMPANY, PASSWORD};

/// Who the programs are when they look for people.
pub(crate) const SERVICE: &str = "cn=front door,ou=services,dc=harbourlane,dc=example";

/// The service's password.
pub(crate) const SERVICE_PASSWORD: &str = "knock knock";

/// Ada is a pilot, Ben is not. The names need no quoting but hold what a filter must escape.
const PEOPLE: &str = "dn: ou=groups,dc=harbourlane,dc=example
objectClass: organizationalUnit
ou: groups

dn: ou=services,dc=harbourlane,dc=example
objectClass: organizationalUnit
ou: services

dn: cn=front door,ou=services,dc=harbourlane,dc=example
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: front door
userPassword: knock knock

dn: uid=ada,ou=people,dc=harbourlane,dc=example
objectClass: inetOrgPerson
uid: ada
cn: Ada Byrne
sn: Byrne
mail: ada@harbourlane.example
employeeType: pilot
userPassword: tide gauge

dn: uid=ben*(ode),ou=people,dc=harbourlane,dc=example
objectClass: inetOrgPerson
uid: ben*(ode)
cn: Ben Ode
sn: Ode
mail: ben@harbourlane.example
employeeType: clerk
userPassword: lead line

dn: uid=cleo,ou=people,dc=harbourlane,dc=example
objectClass: inetOrgPerson
uid: cleo
cn: Cleo Marsh
sn: Marsh
userPassword: plumb bob

dn: cn=pilots,ou=groups,dc=harbourlane,dc=example
objectClass: groupOfNames
cn: pilots
member: uid=ada,ou=people,dc=harbourlane,dc=example
";

/// A directory, running on threads of its own.
pub(crate) struct SignIn {
    pub(crate) ca_pem: String,
    pub(crate) port: u16,
    pub(crate) ldaps_port: u16,
    heard: Arc<Heard>,
    _running: Box<dyn std::any::Any>,
    _runtime: tokio::runtime::Runtime,
}

impl SignIn {
    pub(crate) fn start() -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let authority = Authority::new().unwrap();
        let identity = authority.server().unwrap();
        let tls =
            ServerTls::from_pem(identity.certificate_pem.as_bytes(), identity.key_pem.as_bytes()).unwrap();
        let heard = Arc::new(Heard::default());
        // Nothing is to be seen without signing in.
        let directory =
            TestDirectory::builder().ldif([COMPANY, PEOPLE].concat()).admin(ADMIN, PASSWORD).start().unwrap();
        let server = runtime.block_on(async {
            let server =
                Server::builder(Arc::new(directory.store().clone())).tls(tls).access_log(Log(heard.clone()));
            let server = server.listen("ldap://127.0.0.1:0".parse().unwrap());
            server.listen("ldaps://127.0.0.1:0".parse().unwrap()).start().await.unwrap()
        });
        let (port, ldaps_port) = (server.urls()[0].port(), server.urls()[1].port());
        let ca_pem = authority.pem();
        let running = Box::new((server, directory));
        Self { ca_pem, port, ldaps_port, heard, _running: running, _runtime: runtime }
    }

    /// What the directory was asked since the last time, and what it said. It has heard of an operation only after
    /// its answer has gone: so this waits until there is what is wanted, and says what there was in the end.
    pub(crate) fn heard(&self, wanted: &[&str]) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let mut lines = self.heard.0.lock().unwrap_or_else(PoisonError::into_inner);
            if *lines == wanted || Instant::now() >= deadline {
                return std::mem::take(&mut *lines);
            }
            drop(lines);
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Lines such as `search base=… scope=sub filter=… → success (0), 1 found`, names without the suffix.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

struct Log(Arc<Heard>);

impl AccessLog for Log {
    fn connected(&self, _: &Connected<'_>) {}

    fn finished(&self, event: &Finished<'_>) {
        // Programs say good-bye when they like.
        if event.operation == "unbind" {
            return;
        }
        let mut line = event.operation.to_owned();
        for (name, value) in event.what.fields() {
            line.push_str(&format!(" {name}={value}"));
        }
        match event.result {
            Some(code) => line.push_str(&format!(" → {}", code)),
            None => line.push_str(" → no answer"),
        }
        if event.operation == "search" {
            line.push_str(&format!(", {} found", event.entries));
        }
        let line = line.replace(&format!(",{BASE}"), "");
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn disconnected(&self, _: &Disconnected) {}
}
