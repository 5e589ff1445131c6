//! Reads of the past: the present state with what happened since undone.
use std::{collections::HashSet, sync::Arc};

use super::{EmbeddedStore, Shared};
use crate::{
    contract::{Revision, StoreError},
    log::HistoryError,
    state::State,
};

/// About so much of the log is read at a time.
const READ_BYTES: usize = 1 << 20;

impl EmbeddedStore {
    /// The state as it was: the present one with what happened below the prefix since undone.
    pub(super) async fn state_at(&self, state: Arc<State>, at: Revision, prefix: &str) -> Result<Arc<State>, StoreError> {
        self.shared.history.covers(at.0).map_err(|bad| compacted(at, &bad))?;
        let (events, ring_after) = self.shared.hub.events(prefix, at, state.revision);
        let mut past = State::clone(&state);
        for event in events.iter().rev() {
            past.set(&event.key, event.previous.clone());
        }
        if at < ring_after {
            let (shared, prefix) = (self.shared.clone(), prefix.to_owned());
            let older = tokio::task::spawn_blocking(move || undo_from_log(&shared, past, at, ring_after, &prefix));
            past = older.await.map_err(|e| StoreError::Stopped { reason: e.to_string() })?.map_err(|bad| compacted(at, &bad))?;
        }
        past.revision = at;
        Ok(Arc::new(past))
    }
}

/// Undoes what the log says happened after `at` up to where the ring starts.
fn undo_from_log(shared: &Shared, mut state: State, at: Revision, upto: Revision, prefix: &str) -> Result<State, HistoryError> {
    let (mut reached, mut undone) = (at.0, HashSet::new());
    while reached < upto.0 {
        let (past, next) = shared.history.writes(reached, upto.0, prefix, READ_BYTES)?;
        for past in past {
            // The first write after `at` knows what was there at that time.
            if undone.insert(past.key.clone()) {
                let before = shared.history.previous(&past)?;
                state.set(&past.key, before);
            }
        }
        reached = next;
    }
    Ok(state)
}

/// History does not go back to a revision, or cannot be read; the newest state is whole, so that the asker can start again from that.
pub fn compacted(asked: Revision, bad: &HistoryError) -> StoreError {
    let oldest = match bad {
        HistoryError::Compacted { oldest } => Revision(*oldest),
        HistoryError::Broken(source) => {
            tracing::error!("read history: {source}");
            asked
        }
    };
    StoreError::Compacted { asked, oldest }
}
