//! Getting a container's image, by its pull policy and with the pod's secrets.
use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Pod, Secret};
use serde_json::Value;

use super::{
    carry::Hands,
    effect::{Failure, INSPECT_FAILED, Image},
    facts,
};
use crate::{runtime::PullAuth, volumes::sources::References};

impl Hands {
    pub async fn ensure_image(self, name: String) -> Result<Image, Failure> {
        let object = self.object.clone().ok_or_else(|| Failure::new("Gone", "the pod is gone"))?;
        let container = object.spec.as_ref().and_then(|spec| facts::container(spec, &name));
        let container = container.ok_or_else(|| Failure::new("Gone", "the container is not in the pod"))?;
        let reference = container.image.as_deref().unwrap_or_default();
        let policy = container.image_pull_policy.as_deref().unwrap_or("IfNotPresent");
        let found = self.site.runtime.image(reference).await;
        match (policy, found) {
            ("IfNotPresent" | "Never", Ok(Some(info))) => {
                let message = format!("Container image \"{reference}\" already present on machine");
                self.tell(false, "Pulled", message, Some(&name));
                return Ok(Image::new(info));
            }
            ("Never", Ok(None)) => {
                let message = format!("Container image \"{reference}\" is not present with pull policy of Never");
                self.tell(true, "ErrImageNeverPull", message.clone(), Some(&name));
                return Err(Failure::new("ErrImageNeverPull", message));
            }
            (_, Err(source)) if policy != "Always" => return Err(Failure::new(INSPECT_FAILED, source.to_string())),
            _ => {}
        }
        self.pull(&object, &name, reference).await
    }

    async fn pull(&self, object: &Pod, name: &str, reference: &str) -> Result<Image, Failure> {
        let _turn = self.site.pulls.acquire().await;
        self.tell(false, "Pulling", format!("Pulling image \"{reference}\""), Some(name));
        let begun = tokio::time::Instant::now();
        let auths = self.pull_auths(object, reference).await;
        let mut result = None;
        // Each fitting secret in turn, without one at last.
        for auth in auths.iter().map(Some).chain([None]) {
            let pulled = self.site.runtime.pull_image(reference, auth).await;
            let done = pulled.is_ok();
            result = Some(pulled);
            if done {
                break;
            }
        }
        match result.expect("the chain ends with one attempt at least") {
            Ok(info) => {
                let message = format!(
                    "Successfully pulled image \"{reference}\" in {:.3}s. Image size: {} bytes.",
                    begun.elapsed().as_secs_f64(),
                    info.size_bytes
                );
                self.tell(false, "Pulled", message, Some(name));
                Ok(Image::new(info))
            }
            Err(source) => {
                self.tell(true, "Failed", format!("Failed to pull image \"{reference}\": {source}"), Some(name));
                self.tell(true, "Failed", format!("Error: {}", source.reason.as_str()), Some(name));
                Err(Failure::new(source.reason.as_str(), source.message))
            }
        }
    }

    async fn pull_auths(&self, object: &Pod, reference: &str) -> Vec<PullAuth> {
        let names = object.spec.iter().flat_map(|spec| spec.image_pull_secrets.iter().flatten()).map(|r| r.name.clone());
        let names: BTreeSet<String> = names.filter(|name| !name.is_empty()).collect();
        if names.is_empty() {
            return Vec::new();
        }
        let references = References { secrets: names.clone(), ..References::default() };
        // A secret that is missing is no reason not to try without it.
        let Ok(found) = self.sources.find(object, &references).await else { return Vec::new() };
        let missing: Vec<&str> =
            names.iter().filter(|n| found.secrets.get(*n).cloned().flatten().is_none()).map(String::as_str).collect();
        if !missing.is_empty() {
            let message = format!(
                "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                missing.join(", ")
            );
            self.tell(true, "FailedToRetrieveImagePullSecret", message, None);
        }
        found.secrets.values().flatten().flat_map(|secret| auths(secret, reference)).collect()
    }
}

/// The registry that a reference names.
fn registry(reference: &str) -> &str {
    match reference.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => first,
        _ => "docker.io",
    }
}

/// The credentials of a `kubernetes.io/dockerconfigjson` (or the older `dockercfg`) secret that fit the image, longest match first.
fn auths(secret: &Secret, reference: &str) -> Vec<PullAuth> {
    let data = |key: &str| secret.data.as_ref().and_then(|data| data.get(key));
    let parsed = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
    let entries = match (data(".dockerconfigjson"), data(".dockercfg")) {
        (Some(bytes), _) => parsed(&bytes.0).and_then(|mut config| config.get_mut("auths").map(Value::take)),
        (None, Some(bytes)) => parsed(&bytes.0),
        (None, None) => None,
    };
    let Some(Value::Object(entries)) = entries else { return Vec::new() };
    let mut fitting: Vec<(String, PullAuth)> = entries
        .into_iter()
        .map(|(host, entry)| (bare_host(&host), auth(&entry)))
        .filter(|(host, _)| fits(host, reference))
        .collect();
    fitting.sort_by_key(|(host, _)| std::cmp::Reverse(host.len()));
    fitting.into_iter().map(|(_, auth)| auth).collect()
}

/// `https://index.docker.io/v1/` and `registry.example/` lose scheme, API version and slashes.
fn bare_host(key: &str) -> String {
    let key = key.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/');
    let key = key.trim_end_matches("/v1").trim_end_matches("/v2");
    if key == "index.docker.io" { "docker.io".to_owned() } else { key.to_owned() }
}

/// A key is a host, with a path or without; `*.example.com` stands for one label.
fn fits(key: &str, reference: &str) -> bool {
    let (host, path) = key.split_once('/').map_or((key, ""), |(host, path)| (host, path));
    let registry = registry(reference);
    let host_fits = match host.strip_prefix("*.") {
        Some(rest) => registry.split_once('.').is_some_and(|(_, domain)| domain == rest),
        None => host == registry,
    };
    let in_registry = reference.strip_prefix(registry).unwrap_or(reference).trim_start_matches('/');
    host_fits && (path.is_empty() || in_registry == path || in_registry.starts_with(&format!("{path}/")))
}

fn auth(entry: &Value) -> PullAuth {
    use base64::Engine;
    let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let joined =
        base64::engine::general_purpose::STANDARD.decode(text("auth")).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let (username, password) = match joined.as_deref().and_then(|joined| joined.split_once(':')) {
        Some((user, password)) => (user.to_owned(), password.to_owned()),
        None => (text("username"), text("password")),
    };
    PullAuth { username, password, identity_token: text("identitytoken"), registry_token: text("registrytoken") }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use serde_json::json;

    use super::*;

    #[test]
    fn credentials_fit_by_host_path_and_wildcard() {
        let config = json!({ "auths": {
            "https://index.docker.io/v1/": { "auth": "dTpw" },
            "registry.example:5000/team": { "username": "t", "password": "tp" },
            "*.corp.example": { "username": "c", "password": "cp" },
        } });
        let mut secret = Secret::default();
        let bytes = ByteString(serde_json::to_vec(&config).expect("json"));
        secret.data.get_or_insert_default().insert(".dockerconfigjson".to_owned(), bytes);
        let users = |image: &str| auths(&secret, image).into_iter().map(|a| a.username).collect::<Vec<_>>();
        assert_eq!(users("nginx:1"), ["u"]);
        assert_eq!(users("registry.example:5000/team/app"), ["t"]);
        assert_eq!(users("registry.example:5000/teams/app"), Vec::<String>::new());
        assert_eq!(users("a.corp.example/x"), ["c"]);
        assert_eq!(users("a.b.corp.example/x"), Vec::<String>::new());
    }
}
