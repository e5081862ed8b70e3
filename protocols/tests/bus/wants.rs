//! Subjects, patterns and wants of so few words that they often meet.

use proptest::{prelude::*, sample::select};
use quorate_membership::NodeId;
use quorate_protocols::bus::{Announcement, Pattern, Subject, Want};

/// `c` stands in no pattern, for a word that none names.
const WORDS: [&str; 3] = ["a", "b", "c"];

pub(crate) fn subjects() -> impl Strategy<Value = Subject> {
    prop::collection::vec(select(&WORDS[..]), 1..4).prop_map(|words| words.join(".").parse().expect("words"))
}

/// Up to three words or wildcards, then perhaps `>`.
pub(crate) fn patterns() -> impl Strategy<Value = Pattern> {
    let parts = prop::collection::vec(select(&["a", "b", "*"][..]), 0..4);
    (parts, any::<bool>()).prop_map(|(mut parts, rest)| {
        if rest || parts.is_empty() {
            parts.push(">");
        }
        parts.join(".").parse().expect("parts")
    })
}

pub(crate) fn wants() -> impl Strategy<Value = Want> {
    let queue = select(&[None, None, Some("q"), Some("r")][..]);
    (patterns(), queue).prop_map(|(pattern, queue)| Want { pattern, queue: queue.map(str::to_owned) })
}

pub(crate) fn announcements() -> impl Strategy<Value = Announcement> {
    prop_oneof![
        1 => prop::collection::vec(wants(), 0..4).prop_map(Announcement::Whole),
        3 => wants().prop_map(Announcement::Add),
        2 => wants().prop_map(Announcement::Remove),
    ]
}

/// Peers of node 1.
pub(crate) fn peers() -> impl Strategy<Value = NodeId> {
    (2..5_u64).prop_map(NodeId::new)
}

/// All subjects of up to `most` of the words.
pub(crate) fn all_subjects(most: usize) -> Vec<Subject> {
    let mut texts: Vec<String> = WORDS.map(str::to_owned).to_vec();
    let mut longest = texts.clone();
    for _ in 1..most {
        let longer = |text: &String| WORDS.map(|word| format!("{text}.{word}"));
        longest = longest.iter().flat_map(longer).collect();
        texts.extend(longest.iter().cloned());
    }
    texts.iter().map(|text| text.parse().expect("words")).collect()
}

/// The definition of a match: `*` stands for one word, a last `>` for one or more.
pub(crate) fn selects(pattern: &[&str], subject: &[&str]) -> bool {
    match (pattern, subject) {
        ([], []) => true,
        ([">"], rest) => !rest.is_empty(),
        ([part, pattern @ ..], [word, subject @ ..]) => {
            (*part == "*" || part == word) && selects(pattern, subject)
        }
        _ => false,
    }
}

pub(crate) fn matches(pattern: &Pattern, subject: &Subject) -> bool {
    let parts: Vec<&str> = pattern.as_str().split('.').collect();
    let words: Vec<&str> = subject.as_str().split('.').collect();
    selects(&parts, &words)
}
