//! The DNS server behind its Service, as a pod sees it.
use std::{path::PathBuf, sync::Arc};

use irori_network::{
    dns::{Directory, DnsSettings, Upstreams, run},
    services::{Kernel, plan},
};
use irori_runtime::{Shutdown, Tasks};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use serde_json::{Value, json};

use crate::world::{DEADLINE, Host};

struct OneService(Arc<Service>);

impl Directory for OneService {
    fn is_complete(&self) -> bool {
        true
    }

    fn has_namespace(&self, name: &str) -> bool {
        name == "kube-system"
    }

    fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>> {
        (namespace == "kube-system" && name == "kube-dns").then(|| self.0.clone())
    }

    fn services(&self) -> Vec<Arc<Service>> {
        vec![self.0.clone()]
    }

    fn slices_in(&self, _namespace: &str) -> Vec<Arc<EndpointSlice>> {
        Vec::new()
    }
}

fn object<T: serde::de::DeserializeOwned>(value: Value) -> Arc<T> {
    Arc::new(serde_json::from_value(value).unwrap())
}

#[test]
fn a_pod_asks_the_cluster_dns_at_its_service_address_by_udp_and_tcp() {
    let host = Host::new();
    let irori = host.irori("d00001", &["10.42.0.0/24", "fd42::/64"]);
    irori.prepare();
    let pod = irori.pod();
    let ports = || json!([{ "name": "dns", "port": 53, "protocol": "UDP" }, { "name": "dns-tcp", "port": 53 }]);
    let service: Arc<Service> = object(json!({
        "metadata": { "namespace": "kube-system", "name": "kube-dns" },
        "spec": { "clusterIP": "10.96.0.10", "clusterIPs": ["10.96.0.10"], "ports": ports() },
    }));
    let slice: Arc<EndpointSlice> = object(json!({
        "metadata": { "namespace": "kube-system", "name": "s", "labels": { "kubernetes.io/service-name": "kube-dns" } },
        "addressType": "IPv4", "endpoints": [{ "addresses": ["10.42.0.1"] }], "ports": ports(),
    }));
    let plan = plan(std::slice::from_ref(&service), &[slice], &irori.settings);
    let kernel = Kernel::new(&irori.settings);
    let resolv_conf = |options: &str| {
        let path = irori.settings.data_dir.join(format!("resolv{}", options.len()));
        std::fs::write(
            &path,
            format!("nameserver 10.96.0.10\nsearch kube-system.svc.cluster.local svc.cluster.local\noptions ndots:5 {options}\n"),
        )
        .unwrap();
        path
    };
    let (udp, tcp) = (resolv_conf("attempts:1"), resolv_conf("attempts:1 use-vc"));
    let lookup = |conf: PathBuf| {
        pod.namespace.run(|| {
            // A private mount of the file: the resolver of the C library reads only this path.
            let script = format!("mount --bind {} /etc/resolv.conf && getent ahostsv4 kube-dns", conf.display());
            let output = std::process::Command::new("unshare").args(["-m", "sh", "-ec", &script]).output().unwrap();
            (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
        })
    };
    let (ready, is_ready) = std::sync::mpsc::channel();
    let (done, is_done) = tokio::sync::oneshot::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            host.block_on(async {
                kernel.apply(&irori.settings, plan.ruleset).await.unwrap();
                let tasks = Tasks::new(Shutdown::new());
                let settings = DnsSettings {
                    listen: vec!["10.42.0.1:53".parse().unwrap(), "[fd42::1]:53".parse().unwrap()],
                    domain: "cluster.local".to_owned(),
                    service_addresses: vec!["10.96.0.10".parse().unwrap()],
                    reverse: vec!["10.96.0.0/16".parse().unwrap()],
                    upstreams: Upstreams::Fixed(Vec::new()),
                };
                run(settings, OneService(service), &tasks).await.unwrap();
                ready.send(()).unwrap();
                is_done.await.unwrap();
            });
        });
        is_ready.recv_timeout(DEADLINE).unwrap();
        for conf in [udp, tcp] {
            let (said, complained) = lookup(conf);
            assert!(said.starts_with("10.96.0.10 "), "{said}{complained}");
        }
        done.send(()).unwrap();
    });
}
