//! Where a home's keys lie in etcd: below `PREFIX/`, which is the home's own; what the store itself keeps lies beside, at `PREFIX.NAME`.
use prost::bytes::Bytes;

use crate::contract::Key;

/// Names of keys in etcd.
#[derive(Clone)]
pub struct Keys {
    /// Without a slash at its end.
    prefix: String,
}

impl Keys {
    pub fn below(prefix: &str) -> Self {
        Self { prefix: prefix.trim_end_matches('/').to_owned() }
    }

    /// A key of ours as etcd knows it.
    pub fn full(&self, key: &str) -> Bytes {
        format!("{}/{key}", self.prefix).into()
    }

    /// Our key; `None` for what is not text, and so not ours.
    pub fn own(&self, full: &[u8]) -> Option<Key> {
        let own = full.strip_prefix(self.prefix.as_bytes())?.strip_prefix(b"/")?;
        std::str::from_utf8(own).ok().map(Key::from)
    }

    /// All keys below a prefix of ours: the first, and what comes behind the last.
    pub fn range(&self, prefix: &str) -> (Bytes, Bytes) {
        let from = self.full(prefix);
        let mut to = from.to_vec();
        // UTF-8 has no byte 255, so one more is always a byte.
        if let Some(last) = to.last_mut() {
            *last += 1;
        }
        (from, to.into())
    }

    /// What comes right behind a key of ours.
    pub fn behind(&self, key: &str) -> Bytes {
        self.full(&format!("{key}\0"))
    }

    /// Where the store keeps from when on history is held.
    pub fn history(&self) -> Bytes {
        format!("{}.history", self.prefix).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_what_is_below_and_nothing_else() {
        let keys = Keys::below("/irori/home/");
        let (from, to) = keys.range("k/ä");
        let within = |key: &str| (from.as_ref()..to.as_ref()).contains(&keys.full(key).as_ref());
        assert!(within("k/ä") && within("k/ä/x") && within("k/ä\u{10ffff}"));
        assert!(!within("k/a") && !within("k/å") && !within("k/"));
        let (from, to) = keys.range("");
        assert!(!(from..to).contains(&keys.history()));
    }

    #[test]
    fn keys_come_back_as_they_went() {
        let keys = Keys::below("/irori/home");
        assert_eq!(keys.own(&keys.full("core/pods/a/b")).as_deref(), Some("core/pods/a/b"));
        assert_eq!(keys.own(b"/irori/other/core"), None);
        assert_eq!(keys.own(b"/irori/home/\xff"), None);
        assert!(keys.behind("k/a") > keys.full("k/a") && keys.behind("k/a") < keys.full("k/a/"));
    }
}
