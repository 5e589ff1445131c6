//! A file that is a disk of its own, so that the block layer counts what one home reads and writes and nobody else does.
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use super::proc;

/// Room for a home of some pods; the file is sparse.
const BYTES: u64 = 4 << 30;

pub struct OwnDisk {
    /// `/dev/loopN`.
    device: String,
    at: PathBuf,
}

impl OwnDisk {
    /// An ext4 on a loop device, mounted on a folder.
    pub fn mount(image: &Path, at: &Path) -> Result<Self> {
        fs::File::create(image).and_then(|file| file.set_len(BYTES)).context("make the disk's file")?;
        // What mkfs leaves for later is written by the kernel in the background, and would be counted.
        let eager = "lazy_itable_init=0,lazy_journal_init=0";
        said(Command::new("mkfs.ext4").args(["-q", "-m", "0", "-E", eager]).arg(image))?;
        let device = said(Command::new("losetup").args(["--find", "--show"]).arg(image))?;
        let disk = Self { device, at: at.to_owned() };
        said(Command::new("mount").arg(&disk.device).arg(at))?;
        Ok(disk)
    }

    /// Writes all that waits in memory. Bytes read and written so far: only differences say something, as devices are used again.
    pub fn settled(&self) -> Result<(u64, u64)> {
        said(Command::new("sync").arg("--file-system").arg(&self.at))?;
        proc::disk(self.device.trim_start_matches("/dev/")).with_context(|| format!("read what {} counts", self.device))
    }
}

impl Drop for OwnDisk {
    fn drop(&mut self) {
        for command in [Command::new("umount").arg(&self.at), Command::new("losetup").arg("--detach").arg(&self.device)] {
            if let Err(error) = said(command) {
                eprintln!("{error:#}");
            }
        }
    }
}

/// Runs a program to its end; what it said.
fn said(command: &mut Command) -> Result<String> {
    let out = command.stdin(Stdio::null()).output().with_context(|| format!("start {command:?}"))?;
    ensure!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr).trim());
    Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned())
}
