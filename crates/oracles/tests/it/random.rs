//! Cases from a random generator, for the oracles that read any octets as a case.

use flext_ldap_oracles::{search, session};
use proptest::{collection::vec, prelude::*};

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 300, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn the_store_finds_what_a_list_finds(octets in vec(any::<u8>(), 0..1500)) {
        search::case(&octets);
    }

    #[test]
    fn a_session_is_answered_as_by_a_map(octets in vec(any::<u8>(), 0..600)) {
        session::case(&octets);
    }
}
