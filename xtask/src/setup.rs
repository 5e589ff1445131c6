//! What has to be on the machine, and getting it from the distribution's package manager.
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// cargo in the workspace.
pub fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root);
    cargo
}

/// A program, the package that brings it, and why it is needed.
pub struct Need {
    pub program: &'static str,
    pub package: &'static str,
    pub why: &'static str,
}

/// What a home needs to run and to be built.
pub const TO_RUN: [Need; 6] = [
    Need { program: "containerd", package: "containerd", why: "runs the containers" },
    Need { program: "runc", package: "runc", why: "runs the containers" },
    Need { program: "nft", package: "nftables", why: "pod network and Services" },
    Need { program: "ip", package: "iproute2", why: "looking at the pod network" },
    Need { program: "curl", package: "curl", why: "asking the apps" },
    Need { program: "cc", package: "build-essential", why: "linking, and the C parts of the cryptography" },
];

/// What the tests need besides.
pub const TO_TEST: [Need; 5] = [
    Need { program: "busybox", package: "busybox-static", why: "images of the tests" },
    Need { program: "python3", package: "python3", why: "replaying recorded exchanges" },
    Need { program: "openssl", package: "openssl", why: "looking at certificates as strangers do" },
    Need { program: "mkfs.ext4", package: "e2fsprogs", why: "a disk that fills up" },
    Need { program: "dpkg-deb", package: "dpkg", why: "unpacking kubectl and etcd" },
];

/// What the benches need besides.
pub const TO_BENCH: [Need; 4] = [
    Need { program: "wrk", package: "wrk", why: "load" },
    Need { program: "bc", package: "bc", why: "sums of the load script" },
    Need { program: "mkfs.ext4", package: "e2fsprogs", why: "an idle home's own disk" },
    Need { program: "losetup", package: "mount", why: "an idle home's own disk" },
];

/// Says what is missing and installs it.
pub fn ensure(needs: &[Need]) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| find(need.program).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for need in &missing {
        println!("missing: {} (package {}): {}", need.program, need.package, need.why);
    }
    if find("apt-get").is_none() {
        bail!("this is neither Debian nor Ubuntu: install these packages yourself, then run the command again");
    }
    if !is_root() {
        bail!("installing packages needs root: run the command again as root");
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    println!("installing: {}", packages.join(" "));
    apt(&["update", "-q"])?;
    // A containerd that was not here before is not needed as a service: irori starts its own.
    let policy = Path::new("/usr/sbin/policy-rc.d");
    let quiet = !policy.exists() && fs::write(policy, "#!/bin/sh\nexit 101\n").is_ok() && executable(policy).is_ok();
    let installed = apt(&[&["install", "-q", "-y", "--no-install-recommends"], packages.as_slice()].concat());
    if quiet {
        fs::remove_file(policy).context("remove the policy that kept services from starting")?;
    }
    installed?;
    match needs.iter().find(|need| find(need.program).is_none()) {
        Some(need) => bail!("package {} is installed, but `{}` is not there", need.package, need.program),
        None => Ok(()),
    }
}

fn executable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

fn apt(arguments: &[&str]) -> Result<()> {
    run(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(arguments))
}

/// Runs a command that has to succeed; its output goes where ours goes.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("start {:?}", command.get_program()))?;
    if !status.success() {
        bail!("{:?} ended with {status}", command.get_program());
    }
    Ok(())
}

/// Where a program is.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let extra = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(extra).map(|folder| folder.join(program)).find(|file| file.is_file())
}

pub fn is_root() -> bool {
    fs::read_to_string("/proc/self/status").is_ok_and(|text| {
        text.lines().find_map(|line| line.strip_prefix("Uid:")).is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0"))
    })
}

/// A file that cargo built, such as `release/irori`: in `target`, or where `CARGO_TARGET_DIR` says.
pub fn built(root: &Path, file: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    root.join(target).join(file)
}

/// kubectl 1.32 or newer in `target/tools`.
pub fn kubectl(root: &Path) -> Result<PathBuf> {
    from_debian_13(root, "kubectl", "kubectl")
}

/// etcd 3.5 in `target/tools`, with etcdctl beside it: the reference for the store on etcd.
pub fn etcd(root: &Path) -> Result<PathBuf> {
    from_debian_13(root, "etcd-client", "etcdctl")?;
    from_debian_13(root, "etcd-server", "etcd")
}

/// The protobuf runtime of Python that is a second implementation to ours.
const PROTOBUF: &str = "protobuf==7.36.2";

/// A Python of its own in `target/tools`, with the protobuf runtime from PyPI.
pub fn python(root: &Path) -> Result<PathBuf> {
    let folder = root.join("target/tools/python");
    let python = folder.join("bin/python3");
    let works = |python: &Path| {
        let tried = Command::new(python).args(["-c", "import google.protobuf"]).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    };
    if works(&python) {
        return Ok(python);
    }
    println!("making a Python with {PROTOBUF}");
    let has_venv = Command::new("python3").args(["-c", "import ensurepip, venv"]).stderr(Stdio::null()).status()?.success();
    if !has_venv {
        apt(&["update", "-q"])?;
        apt(&["install", "-q", "-y", "--no-install-recommends", "python3-venv"])?;
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    run(Command::new(folder.join("bin/pip")).args(["install", "--quiet", "--disable-pip-version-check", PROTOBUF]))?;
    if !works(&python) {
        bail!("`{}` does not find its protobuf runtime", python.display());
    }
    Ok(python)
}

/// A program of Debian 13 in `target/tools`, from a package source of its own that leaves the system's sources alone.
fn from_debian_13(root: &Path, package: &str, program: &str) -> Result<PathBuf> {
    let tools = root.join("target/tools");
    let file = tools.join("usr/bin").join(program);
    if file.is_file() {
        return Ok(file);
    }
    println!("fetching {program} from Debian 13");
    let apt = tools.join("apt");
    for folder in ["lists/partial", "cache/archives/partial", "sources"] {
        fs::create_dir_all(apt.join(folder)).with_context(|| format!("make `{}`", apt.join(folder).display()))?;
    }
    let (mirror, keyring) = (debian_mirror(), "/usr/share/keyrings/debian-archive-keyring.gpg");
    let source = format!("Types: deb\nURIs: {mirror}\nSuites: trixie\nComponents: main\nSigned-By: {keyring}\n");
    fs::write(apt.join("sources/trixie.sources"), source)?;
    let own = |command: &[&str]| -> Result<()> {
        let option = |name: &str, value: &Path| format!("{name}={}", value.display());
        let options = [
            "Dir::Etc::SourceList=/dev/null".to_owned(),
            option("Dir::Etc::SourceParts", &apt.join("sources")),
            option("Dir::State::Lists", &apt.join("lists")),
            option("Dir::Cache", &apt.join("cache")),
            "APT::Sandbox::User=root".to_owned(),
        ];
        let options = options.iter().flat_map(|o| ["-o", o.as_str()]);
        run(Command::new("apt-get").current_dir(&tools).args(options).args(["-q"]).args(command))
    };
    own(&["update"])?;
    // Whatever else calls itself so on this machine: this one.
    own(&["download", &format!("{package}/trixie")])?;
    let downloaded = fs::read_dir(&tools)?.flatten().map(|e| e.path()).find(|p| p.extension().is_some_and(|e| e == "deb"));
    let downloaded = downloaded.context("apt-get downloaded no package")?;
    run(Command::new("dpkg-deb").arg("-x").arg(&downloaded).arg(&tools))?;
    fs::remove_file(downloaded)?;
    if !file.is_file() {
        bail!("the package {package} of Debian 13 does not hold usr/bin/{program}");
    }
    Ok(file)
}

/// The mirror that this machine takes Debian from; elsewhere Debian's own.
fn debian_mirror() -> String {
    let listed =
        Command::new("apt-get").args(["indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages"]).output();
    let listed = listed.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
    let debian = listed.lines().filter_map(|line| line.strip_prefix("Debian ")).find(|uri| !uri.contains("security"));
    debian.unwrap_or("http://deb.debian.org/debian").to_owned()
}

/// A cargo tool at a fixed version, built into `target/tools` where the machine has none.
pub fn cargo_tool(root: &Path, name: &str, version: &str) -> Result<PathBuf> {
    let tools = root.join("target/tools");
    let ours = tools.join("bin").join(name);
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cargo"))).unwrap_or_default();
    for place in [Some(ours.clone()), find(name), Some(home.join("bin").join(name))].into_iter().flatten() {
        if place.is_file() {
            return Ok(place);
        }
    }
    println!("building {name} {version} (once)");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run(Command::new(cargo).args(["install", "--locked", "--quiet", "--version", version, "--root"]).arg(&tools).arg(name))?;
    Ok(ours)
}
