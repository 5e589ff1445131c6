//! Names: resolv.conf and /etc/hosts of a pod. Pure.
use k8s_openapi::api::core::v1::PodSpec;

use super::facts;
use crate::{
    runtime::{Dns, PodRef},
    settings::Settings,
};

/// What the pod's resolv.conf says; `None` for the machine's own.
pub fn of_pod(pod: &PodRef, spec: &PodSpec, settings: &Settings) -> Option<Dns> {
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let cluster = match policy {
        "ClusterFirst" => !facts::host_network(spec),
        "ClusterFirstWithHostNet" => true,
        _ => false,
    } && !settings.cluster_dns.is_empty();
    let mut dns = match (cluster, policy) {
        (true, _) => cluster_first(pod, settings),
        (false, "None") => Dns::default(),
        (false, _) if spec.dns_config.is_none() => return None,
        (false, _) => settings.host_dns.clone(),
    };
    if let Some(config) = &spec.dns_config {
        extend(&mut dns.servers, config.nameservers.iter().flatten().cloned());
        extend(&mut dns.searches, config.searches.iter().flatten().cloned());
        for option in config.options.iter().flatten() {
            let Some(name) = &option.name else { continue };
            dns.options.retain(|known| known.split(':').next() != Some(name));
            dns.options.push(match option.value.as_deref().filter(|value| !value.is_empty()) {
                Some(value) => format!("{name}:{value}"),
                None => name.clone(),
            });
        }
    }
    Some(dns)
}

fn cluster_first(pod: &PodRef, settings: &Settings) -> Dns {
    let domain = &settings.cluster_domain;
    let mut searches = vec![format!("{}.svc.{domain}", pod.namespace), format!("svc.{domain}"), domain.clone()];
    extend(&mut searches, settings.host_dns.searches.iter().cloned());
    let servers = settings.cluster_dns.iter().map(ToString::to_string).collect();
    Dns { servers, searches, options: vec!["ndots:5".to_owned()] }
}

fn extend(list: &mut Vec<String>, more: impl Iterator<Item = String>) {
    for one in more {
        if !list.contains(&one) {
            list.push(one);
        }
    }
}

/// Content of the pod's /etc/hosts. `machine` is the machine's own file, which pods on its network keep.
pub fn etc_hosts(pod: &PodRef, spec: &PodSpec, ips: &[String], settings: &Settings, machine: &str) -> String {
    let mut text = String::new();
    if facts::host_network(spec) {
        text.push_str(machine);
    } else {
        text.push_str("# Written by irori for this pod.\n127.0.0.1\tlocalhost\n");
        text.push_str(
            "::1\tlocalhost ip6-localhost ip6-loopback\nfe00::\tip6-localnet\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n",
        );
        let hostname = super::build::hostname(pod, spec, settings);
        let full = spec.subdomain.as_deref().filter(|s| !s.is_empty());
        let full = full.map(|sub| format!("{hostname}.{sub}.{}.svc.{}", pod.namespace, settings.cluster_domain));
        for ip in ips {
            match &full {
                Some(full) => text.push_str(&format!("{ip}\t{full}\t{hostname}\n")),
                None => text.push_str(&format!("{ip}\t{hostname}\n")),
            }
        }
    }
    for alias in spec.host_aliases.iter().flatten() {
        text.push_str(&format!("{}\t{}\n", alias.ip, alias.hostnames.iter().flatten().cloned().collect::<Vec<_>>().join("\t")));
    }
    text
}

#[cfg(test)]
mod tests;
