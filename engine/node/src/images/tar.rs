//! A tar archive (POSIX ustar) of directories and regular files, owned by root, dated 1970.
use std::collections::BTreeSet;

const BLOCK: usize = 512;

/// Builds an archive in memory.
#[derive(Default)]
pub(super) struct Tar {
    bytes: Vec<u8>,
    directories: BTreeSet<String>,
}

/// A path that ustar cannot carry.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PathTooLong;

impl Tar {
    /// Adds a regular file, with the directories above it that are not there yet. `path` is relative and clean.
    pub(super) fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<(), PathTooLong> {
        let parents: Vec<&str> = path.match_indices('/').map(|(at, _)| &path[..at]).collect();
        for parent in parents {
            self.directory(parent, 0o755)?;
        }
        self.header(path, mode, content.len(), b'0')?;
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(BLOCK), 0);
        Ok(())
    }

    /// Adds a directory once.
    pub(super) fn directory(&mut self, path: &str, mode: u32) -> Result<(), PathTooLong> {
        if self.directories.insert(path.to_owned()) { self.header(&format!("{path}/"), mode, 0, b'5') } else { Ok(()) }
    }

    /// The archive with its two closing blocks.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 2 * BLOCK, 0);
        self.bytes
    }

    fn header(&mut self, path: &str, mode: u32, size: usize, kind: u8) -> Result<(), PathTooLong> {
        let (prefix, name) = split(path)?;
        let mut block = [0_u8; BLOCK];
        let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
        put(0, name.as_bytes());
        put(100, format!("{mode:07o}\0").as_bytes());
        put(108, b"0000000\0"); // uid
        put(116, b"0000000\0"); // gid
        put(124, format!("{size:011o}\0").as_bytes());
        put(136, b"00000000000\0"); // time
        put(148, b"        "); // the checksum counts as blanks in itself
        put(156, &[kind]);
        put(257, b"ustar\x0000");
        put(345, prefix.as_bytes());
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.bytes.extend_from_slice(&block);
        Ok(())
    }
}

/// Splits a long path at a slash into prefix (155 bytes) and name (100 bytes).
fn split(path: &str) -> Result<(&str, &str), PathTooLong> {
    if path.len() <= 100 {
        return Ok(("", path));
    }
    path.match_indices('/')
        .map(|(at, _)| (&path[..at], &path[at + 1..]))
        .find(|(prefix, name)| prefix.len() <= 155 && name.len() <= 100 && !name.is_empty())
        .ok_or(PathTooLong)
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        process::{Command, Stdio},
    };

    use super::*;

    #[test]
    fn another_tar_reads_what_this_one_writes() {
        let mut tar = Tar::default();
        let long = format!("{}/{}/file", "d".repeat(90), "e".repeat(60));
        tar.file("etc/app/config", 0o600, b"hello").expect("short path");
        tar.file("etc/other", 0o644, &[7; 1024]).expect("short path");
        tar.file(&long, 0o755, b"").expect("splittable path");
        tar.directory("tmp", 0o1777).expect("short path");
        let mut child = Command::new("tar")
            .args(["-tvf", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("tar is on every Debian");
        child.stdin.take().expect("piped").write_all(&tar.finish()).expect("tar reads");
        let output = child.wait_with_output().expect("tar ends");
        assert!(output.status.success());
        let listing = String::from_utf8(output.stdout).expect("text");
        assert!(listing.contains("-rw------- 0/0") && listing.contains(" etc/app/config"), "{listing}");
        assert!(listing.contains("1024") && listing.contains("drwxrwxrwt") && listing.contains(&long), "{listing}");
        assert_eq!(listing.matches(" etc/\n").count(), 1, "a parent appears once: {listing}");
    }

    #[test]
    fn a_path_that_does_not_fit_is_refused() {
        assert_eq!(Tar::default().file(&"x".repeat(101), 0o644, b""), Err(PathTooLong));
    }
}
