//! What a volume of configMap, secret, downwardAPI or projected kind holds. Pure: what was looked up comes as an argument.
use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use k8s_openapi::api::core::v1::{
    ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret, ServiceAccountTokenProjection, Volume, VolumeProjection,
};

use super::atomic::{Entry, Payload, is_allowed_path};
use crate::pods::{
    amounts::{self, Machine},
    effect::Failure,
    env, facts,
};

/// The objects that a pod refers to, as found. A name that is there with `None` does not exist.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub config_maps: BTreeMap<String, Option<Arc<ConfigMap>>>,
    pub secrets: BTreeMap<String, Option<Arc<Secret>>>,
    /// By audience (empty for the API's own) and wished life in seconds.
    pub tokens: BTreeMap<TokenKey, String>,
}

/// Which token: audience and life in seconds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenKey {
    pub audience: String,
    pub expiration_s: i64,
}

impl TokenKey {
    pub fn of(projection: &ServiceAccountTokenProjection) -> Self {
        let audience = projection.audience.clone().unwrap_or_default();
        Self { audience, expiration_s: projection.expiration_seconds.unwrap_or(3600) }
    }
}

fn missing(what: &str, pod: &Pod, name: &str) -> Failure {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    Failure::new("FailedMount", format!("{what} \"{namespace}/{name}\" not found"))
}

/// The files of a volume; `None` if the volume is of another kind.
pub fn payload(volume: &Volume, pod: &Pod, found: &Found, machine: &Machine) -> Option<Result<Payload, Failure>> {
    let mut into = Builder { pod, found, machine, mode: 0o644, files: Payload::new() };
    let done = if let Some(source) = &volume.config_map {
        into.mode = mode(source.default_mode, 0o644);
        into.config_map(&source.name, source.items.as_deref(), source.optional)
    } else if let Some(source) = &volume.secret {
        into.mode = mode(source.default_mode, 0o644);
        into.secret(source.secret_name.as_deref().unwrap_or_default(), source.items.as_deref(), source.optional)
    } else if let Some(source) = &volume.downward_api {
        into.mode = mode(source.default_mode, 0o644);
        into.downward(source.items.as_deref())
    } else if let Some(source) = &volume.projected {
        into.mode = mode(source.default_mode, 0o644);
        source.sources.iter().flatten().try_for_each(|source| into.projection(source))
    } else {
        return None;
    };
    Some(done.map(|()| into.files))
}

/// Whether a volume holds what must not reach a disk.
pub fn is_secret(volume: &Volume) -> bool {
    let projects = |p: &VolumeProjection| p.secret.is_some() || p.service_account_token.is_some();
    volume.secret.is_some() || volume.projected.as_ref().is_some_and(|p| p.sources.iter().flatten().any(projects))
}

fn mode(given: Option<i32>, default: u32) -> u32 {
    given.and_then(|mode| u32::try_from(mode).ok()).unwrap_or(default) & 0o777
}

struct Builder<'a> {
    pod: &'a Pod,
    found: &'a Found,
    machine: &'a Machine,
    mode: u32,
    files: Payload,
}

impl Builder<'_> {
    fn add(&mut self, path: &str, bytes: Bytes, given: Option<i32>) -> Result<(), Failure> {
        if !is_allowed_path(path) {
            return Err(Failure::new("FailedMount", format!("path `{path}` does not stay in its volume")));
        }
        self.files.insert(path.to_owned(), Entry { bytes, mode: mode(given, self.mode), uid: None });
        Ok(())
    }

    fn config_map(&mut self, name: &str, items: Option<&[KeyToPath]>, optional: Option<bool>) -> Result<(), Failure> {
        let optional = optional.unwrap_or(false);
        let Some(map) = self.found.config_maps.get(name).cloned().flatten() else {
            return if optional { Ok(()) } else { Err(missing("configmap", self.pod, name)) };
        };
        let mut all: BTreeMap<&str, Bytes> = BTreeMap::new();
        all.extend(map.data.iter().flatten().map(|(k, v)| (k.as_str(), Bytes::copy_from_slice(v.as_bytes()))));
        all.extend(map.binary_data.iter().flatten().map(|(k, v)| (k.as_str(), Bytes::copy_from_slice(&v.0))));
        self.keys(&format!("configmap `{name}`"), &all, items, optional)
    }

    fn secret(&mut self, name: &str, items: Option<&[KeyToPath]>, optional: Option<bool>) -> Result<(), Failure> {
        let optional = optional.unwrap_or(false);
        let Some(secret) = self.found.secrets.get(name).cloned().flatten() else {
            return if optional { Ok(()) } else { Err(missing("secret", self.pod, name)) };
        };
        let all = secret.data.iter().flatten().map(|(k, v)| (k.as_str(), Bytes::copy_from_slice(&v.0))).collect();
        self.keys(&format!("secret `{name}`"), &all, items, optional)
    }

    fn keys(
        &mut self,
        what: &str,
        all: &BTreeMap<&str, Bytes>,
        items: Option<&[KeyToPath]>,
        optional: bool,
    ) -> Result<(), Failure> {
        let Some(items) = items else {
            return all.iter().try_for_each(|(key, bytes)| self.add(key, bytes.clone(), None));
        };
        for item in items {
            match all.get(item.key.as_str()) {
                Some(bytes) => self.add(&item.path, bytes.clone(), item.mode)?,
                None if optional => {}
                None => return Err(Failure::new("FailedMount", format!("{what} has no key `{}`", item.key))),
            }
        }
        Ok(())
    }

    fn downward(&mut self, items: Option<&[DownwardAPIVolumeFile]>) -> Result<(), Failure> {
        for item in items.unwrap_or_default() {
            let text = if let Some(field) = &item.field_ref {
                env::field(self.pod, &field.field_path)
            } else if let Some(resource) = &item.resource_field_ref {
                let container = self.pod.spec.as_ref().zip(resource.container_name.as_deref());
                container
                    .and_then(|(spec, name)| facts::container(spec, name))
                    .and_then(|c| amounts::resource_field(c, &resource.resource, resource.divisor.as_ref(), self.machine))
            } else {
                None
            };
            let text = text.ok_or_else(|| Failure::new("FailedMount", format!("`{}` has no value to show", item.path)))?;
            self.add(&item.path, Bytes::from(text), item.mode)?;
        }
        Ok(())
    }

    fn projection(&mut self, source: &VolumeProjection) -> Result<(), Failure> {
        if let Some(source) = &source.config_map {
            self.config_map(&source.name, source.items.as_deref(), source.optional)?;
        }
        if let Some(source) = &source.secret {
            self.secret(&source.name, source.items.as_deref(), source.optional)?;
        }
        if let Some(source) = &source.downward_api {
            self.downward(source.items.as_deref())?;
        }
        if let Some(source) = &source.service_account_token {
            self.token(source)?;
        }
        Ok(())
    }

    /// A token is for the eyes of whoever the pod runs as, where that is known.
    fn token(&mut self, source: &ServiceAccountTokenProjection) -> Result<(), Failure> {
        let token = self.found.tokens.get(&TokenKey::of(source));
        let token = token.ok_or_else(|| Failure::new("FailedMount", "service account token is not there yet"))?;
        let bytes = Bytes::copy_from_slice(token.as_bytes());
        self.add(&source.path, bytes, None)?;
        let spec = self.pod.spec.as_ref();
        let fs_group = spec.and_then(|s| s.security_context.as_ref()).and_then(|s| s.fs_group);
        let uid = spec.and_then(only_user);
        if let Some(entry) = self.files.get_mut(&source.path)
            && (fs_group.is_some() || uid.is_some())
        {
            entry.mode = 0o600;
            entry.uid = uid;
        }
        Ok(())
    }
}

/// The one user that all containers of the pod are told to run as.
fn only_user(spec: &k8s_openapi::api::core::v1::PodSpec) -> Option<u32> {
    let of_pod = spec.security_context.as_ref().and_then(|s| s.run_as_user);
    let mut users = facts::containers(spec).map(|(_, c)| c.security_context.as_ref().and_then(|s| s.run_as_user).or(of_pod));
    let first = users.next()??;
    users.all(|user| user == Some(first)).then(|| u32::try_from(first).ok()).flatten()
}
