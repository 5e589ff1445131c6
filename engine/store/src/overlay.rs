//! A disk whose changes stay in memory: so that a store can be opened, and recovered, without touching it.
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use crate::disk::{Disk, DiskFile};

pub struct Overlay {
    below: Arc<dyn Disk>,
    /// What differs from below; `None` is a file that was removed.
    changed: Mutex<BTreeMap<String, Option<Arc<OverlayFile>>>>,
}

impl Overlay {
    pub fn over(below: Arc<dyn Disk>) -> Self {
        Self { below, changed: Mutex::default() }
    }

    fn changed(&self) -> MutexGuard<'_, BTreeMap<String, Option<Arc<OverlayFile>>>> {
        self.changed.lock().expect("no holder of this lock panics")
    }

    fn file(&self, name: &str) -> io::Result<Arc<OverlayFile>> {
        let mut changed = self.changed();
        match changed.get(name) {
            Some(Some(file)) => Ok(file.clone()),
            Some(None) => Err(io::ErrorKind::NotFound.into()),
            None => {
                let file = Arc::new(OverlayFile::over(self.below.open(name)?)?);
                changed.insert(name.to_owned(), Some(file.clone()));
                Ok(file)
            }
        }
    }
}

impl Disk for Overlay {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(name)?)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = Arc::new(OverlayFile::default());
        self.changed().insert(name.to_owned(), Some(file.clone()));
        Ok(file)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = self.below.list()?;
        let changed = self.changed();
        names.retain(|name| !changed.contains_key(name));
        names.extend(changed.iter().filter(|(_, file)| file.is_some()).map(|(name, _)| name.clone()));
        names.sort();
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let file = self.file(from)?;
        let mut changed = self.changed();
        changed.insert(from.to_owned(), None);
        changed.insert(to.to_owned(), Some(file));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.file(name)?;
        self.changed().insert(name.to_owned(), None);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self) -> io::Result<Box<dyn Send + Sync>> {
        self.below.lock()
    }

    fn name(&self) -> String {
        self.below.name()
    }
}

#[derive(Default)]
struct OverlayFile {
    below: Option<Arc<dyn DiskFile>>,
    content: Mutex<Content>,
}

#[derive(Default)]
struct Content {
    /// So many bytes of the file below show through; what comes after them was cut off.
    shown: u64,
    /// In the order in which they were written.
    writes: Vec<(u64, Vec<u8>)>,
    len: u64,
}

impl OverlayFile {
    fn over(below: Arc<dyn DiskFile>) -> io::Result<Self> {
        let len = below.size()?;
        Ok(Self { below: Some(below), content: Mutex::new(Content { shown: len, writes: Vec::new(), len }) })
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().expect("no holder of this lock panics")
    }
}

impl DiskFile for OverlayFile {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let content = self.content();
        let count = content.len.saturating_sub(offset).min(into.len() as u64) as usize;
        let into = &mut into[..count];
        into.fill(0);
        let through = content.shown.saturating_sub(offset).min(count as u64) as usize;
        if let Some(below) = self.below.as_ref().filter(|_| through > 0) {
            below.read_at(offset, &mut into[..through])?;
        }
        for (at, bytes) in &content.writes {
            let (start, end) = ((*at).max(offset), (at + bytes.len() as u64).min(offset + count as u64));
            if start < end {
                into[(start - offset) as usize..(end - offset) as usize]
                    .copy_from_slice(&bytes[(start - at) as usize..(end - at) as usize]);
            }
        }
        Ok(count)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut content = self.content();
        content.len = content.len.max(offset + bytes.len() as u64);
        content.writes.push((offset, bytes.to_vec()));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut content = self.content();
        content.shown = content.shown.min(len);
        for (at, bytes) in &mut content.writes {
            bytes.truncate(len.saturating_sub(*at) as usize);
        }
        content.len = len;
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.content().len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimDisk;

    fn bytes(disk: &dyn Disk, name: &str) -> Vec<u8> {
        let file = disk.open(name).expect("is there");
        let mut bytes = vec![7; file.size().expect("a size") as usize];
        let read = file.read_at(0, &mut bytes).expect("no faults");
        bytes.truncate(read);
        bytes
    }

    #[test]
    fn changes_are_seen_above_and_never_below() {
        let below = SimDisk::new();
        below.put("a", b"0123456789".to_vec());
        below.put("b", b"b".to_vec());
        let disk = Overlay::over(Arc::new(below.clone()));
        let file = disk.open("a").expect("is there");
        file.write_at(8, b"xyz").expect("write");
        assert_eq!(bytes(&disk, "a"), b"01234567xyz");
        file.truncate(9).expect("truncate");
        file.truncate(12).expect("truncate");
        assert_eq!(bytes(&disk, "a"), b"01234567x\0\0\0");
        let mut part = [0; 3];
        assert_eq!(file.read_at(7, &mut part).expect("read"), 3);
        assert_eq!(&part, b"7x\0");
        disk.rename("a", "c").expect("rename");
        disk.remove("b").expect("remove");
        disk.create("d").expect("create").write_at(1, b"d").expect("write");
        assert_eq!(disk.list().expect("list"), ["c", "d"]);
        assert_eq!((bytes(&disk, "c").len(), bytes(&disk, "d")), (12, b"\0d".to_vec()));
        assert!(disk.open("a").is_err() && disk.remove("b").is_err());
        assert_eq!(below.list().expect("list"), ["a", "b"]);
        assert_eq!(below.read("a").expect("is there"), b"0123456789");
    }
}
