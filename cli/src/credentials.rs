//! Credentials of a folder that the user names.

use std::path::Path;

use quorate::transport::{CredentialError, CredentialFiles, Credentials};

use crate::Failure;

/// Loads what a node shows to others.
pub(crate) fn of_node(folder: &Path) -> Result<Credentials, Failure> {
    let (own, other) = (CredentialFiles::of_node(folder), CredentialFiles::of_client(folder));
    load(&own, &other).map_err(|why| wrong_kind(why, folder, "a client", "a node", "--node NUMBER"))
}

/// Loads what a client shows to nodes.
pub(crate) fn of_client(folder: &Path) -> Result<Credentials, Failure> {
    let (own, other) = (CredentialFiles::of_client(folder), CredentialFiles::of_node(folder));
    load(&own, &other).map_err(|why| wrong_kind(why, folder, "a node", "a client", "--client NAME"))
}

/// Why there are no credentials: the error, or `None` if those of the other kind are in their place.
fn load(own: &CredentialFiles, other: &CredentialFiles) -> Result<Credentials, Option<CredentialError>> {
    Credentials::load(own).map_err(|error| {
        let other_kind =
            matches!(error, CredentialError::Missing { .. }) && !own.chain.exists() && other.chain.exists();
        (!other_kind).then_some(error)
    })
}

fn wrong_kind(why: Option<CredentialError>, folder: &Path, is: &str, wanted: &str, option: &str) -> Failure {
    why.map_or_else(
        || {
            Failure::Failed(format!(
                "{} holds the credentials of {is}, and those of {wanted} are needed: `quorate cert issue {option}` \
                 makes them",
                folder.display()
            ))
        },
        Failure::from,
    )
}

#[cfg(test)]
mod tests {
    use quorate::{membership::NodeId, transport::Validity};

    use super::*;
    use crate::authority::{Authority, hand_out};

    #[test]
    fn credentials_of_the_other_kind_are_named_as_such() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::create("demo", Validity::days(1), &folder.path().join("ca")).unwrap();
        let (node, client) = (folder.path().join("n1"), folder.path().join("c"));
        let files = CredentialFiles::of_node(&node);
        hand_out(&authority.issue_node(NodeId::new(1), Validity::days(1)).unwrap(), &files).unwrap();
        let files = CredentialFiles::of_client(&client);
        hand_out(&authority.issue_client("c", Validity::days(1)).unwrap(), &files).unwrap();

        of_node(&node).unwrap();
        of_client(&client).unwrap();
        let text = of_client(&node).unwrap_err().to_string();
        let expected = "holds the credentials of a node, and those of a client are needed: `quorate cert issue \
                        --client NAME` makes them";
        assert!(text.ends_with(expected), "{text}");
        let text = of_node(&client).unwrap_err().to_string();
        assert!(text.contains("of a client, and those of a node are needed"), "{text}");
        let text = of_node(&folder.path().join("none")).unwrap_err().to_string();
        assert!(text.contains("does not exist: make credentials first"), "{text}");
    }
}
