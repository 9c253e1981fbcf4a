//! Where the foreign programs are: what `crates/lab/get` left in `target/lab/env`.
//!
//! Finding and fetching is the script's work; here is only its outcome.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// The programs and files of the foreign servers and clients.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Kit {
    /// OpenLDAP's server.
    pub slapd: PathBuf,
    /// Folder of the server's loadable modules; `None` where all is built in.
    pub modules: Option<PathBuf>,
    /// Folder of the server's `.schema` files.
    pub schema: PathBuf,
    /// Folder of `ldapsearch` and its siblings.
    pub tools: PathBuf,
    /// The Python that has the modules `ldap` and `ldap3`.
    pub python: PathBuf,
    /// `target/lab`, where the unpacked programs are.
    pub(crate) lab: PathBuf,
    libraries: Option<PathBuf>,
    python_path: Option<PathBuf>,
    /// The fields of the file that only some tests need.
    parts: HashMap<String, PathBuf>,
}

impl Kit {
    /// Reads `target/lab/env`.
    ///
    /// # Errors
    /// The kit is not there, or is not whole; the message says what to run.
    pub fn load() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest.ancestors().nth(2).context("the crate has left the repository")?;
        let lab = root.join("target/lab");
        let env = lab.join("env");
        let text = std::fs::read_to_string(&env).with_context(|| {
            format!(
                "this test needs slapd and the clients of OpenLDAP and Python, which {} would name: \
                 run ./test, or only crates/lab/get, to unpack them (Debian packages slapd, ldap-utils, \
                 python3-ldap, python3-ldap3); ./test --quick runs what needs no server",
                env.display()
            )
        })?;
        Self::parse(&text, &lab)
            .with_context(|| format!("{} is not whole: run crates/lab/get", env.display()))
    }

    fn parse(text: &str, lab: &Path) -> Result<Self> {
        let fields: HashMap<_, _> = text.lines().filter_map(|line| line.split_once('=')).collect();
        // An empty field is a thing the system has no need of. `join` leaves absolute paths as they are.
        let path =
            |name: &str| fields.get(name).filter(|value| !value.is_empty()).map(|value| lab.join(value));
        let needed = |name: &str| path(name).with_context(|| format!("no field {name}"));
        Ok(Self {
            slapd: needed("slapd")?,
            modules: path("modules"),
            schema: needed("schema")?,
            tools: needed("tools")?,
            python: needed("python")?,
            lab: lab.to_owned(),
            libraries: path("libraries"),
            python_path: path("python_path"),
            parts: fields
                .iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| ((*name).to_owned(), lab.join(value)))
                .collect(),
        })
    }

    /// A program or folder that only some tests need, by its field in `target/lab/env`; `what` is what to install where
    /// it is missing.
    ///
    /// # Errors
    /// It is not there; the message says how to get it.
    pub fn part(&self, field: &str, what: &str) -> Result<PathBuf> {
        let path = self.parts.get(field).filter(|path| path.exists());
        path.cloned().with_context(|| {
            format!(
                "this test needs {what}, and target/lab/env names no {field} that exists: run crates/lab/get, which \
                 unpacks it on Debian and its kin; elsewhere install it first; ./test --quick runs what needs no server"
            )
        })
    }

    /// The folder of the unpacked libraries; `None` where the machine's own are used.
    pub(crate) fn libraries(&self) -> Option<&Path> {
        self.libraries.as_deref()
    }

    /// A command that finds its libraries, and that no setting of the user reaches.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["LDAP", "PYTHON", "KRB5", "SASL"].iter().any(|start| text.starts_with(start)) {
                command.env_remove(name);
            }
        }
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
            // Where libsasl2 looks for its mechanisms.
            command.env("SASL_PATH", libraries.join("sasl2"));
        }
        if let Some(path) = &self.python_path {
            command.env("PYTHONPATH", path);
        }
        command.env("PYTHONNOUSERSITE", "1").env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_belong_to_the_lab_and_absolute_ones_to_the_machine() {
        let text = "slapd=root/usr/sbin/slapd\nmodules=\nschema=/etc/ldap/schema\ntools=root/usr/bin\n\
                    libraries=root/usr/lib\npython=/usr/bin/python3\npython_path=\n";
        let kit = Kit::parse(text, Path::new("/lab")).unwrap();
        assert_eq!(kit.slapd, Path::new("/lab/root/usr/sbin/slapd"));
        assert_eq!(kit.modules, None);
        assert_eq!(kit.schema, Path::new("/etc/ldap/schema"));
        assert_eq!(kit.libraries.as_deref(), Some(Path::new("/lab/root/usr/lib")));
    }

    #[test]
    fn a_missing_field_is_named() {
        let error = Kit::parse("slapd=x\nschema=y\n", Path::new("/lab")).unwrap_err();
        assert_eq!(error.to_string(), "no field tools");
    }
}
