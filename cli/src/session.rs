//! A connection of this command to a cluster.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use quorate::{
    Bus, Client, ClientConfig, ClientError, ClientSettings, Status,
    transport::{ConnectionConfig, ConnectionSettings, QuicTransport},
};

use crate::{
    Failure, address, credentials,
    profile::{Profile, ProfileError},
    span,
};

/// Silence after which a node is taken for gone. Longer than a view change, so that a node that is
/// merely busy with one keeps its clients.
const NODE_GONE_MS: u32 = 1500;

/// Where the cluster is, and how long to wait for it.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct Reach {
    /// Where to read which cluster to use [default: a file that `quorate up` writes].
    #[arg(long, value_name = "FILE", env = "QUORATE_PROFILE", hide_env_values = true)]
    pub(crate) profile: Option<PathBuf>,
    /// Use the node at this address; may be given several times [default: those of the profile].
    #[arg(long, value_name = "ADDR", value_parser = address::parse)]
    connect: Vec<SocketAddr>,
    /// Use the client certificate in this folder [default: that of the profile].
    #[arg(long, value_name = "DIR")]
    credentials: Option<PathBuf>,
    /// How long to wait for the cluster, and for each answer of it, such as 500ms or 30s.
    #[arg(long, value_name = "SPAN", default_value = "10s", value_parser = span::parse)]
    pub(crate) timeout: Duration,
}

impl Reach {
    /// Waits for something, but no longer than the user wants.
    pub(crate) async fn within<T>(&self, what: &str, it: impl Future<Output = T>) -> Result<T, Failure> {
        let late = |_| Failure::TimedOut { what: what.to_owned(), after: self.timeout };
        tokio::time::timeout(self.timeout, it).await.map_err(late)
    }

    /// The profile, as far as the arguments do not say otherwise.
    pub(crate) fn profile(&self) -> Result<Profile, Failure> {
        if let (Some(credentials), false) = (&self.credentials, self.connect.is_empty()) {
            let (addresses, credentials) = (self.connect.clone(), credentials.clone());
            return Ok(Profile { addresses, credentials, authority: None });
        }
        let mut profile = match Profile::load(self.profile.as_deref()) {
            Err(ProfileError::NoneKnown | ProfileError::NoHome) if !self.connect.is_empty() => {
                return Err(Failure::Failed(
                    "--connect says where, but no profile says with which certificate: name its folder with \
                     --credentials (`quorate cert issue --client NAME` makes one), or a profile with --profile"
                        .into(),
                ));
            }
            loaded => loaded?,
        };
        if !self.connect.is_empty() {
            profile.addresses.clone_from(&self.connect);
        }
        if let Some(credentials) = &self.credentials {
            profile.credentials.clone_from(credentials);
        }
        Ok(profile)
    }
}

/// A connection to a cluster, which finds another node by itself when one is lost.
#[derive(Debug)]
pub(crate) struct Session {
    client: Client,
    timeout: Duration,
}

impl Session {
    /// Connects to the first node that answers.
    pub(crate) async fn open(reach: &Reach) -> Result<Self, Failure> {
        let Profile { addresses, credentials: folder, .. } = reach.profile()?;
        let credentials = credentials::of_client(&folder)?;
        credentials.check(SystemTime::now())?;
        let identity = credentials.identity();
        let mut settings = ClientSettings::new(identity.node.get(), identity.cluster.as_str(), addresses);
        settings.connect_within_ms = u64::try_from(reach.timeout.as_millis()).ok();
        let config = ClientConfig::try_from(settings).map_err(|error| Failure::Failed(error.to_string()))?;
        let transport = QuicTransport::bind(credentials, config.hello(), connection()?)?;
        let client = Client::connect(config, Arc::new(transport)).await.map_err(explain)?;
        Ok(Self { client, timeout: reach.timeout })
    }

    /// Connects, asks for the status of the node that answers, and leaves again.
    pub(crate) async fn status_once(reach: &Reach) -> Result<Status, Failure> {
        let session = Self::open(reach).await?;
        let status = session.status().await;
        session.close().await;
        status
    }

    /// The status of the node that is used.
    pub(crate) async fn status(&self) -> Result<Status, Failure> {
        self.ask("the status", async |client| client.status().await).await
    }

    /// The message bus of the cluster.
    pub(crate) fn bus(&self) -> Bus {
        self.client.bus()
    }

    /// Waits for an answer of the node that is used.
    pub(crate) async fn ask<T>(
        &self,
        what: &str,
        asking: impl AsyncFnOnce(&Client) -> Result<T, ClientError>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(self.timeout, asking(&self.client)).await {
            Ok(answer) => answer.map_err(explain),
            Err(_) => Err(Failure::TimedOut { what: what.to_owned(), after: self.timeout }),
        }
    }

    /// Ends the connection in order.
    pub(crate) async fn close(self) {
        // What was asked for is done; an end that takes long is nobody's concern.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.client.close()).await;
    }
}

/// Connections that notice soon that their node is gone, so that another one is used.
fn connection() -> Result<ConnectionConfig, Failure> {
    let settings = ConnectionSettings { idle_timeout_ms: NODE_GONE_MS, ..ConnectionSettings::default() };
    ConnectionConfig::try_from(settings).map_err(|error| Failure::Failed(error.to_string()))
}

fn explain(error: ClientError) -> Failure {
    match error {
        ClientError::Unreachable { endpoints, within, why } => {
            let endpoints: Vec<_> = endpoints.iter().map(ToString::to_string).collect();
            Failure::Failed(format!(
                "no node answers at {} within {} ({why}): is the cluster running (`quorate up` starts one here), \
                 and are the credentials of the same cluster?",
                endpoints.join(", "),
                span::show(within)
            ))
        }
        ClientError::NoGroup(name) => {
            Failure::Failed(format!("there is no group `{name}`: `quorate group ls` lists those there are"))
        }
        other => Failure::Failed(other.to_string()),
    }
}
