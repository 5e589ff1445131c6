//! The kernel's switches below `/proc/sys/net`, of the calling thread's network namespace.
use std::{
    fs, io,
    path::{Path, PathBuf},
};

const ROOT: &str = "/proc/sys/net";

/// Why a switch could not be set.
#[derive(Debug, thiserror::Error)]
#[error("set {} to {value}", path.display())]
pub struct SysctlError {
    path: PathBuf,
    value: String,
    source: io::Error,
}

/// The path of a switch, such as `ipv4/conf/eth0/forwarding`.
fn path(name: &str) -> PathBuf {
    Path::new(ROOT).join(name)
}

/// Whether the kernel has the switch.
pub fn exists(name: &str) -> bool {
    path(name).exists()
}

/// The switch's value; `None` where there is no such switch.
pub fn read(name: &str) -> Option<String> {
    fs::read_to_string(path(name)).ok().map(|text| text.trim().to_owned())
}

/// Sets a switch, unless it has the value already.
pub fn write(name: &str, value: &str) -> Result<(), SysctlError> {
    if read(name).as_deref() == Some(value) {
        return Ok(());
    }
    let path = path(name);
    fs::write(&path, value).map_err(|source| SysctlError { path, value: value.to_owned(), source })
}

/// Like [`write`], where the kernel has the switch.
pub fn write_if_there(name: &str, value: &str) -> Result<(), SysctlError> {
    if exists(name) { write(name, value) } else { Ok(()) }
}

/// The host's end of a pod link, before it is set up: packets from it are forwarded, and nothing that the pod announces
/// (routers, redirects) is believed.
pub fn pod_link(link: &str) -> Result<(), SysctlError> {
    write(&format!("ipv4/conf/{link}/forwarding"), "1")?;
    write(&format!("ipv4/conf/{link}/accept_redirects"), "0")?;
    for (switch, value) in [("accept_ra", "0"), ("accept_redirects", "0"), ("accept_dad", "0"), ("force_forwarding", "1")] {
        write_if_there(&format!("ipv6/conf/{link}/{switch}"), value)?;
    }
    Ok(())
}

/// The pod's end, before it is set up: its addresses are ours to give, so nothing is detected or configured by itself.
pub fn pod_interface(interface: &str, v6: bool) -> Result<(), SysctlError> {
    if v6 {
        write(&format!("ipv6/conf/{interface}/disable_ipv6"), "0")?;
    }
    for (switch, value) in [("accept_ra", "0"), ("accept_dad", "0")] {
        write_if_there(&format!("ipv6/conf/{interface}/{switch}"), value)?;
    }
    Ok(())
}
