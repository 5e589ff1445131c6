//! The environment of a container.
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVarSource, Pod, Service};

use super::{
    amounts::{self, Machine},
    effect::Failure,
    facts,
};
use crate::volumes::payload::Found;

/// What is known of a pod only on its machine.
#[derive(Clone, Debug, Default)]
pub struct Place {
    pub pod_ips: Vec<String>,
    pub host_ips: Vec<String>,
}

fn config_error(message: String) -> Failure {
    Failure::new("CreateContainerConfigError", message)
}

/// A field of the pod as `fieldRef` names it, as far as it is in the object. `None` for a path that cannot be shown.
pub fn field(pod: &Pod, path: &str) -> Option<String> {
    let meta = &pod.metadata;
    if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        let map = match map {
            "metadata.labels" => meta.labels.as_ref(),
            "metadata.annotations" => meta.annotations.as_ref(),
            _ => return None,
        };
        return Some(map.and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    match path {
        "metadata.name" => meta.name.clone(),
        "metadata.namespace" => meta.namespace.clone(),
        "metadata.uid" => meta.uid.clone(),
        "metadata.labels" => Some(lines(meta.labels.as_ref())),
        "metadata.annotations" => Some(lines(meta.annotations.as_ref())),
        // Pods may still say the older name.
        "spec.nodeName" | "spec.host" => pod.spec.as_ref()?.node_name.clone(),
        "spec.serviceAccountName" => pod.spec.as_ref()?.service_account_name.clone(),
        _ => None,
    }
}

/// `key="value"`, a line each, the value escaped.
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    map.into_iter().flatten().map(|(key, value)| format!("{key}={value:?}")).collect::<Vec<_>>().join("\n")
}

fn place_field(place: &Place, path: &str) -> Option<String> {
    let list = match path {
        "status.podIP" | "status.podIPs" => &place.pod_ips,
        "status.hostIP" | "status.hostIPs" => &place.host_ips,
        _ => return None,
    };
    Some(if path.ends_with('s') { list.join(",") } else { list.first().cloned().unwrap_or_default() })
}

/// Everything that goes into a container's environment.
pub struct Sources<'a> {
    pub pod: &'a Pod,
    pub found: &'a Found,
    pub place: &'a Place,
    pub machine: &'a Machine,
    /// Variables of Services, weaker than all others.
    pub services: Vec<(String, String)>,
}

/// The environment in the order in which it was said; a name that is said again takes the later value.
pub fn environment(container: &Container, from: &Sources<'_>) -> Result<Vec<(String, String)>, Failure> {
    let mut env = Env::default();
    for (name, value) in &from.services {
        env.set(name, value.clone());
    }
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        for (key, value) in whole(source, from)? {
            env.set(&format!("{prefix}{key}"), value);
        }
    }
    for var in container.env.iter().flatten() {
        let value = match (&var.value, &var.value_from) {
            (_, Some(source)) => match one(container, source, from)? {
                Some(value) => value,
                None => continue,
            },
            (Some(text), None) => expand(text, &|name| env.get(name)),
            (None, None) => String::new(),
        };
        env.set(&var.name, value);
    }
    Ok(env.0)
}

#[derive(Default)]
struct Env(Vec<(String, String)>);

impl Env {
    fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    fn get(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }
}

fn whole(source: &k8s_openapi::api::core::v1::EnvFromSource, from: &Sources<'_>) -> Result<Vec<(String, String)>, Failure> {
    if let Some(reference) = &source.config_map_ref {
        let Some(map) = from.found.config_maps.get(&reference.name).cloned().flatten() else {
            return absent("configmap", &reference.name, reference.optional).map(|()| Vec::new());
        };
        return Ok(map.data.clone().unwrap_or_default().into_iter().collect());
    }
    if let Some(reference) = &source.secret_ref {
        let Some(secret) = from.found.secrets.get(&reference.name).cloned().flatten() else {
            return absent("secret", &reference.name, reference.optional).map(|()| Vec::new());
        };
        let text = |(k, v): (&String, &k8s_openapi::ByteString)| (k.clone(), String::from_utf8_lossy(&v.0).into_owned());
        return Ok(secret.data.iter().flatten().map(text).collect());
    }
    Ok(Vec::new())
}

fn absent(what: &str, name: &str, optional: Option<bool>) -> Result<(), Failure> {
    if optional == Some(true) { Ok(()) } else { Err(config_error(format!("{what} \"{name}\" not found"))) }
}

/// `None` where an optional source is not there.
fn one(container: &Container, source: &EnvVarSource, from: &Sources<'_>) -> Result<Option<String>, Failure> {
    if let Some(reference) = &source.field_ref {
        let path = &reference.field_path;
        let value = place_field(from.place, path).or_else(|| field(from.pod, path));
        return value.map(Some).ok_or_else(|| config_error(format!("fieldPath `{path}` is not known")));
    }
    if let Some(reference) = &source.resource_field_ref {
        let of = match (&reference.container_name, &from.pod.spec) {
            (Some(name), Some(spec)) => facts::container(spec, name),
            _ => Some(container),
        };
        let value = of.and_then(|c| amounts::resource_field(c, &reference.resource, reference.divisor.as_ref(), from.machine));
        return value.map(Some).ok_or_else(|| config_error(format!("resource `{}` is not known", reference.resource)));
    }
    if let Some(reference) = &source.config_map_key_ref {
        let Some(map) = from.found.config_maps.get(&reference.name).cloned().flatten() else {
            return absent("configmap", &reference.name, reference.optional).map(|()| None);
        };
        let value = map.data.as_ref().and_then(|data| data.get(&reference.key)).cloned();
        return key("ConfigMap", &reference.key, &reference.name, reference.optional, from, value);
    }
    if let Some(reference) = &source.secret_key_ref {
        let Some(secret) = from.found.secrets.get(&reference.name).cloned().flatten() else {
            return absent("secret", &reference.name, reference.optional).map(|()| None);
        };
        let value = secret.data.as_ref().and_then(|data| data.get(&reference.key));
        let value = value.map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned());
        return key("Secret", &reference.key, &reference.name, reference.optional, from, value);
    }
    Ok(Some(String::new()))
}

fn key(
    what: &str,
    key: &str,
    name: &str,
    optional: Option<bool>,
    from: &Sources<'_>,
    value: Option<String>,
) -> Result<Option<String>, Failure> {
    let namespace = from.pod.metadata.namespace.as_deref().unwrap_or_default();
    match value {
        None if optional != Some(true) => Err(config_error(format!("couldn't find key {key} in {what} {namespace}/{name}"))),
        value => Ok(value),
    }
}

/// `$(NAME)` becomes the variable's value if there is one and stays as it is otherwise; `$$` is a dollar.
pub fn expand(text: &str, value: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
        } else if let Some((name, after)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match value(name) {
                Some(value) => out.push_str(&value),
                None => {
                    out.push_str("$(");
                    out.push_str(name);
                    out.push(')');
                }
            }
            rest = after;
        } else {
            out.push('$');
        }
    }
    out.push_str(rest);
    out
}

/// Variables that name the Services of a namespace, as every container may expect them (Kubernetes page "Service", "Environment
/// variables"). `kubernetes` of `default` is always among them.
pub fn services<'a>(all: impl Iterator<Item = &'a Service>, namespace: &str, links: bool) -> Vec<(String, String)> {
    let mut by_name: BTreeMap<&str, &Service> = BTreeMap::new();
    for service in all {
        let (Some(name), Some(of)) = (service.metadata.name.as_deref(), service.metadata.namespace.as_deref()) else { continue };
        let is_api = of == "default" && name == "kubernetes";
        if is_api {
            by_name.entry(name).or_insert(service);
        } else if links && of == namespace {
            by_name.insert(name, service);
        }
    }
    by_name.into_iter().flat_map(|(name, service)| of_service(name, service)).collect()
}

fn of_service(name: &str, service: &Service) -> Vec<(String, String)> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let Some(ip) = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty() && *ip != "None") else { return Vec::new() };
    let ports = spec.ports.as_deref().unwrap_or_default();
    let Some(first) = ports.first() else { return Vec::new() };
    let prefix = name.to_uppercase().replace(['-', '.'], "_");
    let host = if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() };
    let mut vars =
        vec![(format!("{prefix}_SERVICE_HOST"), ip.to_owned()), (format!("{prefix}_SERVICE_PORT"), first.port.to_string())];
    for port in ports.iter().filter(|port| port.name.as_deref().is_some_and(|name| !name.is_empty())) {
        let name = port.name.as_deref().unwrap_or_default().to_uppercase().replace('-', "_");
        vars.push((format!("{prefix}_SERVICE_PORT_{name}"), port.port.to_string()));
    }
    for (index, port) in ports.iter().enumerate() {
        let protocol = port.protocol.as_deref().unwrap_or("TCP");
        let url = format!("{}://{host}:{}", protocol.to_lowercase(), port.port);
        if index == 0 {
            vars.push((format!("{prefix}_PORT"), url.clone()));
        }
        let one = format!("{prefix}_PORT_{}_{protocol}", port.port);
        vars.push((one.clone(), url));
        vars.push((format!("{one}_PROTO"), protocol.to_lowercase()));
        vars.push((format!("{one}_PORT"), port.port.to_string()));
        vars.push((format!("{one}_ADDR"), ip.to_owned()));
    }
    vars
}

#[cfg(test)]
mod tests;
