//! Configurations: what is wrong is told where it stands, nothing is passed over, and what is read shows itself as a file
//! that says the same.

use flext_ldap::{Config, ConfigError, Finding, Source};

/// A configuration (YAML). Whether it can be used.
pub fn text(data: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(data) else { return false };
    let (told, read) = (tell(text), Config::parse("ldap.yaml", text, []));
    for finding in &told {
        assert!(finding.message.len() <= 16 * text.len() + 4_096, "{} octets", finding.message.len());
        within(finding, text);
    }
    // A comment before all of it changes nothing but the lines. A byte order mark and a directive stand before comments.
    if !text.starts_with(['\u{feff}', '%']) {
        let mut moved = told;
        for finding in &mut moved {
            if let Source::File { line, .. } = &mut finding.source
                && *line > 0
            {
                *line += 1;
            }
        }
        assert_eq!(tell(&format!("# {}\n{text}", "Harbour Lane")), moved);
    }
    let Ok(config) = read else { return false };
    // None is passed over.
    let below = |key: &'static str| config.settings().iter().filter(move |one| one.variable.starts_with(key));
    let accounts = below("FLEXT_LDAP_SERVICE_ACCOUNTS__").filter(|one| one.depth == 2).count();
    let others = below("FLEXT_LDAP_FAILOVER_SERVERS__").filter(|one| one.begins_item).count();
    assert_eq!((config.accounts.len(), config.servers.len()), (accounts, others + 1));
    let shown: Vec<_> = config.settings().iter().map(ToString::to_string).collect();
    let shown = format!("flext_ldap:\n{}\n", shown.join("\n"));
    let again = Config::parse("ldap.yaml", &shown, []).unwrap_or_else(|error| panic!("{error}\n{shown}"));
    assert_eq!(servers(&again), servers(&config), "{shown}");
    assert_eq!((again.accounts, again.structure), (config.accounts, config.structure), "{shown}");
    true
}

/// All that is said of it.
fn tell(text: &str) -> Vec<Finding> {
    match Config::parse("ldap.yaml", text, []) {
        Ok(config) => [config.warnings(), config.idle()].concat(),
        Err(ConfigError::Faulty(findings)) => {
            assert!(!findings.is_empty() && findings.len() < 200, "{}", findings.len());
            findings
        }
        Err(ConfigError::ServedDirectory(_)) => Vec::new(),
        Err(other) => panic!("{other}"),
    }
}

fn servers(config: &Config) -> Vec<String> {
    config.servers.iter().map(ToString::to_string).collect()
}

/// That it says where in the text it is, or is about the whole of it.
fn within(finding: &Finding, text: &str) {
    let Source::File { line, column, .. } = finding.source else {
        assert_eq!(finding.source, Source::Default, "{finding}");
        return;
    };
    if line > 0 {
        let place = usize::try_from(line).unwrap() - 1;
        // A line may end in any of three ways; the end of the file is a place too.
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let lines: Vec<_> = text.split('\n').collect();
        let length = lines.get(place).unwrap_or_else(|| panic!("no such line: {finding}")).chars().count();
        assert!((1..=length as u64 + 1).contains(&column), "no such column: {finding}");
    }
}
