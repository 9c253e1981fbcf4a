//! The definitions every directory starts with.

use std::sync::LazyLock;

use super::Schema;

/// The files, in the order in which they build upon each other.
const FILES: [&str; 6] = [
    include_str!("standard/operational.schema"),
    include_str!("standard/core.schema"),
    include_str!("standard/cosine.schema"),
    include_str!("standard/inetorgperson.schema"),
    include_str!("standard/rfc2307bis.schema"),
    include_str!("standard/ppolicy.schema"),
];

pub(super) fn schema() -> &'static Schema {
    static STANDARD: LazyLock<Schema> = LazyLock::new(|| {
        let mut builder = Schema::builder();
        for file in FILES {
            builder.add_openldap(file);
        }
        // That nothing is wrong with them is shown by a test.
        builder.build_lenient().0
    });
    &STANDARD
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_wrong_with_the_standard_definitions() {
        let mut builder = Schema::builder();
        for file in FILES {
            builder.add_openldap(file);
        }
        let built = builder.build().map(|schema| (schema.attribute_types.len(), schema.object_classes.len()));
        let count = |start: &str| {
            FILES.iter().flat_map(|file| file.lines()).filter(|line| line.starts_with(start)).count()
        };
        assert_eq!(built, Ok((count("attributetype"), count("objectclass"))));
        assert_eq!(built, Ok((201, 60)));
    }

    #[test]
    fn what_a_supertype_says_is_inherited() {
        let cn = schema().attribute_type("COMMONNAME").unwrap();
        assert_eq!(cn.name(), "cn");
        assert_eq!(cn.superior.as_deref(), Some("name"));
        assert_eq!(cn.equality.unwrap().name(), "caseIgnoreMatch");
        assert_eq!(cn.substrings.unwrap().name(), "caseIgnoreSubstringsMatch");
        assert_eq!(cn.syntax.description(), "Directory String");
        assert_eq!(cn.length, Some(32768));
        assert!(!cn.single_value);
    }
}
