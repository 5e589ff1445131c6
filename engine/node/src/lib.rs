//! Pods on this machine.
//!
//! What it is: the node agent in two halves. The pod half (`pods`, `volumes`, `probes`, `status`, `node_object`, `server`) knows Pod objects and
//! the API; the machine half (`containerd`, `images`, `logs`, `stream`, `cgroups`) knows containers and the kernel. They meet in `runtime`.
//! What it is not: no scheduler, no network (a CNI plugin is run by containerd), no API server.
//!
//! Flow: watch of this node's pods + events of the runtime -> `pods::manager` -> one worker for each uid -> `pods::step` (pure) -> effects ->
//! runtime, files -> events -> … -> `status`, written only when it says something new.
//! Invariant: nothing is done before the pods of this node and what the runtime has are both known. Invariant: a container that ran before
//! a restart of irori goes on. Invariant: a field of a pod that is not done stops the pod and is named (`refusal`).
//! Invariant: nothing polls; timers are the lease's, that of the looks at the machine's pressure, probes', back-offs', deadlines' and token renewals'.
//! Limits: `pods::site` (probes and pulls at once), `pods::worker` (messages waiting), `server` (connections, sessions, message size),
//! `logs` (size of a log), `runtime::EXEC_OUTPUT_BYTES_MAX`.
//! Failure modes: a runtime that is away is waited for and the node says NotReady; an API that is away changes nothing for what runs;
//! what fails is tried again under a back-off that shows in the pod's status.
pub mod cgroups;
pub mod containerd;
pub mod images;
pub mod logs;
mod node;
pub mod node_object;
pub mod pods;
pub mod probes;
pub mod refusal;
pub mod runtime;
mod server;
mod settings;
pub mod status;
mod stream;
mod volumes;

pub use node::{Node, Parts, StartError};
pub use settings::{Caller, ClientCheck, LeaseTerms, Settings, parse_resolv_conf};
pub use volumes::unmount_below;
