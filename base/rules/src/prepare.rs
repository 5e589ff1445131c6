//! What the server itself sets or resets before an object is validated and stored.
use irori_api::row::{Row, Tables};
use serde_json::Value;

/// Which part of an object a request may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// The resource itself: spec, data, metadata.
    Main,
    /// `/status`.
    Status,
    /// Another subresource that writes the object (`approval`, `ephemeralcontainers`, `resize`, `scale`, …).
    Sub(&'a str),
}

/// What a new object gets from its surroundings.
#[derive(Clone, Debug)]
pub struct Birth {
    pub uid: String,
    /// RFC 3339 in seconds, `Z`.
    pub creation_timestamp: String,
    /// The name made from generateName; empty if the object brings its own.
    pub generated_name: String,
    /// Namespace of the request; empty for cluster scope.
    pub namespace: String,
}

/// What a kind does beyond the table.
#[derive(Clone, Copy)]
pub struct Strategy {
    /// metadata.generation is kept: 1 at creation, one more for each change of what is not metadata or status.
    pub generation: bool,
    /// The kind has a status that only `/status` may write.
    pub status: bool,
    /// PUT to a name that does not exist creates it.
    pub create_on_update: bool,
    /// PUT without resourceVersion is taken.
    pub unconditional_update: bool,
    /// Seconds of grace when a delete request names none; `None`: deleted at once.
    pub graceful: bool,
}

/// The strategy of a row.
pub fn strategy(_row: &Row) -> Strategy {
    Strategy { generation: false, status: true, create_on_update: false, unconditional_update: true, graceful: false }
}

/// Makes a decoded, defaulted object new: metadata of the server, status and generation reset.
pub fn prepare_create(_tables: &Tables, _row: &Row, _object: &mut Value, _birth: &Birth) {}

/// Makes an update carry only what its part may change, and bumps the generation.
pub fn prepare_update(_tables: &Tables, _row: &Row, _new: &mut Value, _old: &Value, _part: Part<'_>) {}
