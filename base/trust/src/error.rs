//! What can go wrong with trust.
use std::{io, path::PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("read `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("write `{}`", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The folder holds a part of a CA tree only.
    #[error("trust folder `{}` is incomplete: `{missing}` is missing; restore it from a backup, or move the folder away to start with a new root", folder.display())]
    Incomplete { folder: PathBuf, missing: String },
    /// The tree was made for another domain: its root may not speak for this one.
    #[error(
        "the root certificate was made for `{made_for}`, not for `{asked}`; a home keeps its domain, or starts with a new data folder"
    )]
    OtherDomain { made_for: String, asked: String },
    #[error("parse {what}: {reason}")]
    Parse { what: &'static str, reason: String },
    #[error("make {what}")]
    Make {
        what: &'static str,
        #[source]
        source: rcgen::Error,
    },
    /// The name lies outside what the root may certify.
    #[error("refuse certificate for `{name}`: the home's root is limited to `{domain}`, cluster names and private addresses")]
    OutsideScope { name: String, domain: String },
    #[error("certificate is not accepted: {reason}")]
    NotAccepted { reason: String },
    #[error("TLS settings")]
    Tls {
        #[source]
        source: rustls::Error,
    },
    #[error("sign token")]
    SignToken {
        #[source]
        source: jsonwebtoken::errors::Error,
    },
}
