use proptest::prelude::*;

use super::super::{Schema, SchemaBuilder};
use super::*;
use crate::attribute::Attributes;

fn openldap(text: &str) -> SchemaBuilder {
    let mut builder = Schema::builder();
    builder.add_openldap(text);
    builder
}

/// Line, column, and what is wrong.
fn errors(builder: SchemaBuilder) -> Vec<(usize, usize, String)> {
    let errors = builder.build_lenient().1;
    errors.into_iter().map(|error| (error.line, error.column, error.kind.to_string())).collect()
}

const DIRECTORY_STRING: &str = "1.3.6.1.4.1.1466.115.121.1.15";

#[test]
fn openldap_files_with_macros_comments_and_folds() {
    let schema = openldap(
        "# a comment ' with a quotation mark
objectidentifier Harbour 1.3.6.1.4.1.55555
objectIdentifier HarbourAt Harbour:1
ObjectIdentifier text 1.3.6.1.4.1.1466.115.121.1.15

attributetype ( HarbourAt:1
\tNAME ( 'berth' 'Mooring')
# a comment in a definition
    DESC 'where it
       lies; the \\27quay\\27 \\5C'
  SINGLE-VALUE EQUALITY caseIgnoreMatch SYNTAX text{64} )
attributeTypes(HarbourAt:2 NAME 'pier'SUP berth)
objectClasses ( Harbour:2.1 NAME 'vessel' SUP thing STRUCTURAL MUST(berth$pier)MAY ( 'mooring' ) )
objectclass ( Harbour:2.2 NAME 'thing' ABSTRACT )
ditcontentrule ( Harbour:2.1 NAME 'x' NOT ( berth $ pier ) )
",
    )
    .build()
    .unwrap();
    assert_eq!(
        schema.attribute_type("MOORING").unwrap().to_string(),
        "( 1.3.6.1.4.1.55555.1.1 NAME ( 'berth' 'Mooring' ) DESC 'where it lies; the \\27quay\\27 \\5C' \
         EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15{64} SINGLE-VALUE )"
    );
    let berth = schema.attribute_type("1.3.6.1.4.1.55555.1.1").unwrap();
    assert_eq!(berth.description.as_deref(), Some("where it lies; the 'quay' \\"));
    assert_eq!(schema.attribute_type("pier").unwrap().syntax.description(), "Directory String");
    assert_eq!(
        schema.object_class("vessel").unwrap().to_string(),
        "( 1.3.6.1.4.1.55555.2.1 NAME 'vessel' SUP thing STRUCTURAL MUST ( berth $ pier ) MAY berth )"
    );
    assert_eq!(schema.object_class("thing").unwrap().kind, ClassKind::Abstract);
}

#[test]
fn ldif_of_subschema_entries_and_of_configuration() {
    let mut builder = Schema::builder();
    builder.add_ldif(
        "version: 1\r\n\r\ndn: cn={4}harbour,cn=schema,cn=config\r\nobjectClass: olcSchemaConfig\r\n\
         # a folded\r\n  comment: with a colon\r\n\
         olcAttributeTypes: {0}( HarbourAt:1 NAME 'be\r\n rth' SYNTAX 1.3.6.1.4.1.1466.115.121.1\r\n .15 )\r\n\
         olcObjectIdentifier: {0}HarbourAt 1.3.6.1.4.1.55555.1\r\n\
         olcObjectClasses:: KCAxLjIuMy40IE5BTUUgJ3Zlc3NlbCcgTVVTVCBiZXJ0aCAp\r\n",
    );
    builder.add_ldif(
        "dn: cn=schema\nobjectClass: subschema\nattributeTypes: ( 1.2.3.5 NAME 'pier' SUP berth X-ORIGIN 'user defined' )\n\
         matchingRules: ( 2.5.13.2 NAME 'caseIgnoreMatch' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )\n\
         cn: schema\n",
    );
    let schema = builder.build().unwrap();
    assert_eq!(&*schema.attribute_type("berth").unwrap().oid, "1.3.6.1.4.1.55555.1.1");
    assert_eq!(schema.object_class("vessel").unwrap().must, ["berth".into()]);
    assert_eq!(
        schema.attribute_type("pier").unwrap().extensions,
        [("X-ORIGIN".into(), vec!["user defined".into()])]
    );
}

#[test]
fn quirks_of_389_ds() {
    let mut attributes = Attributes::builder();
    attributes.push(
        "attributeTypes",
        [
            "( berth-oid NAME 'berth' DESC 'x' SYNTAX '1.3.6.1.4.1.1466.115.121.1.15' SINGLE-VALUE X-ORIGIN ( 'Harbour' 'user defined' ) )",
            "( 2.16.840.1.113730.3.1.9999 NAME ( 'pier' ) EQUALITY caseIgnoreMatch X-DS-USE 'internal' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 USAGE directoryOperation )",
        ],
    );
    attributes.push(
        "objectClasses",
        ["( vessel-oid NAME 'vessel' DESC '' SUP top AUXILIARY MAY ( berth ) X-ORIGIN ( 'a' 'b' ) )"],
    );
    let attributes = attributes.build();
    let mut builder = Schema::standard().to_builder();
    builder.add_subschema(attributes.as_ref());
    let schema = builder.build().unwrap();
    let berth = schema.attribute_type("BERTH-OID").unwrap();
    assert_eq!((berth.name(), berth.syntax.oid()), ("berth", DIRECTORY_STRING));
    assert_eq!(berth.extensions, [("X-ORIGIN".into(), vec!["Harbour".into(), "user defined".into()])]);
    assert!(schema.attribute_type("pier").unwrap().is_operational());
    assert_eq!(schema.object_class("vessel").unwrap().description.as_deref(), Some(""));
}

#[test]
fn quirks_of_active_directory() {
    let mut attributes = Attributes::builder();
    attributes.push(
        "attributeTypes",
        [
            "( 1.2.840.113556.1.4.8 NAME 'userAccountControl' SYNTAX '1.3.6.1.4.1.1466.115.121.1.27' SINGLE-VALUE )",
            "( 1.2.840.113556.1.4.146 NAME 'objectSid' SYNTAX '1.3.6.1.4.1.1466.115.121.1.40' SINGLE-VALUE NO-USER-MODIFICATION )",
            "( 1.2.840.113556.1.4.7777 NAME 'strange' SYNTAX '1.2.840.113556.1.4.99999' )",
        ],
    );
    attributes.push(
        "objectClasses",
        ["( 1.2.840.113556.1.5.9 NAME 'user' SUP person MUST (objectSid ) MAY (userAccountControl $ gone $ strange ) )"],
    );
    let mut builder = Schema::standard().to_builder();
    builder.add_subschema(attributes.build().as_ref());
    let (schema, errors) = builder.build_lenient();
    assert_eq!(
        errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["line 1, column 1: `user` refers to `gone`, which is not defined"]
    );
    let user = schema.object_class("user").unwrap();
    assert_eq!(
        (user.kind, user.may.clone()),
        (ClassKind::Structural, vec!["userAccountControl".into(), "strange".into()])
    );
    // No rule is named, so values are compared by their syntax.
    let control = schema.attribute_type("userAccountControl").unwrap();
    assert_eq!(control.equality, None);
    assert_eq!(schema.normalize(control, b"x").unwrap_err().syntax, "INTEGER");
    let strange = schema.attribute_type("strange").unwrap();
    assert_eq!((strange.syntax, strange.syntax_oid()), (Syntax::UNKNOWN, Some("1.2.840.113556.1.4.99999")));
    assert_eq!(schema.normalize(strange, b"\xff").unwrap(), &b"\xff"[..]);
}

#[test]
fn errors_say_where_and_what_was_expected_and_all_are_reported() {
    let builder = openldap(
        "attributetype ( 1.2.3 NAME 'a' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype 1.2.4 NAME 'b' )
attributetype ( NAME 'c' )
attributetype ( 1.2.5 NAME 'd'
  SYNTAKS 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.2.6 NAME 'e' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15{many} )
attributetype ( 1.2.7 NAME 'f' SUP ( a $ g ) )
attributetype ( 1.2.8 NAME 'h' SYNTAX 1.2 USAGE nobody )
attributetype ( Missing:1 NAME 'i' )
include /etc/other.schema
objectclass ( 1.2.9 NAME 'j' MUST a $ b )
attributetype ( 1.2.10 NAME 'k' )
objectclass ( 1.2.11 NAME 'l' SUP nothing MUST a MAY m )
attributetype ( 1.2.12 NAME 'a' SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.2.13 NAME 'n' EQUALITY noMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 1.2.14 NAME 'o",
    );
    let field = "expected a field such as NAME, SUP or SYNTAX, or `)`";
    let directive = "expected `attributetype`, `objectclass` or `objectidentifier`";
    let expected: &[(usize, usize, &str)] = &[
        (2, 15, "expected `(`"),
        (3, 17, "expected an object identifier"),
        (5, 3, field),
        (6, 39, "expected a length such as `{256}`"),
        (7, 44, "expected one name or object identifier"),
        (
            8,
            49,
            "expected `userApplications`, `directoryOperation`, `distributedOperation` or `dSAOperation`",
        ),
        (9, 17, "expected a macro that an `objectidentifier` line defines"),
        (10, 1, directive),
        (11, 37, field),
        (16, 29, "expected a closing quotation mark"),
        (14, 15, "`a` is defined twice, differently"),
        (12, 15, "expected SUP or SYNTAX"),
        (15, 15, "`n` refers to `noMatch`, which is not defined"),
        (13, 13, "`l` refers to `nothing`, which is not defined"),
        (13, 13, "`l` refers to `m`, which is not defined"),
    ];
    let expected: Vec<_> =
        expected.iter().map(|(line, column, text)| (*line, *column, (*text).to_owned())).collect();
    assert_eq!(errors(builder), expected);
}

#[test]
fn places_in_folded_ldif_are_places_in_the_file() {
    let mut builder = Schema::builder();
    builder.add_ldif("dn: cn=x\nolcAttributeTypes: {0}( 1.2.3 NA\n ME 'a'\n  SYNTAKS 1.2 )\n");
    let field = "expected a field such as NAME, SUP or SYNTAX, or `)`";
    assert_eq!(errors(builder), [(4, 3, field.into())]);
    let mut attributes = Attributes::builder();
    attributes.push(
        "attributeTypes",
        [&b"( 1.2 SYNTAX 1.2 )"[..], b"( 1.3 DESC '\xff' )", b"( 1.4 SYNTAX 1.2 ) x"],
    );
    let mut builder = Schema::builder();
    builder.add_subschema(attributes.build().as_ref());
    assert_eq!(
        errors(builder),
        [(2, 13, "expected UTF-8".into()), (3, 20, "expected nothing after the definition".into())]
    );
}

#[test]
fn definitions_that_inherit_from_themselves_are_refused() {
    let text = "attributetype ( 1.1 NAME 'a' SUP b )
attributetype ( 1.2 NAME 'b' SUP c )
attributetype ( 1.3 NAME 'c' SUP a )
attributetype ( 1.4 NAME 'd' SUP d )
attributetype ( 1.5 NAME 'e' SUP a )
objectclass ( 2.1 NAME 'f' SUP ( g $ h ) )
objectclass ( 2.2 NAME 'g' SUP f )
objectclass ( 2.3 NAME 'h' )
";
    let (schema, errors) = openldap(text).build_lenient();
    let cycles: Vec<_> = errors
        .iter()
        .filter(|error| matches!(error.kind, SchemaErrorKind::Cycle(_)))
        .map(|error| (error.line, error.kind.to_string()))
        .collect();
    assert_eq!(
        cycles,
        [
            (3, "`c` inherits from itself".to_owned()),
            (4, "`d` inherits from itself".to_owned()),
            (7, "`g` inherits from itself".to_owned())
        ]
    );
    assert_eq!(schema.attribute_type("c").unwrap().superior, None);
    let f = schema.object_class("f").unwrap();
    assert_eq!(schema.superclasses(f).map(ObjectClass::name).collect::<Vec<_>>(), ["f", "g", "h"]);
}

#[test]
fn chains_are_capped_and_long_ones_take_no_stack() {
    let chain = |length: usize| {
        let mut text = format!("attributetype ( 1.0 NAME 'a0' SYNTAX {DIRECTORY_STRING} )\n");
        for number in 1..=length {
            text.push_str(&format!("attributetype ( 1.{number} NAME 'a{number}' SUP a{} )\n", number - 1));
        }
        openldap(&text).build_lenient().1.len()
    };
    assert_eq!(chain(MAX_INHERITANCE), 0);
    assert!(chain(MAX_INHERITANCE + 1) > 0);
    let mut text = String::new();
    for number in 0..20_000 {
        text.push_str(&format!("attributetype ( 1.{number} NAME 'a{number}' SUP a{} )\n", number + 1));
    }
    let deep = std::thread::Builder::new()
        .stack_size(128 << 10)
        .spawn(move || openldap(&text).build_lenient().1.len());
    assert!(deep.unwrap().join().unwrap() > 0);
}

#[test]
fn a_definition_of_a_base_gives_way_and_an_equal_one_is_no_conflict() {
    let mut builder = Schema::standard().to_builder();
    builder.add_openldap(
        "attributetype ( 2.5.4.13 NAME 'description' EQUALITY caseExactMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
attributetype ( 2.5.4.13 NAME 'description' DESC 'again' EQUALITY caseExactMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
objectclass ( 1.3.6.1.1.1.2.2 NAME 'posixGroup' SUP top STRUCTURAL MUST ( cn $ gidNumber ) MAY memberUid )
",
    );
    let schema = builder.build().unwrap();
    assert_eq!(schema.attribute_type("description").unwrap().equality.unwrap().name(), "caseExactMatch");
    assert_eq!(schema.object_class("posixGroup").unwrap().kind, ClassKind::Structural);
    assert_eq!(schema.attribute_types().count(), Schema::standard().attribute_types().count());
    assert!(schema.object_class("person").is_some());
}

/// security: memory. What a server sends as its schema is kept in bounds, whatever it is made of.
#[test]
fn a_schema_of_too_many_parts_is_cut_and_says_so() {
    let first = |text: &str| {
        let (schema, errors) = openldap(text).build_lenient();
        let SchemaError { line, column, kind } = errors.first().cloned().unwrap();
        (schema.attribute_types().count(), errors.len(), format!("{line}:{column}: {kind}"))
    };
    let list = |items: usize| (0..items).map(|item| format!("'n{item}' ")).collect::<String>();
    let named = |items| {
        format!("attributetype ( 1.2 NAME ( {}) SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )\n", list(items))
    };
    assert_eq!(openldap(&named(10_000)).build().unwrap().attribute_types().count(), 1);
    let (count, errors, what) = first(&named(10_001));
    assert_eq!((count, errors), (0, 1));
    assert!(what.ends_with("expected a list of at most 10,000"), "{what}");

    let garbage = "?\n".repeat(5_000);
    assert_eq!(first(&garbage).1, 1_000);
    let missing = format!("objectclass ( 1.2 MAY ( {}) )\n", "x $ ".repeat(9_999));
    assert_eq!(first(&missing).1, 1_000);

    let many = missing.repeat(21);
    let (_, _, what) = first(&many);
    assert_eq!(what, "21:40023: expected at most 200,000 definitions, names and references in one schema");
}

/// security: work. A duplicate costs what it is long, not what the definition is long that was there before, and what is
/// inherited is not copied with all that stands around it.
#[test]
fn long_definitions_are_not_copied_for_each_that_meets_them() {
    let may = "description $ ".repeat(9_000);
    let description = "d".repeat(1 << 20);
    let mut text = format!(
        "objectclass ( 1.2 NAME 'long' MAY ( {may}) )\nattributetype ( 1.3 NAME 'wordy' DESC '{description}' SUP name )\n"
    );
    (0..5_000).for_each(|number| {
        text.push_str(&format!("objectclass ( 1.2 MAY a )\nattributetype ( 1.3.{number} SUP wordy )\n"));
    });
    let mut builder = Schema::standard().to_builder();
    builder.add_openldap(&text);
    let (schema, errors) = builder.build_lenient();
    assert_eq!(errors.len(), 1_000);
    assert_eq!(errors.first().unwrap().kind.to_string(), "`1.2` is defined twice, differently");
    assert_eq!(schema.attribute_type("1.3.4999").unwrap().equality.unwrap().name(), "caseIgnoreMatch");
}

#[test]
fn the_standard_schema_comes_back_from_its_subschema_entry() {
    let standard = Schema::standard();
    let mut builder = Schema::builder();
    builder.add_subschema(standard.to_subschema().as_ref());
    let schema = builder.build().unwrap();
    assert!(schema.attribute_types().eq(standard.attribute_types()));
    assert!(schema.object_classes().eq(standard.object_classes()));
    let subschema = standard.to_subschema();
    let count = |name: &str| subschema.as_ref().get(name).unwrap().values().count();
    assert_eq!((count("attributeTypes"), count("objectClasses")), (201, 60));
    assert_eq!(count("matchingRules"), super::super::MatchingRule::all().count());
    assert_eq!(count("ldapSyntaxes"), Syntax::all().count());
}

/// How many octets are looked at.
fn steps(text: &str) -> usize {
    let mut scanner = Scanner::of_file(text);
    let macros = Macros::new();
    loop {
        match scanner.directive("a directive") {
            Ok(None) => return scanner.steps,
            Ok(Some(_)) => {
                if attribute_type(&mut scanner, &macros).is_err() {
                    scanner.recover();
                }
            }
            Err(_) => scanner.recover(),
        }
    }
}

/// The class of CVE-2021-46823.
#[test]
fn quadratic_schema_parse_work_grows_with_the_size_of_the_input() {
    let names = |count: usize| format!("a ( 1.2 NAME ( {}) SYNTAX 1.2 )", "'name' ".repeat(count));
    let oids = |count: usize| format!("a ( 1.2 NAME 'x' X-Y ( {}", "a $ ".repeat(count));
    let spaces = |count: usize| format!("a ( 1.2 NAME 'x'{}SYNTAX 1.2 )", " ".repeat(count * 4));
    let quotes = |count: usize| "a ( 1.2 NAME '\n".repeat(count);
    let braces = |count: usize| "a ( 1.2 SYNTAX 1.2 {\n".repeat(count);
    let text = |count: usize| format!("a ( 1.2 DESC '{}' )", "\n \\27".repeat(count));
    let parentheses = |count: usize| "(".repeat(count * 4);
    let comments = |count: usize| "# x\n".repeat(count);
    let kinds: [&dyn Fn(usize) -> String; 8] =
        [&names, &oids, &spaces, &quotes, &braces, &text, &parentheses, &comments];
    for (kind, make) in kinds.iter().enumerate() {
        for count in [1_000, 200_000] {
            let input = make(count);
            let steps = steps(&input);
            assert!(steps <= 2 * input.len() + 64, "kind {kind}: {steps} steps for {} octets", input.len());
        }
    }
    // And to the end: a definition of more than 1 MB.
    let long = text(200_000).replacen('a', "attributetype", 1).replace(" )", " SYNTAX 1.2 )");
    let (schema, errors) = openldap(&long).build_lenient();
    let description = schema.attribute_type("1.2").unwrap().description.as_deref().unwrap();
    assert_eq!((description.len(), errors.len()), (400_000, 0));
}

proptest! {
    #[test]
    fn attribute_types_parse_back_as_printed(
        oid in "[0-2](\\.(0|[1-9][0-9]{0,4})){1,6}",
        names in proptest::collection::vec("[a-zA-Z][a-zA-Z0-9-]{0,10}", 0..4),
        description in proptest::option::of("[^\\n\\r\\x00]{0,20}"),
        flags in proptest::array::uniform4(any::<bool>()),
        length in proptest::option::of(any::<u32>()),
        usage in 0_usize..4,
        rules in proptest::array::uniform3(proptest::option::of(0..60_usize)),
        extensions in proptest::collection::vec(("X-[A-Z-]{1,8}", proptest::collection::vec("[^\\n\\r\\x00]{0,8}", 0..3)), 0..3),
    ) {
        let all: Vec<_> = super::super::MatchingRule::all().collect();
        let rule = |number: Option<usize>| number.and_then(|number| all.get(number)).copied();
        let usages = [
            AttributeUsage::UserApplications,
            AttributeUsage::DirectoryOperation,
            AttributeUsage::DistributedOperation,
            AttributeUsage::DsaOperation,
        ];
        let definition = AttributeType {
            oid: oid.into(),
            names: names.into_iter().map(Into::into).collect(),
            description: description.map(Into::into),
            obsolete: flags[0],
            equality: rule(rules[0]),
            ordering: rule(rules[1]),
            substrings: rule(rules[2]),
            syntax: Syntax::DIRECTORY_STRING,
            length,
            single_value: flags[1],
            collective: flags[2],
            no_user_modification: flags[3],
            usage: usages[usage],
            extensions: extensions
                .into_iter()
                .map(|(name, values)| (name.into(), values.into_iter().map(Into::into).collect()))
                .collect(),
            ..AttributeType::default()
        };
        let schema = openldap(&format!("attributetype {definition}")).build().unwrap();
        prop_assert_eq!(schema.attribute_types().collect::<Vec<_>>(), [&definition]);
    }

    #[test]
    fn what_was_kept_of_any_definitions_prints_and_parses_back(
        definitions in proptest::collection::vec(
            "(attributetype|objectclass) \\( 1\\.[0-9] NAME ('[a-e]'|\\( '[a-e]' '[a-e]' \\)) (SUP ([a-e]|\\( [a-e] \\$ [a-e] \\)) )?(SYNTAX (1\\.2|1\\.3\\.6\\.1\\.4\\.1\\.1466\\.115\\.121\\.1\\.15)(\\{[0-9]\\})? )?(DESC '[ab\\\\]{0,3}' )?((MUST|MAY) \\( [a-e] \\$ [a-e] \\) )?\\)",
            0..12,
        ),
    ) {
        let schema = openldap(&definitions.join("\n")).build_lenient().0;
        let mut again = Schema::builder();
        again.add_subschema(schema.to_subschema().as_ref());
        let again = again.build_lenient().0;
        prop_assert_eq!(again.attribute_types().collect::<Vec<_>>(), schema.attribute_types().collect::<Vec<_>>());
        prop_assert_eq!(again.object_classes().collect::<Vec<_>>(), schema.object_classes().collect::<Vec<_>>());
        for class in schema.object_classes() {
            prop_assert!(schema.superclasses(class).count() <= schema.object_classes().count());
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(attributetype|objectclass|objectidentifier|[ ()$'\"#{}\\\\:a-z0-9.\n-]|NAME|SUP|SYNTAX|MUST){0,60}") {
        let mut builder = openldap(&text);
        builder.add_ldif(&text);
        builder.add_ldif(&format!("attributeTypes: {text}"));
        let (schema, errors) = builder.build_lenient();
        prop_assert!(schema.attribute_types().count() <= text.len());
        let mut again = Schema::builder();
        again.add_subschema(schema.to_subschema().as_ref());
        let again = again.build_lenient().0;
        prop_assert!(again.attribute_types().eq(schema.attribute_types()));
        prop_assert!(again.object_classes().eq(schema.object_classes()));
        let lines = text.lines().count() + 1;
        prop_assert!(errors.iter().all(|error| error.line <= lines && error.column >= 1), "{:?}", errors);
    }
}
