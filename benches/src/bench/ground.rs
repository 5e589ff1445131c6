//! What every bench stands on: the binary, and a folder that goes away again.
use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use xtask::setup::{self, cargo};

pub struct Ground {
    pub root: PathBuf,
    /// A copy in the scratch folder: a build that goes on beside cannot change what is measured.
    pub irori: PathBuf,
    /// Not built by this run.
    pub given: bool,
    pub remark: Option<String>,
    scratch: PathBuf,
}

impl Ground {
    pub fn prepare(root: &Path, binary: Option<&Path>, scratch: &Path, remark: Option<String>) -> Result<Self> {
        let file = match binary {
            Some(given) => given.canonicalize().with_context(|| format!("find `{}`", given.display()))?,
            None => {
                println!("building irori (release; the first time takes some minutes)");
                setup::run(cargo(root).args(["build", "--release", "--package", "irori"]))?;
                setup::built(root, "release/irori")
            }
        };
        Self::of(root, &file, binary.is_some(), scratch, remark)
    }

    /// The same with another program than irori, built by this run.
    pub fn with(root: &Path, file: &Path, scratch: &Path, remark: Option<String>) -> Result<Self> {
        Self::of(root, file, false, scratch, remark)
    }

    fn of(root: &Path, file: &Path, given: bool, scratch: &Path, remark: Option<String>) -> Result<Self> {
        let scratch = scratch.canonicalize().with_context(|| format!("find `{}`", scratch.display()))?;
        let scratch = scratch.join(format!("irori-bench-{}", std::process::id()));
        fs::create_dir_all(&scratch).with_context(|| format!("make `{}`", scratch.display()))?;
        let ground = Self { root: root.to_owned(), irori: scratch.join("irori"), given, remark, scratch };
        fs::copy(file, &ground.irori).with_context(|| format!("copy `{}`", file.display()))?;
        Ok(ground)
    }

    /// A folder inside the scratch folder; made anew where it was there.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.scratch.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("remove `{}`", folder.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("make `{}`", folder.display()))?;
        Ok(folder)
    }

    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// A file of the loads.
    pub fn load(&self, name: &str) -> PathBuf {
        self.root.join("benches/load").join(name)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // Never below something that is still mounted there: that would be somebody's data.
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let inside = self.scratch.display().to_string();
        if mounts.lines().any(|line| line.split(' ').nth(1).is_some_and(|at| at.starts_with(&inside))) {
            eprintln!("left behind, because something is mounted in it: {inside}");
        } else if let Err(source) = fs::remove_dir_all(&self.scratch) {
            eprintln!("remove `{inside}`: {source}");
        }
    }
}
