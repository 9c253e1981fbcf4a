//! Help, wrong arguments, and the exit codes of this side.

use crate::program::{flext_ldap, people, run, tap};

#[test]
fn help_is_what_it_was() {
    let commands = [
        "",
        "search",
        "add",
        "modify",
        "delete",
        "passwd",
        "whoami",
        "ping",
        "bench",
        "export",
        "import",
        "config",
        "doctor",
        "directory",
        "proxy",
        "demo",
    ];
    for command in commands {
        let arguments: Vec<_> =
            command.split(' ').filter(|word| !word.is_empty()).chain(["--help"]).collect();
        let output = run(flext_ldap(&arguments));
        assert_eq!((output.code, output.err.as_str()), (0, ""), "{command}");
        insta::assert_snapshot!(
            format!("help-{}", if command.is_empty() { "main" } else { command }),
            output.out
        );
    }
    for operation in ["search", "bind", "add", "modify"] {
        let output = run(flext_ldap(&["bench", operation, "--help"]));
        insta::assert_snapshot!(format!("help-bench-{operation}"), output.out);
    }
    insta::assert_snapshot!("help-directory-access", run(flext_ldap(&["directory", "access", "--help"])).out);
    insta::assert_snapshot!(
        "help-directory-explain",
        run(flext_ldap(&["directory", "explain", "--help"])).out
    );
    insta::assert_snapshot!("help-directory-serve", run(flext_ldap(&["directory", "serve", "--help"])).out);
    insta::assert_snapshot!("help-tap", run(tap(&["--help"])).out);
}

#[test]
fn wrong_input_is_201_and_says_where() {
    let directory = people();
    let table: &[(&[&str], &str)] = &[
        (
            &["search", "-b", "dc=x,,", "(a=b)"],
            "not a distinguished name: expected an attribute type at offset 5",
        ),
        (&["search", "-b", "dc=x", "(a=b"], "`(a=b`: not a filter: expected `)` at offset 4"),
        (&["search", "-b", "dc=x", "-E", "vlv=1"], "`-E vlv=1`: expected"),
        (&["whoami", "-D", "cn=x"], "-D needs a password: -W asks for it, -y reads it from a file"),
        (&["whoami", "-w", "x"], "a password needs a name to bind as: -D"),
        (&["whoami", "-H", "http://x"], "`http://x`: not an LDAP URL"),
        (&["whoami", "-H", "ldap://x", "-H", "ldaps://y"], "all ldap, all ldaps or all ldapi"),
        (&["whoami", "--cert", "x.pem"], "needs both --cert and --key"),
        (&["frobnicate"], "unrecognized subcommand"),
        (
            &["serve", "--data", "x"],
            "there is no command `serve`: `flext-ldap directory serve` is what does it",
        ),
        (&["ldapsearch", "-x"], "`flext-ldap search` is what does it"),
        (&["directory", "serve", "my.yaml"], "a configuration file is named by --config"),
        (&["directory", "import", "people.ldif"], "a file of LDIF is named by -f"),
        (&["search", "-b", "example.com"], "at offset 0; a name is written like `dc=example,dc=com`"),
    ];
    for (arguments, expected) in table {
        let mut arguments = arguments.to_vec();
        if !arguments.contains(&"-H")
            && !["frobnicate", "serve", "ldapsearch", "directory"].contains(&arguments[0])
        {
            arguments.extend(["-H", directory.url(), "-Z"]);
        }
        let output = run(flext_ldap(&arguments));
        assert_eq!(output.code, 201, "{arguments:?}: {output:?}");
        assert!(output.err.contains(expected), "{arguments:?}: {output:?}");
        assert_eq!(output.out, "", "{arguments:?}");
    }
}

/// Who comes from OpenLDAP's tools is told what to do, in place of help or of an argument that is not known.
#[test]
fn options_of_openldap_that_are_not_taken_say_what_to_do() {
    let table: &[(&[&str], &str)] = &[
        (
            &["search", "-x", "-h", "localhost", "(uid=ada)"],
            "-h is for help: name the server by a URL, as for OpenLDAP from 2.5 on: -H ldap://localhost\n",
        ),
        (&["search", "-LLLxh", "::1", "-p", "3389"], "2.5 on: -H ldap://[::1]:3389\n"),
        (
            &["whoami", "-p3389", "-hlocalhost"],
            "-p is not taken: the port is part of the URL, as for OpenLDAP from 2.5 on: -H ldap://localhost:3389\n",
        ),
        (&["modify", "-p", "389"], "-H ldap://HOST:389\n"),
        (
            &["search", "-C", "-b", "dc=x"],
            "-C is not taken: referrals are not followed; lines with `# refldap:`",
        ),
        (&["delete", "-C", "dc=x"], "what is refused names the server to ask, for -H"),
        (&["search", "-I"], "-I is not taken: -U names the user"),
        (&["search", "-V"], "`flext-ldap --version` tells the version"),
        (&["modify", "-S", "skipped.ldif"], "with -c, standard error tells which records are refused"),
        (&["search", "-t", "--format", "jsonl"], "--format jsonl has all values in it"),
        (&["passwd", "-n"], "-n is not taken: this command has no rehearsal"),
        (&["ldapmodrdn", "-x"], "there is no command `ldapmodrdn`: `flext-ldap modify` renames: "),
        (
            &["compare", "uid=a,dc=x", "cn:b"],
            "there is no command `compare`: `flext-ldap search -b DN -s base ",
        ),
        (&["whoami", "-d", "stats"], "expected a number: 0 logs nothing"),
        (&["search", "-T", "/tmp", "(uid=ada)"], "required"),
    ];
    for (arguments, expected) in table {
        let output = run(flext_ldap(arguments));
        assert_eq!((output.code, output.out.as_str()), (201, ""), "{arguments:?}: {output:?}");
        assert!(output.err.contains(expected), "{arguments:?}: {output:?}");
    }
    // Help is asked for as ever, and what is not OpenLDAP's is told as ever.
    for arguments in
        [&["search", "-h"][..], &["search", "-x", "-h", "-b", "dc=x"], &["search", "--help", "x"]]
    {
        let output = run(flext_ldap(arguments));
        assert!(
            output.code == 0 && output.out.starts_with("Search a directory"),
            "{arguments:?}: {output:?}"
        );
    }
    let output = run(flext_ldap(&["directory", "check", "-C"]));
    assert!(output.code == 201 && output.err.contains("unexpected argument '-C'"), "{output:?}");
}

#[test]
fn debugging_logs_how_the_server_is_reached_and_no_password() {
    let directory = people();
    let ada = "uid=ada,ou=people,dc=harbourlane,dc=example";
    let whoami = |level: &str| {
        run(flext_ldap(&["whoami", "-N", "-H", directory.url(), "-D", ada, "-w", "tall waves", "-d", level]))
    };
    for level in ["1", "-1", "any", "0x1"] {
        let output = whoami(level);
        if level == "0x1" {
            assert!(output.code == 201 && output.err.contains("expected a number"), "{output:?}");
            continue;
        }
        assert_eq!((output.code, output.out.as_str()), (0, &*format!("dn:{ada}\n")), "{output:?}");
        let address = directory.url().trim_start_matches("ldap://").trim_end_matches('/');
        assert!(output.err.contains(&format!("connected server=\"{address}\"")), "{output:?}");
        assert!(output.err.contains(ada) && output.err.contains("bound"), "{output:?}");
        assert!(!output.err.contains("tall"), "{output:?}");
    }
    assert_eq!(whoami("0").err, "");
}

#[test]
fn a_server_that_cannot_be_used_has_an_exit_code_and_a_mend() {
    let directory = people();
    let url = directory.url();
    let tls = url.replace("ldap://", "ldaps://");
    let ada = "uid=ada,ou=people,dc=harbourlane,dc=example";
    let table: &[(&[&str], i32, &str)] = &[
        (&["-H", "ldap://127.0.0.1:1"], 202, "is the server running"),
        (&["-H", &tls], 203, "TLS"),
        (&["-H", url, "-ZZ"], 203, "nothing was sent in clear"),
        (&["-H", url, "-D", ada, "-w", "wrong"], 49, "failed to sign in to ldap://"),
        (&["-H", url, "-D", "ada", "-w", "x"], 34, ": -D takes a distinguished name like `uid=ada,ou="),
        (&["-H", url, "-D", ada, "-w", ""], 207, "the password is empty"),
        (&["-H", "ldap://192.0.2.1", "-D", ada, "-w", "x"], 207, "the option --dangerous-clear-passwords"),
    ];
    for (arguments, code, expected) in table {
        let output = run(flext_ldap(&[&["whoami", "--connect-timeout", "5"], *arguments].concat()));
        assert_eq!(output.code, *code, "{arguments:?}: {output:?}");
        assert!(output.err.contains(expected), "{arguments:?}: {output:?}");
        assert!(!output.err.contains("wrong'"), "no password in an error");
    }
}

#[test]
fn who_has_not_signed_in_is_told_so() {
    let directory = people();
    let (url, there) = (directory.url(), "uid=brook,ou=people,dc=harbourlane,dc=example");
    let hint = " without signing in (by -D and -W): the directory answered ";
    let none = "dc=none,dc=harbourlane,dc=example";
    let table: [(&[&str], i32, bool); 3] = [
        (&["search", "-b", none], 32, true),
        (&["delete", there], 50, true),
        (
            &["search", "-D", "uid=ada,ou=people,dc=harbourlane,dc=example", "-w", "tall waves", "-b", none],
            32,
            false,
        ),
    ];
    for (arguments, code, told) in table {
        let output = run(flext_ldap(&[arguments, &["-H", url]].concat()));
        assert_eq!((output.code, output.err.contains(hint)), (code, told), "{output:?}");
    }
}

#[test]
fn settings_of_openldap_are_honoured() {
    let directory = people();
    let mut command = flext_ldap(&["search", "-LLL", "(uid=ada)", "cn"]);
    command.env_remove("LDAPNOINIT");
    command.env("LDAPURI", directory.url()).env("LDAPBASE", "dc=harbourlane,dc=example");
    let output = run(command);
    assert_eq!(
        output.out, "dn: uid=ada,ou=people,dc=harbourlane,dc=example\ncn: Ada Nordin\n\n",
        "{output:?}"
    );

    let folder = tempfile::tempdir().unwrap();
    let text = format!("URI {}\nBASE ou=groups,dc=harbourlane,dc=example\n", directory.url());
    std::fs::write(folder.path().join(".ldaprc"), text).unwrap();
    let mut command = flext_ldap(&["search", "-LLL", "(objectClass=*)", "1.1"]);
    command.env_remove("LDAPNOINIT").env("HOME", folder.path());
    let output = run(command);
    let expected =
        "dn: ou=groups,dc=harbourlane,dc=example\n\ndn: cn=crew,ou=groups,dc=harbourlane,dc=example\n\n";
    assert_eq!(output.out, expected, "{output:?}");
}

/// A file of the system, LDAPCONF among them, makes no user's choices; that of LDAPRC is looked for in three places.
#[test]
fn settings_are_where_openldap_looks_for_them() {
    let directory = people();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let ada = "uid=ada,ou=people,dc=harbourlane,dc=example";
    file("password", "tall waves\r\n");
    file("system", &format!("  URI {}\n# café\nBINDDN cn=nobody\n", directory.url()));
    file(".mine", &format!("BINDDN {ada}\n"));
    std::fs::create_dir(folder.path().join("home")).unwrap();
    let whoami = |rc: &str, home: &str| {
        let mut command = flext_ldap(&["whoami", "-y", "password"]);
        command.current_dir(&folder).env_remove("LDAPNOINIT");
        command.env("LDAPCONF", "system").env("LDAPRC", rc).env("HOME", folder.path().join(home));
        run(command)
    };
    let output = whoami("none", "home");
    assert!(output.err.contains("a password needs a name to bind as: -D"), "{output:?}");
    assert_eq!(whoami("mine", ".").out, format!("dn:{ada}\n"));
    assert_eq!(whoami(".mine", "home").out, format!("dn:{ada}\n"));
}

/// security: secrets and terminals; a server's words are printed, but do not steer.
#[test]
fn what_a_server_says_does_not_steer_the_terminal() {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ldap://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
        // An extended response to the first message: unwillingToPerform, and a diagnostic that clears the screen.
        stream.write_all(b"\x30\x11\x02\x02\x10\x00\x78\x0b\x0a\x01\x35\x04\x00\x04\x04\x1b[2J").unwrap();
        stream
    });
    let output = run(flext_ldap(&["whoami", "-H", &url]));
    assert_eq!(output.code, 53, "{output:?}");
    assert!(output.err.contains("\\u{1b}[2J") && !output.err.contains('\u{1b}'), "{output:?}");
    drop(server.join().unwrap());
}
