//! The three patches: JSON patch, merge patch, strategic merge patch.
//!
//! All take the object in the form of the request's version and give a tree that has not been checked: the caller decodes it.
//! Limits: `JSON_OPERATIONS_MAX` operations, `COPY_BYTES_MAX` made by copies, `decode::DEPTH_MAX` levels.
use irori_api::row::{Row, Tables};
use serde_json::Value;

mod json;
mod merge;
mod numbers;
mod strategic;
#[cfg(test)]
mod tests;

pub use json::{COPY_BYTES_MAX, JSON_OPERATIONS_MAX, misfit, unknown_members};
pub use strategic::go;

/// By content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    /// `application/json-patch+json` (RFC 6902).
    Json,
    /// `application/merge-patch+json` (RFC 7386).
    Merge,
    /// `application/strategic-merge-patch+json`.
    Strategic,
}

impl PatchKind {
    /// By the media type of a request, without parameters.
    pub fn of_content_type(content_type: &str) -> Option<PatchKind> {
        Some(match content_type {
            "application/json-patch+json" => PatchKind::Json,
            "application/merge-patch+json" => PatchKind::Merge,
            "application/strategic-merge-patch+json" => PatchKind::Strategic,
            _ => return None,
        })
    }
}

/// Why a patch cannot be applied. Each says with which code and reason the API answers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// 400 BadRequest.
    #[error("{0}")]
    BadRequest(String),
    /// 422 Invalid with empty details.
    #[error("{0}")]
    Unprocessable(String),
    /// 413 RequestEntityTooLarge.
    #[error("{0}")]
    TooLarge(String),
    /// 500 without a reason: upstream's plain error.
    #[error("{0}")]
    Plain(String),
}

/// The object that a patch makes of another. The result is not yet decoded: types are checked afterwards by `decode`.
pub fn apply_patch(tables: &Tables, row: &Row, object: &Value, kind: PatchKind, patch: &Value) -> Result<Value, PatchError> {
    match kind {
        PatchKind::Json => json::apply(object, patch),
        PatchKind::Merge => merge::apply(object, patch),
        PatchKind::Strategic => strategic::apply(&tables.schemas, &row.of, object, patch),
    }
}
