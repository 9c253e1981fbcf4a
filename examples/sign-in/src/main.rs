//! Runs the service: `LDAP_URL` is where the directory is, `LDAP_SUFFIX` what it holds; `LDAP_BIND_DN` and
//! `LDAP_BIND_PASSWORD` are those of an account that may read people and groups, `LDAP_CA` a file with the authority to
//! trust instead of the system's. It listens on 127.0.0.1:8080: put a proxy with TLS in front of it.

use std::{env, future::IntoFuture as _, sync::Arc};

use anyhow::Context as _;
use flext_ldap_client::{
    Connector, ConnectorBuilder, Credentials, TlsOptions,
    directory::proto::url::{LdapUrl, Scheme},
};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt::init();
    let url: LdapUrl = setting("LDAP_URL")?.parse().context("LDAP_URL")?;
    let reader = Credentials::simple(setting("LDAP_BIND_DN")?, setting("LDAP_BIND_PASSWORD")?.as_str());
    // People bind on connections of their own, which nobody has bound before.
    let binds = connector(&url).build()?;
    let directory = Arc::new(connector(&url).credentials(reader).build()?.connect().await?);
    let app = flext_ldap_example_sign_in::service(binds, Arc::clone(&directory), &setting("LDAP_SUFFIX")?)?;
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    tokio::select! {
        served = axum::serve(listener, app).into_future() => served?,
        // Whoever started the service starts it again.
        lost = directory.closed() => return Err(lost).context("the connection to the directory is lost"),
    }
    Ok(())
}

fn connector(url: &LdapUrl) -> ConnectorBuilder {
    let tls = match env::var_os("LDAP_CA") {
        Some(file) => TlsOptions::new().ca_file(file),
        None => TlsOptions::new(),
    };
    let builder = match url.scheme {
        Scheme::Ldaps => Connector::builder().ldaps(tls),
        Scheme::Ldapi => Connector::builder().clear(),
        _ => Connector::builder().start_tls(tls),
    };
    builder.url(url)
}

fn setting(name: &str) -> anyhow::Result<String> {
    env::var(name).with_context(|| format!("{name} is not set"))
}
