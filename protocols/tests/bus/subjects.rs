//! Texts, and what patterns select, overlap and cover.

use proptest::{prelude::*, sample::select};
use quorate_protocols::bus::{Pattern, Subject, SubjectError, Want};
use serde::de::DeserializeOwned;

use crate::wants::{all_subjects, matches, patterns, subjects, wants};

/// Pieces out of which subjects, patterns and what is nearly one are made.
fn texts() -> impl Strategy<Value = String> {
    let pieces = select(&["a", "ä", "*", ">", ".", ".", " ", "\u{7}", "\u{2003}", "x*"][..]);
    let made = prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat());
    let long = (250..260_usize).prop_map(|length| "l".repeat(length));
    prop_oneof![6 => made, 1 => any::<String>(), 1 => long]
}

/// Whether the grammar of subjects allows a text: 1 to 255 bytes, words of visible characters.
fn is_words(text: &str) -> bool {
    let visible = |c: char| !c.is_whitespace() && !c.is_control();
    (1..=255).contains(&text.len())
        && text.split('.').all(|word| !word.is_empty() && word.chars().all(visible))
}

fn is_pattern(text: &str) -> bool {
    let parts: Vec<&str> = text.split('.').collect();
    let plain = |part: &str| !part.contains(['*', '>']);
    let fits = |(place, part): (usize, &&str)| {
        *part == "*" || *part == ">" && place + 1 == parts.len() || plain(part)
    };
    is_words(text) && parts.iter().enumerate().all(fits)
}

/// What bytes say, if they are the value and nothing else says more than its text does.
fn read<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    rmp_serde::from_slice(bytes).ok()
}

proptest! {
    #[test]
    fn a_text_is_a_subject_or_a_pattern_exactly_if_the_grammar_says_so(text in texts()) {
        let (subject, pattern) = (text.parse::<Subject>(), text.parse::<Pattern>());
        prop_assert_eq!(subject.is_ok(), is_words(&text) && !text.contains(['*', '>']));
        prop_assert_eq!(pattern.is_ok(), is_pattern(&text));
        for error in [subject.as_ref().err(), pattern.as_ref().err()].into_iter().flatten() {
            let size = matches!(error, SubjectError::Size(bytes) if *bytes == text.len());
            prop_assert!(size || error.to_string().contains(&text));
        }
        // On the wire they are their text, and no other text gets in.
        let wire = rmp_serde::to_vec(&text).expect("a text");
        prop_assert_eq!(read::<Subject>(&wire), subject.ok());
        prop_assert_eq!(read::<Pattern>(&wire), pattern.ok());
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_are_what_could_have_been_written(bytes: Vec<u8>) {
        if let Some(subject) = read::<Subject>(&bytes) {
            prop_assert_eq!(subject.as_str().parse(), Ok(subject.clone()));
        }
        if let Some(want) = read::<Want>(&bytes) {
            prop_assert!(want.queue.as_ref().is_none_or(|name| name.len() <= Want::QUEUE_BYTES_MAX));
            prop_assert_eq!(read::<Want>(&rmp_serde::to_vec(&want).expect("a want")), Some(want));
        }
    }

    #[test]
    fn a_want_comes_back_as_it_was(want in wants()) {
        prop_assert_eq!(read::<Want>(&rmp_serde::to_vec(&want).expect("a want")), Some(want));
    }

    #[test]
    fn a_pattern_selects_what_a_naive_matcher_selects(pattern in patterns(), subject in subjects()) {
        prop_assert_eq!(pattern.matches(&subject), matches(&pattern, &subject));
        prop_assert!(Pattern::from(&subject).matches(&subject));
    }

    #[test]
    fn patterns_overlap_and_cover_as_the_subjects_that_they_select_do(a in patterns(), b in patterns()) {
        // A pattern of up to four parts tells no more than five words apart.
        let all = all_subjects(5);
        let both = all.iter().any(|subject| matches(&a, subject) && matches(&b, subject));
        prop_assert_eq!(a.overlaps(&b), both, "{} and {}", a, b);
        let every = all.iter().all(|subject| !matches(&b, subject) || matches(&a, subject));
        prop_assert_eq!(a.covers(&b), every, "{} and {}", a, b);
    }
}
