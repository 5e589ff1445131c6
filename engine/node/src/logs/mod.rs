//! What containers write.
//!
//! What it is: the reader of the CRI log format (`<time> <stream> <F|P> <text>`) with tail, since, follow and limits, and the rotation of
//! files that grew. containerd's shim pump writes the files; it is only told to open them anew.
//! Files: `<container>/<n>.log` is written to; `<n>.log.<k>` are older, the larger k the younger. All of them are read.
//! Flow: inotify → reader (follow) or rotation.
//! Invariant: nothing polls: an idle container costs a watch and a sleeping task.
//! Limits: 10 MiB a file and 5 files a container, looked at no more often than every 10 s while a container writes; a reader holds
//! `CHUNK_BYTES` × `CHUNKS_WAITING` for a slow client and then waits for it; a line is at most 16 KiB (containerd splits longer ones).
mod line;
mod read;
mod rotate;
mod watch;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

pub(crate) use read::stream;
pub use rotate::LogLimits;
pub(crate) use rotate::{Reopen, Rotation};
pub(crate) use watch::FileWatch;

/// Files of one log, oldest first; the one that is written to is last and may be absent.
pub(crate) fn files(log: &Path) -> io::Result<Vec<PathBuf>> {
    let mut older = older(log)?;
    older.sort();
    let mut files: Vec<PathBuf> = older.into_iter().map(|(_, path)| path).collect();
    files.push(log.to_path_buf());
    Ok(files)
}

/// Removes a log with its older files.
pub(crate) fn remove(log: &Path) -> io::Result<()> {
    for file in files(log)? {
        match fs::remove_file(&file) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(source),
            _ => {}
        }
    }
    Ok(())
}

/// Files that were rotated away, with their numbers.
fn older(log: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let (Some(directory), Some(name)) = (log.parent(), log.file_name().and_then(|name| name.to_str())) else {
        return Ok(Vec::new());
    };
    let entries = match fs::read_dir(directory) {
        Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|file| file.strip_prefix(name)?.strip_prefix('.')?.parse().ok());
        found.extend(number.map(|number| (number, entry.path())));
    }
    Ok(found)
}
