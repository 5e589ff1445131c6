//! Stopping, as a value that is handed down.
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// Tells every holder that it is time to stop. Clones share the signal; children stop with their parent.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// A signal that nobody has given yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A signal that also ends when this one does, but not the other way round.
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }

    /// Gives the signal.
    pub fn start(&self) {
        self.0.cancel();
    }

    /// Whether the signal was given.
    pub fn started(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits for the signal.
    pub async fn wait(&self) {
        self.0.cancelled().await;
    }

    /// The same, for who waits again and again: made once.
    pub fn waiting(&self) -> impl Future<Output = ()> + Send + 'static {
        self.0.clone().cancelled_owned()
    }

    /// Sleeps, unless the signal comes first. Returns whether the sleep was whole.
    pub async fn sleep(&self, time: Duration) -> bool {
        tokio::select! { () = self.0.cancelled() => false, () = tokio::time::sleep(time) => true }
    }

    /// Runs `work` unless the signal comes first; the work is dropped then.
    pub async fn guard<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! { () = self.0.cancelled() => None, done = work => Some(done) }
    }
}
