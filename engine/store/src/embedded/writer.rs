//! The one thread that writes: takes batches, puts them on disk, shows them, answers.
//!
//! While it syncs, the next batch gathers; so commits that wait share one sync, and a single one waits for nobody.
use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::sync::mpsc;
use tracing::{error, info, warn};

use super::{
    Shared,
    appender::{AppendError, Appender},
    intake::{Batch, Waiter, Work},
};
use crate::{
    contract::{Revision, StoreError},
    log::FRAME_HEADER_BYTES,
    state::State,
};

/// Lazy commits are written when so many bytes of them wait, if no synced commit and no timer does it before.
const LAZY_BYTES_MAX: usize = 1 << 20;
/// A buffer that grew above this for a large batch is given back to the machine.
const BUFFER_BYTES_KEPT: usize = 1 << 20;

pub struct Writer {
    pub shared: Arc<Shared>,
    pub appender: Appender,
    /// A frame in the making: spare bytes for its header, and lazy commits that were shown but not written.
    pub frame: Vec<u8>,
    /// The first revision in it.
    pub first: Option<Revision>,
    /// When the lazy commits have to be written.
    pub deadline: Option<Instant>,
    pub lazy_flush: Duration,
    /// Bytes of log since the newest snapshot.
    pub log_bytes: u64,
    pub snapshot_bytes_min: u64,
    pub snapshots: mpsc::UnboundedSender<State>,
}

impl Writer {
    /// Runs until the store is closed. Errors: why writing had to stop.
    pub fn run(mut self) -> Result<(), String> {
        let mut recycled = Vec::new();
        loop {
            match self.shared.intake.next(self.deadline, std::mem::take(&mut recycled)) {
                Work::Write(batch) => recycled = self.write(batch)?,
                Work::Flush => self.flush_lazy()?,
                Work::Look => {}
                Work::Close => return self.close(),
            }
            self.start_snapshot()?;
        }
    }

    /// Puts a batch on disk (or, if it is lazy, aside), shows it and answers. Returns its buffer for the next one.
    fn write(&mut self, batch: Batch) -> Result<Vec<u8>, String> {
        let Batch { mut records, events, waiters, first, synced, state } = batch;
        let lazy_len = self.frame.len();
        let lazy_first = self.first;
        self.frame.extend_from_slice(&records);
        self.first = self.first.or(first);
        let is_due = synced || (first.is_some() && self.frame.len() > LAZY_BYTES_MAX);
        let done = if is_due { self.append(state.revision) } else { self.appender.reserve(state.revision.0) };
        match done {
            Ok(()) => {}
            Err(AppendError::Full) => {
                self.frame.truncate(lazy_len);
                self.first = lazy_first;
                let behind = self.shared.intake.undo(State::clone(&self.shared.hub.state()));
                self.shared.note_full(true);
                waiters.into_iter().chain(behind).for_each(|waiter| waiter.failed(StoreError::Full));
                return Ok(Vec::new());
            }
            Err(AppendError::Broken { doing, source }) => {
                return Err(self.stop(waiters, doing, &source));
            }
        }
        if !is_due && first.is_some() {
            self.deadline.get_or_insert_with(|| Instant::now() + self.lazy_flush);
        }
        let revision = state.revision;
        self.shared.hub.publish(state, events, Revision(self.appender.logged));
        self.shared.intake.shown(revision);
        self.shared.lazy_bytes.store(self.frame.len() as u64 - FRAME_HEADER_BYTES as u64, Ordering::Relaxed);
        waiters.into_iter().for_each(Waiter::done);
        records.clear();
        Ok(if records.capacity() > BUFFER_BYTES_KEPT { Vec::new() } else { records })
    }

    /// Writes the frame in the making, which goes up to `last`.
    fn append(&mut self, last: Revision) -> Result<(), AppendError> {
        let Some(first) = self.first else { return Ok(()) };
        self.appender.append(&mut self.frame, first.0, last.0)?;
        self.log_bytes += self.frame.len() as u64;
        self.frame.truncate(FRAME_HEADER_BYTES);
        if self.frame.capacity() > BUFFER_BYTES_KEPT {
            self.frame.shrink_to_fit();
        }
        self.first = None;
        self.deadline = None;
        self.shared.note_full(false);
        Ok(())
    }

    /// Writes the lazy commits that were shown.
    fn flush_lazy(&mut self) -> Result<(), String> {
        match self.append(self.shared.hub.state().revision) {
            Ok(()) => {
                self.shared.lazy_bytes.store(0, Ordering::Relaxed);
                Ok(())
            }
            Err(AppendError::Full) => {
                // They stay in memory, and go with the next commit: a full disk is not polled.
                self.deadline = None;
                self.shared.note_full(true);
                Ok(())
            }
            Err(AppendError::Broken { doing, source }) => Err(self.stop(Vec::new(), doing, &source)),
        }
    }

    /// Hands the state to the snapshot task if the log has grown long. Only when all of it is in the log, so that the snapshot never shows
    /// what a crash could take back.
    fn start_snapshot(&mut self) -> Result<(), String> {
        let state = self.shared.hub.state();
        let due = self.log_bytes >= self.snapshot_bytes_min.max(2 * state.bytes);
        let all_logged = self.appender.logged == state.revision.0 && !self.appender.active.is_empty();
        if !due || !all_logged || self.shared.snapshotting.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        match self.appender.rotate() {
            Ok(()) => {}
            Err(AppendError::Full) => {
                warn!("no space for a new segment: the log goes on in the old one");
                self.shared.snapshotting.store(false, Ordering::Release);
                self.log_bytes = 0;
                return Ok(());
            }
            Err(AppendError::Broken { doing, source }) => {
                return Err(self.stop(Vec::new(), doing, &source));
            }
        }
        self.log_bytes = 0;
        if self.snapshots.send(State::clone(&state)).is_err() {
            // The process is going down: the next start reads a longer log.
            self.shared.snapshotting.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// Ends writing for good: nobody knows any more what is on the disk. Returns why.
    fn stop(&self, waiters: Vec<Waiter>, doing: &str, source: &std::io::Error) -> String {
        let reason = format!("{doing}: {source}");
        let behind = self.shared.intake.stop(&reason);
        waiters.into_iter().chain(behind).for_each(|waiter| waiter.failed(StoreError::Stopped { reason: reason.clone() }));
        reason
    }

    fn close(mut self) -> Result<(), String> {
        self.flush_lazy()?;
        if self.first.is_some() {
            error!("no space on the disk: lazy commits are lost");
            return Err("close with a full disk".to_owned());
        }
        // Above the log only if nothing was written since an unclean stop.
        let revision = self.shared.hub.state().revision.0;
        self.appender.seal(revision).map_err(|failed| match failed {
            AppendError::Broken { doing, source } => format!("{doing}: {source}"),
            AppendError::Full => "close with a full disk".to_owned(),
        })?;
        info!(revision, "store closed");
        Ok(())
    }
}
