//! What writers were promised, to be held against what a store has after a crash: for tests, `cargo xtask crash` and benches.
//!
//! Knows nothing of the `Store` trait, so that it serves as well for writers that come over HTTPS. Each key has one writer at a time.
use std::collections::BTreeMap;

use crate::contract::Revision;

/// A value or its absence, and the revision that wrote it where one is known.
type Found<'a> = Option<(Revision, &'a [u8])>;

#[derive(Default)]
pub struct Ledger {
    accounts: BTreeMap<String, Account>,
    newest: Revision,
}

#[derive(Default)]
struct Account {
    /// The last acknowledged write: its revision and value.
    acknowledged: Option<(Revision, Option<Vec<u8>>)>,
    /// A write whose answer is not known.
    pending: Option<Option<Vec<u8>>>,
}

impl Ledger {
    /// A writer is about to write (or with `None` delete).
    pub fn attempt(&mut self, key: &str, value: Option<&[u8]>) {
        self.account(key).pending = Some(value.map(<[u8]>::to_vec));
    }

    /// The store said yes.
    pub fn acknowledged(&mut self, key: &str, revision: Revision) {
        self.newest = self.newest.max(revision);
        let account = self.account(key);
        if let Some(value) = account.pending.take() {
            account.acknowledged = Some((revision, value));
        }
    }

    /// The store said no for certain.
    pub fn refused(&mut self, key: &str) {
        self.account(key).pending = None;
    }

    /// The newest acknowledged revision.
    pub fn newest(&self) -> Revision {
        self.newest
    }

    /// The revision of a key's last acknowledged value, unless that is a deletion.
    pub fn revision(&self, key: &str) -> Option<Revision> {
        let (revision, value) = self.accounts.get(key)?.acknowledged.as_ref()?;
        value.as_ref().map(|_| *revision)
    }

    /// Holds what is found after a crash against what was promised; returns each breach in words. What is found is the truth from then on.
    pub fn settle<'a>(&mut self, find: impl Fn(&str) -> Found<'a>) -> Vec<String> {
        let mut breaches = Vec::new();
        for (key, account) in &mut self.accounts {
            let found = find(key);
            let value = found.map(|(_, value)| value);
            let was_pending = account.pending.take().is_some_and(|pending| pending.as_deref() == value);
            let is_promised = match (&account.acknowledged, found) {
                (None, None) => true,
                (Some((revision, Some(promised))), Some((at, value))) => promised == value && *revision == at,
                (Some((_, None)), None) => true,
                _ => false,
            };
            if !is_promised && !was_pending {
                let promised = account.acknowledged.as_ref().map(|(revision, value)| (revision.0, value.as_deref().map(short)));
                breaches
                    .push(format!("`{key}`: promised {promised:?}, found {:?}", found.map(|(at, value)| (at.0, short(value)))));
            }
            account.acknowledged = Some(match found {
                Some((at, value)) => (at, Some(value.to_vec())),
                None => (account.acknowledged.as_ref().map_or(Revision(0), |(at, _)| *at), None),
            });
        }
        breaches
    }

    fn account(&mut self, key: &str) -> &mut Account {
        if !self.accounts.contains_key(key) {
            self.accounts.insert(key.to_owned(), Account::default());
        }
        self.accounts.get_mut(key).expect("put there above")
    }
}

fn short(value: &[u8]) -> String {
    String::from_utf8_lossy(&value[..value.len().min(24)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promised() -> Ledger {
        let mut ledger = Ledger::default();
        for (key, revision) in [("a", 1), ("b", 2)] {
            ledger.attempt(key, Some(b"one"));
            ledger.acknowledged(key, Revision(revision));
        }
        ledger
    }

    #[test]
    fn what_was_promised_may_be_there_or_what_was_under_way() {
        let mut ledger = promised();
        ledger.attempt("b", Some(b"two"));
        let found = |key: &str| if key == "a" { Some((Revision(1), &b"one"[..])) } else { Some((Revision(9), &b"two"[..])) };
        assert_eq!(ledger.settle(found), Vec::<String>::new());
        assert_eq!(ledger.revision("b"), Some(Revision(9)));
    }

    #[test]
    fn a_lost_a_changed_and_a_returned_value_are_breaches() {
        assert_eq!(promised().settle(|_| None).len(), 2);
        assert_eq!(promised().settle(|_| Some((Revision(7), &b"one"[..]))).len(), 2);
        let mut ledger = promised();
        ledger.attempt("a", None);
        ledger.acknowledged("a", Revision(3));
        let found = |key: &str| Some((Revision(if key == "a" { 1 } else { 2 }), &b"one"[..]));
        assert_eq!(ledger.settle(found).len(), 1);
    }

    #[test]
    fn what_was_refused_must_not_appear() {
        let mut ledger = promised();
        ledger.attempt("a", Some(b"two"));
        ledger.refused("a");
        let found = |key: &str| if key == "a" { Some((Revision(3), &b"two"[..])) } else { Some((Revision(2), &b"one"[..])) };
        assert_eq!(ledger.settle(found).len(), 1);
    }
}
