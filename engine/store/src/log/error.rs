//! Why a store cannot be opened, and why a part of it cannot be read.
use std::io;

/// Why a store does not open. Nothing was changed on the disk.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process holds the store's lock.
    #[error("store in {disk} is in use by another process")]
    Locked { disk: String },
    /// Bytes that were written and synced are not there any more.
    #[error("store file `{file}` is damaged at byte {offset}: {what}")]
    Damaged { file: String, offset: u64, what: String },
    /// Written by a later version.
    #[error(
        "store file `{file}` has format {found}, this version reads up to {known}: use the version that wrote it, or a newer one"
    )]
    Newer { file: String, found: u32, known: u32 },
    /// A store is to be made where there is one.
    #[error("{disk} holds a store already, such as `{file}`")]
    NotEmpty { disk: String, file: String },
    #[error("{doing} `{file}` of the store")]
    Io {
        doing: &'static str,
        file: String,
        #[source]
        source: io::Error,
    },
}

impl OpenError {
    pub(crate) fn damaged(file: &str, offset: u64, what: impl Into<String>) -> Self {
        Self::Damaged { file: file.to_owned(), offset, what: what.into() }
    }

    pub(crate) fn io(doing: &'static str, file: &str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, file: file.to_owned(), source }
    }
}
