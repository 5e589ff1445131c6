//! The one HTTPS listener and the one outgoing client.
mod body;
mod gathered;
mod lingering;
mod listener;
mod places;

pub use body::{Body, BoxError, ReadError, drain, empty, full, read_limited, stream};
pub use listener::{Handler, Limits, Peer, Request, Response, serve};
