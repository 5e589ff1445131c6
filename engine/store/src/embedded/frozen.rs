//! A state held fast: it costs nothing but what changes while it is held.
use std::sync::Arc;

use crate::{
    contract::{Entry, Frozen, Key, Revision, StoreError},
    state::State,
};

/// Bytes of keys and values that are handed out at a time, about.
const PIECE_BYTES: usize = 256 << 10;

pub struct FrozenState {
    state: Arc<State>,
    after: Option<Key>,
}

impl FrozenState {
    pub fn new(state: Arc<State>) -> Self {
        Self { state, after: None }
    }
}

#[async_trait::async_trait]
impl Frozen for FrozenState {
    fn revision(&self) -> Revision {
        self.state.revision
    }

    async fn next(&mut self) -> Result<Vec<Entry>, StoreError> {
        let mut left = PIECE_BYTES;
        let rest = self.state.below("", self.after.as_deref());
        let piece = rest.take_while(|entry| {
            let fits = left > 0;
            left = left.saturating_sub(entry.key.len() + entry.value.len());
            fits
        });
        let piece: Vec<Entry> = piece.map(|entry| Entry::clone(entry)).collect();
        if let Some(last) = piece.last() {
            self.after = Some(last.key.clone());
        }
        Ok(piece)
    }
}
