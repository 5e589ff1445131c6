//! What the distribution has installed: which programs, which versions.
use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::StartError;

/// Where programs of the system are, whatever PATH this process was given.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// A program that does not say its version within this is broken.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Version of containerd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EngineVersion {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

/// The oldest that is supported: its CRI is `v1`.
const OLDEST: EngineVersion = EngineVersion { major: 1, minor: 6, patch: 0 };

/// The programs to use.
pub(super) struct Programs {
    pub containerd: PathBuf,
    pub runc: PathBuf,
    pub version: EngineVersion,
    /// PATH for containerd: its shim has to be found.
    pub path: String,
}

/// Finds the programs, or says which package is missing. The arguments override where to look.
pub(super) async fn find(containerd: Option<&Path>, runc: Option<&Path>) -> Result<Programs, StartError> {
    let path = search_path();
    let containerd = locate("containerd", "containerd", containerd, &path)?;
    let beside = containerd.with_file_name("containerd-shim-runc-v2");
    if !is_program(&beside) {
        locate("containerd-shim-runc-v2", "containerd", None, &path)?;
    }
    let runc = locate("runc", "runc", runc, &path)?;
    // Its own shim before any other.
    let path = containerd.parent().map_or(path.clone(), |beside| format!("{}:{path}", beside.display()));
    let said = ask_version(&containerd).await?;
    let version = parse(&said).ok_or_else(|| StartError::Version { program: containerd.clone(), said: said.clone() })?;
    if version < OLDEST {
        return Err(StartError::TooOld { said });
    }
    Ok(Programs { containerd, runc, version, path })
}

fn search_path() -> String {
    match std::env::var("PATH") {
        Ok(path) if !path.is_empty() => format!("{path}:{SYSTEM_PATH}"),
        _ => SYSTEM_PATH.to_owned(),
    }
}

fn locate(program: &'static str, package: &'static str, given: Option<&Path>, path: &str) -> Result<PathBuf, StartError> {
    let found = match given {
        Some(given) => Some(given.to_path_buf()).filter(|given| is_program(given)),
        None => path.split(':').filter(|dir| !dir.is_empty()).map(|dir| Path::new(dir).join(program)).find(|at| is_program(at)),
    };
    found.ok_or(StartError::Missing { program, package })
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

async fn ask_version(program: &Path) -> Result<String, StartError> {
    let mut command = tokio::process::Command::new(program);
    command.arg("--version").kill_on_drop(true).stdin(std::process::Stdio::null());
    let failed = |source| StartError::Spawn { program: program.to_path_buf(), source };
    let output = tokio::time::timeout(ANSWER_MAX, command.output())
        .await
        .map_err(|_| failed(std::io::Error::from(std::io::ErrorKind::TimedOut)))?
        .map_err(failed)?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// `containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3`, `containerd … v2.1.0 <revision>`.
fn parse(said: &str) -> Option<EngineVersion> {
    said.split_whitespace().find_map(|word| {
        let mut numbers = word.trim_start_matches('v').splitn(3, '.');
        let major = numbers.next()?.parse().ok()?;
        let minor = numbers.next()?.parse().ok()?;
        let patch: String = numbers.next()?.chars().take_while(char::is_ascii_digit).collect();
        Some(EngineVersion { major, minor, patch: patch.parse().ok()? })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_distributions_and_upstream_are_read() {
        let read = |said: &str| parse(said).map(|v| (v.major, v.minor, v.patch));
        assert_eq!(read("containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3"), Some((1, 6, 20)));
        assert_eq!(read("containerd github.com/containerd/containerd/v2 v2.1.4 75cb2b7193e4"), Some((2, 1, 4)));
        assert_eq!(read("containerd github.com/containerd/containerd 1.7.24~ds1 1.7.24"), Some((1, 7, 24)));
        assert_eq!(read("containerd github.com/containerd/containerd unknown"), None);
    }

    #[tokio::test]
    async fn a_missing_program_is_named_with_its_package() {
        let error = find(Some(Path::new("/nowhere/containerd")), None).await.err().expect("it is not there");
        assert_eq!(error.to_string(), "`containerd` is not installed: install the package `containerd`");
    }
}
