//! The home file: reading it, and bringing a cluster to what it says.
//!
//! What it is: `parse` (text -> `Home` or diagnostics with line and column), `objects` (`Home` -> the Kubernetes objects that make it so, pure),
//! `apply` (objects -> a cluster, by its API alone) and the table of what came of it.
//! What it is not: it starts no processes and knows no engine; any Kubernetes cluster will do.
//!
//! Flow: file -> source (positioned tree) -> read -> `Home` -> objects -> apply -> rows.
//! Invariant: a file with a mistake changes nothing. Invariant: a second run of the same file writes nothing.
//! Limits: a home file of 1 MiB, nested 32 deep, without YAML aliases; 1 MiB of files an app; 200 apps.
//! Failure modes: an app that does not become ready in time is reported with its pods' reasons, and the others go on.
mod apply;
mod diagnostic;
mod model;
mod objects;
mod read;
mod source;

pub use apply::{AppRow, Applied, ApplyError, apply, rows, wait};
pub use diagnostic::{Diagnostic, render};
pub use model::{App, Builtin, Etcd, GatewayListen, Home, Image, Network, Store};
pub use objects::{BUILTIN_PROGRAM, NAMESPACE, Object, builtin_image_name, objects};
pub use read::{FileSource, parse};
