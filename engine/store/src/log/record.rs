//! What stands in a frame: commits in a segment, entries in a snapshot.
//!
//! ```text
//! commit: revision · number of writes · writes       write: key length · key · previous revision · 0 | value length + 1 · value
//! entry:  key length · key · revision · value length · value
//! ```
//! Numbers are LEB128. The previous revision (0 for a creation) is how history finds the value before without a copy of it.

/// The bytes are not what was once encoded (a checksum that matched says they were: a bug, or a forged file).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteRecord<'a> {
    pub key: &'a str,
    /// The revision that wrote the value before; 0 if there was none.
    pub previous: u64,
    pub value: Option<&'a [u8]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRecord<'a> {
    pub revision: u64,
    pub writes: Vec<WriteRecord<'a>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryRecord<'a> {
    pub key: &'a str,
    pub revision: u64,
    pub value: &'a [u8],
}

pub fn put_commit<'a>(out: &mut Vec<u8>, revision: u64, writes: impl ExactSizeIterator<Item = WriteRecord<'a>>) {
    put_number(out, revision);
    put_number(out, writes.len() as u64);
    for write in writes {
        put_bytes(out, write.key.as_bytes());
        put_number(out, write.previous);
        match write.value {
            None => put_number(out, 0),
            Some(value) => {
                put_number(out, value.len() as u64 + 1);
                out.extend_from_slice(value);
            }
        }
    }
}

pub fn put_entry(out: &mut Vec<u8>, entry: EntryRecord<'_>) {
    put_bytes(out, entry.key.as_bytes());
    put_number(out, entry.revision);
    put_bytes(out, entry.value);
}

pub fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Takes records off the front of a payload.
pub struct Records<'a>(pub &'a [u8]);

impl<'a> Records<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next commit.
    pub fn commit(&mut self) -> Result<CommitRecord<'a>, Malformed> {
        let revision = self.number()?;
        let count = self.number()?;
        // Each write takes at least three bytes, so that a forged count cannot make us reserve more than the payload is long.
        if count > self.0.len() as u64 / 3 {
            return Err(Malformed);
        }
        let mut writes = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let key = self.text()?;
            let previous = self.number()?;
            let value = match self.number()? {
                0 => None,
                len => Some(self.take(len - 1)?),
            };
            writes.push(WriteRecord { key, previous, value });
        }
        Ok(CommitRecord { revision, writes })
    }

    /// The next entry.
    pub fn entry(&mut self) -> Result<EntryRecord<'a>, Malformed> {
        Ok(EntryRecord { key: self.text()?, revision: self.number()?, value: self.bytes()? })
    }

    pub fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or(Malformed)?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(Malformed);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.number()?;
        self.take(len)
    }

    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(len).map_err(|_| Malformed)?;
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn commits_read_back_as_written(
            commits in prop::collection::vec((any::<u64>(), prop::collection::vec((".{1,20}", any::<u64>(), prop::option::of(prop::collection::vec(any::<u8>(), 0..200))), 1..5)), 0..20)
        ) {
            let mut out = Vec::new();
            let writes = |writes: &Vec<(String, u64, Option<Vec<u8>>)>| -> Vec<(String, u64, Option<Vec<u8>>)> { writes.clone() };
            for (revision, list) in &commits {
                put_commit(&mut out, *revision, list.iter().map(|(key, previous, value)| WriteRecord { key, previous: *previous, value: value.as_deref() }));
            }
            let mut records = Records(&out);
            for (revision, list) in &commits {
                let commit = records.commit().expect("what was encoded decodes");
                prop_assert_eq!(commit.revision, *revision);
                let back: Vec<_> = commit.writes.iter().map(|w| (w.key.to_owned(), w.previous, w.value.map(<[u8]>::to_vec))).collect();
                prop_assert_eq!(back, writes(list));
            }
            prop_assert!(records.is_empty());
        }

        #[test]
        fn entries_read_back_as_written(key in ".{1,40}", revision in any::<u64>(), value in prop::collection::vec(any::<u8>(), 0..500)) {
            let mut out = Vec::new();
            let entry = EntryRecord { key: &key, revision, value: &value };
            put_entry(&mut out, entry);
            let mut records = Records(&out);
            prop_assert_eq!(records.entry(), Ok(entry));
            prop_assert!(records.is_empty());
        }

        #[test]
        fn garbage_is_refused_or_read_but_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut records = Records(&bytes);
            while !records.is_empty() && records.commit().is_ok() {}
            let mut records = Records(&bytes);
            while !records.is_empty() && records.entry().is_ok() {}
        }

        #[test]
        fn a_cut_commit_is_refused(cut in 0_usize..40) {
            let mut out = Vec::new();
            put_commit(&mut out, 300, [WriteRecord { key: "core/pods/default/web", previous: 299, value: Some(b"0123456789") }].into_iter());
            prop_assume!(cut < out.len());
            prop_assert_eq!(Records(&out[..cut]).commit(), Err(Malformed));
        }
    }
}
