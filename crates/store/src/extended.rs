//! Compare, Who Am I, Password Modify, and the way of writes to the writer: passwords are hashed on the way.

use bytes::Bytes;
use flext_ldap_directory::{Actor, AttributeRight, Deadline, EntryRight, Error, ErrorKind, Op, Outcome};
use flext_ldap_proto::{
    attribute::AttributeDescription,
    ber::Writer as BerWriter,
    control::Controls,
    dn::Dn,
    extended::{ExtendedOperation, PasswordModify, PasswordModifyResponse, WhoAmI},
    filter::{Filter, Matcher, Truth},
    message::{Change, ChangeKind, Compare, ExtendedRequest, Modify},
    oid::Oid,
    result::{LdapResult, ResultCode},
    secret::Secret,
};

use crate::{
    constraint::{member_of, reach::Reach},
    context::{Access, Caller, base},
    controls::check_assertion,
    credentials,
    hashing::Origin,
    meter::Meter,
    ppolicy::{Purpose, invalid_credentials},
    project::{View, computed},
    read::{Climbed, Named, Resolved},
    row::{Id, Stored},
    special,
    store::Store,
    tables::{Failure, Snapshot},
    write::{Write, WriteControls, WriteOp, add, holds},
};

/// The extended operations there are: requests are held to them, and the root DSE lists them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Extension {
    /// RFC 4532.
    WhoAmI,
    /// RFC 3062.
    PasswordModify,
}

impl Extension {
    pub(crate) const ALL: [(Oid, Self); 2] =
        [(WhoAmI::OID, Self::WhoAmI), (PasswordModify::OID, Self::PasswordModify)];

    fn of(oid: &Oid) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| known == oid).map(|(_, extension)| extension)
    }
}

impl Store {
    /// RFC 4511 §4.10.
    pub(crate) fn compare(
        &self,
        op: &Compare,
        controls: &Controls,
        caller: &Caller,
    ) -> Result<Outcome, Failure> {
        let context = &*self.context();
        let controls = WriteControls::of(controls)?;
        check_assertion(context, caller, controls.assertion.as_ref())?;
        let tables = self.snapshot()?;
        let access = context.access(caller, &*tables)?;
        let attribute = op.attribute.as_str();
        if context.is_password(attribute) {
            return Err(Failure::refused(
                ResultCode::INSUFFICIENT_ACCESS_RIGHTS,
                "passwords are checked by binding",
            ));
        }
        let key = context.key(&op.dn)?;
        let tables = self.snapshot()?;
        let (view, open) = if key.is_root() {
            (special::root_dse(context, &caller.peer), true)
        } else if special::is_subschema(context, &key) {
            (special::subschema(context), true)
        } else {
            let found = self.find(&tables, &access, &op.dn, controls.manage_dsa_it);
            access.settled()?;
            let id = found?;
            let node = tables.existing_node(id)?;
            let named = tables.named(id)?;
            let stored = tables.stored(id)?.ok_or_else(|| Failure::damaged("an entry"))?;
            let mut view = View { computed: computed(&node, &named, &tables.context_csn()?), named, stored };
            let asserts =
                controls.assertion.as_ref().is_some_and(|filter| Reach::asks_member_of(context, filter));
            if asserts || context.constraints.computes(attribute) {
                member_of::complete(context, &tables, None, &access, &mut Climbed::new(), &mut view)?;
            }
            (view, false)
        };
        let compares =
            open || access.on(&view.named, &view.stored).attribute(attribute, AttributeRight::Compare);
        access.settled()?;
        if !compares {
            return Err(Failure::refused(
                ResultCode::INSUFFICIENT_ACCESS_RIGHTS,
                format!("no right to compare `{attribute}` of this entry"),
            ));
        }
        let meter = Meter::budget();
        if let Some(assertion) = &controls.assertion
            && holds(context, &*tables, assertion, &access, &view, &meter)? != Truth::True
        {
            access.settled()?;
            return Err(Failure::refused(
                ResultCode::ASSERTION_FAILED,
                "the assertion is not true of the entry",
            ));
        }
        match context.schema.attribute_type(base(attribute)) {
            Some(kind) if kind.equality.is_some() => {}
            Some(_) => {
                return Err(Failure::refused(
                    ResultCode::INAPPROPRIATE_MATCHING,
                    format!("values of `{attribute}` cannot be compared"),
                ));
            }
            None => {
                return Err(Failure::refused(
                    ResultCode::UNDEFINED_ATTRIBUTE_TYPE,
                    format!("attribute type `{attribute}` is not defined"),
                ));
            }
        }
        // Each attribute is asked for by its own name: subtypes of what is compared may be closed where that is not.
        let on = access.on(&view.named, &view.stored);
        let compared = |filter: &Filter| {
            let matcher = Matcher::new(filter, &context.schema);
            let readable = |attribute: &str| open || on.attribute(attribute, AttributeRight::Compare);
            view.truth(context, &*tables, &matcher, &Dn::root(), &meter, &readable)
        };
        let present = Filter::present(op.attribute.clone());
        let is_present = compared(&present)?;
        access.settled()?;
        if is_present != Truth::True {
            return Err(Failure::refused(
                ResultCode::NO_SUCH_ATTRIBUTE,
                format!("there is no `{attribute}`"),
            ));
        }
        let equal = Filter::equality(op.attribute.clone(), op.value.to_vec());
        let equals = compared(&equal)?;
        access.settled()?;
        let code = match equals {
            Truth::True => ResultCode::COMPARE_TRUE,
            Truth::False => ResultCode::COMPARE_FALSE,
            Truth::Undefined => {
                return Err(Failure::refused(
                    ResultCode::INVALID_ATTRIBUTE_SYNTAX,
                    format!("the value does not fit `{attribute}`"),
                ));
            }
        };
        Ok(Outcome::new(LdapResult::new(code)))
    }

    /// The entry a name leads to, for one who may know of it.
    fn find(
        &self,
        tables: &Snapshot,
        access: &Access<'_>,
        dn: &Dn,
        manage_dsa_it: bool,
    ) -> Result<Id, Failure> {
        let context = &*self.context();
        match context.resolve(tables, &context.key(dn)?)? {
            Resolved::Found(id) => {
                let named = tables.named(id)?;
                if !access.entry(&named, EntryRight::Disclose) {
                    let parent = tables.existing_node(id)?.parent;
                    return Err(special::missing(context, tables, access, Some(parent))?);
                }
                special::refer(context, tables, access, Some(id), dn, manage_dsa_it)?;
                Ok(id)
            }
            Resolved::Missing(last) => {
                special::refer(context, tables, access, last, dn, manage_dsa_it)?;
                Err(special::missing(context, tables, access, last)?)
            }
        }
    }

    /// Add, modify, delete and rename.
    pub(crate) async fn change(
        &self,
        op: Op,
        controls: &Controls,
        caller: Caller,
        deadline: Deadline,
    ) -> Result<Outcome, Failure> {
        let controls = WriteControls::of(controls)?;
        check_assertion(&self.context(), &caller, controls.assertion.as_ref())?;
        let (op, secrets) = match op {
            Op::Add(mut op) => {
                let mut passwords = Vec::new();
                let mut rest = flext_ldap_proto::attribute::Attributes::builder();
                for attribute in op.attributes.as_ref().iter() {
                    if self.context().is_password(attribute.description()) {
                        passwords.extend(attribute.values().map(Bytes::copy_from_slice));
                    } else {
                        rest.push(attribute.description(), attribute.values());
                    }
                }
                if !passwords.is_empty() {
                    op.attributes = rest.build();
                    if let Some(policy) = self.begin_add(&op, &caller)? {
                        self.check_new(&policy, &passwords, Origin::of(&caller.peer)).await?;
                    }
                }
                let named = self.would_be(&op.dn)?;
                let secrets = if passwords.is_empty() {
                    Vec::new()
                } else {
                    let asked = add::would_be(&self.context(), &op.dn, op.attributes.as_ref());
                    self.hash(&named, Some(asked), &caller, passwords).await?
                };
                (WriteOp::Add(op), secrets)
            }
            Op::Modify(op) => {
                (WriteOp::Modify(self.prepare(op, &controls, &caller, deadline).await?), Vec::new())
            }
            Op::Delete(op) => (WriteOp::Delete(op), Vec::new()),
            Op::Rename(op) => (WriteOp::Rename(op), Vec::new()),
            Op::Search(_) | Op::Compare(_) | Op::Extended(_) => {
                return Err(Error::new(ErrorKind::Bug, "an operation went the way of writes").into());
            }
        };
        let write = Write { op, caller, controls, secrets, keep_operational: false };
        self.writer().write(write, deadline).await
    }

    fn would_be(&self, dn: &Dn) -> Result<Named, Failure> {
        Ok(Named { dn: dn.to_string(), key: self.context().key(dn)? })
    }

    /// Hashes passwords for one who may write them. A value that is a hash already is taken from whoever may add the
    /// entry; anybody else could choose a hash that is weak, or that costs a lot to verify.
    async fn hash(
        &self,
        named: &Named,
        added: Option<Stored>,
        caller: &Caller,
        passwords: Vec<Bytes>,
    ) -> Result<Vec<Vec<u8>>, Failure> {
        if passwords.is_empty() {
            return Ok(Vec::new());
        }
        let (trusted, allowed) = {
            let context = &*self.context();
            let tables = self.snapshot()?;
            let access = context.access(caller, &*tables)?;
            let on = added.as_ref().map_or_else(|| access.at(named), |stored| access.on(named, stored));
            let trusted = on.entry(EntryRight::Add);
            let right = if added.is_some() { AttributeRight::AddValues } else { AttributeRight::Write };
            let writes = on.attribute("userPassword", right);
            access.settled()?;
            (trusted, writes && (added.is_none() || trusted))
        };
        if !allowed {
            // Refused before work is spent on it.
            return Err(Failure::refused(
                ResultCode::INSUFFICIENT_ACCESS_RIGHTS,
                "no right to set the password of this entry",
            ));
        }
        credentials::check_count(passwords.len())?;
        let mut secrets = Vec::with_capacity(passwords.len());
        for password in passwords {
            if credentials::is_hash(&password) {
                if !trusted {
                    return Err(Failure::refused(
                        ResultCode::CONSTRAINT_VIOLATION,
                        "send the password itself; only who may add the entry may set a hash",
                    ));
                }
                secrets.push(password.to_vec());
                continue;
            }
            secrets.push(self.hash_one(Secret::new(password), Origin::of(&caller.peer)).await?);
        }
        Ok(secrets)
    }

    async fn hash_one(&self, password: Secret, from: Origin) -> Result<Vec<u8>, Failure> {
        check_password(password.expose())?;
        let form = self.context().form;
        Ok(self.hashers().run(from, move || form.hash(password.expose())).await??)
    }

    /// Hashes the new passwords of a modify, and finds the stored form of those to be deleted.
    async fn prepare(
        &self,
        mut op: Modify,
        controls: &WriteControls,
        caller: &Caller,
        deadline: Deadline,
    ) -> Result<Modify, Failure> {
        let context = &*self.context();
        if !op.changes.iter().any(|change| context.is_password(change.attribute.as_str())) {
            return Ok(op);
        }
        {
            // What a password is held to is not told of an entry that one may not know of.
            let tables = self.snapshot()?;
            let access = context.access(caller, &*tables)?;
            let found = self.find(&tables, &access, &op.dn, controls.manage_dsa_it);
            access.settled()?;
            found?;
        }
        let named = self.would_be(&op.dn)?;
        let passwords = op.changes.iter().filter(|change| context.is_password(change.attribute.as_str()));
        credentials::check_count(passwords.clone().map(|change| change.values.len()).sum())?;
        let (old, new): (Vec<_>, Vec<_>) = passwords.partition(|change| change.kind == ChangeKind::Delete);
        let gives_old = old.iter().any(|change| !change.values.is_empty());
        if let Some(policy) = self.begin_change(&op.dn, caller, gives_old)? {
            let new: Vec<_> = new.iter().flat_map(|change| change.values.iter().cloned()).collect();
            self.check_new(&policy, &new, Origin::of(&caller.peer)).await?;
        }
        for change in &mut op.changes {
            if !context.is_password(change.attribute.as_str()) || change.values.is_empty() {
                continue;
            }
            let values = std::mem::take(&mut change.values);
            let prepared = match change.kind {
                ChangeKind::Delete => self.find_stored(&named, caller, values, deadline).await?,
                _ => self.hash(&named, None, caller, values).await?,
            };
            change.values = prepared.into_iter().map(Bytes::from).collect();
        }
        Ok(op)
    }

    /// The stored forms of passwords given in clear text or as they are stored.
    async fn find_stored(
        &self,
        named: &Named,
        caller: &Caller,
        values: Vec<Bytes>,
        deadline: Deadline,
    ) -> Result<Vec<Vec<u8>>, Failure> {
        let context = &*self.context();
        let (writes, trusted) = {
            let tables = self.snapshot()?;
            let access = context.access(caller, &*tables)?;
            let on = access.at(named);
            let writes = on.attribute("userPassword", AttributeRight::Write);
            let trusted = on.entry(EntryRight::Add);
            access.settled()?;
            (writes, trusted)
        };
        if !writes {
            return Err(Failure::refused(
                ResultCode::INSUFFICIENT_ACCESS_RIGHTS,
                "no right to change the password of this entry",
            ));
        }
        let none = || {
            Failure::refused(
                ResultCode::NO_SUCH_ATTRIBUTE,
                "`userPassword` does not have a value that is to be deleted",
            )
        };
        let (id, stored) = {
            let tables = self.snapshot()?;
            match context.resolve(&tables, &named.key)? {
                Resolved::Found(id) => (id, tables.secrets(id)?),
                Resolved::Missing(_) => return Err(none()),
            }
        };
        credentials::check_count(values.len())?;
        let mut found = Vec::with_capacity(values.len());
        for value in values {
            let given = stored.iter().find(|stored| credentials::without_keys(stored) == &*value);
            if let Some(stored) = given.filter(|_| trusted) {
                found.push(stored.clone());
                continue;
            }
            match self.prove(id, Secret::new(value), Origin::of(&caller.peer), deadline).await {
                Ok(one) => found.push(one),
                Err(failure) if is_wrong(&failure) => return Err(none()),
                Err(failure) => return Err(failure),
            }
        }
        Ok(found)
    }

    pub(crate) async fn extended(
        &self,
        op: ExtendedRequest,
        caller: Caller,
        deadline: Deadline,
    ) -> Result<Outcome, Failure> {
        let malformed = |error: flext_ldap_proto::ber::DecodeError| {
            Failure::refused(ResultCode::PROTOCOL_ERROR, error.to_string())
        };
        match Extension::of(&op.oid) {
            Some(Extension::WhoAmI) => {
                WhoAmI::decode(&op).map_err(malformed)?;
                let name = match &caller.actor {
                    Actor::User(identity) => identity.authorization().to_owned(),
                    Actor::Service | Actor::Anonymous => String::new(),
                };
                Ok(Outcome { value: Some(Bytes::from(name)), ..Outcome::success() })
            }
            Some(Extension::PasswordModify) => {
                let asked = PasswordModify::decode(&op).map_err(malformed)?;
                self.password_modify(asked, caller, deadline).await
            }
            None => Err(Failure::refused(
                ResultCode::PROTOCOL_ERROR,
                format!("extended operation {} is not known", op.oid),
            )),
        }
    }

    /// RFC 3062: by whoever may write the password; by its owner only with the old one.
    async fn password_modify(
        &self,
        asked: PasswordModify,
        caller: Caller,
        deadline: Deadline,
    ) -> Result<Outcome, Failure> {
        let context = &*self.context();
        let dn: Dn = match (&asked.user, &caller.actor) {
            (Some(name), _) => {
                let name = name.strip_prefix("dn:").unwrap_or(name);
                name.parse()
                    .map_err(|error| Failure::refused(ResultCode::INVALID_DN_SYNTAX, format!("{error}")))?
            }
            (None, Actor::User(identity)) => identity.dn().cloned().ok_or_else(|| {
                Failure::refused(ResultCode::UNWILLING_TO_PERFORM, "whoever asks has no entry here")
            })?,
            (None, Actor::Anonymous | Actor::Service) => {
                return Err(Failure::refused(
                    ResultCode::UNWILLING_TO_PERFORM,
                    "say whose password is to be changed",
                ));
            }
        };
        let named = self.would_be(&dn)?;
        let writes = {
            let tables = self.snapshot()?;
            let access = context.access(&caller, &*tables)?;
            let found = self.find(&tables, &access, &dn, false);
            let writes = access.attribute(&named, "userPassword", AttributeRight::Write);
            access.settled()?;
            let is_configured =
                context.administrator.as_ref().is_some_and(|administrator| administrator.key == named.key);
            if found.is_err() && access.all && is_configured {
                return Err(Failure::refused(
                    ResultCode::UNWILLING_TO_PERFORM,
                    "the administrator's password is in the configuration of the server: change it there",
                ));
            }
            found?;
            writes
        };
        if !writes {
            return Err(Failure::refused(
                ResultCode::INSUFFICIENT_ACCESS_RIGHTS,
                "no right to change this password",
            ));
        }
        let policy = self.begin_change(&dn, &caller, asked.old.is_some())?;
        let from = Origin::of(&caller.peer);
        let not_proven =
            || Failure::refused(ResultCode::UNWILLING_TO_PERFORM, "the old password is not the present one");
        let mut changes = Vec::new();
        // Whether it may be left out is a matter of the policy (`pwdSafeModify`), as with a modify.
        if let Some(old) = asked.old {
            let proven = match old.expose().len() {
                ..=credentials::LONGEST => self.authenticate(&dn, old, Purpose::Proof, from, deadline).await,
                _ => Err(invalid_credentials()),
            };
            match proven {
                // It must be there still when the new one is set, or who lost it to a reset would get it back.
                Ok(proven) => changes.extend(proven.stored.map(|stored| (ChangeKind::Delete, stored))),
                Err(failure) if is_wrong(&failure) => return Err(not_proven()),
                Err(failure) => return Err(failure),
            }
        }
        let (new, generated) = match asked.new {
            Some(new) => (new, None),
            None => {
                let usual = credentials::GENERATED;
                let length = policy.as_ref().map_or(usual, |policy| policy.generated_length(usual));
                let generated = Secret::new(credentials::generate(length));
                (generated.clone(), Some(generated))
            }
        };
        if credentials::is_hash(new.expose()) {
            return Err(Failure::refused(
                ResultCode::CONSTRAINT_VIOLATION,
                "the new password looks like a hash; send the password itself",
            ));
        }
        if let (Some(policy), None) = (&policy, &generated) {
            self.check_new(policy, &[Bytes::copy_from_slice(new.expose())], from).await?;
        }
        let is_proven = !changes.is_empty();
        changes.push((ChangeKind::Replace, self.hash_one(new, from).await?));
        let attribute: AttributeDescription = "userPassword"
            .parse()
            .map_err(|_| Error::new(ErrorKind::Bug, "`userPassword` is not an attribute"))?;
        let change =
            |(kind, value)| Change { kind, attribute: attribute.clone(), values: vec![Bytes::from(value)] };
        let write = Write {
            op: WriteOp::Modify(Modify { dn, changes: changes.into_iter().map(change).collect() }),
            caller,
            controls: WriteControls::default(),
            secrets: Vec::new(),
            keep_operational: false,
        };
        let mut outcome = self.writer().write(write, deadline).await?;
        if is_proven && outcome.result.code == ResultCode::NO_SUCH_ATTRIBUTE {
            return Err(not_proven());
        }
        if outcome.result.code == ResultCode::SUCCESS && generated.is_some() {
            let mut writer = BerWriter::new();
            PasswordModifyResponse { generated }.encode(&mut writer);
            outcome.value = Some(writer.take());
        }
        Ok(outcome)
    }
}

/// Whether a password was wrong, or locked out.
fn is_wrong(failure: &Failure) -> bool {
    match failure {
        Failure::Refused(result) => result.code == ResultCode::INVALID_CREDENTIALS,
        Failure::Failed(error) => error.result_code() == Some(ResultCode::INVALID_CREDENTIALS),
    }
}

/// Whether a password can be one at all.
pub(crate) fn check_password(password: &[u8]) -> Result<(), Failure> {
    if password.is_empty() {
        return Err(Failure::refused(ResultCode::CONSTRAINT_VIOLATION, "an empty password is none"));
    }
    if password.len() > credentials::LONGEST {
        return Err(Failure::refused(
            ResultCode::CONSTRAINT_VIOLATION,
            format!("a password has at most {} octets", credentials::LONGEST),
        ));
    }
    Ok(())
}
