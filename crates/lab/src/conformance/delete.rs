//! Delete: leaves only (RFC 4511 §4.8).

use anyhow::Result;
use flext_ldap_directory::proto::{message::Delete, result::ResultCode};

use super::{
    bench::{Bench, person},
    checks,
    report::{Rows, same},
};

checks![
    a_leaf_is_gone,
    what_has_children_stays,
    a_missing_entry_is_named_by_how_far_the_name_matched,
    the_same_name_can_be_used_again,
    a_deleted_value_is_found_no_more,
];

async fn a_leaf_is_gone(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "").await?;
    bench.add_person("ben", "").await?;
    same("the code", bench.admin.code(bench.delete("CN= Ada ")?).await?, ResultCode::SUCCESS)?;
    same("ada", bench.exists("cn=ada").await?, false)?;
    same("the rest", bench.find("(objectClass=person)").await?, vec!["ben".to_owned()])
}

async fn what_has_children_stays(bench: &Bench<'_>) -> Result<()> {
    bench.add("ou=a", "objectClass: organizationalUnit\nou: a").await?;
    bench.add("cn=x,ou=a", &person("x", "")).await?;
    let mut rows = Rows::new();
    rows.same(
        "a parent",
        bench.admin.code(bench.delete("ou=a")?).await?,
        ResultCode::NOT_ALLOWED_ON_NON_LEAF,
    );
    let suffix = Delete { dn: bench.subject.suffix().clone() };
    rows.same("the suffix", bench.admin.code(suffix).await?, ResultCode::NOT_ALLOWED_ON_NON_LEAF);
    rows.same("there", bench.exists("cn=x,ou=a").await?, true);
    rows.same("the child", bench.admin.code(bench.delete("cn=x,ou=a")?).await?, ResultCode::SUCCESS);
    rows.same("then the parent", bench.admin.code(bench.delete("ou=a")?).await?, ResultCode::SUCCESS);
    rows.finish()
}

async fn a_missing_entry_is_named_by_how_far_the_name_matched(bench: &Bench<'_>) -> Result<()> {
    let mut rows = Rows::new();
    for relative in ["cn=x", "cn=x,ou=nowhere"] {
        let result = bench.admin.outcome(bench.delete(relative)?).await?.result;
        rows.same(relative, result.code, ResultCode::NO_SUCH_OBJECT);
        rows.same(relative, result.matched_dn.to_lowercase(), bench.home.to_string().to_lowercase());
    }
    rows.finish()
}

async fn the_same_name_can_be_used_again(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "title: first").await?;
    let first = bench.read_selected("cn=ada", ["entryUUID"]).await?;
    bench.admin.done(bench.delete("cn=ada")?).await?;
    bench.add_person("ada", "").await?;
    let mut rows = Rows::new();
    rows.same("the old title", bench.find("(title=first)").await?, vec![]);
    let second = bench.read_selected("cn=ada", ["entryUUID"]).await?;
    rows.same("another entryUUID", second.is_empty() || second == first, false);
    rows.finish()
}

async fn a_deleted_value_is_found_no_more(bench: &Bench<'_>) -> Result<()> {
    for number in 0..20 {
        bench.add_person(&format!("p{number:02}"), &format!("title: t{}", number % 2)).await?;
    }
    for number in (0..20).step_by(4) {
        bench.admin.done(bench.delete(&format!("cn=p{number:02}"))?).await?;
    }
    let even: Vec<_> = (0..20).filter(|n| n % 2 == 0 && n % 4 != 0).map(|n| format!("p{n:02}")).collect();
    same("what is left", bench.find("(title=t0)").await?, even)
}
