//! Descriptors of this process: as many as its connections may take, and what the directory needs besides.
//!
//! One connection too many is told so. Without a descriptor it could not even be accepted, and would wait without a word.

use flext_ldap_server::ServerLimits;
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// Besides connections: the store, logs, listeners, what a backup or a reload opens.
const OTHERS: rlim_t = 64;

/// Raises the limit of this process as far as its connections need, `each` of them so many, and the system allows, and has
/// them fit in it. `key` is where their number was configured.
pub(crate) fn provide(limits: &mut ServerLimits, key: &str, each: rlim_t) {
    // Where nothing is known nothing is changed.
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    let wanted = rlim_t::try_from(limits.connections)
        .unwrap_or(rlim_t::MAX)
        .saturating_mul(each)
        .saturating_add(OTHERS);
    let mut allowed = soft;
    if soft < wanted {
        let raised = wanted.min(hard);
        if raised > soft && setrlimit(Resource::RLIMIT_NOFILE, raised, hard).is_ok() {
            allowed = raised;
        }
    }
    if allowed < wanted {
        let fitting =
            usize::try_from(allowed.saturating_sub(OTHERS) / each.max(1)).unwrap_or(usize::MAX).max(1);
        crate::say(format_args!(
            "warning: `{key}` is {} and this process may have {allowed} descriptors, so it takes {fitting} \
             connections; raise the limit (`ulimit -Hn`, LimitNOFILE= of systemd)",
            limits.connections
        ));
        limits.connections = fitting;
    }
}
