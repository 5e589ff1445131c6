//! A folder of files that changes all at once.
//!
//! The files live in a folder of their own, `..data` points at it, and each visible name points through `..data`. A change writes a new
//! folder and swaps `..data` by rename, so that a reader sees the old files or the new ones and never a mixture.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink},
    path::{Component, Path, PathBuf},
};

use bytes::Bytes;

const DATA: &str = "..data";

/// One file of a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub bytes: Bytes,
    /// Permission bits.
    pub mode: u32,
    /// Owner, where it is not root.
    pub uid: Option<u32>,
}

/// Files by their path in the folder.
pub type Payload = BTreeMap<String, Entry>;

/// Whether a path may stand in a payload: relative, without `..` and without names that the swap needs.
pub fn is_allowed_path(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    !path.is_empty() && !path.starts_with("..") && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// Makes `folder` hold exactly `payload`; writes nothing if it does already. `group` owns the files where it is given.
/// Returns whether something was written.
pub fn write(folder: &Path, payload: &Payload, group: Option<u32>) -> io::Result<bool> {
    if let Some(bad) = payload.keys().find(|path| !is_allowed_path(path)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("path `{bad}` does not stay in its volume")));
    }
    let old = fs::read_link(folder.join(DATA)).ok();
    if old.as_ref().is_some_and(|old| holds(&folder.join(old), payload)) {
        link_names(folder, payload)?;
        return Ok(false);
    }
    let (fresh, name) = fresh_folder(folder, group)?;
    for (path, entry) in payload {
        write_file(&fresh, path, entry, group)?;
    }
    let swap = folder.join("..data_tmp");
    remove_if_there(&swap)?;
    symlink(&name, &swap)?;
    fs::rename(&swap, folder.join(DATA))?;
    link_names(folder, payload)?;
    remove_others(folder, &name)?;
    Ok(true)
}

fn holds(folder: &Path, payload: &Payload) -> bool {
    let same = |(path, entry): (&String, &Entry)| fs::read(folder.join(path)).is_ok_and(|bytes| bytes == entry.bytes);
    payload.iter().all(same) && count_files(folder) == payload.len()
}

fn count_files(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let count = |entry: fs::DirEntry| if entry.path().is_dir() { count_files(&entry.path()) } else { 1 };
    entries.flatten().map(count).sum()
}

fn fresh_folder(folder: &Path, group: Option<u32>) -> io::Result<(PathBuf, String)> {
    for number in 0..u32::MAX {
        let name = format!("..{number}");
        let path = folder.join(&name);
        match fs::DirBuilder::new().mode(0o755).create(&path) {
            Ok(()) => {
                set_directory(&path, group)?;
                return Ok((path, name));
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::other("no free name for a payload"))
}

fn set_directory(path: &Path, group: Option<u32>) -> io::Result<()> {
    let mode = if group.is_some() { 0o2775 } else { 0o755 };
    std::os::unix::fs::chown(path, None, group)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn write_file(fresh: &Path, path: &str, entry: &Entry, group: Option<u32>) -> io::Result<()> {
    let target = fresh.join(path);
    let mut parent = fresh.to_path_buf();
    for part in Path::new(path).parent().iter().flat_map(|parent| parent.components()) {
        parent.push(part);
        match fs::DirBuilder::new().mode(0o755).create(&parent) {
            Ok(()) => set_directory(&parent, group)?,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&target)?;
    io::Write::write_all(&mut file, &entry.bytes)?;
    std::os::unix::fs::fchown(&file, entry.uid, group)?;
    // What a group owns, it can read.
    let mode = if group.is_some() { entry.mode | 0o440 } else { entry.mode };
    file.set_permissions(fs::Permissions::from_mode(mode))
}

fn link_names(folder: &Path, payload: &Payload) -> io::Result<()> {
    let names: BTreeSet<&str> = payload.keys().filter_map(|path| path.split('/').next()).collect();
    for name in &names {
        match symlink(format!("{DATA}/{name}"), folder.join(name)) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
    }
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let Some(name) = name.to_str() else { continue };
        if !name.starts_with("..") && !names.contains(name) {
            remove_if_there(&folder.join(name))?;
        }
    }
    Ok(())
}

fn remove_others(folder: &Path, keep: &str) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let old = name.to_str().is_some_and(|name| name.starts_with("..") && name != keep && name != DATA);
        if old && entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(files: &[(&str, &str)]) -> Payload {
        let entry = |text: &str| Entry { bytes: Bytes::copy_from_slice(text.as_bytes()), mode: 0o644, uid: None };
        files.iter().map(|(path, text)| ((*path).to_owned(), entry(text))).collect()
    }

    fn read(folder: &Path, name: &str) -> String {
        fs::read_to_string(folder.join(name)).expect("readable")
    }

    #[test]
    fn files_are_seen_by_name_and_change_together_by_one_rename() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(write(folder.path(), &payload(&[("a", "1"), ("deep/b", "1")]), None).expect("written"));
        let before = fs::read_link(folder.path().join(DATA)).expect("a link");
        assert_eq!((read(folder.path(), "a"), read(folder.path(), "deep/b")), ("1".to_owned(), "1".to_owned()));
        assert!(write(folder.path(), &payload(&[("a", "2"), ("c", "2")]), None).expect("written"));
        assert_ne!(before, fs::read_link(folder.path().join(DATA)).expect("a link"));
        assert_eq!((read(folder.path(), "a"), read(folder.path(), "c")), ("2".to_owned(), "2".to_owned()));
        assert!(!folder.path().join("deep").exists(), "a name that left the payload is gone");
        assert!(!folder.path().join(before).exists(), "the old files are gone");
    }

    #[test]
    fn the_same_payload_is_not_written_again() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(write(folder.path(), &payload(&[("a", "1")]), None).expect("written"));
        assert!(!write(folder.path(), &payload(&[("a", "1")]), None).expect("looked at"));
        assert!(write(folder.path(), &payload(&[]), None).expect("written"), "an empty payload differs");
    }

    #[test]
    fn modes_and_groups_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let entry = Entry { bytes: Bytes::from_static(b"x"), mode: 0o400, uid: None };
        write(folder.path(), &BTreeMap::from([("k".to_owned(), entry)]), Some(2000)).expect("written");
        let meta = fs::metadata(folder.path().join("k")).expect("there");
        assert_eq!(meta.permissions().mode() & 0o7777, 0o440);
        assert_eq!(std::os::unix::fs::MetadataExt::gid(&meta), 2000);
    }

    #[test]
    fn paths_that_leave_the_volume_are_refused() {
        for bad in ["../x", "/x", "a/../b", "", "..data", "..x/y"] {
            assert!(!is_allowed_path(bad), "{bad}");
        }
        assert!(is_allowed_path("a/b..c"));
    }
}
