use std::{
    fs,
    time::{Duration, SystemTime},
};

use quorate_membership::NodeId;
use tempfile::tempdir;

use super::*;
use crate::Role;

fn ca(cluster: &str) -> ClusterCa {
    ClusterCa::create(cluster, Validity::days(10)).expect("the name is one of a cluster")
}

fn n(number: u64) -> NodeId {
    NodeId::new(number)
}

#[test]
fn credentials_say_who_they_are_for() {
    let ca = ca("prod");
    let node = ca.issue_node(n(7), Validity::days(1)).unwrap();
    assert_eq!(node.identity().to_string(), "quorate://prod/node/7");
    assert_eq!((node.identity().role, node.identity().node), (Role::Node, n(7)));

    let client = ca.issue_client(n(3), "reports", Validity::days(1)).unwrap();
    assert_eq!(client.identity().to_string(), "quorate://prod/client/3");
}

#[test]
fn an_authority_and_its_credentials_survive_files() {
    let folder = tempdir().unwrap();
    ca("prod").save(folder.path()).unwrap();
    let ca = ClusterCa::load(folder.path()).unwrap();
    assert_eq!(ca.cluster().as_str(), "prod");

    let paths = CredentialFiles::named(folder.path(), "n7");
    let issued = ca.issue_node(n(7), Validity::days(1)).unwrap();
    issued.save(&paths).unwrap();
    let loaded = Credentials::load(&paths).unwrap();
    assert_eq!(loaded.identity(), issued.identity());
    assert_eq!(loaded.validity(), issued.validity());
    // Once more is no harm, another node in the same place is.
    loaded.save(&paths).unwrap();
    let other = ca.issue_node(n(8), Validity::days(1)).unwrap();
    assert!(
        matches!(other.save(&paths), Err(CredentialError::Exists { place }) if place.ends_with("n7.pem"))
    );
    assert_eq!(Credentials::load(&paths).unwrap().identity().node, n(7));
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_a_key() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempdir().unwrap();
    let ca = ca("prod");
    ca.save(folder.path()).unwrap();
    let paths = CredentialFiles::of_node(folder.path());
    ca.issue_node(n(1), Validity::days(1)).unwrap().save(&paths).unwrap();
    for key in [paths.key, folder.path().join("ca.key")] {
        assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn private_keys_do_not_show() {
    let ca = ca("prod");
    let node = ca.issue_node(n(1), Validity::days(1)).unwrap();
    let shown = format!("{ca:?} {node:?}");
    assert!(shown.contains("prod"));
    let key_line = node.text.key.lines().nth(1).unwrap();
    assert!(!shown.contains(key_line) && !shown.to_lowercase().contains("private"), "{shown}");
}

#[test]
fn a_missing_file_is_named() {
    let folder = tempdir().unwrap();
    let error = Credentials::load(&CredentialFiles::of_node(folder.path())).unwrap_err();
    assert!(matches!(&error, CredentialError::Missing { place } if place.ends_with("ca.pem")), "{error}");
    assert!(matches!(ClusterCa::load(folder.path()), Err(CredentialError::Missing { .. })));
}

#[test]
fn what_is_no_pem_is_named() {
    let folder = tempdir().unwrap();
    let paths = CredentialFiles::of_node(folder.path());
    ca("prod").issue_node(n(1), Validity::days(1)).unwrap().save(&paths).unwrap();
    for (path, wanted_here) in [(&paths.key, "private key"), (&paths.chain, "certificate")] {
        fs::write(path, [0xff, 0x00, b'x']).unwrap();
        let error = Credentials::load(&paths).unwrap_err();
        let CredentialError::NotPem { place, wanted } = &error else { panic!("{error}") };
        assert_eq!((place.as_str(), *wanted), (path.to_str().unwrap(), wanted_here));
    }
}

#[test]
fn a_folder_in_place_of_a_file_is_named() {
    let folder = tempdir().unwrap();
    let paths = CredentialFiles::of_node(folder.path());
    fs::create_dir(&paths.ca).unwrap();
    let error = Credentials::load(&paths).unwrap_err();
    assert!(matches!(&error, CredentialError::Io { place, .. } if place.ends_with("ca.pem")), "{error}");
}

#[test]
fn a_key_of_another_certificate_is_found_out() {
    let ca = ca("prod");
    let (one, two) =
        (ca.issue_node(n(1), Validity::days(1)).unwrap(), ca.issue_node(n(2), Validity::days(1)).unwrap());
    let error = Credentials::from_pem(&one.text.ca, &one.text.chain, &two.text.key).unwrap_err();
    assert!(matches!(error, CredentialError::KeyMismatch { .. }), "{error}");

    let folder = tempdir().unwrap();
    ca.save(folder.path()).unwrap();
    fs::write(folder.path().join("ca.key"), &one.text.key).unwrap();
    let error = ClusterCa::load(folder.path()).unwrap_err();
    assert!(matches!(&error, CredentialError::KeyMismatch { key, .. } if key.ends_with("ca.key")), "{error}");
}

#[test]
fn an_authority_that_did_not_issue_the_certificate_is_found_out() {
    let node = ca("prod").issue_node(n(1), Validity::days(1)).unwrap();
    let error =
        Credentials::from_pem(ca("prod").certificate_pem(), &node.text.chain, &node.text.key).unwrap_err();
    assert!(matches!(error, CredentialError::NotIssued { .. }), "{error}");

    let error =
        Credentials::from_pem(ca("test").certificate_pem(), &node.text.chain, &node.text.key).unwrap_err();
    assert!(matches!(error, CredentialError::OtherCluster { .. }), "{error}");

    // A node's certificate is no authority's.
    let error = Credentials::from_pem(&node.text.chain, &node.text.chain, &node.text.key).unwrap_err();
    assert!(matches!(error, CredentialError::Malformed { .. }), "{error}");
}

#[test]
fn credentials_say_whether_they_are_valid_now() {
    let now = SystemTime::now();
    let hour = Duration::from_hours(1);
    let ca = ca("prod");
    let node = |from, until| ca.issue_node(n(1), Validity { from, until }).unwrap().check(now);
    assert!(node(now - hour, now + hour).is_ok());
    assert!(
        matches!(node(now - hour / 2, now - hour / 4), Err(CredentialError::Expired { seconds }) if seconds >= 900)
    );
    assert!(matches!(node(now + hour, now + 2 * hour), Err(CredentialError::NotYetValid { .. })));
}

#[test]
fn no_certificate_outlives_its_authority() {
    let ca = ca("prod");
    let node = ca.issue_node(n(1), Validity::days(1000)).unwrap();
    assert_eq!(node.validity().until, ca.validity().until);
}

#[test]
fn a_span_that_ends_before_it_begins_is_refused() {
    let now = SystemTime::now();
    let span = Validity { from: now, until: now - Duration::from_mins(1) };
    assert!(matches!(ca("prod").issue_node(n(1), span), Err(CredentialError::Crypto(_))));
}

#[test]
fn a_cluster_has_a_name_that_fits_a_certificate() {
    for good in ["a", "prod", "eu-west-2", &"x".repeat(63)] {
        assert!(good.parse::<ClusterName>().is_ok(), "{good}");
    }
    for bad in ["", "-a", "a-", "A", "a b", "a/b", "a.b", "ä", "a\n", &"x".repeat(64)] {
        assert!(bad.parse::<ClusterName>().is_err(), "{bad}");
        assert!(ClusterCa::create(bad, Validity::days(1)).is_err(), "{bad}");
    }
}

#[test]
fn an_identity_has_one_spelling() {
    assert!("quorate://prod/node/7".parse::<Identity>().is_ok());
    for bad in [
        "",
        "quorate://",
        "quorate://prod/node",
        "quorate://prod/node/",
        "quorate://prod/node/07",
        "quorate://prod/node/+7",
        "quorate://prod/node/7/",
        "quorate://prod/node/18446744073709551616",
        "quorate://prod/king/7",
        "quorate:///node/7",
        "https://prod/node/7",
        "QUORATE://prod/node/7",
    ] {
        assert!(bad.parse::<Identity>().is_err(), "{bad}");
    }
}

proptest::proptest! {
    #[test]
    fn arbitrary_bytes_are_no_identity_and_no_harm(bytes: Vec<u8>, text: String) {
        proptest::prop_assert!(identity::of_certificate(&CertificateDer::from(bytes.as_slice())).is_err());
        proptest::prop_assert!(text.parse::<Identity>().is_err());
        proptest::prop_assert!(Credentials::from_pem(&text, &text, &text).is_err());
    }
}

#[test]
fn a_list_of_revoked_certificates_grows_and_survives_files() {
    let folder = tempdir().unwrap();
    let ca = ca("prod");
    let [first, second, third] = [7, 8, 9].map(|number| ca.issue_node(n(number), Validity::days(1)).unwrap());
    let list = ca.revoke(&RevocationList::default(), [first.serial()]).unwrap();
    let path = folder.path().join("ca.crl");
    list.save(&path).unwrap();
    let list = ca.revoke(&RevocationList::load(&path).unwrap(), [second.serial()]).unwrap();
    list.save(&path).unwrap();

    let loaded = RevocationList::load(&path).unwrap();
    assert_eq!(loaded.number(), 2);
    let on_it = [&first, &second, &third].map(|credentials| loaded.contains(credentials.serial()));
    assert_eq!(on_it, [true, true, false]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "something was left behind");
    let since: Vec<_> = list.iter().map(|(_, since)| since).collect();
    assert!(since.iter().all(|since| since.elapsed().is_ok_and(|age| age < Duration::from_mins(1))));
}

#[test]
fn credentials_come_with_the_list_that_lies_beside_them() {
    let folder = tempdir().unwrap();
    let ca = ca("prod");
    let paths = CredentialFiles::of_node(folder.path());
    let (own, lost) =
        (ca.issue_node(n(7), Validity::days(1)).unwrap(), ca.issue_node(n(8), Validity::days(1)).unwrap());
    own.save(&paths).unwrap();
    assert!(!Credentials::load(&paths).unwrap().revoked().contains(lost.serial()));
    ca.revoke(&RevocationList::default(), [lost.serial()]).unwrap().save(&paths.revoked).unwrap();
    assert!(Credentials::load(&paths).unwrap().revoked().contains(lost.serial()));
    fs::write(&paths.revoked, "nothing of the kind").unwrap();
    let refused = Credentials::load(&paths);
    assert!(
        matches!(&refused, Err(CredentialError::NotPem { place, .. }) if place.ends_with("ca.crl")),
        "{refused:?}"
    );
}

#[test]
fn a_list_counts_only_if_the_own_authority_has_signed_it() {
    let (ca, namesake) = (ca("prod"), ca("prod"));
    let own = ca.issue_node(n(7), Validity::days(1)).unwrap();
    let foreign = namesake.revoke(&RevocationList::default(), [own.serial()]);
    let other = namesake.revoke(&RevocationList::default(), []).unwrap();
    let refused = own.clone().with_revoked(other);
    assert!(matches!(refused, Err(CredentialError::NotIssued { .. })), "{refused:?}");
    // Nor can another authority revoke it.
    let refused = own.clone().with_revoked(foreign.unwrap());
    assert!(matches!(refused, Err(CredentialError::NotIssued { .. })), "{refused:?}");
    let revoked = ca.revoke(&RevocationList::default(), [own.serial()]).unwrap();
    assert!(matches!(own.with_revoked(revoked), Err(CredentialError::Revoked { .. })));
}

#[test]
fn an_authority_knows_what_it_has_issued() {
    let folder = tempdir().unwrap();
    let (ca, namesake) = (ca("prod"), ca("prod"));
    let own = ca.issue_node(n(7), Validity::days(1)).unwrap();
    let paths = CredentialFiles::of_node(folder.path());
    own.save(&paths).unwrap();
    let (identity, serial) = ca.read_issued(&paths.chain).unwrap();
    assert_eq!((&identity, &serial), (own.identity(), own.serial()));
    let refused = namesake.read_issued(&paths.chain);
    assert!(matches!(refused, Err(CredentialError::NotIssued { .. })), "{refused:?}");
    let refused = ca.read_issued(&paths.key);
    assert!(matches!(refused, Err(CredentialError::NotPem { .. })), "{refused:?}");
    let refused = ca.read_issued(folder.path().join("none.pem"));
    assert!(matches!(refused, Err(CredentialError::Missing { .. })), "{refused:?}");
}

#[test]
fn serial_numbers_are_written_as_other_tools_write_them() {
    let serial: Serial = "00:0A:ff:01".parse().unwrap();
    assert_eq!(serial.to_string(), "0aff01");
    assert_eq!("aff01".parse::<Serial>().unwrap(), serial);
    for wrong in ["", "xyz", "+1", &"1".repeat(41), "\u{e9}1"] {
        assert!(matches!(wrong.parse::<Serial>(), Err(CredentialError::NotASerial(_))), "{wrong}");
    }
}

#[cfg(unix)]
#[test]
fn files_that_may_not_be_read_are_named() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempdir().unwrap();
    let paths = CredentialFiles::of_node(folder.path());
    ca("prod").issue_node(n(7), Validity::days(1)).unwrap().save(&paths).unwrap();
    for locked in [&paths.ca, &paths.chain, &paths.key] {
        let before = fs::metadata(locked).unwrap().permissions();
        fs::set_permissions(locked, fs::Permissions::from_mode(0o000)).unwrap();
        // Whoever may read everything, such as the superuser, is refused nothing.
        let denied = fs::read(locked).is_err();
        match Credentials::load(&paths) {
            Err(CredentialError::Permission { place }) => {
                assert!(denied && place == locked.display().to_string(), "{place}");
            }
            other => assert!(!denied && other.is_ok(), "{other:?}"),
        }
        fs::set_permissions(locked, before).unwrap();
    }
    let denied = files::io_error(&paths.key, std::io::ErrorKind::PermissionDenied.into()).to_string();
    assert!(denied.contains("node.key") && denied.contains("no permission"), "{denied}");
}
