//! Where a pod goes.
//!
//! What it is: a live index of nodes and what runs on them (`cluster`), a pure decision for one pod (`plan`), a queue of pods that wait
//! (`queue`), and the one task that joins them (`drive`), which binds through `pods/binding` as `system:kube-scheduler`.
//! What it is not: it starts nothing, evicts nothing (preemption is not offered, and the message says so) and binds no volumes.
//!
//! Flow: pods and nodes change -> index -> the most urgent waiting pod -> `plan` -> assumed in the index -> bound through the API;
//! or a condition and an event that say why not -> waits for a change that may help, at least the backoff.
//! Invariant: decisions hold neither clock nor I/O. Invariant: what a pod requires is satisfied or refused by name, never ignored.
//! Limits: of more than 100 nodes, a share between 50 and 5 % of suitable ones is compared; 64 bindings under way at once;
//! backoff from 1 to 10 s.
mod amounts;
mod api;
mod cluster;
mod drive;
mod filter;
mod neighbours;
mod node;
mod plan;
mod pod;
mod queue;
mod score;

pub use drive::{SCHEDULER_NAME, start};
