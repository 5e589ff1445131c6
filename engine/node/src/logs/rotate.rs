//! Rotation: a log that grew is put aside, and the oldest goes.
use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use irori_runtime::{OnEnd, Tasks};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{FileWatch, older};
use crate::runtime::{ContainerId, RuntimeError};

/// Tells the engine to open a container's log anew.
#[async_trait]
pub(crate) trait Reopen: Send + Sync {
    async fn reopen(&self, id: &ContainerId) -> Result<(), RuntimeError>;
}

/// When a log is put aside, and how much of it is kept.
#[derive(Clone, Copy, Debug)]
pub struct LogLimits {
    /// A file above this many bytes is put aside.
    pub bytes_max: u64,
    /// Files of a container, the one that is written to included.
    pub files_max: usize,
    /// The least time between two looks at a file that is being written to.
    pub pause: Duration,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self { bytes_max: 10 * 1024 * 1024, files_max: 5, pause: Duration::from_secs(10) }
    }
}

/// The logs that are looked after.
pub(crate) struct Rotation {
    files: FileWatch,
    reopen: Arc<dyn Reopen>,
    limits: LogLimits,
    tasks: Tasks,
    watched: Mutex<HashMap<ContainerId, DropGuard>>,
}

impl Rotation {
    pub(crate) fn new(files: FileWatch, reopen: Arc<dyn Reopen>, limits: LogLimits, tasks: Tasks) -> Self {
        Self { files, reopen, limits, tasks, watched: Mutex::default() }
    }

    /// Looks after a container's log until it is forgotten.
    pub(crate) fn watch(&self, id: &ContainerId, log: PathBuf) {
        let token = CancellationToken::new();
        self.watched.lock().expect("no holder of this lock panics").insert(id.clone(), token.clone().drop_guard());
        let (files, reopen, limits, id) = (self.files.clone(), self.reopen.clone(), self.limits, id.clone());
        let shutdown = self.tasks.shutdown().clone();
        self.tasks.spawn("log rotation", OnEnd::Contained, async move {
            let work = shutdown.guard(look_after(&files, &*reopen, limits, &id, &log));
            let ended = tokio::select! { () = token.cancelled() => Ok(()), ended = work => ended.unwrap_or(Ok(())) };
            // The log went with its container.
            ended.or_else(|source| if source.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(source) })
        });
    }

    pub(crate) fn forget(&self, id: &ContainerId) {
        self.watched.lock().expect("no holder of this lock panics").remove(id);
    }
}

async fn look_after(files: &FileWatch, reopen: &dyn Reopen, limits: LogLimits, id: &ContainerId, log: &Path) -> io::Result<()> {
    loop {
        let watched = files.watch(log)?;
        if size(log)? <= limits.bytes_max {
            watched.changed().await;
            drop(watched); // a busy container does not wake us while we wait
            tokio::time::sleep(limits.pause).await;
        }
        if size(log)? > limits.bytes_max
            && let Err(error) = rotate(reopen, limits, id, log).await
        {
            tracing::warn!(container = %id, "rotate log: {error}");
            tokio::time::sleep(limits.pause).await;
        }
    }
}

fn size(log: &Path) -> io::Result<u64> {
    fs::metadata(log).map(|meta| meta.len())
}

#[derive(Debug, thiserror::Error)]
enum RotateError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Reopen(#[from] RuntimeError),
}

async fn rotate(reopen: &dyn Reopen, limits: LogLimits, id: &ContainerId, log: &Path) -> Result<(), RotateError> {
    let mut aside = older(log)?;
    aside.sort();
    let number = aside.last().map_or(0, |(number, _)| *number) + 1;
    // What is written between the two steps still goes to the file that was put aside.
    let mut name = log.as_os_str().to_owned();
    name.push(format!(".{number}"));
    fs::rename(log, &name)?;
    if let Err(error) = reopen.reopen(id).await {
        // Put back, unless the engine made a new file all the same.
        if !log.exists() {
            fs::rename(&name, log)?;
        }
        return Err(error.into());
    }
    let keep = limits.files_max.saturating_sub(2); // beside the new file and the one just put aside
    let surplus = aside.len().saturating_sub(keep);
    aside.iter().take(surplus).try_for_each(|(_, path)| fs::remove_file(path))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use irori_runtime::Shutdown;

    use super::*;

    struct Touch(PathBuf, tokio::sync::mpsc::UnboundedSender<()>);

    #[async_trait]
    impl Reopen for Touch {
        async fn reopen(&self, _: &ContainerId) -> Result<(), RuntimeError> {
            fs::write(&self.0, "").expect("write");
            self.1.send(()).expect("the test listens");
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_log_that_grew_is_put_aside_and_the_oldest_goes() {
        let dir = tempfile::tempdir().expect("temp dir");
        let log = dir.path().join("0.log");
        fs::write(&log, "").expect("write");
        let tasks = Tasks::new(Shutdown::new());
        let files = FileWatch::new(&tasks).expect("inotify");
        let (sender, mut reopened) = tokio::sync::mpsc::unbounded_channel();
        let limits = LogLimits { bytes_max: 10, files_max: 3, pause: Duration::ZERO };
        let rotation = Rotation::new(files, Arc::new(Touch(log.clone(), sender)), limits, tasks.clone());
        let id = ContainerId::from("c");
        rotation.watch(&id, log.clone());
        for round in 1..=4 {
            fs::write(&log, format!("round {round} with more")).expect("write");
            tokio::time::timeout(Duration::from_secs(10), reopened.recv()).await.expect("rotated in time").expect("sent");
        }
        rotation.forget(&id);
        tasks.shutdown().start();
        assert!(tasks.drain(Duration::from_secs(10)).await.is_empty());
        let names: Vec<String> =
            super::super::files(&log).expect("list").iter().map(|file| fs::read_to_string(file).expect("read")).collect();
        // The removal of the oldest comes after the reopening that the test waits for: it may still have been ahead.
        assert_eq!(names[names.len() - 3..], ["round 3 with more", "round 4 with more", ""]);
        assert!(names.len() <= 4, "{names:?}");
    }
}
