//! Runs the service: `LDAP_CONFIG` is a configuration (docs/configuration.md) with the servers, a `base_dn`, and an account
//! `sign_in` that may read people and groups. It listens on 127.0.0.1:8080: put a proxy with TLS in front of it.

use std::{env, future::IntoFuture as _, time::Duration};

use anyhow::Context as _;
use flext_ldap::{
    Config,
    client::{Capabilities, Server as _},
    directory::{Actor, Deadline},
};
use flext_ldap_example_sign_in::{offers, service};
use tokio::{net::TcpListener, signal};
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Why somebody was not signed in is told in the log alone.
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(filter).init();
    let path =
        env::var_os("LDAP_CONFIG").context("LDAP_CONFIG is to name a configuration (docs/sign-in.md)")?;
    let config = Config::read(path)?;
    let base = config.structure.base.clone().context("the configuration has no `base_dn`")?;
    // Searches go over connections bound as the account, and people bind on others, which nobody has bound before.
    let stack = config.stack().account("sign_in")?.build()?;
    let soon = Deadline::after(Duration::from_secs(10));
    let known = Capabilities::read(&stack, Actor::Service, soon).await?;
    let app = service(stack.clone(), stack.clone(), offers(&known), &base)?;
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    tracing::info!("listening on http://{}", listener.local_addr()?);
    tokio::select! {
        served = axum::serve(listener, app).into_future() => served?,
        stopped = signal::ctrl_c() => stopped?,
    }
    stack.shutdown(Deadline::after(Duration::from_secs(5))).await;
    Ok(())
}
