//! Ingress over HTTPS: from names outside to pods inside.
//!
//! What it is: a routing table made from Ingresses, Services, EndpointSlices and TLS Secrets, and a reverse proxy that asks it.
//! What it is not: it makes no certificates (irori-certs does) and starts no pods; any Kubernetes whose pods it can reach will do.
//!
//! Flow: objects -> `table::build` (pure) -> swapped in whole -> request -> `Table::route` (pure) -> endpoint -> streamed answer.
//! Invariant: a change of the table drops no connection; a request keeps the table it began with.
//! Invariant: what a client says about itself in forwarding headers never reaches an app.
//! Limits: 10,000 connections, 1,000 streams each, request heads as hyper has them, request bodies of 16 GiB, 2 s to connect to a pod,
//! 60 s to an answer's head, 3 endpoints tried, 64 idle connections a pod for 60 s.
//! Failure modes: an unknown server name ends the handshake; an unknown host is 404, no ready endpoint 503, no connection 502, no answer 504.
mod certificates;
mod gateway;
mod headers;
mod proxy;
mod replay;
mod status;
mod table;

pub use gateway::{Gateway, GatewayError, Listening, Settings, report, rules};
