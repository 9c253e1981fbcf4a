//! `flext-ldap search`: what ldapsearch does.

use std::{
    io::{self, BufRead, BufWriter, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use flext_ldap_directory::{
    Actor, DirectoryExt, Entries, Error, Outcome, Request, SessionExt,
    proto::{
        attribute::Selection,
        batch::Item,
        dn::{Dn, RdnRef},
        entry::EntryRef,
        filter::Filter,
        line::OneLine,
        message::{DerefAliases, Scope, Search},
        result::{LdapResult, ResultCode},
    },
    ranges,
};
use serde::{Deserialize, Serialize};

use crate::{
    conf::Conf,
    connect::{Connect, Opened, dn},
    controls::{self, EXTENSION_HELP, Extensions, General},
    exit::Usage,
    input,
    output::{EntryWriter, Format, on_one_line},
    progress::Progress,
    value_files::ValueFiles,
};

const EXAMPLES: &str = "\
Examples:
  flext-ldap search -H ldap://localhost -b dc=example,dc=com '(uid=ada)' cn mail
  flext-ldap search -H ldaps://localhost -D cn=admin,dc=example,dc=com -W -b dc=example,dc=com
  flext-ldap search -b ou=people,dc=example,dc=com -E sss=sn/givenName '(objectClass=person)' cn
  flext-ldap search -b ou=people,dc=example,dc=com -E ps=any/1/1   # what changes, until stopped
  flext-ldap search -LLL -E pr=500 -b ou=people,dc=example,dc=com --format jsonl | jq .mail
  printf 'ada\\nbrook\\n' | flext-ldap search -b dc=example,dc=com -f - '(uid=%s)' cn";

/// Arguments of `search`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    connect: Connect,
    /// Entry to start from; BASE of ldap.conf or LDAPBASE if left out
    #[arg(short = 'b', long, value_name = "DN", value_parser = dn)]
    base: Option<Dn>,
    /// How far to go from there; what the URL says if left out, or else `sub`
    #[arg(short = 's', long, value_enum)]
    scope: Option<ScopeName>,
    /// At most this many entries; 0 leaves it to the server
    #[arg(short = 'z', long, value_name = "ENTRIES", value_parser = limit)]
    size_limit: Option<u32>,
    /// At most this many seconds; 0 leaves it to the server
    #[arg(short = 'l', long, value_name = "SECONDS", value_parser = limit)]
    time_limit: Option<u32>,
    /// Whether aliases are followed
    #[arg(short = 'a', long, value_enum)]
    deref: Option<DerefName>,
    /// Only names of attributes, no values
    #[arg(short = 'A', long)]
    types_only: bool,
    #[command(flatten)]
    general: General,
    #[arg(short = 'E', long = "extension", value_name = "[!]EXTENSION", help = EXTENSION_HELP)]
    extensions: Vec<String>,
    /// Once: LDIF without comments on the connection; twice: no comments; three times: no version line
    #[arg(short = 'L', action = clap::ArgAction::Count)]
    ldif: u8,
    /// One search a line of this file, `%s` of the filter being the line
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Go on with the next line of the file when a search fails
    #[arg(short = 'c', long = "continue")]
    go_on: bool,
    /// Print what would be asked, and ask nothing
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Format of the entries
    #[arg(long, value_enum, default_value_t = Format::Ldif)]
    format: Format,
    /// Sort here, when all are there, by what is returned of this attribute; by name if it is empty (`-S ''`). The
    /// server sorts with `-E sss=`
    #[arg(short = 'S', long, value_name = "ATTRIBUTE")]
    sort: Option<String>,
    /// Write values that are no text to files that only you can read, and their URLs in the LDIF; twice (-tt): all values
    #[arg(short = 't', action = clap::ArgAction::Count)]
    value_files: u8,
    /// Folder for the files of -t; that for temporary files if left out
    #[arg(short = 'T', value_name = "FOLDER", requires = "value_files")]
    value_folder: Option<PathBuf>,
    /// What the URLs of the files of -t begin with; `file://` and the folder if left out
    #[arg(short = 'F', value_name = "URL", requires = "value_files")]
    value_url: Option<String>,
    /// Column to fold LDIF lines at; 0 does not fold
    #[arg(long, value_name = "COLUMNS", default_value_t = 76)]
    width: usize,
    /// Filter, if it has a `=`; then attributes. What the URL says if left out, or else `(objectClass=*)` and all user attributes
    #[arg(value_name = "FILTER] [ATTRIBUTE")]
    rest: Vec<String>,
}

/// A limit as ldapsearch takes it: a number, or `none`, or `max` (RFC 4511 §4.1.1: maxInt).
fn limit(text: &str) -> Result<u32, String> {
    const MOST: u32 = i32::MAX.unsigned_abs();
    match text {
        "none" => Ok(0),
        "max" => Ok(MOST),
        _ => text
            .parse()
            .ok()
            .filter(|number| *number <= MOST)
            .ok_or_else(|| format!("expected a number up to {MOST}, `none` or `max`")),
    }
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize, clap::ValueEnum)]
pub(crate) enum ScopeName {
    Base,
    #[value(alias = "onelevel")]
    One,
    #[value(alias = "subtree")]
    Sub,
    #[value(alias = "subordinate")]
    Children,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum DerefName {
    Never,
    Search,
    Find,
    Always,
}

impl From<ScopeName> for Scope {
    fn from(name: ScopeName) -> Self {
        match name {
            ScopeName::Base => Self::Base,
            ScopeName::One => Self::One,
            ScopeName::Sub => Self::Subtree,
            ScopeName::Children => Self::Children,
        }
    }
}

impl From<DerefName> for DerefAliases {
    fn from(name: DerefName) -> Self {
        match name {
            DerefName::Never => Self::Never,
            DerefName::Search => Self::InSearching,
            DerefName::Find => Self::FindingBase,
            DerefName::Always => Self::Always,
        }
    }
}

/// A filter in which `%s` stands for a value that is not known yet.
///
/// The pattern is parsed before a value is put in, and values are put into its leaves, so no value can change its shape.
struct Pattern(Filter);

impl Pattern {
    fn parse(text: &str) -> anyhow::Result<Self> {
        Ok(Self(text.parse::<Filter>().map_err(|error| Usage(format!("`{text}`: {error}")))?))
    }

    fn with(&self, value: &str) -> Filter {
        self.0.map_values(|octets| replace(octets, b"%s", value.as_bytes()))
    }
}

fn replace(octets: &[u8], what: &[u8], with: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    let mut rest = octets;
    while let Some(at) = rest.windows(what.len()).position(|window| window == what) {
        let (before, after) = rest.split_at(at);
        out.extend_from_slice(before);
        out.extend_from_slice(with);
        rest = after.get(what.len()..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

/// What ldapsearch's `-S` sorts by: the values of an attribute in their order, without regard to case, entries without
/// it first; or the components of the name, its own first.
fn sort_key(entry: EntryRef<'_>, attribute: &str) -> Vec<Vec<u8>> {
    let folded = |value: &[u8]| match str::from_utf8(value) {
        Ok(text) => text.to_lowercase().into_bytes(),
        Err(_) => value.to_ascii_lowercase(),
    };
    if attribute.is_empty() {
        // One that is no name is not known to sort; it is printed as it came.
        let Ok(dn) = entry.dn() else { return vec![folded(entry.dn_str().as_bytes())] };
        return dn.rdns().flat_map(RdnRef::avas).map(|ava| folded(&ava.value())).collect();
    }
    let attributes = entry.attributes();
    let values = attributes.iter().filter(|one| one.description().eq_ignore_ascii_case(attribute));
    values.flat_map(|one| one.values().map(folded).collect::<Vec<_>>()).collect()
}

impl Arguments {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let extensions = Extensions::read(&self.extensions)?;
        if self.sort.is_some() && extensions.is_persistent {
            let text =
                "-S sorts when all entries are there, and with `-E ps=` there are always more; leave -S out";
            return Err(Usage(text.to_owned()).into());
        }
        if self.value_files > 0 && self.format != Format::Ldif {
            let text =
                "-t writes files that LDIF refers to; --format jsonl has all values in it, so leave -t out";
            return Err(Usage(text.to_owned()).into());
        }
        let url = self.connect.search_url()?;
        let (filter, attributes) = self.filter_and_attributes();
        let pattern = match (filter, url.as_ref().and_then(|url| url.filter.clone())) {
            (Some(text), _) => Pattern::parse(text)?,
            (None, Some(filter)) => Pattern(filter),
            (None, None) => Pattern(Filter::any()),
        };
        let attributes = match &url {
            Some(url) if attributes.is_empty() => url.attributes.clone(),
            _ => attributes.iter().collect::<Selection>(),
        };
        let scope =
            self.scope.map(Scope::from).or_else(|| url.and_then(|url| url.scope)).unwrap_or(Scope::Subtree);
        let base = match &self.base {
            Some(base) => base.clone(),
            None => self.connect.default_base()?,
        };
        let conf = Conf::load()?;
        let mut search = Search::new(base, scope, pattern.0.clone())
            .attributes(attributes)
            .size_limit(self.size_limit.or(conf.number("SIZELIMIT")?).unwrap_or(0))
            .time_limit(self.time_limit.or(conf.number("TIMELIMIT")?).unwrap_or(0))
            .deref(self.deref(&conf)?);
        search.types_only = self.types_only;
        // What comes now and then is to be seen when it comes.
        let capacity = if extensions.is_persistent { 0 } else { 1 << 16 };
        let out = BufWriter::with_capacity(capacity, io::stdout().lock());
        let mut writer = EntryWriter::new(self.format, out, self.general.ldif_wrap().unwrap_or(self.width))
            .files(self.value_files()?);
        let code = if self.dry_run {
            self.header(&mut writer, &search)?;
            ExitCode::SUCCESS
        } else {
            crate::block_on(self.searches(&search, &pattern, &extensions, &mut writer))?
        };
        writer.into_inner().flush()?;
        Ok(code)
    }

    async fn searches(
        &self,
        search: &Search,
        pattern: &Pattern,
        extensions: &Extensions,
        writer: &mut EntryWriter<impl Write>,
    ) -> anyhow::Result<ExitCode> {
        let connection = self.general.open(&self.connect).await?;
        // Whoever is not connected has no result, not even an empty one.
        self.header(writer, search)?;
        let mut code = ExitCode::SUCCESS;
        match &self.file {
            None => self.search(&connection, search.clone(), extensions, writer).await?,
            Some(path) => {
                for line in input::open(Some(path))?.lines() {
                    let line = line.with_context(|| format!("failed to read {}", path.display()))?;
                    let mut search = search.clone();
                    search.filter = pattern.with(&line);
                    if let Err(error) = self.search(&connection, search, extensions, writer).await {
                        if !self.go_on || crate::is_broken_pipe(&error) {
                            return Err(error);
                        }
                        crate::complain(&error);
                        code = crate::exit::of(&error);
                    }
                }
            }
        }
        connection.close().await;
        Ok(code)
    }

    async fn search(
        &self,
        opened: &Opened,
        search: Search,
        extensions: &Extensions,
        writer: &mut EntryWriter<impl Write>,
    ) -> anyhow::Result<()> {
        let what = format!("`{}` for {}", search.base, search.filter);
        if self.general.verbose {
            crate::say(format_args!("searching {what}"));
        }
        let selectors = search.attributes.selectors();
        let asks_for_parts =
            selectors.iter().any(|one| one.to_string().to_ascii_lowercase().contains(";range="));
        // A time limit of the server's is given a little longer here, so that its own answer is seen.
        let wait = match search.time_limit {
            _ if extensions.is_persistent => Duration::MAX,
            0 => Duration::from_secs(300),
            seconds => Duration::from_secs(u64::from(seconds) + 2),
        };
        // A server counts the limit for each page, or not at all; the user means all entries.
        let page_size = extensions.page_size;
        let most = Some(search.size_limit).filter(|most| *most > 0).map(u64::from);
        let mut request = self.general.on(Request::new(search, Actor::Service).within(wait));
        let like = request.clone();
        extensions.controls.iter().for_each(|control| request.controls.push_raw(control.clone()));
        let pinned;
        let mut entries: Entries<'_> = match page_size {
            Some(size) => {
                pinned = opened.pin().await?;
                pinned.search_pages(request, size)
            }
            None => opened.search(request),
        };
        let progress = Progress::new("entries");
        let (mut found, mut references) = (0_u64, 0_u64);
        let mut sorted = Vec::new();
        let ended = async {
            while let Some(batch) = entries.next_batch().await.map_err(|error| {
                let hint = self.connect.hint(&error);
                let text = match found {
                    0 => format!("failed to search {what}{hint}"),
                    found => format!("the search of {what} stopped after {found} entries"),
                };
                anyhow::Error::new(error).context(text)
            })? {
                for item in batch.iter() {
                    match item.get() {
                        Item::Entry(_) if most.is_some_and(|most| found >= most) => {
                            let limit = LdapResult::new(ResultCode::SIZE_LIMIT_EXCEEDED);
                            let error = Error::rejected(Outcome::new(limit));
                            return Err(
                                anyhow::Error::new(error).context(format!("stopped after {found} entries"))
                            );
                        }
                        Item::Entry(entry) => {
                            if let Some(change) =
                                controls::change_of(&item.controls()).filter(|_| self.ldif < 3)
                            {
                                writer.comment(&change)?;
                            }
                            let whole;
                            let entry = match !asks_for_parts && ranges::is_cut(entry) {
                                true => {
                                    let like = like.clone().within(wait);
                                    whole = ranges::whole(opened, entry, &like).await.with_context(|| {
                                        format!("failed to read all values of `{}`", OneLine(entry.dn_str()))
                                    })?;
                                    whole.as_ref()
                                }
                                false => entry,
                            };
                            match &self.sort {
                                None => writer.entry(entry)?,
                                Some(attribute) => {
                                    sorted.push((sort_key(entry, attribute), entry.to_entry()))
                                }
                            }
                            found += 1;
                            progress.advance(1);
                        }
                        Item::Reference(urls) => {
                            references += 1;
                            if self.ldif < 2 {
                                let mut lines =
                                    urls.iter().map(|url| format!("refldap: {}", on_one_line(url)));
                                lines.try_for_each(|line| writer.comment(&line))?;
                            }
                        }
                        _ => {}
                    }
                }
            }
            Ok(())
        }
        .await;
        drop(progress);
        // What came before an error is printed, sorted or not.
        sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
        sorted.iter().try_for_each(|(_, entry)| writer.entry(entry.as_ref()))?;
        ended?;
        if self.ldif == 0 {
            let code = entries.outcome().map_or(ResultCode::SUCCESS, |outcome| outcome.result.code);
            writer.comment(&format!("result: {code}"))?;
            for told in entries.outcome().map(controls::told).unwrap_or_default() {
                writer.comment(&told)?;
            }
            writer.comment(&format!("entries: {found}, references: {references}"))?;
        }
        Ok(())
    }

    fn header(&self, writer: &mut EntryWriter<impl Write>, search: &Search) -> io::Result<()> {
        if self.ldif < 3 {
            writer.version()?;
        }
        if self.ldif == 0 || self.dry_run {
            let scope = match search.scope {
                Scope::Subtree => "sub".to_owned(),
                other => format!("{other:?}").to_lowercase(),
            };
            writer.comment(&format!("base <{}> with scope {scope}", search.base))?;
            writer.comment(&format!("filter: {}", search.filter))?;
        }
        Ok(())
    }

    fn value_files(&self) -> anyhow::Result<Option<ValueFiles>> {
        if self.value_files == 0 {
            return Ok(None);
        }
        let (all, folder) = (self.value_files > 1, self.value_folder.as_deref());
        let files = ValueFiles::new(all, folder, self.value_url.as_deref());
        files.map(Some).context("failed to find the folder for the files of -t")
    }

    /// Whether aliases are followed: `-a`, or else DEREF of ldap.conf.
    fn deref(&self, conf: &Conf) -> anyhow::Result<DerefAliases> {
        if let Some(name) = self.deref {
            return Ok(name.into());
        }
        Ok(match conf.get("DEREF").map(str::to_ascii_lowercase).as_deref() {
            None | Some("never") => DerefAliases::Never,
            Some("searching") => DerefAliases::InSearching,
            Some("finding") => DerefAliases::FindingBase,
            Some("always") => DerefAliases::Always,
            Some(other) => {
                return Err(Usage(format!(
                    "setting DEREF of ldap.conf is `{other}`; it must be never, searching, finding or always"
                ))
                .into());
            }
        })
    }

    /// As ldapsearch has it: the first word is a filter if it has a `=`.
    fn filter_and_attributes(&self) -> (Option<&str>, &[String]) {
        match self.rest.split_first() {
            Some((first, rest)) if first.contains('=') || first.starts_with('(') => (Some(first), rest),
            _ => (None, &self.rest),
        }
    }
}
