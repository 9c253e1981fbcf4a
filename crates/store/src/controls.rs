//! The controls of a request (RFC 4511 §4.1.11): which are known, for which operations, and what they say.
//!
//! [`SUPPORTED`] is the one list: requests are held to it, and the root DSE shows it.

use flext_ldap_directory::OpKind;
use flext_ldap_proto::{
    control::{
        Assertion, Control, ControlValue, Controls, DontUseCopy, ManageDsaIt, MatchedValues, PagedResults,
        PasswordPolicyRequest, PermissiveModify, PersistentSearch, PostRead, PreRead, ProxiedAuthorization,
        RelaxRules, ServerSideSort, Subentries, TreeDelete, VirtualListView,
    },
    filter::Filter,
    message::Limits,
    oid::Oid,
    result::ResultCode,
};

use crate::{
    context::{Caller, Context},
    tables::Failure,
    write::WriteControls,
};

/// What controls go with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum On {
    Bind,
    Operation(OpKind),
}

const SEARCH: On = On::Operation(OpKind::Search);
const COMPARE: On = On::Operation(OpKind::Compare);
const ADD: On = On::Operation(OpKind::Add);
const MODIFY: On = On::Operation(OpKind::Modify);
const DELETE: On = On::Operation(OpKind::Delete);
const RENAME: On = On::Operation(OpKind::Rename);
const EXTENDED: On = On::Operation(OpKind::Extended);

/// Every control there is here, with what it is appropriate for.
pub(crate) const SUPPORTED: &[(Oid, &[On])] = &[
    (ManageDsaIt::OID, &[SEARCH, COMPARE, ADD, MODIFY, DELETE, RENAME]),
    (PagedResults::OID, &[SEARCH]),
    (Assertion::OID, &[SEARCH, COMPARE, ADD, MODIFY, DELETE, RENAME]),
    (PreRead::OID, &[MODIFY, DELETE, RENAME]),
    (PostRead::OID, &[ADD, MODIFY, RENAME]),
    (ServerSideSort::OID, &[SEARCH]),
    (VirtualListView::OID, &[SEARCH]),
    (MatchedValues::OID, &[SEARCH]),
    (ProxiedAuthorization::OID, &[SEARCH, COMPARE, ADD, MODIFY, DELETE, RENAME, EXTENDED]),
    (Subentries::OID, &[SEARCH]),
    (RelaxRules::OID, &[ADD, MODIFY]),
    (DontUseCopy::OID, &[SEARCH, COMPARE]),
    (PermissiveModify::OID, &[MODIFY]),
    (PersistentSearch::OID, &[SEARCH]),
    (TreeDelete::OID, &[DELETE]),
    (PasswordPolicyRequest::OID, &[On::Bind, ADD, MODIFY, EXTENDED]),
];

/// The controls that count: those known and appropriate. Another one is refused if it is critical and passed over if
/// not; one that is given twice is refused.
pub(crate) fn admitted(controls: Controls, on: On) -> Result<Controls, Failure> {
    retained(controls, |oid| SUPPORTED.iter().any(|(known, ons)| known == oid && ons.contains(&on)))
}

fn retained(controls: Controls, fits: impl Fn(&Oid) -> bool) -> Result<Controls, Failure> {
    let mut seen: Vec<&Control> = Vec::new();
    for control in controls.iter() {
        if control.critical && !fits(&control.oid) {
            return Err(Failure::refused(
                ResultCode::UNAVAILABLE_CRITICAL_EXTENSION,
                format!("control {} is not known for this operation", control.oid),
            ));
        }
        if seen.iter().any(|one| one.oid == control.oid) {
            return Err(Failure::refused(
                ResultCode::PROTOCOL_ERROR,
                format!("control {} is given twice", control.oid),
            ));
        }
        seen.push(control);
    }
    if controls.iter().all(|control| fits(&control.oid)) {
        return Ok(controls);
    }
    let mut left = Controls::none();
    controls.iter().filter(|control| fits(&control.oid)).for_each(|control| left.push_raw(control.clone()));
    Ok(left)
}

/// The controls a search knows.
#[derive(Debug, Default)]
pub(crate) struct SearchControls {
    pub(crate) paged: Option<PagedResults>,
    pub(crate) assertion: Option<Filter>,
    pub(crate) manage_dsa_it: bool,
    pub(crate) sort: Option<ServerSideSort>,
    /// Whether a search that cannot be sorted fails.
    pub(crate) sort_is_critical: bool,
    pub(crate) view: Option<VirtualListView>,
    pub(crate) matched_values: Option<MatchedValues>,
    pub(crate) subentries: Option<Subentries>,
    pub(crate) persistent: Option<PersistentSearch>,
}

impl SearchControls {
    /// Of a request whose controls were admitted. Combinations that mean nothing are refused, unless one of the two may
    /// be passed over (RFC 4511 §4.1.11).
    pub(crate) fn read(controls: &Controls) -> Result<Self, Failure> {
        let mut read = Self {
            paged: get(controls)?,
            assertion: get::<Assertion>(controls)?.map(|Assertion(filter)| filter),
            manage_dsa_it: get::<ManageDsaIt>(controls)?.is_some(),
            sort: get(controls)?,
            sort_is_critical: is_critical::<ServerSideSort>(controls),
            view: get(controls)?,
            matched_values: get(controls)?,
            subentries: get(controls)?,
            persistent: get(controls)?,
        };
        if read.persistent.is_some() {
            // A search without an end has no last page, and no order.
            without::<PersistentSearch, _>(controls, &mut read.paged)?;
            without::<PersistentSearch, _>(controls, &mut read.sort)?;
            without::<PersistentSearch, _>(controls, &mut read.view)?;
        }
        if read.view.is_some() {
            if is_critical::<PagedResults>(controls) && !is_critical::<VirtualListView>(controls) {
                read.view = None;
            } else {
                without::<VirtualListView, _>(controls, &mut read.paged)?;
            }
        }
        Ok(read)
    }
}

/// Passes over a control that does not go together with `C`, or refuses it if it is critical.
fn without<C: ControlValue, O: ControlValue>(
    controls: &Controls,
    other: &mut Option<O>,
) -> Result<(), Failure> {
    if other.is_some() && is_critical::<O>(controls) {
        return Err(Failure::refused(
            ResultCode::PROTOCOL_ERROR,
            format!("control {} and control {} do not go together", C::OID, O::OID),
        ));
    }
    *other = None;
    Ok(())
}

impl WriteControls {
    /// Of a record that may have no others than `known`.
    pub(crate) fn read(controls: &Controls, known: &[Oid]) -> Result<Self, Failure> {
        Self::of(&retained(controls.clone(), |oid| known.contains(oid))?)
    }

    /// Of a request whose controls were admitted.
    pub(crate) fn of(controls: &Controls) -> Result<Self, Failure> {
        Ok(Self {
            assertion: get::<Assertion>(controls)?.map(|Assertion(filter)| filter),
            pre_read: get(controls)?,
            post_read: get(controls)?,
            manage_dsa_it: get::<ManageDsaIt>(controls)?.is_some(),
            permissive: get::<PermissiveModify>(controls)?.is_some(),
            tree_delete: get::<TreeDelete>(controls)?.is_some(),
            relax: get::<RelaxRules>(controls)?.is_some(),
        })
    }
}

/// Refuses what has more parts than a filter of this caller's may have, whatever it came in.
pub(crate) fn check_parts(context: &Context, caller: &Caller, parts: usize) -> Result<(), Failure> {
    let most = context.limits.filter;
    if parts <= most || context.is_unrestricted(caller).1 {
        return Ok(());
    }
    Err(Failure::refused(
        ResultCode::ADMIN_LIMIT_EXCEEDED,
        format!("the filter has more than {most} parts; ask in several requests"),
    ))
}

/// As [`check_parts`], of an assertion (RFC 4528).
pub(crate) fn check_assertion(
    context: &Context,
    caller: &Caller,
    assertion: Option<&Filter>,
) -> Result<(), Failure> {
    assertion.map_or(Ok(()), |filter| check_parts(context, caller, filter.nodes().len()))
}

fn is_critical<C: ControlValue>(controls: &Controls) -> bool {
    controls.iter().any(|control| control.oid == C::OID && control.critical)
}

fn get<C: ControlValue>(controls: &Controls) -> Result<Option<C>, Failure> {
    controls
        .get(&Limits::DEFAULT)
        .map_err(|error| Failure::refused(ResultCode::PROTOCOL_ERROR, format!("control {}: {error}", C::OID)))
}
