//! Controls that change what an operation sees or does: matched values (RFC 3876), subentries (RFC 3672), proxied
//! authorization (RFC 4370), permissive modify, don't use copy (RFC 6171).

use anyhow::Result;
use flext_ldap_directory::{
    DirectoryExt as _,
    proto::{
        attribute::Selection,
        control::{
            DontUseCopy, MatchedValues, PermissiveModify, ProxiedAuthorization, RelaxRules, Subentries,
        },
        extended::{ExtendedOperation as _, WhoAmI},
        filter::Filter,
        message::{
            ChangeKind::{Add, Delete, Replace},
            Scope, Search,
        },
        result::ResultCode,
    },
};

use super::{
    Freedom,
    bench::{Bench, names},
    checks,
    report::Rows,
};

checks![
    values_that_match_are_returned,
    subentries_are_seen_when_asked_for,
    the_administrator_acts_for_others,
    others_act_for_nobody,
    what_is_as_wanted_is_no_error,
    the_original_answers,
    rules_are_relaxed_for_the_administrator,
];

async fn values_that_match_are_returned(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "mail: ada@quay.example\nmail: a@harbour.example\ntitle: Pilot").await?;
    let mut rows = Rows::new();
    for (items, mail) in [
        ("(mail=*quay.example)", vec!["ada@quay.example"]),
        ("((mail=a@*)(title=x))", vec!["a@harbour.example"]),
        ("(mail=*nowhere)", vec![]),
        ("(mail=*)", vec!["a@harbour.example", "ada@quay.example"]),
    ] {
        let Some(control) = MatchedValues::parse(items) else { anyhow::bail!("{items}") };
        let search = Search::new(bench.dn("cn=ada")?, Scope::Base, Filter::any())
            .attributes(Selection::from(["mail"]));
        let entry = bench.admin.session.search_one(bench.admin.request(search).critical(&control)).await?;
        let mut values: Vec<_> = entry
            .attributes()
            .get("mail")
            .map(|one| one.values().map(|value| String::from_utf8_lossy(value).into_owned()).collect())
            .unwrap_or_default();
        values.sort();
        rows.same(items, values, mail.into_iter().map(str::to_owned).collect());
    }
    rows.finish()
}

async fn subentries_are_seen_when_asked_for(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "").await?;
    let subentry = "objectClass: top\nobjectClass: subentry\nobjectClass: extensibleObject\ncn: limits\n\
                    subtreeSpecification: {}";
    bench.add("cn=limits", subentry).await?;
    let mut rows = Rows::new();
    rows.same("by default", bench.find("(cn=*)").await?, vec!["ada".to_owned()]);
    for (visible, want) in [(true, "limits"), (false, "ada")] {
        let request = bench.admin.request(bench.search("(cn=*)")?).critical(&Subentries { visible });
        let found = bench.admin.session.search_all(request).await?;
        rows.same(format!("visible: {visible}"), names(&found)?, vec![want.to_owned()]);
    }
    rows.same("a base", bench.exists("cn=limits").await?, true);
    rows.finish()
}

async fn the_administrator_acts_for_others(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "").await?;
    let ada = bench.dn("cn=ada")?;
    let mut rows = Rows::new();
    for (authorization, want) in [(format!("dn:{ada}"), format!("dn:{ada}")), (String::new(), String::new())]
    {
        let control = ProxiedAuthorization(authorization.clone());
        let request = bench.admin.request(WhoAmI.request()).critical(&control);
        let who = bench.admin.session.extended::<WhoAmI>(request).await?;
        rows.same(authorization, who, want);
    }
    let control = ProxiedAuthorization(format!("dn:{ada}"));
    let modify = bench.modify("", &[(Replace, "description", &["x"])])?;
    let code = bench.admin.outcome_with(modify, &control).await?.result.code;
    rows.same("with their rights", code, ResultCode::INSUFFICIENT_ACCESS_RIGHTS);
    rows.finish()
}

async fn others_act_for_nobody(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "userPassword: spring tide").await?;
    bench.add_person("ben", "").await?;
    let ada = bench.as_user("cn=ada", "spring tide").await?;
    let control = ProxiedAuthorization(format!("dn:{}", bench.dn("cn=ben")?));
    let code = ada.outcome_with(bench.search("(cn=*)")?, &control).await?.result.code;
    let mut rows = Rows::new();
    rows.same("denied", code, ResultCode::AUTHORIZATION_DENIED);
    rows.finish()
}

async fn what_is_as_wanted_is_no_error(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "description: one").await?;
    let mut rows = Rows::new();
    for (kind, attribute, value) in
        [(Add, "description", "one"), (Delete, "description", "two"), (Delete, "title", "none")]
    {
        let modify = || bench.modify("cn=ada", &[(kind, attribute, &[value])]);
        let row = format!("{kind:?} {attribute} {value}");
        let code = bench.admin.code(modify()?).await?;
        rows.same(format!("without, {row}"), code == ResultCode::SUCCESS, false);
        if attribute == "description" && kind == Delete && bench.takes(Freedom::PermissiveModifyMissesValues)
        {
            continue;
        }
        let code = bench.admin.outcome_with(modify()?, &PermissiveModify).await?.result.code;
        rows.same(row, code, ResultCode::SUCCESS);
    }
    rows.same(
        "left",
        bench.read_selected("cn=ada", ["description"]).await?.get("description").cloned(),
        Some(vec!["one".to_owned()]),
    );
    rows.finish()
}

async fn the_original_answers(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "title: Pilot").await?;
    let mut rows = Rows::new();
    let search = bench.search("(cn=ada)")?;
    rows.same(
        "search",
        bench.admin.outcome_with(search, &DontUseCopy).await?.result.code,
        ResultCode::SUCCESS,
    );
    let compare = bench.compare("cn=ada", "title", "Pilot")?;
    rows.same(
        "compare",
        bench.admin.outcome_with(compare, &DontUseCopy).await?.result.code,
        ResultCode::COMPARE_TRUE,
    );
    rows.finish()
}

async fn rules_are_relaxed_for_the_administrator(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("ada", "").await?;
    let mut rows = Rows::new();
    let modify = || bench.modify("cn=ada", &[(Replace, "createTimestamp", &["20010203040506Z"])]);
    rows.same("without", bench.admin.code(modify()?).await?, ResultCode::CONSTRAINT_VIOLATION);
    let code = bench.admin.outcome_with(modify()?, &RelaxRules).await?.result.code;
    rows.same("relaxed", code, ResultCode::SUCCESS);
    let stamp = bench.read_selected("cn=ada", ["createTimestamp"]).await?.get("createtimestamp").cloned();
    rows.same("set", stamp, Some(vec!["20010203040506Z".to_owned()]));
    rows.finish()
}
