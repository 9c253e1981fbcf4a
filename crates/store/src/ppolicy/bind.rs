//! Verifying a password: who is locked out, how many tries are left, and what a bind comes to.
//!
//! A wrong password is on disk as a failure before anybody is told that it was wrong. Who gives up waiting for the
//! answer learns nothing, and such a try is not counted.

use std::time::Duration;

use flext_ldap_directory::{Actor, Deadline, Error, Identity, Outcome};
use flext_ldap_proto::{
    control::{PasswordPolicyError, PasswordPolicyResponse},
    dn::Dn,
    result::ResultCode,
    secret::Secret,
};
use flext_ldap_sasl::scram::ScramKeys;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::time::{Instant, sleep_until};

use super::{Account, Micros, PasswordPolicy, SECOND, attempts::Room, heard, refused};
use crate::{
    context::{Caller, Context},
    credentials,
    hashing::Origin,
    read::Resolved,
    row::Id,
    store::Store,
    tables::{Failure, Snapshot},
    write::{SignIn, Write, WriteControls, WriteOp},
};

/// How long after a wrong password was looked at it is refused, where wrong ones are counted: a commit takes less, unless
/// storage is slow.
const REFUSED_AFTER: Duration = Duration::from_millis(100);

/// What a password is verified for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Purpose {
    /// To bind: expiry, warnings, grace and what else the policy says of a bind.
    Bind,
    /// To show that one knows it. Only wrong ones are of interest to the policy.
    Proof,
}

/// How one shows that they know a password.
pub(crate) enum Shown {
    /// By saying it.
    Password(Secret),
    /// By a proof (SCRAM), which is good or not for these keys.
    Proof { keys: ScramKeys, is_good: bool },
}

/// Who has shown a password.
pub(crate) struct Proven {
    pub(crate) identity: Identity,
    /// The entry; none of the administrator.
    pub(crate) account: Option<Id>,
    /// The password as it is stored in the entry.
    pub(crate) stored: Option<Vec<u8>>,
    pub(crate) response: PasswordPolicyResponse,
}

impl Proven {
    fn administrator(dn: Dn) -> Self {
        let identity = Identity::from_successful_bind(dn);
        Self { identity, account: None, stored: None, response: PasswordPolicyResponse::default() }
    }
}

/// An account as of one commit.
struct Seen {
    stored: Vec<Vec<u8>>,
    name: String,
    policy: Option<PasswordPolicy>,
    account: Account,
    /// When the entry was changed last other than by binds.
    modified: Micros,
}

impl Store {
    /// Verifies a password, and says who that is. Takes as long whether the name is there or not, and whether the
    /// account is locked or not.
    pub(crate) async fn authenticate(
        &self,
        dn: &Dn,
        password: Secret,
        purpose: Purpose,
        from: Origin,
        by: Deadline,
    ) -> Result<Proven, Failure> {
        let context = &*self.context();
        let key = context.schema.dn_key(dn).ok();
        let administrator = context.administrator.as_ref().filter(|one| Some(&one.key) == key.as_ref());
        // The password of an entry of that name is not looked at: who may write the entry would be the administrator.
        if let Some(one) = administrator {
            let digest = Sha256::new().chain_update(&one.salt).chain_update(password.expose()).finalize();
            let fits: bool = digest.as_slice().ct_eq(&one.digest).into();
            self.verify_nothing(password, from).await?;
            if fits {
                return Ok(Proven::administrator(one.dn.clone()));
            }
            return Err(self.refusal(Instant::now()).await?);
        }
        let id = match &key {
            Some(key) => match self.reading("a bind", || context.resolve(&*self.snapshot()?, key))? {
                Resolved::Found(id) => Some(id),
                Resolved::Missing(_) => None,
            },
            None => None,
        };
        let Some(id) = id else {
            self.verify_nothing(password, from).await?;
            return Err(self.refusal(Instant::now()).await?);
        };
        self.authenticate_entry(id, Shown::Password(password), purpose, from, by).await
    }

    /// As [`authenticate`](Self::authenticate), for an entry.
    pub(crate) async fn authenticate_entry(
        &self,
        id: Id,
        shown: Shown,
        purpose: Purpose,
        from: Origin,
        by: Deadline,
    ) -> Result<Proven, Failure> {
        let (seen, place, response) = self.verify(id, shown, purpose, from, by).await?;
        // As it is written in the directory, however it was spelt by the one who binds.
        let name = seen.name.parse().map_err(|_| Failure::damaged("the name of an entry"))?;
        let (identity, stored) = (Identity::from_successful_bind(name), seen.stored.into_iter().nth(place));
        Ok(Proven { identity, account: Some(id), stored, response })
    }

    /// Which of an entry's stored passwords this one fits, as stored.
    pub(crate) async fn prove(
        &self,
        id: Id,
        password: Secret,
        from: Origin,
        by: Deadline,
    ) -> Result<Vec<u8>, Failure> {
        let (seen, place, _) = self.verify(id, Shown::Password(password), Purpose::Proof, from, by).await?;
        seen.stored.into_iter().nth(place).ok_or_else(invalid_credentials)
    }

    /// Verifies a password of an entry: what was seen, and the place of the stored one that it fits.
    async fn verify(
        &self,
        id: Id,
        shown: Shown,
        purpose: Purpose,
        from: Origin,
        by: Deadline,
    ) -> Result<(Seen, usize, PasswordPolicyResponse), Failure> {
        let context = &*self.context();
        let look = || self.reading("a bind", || see(context, &*self.snapshot()?, id));
        let seen = look()?;
        // Nothing can be guessed where there is nothing.
        let counts =
            !seen.stored.is_empty() && seen.policy.as_ref().is_some_and(PasswordPolicy::counts_failures);
        let (attempt, seen) = if counts {
            let entered = self.attempts().enter(id, |unrecorded| {
                let mut seen = look()?;
                let now = context.now();
                let Some(policy) = &seen.policy else { return Ok(Room::For(usize::MAX, seen)) };
                for at in unrecorded.iter().filter(|at| **at >= seen.modified) {
                    seen.account = seen.account.failed(policy, *at);
                }
                if seen.account.is_locked(Some(policy), now) {
                    return Ok(Room::Locked);
                }
                let failures = seen.account.failures_in_force(policy, now).len();
                Ok(Room::For(policy.attempts_left(failures), seen))
            });
            match entered.await? {
                Some((attempt, seen)) => (Some(attempt), seen),
                None => return Err(self.locked(context, shown, from).await?),
            }
        } else if seen.account.is_locked(seen.policy.as_ref(), context.now()) {
            return Err(self.locked(context, shown, from).await?);
        } else {
            (None, seen)
        };

        let stored = seen.stored.clone();
        self.count_verification();
        let place = match shown {
            Shown::Password(password) => {
                let verify = move || credentials::verify(&stored, password.expose());
                self.hashers().run(from, verify).await?
            }
            // The keys may have been replaced since they were asked for.
            Shown::Proof { keys, is_good } => credentials::place_of(&stored, &keys).filter(|_| is_good),
        };
        let since = Instant::now();
        let Some(place) = place else {
            if let Some(attempt) = attempt {
                let at = context.now();
                if let Err(failure) = self.sign_in(id, false, by).await {
                    attempt.unrecorded(at);
                    return Err(failure);
                }
            }
            return Err(self.refusal(since).await?);
        };
        if let Some(attempt) = &attempt {
            attempt.succeeded();
        }
        let Some(policy) = seen.policy.as_ref().filter(|_| purpose == Purpose::Bind) else {
            return Ok((seen, place, PasswordPolicyResponse::default()));
        };
        let entered = seen.account.entered(policy, context.now());
        let response = if entered.allowed && entered.account == seen.account {
            entered.response
        } else {
            // What is counted is counted by the writer, in turn.
            match self.sign_in(id, true, by).await {
                Ok(outcome) => heard(&outcome.controls),
                Err(failure) => {
                    self.refusal(since).await?;
                    return Err(failure);
                }
            }
        };
        Ok((seen, place, response))
    }

    /// Whether nobody is let in to this account, whatever they show.
    pub(crate) fn is_locked_out(&self, id: Id) -> Result<bool, Failure> {
        let context = &*self.context();
        let seen = see(context, &*self.snapshot()?, id)?;
        Ok(seen.account.is_locked(seen.policy.as_ref(), context.now()))
    }

    /// Has the writer note a bind.
    async fn sign_in(&self, id: Id, succeeded: bool, by: Deadline) -> Result<Outcome, Failure> {
        let write = Write {
            op: WriteOp::SignIn(SignIn { id, succeeded }),
            caller: Caller::service(),
            controls: WriteControls::default(),
            secrets: Vec::new(),
            keep_operational: false,
        };
        let outcome = self.writer().write(write, by).await?;
        if outcome.result.code == ResultCode::SUCCESS {
            return Ok(outcome);
        }
        Err(Failure::Failed(Error::rejected(outcome)))
    }

    /// The refusal of a locked account, after the time that a wrong password takes.
    async fn locked(&self, context: &Context, shown: Shown, from: Origin) -> Result<Failure, Failure> {
        if let Shown::Password(password) = shown {
            self.verify_nothing(password, from).await?;
        }
        let refusal = self.refusal(Instant::now()).await?;
        if context.ppolicy.tells_lockout {
            return Ok(refused(ResultCode::INVALID_CREDENTIALS, PasswordPolicyError::ACCOUNT_LOCKED, ""));
        }
        Ok(refusal)
    }

    /// The refusal of a password that was looked at `since`. Where wrong ones are counted it comes for all alike, after
    /// the time in which one is on disk: whether there was anything to be counted is not told by that.
    pub(crate) async fn refusal(&self, since: Instant) -> Result<Failure, Failure> {
        if PasswordPolicy::may_count(&self.context(), &*self.snapshot()?)? {
            sleep_until(since + REFUSED_AFTER).await;
        }
        Ok(invalid_credentials())
    }

    /// Takes as long as verifying a password.
    pub(crate) async fn verify_nothing(&self, password: Secret, from: Origin) -> Result<(), Failure> {
        let verify = move || credentials::verify(&[], password.expose());
        self.hashers().run(from, verify).await.map(|_none| ())
    }

    /// Whether whoever this is must change their password before anything else (draft-behera-10 §8.1). A session holds its
    /// peer to that; this is for those who answer for themselves, beside the store.
    ///
    /// # Errors
    ///
    /// When storage cannot be read.
    pub fn must_change(&self, actor: &Actor) -> Result<bool, Error> {
        let is_administrator = matches!(actor, Actor::User(one) if one.dn().is_some_and(|dn| {
            let context = self.context();
            let key = context.key(dn).ok();
            context.administrator.as_ref().is_some_and(|one| Some(&one.key) == key.as_ref())
        }));
        if is_administrator { Ok(false) } else { self.is_confined(actor).map_err(Failure::into_error) }
    }

    pub(crate) fn is_confined(&self, actor: &Actor) -> Result<bool, Failure> {
        let Actor::User(identity) = actor else { return Ok(false) };
        let Some(dn) = identity.dn() else { return Ok(false) };
        let context = &*self.context();
        let tables = self.snapshot()?;
        let Resolved::Found(id) = context.resolve(&tables, &context.key(dn)?)? else { return Ok(true) };
        let seen = see(context, &tables, id)?;
        Ok(seen.account.reset && seen.policy.is_some_and(|policy| policy.must_change))
    }
}

fn see(context: &Context, tables: &Snapshot, id: Id) -> Result<Seen, Failure> {
    // Deleted meanwhile: as if it had never been there.
    let Some(stored) = tables.stored(id)? else { return Err(invalid_credentials()) };
    let operational = stored.operational();
    let modified = operational
        .get("modifyTimestamp")
        .and_then(|one| one.text())
        .and_then(|text| text.parse::<flext_ldap_proto::schema::GeneralizedTime>().ok());
    Ok(Seen {
        stored: tables.secrets(id)?,
        name: tables.named(id)?.dn,
        policy: PasswordPolicy::of_account(context, tables, operational)?,
        account: Account::read(operational),
        modified: modified.map_or(Micros::MIN, |time| time.unix_seconds.saturating_mul(SECOND)),
    })
}

/// What every wrong password is answered, and every wrong name.
pub(crate) fn invalid_credentials() -> Failure {
    Failure::refused(ResultCode::INVALID_CREDENTIALS, "")
}
