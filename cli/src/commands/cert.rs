//! `quorate cert`: the authority of a cluster, and credentials of nodes and clients.

mod ls;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use quorate::membership::NodeId;
use quorate::transport::{ClusterName, CredentialFiles, Serial, Validity};
use serde::Serialize;

use crate::{
    Failure,
    authority::{Authority, Revoked, Which, hand_out},
    output, span,
};

/// Make the certificates by which nodes and clients know each other.
///
/// A cluster has one authority. Whoever has its key decides who belongs to the cluster: keep it
/// away from the nodes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: the credentials of a node and of a client
  quorate cert init --cluster prod
  quorate cert issue --node n1
  quorate cert issue --client reports
  quorate cert ls
  quorate cert revoke --node n1           (when its key is lost)")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Init(Init),
    Issue(Issue),
    Ls(ls::Args),
    Revoke(Revoke),
}

/// Make the authority of a new cluster: `ca.pem` and `ca.key`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: quorate cert init --cluster prod --out safe")]
struct Init {
    /// Name of the cluster: letters a-z, digits and hyphens.
    #[arg(long, value_name = "NAME", default_value = "quorate")]
    cluster: ClusterName,
    /// Folder to write into.
    #[arg(long, value_name = "DIR", default_value = "certs")]
    out: PathBuf,
    /// How many days the authority is valid, 1 to 36500.
    #[arg(long, default_value_t = 3650, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Make the credentials of a node or a client: a folder to copy to where it runs.
///
/// What is issued is noted in `issued.jsonl` beside the authority's key, so that it can be revoked.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quorate cert issue --node n1 --days 90
  quorate cert issue --client reports --ca safe --out reports")]
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
    /// How many days the certificate is valid, 1 to 36500.
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: u32,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// Revoke a certificate: whoever holds it is let in no more.
///
/// The list of revoked certificates, `ca.crl`, is written into the authority's folder and into the
/// folders of credentials below it. It has an effect at the nodes that have it: copy it beside the
/// certificate of each node, and have the node read it with `kill -HUP`, or restart it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  quorate cert revoke --node n1
  quorate cert revoke --certificate n1/node.pem --ca safe")]
#[command(group(clap::ArgGroup::new("which").required(true).args(["node", "client", "serial", "certificate"])))]
struct Revoke {
    /// All certificates that were issued to the node with this number, such as n1.
    #[arg(long, value_name = "NODE")]
    node: Option<NodeId>,
    /// All certificates that were issued to clients of this name.
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// The certificate with this serial number, in hexadecimal digits.
    #[arg(long, value_name = "HEX")]
    serial: Option<Serial>,
    /// The certificate in this file, such as certs/n1/node.pem.
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Folder of the authority.
    #[arg(long, value_name = "DIR", default_value = "certs")]
    ca: PathBuf,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

/// What was made, for programs.
#[derive(Serialize)]
struct Made<'a> {
    identity: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<String>,
    folder: &'a Path,
    valid_days: u64,
}

/// Carries out `quorate cert`.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    match &args.what {
        What::Init(args) => init(args),
        What::Issue(args) => issue(args),
        What::Ls(args) => ls::run(args),
        What::Revoke(args) => revoke(args),
    }
}

fn init(args: &Init) -> Result<(), Failure> {
    let authority = Authority::create(args.cluster.as_str(), Validity::days(args.days), &args.out)?;
    let made = Made {
        serial: None,
        identity: format!("authority of cluster {}", authority.cluster()),
        folder: &args.out,
        valid_days: span::days_until(authority.validity().until),
    };
    tell(&made, "ca.pem, and ca.key that must stay secret", args.json)
}

fn issue(args: &Issue) -> Result<(), Failure> {
    let authority = Authority::load(&args.ca)?;
    let validity = Validity::days(args.days);
    let (credentials, name) = match (args.node, &args.client) {
        (Some(node), _) => (authority.issue_node(node, validity)?, node.to_string()),
        (None, Some(name)) => (authority.issue_client(name, validity)?, name.clone()),
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
    hand_out(&credentials, &files)?;
    let made = Made {
        serial: Some(credentials.serial().to_string()),
        identity: credentials.identity().to_string(),
        folder: &folder,
        valid_days: span::days_until(credentials.validity().until),
    };
    tell(&made, shown, args.json)
}

fn revoke(args: &Revoke) -> Result<(), Failure> {
    let which = match (args.node, &args.client, &args.serial, &args.certificate) {
        (Some(node), ..) => Which::Node(node),
        (_, Some(name), ..) => Which::Client(name.clone()),
        (_, _, Some(serial), _) => Which::Serial(serial.clone()),
        (.., Some(path)) => Which::File(path.clone()),
        _ => return Err(Failure::Usage("write --node, --client, --serial or --certificate".into())),
    };
    tell_revoked(&Authority::load(&args.ca)?.revoke(&which)?, args.json)
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

fn tell(made: &Made<'_>, files: &str, json: bool) -> Result<(), Failure> {
    output::tell(json, made, |output| {
        let (identity, days) = (&made.identity, made.valid_days);
        output.line(format!("{identity}, valid for {days} days"))?;
        output.line(format!("  {}: {files}", made.folder.display()))
    })
}

/// What was revoked, for programs.
#[derive(Serialize)]
struct Told<'a> {
    revoked: Vec<Certificate<'a>>,
    list: &'a Path,
    revoked_total: usize,
    folders: &'a [PathBuf],
}

#[derive(Serialize)]
struct Certificate<'a> {
    serial: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<&'a str>,
}

fn tell_revoked(revoked: &Revoked, json: bool) -> Result<(), Failure> {
    let Revoked { certificates, path, listed, folders } = revoked;
    let shown = certificates
        .iter()
        .map(|(serial, holder)| Certificate { serial: serial.to_string(), identity: holder.as_deref() });
    let told = Told { revoked: shown.collect(), list: path, revoked_total: *listed, folders };
    output::tell(json, &told, |output| {
        for Certificate { serial, identity } in &told.revoked {
            let holder = identity.unwrap_or("a certificate");
            output.line(format!("{holder} is revoked, serial number {serial}"))?;
        }
        let here: Vec<_> = folders.iter().map(|folder| folder.display().to_string()).collect();
        let here = if here.is_empty() { String::new() } else { format!("; also in {}", here.join(", ")) };
        output.line(format!("  {}: {listed} revoked in all{here}", path.display()))?;
        output.line("  copy it beside the certificate of each node, then `kill -HUP` the node")
    })
}
