//! Secret files: whole or not there, readable by their owner alone; and files that take their name once they are whole.
use std::{
    fs, io,
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use crate::TrustError;

/// Writes `bytes` to `path` (0600) durably: a crash leaves the old file or the new one. Missing folders are made 0700.
pub fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), TrustError> {
    write(path, bytes).map_err(|source| TrustError::Write { path: path.to_owned(), source })
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let fresh = folder.join(name);
    let _left_by_a_crash = fs::remove_file(&fresh);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    rename_durably(&fresh, path)
}

/// Gives a file that is on disk its name, in the same folder: a crash leaves the old file of that name or this one.
pub fn rename_durably(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    fs::File::open(folder_of(to))?.sync_all()
}

/// Gives a file that is on disk another name, in the same folder, unless there is a file of that name.
pub(crate) fn link_durably(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Err(source) if source.kind() != io::ErrorKind::AlreadyExists => return Err(source),
        _ => {}
    }
    fs::File::open(folder_of(to))?.sync_all()
}

/// The folder a file lies in; of a bare name, the one this process works in.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Reads a file; `None` where there is none.
pub fn read_secret(path: &Path) -> Result<Option<Vec<u8>>, TrustError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(TrustError::Read { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_lies_in_the_folder_this_process_works_in() {
        assert_eq!(folder_of(Path::new("sealing.key")), Path::new("."));
        assert_eq!(folder_of(Path::new("keys/sealing.key")), Path::new("keys"));
        assert_eq!(folder_of(Path::new("/sealing.key")), Path::new("/"));
    }

    #[test]
    fn a_secret_is_written_whole_over_what_was_there_and_over_what_a_crash_left() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/b.key");
        write_secret(&path, b"old").expect("write");
        fs::write(path.with_file_name("b.key.new"), b"half").expect("what a crash left");
        write_secret(&path, b"new").expect("write again");
        assert_eq!(read_secret(&path).expect("read").as_deref(), Some(&b"new"[..]));
        assert!(!path.with_file_name("b.key.new").exists());
    }
}
