//! Services as packet rules.
//!
//! Flow: Services and EndpointSlices (informers) -> `plan` (pure) -> difference to what is in the kernel -> one nft transaction ->
//! stale UDP connections forgotten.
//! Invariants: the whole table is written at the start and after a failure, else only what changed; one bad Service is reported
//! by an Event and never breaks the others.
//! Refused with an Event: SCTP, `loadBalancerSourceRanges`, `healthCheckNodePort`, an address and port that another Service has.
//! Limits: 65,535 remembered clients for each endpoint with session affinity.
mod plan;
mod stale;
mod sync;

pub use plan::{Plan, Problem, plan};
pub use stale::stale;
pub use sync::{Kernel, run};

#[cfg(test)]
mod tests;
