//! Bytes between nodes: transports, links and lanes over QUIC, TCP and memory.
