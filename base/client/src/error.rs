//! What can go wrong between us and an API.
use irori_http::BoxError;

/// Questions that callers ask of an API's answer.
pub trait ApiError {
    /// 404: the object (or its kind) is not there.
    fn is_not_found(&self) -> bool;
    /// 409 for a stale resourceVersion or a failed precondition, 422 for a patch whose uid is that of an object which is gone. Not AlreadyExists.
    fn is_conflict(&self) -> bool;
    /// 409 AlreadyExists.
    fn is_already_exists(&self) -> bool;
    /// 403.
    fn is_forbidden(&self) -> bool;
    /// 403 whose cause is that the namespace is being deleted.
    fn is_namespace_terminating(&self) -> bool;
}

impl ApiError for kube::Error {
    fn is_not_found(&self) -> bool {
        matches!(self, Self::Api(status) if status.is_not_found())
    }

    fn is_conflict(&self) -> bool {
        let Self::Api(status) = self else { return false };
        let mut causes = status.details.iter().flat_map(|details| &details.causes);
        let another = status.is_invalid() && causes.any(|cause| cause.field == "metadata.uid");
        another || (status.is_conflict() && !status.is_already_exists())
    }

    fn is_already_exists(&self) -> bool {
        matches!(self, Self::Api(status) if status.is_already_exists())
    }

    fn is_forbidden(&self) -> bool {
        matches!(self, Self::Api(status) if status.is_forbidden())
    }

    fn is_namespace_terminating(&self) -> bool {
        let Self::Api(status) = self else { return false };
        let causes = status.details.iter().flat_map(|details| &details.causes);
        status.is_forbidden() && causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
    }
}

/// Why a reconcile has to be tried again.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    #[error("ask the API")]
    Api(#[from] kube::Error),
    #[error("{doing}")]
    Other {
        doing: String,
        #[source]
        source: BoxError,
    },
}

impl ReconcileError {
    /// An error that is not an answer of the API. `doing` starts with a verb.
    pub fn other(doing: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::Other { doing: doing.into(), source: source.into() }
    }

    /// Whether somebody else simply was faster: to be tried again, not to be told.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Api(source) if source.is_conflict())
    }

    /// Whether the namespace is going: nothing can be made there, now or later.
    pub fn is_namespace_terminating(&self) -> bool {
        matches!(self, Self::Api(source) if source.is_namespace_terminating())
    }
}

/// What an error says; of an answer of the API only its message.
fn said(error: &(dyn std::error::Error + 'static)) -> String {
    match error.downcast_ref::<kube::Error>() {
        Some(kube::Error::Api(status)) => status.message.clone(),
        _ => match error.downcast_ref::<kube::core::Status>() {
            Some(status) => status.message.clone(),
            None => error.to_string(),
        },
    }
}

/// An error with all its causes in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = said(error);
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = said(cause);
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_patch_for_an_object_that_is_gone_is_a_conflict() {
        let invalid = |field: &str| {
            let cause = json!({"reason": "FieldValueInvalid", "message": "field is immutable", "field": field});
            json!({"status": "Failure", "message": "", "reason": "Invalid", "code": 422, "details": {"causes": [cause]}})
        };
        let error = |status: Value| kube::Error::Api(serde_json::from_value(status).unwrap());
        assert!(error(invalid("metadata.uid")).is_conflict());
        assert!(!error(invalid("spec.replicas")).is_conflict());
        assert!(error(json!({"status": "Failure", "message": "", "reason": "Conflict", "code": 409})).is_conflict());
    }
}
