//! How large a commit may be.
use std::collections::HashSet;

use bytes::Bytes;

use crate::contract::{Expect, StoreError, Write};

const KEY_BYTES_MAX: usize = 1_024;

/// What a store takes in one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub value_bytes_max: usize,
    /// Keys and values together.
    pub commit_bytes_max: usize,
    pub commit_writes_max: usize,
}

impl Default for Limits {
    /// Those of the embedded store.
    fn default() -> Self {
        Self { value_bytes_max: 4 << 20, commit_bytes_max: 16 << 20, commit_writes_max: 10_000 }
    }
}

impl Limits {
    /// Checks a commit, and returns how many bytes it has.
    pub fn check(&self, writes: &[Write]) -> Result<usize, StoreError> {
        let limit = |reason: String| Err(StoreError::Limit { reason });
        if writes.is_empty() || writes.len() > self.commit_writes_max {
            return limit(format!("a commit has 1 to {} writes, not {}", self.commit_writes_max, writes.len()));
        }
        // Most commits are of one key.
        let mut keys = HashSet::with_capacity(if writes.len() > 1 { writes.len() } else { 0 });
        let mut bytes = 0;
        for Write { key, expect, value } in writes {
            let value_bytes = value.as_ref().map_or(0, Bytes::len);
            if key.is_empty() || key.len() > KEY_BYTES_MAX {
                return limit(format!("a key has 1 to {KEY_BYTES_MAX} bytes, not {}", key.len()));
            }
            if value_bytes > self.value_bytes_max {
                return limit(format!("the value of `{key}` has {value_bytes} bytes, more than {}", self.value_bytes_max));
            }
            if value.is_none() && *expect == Expect::Absent {
                return limit(format!("a deletion of `{key}` that expects nothing there"));
            }
            if writes.len() > 1 && !keys.insert(key) {
                return limit(format!("`{key}` is written twice in one commit"));
            }
            bytes += key.len() + value_bytes;
        }
        if bytes > self.commit_bytes_max {
            return limit(format!("a commit of {bytes} bytes, more than {}", self.commit_bytes_max));
        }
        Ok(bytes)
    }
}
