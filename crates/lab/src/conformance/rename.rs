//! ModifyDN: new names, new places, whole subtrees (RFC 4511 §4.9).

use anyhow::Result;
use flext_ldap_directory::proto::{
    attribute::Selection,
    filter::Filter,
    message::{Scope, Search},
    result::ResultCode,
};

use super::{
    Freedom,
    bench::{Bench, person, wanted},
    checks,
    report::{Rows, one_of, same},
};

checks![
    a_new_name_becomes_a_value,
    the_old_value_stays_unless_told,
    another_spelling_is_a_rename_too,
    an_entry_moves,
    a_subtree_moves_whole,
    nothing_moves_below_itself,
    a_name_that_is_taken_is_not_replaced,
    missing_entries_and_places_are_refused,
    the_schema_holds_for_names_too,
    names_of_several_values_come_and_go,
    names_by_identifier_are_the_same_attribute,
    awkward_names_survive,
    who_it_is_stays,
];

async fn unit(bench: &Bench<'_>, relative: &str) -> Result<()> {
    let name = relative.split(['=', ',']).nth(1).unwrap_or_default();
    bench.add(relative, &format!("objectClass: organizationalUnit\nou: {name}")).await
}

async fn a_new_name_becomes_a_value(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "title: Head").await?;
    let rename = bench.rename("cn=ada", "cn=Ada Byrne", true, None)?;
    same("the code", bench.admin.code(rename).await?, ResultCode::SUCCESS)?;
    let mut rows = Rows::new();
    rows.same("under the old name", bench.exists("cn=ada").await?, false);
    rows.same("the entry", bench.read("cn=Ada Byrne").await?, wanted(&person("Ada Byrne", "title: Head")));
    rows.same("by the old value", bench.find("(cn=ada)").await?, vec![]);
    rows.same("by the new value", bench.find("(cn=ada byrne)").await?, vec!["Ada Byrne".to_owned()]);
    rows.finish()
}

async fn the_old_value_stays_unless_told(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "cn: Countess").await?;
    bench.admin.done(bench.rename("cn=ada", "cn=Byrne", false, None)?).await?;
    let mut rows = Rows::new();
    rows.same("kept", bench.read("cn=Byrne").await?, wanted(&person("ada", "cn: Countess\ncn: Byrne")));
    bench.admin.done(bench.rename("cn=Byrne", "cn=countess", true, None)?).await?;
    let names = bench.read_selected("cn=Countess", ["cn"]).await?.remove("cn").unwrap_or_default();
    rows.same("deleted", names.len(), 2);
    rows.same("by the deleted value", bench.find("(cn=Byrne)").await?, vec![]);
    rows.finish()
}

async fn another_spelling_is_a_rename_too(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "").await?;
    let mut rows = Rows::new();
    for (new, delete_old) in [("cn=ADA", true), ("cn=Ada", false), ("cn=ada", true)] {
        let code = bench.admin.code(bench.rename("cn=ada", new, delete_old, None)?).await?;
        rows.same(new, code, ResultCode::SUCCESS);
        let found = bench.admin.entries(bench.search("(cn=ada)")?).await?;
        let names: Vec<_> = found.iter().map(|entry| entry.dn_str().to_owned()).collect();
        rows.same(new, names, vec![format!("{new},{}", bench.home)]);
    }
    rows.finish()
}

async fn an_entry_moves(bench: &Bench<'_>) -> Result<()> {
    unit(bench, "ou=a").await?;
    unit(bench, "ou=b").await?;
    bench.add("cn=x,ou=a", &person("x", "title: mover")).await?;
    bench.admin.done(bench.rename("cn=x,ou=a", "cn=x", true, Some("OU=B"))?).await?;
    let mut rows = Rows::new();
    rows.same("moved", bench.read("cn=x,ou=b").await?, wanted(&person("x", "title: mover")));
    rows.same("the old place", bench.exists("cn=x,ou=a").await?, false);
    bench.admin.done(bench.rename("cn=x,ou=b", "cn=y", true, Some("ou=a"))?).await?;
    rows.same("moved and renamed", bench.read("cn=y,ou=a").await?, wanted(&person("y", "title: mover")));
    bench.admin.done(bench.rename("cn=y,ou=a", "cn=y", true, Some("ou=a"))?).await?;
    rows.same("moved to where it is", bench.exists("cn=y,ou=a").await?, true);
    rows.same("a", bench.read_selected("ou=a", ["hasSubordinates"]).await?, wanted("hasSubordinates: TRUE"));
    rows.same("b", bench.read_selected("ou=b", ["hasSubordinates"]).await?, wanted("hasSubordinates: FALSE"));
    rows.finish()
}

async fn a_subtree_moves_whole(bench: &Bench<'_>) -> Result<()> {
    unit(bench, "ou=from").await?;
    unit(bench, "ou=to").await?;
    for team in 0..4 {
        unit(bench, &format!("ou=t{team},ou=from")).await?;
        for number in 0..60 {
            let cn = format!("p{team}-{number:02}");
            bench.add(&format!("cn={cn},ou=t{team},ou=from"), &person(&cn, "title: mover")).await?;
        }
    }
    bench.admin.done(bench.rename("ou=from", "ou=moved", true, Some("ou=to"))?).await?;
    let below = |relative: &str| {
        let search = Search::new(bench.dn(relative)?, Scope::Subtree, Filter::any());
        anyhow::Ok(search.attributes(Selection::none()))
    };
    let entries = bench.admin.entries(below("ou=moved,ou=to")?).await?;
    let mut rows = Rows::new();
    rows.same("entries", entries.len(), 1 + 4 * 61);
    let end = format!("ou=moved,ou=to,{}", bench.home).to_lowercase();
    let strays: Vec<_> =
        entries.iter().filter(|entry| !entry.dn_str().to_lowercase().ends_with(&end)).collect();
    rows.same("strays", strays.len(), 0);
    rows.same("one of them", bench.exists("cn=p3-59,ou=t3,ou=moved,ou=to").await?, true);
    rows.same("its old name", bench.exists("cn=p3-59,ou=t3,ou=from").await?, false);
    rows.same("the old place", bench.admin.code(below("ou=from")?).await?, ResultCode::NO_SUCH_OBJECT);
    rows.same("by value", bench.find("(&(title=mover)(cn=p2-07))").await?, vec!["p2-07".to_owned()]);
    let entry_dn = bench.read_selected("cn=p2-07,ou=t2,ou=moved,ou=to", ["entryDN"]).await?;
    let entry_dn = entry_dn.get("entrydn").and_then(|values| values.first()).map(|dn| dn.to_lowercase());
    rows.same("its entryDN", entry_dn, Some(format!("cn=p2-07,ou=t2,{end}")));
    rows.finish()
}

async fn nothing_moves_below_itself(bench: &Bench<'_>) -> Result<()> {
    unit(bench, "ou=a").await?;
    unit(bench, "ou=b,ou=a").await?;
    let mut rows = Rows::new();
    for target in ["ou=a", "ou=b,ou=a", "OU=B,OU=A"] {
        let code = bench.admin.code(bench.rename("ou=a", "ou=a", true, Some(target))?).await?;
        // RFC 4511 §4.9 names no code for it.
        let refusals = [
            ResultCode::UNWILLING_TO_PERFORM,
            ResultCode::NO_SUCH_OBJECT,
            ResultCode::NAMING_VIOLATION,
            ResultCode::LOOP_DETECT,
            ResultCode::OTHER,
        ];
        rows.one_of(target, &code, &refusals);
    }
    rows.same("still there", bench.exists("ou=b,ou=a").await?, true);
    rows.finish()
}

async fn a_name_that_is_taken_is_not_replaced(bench: &Bench<'_>) -> Result<()> {
    unit(bench, "ou=a").await?;
    bench.add_person("ada", "title: ada").await?;
    bench.add_person("ben", "title: ben").await?;
    bench.add("cn=ada,ou=a", &person("ada", "title: other")).await?;
    let mut rows = Rows::new();
    let taken = bench.rename("cn=ada", "cn=BEN", true, None)?;
    rows.same("a sibling", bench.admin.code(taken).await?, ResultCode::ENTRY_ALREADY_EXISTS);
    let taken = bench.rename("cn=ada", "cn=ada", true, Some("ou=a"))?;
    rows.same("elsewhere", bench.admin.code(taken).await?, ResultCode::ENTRY_ALREADY_EXISTS);
    rows.same("all there", bench.find("(title=*)").await?, ["ada", "ada", "ben"].map(str::to_owned).to_vec());
    rows.finish()
}

async fn missing_entries_and_places_are_refused(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "").await?;
    let mut rows = Rows::new();
    let missing = bench.admin.outcome(bench.rename("cn=x,ou=nowhere", "cn=y", true, None)?).await?.result;
    rows.same("no entry", missing.code, ResultCode::NO_SUCH_OBJECT);
    if !bench.takes(Freedom::RenameTellsNoMatchedDn) {
        rows.same("matched DN", missing.matched_dn.to_lowercase(), bench.home.to_string().to_lowercase());
    }
    let nowhere = bench.rename("cn=ada", "cn=ada", true, Some("ou=nowhere"))?;
    rows.same("no place", bench.admin.code(nowhere).await?, ResultCode::NO_SUCH_OBJECT);
    rows.same("still there", bench.exists("cn=ada").await?, true);
    rows.finish()
}

async fn the_schema_holds_for_names_too(bench: &Bench<'_>) -> Result<()> {
    bench.add("cn=ada", "objectClass: top\nobjectClass: person\ncn: ada\nsn: Byrne").await?;
    let mut rows = Rows::new();
    let table: &[(&str, &str, bool, &[ResultCode])] = &[
        (
            "an unknown attribute",
            "colour=blue",
            false,
            &[
                ResultCode::UNDEFINED_ATTRIBUTE_TYPE,
                ResultCode::INVALID_DN_SYNTAX,
                ResultCode::NAMING_VIOLATION,
            ],
        ),
        (
            "what the class does not allow",
            "uid=ada",
            false,
            &[ResultCode::OBJECT_CLASS_VIOLATION, ResultCode::NAMING_VIOLATION],
        ),
        ("what the class needs is deleted", "description=x", true, &[ResultCode::OBJECT_CLASS_VIOLATION]),
        (
            "a value of the wrong syntax",
            "seeAlso=x",
            false,
            &[ResultCode::INVALID_ATTRIBUTE_SYNTAX, ResultCode::INVALID_DN_SYNTAX],
        ),
    ];
    for (row, new, delete_old, codes) in table {
        let code = bench.admin.code(bench.rename("cn=ada", new, *delete_old, None)?).await?;
        rows.one_of(row, &code, codes);
    }
    rows.same(
        "the entry",
        bench.read("cn=ada").await?,
        wanted("objectClass: top\nobjectClass: person\ncn: ada\nsn: Byrne"),
    );
    rows.finish()
}

async fn names_of_several_values_come_and_go(bench: &Bench<'_>) -> Result<()> {
    bench.add("cn=ada", "objectClass: top\nobjectClass: person\ncn: ada\nsn: Byrne").await?;
    let mut rows = Rows::new();
    bench.admin.done(bench.rename("cn=ada", "cn=ada+description=one", true, None)?).await?;
    let both = wanted("objectClass: top\nobjectClass: person\ncn: ada\nsn: Byrne\ndescription: one");
    rows.same("both", bench.read("description=ONE+cn=Ada").await?, both);
    bench.admin.done(bench.rename("description=one+cn=ada", "cn=ada", true, None)?).await?;
    let one = wanted("objectClass: top\nobjectClass: person\ncn: ada\nsn: Byrne");
    rows.same("one", bench.read("cn=ada").await?, one);
    rows.finish()
}

async fn names_by_identifier_are_the_same_attribute(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "").await?;
    let mut rows = Rows::new();
    bench.admin.done(bench.rename("cn=ada", "2.5.4.3=Ben", true, None)?).await?;
    rows.same("by identifier", bench.read_selected("cn=ben", ["cn"]).await?, wanted("cn: Ben"));
    bench.admin.done(bench.rename("2.5.4.3=ben", "commonName=Ben", true, None)?).await?;
    rows.same("by its long name", bench.read_selected("cn=ben", ["cn"]).await?, wanted("cn: Ben"));
    rows.same("one entry", bench.find("(objectClass=person)").await?, vec!["Ben".to_owned()]);
    rows.finish()
}

async fn awkward_names_survive(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "").await?;
    let mut old = "cn=ada".to_owned();
    let mut rows = Rows::new();
    for (new, value) in [
        (r"cn=Byrne\, Ada", "Byrne, Ada"),
        (r"cn=\23hash", "#hash"),
        (r"cn=a\+b\=c", "a+b=c"),
        (r#"cn=\"quoted\" \\ \<x\>\;"#, r#""quoted" \ <x>;"#),
        (r"cn=\20two\20", " two "),
        ("cn=Zoë 港", "Zoë 港"),
    ] {
        bench.admin.done(bench.rename(&old, new, true, None)?).await?;
        rows.same(new, bench.find("(objectClass=person)").await?, vec![value.to_owned()]);
        let seen = bench.read_selected(new, ["cn"]).await?.remove("cn").unwrap_or_default();
        rows.same(new, seen, vec![value.to_owned()]);
        old = new.to_owned();
    }
    rows.finish()
}

async fn who_it_is_stays(bench: &Bench<'_>) -> Result<()> {
    unit(bench, "ou=a").await?;
    bench.add_person("ada", "userPassword: tide gauge").await?;
    let kept = ["entryUUID", "createTimestamp", "creatorsName"];
    let before = bench.read_selected("cn=ada", kept).await?;
    bench.admin.done(bench.rename("cn=ada", "cn=Byrne", true, Some("ou=a"))?).await?;
    same("what stays", bench.read_selected("cn=Byrne,ou=a", kept).await?, before)?;
    bench.as_user("cn=Byrne,ou=a", "tide gauge").await?;
    let mut gone = bench.anonymous().await?;
    let step = flext_ldap_directory::BindStep::simple(bench.dn("cn=ada")?.as_str(), "tide gauge".into());
    one_of("the old name", &gone.bind_code(step).await?, &[ResultCode::INVALID_CREDENTIALS])
}
