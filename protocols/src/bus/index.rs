//! Patterns by what stands before their first wildcard, so that few of them are compared with a subject.

use std::collections::{BTreeMap, BTreeSet};

use super::{Pattern, Subject};

/// Patterns, each with what it is for. A pattern may stand for several things, and several for one.
///
/// To find those that select a subject takes as many look-ups as the subject has words, and one
/// comparison for each pattern that shares its beginning with the subject and has a wildcard behind it.
#[derive(Clone, Debug)]
pub(super) struct PatternIndex<T> {
    /// By the literal words in front, with the dots between them; empty if a wildcard comes first.
    by_start: BTreeMap<String, BTreeSet<(Pattern, T)>>,
}

impl<T> Default for PatternIndex<T> {
    fn default() -> Self {
        Self { by_start: BTreeMap::new() }
    }
}

/// The words of a pattern before its first wildcard.
fn start(pattern: &Pattern) -> &str {
    let text = pattern.as_str();
    // A wildcard is a whole word, so a dot stands before it, unless it is the first.
    text.find(['*', '>']).map_or(text, |wildcard| &text[..wildcard.saturating_sub(1)])
}

/// All beginnings of a subject that end with a word, the empty one included.
fn starts(subject: &Subject) -> impl Iterator<Item = &str> {
    let text = subject.as_str();
    let ends = text.match_indices('.').map(|(dot, _)| dot);
    std::iter::once(0).chain(ends).chain([text.len()]).map(|end| &text[..end])
}

impl<T: Clone + Ord> PatternIndex<T> {
    /// Adds a pattern for something.
    pub(super) fn insert(&mut self, pattern: Pattern, what: T) {
        self.by_start.entry(start(&pattern).to_owned()).or_default().insert((pattern, what));
    }

    /// Removes what was added.
    pub(super) fn remove(&mut self, pattern: &Pattern, what: &T) {
        let start = start(pattern);
        if let Some(patterns) = self.by_start.get_mut(start) {
            patterns.remove(&(pattern.clone(), what.clone()));
            if patterns.is_empty() {
                self.by_start.remove(start);
            }
        }
    }

    /// What all patterns are for that select a subject, in no particular order.
    pub(super) fn find<'a>(&'a self, subject: &'a Subject) -> impl Iterator<Item = &'a T> + 'a {
        let patterns = starts(subject).filter_map(|start| self.by_start.get(start)).flatten();
        patterns.filter(|(pattern, _)| pattern.matches(subject)).map(|(_, what)| what)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern() -> impl Strategy<Value = Pattern> {
        let word = prop_oneof![3 => Just("a"), 3 => Just("b"), 1 => Just("aa"), 2 => Just("*")];
        (prop::collection::vec(word, 0..4), any::<bool>()).prop_filter_map(
            "not empty",
            |(mut words, rest)| {
                words.extend(rest.then_some(">"));
                words.join(".").parse().ok()
            },
        )
    }

    proptest! {
        #[test]
        fn it_finds_what_a_look_at_every_pattern_finds(
            changes in prop::collection::vec((any::<bool>(), pattern(), 0..3_u8), 0..40),
            subjects in prop::collection::vec("(a|b|aa)(\\.(a|b|aa)){0,3}", 1..6),
        ) {
            let (mut index, mut all) = (PatternIndex::default(), BTreeSet::new());
            for (adds, pattern, what) in changes {
                if adds {
                    index.insert(pattern.clone(), what);
                    all.insert((pattern, what));
                } else {
                    index.remove(&pattern, &what);
                    all.remove(&(pattern, what));
                }
            }
            for subject in subjects {
                let subject = subject.parse().expect("a subject");
                let mut found: Vec<u8> = index.find(&subject).copied().collect();
                let selecting = all.iter().filter(|(pattern, _)| pattern.matches(&subject));
                let mut expected: Vec<u8> = selecting.map(|(_, what)| *what).collect();
                found.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(found, expected, "{}", subject);
            }
            for (pattern, what) in &all {
                index.remove(pattern, what);
            }
            prop_assert!(index.by_start.is_empty(), "nothing is left behind");
        }
    }

    #[test]
    fn of_many_patterns_only_those_that_begin_as_the_subject_does_are_compared_with_it() {
        let mut index = PatternIndex::default();
        for number in 0..1000 {
            index.insert(format!("room.{number}.>").parse().unwrap(), number);
        }
        index.insert("room.*.said".parse().unwrap(), 1000);
        let subject = "room.7.said".parse().unwrap();
        let compared: usize =
            starts(&subject).filter_map(|it| index.by_start.get(it)).map(BTreeSet::len).sum();
        assert_eq!(compared, 2);
        assert_eq!(index.find(&subject).copied().collect::<BTreeSet<_>>(), BTreeSet::from([7, 1000]));
    }
}
