//! Runs a program with nothing of this machine's settings, and with a time limit.

use std::{
    io::{Read as _, Write as _},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use flext_ldap_testkit::TestDirectory;

/// A small company: one suffix, two units, three people, one group.
pub(crate) const PEOPLE: &str = "\
dn: dc=harbourlane,dc=example
objectClass: organization
objectClass: dcObject
o: Harbour Lane Instruments
dc: harbourlane

dn: ou=people,dc=harbourlane,dc=example
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=harbourlane,dc=example
objectClass: organizationalUnit
ou: groups

dn: uid=ada,ou=people,dc=harbourlane,dc=example
objectClass: inetOrgPerson
uid: ada
cn: Ada Nordin
sn: Nordin
mail: ada@harbourlane.example
userPassword: tall waves

dn: uid=brook,ou=people,dc=harbourlane,dc=example
objectClass: inetOrgPerson
uid: brook
cn: Brook Ljung
sn: Ljung

dn: uid=chidi,ou=people,dc=harbourlane,dc=example
objectClass: inetOrgPerson
uid: chidi
cn: Chidi Öberg
sn: Öberg

dn: cn=crew,ou=groups,dc=harbourlane,dc=example
objectClass: groupOfNames
cn: crew
member: uid=ada,ou=people,dc=harbourlane,dc=example
member: uid=brook,ou=people,dc=harbourlane,dc=example
";

/// The small company, served, and readable by all.
pub(crate) fn people() -> TestDirectory {
    TestDirectory::builder()
        .suffix("dc=harbourlane,dc=example")
        .ldif(PEOPLE)
        .anonymous_read()
        .start()
        .unwrap()
}

/// What a program did.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// `flext-ldap` with these arguments.
pub(crate) fn flext_ldap(arguments: &[&str]) -> Command {
    program(env!("CARGO_BIN_EXE_flext-ldap"), arguments)
}

/// `flext-tap-ldap` with these arguments.
pub(crate) fn tap(arguments: &[&str]) -> Command {
    program(env!("CARGO_BIN_EXE_flext-tap-ldap"), arguments)
}

fn program(path: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(path);
    command.args(arguments).env_clear().env("LDAPNOINIT", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end, at most a minute.
pub(crate) fn run(mut command: Command) -> Output {
    finish(command.spawn().unwrap())
}

/// Runs it with this on its standard input.
pub(crate) fn run_with(mut command: Command, input: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // It may have ended before it has read everything; what it says of that is what is looked at.
    let _closed_early = stdin.write_all(input.as_bytes());
    drop(stdin);
    finish(child)
}

/// Waits for the end of a program, at most a minute.
pub(crate) fn finish(child: Child) -> Output {
    let id = child.id();
    let (ended, end) = mpsc::channel();
    let waiter = thread::spawn(move || {
        let output = child.wait_with_output();
        let _nobody_waits = ended.send(());
        output
    });
    if end.recv_timeout(Duration::from_secs(60)).is_err() {
        let id = nix::unistd::Pid::from_raw(i32::try_from(id).unwrap());
        nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGKILL).unwrap();
    }
    let output = waiter.join().unwrap().unwrap();
    Output {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Reads standard error of a running program up to and with the line that has `text`.
pub(crate) fn wait_for_line(child: &mut Child, text: &str) -> String {
    let stderr = child.stderr.as_mut().unwrap();
    let (mut line, mut octet, mut all) = (String::new(), [0_u8], String::new());
    while stderr.read(&mut octet).unwrap() == 1 {
        if octet[0] == b'\n' {
            if line.contains(text) {
                return line;
            }
            all.push_str(&std::mem::take(&mut line));
            all.push('\n');
        } else {
            line.push(char::from(octet[0]));
        }
    }
    panic!("it ended without saying `{text}`:\n{all}{line}");
}
