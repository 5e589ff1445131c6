//! The door: the request path of the Kubernetes API.
//!
//! What it is: `ApiServer` answers HTTP requests on a store, from the network (`irori_http::Handler`) and in process (`in_process`), by
//! one path for every kind. What kinds there are is data (`irori_api::row`), what is particular to them is rules (`irori_rules`).
//! What it is not: it opens no listener, runs no controller, and schedules nothing.
//!
//! Flow (`path.rs`, in this order): `authn` ▶ `audit` ▶ `impersonation` ▶ `flow` ▶ `authz` ▶ then `read`, `watch`, or
//! `decode` ▶ `patch` ▶ field management (`irori_rules::managed`) ▶ `admission` ▶ strategy and validation (`irori_rules`) ▶ `commit` ▶ `respond`.
//! `/irori/v1/store` (`upkeep`) is for whoever looks after the store, past kinds and admission, behind the same authn and authz.
//! Invariant: only `commit`, `bootstrap` and (sealing anew, content as it is) `upkeep` write to the store. Invariant: no stage is skipped for any kind or entrance.
//! Invariant: an identity given by extension is honoured by the in-process entrance alone.
//! Invariant: what a Service allocates is written and given back in the commit of the Service.
//! Invariant: what an object uses of a quota is counted in the commit of the object.
//! Limits: `limits.rs`, each with its unit.
//! Failure modes: every refusal is a Status with the stock code, reason and text where upstream has one; a stored object that cannot be
//! read is left out of lists, named in the log, and a 500 by name; a store that stopped writing is a 503 or 507.
pub mod limits;

mod call;
pub mod census;
pub mod identity;
mod query;
pub mod refusal;
mod route;

mod admission;
mod allocate;
mod audit;
mod authn;
mod authz;
mod bootstrap;
mod change;
mod codec;
mod collection;
mod commit;
mod decode;
mod delete;
mod discovery;
mod expiry;
mod flow;
mod follow;
mod impersonation;
mod negotiate;
mod next;
mod options;
mod patch;
mod path;
mod paths;
mod precondition;
mod quota;
mod read;
mod respond;
mod reviews;
mod select;
mod server;
pub mod stored;
mod sub;
mod to_node;
mod tunnel;
pub mod upkeep;
mod watch;

pub use identity::UserInfo;
pub use server::{ApiServer, Cidr, InProcess, Settings, StartError};
