//! The threads and the task that a store lives by: the writer, and snapshots beside it.
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use irori_runtime::{OnEnd, Tasks};
use tokio::sync::{mpsc, watch};
use tracing::{error, info, warn};

use super::{Shared, appender::is_full, writer::Writer};
use crate::{
    log::{Keep, OpenError, Snapshot},
    state::State,
};

/// How a store ended; `None` while it lives.
pub type End = Option<Result<(), String>>;

/// Runs the writer on a thread of its own (it blocks on the disk), and snapshots beside it, under one task.
pub fn supervise(
    writer: Writer,
    mut wanted: mpsc::UnboundedReceiver<State>,
    store: u64,
    keep: Keep,
    lock: Arc<dyn Send + Sync>,
    tasks: &Tasks,
) -> Result<watch::Receiver<End>, OpenError> {
    let (end, ended) = watch::channel(None);
    let (writer_end, writer_ended) = tokio::sync::oneshot::channel();
    let shared = writer.shared.clone();
    let locked = lock.clone();
    let thread = std::thread::Builder::new().name("store-writer".to_owned()).spawn(move || {
        irori_runtime::short_turns();
        let result = writer.run();
        drop(locked);
        // If the task is gone, the runtime is, and nobody is left to tell.
        let _nobody_left = writer_end.send(result);
    });
    thread.map_err(|source| OpenError::Io { doing: "start the writer of", file: shared.disk.name(), source })?;
    let shutdown = tasks.shutdown().clone();
    tasks.spawn("store", OnEnd::Contained, async move {
        while let Some(state) = wanted.recv().await {
            let shared = shared.clone();
            let work = tokio::task::spawn_blocking(move || snapshot(&shared, store, &state, keep));
            if work.await.is_err() {
                error!("the snapshot of the store panicked");
                shutdown.start();
            }
        }
        let result = writer_ended.await.unwrap_or_else(|_| Err("the writer panicked".to_owned()));
        shared_end(&shared);
        if result.is_err() {
            shutdown.start();
        }
        drop(lock);
        end.send_replace(Some(result.clone()));
        result
    });
    Ok(ended)
}

/// Writing is over. A store that was closed ends its watches; one that had to stop still answers reads.
fn shared_end(shared: &Shared) {
    if shared.intake.is_closing() {
        shared.closed.store(true, Ordering::Release);
        shared.hub.close();
    } else {
        shared.hub.end();
    }
}

fn snapshot(shared: &Shared, store: u64, state: &State, keep: Keep) {
    let stop = |pause: Duration| {
        if !shared.intake.is_closing() {
            std::thread::sleep(pause);
        }
        shared.intake.is_closing()
    };
    let result = Snapshot::write(&*shared.disk, store, state, &stop).and_then(|written| match written {
        Some(snapshot) => shared.history.add_snapshot(&*shared.disk, snapshot, keep),
        None => Ok(()),
    });
    match result {
        Ok(()) => info!(revision = state.revision.0, objects = state.len(), "snapshot of the store written"),
        Err(source) if is_full(&source) => warn!("no space for a snapshot: the log grows on"),
        // The log has everything: the next start only takes longer, and the next snapshot is tried when the log has grown again.
        Err(source) => error!("write a snapshot of the store: {source}"),
    }
    shared.snapshotting.store(false, Ordering::Release);
    // Perhaps the log has grown long meanwhile, and no commit follows.
    shared.intake.nudge();
}
