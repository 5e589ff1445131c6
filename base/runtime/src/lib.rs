//! The ground that every process part stands on: time, tasks, stopping, retrying, telling.
//!
//! What it is: `Clock` (the only source of wall time), `Tasks` (the only way to spawn), `Shutdown` (the only way to stop),
//! `Backoff` (the only retry policy), `telemetry` (the only subscriber) and `short_turns` (threads that wait most of the time).
//! What it is not: it knows no HTTP, no Kubernetes, no files.
//! Invariant: no global state but the tracing subscriber.
//! Limits: a drain lasts as long as its caller says; what is still running then is named and dropped.
mod backoff;
mod clock;
mod pipe;
mod shutdown;
mod tasks;
pub mod telemetry;
mod turns;

pub use backoff::Backoff;
pub use clock::{Clock, ManualTime};
pub use jiff::{SignedDuration, Timestamp};
pub use pipe::end_with_reader;
pub use shutdown::Shutdown;
pub use tasks::{OnEnd, TaskInfo, Tasks};
pub use turns::short_turns;
