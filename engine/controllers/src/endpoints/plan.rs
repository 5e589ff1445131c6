//! The older form of a Service's addresses: one object, one list. For readers that do not know slices yet.
use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use k8s_openapi::{
    api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, ObjectReference, Pod, Service},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::ResourceExt;

use crate::{
    endpointslice::{hostname, is_selecting, selects, target_port},
    pods,
};

/// Addresses in one object. Above this the rest is left out and the object says so.
const ADDRESSES_MAX: usize = 1000;
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";
const HEADLESS: &str = "service.kubernetes.io/headless";

#[derive(Debug, PartialEq)]
pub enum Plan {
    Nothing,
    Create(Endpoints),
    Replace(Endpoints),
    Delete,
}

/// name, protocol, port, application protocol
type Ports = Vec<(Option<String>, String, i32, Option<String>)>;

/// `service` as `None`: it is gone.
pub fn plan(service: Option<&Service>, pods: &[Arc<Pod>], present: Option<&Endpoints>) -> Plan {
    let ours = |endpoints: &Endpoints| endpoints.labels().get(MANAGED_BY).map(String::as_str) == Some(MANAGER);
    let Some(service) = service else {
        return if present.is_some_and(ours) { Plan::Delete } else { Plan::Nothing };
    };
    if !is_selecting(service) {
        return Plan::Nothing;
    }
    let (subsets, truncated) = subsets(service, pods);
    let mut labels = service.labels().clone();
    labels.insert(MANAGED_BY.to_owned(), MANAGER.to_owned());
    if service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref()) == Some("None") {
        labels.insert(HEADLESS.to_owned(), String::new());
    } else {
        labels.remove(HEADLESS);
    }
    let mut wanted = present.cloned().unwrap_or_else(|| Endpoints {
        metadata: ObjectMeta {
            name: service.metadata.name.clone(),
            namespace: service.metadata.namespace.clone(),
            ..Default::default()
        },
        ..Default::default()
    });
    wanted.subsets = (!subsets.is_empty()).then_some(subsets);
    wanted.metadata.labels = Some(labels);
    let annotations = wanted.metadata.annotations.get_or_insert_default();
    if truncated {
        annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
    } else {
        annotations.remove(OVER_CAPACITY);
    }
    if annotations.is_empty() {
        wanted.metadata.annotations = None;
    }
    match present {
        None => Plan::Create(wanted),
        Some(present) if *present == wanted => Plan::Nothing,
        Some(_) => Plan::Replace(wanted),
    }
}

fn subsets(service: &Service, pods: &[Arc<Pod>]) -> (Vec<EndpointSubset>, bool) {
    let spec = service.spec.clone().unwrap_or_default();
    let early = spec.publish_not_ready_addresses == Some(true);
    let v6 = spec.ip_families.iter().flatten().next().map(String::as_str) == Some("IPv6");
    let mut by_ports: BTreeMap<Ports, (Vec<EndpointAddress>, Vec<EndpointAddress>)> = BTreeMap::new();
    let mut count = 0;
    for pod in pods.iter().filter(|pod| selects(service, pod) && !pods::is_finished(pod)) {
        if pods::is_terminating(pod) && !early {
            continue;
        }
        let Some(address) = address(service, pod, v6) else { continue };
        let mut ports: Ports = Vec::new();
        for port in spec.ports.iter().flatten() {
            if let Some(number) = target_port(port, pod) {
                let protocol = port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
                ports.push((port.name.clone(), protocol, number, port.app_protocol.clone()));
            }
        }
        if ports.is_empty() && spec.ports.as_ref().is_some_and(|ports| !ports.is_empty()) {
            continue;
        }
        count += 1;
        if count > ADDRESSES_MAX {
            continue;
        }
        ports.sort();
        let (ready, not_ready) = by_ports.entry(ports).or_default();
        if early || pods::is_ready(pod) { ready.push(address) } else { not_ready.push(address) }
    }
    let subset = |(ports, (mut ready, mut not_ready)): (Ports, (Vec<EndpointAddress>, Vec<EndpointAddress>))| {
        ready.sort_by(|a, b| a.ip.cmp(&b.ip));
        not_ready.sort_by(|a, b| a.ip.cmp(&b.ip));
        let ports: Vec<_> = ports
            .into_iter()
            .map(|(name, protocol, port, app_protocol)| EndpointPort { name, protocol: Some(protocol), port, app_protocol })
            .collect();
        EndpointSubset {
            addresses: (!ready.is_empty()).then_some(ready),
            not_ready_addresses: (!not_ready.is_empty()).then_some(not_ready),
            ports: (!ports.is_empty()).then_some(ports),
        }
    };
    (by_ports.into_iter().map(subset).collect(), count > ADDRESSES_MAX)
}

fn address(service: &Service, pod: &Pod, v6: bool) -> Option<EndpointAddress> {
    let status = pod.status.as_ref()?;
    let mut ips = status.pod_ips.iter().flatten().map(|ip| &ip.ip).chain(&status.pod_ip);
    let ip = ips.find(|ip| ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_ipv6() == v6))?;
    Some(EndpointAddress {
        ip: ip.clone(),
        hostname: hostname(service, pod),
        node_name: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..Default::default()
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builders::pod;
    use serde_json::json;

    fn service(spec: serde_json::Value) -> Service {
        serde_json::from_value(json!({"metadata": {"name": "web", "namespace": "ns"}, "spec": spec})).unwrap()
    }

    fn selecting() -> Service {
        service(json!({"selector": {"app": "web"}, "clusterIP": "None", "ports": [{"port": 80, "targetPort": 8080}]}))
    }

    #[test]
    fn ready_and_other_addresses_are_told_apart() {
        let pods = [
            pod("b").on("n1").ready_since(0).with_ips(&["10.42.0.6"]).done(),
            pod("a").on("n1").ready_since(0).with_ips(&["10.42.0.5"]).done(),
            pod("new").on("n1").with_ips(&["10.42.0.7"]).done(),
            pod("going").on("n1").ready_since(0).with_ips(&["10.42.0.8"]).terminating().done(),
        ];
        let Plan::Create(made) = plan(Some(&selecting()), &pods, None) else { panic!("made where there is none") };
        let subset = &made.subsets.as_ref().unwrap()[0];
        let ips = |list: &Option<Vec<EndpointAddress>>| list.iter().flatten().map(|a| a.ip.clone()).collect::<Vec<_>>();
        assert_eq!(ips(&subset.addresses), ["10.42.0.5", "10.42.0.6"]);
        assert_eq!(ips(&subset.not_ready_addresses), ["10.42.0.7"]);
        assert_eq!(subset.ports.as_ref().unwrap()[0].port, 8080);
        assert_eq!(made.labels()[HEADLESS], "");
        assert_eq!(plan(Some(&selecting()), &pods, Some(&made)), Plan::Nothing);
        assert!(matches!(plan(Some(&selecting()), &pods[1..], Some(&made)), Plan::Replace(_)));
        assert_eq!(plan(None, &pods, Some(&made)), Plan::Delete);
    }

    #[test]
    fn what_somebody_else_made_is_left_alone() {
        let by_hand = Endpoints::default();
        assert_eq!(plan(None, &[], Some(&by_hand)), Plan::Nothing);
        assert_eq!(plan(Some(&service(json!({"ports": [{"port": 80}]}))), &[], Some(&by_hand)), Plan::Nothing);
    }

    #[test]
    fn more_addresses_than_fit_are_cut_off_aloud() {
        let pods: Vec<_> = (0..1001)
            .map(|n| pod(&format!("p{n}")).on("n1").ready_since(0).with_ips(&[&format!("10.42.{}.{}", n / 250, n % 250)]).done())
            .collect();
        let Plan::Create(made) = plan(Some(&selecting()), &pods, None) else { panic!("made where there is none") };
        assert_eq!(made.annotations()[OVER_CAPACITY], "truncated");
        assert_eq!(made.subsets.unwrap()[0].addresses.as_ref().unwrap().len(), 1000);
    }
}
