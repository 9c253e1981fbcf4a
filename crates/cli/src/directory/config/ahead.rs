//! What `serve --check` looks at besides what a start looks at: what starting would refuse later on (the folder, the
//! addresses), and what works and may surprise (values that break a constraint, names outside of the directory).

use flext_ldap_directory::proto::{
    dn::Dn,
    url::{LdapUrl, Scheme},
};
use flext_ldap_server::Server;
use flext_ldap_store::{Store, StoreOptions};
use nix::unistd::{AccessFlags, access};

use super::sound::{Draft, Known};
use crate::progress::Progress;

impl Draft {
    /// Looks at all of it; `known` is what is known of the directory, if anything is.
    pub(super) fn look_ahead(&mut self, known: Option<&Known>) {
        if let Some(known) = known {
            self.look_at_folder(known);
            self.look_at_strangers(known);
            self.look_at_values(known);
        }
        self.look_at_addresses(known.and_then(|known| known.served.as_deref()).unwrap_or_default());
    }

    /// The folder, which is opened, or made.
    fn look_at_folder(&mut self, known: &Known) {
        let Some(folder) = self.config.data.clone().filter(|folder| folder.as_os_str() != ":memory:") else {
            return;
        };
        if let Some(why) = &known.closed {
            if Store::is_in_use(&folder) {
                self.warn("data", format!("what is stored was not looked at: {why}"));
            } else {
                self.problem("data", why.clone());
            }
        } else if !Store::is_in(&folder) {
            let folder = std::path::absolute(&folder).unwrap_or(folder);
            let there = folder.ancestors().find(|path| path.exists()).unwrap_or(&folder);
            let problem = if there.is_dir() {
                access(there, AccessFlags::W_OK | AccessFlags::X_OK).err().map(|error| error.desc())
            } else {
                Some("it is no folder")
            };
            if let Some(problem) = problem {
                self.problem("data", format!("`{}` cannot be written in: {problem}", there.display()));
            }
        }
    }

    /// Names that the directory can have, and probably was not meant to.
    fn look_at_strangers(&mut self, known: &Known) {
        let there: Vec<_> = known.contexts.iter().map(|dn| format!("`{dn}`")).collect();
        let there = there.join(" and ");
        for (index, suffix) in self.config.suffixes.iter().enumerate() {
            if !known.contexts.is_empty() && !known.is_among(suffix, &known.contexts) {
                self.warn(
                    &format!("suffixes[{}]", index + 1),
                    format!(
                        "there is no entry `{suffix}`, and the folder has entries in {there}; all are served"
                    ),
                );
            }
        }
        if !self.config.suffixes.is_empty() {
            for other in known.contexts.iter().filter(|dn| !known.is_among(dn, &self.config.suffixes)) {
                self.warn("suffixes", format!("the folder also holds `{other}`, which is served too"));
            }
        }
        let Some(administrator) = self.config.administrator.as_ref().map(|one| one.dn.clone()) else {
            return;
        };
        let contexts = self.contexts(known);
        match known.schema.dn_key(&administrator) {
            Err(error) => self.problem("administrator.dn", format!("`{administrator}`: {error}")),
            Ok(key) => {
                let within = |context: &Dn| known.schema.dn_key(context).is_ok_and(|one| key.is_within(&one));
                if !contexts.is_empty() && !contexts.iter().any(within) {
                    let ends: Vec<_> = contexts.iter().map(|dn| format!("`{dn}`")).collect();
                    self.warn(
                        "administrator.dn",
                        format!(
                            "`{administrator}` is not in this directory, whose names end in {}; it can sign in by this name all the same",
                            ends.join(" or ")
                        ),
                    );
                }
            }
        }
    }

    /// Values in the folder that its constraints would not let be written.
    fn look_at_values(&mut self, known: &Known) {
        let options = self.config.store(StoreOptions::memory());
        let (Ok(data), false) = (self.config.place(), options.constraints_on_values().is_empty()) else {
            return;
        };
        if !Store::is_in(&data.data) || known.closed.is_some() || !self.problems.is_empty() {
            return;
        }
        if known.served.is_some() {
            let mut keys = options.constraints_on_values();
            keys.iter_mut().for_each(|key| key.truncate(key.find('[').unwrap_or(key.len())));
            keys.dedup();
            for key in keys {
                self.warn(
                    &key,
                    "whether entries break it was not looked at: the folder is in use by the process that serves it, \
                     which `directory check` asks about the constraints it was started with",
                );
            }
            return;
        }
        let progress = Progress::new("entries");
        let mut last = 0;
        let broken = data.options().and_then(|options| Ok(Store::open(options)?)).and_then(|store| {
            let broken = store.broken_constraints(&options, &mut |count| {
                progress.advance(count.saturating_sub(last));
                last = count;
            });
            store.close();
            Ok(broken?)
        });
        drop(progress);
        match broken {
            Ok(broken) => {
                for one in broken {
                    let (breaks, stays) = match one.values {
                        1 => ("1 stored value breaks".to_owned(), "it stays"),
                        values => (format!("{values} stored values break"), "they stay"),
                    };
                    self.warn(
                        &one.key,
                        format!(
                            "{breaks} it, the first: {}; {stays}, no entry gets such a value any more, and \
                             `directory check` names all",
                            one.first
                        ),
                    );
                }
            }
            Err(error) => self.problem("data", format!("{error:#}")),
        }
    }

    /// Whether it can be listened on the addresses. What the process listens on that serves the directory will be free.
    fn look_at_addresses(&mut self, served: &[LdapUrl]) {
        if self.problems.iter().any(|problem| problem.path.starts_with("listen")) {
            return;
        }
        let listen = self.config.listen.clone();
        if listen.is_empty() {
            self.warn("listen", "is missing: only sockets that a service manager passes are listened on");
        }
        let is_ours = |url: &LdapUrl| {
            served.iter().any(|other| match (url.scheme, other.scheme) {
                (Scheme::Ldapi, Scheme::Ldapi) => url.host == other.host,
                (Scheme::Ldapi, _) | (_, Scheme::Ldapi) => false,
                _ => url.port() == other.port(),
            })
        };
        let (numbers, urls): (Vec<_>, Vec<_>) =
            (1..).zip(listen).filter(|(_, url)| !is_ours(url)).unzip::<usize, _, _, _>();
        match crate::block_on(async { Ok(Server::probe(&urls).await) }) {
            Ok(told) => {
                for (number, error) in numbers.into_iter().zip(told) {
                    if let Some(error) = error {
                        self.problem(
                            &format!("listen[{number}]"),
                            format!("{:#}", anyhow::Error::new(error)),
                        );
                    }
                }
            }
            Err(error) => self.problem("listen", format!("{error:#}")),
        }
    }
}
