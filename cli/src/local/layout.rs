//! Where a local cluster keeps what it needs, and what its nodes are told.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
};

use quorate::{
    membership::NodeId,
    transport::{CredentialFiles, Validity},
};
use tempfile::TempDir;

use super::claim::TEMPORARY;
use crate::{
    Failure,
    address::AddressError,
    authority::{Authority, hand_out},
    failure::one_line,
    profile::Profile,
};

const CLUSTER: &str = "local";
/// The group that a local cluster is declared with.
pub(crate) const GROUP: &str = "log";
/// The subjects that are bound to it.
pub(crate) const PATTERN: &str = "log.>";

/// Ports for nodes that may take any: below those that systems give to sockets without a wish.
const DRAWN_PORTS: std::ops::Range<u16> = 16_384..32_768;
/// Ports that are tried before too few are free.
const DRAWS_MAX: u32 = 1024;

const CA_DAYS: u32 = 3650;
const DAYS: u32 = 365;

/// The folders, files and addresses of a local cluster.
#[derive(Debug)]
pub(crate) struct Layout {
    folder: PathBuf,
    addresses: Vec<SocketAddr>,
    // Of the first node; the others follow.
    metrics: Option<SocketAddr>,
    // Removed with its content when the cluster has stopped.
    temporary: Option<TempDir>,
}

impl Layout {
    /// Prepares a folder, or a temporary one, for so many nodes at loopback addresses from `port`
    /// on; port 0 takes any that are free. Credentials that are missing are made. With `metrics`
    /// each node serves figures of its own, at that port and those after it.
    pub(crate) fn prepare(
        folder: Option<&Path>,
        nodes: u16,
        port: u16,
        metrics: Option<SocketAddr>,
    ) -> Result<Self, Failure> {
        let addresses = addresses(nodes, port)?;
        if let Some(addr) = metrics {
            check_ports("--metrics", nodes, addr.port())?;
        }
        let (folder, temporary) = if let Some(folder) = folder {
            let whole = fs::create_dir_all(folder).and_then(|()| fs::canonicalize(folder));
            (whole.map_err(|error| unwritable(folder, &error))?, None)
        } else {
            let made = tempfile::Builder::new().prefix(TEMPORARY).tempdir();
            let made = made.map_err(|error| unwritable(&std::env::temp_dir(), &error))?;
            (made.path().to_owned(), Some(made))
        };
        let layout = Self { folder, addresses, metrics, temporary };
        layout.make_credentials()?;
        for node in layout.nodes() {
            layout.write_config(node)?;
        }
        Ok(layout)
    }

    /// The nodes, in order.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        (1..=self.addresses.len() as u64).map(NodeId::new)
    }

    /// Where a node listens.
    pub(crate) fn address(&self, node: NodeId) -> SocketAddr {
        self.addresses[node.get() as usize - 1]
    }

    /// Where a node serves its figures, if it does.
    pub(crate) fn metrics(&self, node: NodeId) -> Option<SocketAddr> {
        let first = self.metrics?;
        let offset = (node.get() - 1) as u16; // there are few nodes
        Some(SocketAddr::new(first.ip(), first.port() + offset))
    }

    /// The configuration of a node.
    pub(crate) fn config(&self, node: NodeId) -> PathBuf {
        self.folder.join(format!("{node}.toml"))
    }

    /// Where everything lies.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether everything is removed in the end.
    pub(crate) fn is_temporary(&self) -> bool {
        self.temporary.is_some()
    }

    /// What clients need to know.
    pub(crate) fn profile(&self) -> Profile {
        let (credentials, authority) = (self.certs().join("client"), Some(self.certs()));
        Profile { addresses: self.addresses.clone(), credentials, authority }
    }

    fn certs(&self) -> PathBuf {
        self.folder.join("certs")
    }

    fn make_credentials(&self) -> Result<(), Failure> {
        let certs = self.certs();
        let authority = if certs.join("ca.key").exists() {
            Authority::load(&certs)?
        } else {
            Authority::create(CLUSTER, Validity::days(CA_DAYS), &certs)?
        };
        for node in self.nodes() {
            let files = CredentialFiles::of_node(certs.join(node.to_string()));
            if !files.key.exists() {
                hand_out(&authority.issue_node(node, Validity::days(DAYS))?, &files)?;
            }
        }
        let files = CredentialFiles::of_client(certs.join("client"));
        if !files.key.exists() {
            hand_out(&authority.issue_client("client", Validity::days(DAYS))?, &files)?;
        }
        Ok(())
    }

    fn write_config(&self, node: NodeId) -> Result<(), Failure> {
        let quoted = |items: Vec<String>| {
            items.iter().map(|item| format!("\"{item}\"")).collect::<Vec<_>>().join(", ")
        };
        let seeds = self.nodes().filter(|other| *other != node).map(|other| self.address(other).to_string());
        let metrics = self.metrics(node).map(|addr| format!("metrics = \"{addr}\"\n")).unwrap_or_default();
        let text = format!(
            "# Written by `quorate up`, anew at each start.\n\
             listen = \"{}\"\ncredentials = \"certs/{node}\"\nseeds = [{}]\ndata = \"data/{node}\"\n{metrics}\n\
             [[groups]]\nname = \"{GROUP}\"\norder = \"uniform\"\nfounders = [{}]\nsubjects = [\"{PATTERN}\"]\n",
            self.address(node),
            quoted(seeds.collect()),
            quoted(self.nodes().map(|node| node.to_string()).collect()),
        );
        let path = self.config(node);
        fs::write(&path, text).map_err(|error| unwritable(&path, &error))
    }
}

fn unwritable(path: &Path, source: &io::Error) -> Failure {
    match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Failure::Failed(format!(
            "no permission to write {}: change its owner or mode, or choose another folder with --data",
            path.display()
        )),
        _ => Failure::Failed(format!(
            "cannot write {}: {source}: choose another folder with --data",
            path.display()
        )),
    }
}

/// Makes sure that there are ports for all nodes from this one on.
fn check_ports(option: &str, nodes: u16, first: u16) -> Result<(), Failure> {
    let last = u16::MAX - (nodes - 1);
    if first <= last {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "{nodes} nodes need as many ports from {first} on: choose {last} or lower with {option}"
    )))
}

/// Addresses that are free now. Another process may still be quicker; then the node says so.
fn addresses(nodes: u16, port: u16) -> Result<Vec<SocketAddr>, Failure> {
    if port == 0 {
        return free_addresses(nodes);
    }
    check_ports("--port", nodes, port)?;
    let mut sockets = Vec::new();
    for offset in 0..nodes {
        let port = port + offset;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let socket = UdpSocket::bind(addr).map_err(|error| {
            let advice = if error.kind() == io::ErrorKind::AddrInUse { " with --port" } else { "" };
            Failure::Failed(AddressError::new(addr, error).to_string() + advice)
        })?;
        sockets.push(socket);
    }
    let addresses = sockets.iter().map(UdpSocket::local_addr).collect::<Result<_, _>>();
    addresses.map_err(|error| Failure::Failed(one_line(&error)))
}

/// Addresses at ports that are drawn from [`DRAWN_PORTS`]. The system's own choice for port 0 would
/// be free as well, and given to the next client that asks before the node has taken it.
fn free_addresses(nodes: u16) -> Result<Vec<SocketAddr>, Failure> {
    let chance = std::hash::RandomState::new();
    let mut sockets: Vec<UdpSocket> = Vec::new();
    for attempt in 0..DRAWS_MAX {
        if sockets.len() == usize::from(nodes) {
            break;
        }
        let drawn = std::hash::BuildHasher::hash_one(&chance, attempt);
        let span = u64::from(DRAWN_PORTS.end - DRAWN_PORTS.start);
        let port = DRAWN_PORTS.start + (drawn % span) as u16;
        // One that is taken is passed over.
        sockets.extend(UdpSocket::bind((Ipv4Addr::LOCALHOST, port)));
    }
    if sockets.len() < usize::from(nodes) {
        return Err(Failure::Failed("too few ports are free: choose where they begin with --port".into()));
    }
    let addresses = sockets.iter().map(UdpSocket::local_addr).collect::<Result<_, _>>();
    addresses.map_err(|error| Failure::Failed(one_line(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NodeFile;

    #[test]
    fn what_is_written_for_a_node_is_a_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let layout =
            Layout::prepare(Some(folder.path()), 3, 0, Some("127.0.0.1:9100".parse().unwrap())).unwrap();
        for node in layout.nodes() {
            let file = NodeFile::load(&layout.config(node)).unwrap();
            let identity = format!("quorate://local/node/{}", node.get()).parse().unwrap();
            assert_eq!(file.config(&identity).unwrap().groups()[0].name(), GROUP);
            assert_eq!((file.listen, file.seeds.len()), (layout.address(node), 2));
            assert_eq!(u64::from(file.metrics.unwrap().port()), 9099 + node.get());
        }
    }

    #[test]
    fn credentials_are_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let key = |layout: &Layout| fs::read(layout.certs().join("n1/node.key")).unwrap();
        let first = key(&Layout::prepare(Some(folder.path()), 1, 0, None).unwrap());
        let more = Layout::prepare(Some(folder.path()), 2, 0, None).unwrap();
        assert_eq!(key(&more), first);
        assert!(more.certs().join("n2/node.key").exists());
    }

    #[test]
    fn a_temporary_folder_goes_with_the_cluster() {
        let layout = Layout::prepare(None, 1, 0, None).unwrap();
        let folder = layout.folder().to_owned();
        assert!(folder.exists() && layout.is_temporary());
        drop(layout);
        assert!(!folder.exists());
    }
}
