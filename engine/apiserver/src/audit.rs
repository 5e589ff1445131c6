//! The audit seam: every request is told here, before and after. Nothing is recorded yet.
use crate::call::Call;

/// Hears of requests. Called in order for each request; must not block.
pub trait Audit: Send + Sync {
    /// The caller is known, nothing is decided yet.
    fn received(&self, call: &Call);
    /// The answer is on its way.
    fn answered(&self, call: &Call, code: u16);
}

/// Records nothing: the audit log has its own issue.
pub struct NoAudit;

impl Audit for NoAudit {
    fn received(&self, _: &Call) {}
    fn answered(&self, _: &Call, _: u16) {}
}
