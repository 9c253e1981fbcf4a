//! The controls of a request (RFC 4511 §4.1.11): those known are read, a critical one that is not is refused.

use flext_ldap_proto::{
    control::{Assertion, Control, ControlValue, Controls, ManageDsaIt, PagedResults, PostRead, PreRead},
    filter::Filter,
    message::Limits,
    oid::Oid,
    result::ResultCode,
};

use crate::{tables::Failure, write::WriteControls};

/// The controls a search knows.
#[derive(Debug, Default)]
pub(crate) struct SearchControls {
    pub(crate) paged: Option<PagedResults>,
    pub(crate) assertion: Option<Filter>,
    pub(crate) manage_dsa_it: bool,
}

impl SearchControls {
    pub(crate) fn read(controls: &Controls) -> Result<Self, Failure> {
        check(controls, &[PagedResults::OID, Assertion::OID, ManageDsaIt::OID])?;
        Ok(Self {
            paged: get(controls)?,
            assertion: get::<Assertion>(controls)?.map(|Assertion(filter)| filter),
            manage_dsa_it: get::<ManageDsaIt>(controls)?.is_some(),
        })
    }
}

impl WriteControls {
    /// For an operation that takes `known`.
    pub(crate) fn read(controls: &Controls, known: &[Oid]) -> Result<Self, Failure> {
        check(controls, known)?;
        let knows = |oid: &Oid| known.contains(oid);
        Ok(Self {
            assertion: get::<Assertion>(controls)?.map(|Assertion(filter)| filter),
            pre_read: if knows(&PreRead::OID) { get(controls)? } else { None },
            post_read: if knows(&PostRead::OID) { get(controls)? } else { None },
            manage_dsa_it: get::<ManageDsaIt>(controls)?.is_some(),
        })
    }
}

/// Refuses critical controls that are not among `known`, and one that is given twice.
pub(crate) fn check(controls: &Controls, known: &[Oid]) -> Result<(), Failure> {
    let mut seen: Vec<&Control> = Vec::new();
    for control in controls.iter() {
        if control.critical && !known.contains(&control.oid) {
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
    Ok(())
}

fn get<C: ControlValue>(controls: &Controls) -> Result<Option<C>, Failure> {
    controls
        .get(&Limits::DEFAULT)
        .map_err(|error| Failure::refused(ResultCode::PROTOCOL_ERROR, format!("control {}: {error}", C::OID)))
}
