use crate::Member;

/// Why a datagram was refused. In every case the cluster is unchanged and nothing is to be done.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// The sender does not keep to the limit.
    #[error("datagram of {size} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Its bytes.
        size: usize,
        /// [`Cluster::DATAGRAM_BYTES_MAX`](super::Cluster::DATAGRAM_BYTES_MAX).
        limit: usize,
    },
    /// The bytes are no datagram of this protocol.
    #[error("not a datagram of the cluster: {why}")]
    Malformed {
        /// What is wrong with them.
        why: String,
    },
    /// The peer calls itself by the name of another. Close the link: it lies.
    #[error("{from} calls itself {claims}")]
    FalseSender {
        /// Who sent it, as the link has proved.
        from: Member,
        /// What it calls itself.
        claims: Member,
    },
    /// The sender has our own name: two processes run as one node.
    #[error("datagram from {from}, which is this node")]
    FromOurselves {
        /// What the sender calls itself.
        from: Member,
    },
    /// The datagram is for another node. Close the link: no correct peer sends this.
    #[error("{from} sent what is for {to}")]
    Misdirected {
        /// The sender.
        from: Member,
        /// The addressee.
        to: Member,
    },
    /// The sender asks us to probe ourselves, or to answer ourselves. Close the link: no correct
    /// peer sends this.
    #[error("{from} treats this node as a third party to itself")]
    IndirectToOurselves {
        /// The sender.
        from: Member,
    },
    /// A later life of the sender is up. Close the link and say so, so that the process stops.
    #[error("{from} lives on as {by}; its former process should stop")]
    Outlived {
        /// The sender.
        from: Member,
        /// Its later life.
        by: Member,
    },
    /// The cluster knows a later life of this node: this process should stop.
    #[error("this node lives on as {by}; this process should stop")]
    Superseded {
        /// The later life.
        by: Member,
    },
    /// The datagram names nodes unknown so far, and no more can be kept in mind.
    #[error("cannot keep more than {limit} nodes in mind")]
    Full {
        /// [`Cluster::NODES_MAX`](super::Cluster::NODES_MAX).
        limit: usize,
    },
    /// This node has left. Nothing more is expected of it.
    #[error("this node has left the cluster")]
    Left,
}
