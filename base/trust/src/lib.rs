//! Who is who: keys, the CA tree, certificates and their renewal, token keys, TLS configurations.
//!
//! What it is: the one place that makes certificates. `CaTree` (root, `servers`, `clients`, `front-proxy`), `Identity` (a certificate with its
//! key), `Rotating` (an identity that renews itself), `TokenKeys` (service-account tokens), `seal` (values at rest), `tls` (rustls configurations on our clock).
//! What it is not: it opens no sockets and knows no Kubernetes objects.
//!
//! Flow: data folder -> `CaTree::open` -> `issue_server` / `issue_client` / `sign_*_request` -> `Identity` -> `tls::server` / `tls::client`.
//! Invariant: every validity check asks `Clock`, never the system. Invariant: API clients are verified against `clients` alone, so a leaf of
//! any other CA is a stranger. Invariant: a key is written 0600, in a folder 0700, and is never logged.
//! Limits: CAs live 30 years, leaves 90 days (renewed at two thirds); a certificate chain of at most 4.
//! Failure modes: a broken or half-written folder is refused by name, never overwritten.
mod ca;
mod error;
mod files;
mod identity;
mod rotating;
mod sans;
pub mod seal;
mod shared;
pub mod tls;
mod tokens;

pub use ca::{CaTree, Lifetime, ServerRequest, Verified, names_of_request, request_server};
pub use error::TrustError;
pub use files::{read_secret, rename_durably, write_secret};
pub use identity::{Identity, fingerprint};
pub use rotating::Rotating;
pub use sans::{Scope, SubjectName};
pub use shared::{open_tree, pack_tree, seal_tree, unpack_tree};
pub use tokens::TokenKeys;
