//! Workloads and their baselines.
