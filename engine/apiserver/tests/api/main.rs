//! The whole request path, through its two entrances, on a real store.
#![allow(clippy::unwrap_used)]
mod access;
mod admission;
mod applying;
mod deleting;
mod ending;
mod expiry;
mod forms;
mod harness;
mod hostile;
mod intruders;
mod limits;
mod listing;
mod nodes;
mod objects;
mod patching;
mod policies;
mod preconditions;
mod services;
mod shapes;
mod watching;
