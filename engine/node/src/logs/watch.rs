//! One inotify instance for all who wait on files: the kernel allows a user only 128 of them.
use std::{
    collections::HashMap,
    io,
    path::Path,
    sync::{Arc, Mutex},
};

use futures::StreamExt;
use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask, Watches};
use irori_runtime::{OnEnd, Tasks};
use tokio::sync::Notify;

/// Waits on files and directories. Clones share the instance.
#[derive(Clone)]
pub(crate) struct FileWatch(Arc<Mutex<Inner>>);

struct Inner {
    watches: Watches,
    waiting: HashMap<WatchDescriptor, Vec<Arc<Notify>>>,
}

/// A file that is watched until this is dropped.
pub(crate) struct Watched {
    watch: FileWatch,
    descriptor: WatchDescriptor,
    notify: Arc<Notify>,
}

/// Room for the names of a burst of events, in bytes.
const BUFFER: usize = 4096;

impl FileWatch {
    pub(crate) fn new(tasks: &Tasks) -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let watch = Self(Arc::new(Mutex::new(Inner { watches: inotify.watches(), waiting: HashMap::new() })));
        let mut events = inotify.into_event_stream(vec![0; BUFFER])?;
        let (shared, shutdown) = (watch.clone(), tasks.shutdown().clone());
        tasks.spawn("file watch", OnEnd::Fatal, async move {
            while let Some(Some(event)) = shutdown.guard(events.next()).await {
                let event = event?;
                shared.tell(&event.wd, event.mask);
            }
            Ok::<(), io::Error>(())
        });
        Ok(watch)
    }

    /// Watches a file for writes and moves, a directory for what appears in it.
    pub(crate) fn watch(&self, path: &Path) -> io::Result<Watched> {
        let mask = if path.is_dir() {
            WatchMask::CREATE | WatchMask::MOVED_TO
        } else {
            WatchMask::MODIFY | WatchMask::MOVE_SELF | WatchMask::DELETE_SELF
        };
        let notify = Arc::new(Notify::new());
        let mut inner = self.lock();
        let descriptor = inner.watches.add(path, mask)?;
        inner.waiting.entry(descriptor.clone()).or_default().push(notify.clone());
        drop(inner);
        Ok(Watched { watch: self.clone(), descriptor, notify })
    }

    fn tell(&self, descriptor: &WatchDescriptor, mask: EventMask) {
        let mut inner = self.lock();
        if mask.contains(EventMask::Q_OVERFLOW) {
            inner.waiting.values().flatten().for_each(|notify| notify.notify_one());
            return;
        }
        inner.waiting.get(descriptor).into_iter().flatten().for_each(|notify| notify.notify_one());
        if mask.contains(EventMask::IGNORED) {
            inner.waiting.remove(descriptor);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

impl Watched {
    /// Waits for a change since the last one that was told; one that came before the call counts.
    pub(crate) async fn changed(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut inner = self.watch.lock();
        let Some(waiting) = inner.waiting.get_mut(&self.descriptor) else { return };
        waiting.retain(|other| !Arc::ptr_eq(other, &self.notify));
        if waiting.is_empty() {
            inner.waiting.remove(&self.descriptor);
            if let Err(source) = inner.watches.remove(self.descriptor.clone()) {
                tracing::debug!("end a watch (its file may be gone): {source}");
            }
        }
    }
}
