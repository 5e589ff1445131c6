//! Every answer that is not what was asked for: a Status of the API, and the store's errors as such.
use std::ops::{Deref, DerefMut};

use irori_api::{
    field::{ErrorList, FieldError},
    status::{Details, Status},
};
use irori_store::StoreError;

use crate::limits;

/// Why a request is refused: becomes a `v1` Status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(Status);

/// A result whose error is answered to the client.
pub type Answered<T> = Result<T, Refusal>;

/// Which resource an error speaks of.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    pub group: &'a str,
    /// The plural, or the kind for Invalid.
    pub resource: &'a str,
    pub name: &'a str,
}

impl Deref for Refusal {
    type Target = Status;

    fn deref(&self) -> &Status {
        &self.0
    }
}

impl DerefMut for Refusal {
    fn deref_mut(&mut self) -> &mut Status {
        &mut self.0
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self(status)
    }
}

impl Refusal {
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self(Status::new(code, reason, message))
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self(Status::bad_request(message))
    }

    pub fn unauthorized() -> Self {
        Self(Status::unauthorized())
    }

    pub fn forbidden(about: About<'_>, why: &str) -> Self {
        Self(Status::forbidden((about.group, about.resource), about.name, why))
    }

    pub fn not_found(about: About<'_>) -> Self {
        Self(Status::not_found((about.group, about.resource), about.name))
    }

    /// A path that leads nowhere.
    pub fn no_such_path() -> Self {
        Self(Status::no_such_resource())
    }

    pub fn already_exists(about: About<'_>) -> Self {
        Self(Status::already_exists((about.group, about.resource), about.name))
    }

    pub fn conflict(about: About<'_>, why: &str) -> Self {
        Self(Status::conflict((about.group, about.resource), about.name, why))
    }

    /// The stock text of a lost race.
    pub fn modified(about: About<'_>) -> Self {
        Self(Status::modified((about.group, about.resource), about.name))
    }

    /// `about.resource` is the kind here.
    pub fn invalid(about: About<'_>, errors: &ErrorList) -> Self {
        Self(Status::invalid((about.group, about.resource), about.name, errors))
    }

    /// One wrong field.
    pub fn invalid_field(about: About<'_>, error: FieldError) -> Self {
        let mut errors = ErrorList::default();
        errors.push(error);
        Self::invalid(about, &errors)
    }

    /// One wrong option of the request itself: `ListOptions`, `DeleteOptions`, …
    pub fn invalid_option(options: &str, error: FieldError) -> Self {
        Self::invalid_field(About { group: "meta.k8s.io", resource: options, name: "" }, error)
    }

    pub fn method_not_allowed() -> Self {
        Self(Status::method_not_allowed())
    }

    pub fn not_acceptable(accepted: &[&str]) -> Self {
        Self(Status::not_acceptable(accepted))
    }

    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        Self(Status::unsupported_media_type(accepted))
    }

    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(413, "RequestEntityTooLarge", message)
    }

    pub fn expired(message: impl Into<String>) -> Self {
        Self(Status::expired(message))
    }

    pub fn too_many_requests() -> Self {
        Self(Status::too_many_requests("too many requests, please try again later", limits::RETRY_AFTER_S))
    }

    pub fn internal(what: impl std::fmt::Display) -> Self {
        Self(Status::internal(what))
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        let details = Details { retry_after_seconds: limits::RETRY_AFTER_S, ..Details::default() };
        Self(Status::unavailable(message).with_details(details))
    }

    /// What this server does not do yet, said plainly.
    pub fn not_implemented(what: &str) -> Self {
        Self(Status::not_implemented(what))
    }

    /// A resourceVersion that the store has not reached.
    pub fn too_new(asked: u64, current: u64) -> Self {
        Self(Status::too_large_resource_version(asked, current))
    }
}

/// Store errors that have no meaning of their own in the request at hand.
impl From<StoreError> for Refusal {
    fn from(source: StoreError) -> Self {
        match source {
            StoreError::Compacted { asked, oldest } => Self(Status::too_old(asked.0, oldest.0)),
            StoreError::Future { asked, current } => Self::too_new(asked.0, current.0),
            StoreError::Full => Self::new(507, "InsufficientStorage", "the store is read-only: no space left on its disk"),
            StoreError::Stopped { reason } => Self::unavailable(format!("the store has stopped: {reason}")),
            StoreError::Unavailable { reason } => Self::unavailable(format!("the store cannot be reached: {reason}")),
            // As kube-apiserver has it: the client may not take it for a failure, so that nothing says "try again".
            StoreError::Unknown { .. } => Self::new(
                504,
                "Timeout",
                "Timeout: request did not complete within requested timeout - context deadline exceeded",
            ),
            StoreError::Limit { reason } => Self::too_large(format!("the store refuses the object: {reason}")),
            StoreError::Conflict { key, .. } => Self::internal(format!("unexpected conflict on {key}")),
        }
    }
}
