//! Flow control: how many requests may be worked on at once.
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    call::Call,
    identity::MASTERS,
    limits,
    refusal::{Answered, Refusal},
};

/// Places for requests, by kind.
pub struct Flow {
    reads: Arc<Semaphore>,
    changes: Arc<Semaphore>,
    watches: Arc<Semaphore>,
    node_streams: Arc<Semaphore>,
}

/// A place, given back when dropped. Administrators need none.
pub type Place = Option<OwnedSemaphorePermit>;

impl Flow {
    pub fn new() -> Self {
        let places = |n| Arc::new(Semaphore::new(n));
        Self {
            reads: places(limits::READS_AT_ONCE_MAX),
            changes: places(limits::CHANGES_AT_ONCE_MAX),
            watches: places(limits::WATCHES_MAX),
            node_streams: places(limits::NODE_STREAMS_MAX),
        }
    }

    /// Takes a place or refuses with 429; never waits.
    pub fn enter(&self, call: &Call) -> Answered<Place> {
        if call.user.in_group(MASTERS) && call.asked.verb != "watch" {
            return Ok(None);
        }
        if !call.asked.is_resource && call.asked.reads() {
            return Ok(None); // health answers even when all places are taken
        }
        let places = match call.asked.verb {
            "watch" => &self.watches,
            _ if matches!(call.asked.subresource.as_str(), "log" | "exec") => &self.node_streams,
            _ if call.asked.reads() => &self.reads,
            _ => &self.changes,
        };
        places.clone().try_acquire_owned().map(Some).map_err(|_| Refusal::too_many_requests())
    }
}
