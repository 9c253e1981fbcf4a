//! Some areas of the suite, for subjects for which all of them would take too long.

/// As [`conformance!`](crate::conformance!), with the areas that are named: `conformance_of!(gssapi [search paging]: start())`.
#[macro_export]
macro_rules! conformance_of {
    ($subject:ident [$($area:ident)*]: $start:expr) => {
        mod $subject {
            use super::*;

            $(#[test]
            fn $area() {
                $crate::conformance::run(stringify!($area), || $start);
            })*
        }
    };
}

/// As [`conformance!`](crate::conformance!), with the areas that look at operations, their controls and their replies.
#[macro_export]
macro_rules! conformance_of_operations {
    ($subject:ident: $start:expr) => {
        $crate::conformance_of!(
            $subject [
                add compare control delete extended filter modify paging refinement rename root_dse search sorting
            ]: $start
        );
    };
}
