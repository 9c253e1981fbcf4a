//! The proxy in front of the set, and its clients.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use flext_ldap_client::{Connection, Connector, ServerSet};
use flext_ldap_directory::{
    Actor, DirectoryExt as _, Request,
    proto::{
        filter::Filter,
        message::{Scope, Search},
    },
};
use flext_ldap_lab::DEFAULT_SUFFIX;
use flext_ldap_proxy::Proxy;
use flext_ldap_server::Server;

use super::{CHECK, SLOW, load::Caller, server::Target};

/// How long the last connections may take to end.
const FAREWELL: Duration = Duration::from_secs(2);

/// The proxy, with its listener.
pub(crate) struct Front {
    listener: Server,
    /// To the proxy, signed in.
    connector: Connector,
}

impl Front {
    /// A proxy over `set`, for clients that sign in as the administrator of the servers.
    pub(crate) async fn start(set: &Arc<ServerSet>, target: &Target) -> anyhow::Result<Self> {
        let proxy = Proxy::builder(Arc::clone(set)).silence(SLOW).probe_timeout(CHECK).build();
        let listener = Server::builder(Arc::new(proxy)).listen("ldap://127.0.0.1:0".parse()?);
        let listener = listener.start().await?;
        let url = listener.urls().first().context("a listener without URL")?;
        let connector = Connector::builder().clear().url(url).credentials(target.administrator()).build()?;
        Ok(Self { listener, connector })
    }

    /// So many clients, each with a connection of its own, and how long it took to sign them all in.
    pub(crate) async fn clients(&self, count: usize) -> anyhow::Result<(Vec<Client>, Duration)> {
        let started = Instant::now();
        let mut clients = Vec::new();
        for _ in 0..count {
            clients.push(self.client().await?);
        }
        Ok((clients, started.elapsed()))
    }

    async fn client(&self) -> anyhow::Result<Client> {
        let connection = self.connector.connect().await?;
        let actor = connection.actor().context("nobody is signed in")?;
        Ok(Client { connection: Arc::new(connection), actor })
    }

    /// Has one more client sign in and read.
    pub(crate) async fn newcomer(&self) -> anyhow::Result<()> {
        let Client { connection, actor } = self.client().await?;
        let search = Search::new(DEFAULT_SUFFIX.parse()?, Scope::Base, Filter::any());
        connection.search_one(Request::new(search, actor).within(Duration::from_secs(10))).await?;
        Ok(())
    }

    pub(crate) async fn end(self) {
        self.listener.shutdown(FAREWELL).await;
    }
}

/// A client of the proxy.
pub(crate) struct Client {
    connection: Arc<Connection>,
    actor: Actor,
}

impl Client {
    pub(crate) fn caller(&self) -> Caller {
        Caller { directory: Arc::clone(&self.connection) as _, actor: self.actor.clone() }
    }

    /// It has the connection it came with.
    pub(crate) fn is_there(&self) -> anyhow::Result<()> {
        ensure!(!self.connection.is_closed(), "a client has lost its connection to the proxy");
        Ok(())
    }
}
