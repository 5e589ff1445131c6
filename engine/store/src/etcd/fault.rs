//! What an error of etcd means. Its texts are etcd's interface (`rpctypes`): most conditions have no code of their own.
use tonic::{Code, Status};

/// What is to be done about a failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The revision is older than what is held.
    Compacted,
    /// The revision has not been reached.
    Future,
    /// etcd has run out of its quota and takes no writes.
    NoSpace,
    /// The request is above one of etcd's own limits.
    TooLarge(String),
    /// The token is not valid any more: log in again. Nothing was done.
    Login,
    /// This member cannot help now, another one may. Nothing was done.
    Elsewhere(String),
    /// etcd will not do it for us, whichever member is asked. Nothing was done.
    Refused(String),
    /// It was sent, and whether it was carried out is not known.
    Unknown(String),
}

pub fn fault(status: &Status) -> Fault {
    let text = status.message();
    let has = |part: &str| text.contains(part);
    match status.code() {
        Code::OutOfRange if has("has been compacted") => Fault::Compacted,
        Code::OutOfRange if has("is a future revision") => Fault::Future,
        Code::ResourceExhausted if has("database space exceeded") => Fault::NoSpace,
        Code::ResourceExhausted if has("too many requests") => Fault::Elsewhere(text.to_owned()),
        Code::ResourceExhausted if has("message larger than max") => Fault::TooLarge(text.to_owned()),
        // An answer, this time; the text is tonic's.
        Code::OutOfRange if has("decoded message length too large") => Fault::TooLarge(text.to_owned()),
        Code::InvalidArgument if has("request is too large") || has("too many operations in txn") => {
            Fault::TooLarge(text.to_owned())
        }
        Code::Unauthenticated => Fault::Login,
        Code::InvalidArgument if has("revision of auth store is old") => Fault::Login,
        // Asked for before the request is handed to Raft.
        Code::Unavailable if has("no leader") || has("not supported for learner") || has("not capable") => {
            Fault::Elsewhere(text.to_owned())
        }
        Code::InvalidArgument | Code::PermissionDenied | Code::FailedPrecondition | Code::DataLoss | Code::Unimplemented => {
            Fault::Refused(text.to_owned())
        }
        _ => Fault::Unknown(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_happened_is_never_called_a_failure() {
        for text in [
            "etcdserver: request timed out",
            "etcdserver: request timed out, possibly due to previous leader failure",
            "etcdserver: server stopped",
            "error reading a body from connection",
        ] {
            assert_eq!(fault(&Status::unavailable(text)), Fault::Unknown(text.to_owned()));
        }
        assert!(matches!(fault(&Status::cancelled("h2 protocol error")), Fault::Unknown(_)));
        assert!(matches!(fault(&Status::unknown("raft proposal dropped")), Fault::Unknown(_)));
    }

    #[test]
    fn conditions_are_told_apart_by_their_texts() {
        let out_of_range = |text: &str| fault(&Status::out_of_range(text));
        assert_eq!(out_of_range("etcdserver: mvcc: required revision has been compacted"), Fault::Compacted);
        assert_eq!(out_of_range("etcdserver: mvcc: required revision is a future revision"), Fault::Future);
        assert_eq!(fault(&Status::resource_exhausted("etcdserver: mvcc: database space exceeded")), Fault::NoSpace);
        assert!(matches!(fault(&Status::invalid_argument("etcdserver: request is too large")), Fault::TooLarge(_)));
        assert_eq!(fault(&Status::unauthenticated("etcdserver: invalid auth token")), Fault::Login);
        assert!(matches!(fault(&Status::unavailable("etcdserver: no leader")), Fault::Elsewhere(_)));
        assert!(matches!(fault(&Status::permission_denied("etcdserver: permission denied")), Fault::Refused(_)));
    }
}
