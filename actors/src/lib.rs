//! Actor-based group communication: nodes, groups and one message bus.
