//! Filters: every kind, three-valued, by the rules of each attribute (RFC 4511 §4.5.1.7, RFC 4517, RFC 4526).

use anyhow::Result;

use super::{Freedom, bench::Bench, checks, report::Rows};

checks![
    equality_follows_the_attribute,
    substrings_match_in_order,
    presence_knows_types,
    ordering_follows_the_attribute,
    logic_is_three_valued,
    supertypes_find_their_subtypes,
    options_narrow,
    escapes_are_octets,
    extensible_matches,
    names_match_by_their_meaning,
    approximate_matches_at_least_what_is_equal,
    wide_deep_and_long_filters_work,
];

/// Ada, Ben and Caro, who differ in everything a filter can ask for.
async fn people(bench: &Bench<'_>) -> Result<()> {
    let account = |number: i64| {
        format!(
            "objectClass: posixAccount\nuid: u{number}\nuidNumber: {number}\ngidNumber: 5\nhomeDirectory: /home/{number}\n"
        )
    };
    bench
        .add_person(
            "Ada",
            &format!(
                "{}sn: van der Byrne\ngivenName: Ada Maria\ndescription: Tide Gauge\ntelephoneNumber: +1 555 0100\n\
                 mail: ada@harbourlane.example\nmanager: cn=Ben,{}\nroomNumber: 9\nemployeeNumber: 100",
                account(9),
                bench.home
            ),
        )
        .await?;
    bench
        .add_person(
            "Ben",
            &format!(
                "{}sn: Ode\ndescription: Échosondeur\ndescription: (a*b)\\c\ntelephoneNumber: +1 555 0200\n\
                 mail: BEN@harbourlane.example\nmail: chief@harbourlane.example\nroomNumber: 10\nou: x",
                account(10)
            ),
        )
        .await?;
    bench
        .add_person(
            "Caro",
            &format!(
                "{}sn: Ode-Lind\ndescription;lang-en: Sounder\ndescription;lang-de: Lot\ntitle: Tide",
                account(-3)
            ),
        )
        .await
}

async fn table(bench: &Bench<'_>, table: &[(&str, &str)]) -> Result<()> {
    people(bench).await?;
    let mut rows = Rows::new();
    for (filter, wanted) in table {
        // Only people: the entry of the check matches what is negated.
        let found = bench.find(&format!("(&(objectClass=person){filter})")).await;
        let wanted = wanted.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        match found {
            Ok(found) => rows.same(filter, found, wanted),
            Err(error) => rows.take(filter, Err(error)),
        }
    }
    rows.finish()
}

async fn equality_follows_the_attribute(bench: &Bench<'_>) -> Result<()> {
    table(
        bench,
        &[
            ("(cn=Ada)", "Ada"),
            ("(CN=ADA)", "Ada"),
            ("(commonName=ada)", "Ada"),
            ("(2.5.4.3=ada)", "Ada"),
            ("(cn=  ada )", "Ada"),
            ("(sn=van  der   byrne)", "Ada"),
            ("(sn=vanderbyrne)", ""),
            ("(surname=ode)", "Ben"),
            ("(description=échosondeur)", "Ben"),
            ("(description=ÉCHOSONDEUR)", "Ben"),
            ("(description=echosondeur)", ""),
            ("(telephoneNumber=+15550100)", "Ada"),
            ("(telephoneNumber=+1-555-0100)", "Ada"),
            ("(mail=Ben@Harbourlane.Example)", "Ben"),
            ("(mail=chief@harbourlane.example)", "Ben"),
            ("(homeDirectory=/home/9)", "Ada"),
            ("(homeDirectory=/HOME/9)", ""),
            ("(uidNumber=9)", "Ada"),
            ("(uidNumber=-3)", "Caro"),
            ("(objectClass=posixAccount)", "Ada Ben Caro"),
            ("(objectClass=2.5.6.6)", "Ada Ben Caro"),
            ("(objectClass=device)", ""),
        ],
    )
    .await
}

async fn substrings_match_in_order(bench: &Bench<'_>) -> Result<()> {
    table(
        bench,
        &[
            ("(sn=Ode*)", "Ben Caro"),
            ("(sn=*Ode)", "Ben"),
            ("(sn=*ode*)", "Ben Caro"),
            ("(sn=o*e)", "Ben"),
            ("(sn=o*d*e)", "Ben"),
            ("(sn=e*o)", ""),
            ("(sn=*van*der*byrne*)", "Ada"),
            ("(sn=*der*van*)", ""),
            ("(sn=v*byrne)", "Ada"),
            ("(sn=van der byrne*byrne)", ""),
            ("(sn=*r b*)", "Ada"),
            ("(givenName=ada*maria)", "Ada"),
            ("(mail=*@harbourlane.example)", "Ada Ben"),
            ("(mail=*chief*)", "Ben"),
            ("(telephoneNumber=*0200)", "Ben"),
            ("(telephoneNumber=+1555*)", "Ada Ben"),
            ("(description=*sond*)", "Ben"),
            ("(description=É*)", "Ben"),
            ("(description=é*R)", "Ben"),
            (r"(description=*\2a*)", "Ben"),
            (r"(description=\28a*)", "Ben"),
            ("(name=*ode*)", "Ben Caro"),
            // Undefined: the attribute has no substring rule.
            ("(uidNumber=1*)", ""),
            ("(!(uidNumber=1*))", ""),
        ],
    )
    .await
}

async fn presence_knows_types(bench: &Bench<'_>) -> Result<()> {
    table(
        bench,
        &[
            ("(manager=*)", "Ada"),
            ("(MANAGER=*)", "Ada"),
            ("(!(manager=*))", "Ben Caro"),
            ("(description=*)", "Ada Ben Caro"),
            ("(name=*)", "Ada Ben Caro"),
            ("(title=*)", "Caro"),
            ("(l=*)", ""),
            ("(entryUUID=*)", "Ada Ben Caro"),
            ("(colour=*)", ""),
            ("(!(colour=*))", ""),
        ],
    )
    .await
}

async fn ordering_follows_the_attribute(bench: &Bench<'_>) -> Result<()> {
    table(
        bench,
        &[
            ("(uidNumber>=9)", "Ada Ben"),
            ("(uidNumber>=10)", "Ben"),
            ("(uidNumber<=9)", "Ada Caro"),
            ("(uidNumber<=-4)", ""),
            ("(uidNumber>=-3)", "Ada Ben Caro"),
            ("(!(uidNumber>=10))", "Ada Caro"),
            ("(createTimestamp>=20000101000000Z)", "Ada Ben Caro"),
            ("(createTimestamp<=20000101000000Z)", ""),
            ("(createTimestamp>=200001010000Z)", "Ada Ben Caro"),
            ("(createTimestamp>=20000101010000+0100)", "Ada Ben Caro"),
            ("(createTimestamp>=29990101000000Z)", ""),
        ],
    )
    .await
}

async fn logic_is_three_valued(bench: &Bench<'_>) -> Result<()> {
    table(
        bench,
        &[
            ("(&)", "Ada Ben Caro"),
            ("(|)", ""),
            ("(!(&))", ""),
            ("(!(|))", "Ada Ben Caro"),
            ("(&(cn=ada))", "Ada"),
            ("(&(cn=ada)(sn=ode))", ""),
            ("(|(cn=ada)(sn=ode))", "Ada Ben"),
            ("(!(cn=ada))", "Ben Caro"),
            ("(!(!(cn=ada)))", "Ada"),
            ("(&(!(cn=ada))(!(cn=ben)))", "Caro"),
            ("(!(|(cn=ada)(cn=ben)))", "Caro"),
            // An unknown attribute is undefined (RFC 4511 §4.5.1.7): neither it nor its opposite.
            ("(colour=blue)", ""),
            ("(!(colour=blue))", ""),
            ("(|(colour=blue)(cn=ada))", "Ada"),
            ("(&(colour=blue)(cn=ada))", ""),
            ("(!(&(colour=blue)(cn=ada)))", "Ben Caro"),
            ("(!(|(colour=blue)(cn=ada)))", ""),
            // So is an assertion that does not fit the syntax.
            ("(uidNumber=nine)", ""),
            ("(!(uidNumber=nine))", ""),
            ("(manager=nobody)", ""),
            ("(!(manager=nobody))", ""),
            ("(objectClass=harbourThing)", ""),
            // An attribute that is known and not there is false.
            ("(!(title=tide))", "Ada Ben"),
            ("(&(|(cn=ada)(cn=ben))(!(sn=ode))(uidNumber>=1))", "Ada"),
        ],
    )
    .await
}

async fn supertypes_find_their_subtypes(bench: &Bench<'_>) -> Result<()> {
    table(
        bench,
        &[
            ("(name=ada)", "Ada"),
            ("(name=ode)", "Ben"),
            ("(name=tide)", "Caro"),
            ("(name=Tide Gauge)", ""),
            ("(2.5.4.41=ben)", "Ben"),
            ("(!(name=x))", "Ada Caro"),
        ],
    )
    .await
}

async fn options_narrow(bench: &Bench<'_>) -> Result<()> {
    table(
        bench,
        &[
            ("(description=sounder)", "Caro"),
            ("(description;lang-en=sounder)", "Caro"),
            ("(description;lang-de=sounder)", ""),
            ("(description;lang-de=lot)", "Caro"),
            ("(description;LANG-DE=lot)", "Caro"),
            ("(description;lang-en=*)", "Caro"),
            ("(description;lang-en=tide gauge)", ""),
            ("(name;lang-en=*)", ""),
        ],
    )
    .await
}

async fn escapes_are_octets(bench: &Bench<'_>) -> Result<()> {
    // RFC 4518 §2.2: control characters are mapped to nothing.
    let nul = if bench.takes(Freedom::ControlCharactersCount) { "" } else { "Ada" };
    table(
        bench,
        &[
            (r"(description=\28a\2ab\29\5cc)", "Ben"),
            (r"(cn=\41\64\61)", "Ada"),
            (r"(cn=\2a)", ""),
            (r"(cn=a\2a)", ""),
            (r"(description=\c3\89chosondeur)", "Ben"),
            (r"(cn=ada\00)", nul),
            (r"(cn=ada\00x)", ""),
            (r"(sn=\28)", ""),
        ],
    )
    .await
}

async fn extensible_matches(bench: &Bench<'_>) -> Result<()> {
    table(
        bench,
        &[
            ("(cn:=ada)", "Ada"),
            ("(cn:caseExactMatch:=ada)", ""),
            ("(cn:caseExactMatch:=Ada)", "Ada"),
            ("(cn:2.5.13.5:=Ada)", "Ada"),
            ("(homeDirectory:caseIgnoreIA5Match:=/HOME/9)", "Ada"),
            ("(uidNumber:integerMatch:=9)", "Ada"),
            ("(:caseExactMatch:=Ode)", "Ben"),
            ("(:caseExactMatch:=ode)", ""),
            ("(cn:noSuchRule:=ada)", ""),
            ("(!(cn:noSuchRule:=ada))", ""),
            ("(ou:dn:=filter-extensible-matches)", "Ada Ben Caro"),
            ("(ou:=filter-extensible-matches)", ""),
            ("(ou:dn:=x)", "Ben"),
            ("(dc:dn:=harbourlane)", "Ada Ben Caro"),
            ("(dc:dn:caseIgnoreIA5Match:=HARBOURLANE)", "Ada Ben Caro"),
        ],
    )
    .await
}

async fn names_match_by_their_meaning(bench: &Bench<'_>) -> Result<()> {
    let home = bench.home.to_string();
    let filters = [
        (format!("(manager=cn=Ben,{home})"), "Ada"),
        (format!("(manager=CN=ben, {})", home.to_uppercase()), "Ada"),
        (format!(r"(manager=2.5.4.3=B\5c65n,{home})"), "Ada"),
        (format!("(manager=cn=Be,{home})"), ""),
        (format!("(manager=cn=Ben,ou=x,{home})"), ""),
        (format!("(entryDN=cn=ada,{home})"), "Ada"),
        (format!("(entryDN=CN=ADA,{home})"), "Ada"),
        (format!("(!(entryDN=cn=ada,{home}))"), "Ben Caro"),
    ];
    let rows: Vec<_> = filters.iter().map(|(filter, wanted)| (filter.as_str(), *wanted)).collect();
    table(bench, &rows).await
}

/// RFC 4511 §4.5.1.7.6: a server that has no notion of approximation takes it for equality.
async fn approximate_matches_at_least_what_is_equal(bench: &Bench<'_>) -> Result<()> {
    table(bench, &[("(cn~=ADA)", "Ada"), ("(cn~=zzzz)", ""), ("(colour~=x)", "")]).await
}

async fn wide_deep_and_long_filters_work(bench: &Bench<'_>) -> Result<()> {
    let wide: String = (0..400).map(|number| format!("(cn=nobody{number})")).collect();
    let deep = format!("{}(cn=ada){}", "(!".repeat(100), ")".repeat(100));
    let long = "x".repeat(60_000);
    let filters = [
        (format!("(|{wide}(cn=ada))"), "Ada"),
        (format!("(|{wide})"), ""),
        (format!("(&{wide}(cn=ada))"), ""),
        (deep, "Ada"),
        (format!("(description={long})"), ""),
        (format!("(|(description=*{long}*)(cn=ben))"), "Ben"),
        (format!("(description={}*)", "T*i*d*e* ".trim_end_matches("* ")), "Ada"),
    ];
    let rows: Vec<_> = filters.iter().map(|(filter, wanted)| (filter.as_str(), *wanted)).collect();
    table(bench, &rows).await
}
