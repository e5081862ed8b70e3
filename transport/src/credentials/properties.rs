//! Texts, certificates and lists that are damaged or none at all: refused, and never believed.

use std::sync::LazyLock;

use proptest::prelude::*;
use quorate_membership::NodeId;

use super::*;
use crate::Role;

/// A node of an authority, another certificate, and the list that revokes that one.
static ISSUED: LazyLock<(Credentials, Serial, RevocationList)> = LazyLock::new(|| {
    let ca = ClusterCa::create("prod", Validity::days(10)).expect("a name of a cluster");
    let [own, other] = [1, 2].map(|number| ca.issue_node(NodeId::new(number), Validity::days(1)).unwrap());
    let list = ca.revoke(&RevocationList::default(), [other.serial()]).unwrap();
    (own, other.serial().clone(), list)
});

/// The text with one character of its body changed to another that stands in such texts.
fn damage(pem: &str, at: prop::sample::Index, letter: char) -> String {
    let body = pem.find('\n').expect("more than a line") + 1..pem.rfind("\n-----").expect("an end");
    let place = body.start + at.index(body.len());
    let place = if pem.as_bytes()[place] == b'\n' { place - 1 } else { place };
    format!("{}{letter}{}", &pem[..place], &pem[place + 1..])
}

fn letters() -> impl Strategy<Value = char> {
    prop::sample::select(
        ('A'..='Z').chain('a'..='z').chain('0'..='9').chain("+/=-".chars()).collect::<Vec<_>>(),
    )
}

fn armored(label: &str, body: &str) -> String {
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

proptest! {
    #[test]
    fn an_identity_comes_back_and_has_no_other_spelling(
        cluster in "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", number: u64, client: bool,
        at in any::<prop::sample::Index>(), letter in "[ -~]",
    ) {
        let role = if client { Role::Client } else { Role::Node };
        let cluster: ClusterName = cluster.parse().expect("such names are allowed");
        let identity = Identity { cluster, role, node: NodeId::new(number) };
        let mut text = identity.to_string();
        prop_assert_eq!(text.parse(), Ok(identity));
        let place = at.index(text.len());
        text.replace_range(place..=place, &letter);
        if let Ok(other) = text.parse::<Identity>() {
            prop_assert_eq!(other.to_string(), text);
        }
    }

    #[test]
    fn a_name_of_a_cluster_is_a_label_of_a_domain(text in prop_oneof!["[a-zA-Z0-9.-]{0,70}", any::<String>()]) {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let is_label = (1..=63).contains(&text.len()) && text.chars().all(inner)
            && !text.starts_with('-') && !text.ends_with('-');
        prop_assert_eq!(text.parse::<ClusterName>().is_ok(), is_label);
    }

    #[test]
    fn a_serial_number_is_its_digits(text in prop_oneof!["[0-9a-fA-F:]{0,60}", any::<String>()]) {
        let digits: String = text.chars().filter(|c| *c != ':').collect();
        let fits = (1..=40).contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_hexdigit());
        let serial = text.parse::<Serial>();
        prop_assert_eq!(serial.is_ok(), fits);
        if let Ok(serial) = serial {
            let shown = serial.to_string();
            let significant = digits.to_lowercase().trim_start_matches('0').to_owned();
            prop_assert_eq!(shown.trim_start_matches('0'), significant);
        }
    }

    #[test]
    fn arbitrary_text_in_the_right_armor_is_no_list_and_no_certificate(
        body in prop_oneof!["[A-Za-z0-9+/\n]{0,200}={0,2}", any::<String>()],
    ) {
        prop_assert!(RevocationList::from_pem(&armored("X509 CRL", &body)).is_err());
        prop_assert!(RevocationList::from_pem(&body).is_err());
        let [certificate, key] = ["CERTIFICATE", "PRIVATE KEY"].map(|label| armored(label, &body));
        let own = &ISSUED.0.text;
        prop_assert!(Credentials::from_pem(&certificate, &own.chain, &own.key).is_err());
        prop_assert!(Credentials::from_pem(&own.ca, &certificate, &own.key).is_err());
        prop_assert!(Credentials::from_pem(&own.ca, &own.chain, &key).is_err());
    }

    #[test]
    fn a_damaged_list_is_refused_unless_it_says_the_same(
        at in any::<prop::sample::Index>(), letter in letters(),
    ) {
        let (own, revoked, list) = &*ISSUED;
        let Ok(damaged) = RevocationList::from_pem(&damage(list.pem(), at, letter)) else { return Ok(()) };
        let same = damaged.der() == list.der();
        let believed = own.clone().with_revoked(damaged);
        prop_assert_eq!(believed.is_ok(), same);
        prop_assert!(believed.is_err() || believed.unwrap().revoked().contains(revoked));
    }

    #[test]
    fn a_damaged_certificate_or_key_makes_nobody_somebody_else(
        which in 0..3_usize, at in any::<prop::sample::Index>(), letter in letters(),
    ) {
        let own = &ISSUED.0;
        let mut texts = [own.text.ca.clone(), own.text.chain.clone(), own.text.key.clone()];
        texts[which] = damage(&texts[which], at, letter);
        if let Ok(read) = Credentials::from_pem(&texts[0], &texts[1], &texts[2]) {
            prop_assert_eq!((read.identity(), read.serial()), (own.identity(), own.serial()));
        }
    }
}
