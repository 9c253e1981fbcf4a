//! Names: many spellings, one entry; near misses, another (RFC 4514, RFC 4517 §4.2.15, RFC 4518).

use anyhow::{Result, ensure};
use flext_ldap_directory::proto::result::ResultCode;

use super::{
    Freedom,
    bench::{Bench, person, wanted},
    checks,
    report::{Rows, same},
};

checks![
    spellings_of_one_name_are_one_entry,
    near_misses_are_other_names,
    awkward_values_are_found_again,
    names_come_back_as_they_were_given,
    long_names_and_deep_trees_work,
    unknown_attributes_in_names_are_refused,
];

async fn spellings_of_one_name_are_one_entry(bench: &Bench<'_>) -> Result<()> {
    bench.add("cn=Byrne\\, Ada+uid=ab", &person("Byrne, Ada", "uid: ab")).await?;
    let entry = bench.read("cn=Byrne\\, Ada+uid=ab").await?;
    let mut rows = Rows::new();
    for spelling in [
        r"CN=Byrne\, Ada+UID=AB",
        r"cn=byrne\, ada+uid=ab",
        r"uid=ab+cn=Byrne\, Ada",
        r"uid=AB + cn=BYRNE\, ADA",
        r"cn=Byrne\2C Ada+uid=ab",
        r"cn=Byrne\2c\20Ada+uid=ab",
        r"cn=Byrne\,  Ada +uid= ab",
        r"2.5.4.3=Byrne\, Ada+0.9.2342.19200300.100.1.1=ab",
        r"commonName=Byrne\, Ada+userid=ab",
        r"cn=\42yrne\, Ada+uid=\61\62",
        r"cn=#0c0a4279726e652c20416461+uid=ab",
    ] {
        if spelling.contains('#') && bench.takes(Freedom::HexadecimalNamesAreRefused) {
            continue;
        }
        let seen = bench.read(spelling).await;
        match seen {
            Ok(seen) => rows.same(spelling, seen, entry.clone()),
            Err(error) => rows.take(spelling, Err(error)),
        }
    }
    let upper = format!(r"cn=BYRNE\, ADA+uid=AB,{}", bench.home.to_string().to_uppercase());
    let found = bench.find(&format!("(entryDN={})", upper.replace('\\', r"\5c"))).await?;
    rows.same("in a filter", found.len(), 1);
    rows.finish()
}

/// Group membership is decided by comparing names: what is nearly one must not be taken for it.
async fn near_misses_are_other_names(bench: &Bench<'_>) -> Result<()> {
    bench.add_person("admins", "").await?;
    let mut rows = Rows::new();
    for miss in [
        "cn=admins2",
        "cn=admin",
        "cn=admins-trainees",
        r"cn=x\,cn\=admins",
        "cn=admins+sn=Harker",
        "sn=admins",
        "uid=admins",
        "cn=аdmins",
        "cn=adm1ns",
        r"cn=admins\00x",
        r"cn=\2a",
        r"cn=admin\2a",
        "cn=adm ins",
        "cn=x,cn=admins",
    ] {
        rows.same(miss, bench.exists(miss).await?, false);
    }
    let group = format!(
        "objectClass: groupOfNames\ncn: group\nmember: cn=admins-trainees,{0}\nmember: cn=x\\,cn\\=admins,{0}\n\
         member: cn=admins,ou=elsewhere,{0}\nmember: cn=admins+sn=x,{0}",
        bench.home
    );
    bench.add("cn=group", &group).await?;
    rows.same("no member", bench.find(&format!("(member=cn=admins,{})", bench.home)).await?, vec![]);
    let code =
        bench.admin.code(bench.compare("cn=group", "member", &format!("cn=admins,{}", bench.home))?).await?;
    rows.same("no member by compare", code, ResultCode::COMPARE_FALSE);
    rows.finish()
}

async fn awkward_values_are_found_again(bench: &Bench<'_>) -> Result<()> {
    use flext_ldap_directory::proto::{
        attribute::AttributeDescription,
        dn::Rdn,
        filter::Filter,
        message::{Add, Scope, Search},
    };
    let cn: AttributeDescription = "cn".parse()?;
    let mut rows = Rows::new();
    for value in super::value::AWKWARD {
        let dn = bench.home.child(&Rdn::new(&cn, value.as_bytes()));
        let mut builder = flext_ldap_directory::proto::attribute::Attributes::builder();
        builder.push("objectClass", ["person"]);
        builder.push("cn", [value]);
        builder.push("sn", ["x"]);
        let code = bench.admin.code(Add::new(dn.clone(), builder.build())).await?;
        rows.same(format!("adding {value:?}"), code, ResultCode::SUCCESS);
        if code != ResultCode::SUCCESS {
            continue;
        }
        // The value the server sees is the value given: one entry has it, by filter, by name, and as it was.
        let filter = Filter::and([
            Filter::equality("objectClass".parse()?, "person"),
            Filter::equality(cn.clone(), *value),
        ]);
        let found = bench.admin.entries(Search::new(bench.home.clone(), Scope::Subtree, filter)).await?;
        let values: Vec<_> = found.iter().map(|entry| entry.text("cn").map(str::to_owned)).collect();
        rows.same(format!("by filter {value:?}"), values, vec![Some((*value).to_owned())]);
        let by_name = bench.admin.read(dn.clone(), ["cn"]).await;
        rows.take(
            format!("by name {dn}"),
            by_name
                .and_then(|seen| same("cn", seen, wanted(&format!("cn: {value}"))))
                .or_else(|error| if value.contains('\n') { Ok(()) } else { Err(error) }),
        );
        bench.admin.done(flext_ldap_directory::proto::message::Delete { dn }).await?;
    }
    rows.finish()
}

async fn names_come_back_as_they_were_given(bench: &Bench<'_>) -> Result<()> {
    bench.add("cn=Ada  BYRNE", &person("Ada  BYRNE", "")).await?;
    let entries = bench.admin.entries(bench.search("(cn=ada byrne)")?).await?;
    let names: Vec<_> = entries.iter().map(|entry| entry.dn_str().to_owned()).collect();
    same("the name", names, vec![format!("cn=Ada  BYRNE,{}", bench.home)])
}

async fn long_names_and_deep_trees_work(bench: &Bench<'_>) -> Result<()> {
    // Longer ones do not fit the keys of slapd's mdb.
    let long = "x".repeat(120);
    bench.add(&format!("ou={long}"), &format!("objectClass: organizationalUnit\nou: {long}")).await?;
    ensure!(bench.exists(&format!("OU={}", long.to_uppercase())).await?, "the long name is lost");
    let mut relative = String::new();
    for level in 0..40 {
        relative = if level == 0 { "ou=l0".to_owned() } else { format!("ou=l{level},{relative}") };
        bench.add(&relative, &format!("objectClass: organizationalUnit\nou: l{level}")).await?;
    }
    same("the deepest", bench.find("(ou=l39)").await?, vec!["l39".to_owned()])?;
    ensure!(bench.exists(&relative).await?, "the deepest cannot be read");
    Ok(())
}

async fn unknown_attributes_in_names_are_refused(bench: &Bench<'_>) -> Result<()> {
    let mut rows = Rows::new();
    for relative in ["colour=blue", "cn=x,colour=blue", "1.3.6.1.4.1.32473.7=x"] {
        let code = bench.admin.code(bench.delete(relative)?).await?;
        // RFC 4511 §4.1.3: such a name cannot be of an entry here; servers tell it in either way.
        rows.one_of(relative, &code, &[ResultCode::NO_SUCH_OBJECT, ResultCode::INVALID_DN_SYNTAX]);
    }
    rows.finish()
}
