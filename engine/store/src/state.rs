//! All entries at one revision, in memory.
//!
//! A persistent B-tree: a clone is a pointer, and shares all nodes with its origin but those that either changes later. So a published
//! state never moves under a reader, and an older state is the newest with some changes undone.
use std::{borrow::Borrow, cmp::Ordering, ops::Bound, sync::Arc};

use bytes::Bytes;
use imbl::OrdSet;

use crate::contract::{Entry, Key, Page, Revision};

#[derive(Clone)]
struct Item(Arc<Entry>);

impl Borrow<str> for Item {
    fn borrow(&self) -> &str {
        &self.0.key
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.0.key == other.0.key
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.key.cmp(&other.0.key)
    }
}

#[derive(Clone, Default)]
pub struct State {
    items: OrdSet<Item>,
    /// The newest commit in it.
    pub revision: Revision,
    /// Bytes of all keys and values.
    pub bytes: u64,
}

impl State {
    /// No entries, at a revision.
    pub fn empty_at(revision: Revision) -> Self {
        Self { revision, ..Self::default() }
    }

    pub fn len(&self) -> usize {
        self.items.len()
    }

    pub fn get(&self, key: &str) -> Option<&Arc<Entry>> {
        self.items.get(key).map(|item| &item.0)
    }

    /// Puts an entry there, or takes away what is there. Returns what was there.
    pub fn set(&mut self, key: &str, entry: Option<Entry>) -> Option<Arc<Entry>> {
        let before = match entry {
            Some(entry) => {
                self.bytes += (entry.key.len() + entry.value.len()) as u64;
                self.items.insert(Item(Arc::new(entry)))
            }
            None => self.items.remove(key),
        };
        let before = before.map(|item| item.0);
        if let Some(before) = &before {
            self.bytes -= (before.key.len() + before.value.len()) as u64;
        }
        before
    }

    /// Applies one write of the commit with this revision. Returns what was there.
    pub fn write(&mut self, key: &Key, value: Option<Bytes>, revision: Revision) -> Option<Arc<Entry>> {
        self.revision = revision;
        let entry = value.map(|value| Entry { key: key.clone(), value, revision });
        self.set(key, entry)
    }

    /// Entries below a prefix in key order, after a key if one is given.
    pub fn below<'a>(&'a self, prefix: &'a str, after: Option<&'a str>) -> impl Iterator<Item = &'a Arc<Entry>> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let range = self.items.range::<_, str>((from, Bound::Unbounded));
        range.map(|item| &item.0).take_while(move |entry| entry.key.starts_with(prefix))
    }

    /// A page of entries; `limit` 0 is no limit.
    pub fn page(&self, prefix: &str, after: Option<&str>, limit: usize) -> Page {
        let mut rest = self.below(prefix, after);
        let limit = if limit == 0 { usize::MAX } else { limit };
        let entries = rest.by_ref().take(limit).map(|entry| Entry::clone(entry)).collect();
        Page { entries, revision: self.revision, remaining: rest.count() as u64 }
    }

    /// All entries in key order.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.items.iter().map(|item| &item.0)
    }
}
