//! Cases from a random generator, for the oracles that read any octets as a case. The same in every run, so that a change is
//! judged by itself: looking for new ones is what `fuzz/run` is for.

use flext_ldap_oracles::{kerberos, sasl, search, session};
use proptest::{collection::vec, prelude::*, test_runner::RngSeed};

proptest! {
    #![proptest_config(ProptestConfig {
        max_shrink_iters: 300,
        rng_seed: RngSeed::Fixed(3),
        failure_persistence: None,
        ..ProptestConfig::with_cases(96)
    })]

    #[test]
    fn the_store_finds_what_a_list_finds(octets in vec(any::<u8>(), 0..1500)) {
        search::case(&octets);
    }

    #[test]
    fn no_peer_is_believed(kind in prop::sample::select(b"psScdx".to_vec()), octets in vec(any::<u8>(), 0..300)) {
        sasl::messages(&[&[kind], &octets[..]].concat());
    }

    #[test]
    fn no_realm_is_believed(kind in prop::sample::select(b"atgnckf".to_vec()), octets in vec(any::<u8>(), 0..300)) {
        kerberos::messages(&[&[kind], &octets[..]].concat());
    }

    #[test]
    fn a_session_is_answered_as_by_a_map(octets in vec(any::<u8>(), 0..600)) {
        session::case(&octets);
    }
}
