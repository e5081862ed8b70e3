//! Names of nodes, members and groups. A bare integer never crosses a function boundary.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Identifies a node of a cluster; bound to the key in the node's certificate. Shown as `n7`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(u64);

impl NodeId {
    /// Names the node with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number behind the name.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// A text that does not name a node.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("`{0}` does not name a node: write a number such as 3 or n3")]
pub struct NotANode(String);

impl FromStr for NodeId {
    type Err = NotANode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix('n').unwrap_or(text);
        // A sign would be taken for part of the number.
        let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok());
        number.flatten().map(Self).ok_or_else(|| NotANode(text.to_owned()))
    }
}

/// One life of a node: a process that restarts without its memory is a new incarnation.
///
/// Later lives have larger numbers. Zero is no life at all: it stands for "not known yet" in the
/// genesis view, whose members are declared by node only.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(u64);

impl Incarnation {
    /// The life of a declared node that nobody has met yet.
    pub const UNKNOWN: Self = Self(0);

    /// Names the life with this number, which must exceed every earlier one of the node.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number behind the name.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A node in one of its lives: what views are made of. Shown as `n7.2`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Member {
    /// The node.
    pub node: NodeId,
    /// Its life.
    pub incarnation: Incarnation,
}

impl Member {
    /// Names a node in one of its lives.
    pub const fn new(node: NodeId, incarnation: Incarnation) -> Self {
        Self { node, incarnation }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.node, self.incarnation)
    }
}

/// Identifies a group within a cluster: a hash of its name, made where the name is known.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GroupId(u64);

impl GroupId {
    /// Names the group with this number.
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number behind the name.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g{:x}", self.0)
    }
}
