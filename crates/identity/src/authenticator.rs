//! Signing in: from a name and a password to who that is, or why not.

use std::{sync::Arc, time::Duration};

use flext_ldap_directory::{
    Actor, BindReply, BindStep, Deadline, Directory, Error, ErrorKind, Identity, Peer, Session, Sessions,
};
use flext_ldap_proto::{
    attribute::Selection,
    control::{Controls, PasswordPolicyRequest},
    dn::Dn,
    secret::Secret,
};

use crate::{
    GroupSearch, Groups, Locator, Reason, Refusal, RefusalKind, SignedIn, Warnings,
    account::{Account, ID_ATTRIBUTES},
    input,
    locator::Located,
    verdict,
};

/// How long a sign-in may take unless something else is said.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Signs people in. Cheap to copy; one serves any number of people at once.
///
/// Passwords travel on conversations of their own ([`Sessions`]), one bind in each; searches for entries and groups go to
/// the [`Directory`], as the program itself. A password that was typed once is sent once: nothing is tried again, so that
/// a wrong one counts once towards a lockout.
#[derive(Clone)]
pub struct Authenticator(pub(crate) Arc<Inner>);

/// How an [`Authenticator`] will work. See [`Authenticator::builder`].
#[must_use = "nobody is signed in before `build`"]
pub struct AuthenticatorBuilder(Inner);

/// What a directory offers that signing in is better with. Nothing, unless it is said.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "whoever knows the directory fills it in")]
pub struct Offers {
    /// `tokenGroups` of an account lists all its groups (Active Directory, Samba).
    pub token_groups: bool,
    /// `memberOf` lists groups of groups too (389 Directory Server and FreeIPA, where the plug-in does not skip them).
    pub nested_member_of: bool,
    /// The rule 1.2.840.113556.1.4.1941 follows members from group to group (Active Directory, Samba, our own).
    pub in_chain: bool,
    /// Passwords are in `unicodePwd`, and changed by a modify (Active Directory, Samba); elsewhere by RFC 3062.
    pub unicode_password: bool,
}

pub(crate) struct Inner {
    binds: Arc<dyn Sessions>,
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) locator: Locator,
    groups: Option<GroupSearch>,
    pub(crate) offers: Offers,
    pub(crate) attributes: Selection,
    pub(crate) timeout: Duration,
    decoy: Option<Dn>,
    tells_state: bool,
    pub(crate) changer: Option<(String, Secret)>,
}

/// A conversation that somebody has just bound on.
pub(crate) struct Bound {
    pub(crate) session: Box<dyn Session>,
    pub(crate) identity: Identity,
    /// What the password policy says of it.
    pub(crate) standing: Result<Warnings, Reason>,
    pub(crate) diagnostic: String,
}

/// Why there is no such conversation, and the text that came with it.
pub(crate) struct Unbound(pub(crate) Reason, pub(crate) String);

impl Offers {
    /// What Active Directory offers, and Samba as a domain controller.
    #[must_use]
    pub const fn active_directory() -> Self {
        Self { token_groups: true, nested_member_of: false, in_chain: true, unicode_password: true }
    }
}

impl Authenticator {
    /// Begins with what there must be: where people bind, where they are looked up, and how their names lead to
    /// entries.
    ///
    /// `binds` opens conversations that start anonymous: never ones that are bound as the program, nor the connection
    /// that `directory` is. The directory is asked as [`Actor::Service`]; it needs to read the entries of people and
    /// groups, and no password.
    pub fn builder(
        binds: impl Sessions,
        directory: impl Directory,
        locator: impl Into<Locator>,
    ) -> AuthenticatorBuilder {
        AuthenticatorBuilder(Inner {
            binds: Arc::new(binds),
            directory: Arc::new(directory),
            locator: locator.into(),
            groups: None,
            offers: Offers::default(),
            attributes: ID_ATTRIBUTES.into_iter().collect(),
            timeout: TIMEOUT,
            decoy: None,
            tells_state: false,
            changer: None,
        })
    }

    /// Signs somebody in by the name and the password they typed.
    ///
    /// # Errors
    ///
    /// [`Refusal`] says why not: what to do ([`Refusal::kind`]), what to tell whoever tried ([`Refusal::told`]), and what
    /// to write into the log ([`Refusal::log`]). A name that is nobody's and a wrong password are told alike.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped nobody is signed in, and the conversation it had is ended. A password that was sent
    /// counts at the directory all the same.
    pub async fn sign_in(&self, name: &str, password: Secret) -> Result<SignedIn, Refusal> {
        let by = Deadline::after(self.0.timeout);
        let signed_in = tokio::time::timeout_at(by.instant(), self.0.sign_in(name, password, by)).await;
        signed_in.unwrap_or_else(|_| Err(self.0.refusal(late())))
    }
}

impl AuthenticatorBuilder {
    /// Looks up the groups of who has signed in. Without it nobody is in any.
    pub fn groups(mut self, search: GroupSearch) -> Self {
        self.0.groups = Some(search);
        self
    }

    /// Says what the directory offers.
    pub const fn offers(mut self, offers: Offers) -> Self {
        self.0.offers = offers;
        self
    }

    /// Reads these attributes of who has signed in: see [`Account::text`].
    pub fn attributes<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let names: Vec<N> = names.into_iter().collect();
        self.0.attributes = ID_ATTRIBUTES.into_iter().chain(names.iter().map(AsRef::as_ref)).collect();
        self
    }

    /// How long a sign-in or a change of a password may take. 10 seconds.
    pub const fn timeout(mut self, time: Duration) -> Self {
        self.0.timeout = time;
        self
    }

    /// Binds as this entry, with the password that was typed, for names that are nobody's, so that they take as long as
    /// those that are somebody's. It must be nobody's: an entry with a random password, without a lockout. That the bind
    /// succeeds signs nobody in.
    pub fn decoy(mut self, dn: Dn) -> Self {
        self.0.decoy = Some(dn);
        self
    }

    /// Tells whoever tries that an account is locked or disabled. Some directories say so also where the password was
    /// wrong; then this tells strangers which names are there.
    pub const fn tell_state(mut self) -> Self {
        self.0.tells_state = true;
        self
    }

    /// Who sets a password in Active Directory for somebody whose own bind is refused because the old one has expired or
    /// must be changed. It happens on a conversation of its own, with the old password in the same request, so this
    /// account needs no more than everybody's right to change passwords.
    pub fn password_changer(mut self, name: impl Into<String>, password: Secret) -> Self {
        self.0.changer = Some((name.into(), password));
        self
    }

    /// Done.
    pub fn build(self) -> Authenticator {
        let mut inner = self.0;
        if let Some(groups) = &inner.groups {
            let asked = inner.attributes.selectors().iter().map(ToString::to_string);
            let needs = groups.needs(inner.offers).map(str::to_owned);
            inner.attributes = asked.chain(needs).collect();
        }
        Authenticator(Arc::new(inner))
    }
}

impl Inner {
    async fn sign_in(&self, name: &str, password: Secret, by: Deadline) -> Result<SignedIn, Refusal> {
        let located = self.locate(name, &password, by).await?;
        let found = located.dn().cloned();
        let refusal = |Unbound(reason, diagnostic)| {
            self.refusal(reason).of_account(found.clone()).with_diagnostic(diagnostic)
        };
        let bound = self.bind(located.bind_name(), password, by).await.map_err(refusal)?;
        let Bound { session, identity, standing, diagnostic } = bound;
        // Nothing else is asked on it, and somebody else may wait for its place.
        drop(session);
        let warnings = standing.map_err(|reason| refusal(Unbound(reason, diagnostic)))?;
        let account = self.account(name, located, by).await?;
        let groups = match &self.groups {
            Some(search) => {
                let groups = search.of(&*self.directory, self.offers, &account, by).await;
                groups.map_err(|reason| self.refusal(reason).of_account(Some(account.dn.clone())))?
            }
            None => Groups::none(),
        };
        Ok(SignedIn { account, identity, groups, warnings })
    }

    /// Where a name leads, after a look at what was typed. For nobody the decoy is asked.
    pub(crate) async fn locate(
        &self,
        name: &str,
        password: &Secret,
        by: Deadline,
    ) -> Result<Located, Refusal> {
        let typed = input::check_name(name).and_then(|()| input::check_password(password));
        typed.map_err(|error| self.refusal(Reason::Input(error)))?;
        let located = self.locator.before_bind(&*self.directory, name, &self.attributes, by).await;
        let reason = match located {
            Ok(located) => return Ok(located),
            Err(reason) => reason,
        };
        if let (Some(decoy), Reason::UnknownUser | Reason::Ambiguous) = (&self.decoy, &reason) {
            match self.bind(decoy.to_string(), password.clone(), by).await {
                Ok(_) => {
                    tracing::warn!(decoy = %decoy, "the decoy's password was guessed: give it a random one")
                }
                // As it would be for a name that is somebody's.
                Err(Unbound(other, text)) if other.kind() == RefusalKind::Unavailable => {
                    return Err(self.refusal(other).with_diagnostic(text));
                }
                Err(_) => {}
            }
        }
        Err(self.refusal(reason))
    }

    /// One bind, sent once.
    pub(crate) async fn bind(&self, name: String, password: Secret, by: Deadline) -> Result<Bound, Unbound> {
        let controls = Controls::none().optional(&PasswordPolicyRequest);
        let unbound = |reason| Unbound(reason, String::new());
        let mut session = self.binds.open(Peer::in_process()).await.map_err(|error| unbound(error.into()))?;
        let refused = match session.bind(BindStep::Simple { name, password, controls }, by).await {
            Ok(BindReply::Done { actor: Actor::User(identity), outcome, .. }) => {
                let standing = verdict::of_success(&outcome);
                return Ok(Bound { session, identity, standing, diagnostic: outcome.result.diagnostic });
            }
            Ok(BindReply::Done { .. }) => return Err(unbound(Reason::Anonymous)),
            Ok(BindReply::Continue { .. }) => {
                return Err(unbound(Reason::protocol(
                    "the directory answered a simple bind with another step",
                )));
            }
            Ok(BindReply::Refused(outcome)) => outcome,
            Err(error) => match error.outcome() {
                Some(outcome) => outcome.clone(),
                None => return Err(unbound(error.into())),
            },
        };
        Err(Unbound(verdict::of_refusal(&refused), refused.result.diagnostic))
    }

    /// Whose account it is, now that they have bound.
    pub(crate) async fn account(
        &self,
        name: &str,
        located: Located,
        by: Deadline,
    ) -> Result<Account, Refusal> {
        let found = located.dn().cloned();
        let (dn, entry) = self
            .locator
            .after_bind(&*self.directory, name, located, &self.attributes, by)
            .await
            .map_err(|reason| self.refusal(reason).of_account(found))?;
        Ok(Account::new(dn, entry))
    }

    pub(crate) fn refusal(&self, reason: impl Into<Reason>) -> Refusal {
        Refusal::new(reason, self.tells_state)
    }
}

impl Located {
    /// The entry, where it is known which one.
    pub(crate) fn dn(&self) -> Option<&Dn> {
        match self {
            Self::Entry(dn, _) | Self::Name(dn) => Some(dn),
            Self::Principal(_) => None,
        }
    }

    pub(crate) fn bind_name(&self) -> String {
        match self {
            Self::Entry(dn, _) | Self::Name(dn) => dn.to_string(),
            Self::Principal(principal) => principal.clone(),
        }
    }
}

/// There was not time enough.
pub(crate) fn late() -> Error {
    Error::new(ErrorKind::Timeout, "the directory took longer than the time allowed")
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator")
            .field("locator", &self.0.locator)
            .field("offers", &self.0.offers)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for AuthenticatorBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthenticatorBuilder").field("locator", &self.0.locator).finish_non_exhaustive()
    }
}
