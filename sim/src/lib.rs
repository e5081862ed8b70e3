//! The group cores on a seeded clock and network, with checkers.
