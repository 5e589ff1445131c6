//! Following a prefix of the store: all that is there, then every change, and how far we are.
use std::sync::Arc;

use irori_runtime::{OnEnd, Tasks};
use irori_store::{Entry, Range, Revision, Store, StoreError, WatchEnd};
use tokio::sync::watch;

/// How far a follower is.
#[derive(Clone)]
pub struct Progress(watch::Receiver<u64>);

impl Progress {
    /// Waits until the follower has seen a revision.
    pub async fn reached(&self, revision: Revision) {
        let mut progress = self.0.clone();
        let _closed = progress.wait_for(|at| *at >= revision.0).await;
    }
}

/// One change: the key, and its entry unless it was deleted.
pub struct Change {
    pub key: Arc<str>,
    pub entry: Option<Entry>,
}

/// Reads all below `prefix` into `apply` (with `true`: forget what you had), then goes on with every change.
pub async fn follow(
    store: &Arc<dyn Store>,
    tasks: &Tasks,
    name: &'static str,
    prefix: &'static str,
    apply: impl Fn(bool, Vec<Change>) + Send + Sync + 'static,
) -> Result<Progress, StoreError> {
    let (sender, receiver) = watch::channel(0);
    let mut at = load(store.as_ref(), prefix, &apply).await?;
    sender.send_replace(at.0);
    let (store, shutdown) = (store.clone(), tasks.shutdown().clone());
    tasks.spawn(name, OnEnd::Fatal, async move {
        let following = async {
            loop {
                let mut watch = match store.watch(prefix, at).await {
                    Ok(watch) => watch,
                    Err(StoreError::Compacted { .. }) => {
                        at = reload(store.as_ref(), prefix, &apply).await?;
                        sender.send_replace(at.0);
                        continue;
                    }
                    // It is elsewhere, and comes back.
                    Err(StoreError::Unavailable { reason }) => {
                        tracing::warn!("follow `{prefix}`: the store cannot be reached: {reason}");
                        tokio::time::sleep(crate::limits::FOLLOW_AGAIN).await;
                        continue;
                    }
                    Err(source) => return Err(source),
                };
                loop {
                    match watch.next().await {
                        Ok(events) => {
                            let last = events.last().map(|e| e.revision).unwrap_or(at);
                            let changes = events.iter().map(|event| Change {
                                key: event.key.clone(),
                                entry: event.value.clone().map(|value| Entry {
                                    key: event.key.clone(),
                                    value,
                                    revision: event.revision,
                                }),
                            });
                            apply(false, changes.collect());
                            at = last;
                            sender.send_replace(at.0);
                        }
                        Err(WatchEnd::Closed) => return Ok(()),
                        Err(WatchEnd::Lagged | WatchEnd::Compacted) => {
                            at = reload(store.as_ref(), prefix, &apply).await?;
                            sender.send_replace(at.0);
                            break;
                        }
                    }
                }
            }
        };
        shutdown.guard(following).await.unwrap_or(Ok(()))
    });
    Ok(Progress(receiver))
}

/// Loads anew, for as long as it takes to reach the store.
async fn reload(store: &dyn Store, prefix: &str, apply: &impl Fn(bool, Vec<Change>)) -> Result<Revision, StoreError> {
    loop {
        match load(store, prefix, apply).await {
            Err(StoreError::Unavailable { .. }) => tokio::time::sleep(crate::limits::FOLLOW_AGAIN).await,
            done => return done,
        }
    }
}

async fn load(store: &dyn Store, prefix: &str, apply: &impl Fn(bool, Vec<Change>)) -> Result<Revision, StoreError> {
    let page = store.range(Range { prefix: prefix.to_owned(), ..Range::default() }).await?;
    let changes = page.entries.into_iter().map(|entry| Change { key: entry.key.clone(), entry: Some(entry) }).collect();
    apply(true, changes);
    Ok(page.revision)
}
