//! The one way to reach a Kubernetes API: connections, informers, the one reconcile loop, events.
//!
//! What it is: `connect` (HTTPS) and `in_process` (a tower service) give a `kube::Client`; `Informers` keeps one live copy of a
//! collection for all its readers; `Loop` runs a `Reconciler` over keys; `Recorder` writes Events; `Candidate`
//! leads, or waits until it may.
//! What it is not: it knows no kind in particular, makes no decision about objects, and opens no listener.
//!
//! Flow: list + watch -> decode once to `Arc` -> cache -> one coalescing `ChangeStream` per reader -> keys -> `Loop` -> `Reconciler`.
//! Invariant: a slow reader never holds up a watch; what it missed is merged into one change per key.
//! Invariant: a key is never reconciled twice at once. Invariant: certificates are judged by `Clock`.
//! Limits: pages of 500 in a list; a watch line of 16 MiB; a reader's queue holds at most one change per object; 1,000 events waiting
//! for the `Recorder`, more are dropped and counted.
//! Failure modes: a broken watch is resumed from the last revision; a compacted one (410) is listed anew and told as differences;
//! an object that cannot be decoded is left out with a warning and never breaks its list.
mod changes;
mod connect;
mod election;
mod error;
mod in_process;
mod informer;
mod key;
mod own_writes;
mod reconcile;
mod recorder;
mod source;

pub use changes::{Change, ChangeStream};
pub use connect::{ConnectError, Identity, Remote, connect};
pub use election::{Candidate, Timing};
pub use error::{ApiError, ReconcileError};
pub use in_process::in_process;
pub use informer::{Informer, Informers, Watched};
pub use key::Key;
pub use own_writes::OwnWrites;
pub use reconcile::{Loop, Outcome, Reconciler};
pub use recorder::{EventType, Recorder};
pub use source::{Collection, Event, follow};

pub use irori_runtime::Backoff;
