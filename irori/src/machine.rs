//! What this machine must have before a home can live on it. Looked at first, said all at once.
use std::{
    fmt,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

/// Something that is missing, why it is needed and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    pub what: String,
    pub why: &'static str,
    pub remedy: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (needed {}): {}", self.what, self.why, self.remedy)
    }
}

/// The programs that a node runs, by the package that brings them on Debian and Ubuntu.
const PROGRAMS: [(&str, &str, &str); 3] = [
    ("containerd", "containerd", "to run containers"),
    ("runc", "runc", "to run containers"),
    ("nft", "nftables", "for the pod network and Services"),
];

/// All that a node lacks here. Empty means go.
pub fn lacking(search: &[PathBuf], is_root: bool) -> Vec<Missing> {
    let mut missing = Vec::new();
    if !is_root {
        missing.push(Missing {
            what: "root".to_owned(),
            why: "for containers, network and cgroups",
            remedy: "run the same command with sudo".to_owned(),
        });
    }
    for (program, package, why) in PROGRAMS {
        if !search.iter().any(|folder| folder.join(program).is_file()) {
            missing.push(Missing { what: format!("`{program}`"), why, remedy: format!("apt-get install {package}") });
        }
    }
    for (path, what, why, remedy) in [
        ("/proc/self/ns/net", "network namespaces", "for pods", "a kernel with CONFIG_NET_NS"),
        ("/sys/fs/cgroup", "cgroups", "for limits of pods", "mount cgroup2 at /sys/fs/cgroup"),
    ] {
        if !Path::new(path).exists() {
            missing.push(Missing { what: what.to_owned(), why, remedy: remedy.to_owned() });
        }
    }
    if !std::fs::read_to_string("/proc/filesystems").is_ok_and(|text| text.contains("overlay")) {
        missing.push(Missing { what: "overlayfs".to_owned(), why: "for images", remedy: "modprobe overlay".to_owned() });
    }
    missing
}

/// Where programs are looked for: PATH, and the folders that a bare environment leaves out.
pub fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    for folder in ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"] {
        if !folders.iter().any(|known| known == Path::new(folder)) {
            folders.push(folder.into());
        }
    }
    folders
}

/// Addresses that somebody else listens on, with who it is where the kernel tells.
pub fn taken(wanted: &[(SocketAddr, &'static str)]) -> Vec<Missing> {
    let holds = |address: &SocketAddr| TcpListener::bind(address).err().filter(|e| e.kind() == std::io::ErrorKind::AddrInUse);
    wanted
        .iter()
        .filter(|(address, _)| address.port() != 0 && holds(address).is_some())
        .map(|(address, why)| Missing {
            what: format!("{address} is in use"),
            why,
            remedy: format!(
                "stop what listens there (`ss -ltnp 'sport = :{}'`), or name another port in the home file",
                address.port()
            ),
        })
        .collect()
}

/// The user's id is 0.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_programs_is_told_each_package() {
        let missing = lacking(&[PathBuf::from("/nowhere")], false);
        let said: Vec<String> = missing.iter().map(ToString::to_string).collect();
        for part in ["sudo", "apt-get install containerd", "apt-get install runc", "apt-get install nftables"] {
            assert!(said.iter().any(|line| line.contains(part)), "{part} in {said:?}");
        }
    }

    #[test]
    fn a_port_in_use_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let missing = taken(&[(address, "for the API")]);
        assert_eq!(missing.len(), 1);
        assert!(missing[0].to_string().contains(&address.port().to_string()));
        drop(listener);
    }
}
