//! Runnable programs, each a page long.
