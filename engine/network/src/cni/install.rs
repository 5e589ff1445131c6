//! Putting the plugin where the container runtime looks for it.
use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{LOOPBACK, PLUGIN, VERSIONS};
use crate::Settings;

/// Why the plugin could not be put in place.
#[derive(Debug, thiserror::Error)]
#[error("put the CNI plugin at {}", path.display())]
pub struct InstallError {
    path: PathBuf,
    source: io::Error,
}

/// The network configuration that the container runtime reads. `mtu` is what [`crate::host::prepare`] found.
pub fn conflist(settings: &Settings, mtu: u32) -> Value {
    json!({
        "cniVersion": VERSIONS[VERSIONS.len() - 1],
        "name": "irori",
        "plugins": [{
            "type": PLUGIN,
            "instance": settings.instance.to_string(),
            "leases": settings.leases_dir(),
            "podCIDRs": settings.pod_cidrs,
            "mtu": mtu,
        }],
    })
}

/// Links `program` into `DATA/cni/bin` under the plugins' names and writes `DATA/cni/conf/10-irori.conflist`. Safe to repeat;
/// a reader sees either the old files or the new.
pub fn install(settings: &Settings, mtu: u32, program: &Path) -> Result<(), InstallError> {
    let (bin, conf) = (settings.data_dir.join("cni/bin"), settings.data_dir.join("cni/conf"));
    for name in [PLUGIN, LOOPBACK] {
        replace(&bin, name, |aside| std::os::unix::fs::symlink(program, aside))?;
    }
    let text = serde_json::to_vec_pretty(&conflist(settings, mtu)).expect("strings and numbers become JSON");
    replace(&conf, "10-irori.conflist", |aside| fs::write(aside, &text))
}

fn replace(dir: &Path, name: &str, make: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), InstallError> {
    let (aside, path) = (dir.join(format!(".{name}")), dir.join(name));
    let absent_is_fine = |result: io::Result<()>| match result {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    };
    fs::create_dir_all(dir)
        .and_then(|()| absent_is_fine(fs::remove_file(&aside)))
        .and_then(|()| make(&aside))
        .and_then(|()| fs::rename(&aside, &path))
        .map_err(|source| InstallError { path, source })
}
