//! The data folder of a home: where things are, who holds it, and what is running on it.
use std::{
    fs, io,
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

/// Paths below the data folder.
#[derive(Clone, Debug)]
pub struct DataDir {
    root: PathBuf,
}

/// What a running home wrote down about itself, for the commands that talk to it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Running {
    pub pid: i32,
    /// The API's address on loopback, e.g. `https://127.0.0.1:6443`.
    pub api: String,
    pub version: String,
    pub home: String,
    pub domain: String,
    pub gateway_https: Option<std::net::SocketAddr>,
    /// Where and how its objects are kept, as words of a command line.
    #[serde(default)]
    pub store: Vec<String>,
}

/// Held as long as a process uses the folder; the kernel lets go of it however the process ends.
pub struct Held {
    _lock: Flock<OwnedFd>,
}

impl DataDir {
    /// Makes the folder (0700) where it is missing.
    pub fn open(root: &Path) -> Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .with_context(|| format!("make data folder `{}`", root.display()))?;
        let root = root.canonicalize().with_context(|| format!("open data folder `{}`", root.display()))?;
        fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).with_context(|| format!("guard `{}`", root.display()))?;
        Ok(Self { root })
    }

    /// The folder of a home that has been started before.
    pub fn existing(root: &Path) -> Result<Self> {
        match root.join("instance").try_exists() {
            Ok(true) => Ok(Self { root: root.canonicalize()? }),
            Ok(false) => bail!("no home in `{}`; `irori up HOME` makes one, --data-dir names another folder", root.display()),
            Err(source) => Err(source).with_context(|| format!("open data folder `{}`", root.display())),
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    pub fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    pub fn trust(&self) -> PathBuf {
        self.root.join("trust")
    }

    pub fn credentials(&self) -> PathBuf {
        self.root.join("credentials")
    }

    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.credentials().join("admin.kubeconfig")
    }

    pub fn log(&self) -> PathBuf {
        self.root.join("irori.log")
    }

    fn running_file(&self) -> PathBuf {
        self.root.join("run/running.json")
    }

    /// The instance id, chosen at first start: six hexadecimal digits that every host-global name carries.
    pub fn instance(&self) -> Result<String> {
        let path = self.root.join("instance");
        match fs::read_to_string(&path) {
            Ok(id) => {
                let id = id.trim().to_owned();
                if id.len() != 6 || !id.bytes().all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()) {
                    bail!("`{}` does not hold an instance id of six hexadecimal digits", path.display());
                }
                Ok(id)
            }
            Err(source) if source.kind() == io::ErrorKind::NotFound => {
                let mut random = [0; 3];
                io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut random)?;
                let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
                write_whole(&path, id.as_bytes())?;
                Ok(id)
            }
            Err(source) => Err(source).with_context(|| format!("read `{}`", path.display())),
        }
    }

    /// Takes the folder for this process; `None` where another process holds it.
    pub fn hold(&self) -> Result<Option<Held>> {
        Self::lock(&self.root.join("lock"))
    }

    /// Waits for the turn to change the home: of several `irori up` one at a time.
    pub async fn turn(&self) -> Result<Held> {
        let path = self.root.join("turn");
        loop {
            match Self::lock(&path)? {
                Some(held) => return Ok(held),
                None => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// The process that holds the folder, as the kernel knows it; `None` where nobody does, or it does not tell.
    pub fn holder(&self) -> Option<i32> {
        let inode = fs::metadata(self.root.join("lock")).ok()?.ino();
        let locks = fs::read_to_string("/proc/locks").ok()?;
        let holders = locks.lines().filter_map(|line| {
            // `1: FLOCK  ADVISORY  WRITE 3053 fe:00:6947 0 EOF`
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            let at = words.iter().position(|word| *word == "FLOCK")?;
            let same = words.get(at + 4)?.rsplit(':').next()?.parse() == Ok(inode);
            words.get(at + 3)?.parse().ok().filter(|_| same)
        });
        // A number of another file system may be the same.
        let lock = self.root.join("lock");
        holders.into_iter().find(|pid: &i32| {
            let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            open.into_iter().any(|file| fs::read_link(file.path()).is_ok_and(|at| at == lock))
        })
    }

    fn lock(path: &Path) -> Result<Option<Held>> {
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
        let file = file.with_context(|| format!("open `{}`", path.display()))?;
        match Flock::lock(OwnedFd::from(file), FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Some(Held { _lock: lock })),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
            Err((_, source)) => Err(source).with_context(|| format!("lock `{}`", path.display())),
        }
    }

    /// Takes the folder for this process, which cannot do its work otherwise.
    pub fn hold_or_refuse(&self) -> Result<Held> {
        self.hold()?.with_context(|| format!("another process holds `{}` (E04: docs/errors/E04.md)", self.root.display()))
    }

    /// Writes down that this process runs the home.
    pub fn announce(&self, running: &Running) -> Result<()> {
        write_whole(&self.running_file(), &serde_json::to_vec_pretty(running)?)
    }

    pub fn withdraw(&self) {
        let _already_gone = fs::remove_file(self.running_file());
    }

    /// The home that runs on this folder; `None` where nothing holds the folder.
    pub fn running(&self) -> Result<Option<Running>> {
        // The lock is tried last: a look must not be in the way of a process that is just starting.
        let running = match fs::read(self.running_file()) {
            Ok(bytes) => serde_json::from_slice(&bytes).context("read run/running.json")?,
            Err(source) if source.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(source).context("read run/running.json"),
        };
        // What a killed process wrote down says nothing of the one that holds the folder now.
        let stale = |running: &Running| self.holder().is_some_and(|holder| holder != running.pid);
        Ok(if self.hold()?.is_some() || stale(&running) { None } else { Some(running) })
    }
}

/// Writes a file 0600 so that a crash leaves the old or the new one.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    irori_trust::write_secret(path, bytes).with_context(|| format!("write `{}`", path.display()))
}
