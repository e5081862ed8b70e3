//! Subjects of the bus, and the patterns that select them.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};

/// Longest subject or pattern, in bytes.
const BYTES_MAX: usize = 255;

/// Why a text is no subject or pattern.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SubjectError {
    /// It is empty or too long.
    #[error("a subject has 1 to {BYTES_MAX} bytes, this one has {0}")]
    Size(usize),
    /// Two dots meet, or one stands at an end.
    #[error("`{0}` has an empty part: write words with single dots between them")]
    EmptyPart(String),
    /// It holds a blank or control character.
    #[error("`{0}` holds a blank or control character: leave it out")]
    Blank(String),
    /// A wildcard stands where none may.
    #[error("`{0}` has a misplaced wildcard: only patterns have them, as whole parts, and `>` comes last")]
    Wildcard(String),
}

/// Names what a message is about: words with dots between them.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subject(Arc<str>);

/// Selects subjects: `*` stands for one word, a last `>` for one or more.
///
/// ```
/// use quorate_protocols::bus::{Pattern, Subject};
///
/// let pattern: Pattern = "orders.*.paid".parse()?;
/// assert!(pattern.matches(&"orders.7.paid".parse::<Subject>()?));
/// # Ok::<(), quorate_protocols::bus::SubjectError>(())
/// ```
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(Arc<str>);

impl Subject {
    /// The subject as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Pattern {
    /// Whether the pattern selects `subject`.
    pub fn matches(&self, subject: &Subject) -> bool {
        let mut words = subject.0.split('.');
        for part in self.0.split('.') {
            match (part, words.next()) {
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (part, Some(word)) if part == word => {}
                _ => return false,
            }
        }
        words.next().is_none()
    }

    /// Whether some subject is selected by both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let (mut left, mut right) = (self.0.split('.'), other.0.split('.'));
        loop {
            match (left.next(), right.next()) {
                (None, None) | (Some(">"), Some(_)) | (Some(_), Some(">")) => return true,
                (Some(a), Some(b)) if a == b || a == "*" || b == "*" => {}
                _ => return false,
            }
        }
    }

    /// Whether it selects every subject that `other` selects.
    pub fn covers(&self, other: &Self) -> bool {
        let (mut wide, mut narrow) = (self.0.split('.'), other.0.split('.'));
        loop {
            match (wide.next(), narrow.next()) {
                (None, None) | (Some(">"), Some(_)) => return true,
                (Some("*"), Some(word)) if word != ">" => {}
                (Some(a), Some(b)) if a == b => {}
                _ => return false,
            }
        }
    }

    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&Subject> for Pattern {
    /// The pattern that selects this subject alone.
    fn from(subject: &Subject) -> Self {
        Self(Arc::clone(&subject.0))
    }
}

impl TryFrom<String> for Subject {
    type Error = SubjectError;

    fn try_from(text: String) -> Result<Self, SubjectError> {
        text.parse()
    }
}

impl TryFrom<String> for Pattern {
    type Error = SubjectError;

    fn try_from(text: String) -> Result<Self, SubjectError> {
        text.parse()
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.as_str().to_owned()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.as_str().to_owned()
    }
}

fn check(text: &str) -> Result<(), SubjectError> {
    if text.is_empty() || text.len() > BYTES_MAX {
        return Err(SubjectError::Size(text.len()));
    }
    if text.split('.').any(str::is_empty) {
        return Err(SubjectError::EmptyPart(text.to_owned()));
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(SubjectError::Blank(text.to_owned()));
    }
    Ok(())
}

impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check(text)?;
        if text.contains(['*', '>']) {
            return Err(SubjectError::Wildcard(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

impl FromStr for Pattern {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check(text)?;
        let parts: Vec<_> = text.split('.').collect();
        let misplaced = |(i, part): (usize, &&str)| match *part {
            "*" => false,
            ">" => i + 1 != parts.len(),
            word => word.contains(['*', '>']),
        };
        if parts.iter().enumerate().any(misplaced) {
            return Err(SubjectError::Wildcard(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_select_by_word() {
        for (pattern, subject, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a", false),
            ("a", "a.b", false),
            ("a.*", "a.b", true),
            ("a.*", "a.b.c", false),
            ("*.b", "a.b", true),
            (">", "a.b.c", true),
            ("a.>", "a", false),
            ("a.>", "a.b.c", true),
        ] {
            let matches = pattern.parse::<Pattern>().unwrap().matches(&subject.parse().unwrap());
            assert_eq!(matches, expected, "{pattern} on {subject}");
        }
    }

    #[test]
    fn patterns_overlap_where_one_subject_fits_both_and_cover_where_all_do() {
        for (a, b, overlaps, covers) in [
            ("a.b", "a.b", true, true),
            ("a.*", "a.b", true, true),
            ("a.b", "a.*", true, false),
            ("a.*", "*.b", true, false),
            ("a.>", "*.b.c", true, false),
            (">", "a.>", true, true),
            ("a.>", ">", true, false),
            ("a.>", "a", false, false),
            ("a.*", "a.>", true, false),
            ("*", "a.b", false, false),
        ] {
            let (x, y): (Pattern, Pattern) = (a.parse().unwrap(), b.parse().unwrap());
            assert_eq!((x.overlaps(&y), x.covers(&y)), (overlaps, covers), "{a} and {b}");
            assert_eq!(x.overlaps(&y), y.overlaps(&x));
        }
    }

    #[test]
    fn malformed_texts_are_refused() {
        for text in ["", ".", "a.", "a..b", "a b", "a\n"] {
            assert!(text.parse::<Subject>().is_err() && text.parse::<Pattern>().is_err(), "{text:?}");
        }
        assert!("a.*".parse::<Subject>().is_err());
        assert!("a.>.b".parse::<Pattern>().is_err());
        assert!("a*.b".parse::<Pattern>().is_err());
    }
}
