//! What the server is, what it offers, what its clock says, and where in it to begin.

use std::time::Duration;

use flext_ldap_client::Capabilities;
use flext_ldap_directory::{
    DirectoryExt as _, Error, Request,
    proto::{
        dn::Dn,
        filter::Filter,
        message::{Scope, Search},
        schema::GeneralizedTime,
    },
};

use super::{Doctor, Finding, Target, View, What, reach::about, some, tls::now, told};
use crate::config::Server;

/// What Kerberos lets clocks differ by (RFC 4120 §3.2.3: five minutes, as all have it).
const KERBEROS: u64 = 5 * 60;
/// What nobody minds.
const LITTLE: u64 = 30;

/// That the server does not say what it is.
pub(super) fn hidden(way: &Server, error: &Error) -> Finding {
    let cause = "it does not say what it is and what it offers: the root DSE is hidden";
    let mend = "let everybody read it (RFC 4512 §5.1): `access to dn.base=\"\" by * read`";
    Finding::warning(What::RootDseHidden, about(way), cause).evidence(told(error)).mend(mend)
}

pub(super) fn kind(way: &Server, capabilities: &Capabilities, findings: &mut Vec<Finding>) {
    let mut offers = Vec::new();
    if capabilities.paged {
        let most = capabilities.max_page_size.map(|most| format!(" of {most} entries at most"));
        offers.push(format!("pages{}", most.unwrap_or_default()));
    }
    let table = [
        (capabilities.sort, "sorting"),
        (capabilities.sync, "synchronisation"),
        (capabilities.dir_sync, "DirSync"),
        (capabilities.persistent_search, "persistent searches"),
        (capabilities.proxied_authorization, "proxied authorization"),
        (capabilities.password_modify, "password modify"),
        (capabilities.who_am_i, "who am I"),
    ];
    offers.extend(table.iter().filter(|(is_there, _)| *is_there).map(|(_, name)| (*name).to_owned()));
    let offers = if offers.is_empty() { "nothing beyond LDAP itself".to_owned() } else { offers.join(", ") };
    let name = capabilities.kind.name();
    let name = match &capabilities.vendor {
        Some(vendor) if vendor.contains(name) => vendor.clone(),
        Some(vendor) => format!("{name} ({vendor})"),
        None => name.to_owned(),
    };
    let cause = format!("{name}; it offers {offers}");
    findings.push(Finding::good(What::Server, about(way), cause));
    let sasl = match capabilities.sasl_mechanisms.is_empty() {
        true => String::new(),
        false => format!(", SASL {}", some(&capabilities.sasl_mechanisms)),
    };
    let cause = format!("one signs in by name and password{sasl}");
    findings.push(Finding::good(What::Mechanisms, about(way), cause));
}

/// How far the clocks are apart, where the server tells the time (Active Directory and Samba do).
pub(super) async fn clock(view: &View<'_>, way: &Server, findings: &mut Vec<Finding>) {
    let search = Search::new(Dn::root(), Scope::Base, Filter::any()).attributes(["currentTime"]);
    let read =
        view.connection.search_optional(Request::new(search, view.actor.clone()).until(view.by())).await;
    let said = match &read {
        Ok(Some(root)) => {
            root.as_ref().text("currentTime").and_then(|time| time.parse::<GeneralizedTime>().ok())
        }
        _ => None,
    };
    let Some(said) = said else {
        let cause = "the server does not tell its time, so that how far the clocks are apart is not known";
        findings.push(Finding::note(What::Clock, about(way), cause));
        return;
    };
    let here = now();
    let apart = here.abs_diff(said.unix_seconds);
    if apart <= LITTLE {
        let cause = format!("its clock and that of this machine are {apart} s apart, or less");
        findings.push(Finding::good(What::Clock, about(way), cause));
        return;
    }
    let ahead = if here > said.unix_seconds { "ahead of" } else { "behind" };
    let cause =
        format!("the clock of this machine is {} {ahead} the server's", span(Duration::from_secs(apart)));
    let here = GeneralizedTime { unix_seconds: here, nanoseconds: 0 };
    let kerberos = if apart > KERBEROS { "Kerberos refuses tickets from 5 minutes on: " } else { "" };
    findings.push(
        Finding::warning(What::Clock, about(way), cause)
            .evidence(format!("here it is {}, there {}", here.to_rfc3339(), said.to_rfc3339()))
            .mend(format!(
                "{kerberos}set the one that is wrong (`timedatectl set-ntp true`, `chronyc makestep`)"
            )),
    );
}

/// Where searches are to start from.
pub(super) fn base(
    doctor: &Doctor,
    way: &Server,
    capabilities: &Capabilities,
    findings: &mut Vec<Finding>,
) -> Option<Dn> {
    let contexts = some(capabilities.naming_contexts.iter().map(|dn| format!("`{dn}`")));
    if let Some(base) = &doctor.base {
        findings.push(Finding::good(What::Base, about(way), format!("`{base}` is looked at, as was said")));
        return Some(base.clone());
    }
    let of_domain = match &doctor.target {
        Target::Domain(domain) => {
            let wanted = domain.split('.').map(|label| format!("dc={label}")).collect::<Vec<_>>().join(",");
            capabilities.naming_contexts.iter().find(|dn| dn.as_str().eq_ignore_ascii_case(&wanted))
        }
        Target::Server(_) | Target::Configured => None,
    };
    if let Some(base) = of_domain.or(capabilities.default_naming_context.as_ref()) {
        let cause = format!("searches start from `{base}`, of the naming contexts {contexts}");
        findings.push(Finding::good(What::Base, about(way), cause));
        return Some(base.clone());
    }
    let mend = "say which holds the people: -b BASE, `directory_structure.base_dn`";
    let Some(first) = capabilities.naming_contexts.first() else {
        let cause = "it names no naming context";
        findings.push(Finding::warning(What::Base, about(way), cause).mend(mend));
        return None;
    };
    let cause = format!("it has several naming contexts, {contexts}, and `{first}` is looked at");
    findings.push(Finding::warning(What::Base, about(way), cause).mend(mend));
    Some(first.clone())
}

/// A time as people say it.
pub(super) fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}
