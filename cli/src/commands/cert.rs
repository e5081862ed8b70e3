//! `quorate cert`: the authority of a cluster, and credentials of nodes and clients.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use clap::Subcommand;
use quorate::membership::NodeId;
use quorate::transport::{ClusterCa, CredentialFiles, Credentials, Validity};
use serde::Serialize;

use crate::{Failure, output::Output};

/// Make the certificates by which nodes and clients know each other.
///
/// A cluster has one authority. Whoever has its key decides who belongs to the cluster: keep it
/// away from the nodes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: the credentials of a node and of a client
  quorate cert init --cluster prod
  quorate cert issue --node n1
  quorate cert issue --client reports")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make the authority of a new cluster: `ca.pem` and `ca.key`.
    Init(Init),
    /// Make the credentials of a node or a client: a folder to copy to where it runs.
    Issue(Issue),
}

#[derive(Debug, clap::Args)]
struct Init {
    /// Name of the cluster: letters a-z, digits and hyphens.
    #[arg(long, value_name = "NAME", default_value = "quorate")]
    cluster: String,
    /// Folder to write into.
    #[arg(long, value_name = "DIR", default_value = "certs")]
    out: PathBuf,
    /// How long the authority is valid.
    #[arg(long, default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("holder").required(true).args(["node", "client"])))]
struct Issue {
    /// Credentials for the node with this number, such as n1; each number for one node only.
    #[arg(long, value_name = "NODE")]
    node: Option<NodeId>,
    /// Credentials for a client of this name.
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// Folder of the authority.
    #[arg(long, value_name = "DIR", default_value = "certs")]
    ca: PathBuf,
    /// Folder to write into; without it a folder in that of the authority.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// How long the certificate is valid.
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// What was made, for programs.
#[derive(Serialize)]
struct Made<'a> {
    identity: String,
    folder: &'a Path,
    valid_days: u64,
}

/// Carries out `quorate cert`.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.what {
        What::Init(args) => init(args),
        What::Issue(args) => issue(args),
    }
}

fn init(args: &Init) -> Result<(), Failure> {
    let ca = ClusterCa::create(&args.cluster, Validity::days(args.days))?;
    ca.save(&args.out)?;
    let made = Made {
        identity: format!("authority of cluster {}", ca.cluster()),
        folder: &args.out,
        valid_days: days_left(ca.validity()),
    };
    tell(&made, "ca.pem, and ca.key that must stay secret", args.json)
}

fn issue(args: &Issue) -> Result<(), Failure> {
    let ca = ClusterCa::load(&args.ca)?;
    let validity = Validity::days(args.days);
    let (credentials, name) = match (args.node, &args.client) {
        (Some(node), _) => (ca.issue_node(node, validity)?, node.to_string()),
        (None, Some(name)) => (issue_client(&ca, name, validity)?, name.clone()),
        (None, None) => return Err(Failure::Usage("write --node NODE or --client NAME".into())),
    };
    let folder = match &args.out {
        Some(folder) => folder.clone(),
        None => args.ca.join(file_name(&name)?),
    };
    let (files, shown) = match args.node {
        Some(_) => (CredentialFiles::of_node(&folder), "ca.pem, node.pem, node.key"),
        None => (CredentialFiles::of_client(&folder), "ca.pem, client.pem, client.key"),
    };
    credentials.save(&files)?;
    let made = Made {
        identity: credentials.identity().to_string(),
        folder: &folder,
        valid_days: days_left(credentials.validity()),
    };
    tell(&made, shown, args.json)
}

/// Makes a client's credentials. Its number is drawn, since nobody keeps a list of clients.
pub(crate) fn issue_client(ca: &ClusterCa, name: &str, validity: Validity) -> Result<Credentials, Failure> {
    let drawn = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), name);
    Ok(ca.issue_client(NodeId::new(drawn), name, validity)?)
}

// A client's name becomes a folder unless another one is given: it must not lead elsewhere.
fn file_name(name: &str) -> Result<&str, Failure> {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c));
    if plain && !name.starts_with('.') {
        Ok(name)
    } else {
        let what = format!("`{name}` cannot name a folder: use letters, digits and hyphens, or give --out");
        Err(Failure::Usage(what))
    }
}

/// Whole days until a certificate ends.
pub(crate) fn days_left(validity: Validity) -> u64 {
    validity.until.duration_since(SystemTime::now()).unwrap_or_default().as_secs().div_ceil(86_400)
}

fn tell(made: &Made<'_>, files: &str, json: bool) -> Result<(), Failure> {
    let mut output = Output::new();
    if json {
        output.json(made)?;
    } else {
        let (identity, days) = (&made.identity, made.valid_days);
        output.line(format!("{identity}, valid for {days} days"))?;
        output.line(format!("  {}: {files}", made.folder.display()))?;
    }
    output.flush()
}
