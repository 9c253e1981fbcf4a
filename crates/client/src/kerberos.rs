//! Tickets of Kerberos, for signing in by GSSAPI and GSS-SPNEGO: out of the system's cache, or by a keytab or a password.
//!
//! Where tickets, keys and settings are is said by the variables and files of MIT's Kerberos (krb5.conf(5)), which need not
//! be installed. Tickets that are got are kept in memory, for as long as the credentials are; no file is written.

mod centre;
mod files;

use std::{
    fmt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use flext_ldap_directory::{
    Deadline, Error, ErrorKind, Outcome,
    proto::{
        result::{LdapResult, ResultCode},
        secret::Secret,
    },
};
use flext_ldap_kerberos::{
    AsExchange, Ccache, Credential, KerberosError, Keytab, Krb5Conf, LongTerm, Principal, Step, TgsExchange,
};
use tokio::{sync::Mutex, time::timeout_at};

use self::centre::Centres;

/// Tickets kept at most: one for each server, and those by which they were got.
const MOST_KEPT: usize = 64;

/// How long a ticket must last to be used.
const LASTING: Duration = Duration::from_secs(30);

/// Who to be by Kerberos. Clones share the tickets that were got.
///
/// ```
/// use flext_ldap_client::{Credentials, Kerberos, Mechanism, Sasl};
///
/// // Whoever has called `kinit`.
/// let whoever: Credentials = Sasl::kerberos(Kerberos::cached()).into();
/// // A program with keys of its own, inside Microsoft's negotiation.
/// let reports = Kerberos::keytab("/etc/reports.keytab").principal("reports@HARBOURLANE.EXAMPLE");
/// let reports: Credentials = Sasl::kerberos(reports).only(Mechanism::GssSpnego).into();
/// ```
#[derive(Clone)]
#[must_use = "make `Sasl` of it"]
pub struct Kerberos {
    source: Source,
    principal: Option<String>,
    settings: Option<PathBuf>,
    /// One at a time asks for tickets, so a wrong password is tried once however many wait.
    kept: Arc<Mutex<Vec<Credential>>>,
}

#[derive(Clone)]
enum Source {
    /// The cache of this name, or the system's, or else the keytab of `KRB5_CLIENT_KTNAME`.
    Cache(Option<String>),
    Keytab(PathBuf),
    Password(Secret),
}

/// What a source has.
enum Found {
    /// Tickets.
    Cache(Ccache),
    /// What to get one with.
    Secret(Principal, LongTerm),
}

impl Kerberos {
    /// Whoever has signed in on this machine: the cache of `KRB5CCNAME`, of krb5.conf, or `/tmp/krb5cc_UID`. Where there is
    /// none, the keys of `KRB5_CLIENT_KTNAME`.
    pub fn cached() -> Self {
        Self::by(Source::Cache(None))
    }

    /// Whoever has a cache of tickets: `FILE:` and a path, or a path.
    pub fn cache(name: impl Into<String>) -> Self {
        Self::by(Source::Cache(Some(name.into())))
    }

    /// Whose keys are in this file: the first of them, unless [`principal`](Self::principal) says which. The file is read
    /// when a ticket is needed.
    pub fn keytab(path: impl Into<PathBuf>) -> Self {
        Self::by(Source::Keytab(path.into()))
    }

    /// This principal, by a password: `ada@EXAMPLE.COM`, or `ada` in the default realm of krb5.conf.
    pub fn password(principal: impl Into<String>, password: impl Into<Secret>) -> Self {
        Self::by(Source::Password(password.into())).principal(principal)
    }

    /// This principal, and no other: of a keytab, or of a cache, which then must be its own.
    pub fn principal(mut self, principal: impl Into<String>) -> Self {
        self.principal = Some(principal.into());
        self
    }

    /// The settings in this file, in place of `KRB5_CONFIG` or `/etc/krb5.conf`.
    pub fn settings(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings = Some(path.into());
        self
    }

    fn by(source: Source) -> Self {
        Self { source, principal: None, settings: None, kept: Arc::default() }
    }

    /// Refuses what cannot work.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match &self.source {
            Source::Password(password) if password.expose().iter().all(|octet| *octet == 0) => {
                Err(Error::new(
                    ErrorKind::EmptyPassword,
                    "the password is empty: give a password, or use a cache of tickets or a keytab",
                ))
            }
            _ => Ok(()),
        }
    }

    /// Whether the two would prove the same, as far as that can be told without looking.
    pub(crate) fn is_that_of(&self, other: &Self) -> bool {
        let same = match (&self.source, &other.source) {
            (Source::Cache(one), Source::Cache(other)) => one == other,
            (Source::Keytab(one), Source::Keytab(other)) => one == other,
            (Source::Password(one), Source::Password(other)) => one.expose() == other.expose(),
            _ => false,
        };
        same && self.principal == other.principal
    }

    /// Goes on with the tickets of another that is the same, so that none is asked for twice.
    pub(crate) fn keep_tickets_of(&mut self, other: &Self) {
        if self.is_that_of(other) && self.settings == other.settings {
            self.kept = Arc::clone(&other.kept);
        }
    }

    /// A ticket for the LDAP server at this host, which is named as it is: no name is looked up for it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Misuse`] where tickets, keys or settings are missing or of no use; [`ErrorKind::Rejected`] with
    /// `invalidCredentials` for a wrong password; [`ErrorKind::Unreachable`] and [`ErrorKind::Timeout`] when no key
    /// distribution centre answers.
    pub(crate) async fn ticket(&self, host: &str, by: Deadline) -> Result<Credential, Error> {
        let asking = timeout_at(by.instant(), async {
            let mut kept = self.kept.lock().await;
            self.get(&mut kept, host, by).await
        });
        asking.await.unwrap_or_else(|_| {
            Err(Error::new(ErrorKind::Timeout, format!("no ticket for ldap/{host} in the time allowed")))
        })
    }

    /// Forgets a ticket that the server does not want: its key may have been changed.
    pub(crate) async fn forget(&self, ticket: &Credential) {
        self.kept.lock().await.retain(|one| one.service != ticket.service);
    }

    async fn get(&self, kept: &mut Vec<Credential>, host: &str, by: Deadline) -> Result<Credential, Error> {
        let this = self.clone();
        let (conf, found) = tokio::task::spawn_blocking(move || this.read())
            .await
            .map_err(|error| Error::new(ErrorKind::Bug, "settings could not be read").with_source(error))??;
        let client = match &found {
            Found::Cache(cache) => &cache.principal,
            Found::Secret(client, _) => client,
        };
        let now = SystemTime::now();
        kept.retain(|one| one.client == *client && one.lasts(now, LASTING));
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let realm = conf.realm_of(&host).unwrap_or_else(|| client.realm()).to_owned();
        let service = Principal::of_host("ldap", &host, &realm);
        // A realm may have answered with a ticket of another one.
        let is_for =
            |one: &&Credential| one.service.is_same_but_for_realm(&service) && one.lasts(now, LASTING);
        if let Some(ticket) = kept.iter().find(is_for) {
            return Ok(ticket.clone());
        }
        let granting = Principal::ticket_granting(client.realm(), client.realm());
        let first = match found {
            Found::Cache(cache) => {
                let Ccache { principal, credentials, .. } = &cache;
                let mine = || credentials.iter().filter(|one| one.client == *principal);
                if let Some(ticket) = mine().find(is_for) {
                    return Ok(ticket.clone());
                }
                match mine().find(|one| one.service == granting && one.lasts(now, LASTING)) {
                    Some(ticket) => ticket.clone(),
                    None => {
                        return Err(files::no_ticket(principal, mine().any(|one| one.service == granting)));
                    }
                }
            }
            Found::Secret(client, secret) => match kept.iter().find(|one| one.service == granting) {
                Some(ticket) => ticket.clone(),
                None => {
                    let ticket = sign_in(&conf, client, secret, by).await?;
                    keep(kept, &ticket);
                    ticket
                }
            },
        };
        let ticket = ticket_for(&conf, first, service, by).await?;
        keep(kept, &ticket);
        Ok(ticket)
    }

    /// Reads the settings, and what there is to sign in with.
    fn read(&self) -> Result<(Krb5Conf, Found), Error> {
        let conf = files::settings(self.settings.as_deref())?;
        let wanted = self.principal.as_deref();
        let wanted =
            wanted.map(|name| Principal::parse(name, conf.default_realm())).transpose().map_err(failed)?;
        let found = match &self.source {
            Source::Password(password) => {
                let who =
                    wanted.ok_or_else(|| Error::new(ErrorKind::Misuse, "a password without a principal"))?;
                Found::Secret(who, LongTerm::Password(password.clone()))
            }
            Source::Keytab(path) => by_keytab(&files::keytab(path)?, wanted, &path.display().to_string())?,
            Source::Cache(name) => match files::cache(name.as_deref(), &conf) {
                Ok(cache) if wanted.as_ref().is_some_and(|who| *who != cache.principal) => {
                    let message = format!(
                        "the cache of tickets is that of {}, who is not the one asked for",
                        cache.principal
                    );
                    return Err(Error::new(ErrorKind::Misuse, message));
                }
                Ok(cache) => Found::Cache(cache),
                Err(error) => match files::client_keytab().filter(|_| name.is_none()) {
                    Some(path) => by_keytab(&files::keytab(&path)?, wanted, &path.display().to_string())?,
                    None => return Err(error),
                },
            },
        };
        Ok((conf, found))
    }
}

impl fmt::Debug for Kerberos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = match &self.source {
            Source::Cache(None) => "the cache",
            Source::Cache(Some(name)) => name,
            Source::Keytab(_) => "a keytab",
            Source::Password(_) => "a password",
        };
        f.debug_struct("Kerberos").field("source", &source).field("principal", &self.principal).finish()
    }
}

fn by_keytab(keytab: &Keytab, wanted: Option<Principal>, file: &str) -> Result<Found, Error> {
    let who = wanted.or_else(|| keytab.first().cloned());
    let who =
        who.ok_or_else(|| Error::new(ErrorKind::Misuse, format!("the keytab {file} has no keys of AES")))?;
    let keys = keytab.keys(&who);
    if keys.is_empty() {
        return Err(Error::new(ErrorKind::Misuse, format!("the keytab {file} has no AES keys of {who}")));
    }
    Ok(Found::Secret(who, LongTerm::Keys(keys)))
}

fn keep(kept: &mut Vec<Credential>, ticket: &Credential) {
    if kept.len() >= MOST_KEPT {
        kept.remove(0);
    }
    kept.push(ticket.clone());
}

/// Gets the first ticket. A password is proved once, to one key distribution centre.
async fn sign_in(
    conf: &Krb5Conf,
    client: Principal,
    secret: LongTerm,
    by: Deadline,
) -> Result<Credential, Error> {
    let mut exchange = AsExchange::new(client, secret).map_err(failed)?;
    let mut centres = Centres::of(conf, exchange.realm(), by).await?;
    let mut message = exchange.first();
    // A question, its answer that wants a proof, and the proof.
    for _ in 0..2 {
        let answer = centres.ask(&message, exchange.has_proved(), by).await?;
        let work = move || {
            let step = exchange.answer(&answer, SystemTime::now());
            (exchange, step)
        };
        let step;
        (exchange, step) = tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Error::new(ErrorKind::Bug, "a ticket could not be opened").with_source(error))?;
        match step.map_err(failed)? {
            Step::Send(next) => message = next,
            Step::Done(ticket) => return Ok(*ticket),
        }
    }
    Err(Error::new(ErrorKind::Protocol, "the key distribution centre wants a second proof of the password"))
}

/// Gets a ticket for a service, by the first.
async fn ticket_for(
    conf: &Krb5Conf,
    first: Credential,
    service: Principal,
    by: Deadline,
) -> Result<Credential, Error> {
    let mut exchange = TgsExchange::new(first, service).map_err(failed)?;
    let mut message = exchange.message(SystemTime::now()).map_err(failed)?;
    // The exchange itself sees to it that this ends.
    loop {
        let mut centres = Centres::of(conf, exchange.realm(), by).await?;
        let answer = centres.ask(&message, false, by).await?;
        match exchange.answer(&answer, SystemTime::now()).map_err(failed)? {
            Step::Send(next) => message = next,
            Step::Done(ticket) => return Ok(*ticket),
        }
    }
}

/// The error for what Kerberos says. What is wrong with who one is counts as a refusal by the directory would: whoever
/// opens connections must not go on trying.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` gives it so")]
pub(crate) fn failed(error: KerberosError) -> Error {
    let refusals = [
        KerberosError::CLIENT_UNKNOWN,
        KerberosError::CLIENT_REVOKED,
        KerberosError::KEY_EXPIRED,
        KerberosError::WRONG_PASSWORD,
    ];
    let is_refusal = error.code().is_some_and(|code| refusals.contains(&code))
        || matches!(error, KerberosError::WrongSecret(_));
    if is_refusal {
        let result = LdapResult {
            diagnostic: format!("Kerberos: {error}"),
            ..LdapResult::new(ResultCode::INVALID_CREDENTIALS)
        };
        return Error::rejected(Outcome::new(result));
    }
    let kind = match &error {
        KerberosError::Refused(_)
        | KerberosError::BadPrincipal(_)
        | KerberosError::NoRealm(_)
        | KerberosError::NoCommonEncryption(_) => ErrorKind::Misuse,
        KerberosError::NoRandomness => ErrorKind::Overloaded,
        _ => ErrorKind::Protocol,
    };
    Error::new(kind, format!("no ticket: {error}"))
}

#[cfg(test)]
mod tests;
