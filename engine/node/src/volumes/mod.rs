//! Volumes of pods.
//!
//! Flow: references -> `sources` (watch, token requests) -> `payload` (pure) -> `atomic` (files) in a folder or tmpfs made by `mounts`.
//! Invariant: what is secret lives in a tmpfs and never reaches a disk. Invariant: a pod's folder is removed only when nothing is mounted in it.
//! Limits: a path of at most 100 names in a subPath; an API object's own limit (1 MiB) for what it holds.
pub mod atomic;
mod host_path;
mod mounts;
pub mod payload;
pub mod sources;

pub use mounts::unmount_below;

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
};

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Volume, VolumeMount};

use crate::{
    pods::{amounts::Machine, effect::Failure, env},
    runtime::{Mount, Propagation},
};
use payload::Found;

/// The folders of one pod: `volumes/<name>`, `subpaths/…`, `etc-hosts`, `ended/<container>/<attempt>`.
#[derive(Clone, Debug)]
pub struct PodFolder(PathBuf);

impl PodFolder {
    /// `pods` is the folder of all pods of this node.
    pub fn new(pods: &Path, uid: &str) -> Self {
        Self(pods.join(uid))
    }

    fn volume(&self, name: &str) -> PathBuf {
        self.0.join("volumes").join(name)
    }

    pub fn etc_hosts(&self) -> PathBuf {
        self.0.join("etc-hosts")
    }

    /// Where a container leaves its last words.
    pub fn termination_log(&self, container: &str, attempt: u32) -> PathBuf {
        self.0.join("ended").join(container).join(attempt.to_string())
    }

    /// Makes all volumes, or brings those with files up to date. Blocks.
    pub fn prepare(&self, pod: &Pod, found: &Found, machine: &Machine) -> Result<(), Failure> {
        let Some(spec) = &pod.spec else { return Ok(()) };
        fs::create_dir_all(self.0.join("volumes")).map_err(|e| failed("make volumes", &e))?;
        fs::set_permissions(&self.0, fs::Permissions::from_mode(0o750)).map_err(|e| failed("make volumes", &e))?;
        let group = spec.security_context.as_ref().and_then(|s| s.fs_group).and_then(|gid| u32::try_from(gid).ok());
        for volume in spec.volumes.iter().flatten() {
            self.volume_ready(volume, pod, found, machine, group)?;
        }
        Ok(())
    }

    fn volume_ready(
        &self,
        volume: &Volume,
        pod: &Pod,
        found: &Found,
        machine: &Machine,
        group: Option<u32>,
    ) -> Result<(), Failure> {
        let at = |source: &io::Error| failed(&format!("MountVolume.SetUp failed for volume \"{}\"", volume.name), source);
        let path = self.volume(&volume.name);
        if let Some(files) = payload::payload(volume, pod, found, machine) {
            let files = files.map_err(|f| Failure {
                message: format!("MountVolume.SetUp failed for volume \"{}\" : {}", volume.name, f.message),
                ..f
            })?;
            if payload::is_secret(volume) {
                mounts::ensure_tmpfs(&path, None, 0o755).map_err(|e| at(&e))?;
            } else {
                mounts::make_folder(&path, 0o755).map_err(|e| at(&e))?;
            }
            return atomic::write(&path, &files, group).map(|_written| ()).map_err(|e| at(&e));
        }
        if let Some(source) = &volume.empty_dir {
            let fresh = !path.exists();
            if source.medium.as_deref() == Some("Memory") {
                let size = source.size_limit.as_ref().and_then(|q| q.0.parse::<irori_api::quantity::Quantity>().ok());
                let size = size.and_then(|q| u64::try_from(q.value()).ok()).filter(|size| *size > 0);
                mounts::ensure_tmpfs(&path, size, 0o777).map_err(|e| at(&e))?;
            } else {
                mounts::make_folder(&path, 0o777).map_err(|e| at(&e))?;
            }
            if let Some(group) = group.filter(|_| fresh) {
                chown(&path, None, Some(group)).map_err(|e| at(&e))?;
                fs::set_permissions(&path, fs::Permissions::from_mode(0o2777)).map_err(|e| at(&e))?;
            }
            return Ok(());
        }
        if let Some(source) = &volume.host_path {
            return host_path::check(Path::new(&source.path), source.type_.as_deref().unwrap_or_default());
        }
        Err(Failure::new("FailedMount", format!("volume \"{}\" has no source that this node knows", volume.name)))
    }

    /// The mounts of a container, sub-paths bound. Blocks.
    pub fn mounts(&self, spec: &PodSpec, container: &Container, env: &[(String, String)]) -> Result<Vec<Mount>, Failure> {
        let mut all = Vec::new();
        for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
            let volume = spec.volumes.iter().flatten().find(|volume| volume.name == mount.name);
            let volume = volume.ok_or_else(|| config_error(format!("volume \"{}\" is not in the pod", mount.name)))?;
            let base = match &volume.host_path {
                Some(source) => PathBuf::from(&source.path),
                None => self.volume(&volume.name),
            };
            let host_path = match sub_path(mount, env)? {
                None => base,
                Some(sub_path) => {
                    let target = self.0.join("subpaths").join(&volume.name).join(&container.name).join(index.to_string());
                    mounts::bind_sub_path(&base, &sub_path, &target).map_err(|source| {
                        config_error(format!("failed to prepare subPath for volumeMount \"{}\": {source}", mount.name))
                    })?;
                    target
                }
            };
            // Whoever could write to files of the API would write to the next swap's victim.
            let read_only = mount.read_only.unwrap_or(false)
                || volume.config_map.is_some()
                || volume.secret.is_some()
                || volume.projected.is_some()
                || volume.downward_api.is_some();
            all.push(Mount { host_path, container_path: mount.mount_path.clone(), read_only, propagation: propagation(mount) });
        }
        Ok(all)
    }

    /// Takes everything away. Blocks.
    pub fn remove(&self) -> Result<(), Failure> {
        mounts::remove_folder(&self.0).map_err(|e| failed("remove the pod's folder", &e))
    }
}

fn failed(doing: &str, source: &io::Error) -> Failure {
    Failure::new("FailedMount", format!("{doing} : {source}"))
}

fn config_error(message: String) -> Failure {
    Failure::new("CreateContainerConfigError", message)
}

fn sub_path(mount: &VolumeMount, env: &[(String, String)]) -> Result<Option<String>, Failure> {
    let value = |name: &str| env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    if let Some(expr) = mount.sub_path_expr.as_deref().filter(|expr| !expr.is_empty()) {
        let expanded = env::expand(expr, &value);
        if expanded.contains("$(") {
            return Err(config_error(format!("subPathExpr `{expr}` names a variable that is not set")));
        }
        return Ok(Some(expanded));
    }
    Ok(mount.sub_path.clone().filter(|path| !path.is_empty()))
}

fn propagation(mount: &VolumeMount) -> Propagation {
    match mount.mount_propagation.as_deref() {
        Some("HostToContainer") => Propagation::HostToContainer,
        Some("Bidirectional") => Propagation::Bidirectional,
        _ => Propagation::Private,
    }
}

#[cfg(test)]
mod tests;
