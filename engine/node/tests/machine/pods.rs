//! Pods on the real containerd, from a small API.
use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use irori_client::Informers;
use irori_node::{Caller, LeaseTerms, Node, Parts, Settings, runtime::*};
use irori_runtime::{Clock, Shutdown, SignedDuration, Tasks, Timestamp};
use irori_trust::{CaTree, Lifetime, Rotating, SubjectName};
use serde_json::{Value, json};

use super::{api::Api, fixture::*};

/// A node on a machine, and the API it listens to.
pub struct Home {
    pub host: Host,
    pub api: Api,
    tasks: Tasks,
    pub trust: CaTree,
    pub port: u16,
    _node: Node,
}

impl Home {
    async fn start(host: Host, api: Api) -> Self {
        host.busybox().await;
        let tasks = Tasks::new(Shutdown::new());
        let (trust, port, node) = start_node(&host, &api, &tasks).await;
        Self { host, api, tasks, trust, port, _node: node }
    }

    /// Ends the node, containers go on, and starts it again.
    async fn restart(self) -> Self {
        self.stop().await;
        let Self { host, api, .. } = self;
        let host = host.restart().await;
        Self::start(host, api).await
    }

    async fn stop(&self) {
        self.tasks.shutdown().start();
        assert_eq!(self.tasks.drain(LONG).await, Vec::<&str>::new());
    }

    pub fn pod(&self, name: &str, spec: Value) -> String {
        let path = format!("/api/v1/namespaces/shop/pods/{name}");
        let mut spec = spec;
        spec["nodeName"] = json!("n1");
        spec["terminationGracePeriodSeconds"].as_u64().is_none().then(|| spec["terminationGracePeriodSeconds"] = json!(5));
        self.api.put(&path, json!({ "metadata": { "generation": 1, "labels": { "app": name } }, "spec": spec, "status": { "phase": "Pending", "qosClass": "BestEffort" } }));
        path
    }

    pub async fn until_pod(&self, path: &str, what: &str, seen: impl Fn(&Value) -> bool) -> Value {
        self.api.until(what, |api| api.get(path).filter(|pod| seen(pod))).await
    }

    pub async fn until_ready(&self, path: &str) -> Value {
        self.until_pod(path, "readiness", |pod| condition(pod, "Ready") == "True").await
    }

    async fn log(&self, pod: &Value) -> String {
        let id = pod["status"]["containerStatuses"][0]["containerID"].as_str().expect("an id");
        self.host.log(&id.trim_start_matches("containerd://").into(), LogOptions::default()).await
    }

    async fn exec(&self, pod: &Value, text: &str) -> String {
        let id = pod["status"]["containerStatuses"][0]["containerID"].as_str().expect("an id");
        let output = self.host.exec(&id.trim_start_matches("containerd://").into(), text).await;
        String::from_utf8(output.stdout.to_vec()).expect("text")
    }

    fn has_event(&self, reason: &str) -> bool {
        self.api.list("/api/v1/events").iter().any(|event| event["reason"] == reason)
    }
}

async fn start_node(host: &Host, api: &Api, tasks: &Tasks) -> (CaTree, u16, Node) {
    let clock = Clock::system(Timestamp::UNIX_EPOCH, SignedDuration::ZERO);
    let trust = CaTree::open(&host.path().join("trust"), "home.arpa", &clock).expect("a CA");
    let identity = trust.issue_server(&[SubjectName::Dns("n1.home.arpa".into())], Lifetime::default()).expect("a certificate");
    let certificates = Rotating::new(&identity).expect("usable");
    let tls =
        irori_trust::tls::server(certificates, irori_trust::tls::ClientCertificates::Ask, &["http/1.1"], &clock).expect("TLS");
    let check = CaTree::client_checker(trust.clients_pem(), &clock).expect("an anchor");
    let client = api.client();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let settings = Settings {
        name: "n1".into(),
        folder: host.path().join("node"),
        hostname: "n1".into(),
        addresses: vec!["192.0.2.1".parse().expect("an address")],
        labels: vec![],
        taints: vec![],
        pods_max: 110,
        reserved_cpu_millis: 0,
        reserved_memory_bytes: 0,
        pids_per_pod_max: None,
        cluster_dns: vec!["10.96.0.10".parse().expect("an address")],
        cluster_domain: "cluster.local".into(),
        host_dns: Dns::default(),
        port: listener.local_addr().expect("an address").port(),
        tls,
        clients: Arc::new(move |peer| {
            let verified = check(&peer.certificates).ok()?;
            Some(Caller { name: verified.common_name, groups: verified.organizations })
        }),
        version: "v1.36.2-irori".into(),
        lease: LeaseTerms::USUAL,
    };
    let informers = Informers::new(client.clone(), tasks.clone());
    let parts = Parts { settings, client, informers, runtime: host.machine.clone(), listener, clock, tasks: tasks.clone() };
    let port = parts.settings.port;
    (trust, port, Node::start(parts).expect("a node"))
}

pub async fn at_home<F: Future<Output = Home> + Send + 'static>(test: impl FnOnce(Home) -> F + Send + 'static) {
    on_a_machine(async move |host: Host| {
        let api = Api::new();
        api.put(
            "/api/v1/namespaces/default/services/kubernetes",
            json!({ "metadata": {}, "spec": { "clusterIP": "10.96.0.1", "ports": [{ "port": 443 }] } }),
        );
        let home = test(Home::start(host, api).await).await;
        home.stop().await;
        irori_node_folder_is_clean(&home);
    })
    .await;
}

/// The tests delete their pods; nothing may be left of them.
fn irori_node_folder_is_clean(home: &Home) {
    let left: Vec<_> = std::fs::read_dir(home.host.path().join("node/pods")).expect("read").flatten().map(|e| e.path()).collect();
    assert_eq!(left, Vec::<std::path::PathBuf>::new());
}

fn condition<'a>(pod: &'a Value, kind: &str) -> &'a str {
    let all = pod["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().find(|c| c["type"] == kind).and_then(|c| c["status"].as_str()).unwrap_or_default()
}

pub fn shell(text: &str) -> Value {
    json!({ "name": "main", "image": IMAGE, "imagePullPolicy": "IfNotPresent", "command": ["/bin/busybox", "sh", "-c", text] })
}

pub const STAY: &str = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done";

pub async fn gone(home: &Home, path: &str) {
    home.api.until("the end of the pod", |api| api.get(path).is_none().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_pod_runs_with_its_environment_volumes_and_names_and_its_status_says_so() {
    at_home(async |home: Home| {
        home.api.put("/api/v1/namespaces/shop/configmaps/settings", json!({ "metadata": {}, "data": { "colour": "red" } }));
        home.api.put("/api/v1/namespaces/shop/secrets/key", json!({ "metadata": {}, "data": { "word": "c2VzYW1l" } }));
        let mut main = shell(&format!(
            "echo $COLOUR-$WORD-$IP-$KUBERNETES_SERVICE_HOST; cat /etc/config/colour /run/token /etc/hosts; hostname; {STAY}"
        ));
        main["env"] = json!([
            { "name": "COLOUR", "valueFrom": { "configMapKeyRef": { "name": "settings", "key": "colour" } } },
            { "name": "WORD", "valueFrom": { "secretKeyRef": { "name": "key", "key": "word" } } },
            { "name": "IP", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } },
        ]);
        main["volumeMounts"] = json!([{ "name": "c", "mountPath": "/etc/config" }, { "name": "t", "mountPath": "/run" }, { "name": "e", "mountPath": "/data" }]);
        let begun = std::time::Instant::now();
        let path = home.pod("web", json!({ "containers": [main], "serviceAccountName": "default", "subdomain": "all", "volumes": [
            { "name": "c", "configMap": { "name": "settings" } },
            { "name": "t", "projected": { "sources": [{ "serviceAccountToken": { "path": "token", "expirationSeconds": 3607 } }] } },
            { "name": "e", "emptyDir": {} },
        ] }));
        let pod = home.until_ready(&path).await;
        eprintln!("from bound to ready: {:?}", begun.elapsed());
        let status = &pod["status"];
        assert_eq!((&status["phase"], &status["podIP"], &status["hostIP"]), (&json!("Running"), &json!("192.0.2.7"), &json!("192.0.2.1")));
        let container = &status["containerStatuses"][0];
        assert_eq!((&container["ready"], &container["started"], &container["restartCount"], &container["image"]), (&json!(true), &json!(true), &json!(0), &json!(IMAGE)));
        for kind in ["PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready"] {
            assert_eq!(condition(&pod, kind), "True", "{kind}");
        }
        let wait = async {
            loop {
                let log = home.log(&pod).await;
                if log.ends_with("web\n") {
                    return log;
                }
                tokio::task::yield_now().await;
            }
        };
        let log = tokio::time::timeout(LONG, wait).await.expect("the log");
        assert!(log.starts_with("red-sesame-192.0.2.7-10.96.0.1\nredtoken-1"), "{log}");
        assert!(log.contains("192.0.2.7\tweb.all.shop.svc.cluster.local\tweb\n"), "{log}");
        // A change of the ConfigMap is seen in the running container.
        home.api.put("/api/v1/namespaces/shop/configmaps/settings", json!({ "metadata": {}, "data": { "colour": "blue" } }));
        let seen = async { while home.exec(&pod, "cat /etc/config/colour").await != "blue" {} };
        tokio::time::timeout(LONG, seen).await.expect("the new colour");
        for reason in ["Pulled", "Created", "Started"] {
            home.api.until(reason, |_| home.has_event(reason).then_some(())).await;
        }
        home.api.delete_gracefully(&path, 5);
        gone(&home, &path).await;
        assert!(home.host.machine.sandboxes().await.expect("list").is_empty());
        home
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_is_restarted_with_its_last_words_and_a_probe_decides_readiness() {
    at_home(async |home: Home| {
        let mut main = shell(&format!(
            "test -e /data/been && {{ touch /data/ok; {STAY}; }}; touch /data/been; echo bye > /dev/termination-log; exit 7"
        ));
        main["volumeMounts"] = json!([{ "name": "e", "mountPath": "/data" }]);
        main["readinessProbe"] = json!({ "exec": { "command": ["/bin/busybox", "test", "-e", "/data/ok"] }, "periodSeconds": 1 });
        let path = home.pod("web", json!({ "containers": [main], "volumes": [{ "name": "e", "emptyDir": {} }] }));
        let pod = home.until_ready(&path).await;
        let container = &pod["status"]["containerStatuses"][0];
        let last = &container["lastState"]["terminated"];
        assert_eq!(
            (&container["restartCount"], &last["exitCode"], &last["message"], &last["reason"]),
            (&json!(1), &json!(7), &json!("bye\n"), &json!("Error"))
        );
        home.api.delete_gracefully(&path, 1);
        gone(&home, &path).await;
        home
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn init_containers_come_first_and_a_finished_pod_succeeds() {
    at_home(async |home: Home| {
        let mount = json!([{ "name": "e", "mountPath": "/data" }]);
        let mut init = shell("echo made > /data/file");
        init["name"] = json!("init");
        init["volumeMounts"] = mount.clone();
        let mut main = shell("cat /data/file");
        main["volumeMounts"] = mount;
        let path = home.pod("job", json!({ "restartPolicy": "Never", "initContainers": [init], "containers": [main], "volumes": [{ "name": "e", "emptyDir": {} }] }));
        let pod = home.until_pod(&path, "success", |pod| pod["status"]["phase"] == "Succeeded").await;
        assert_eq!(home.log(&pod).await, "made\n");
        assert_eq!(pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
        home.api.delete_gracefully(&path, 1);
        gone(&home, &path).await;
        home
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_node_leaves_containers_running_and_takes_orphans_away() {
    at_home(async |home: Home| {
        let kept = home.pod("kept", json!({ "containers": [shell(STAY)] }));
        let lost = home.pod("lost", json!({ "containers": [shell(STAY)] }));
        let before = home.until_ready(&kept).await;
        home.until_ready(&lost).await;
        home.stop().await;
        home.api.remove(&lost);
        let home = home.restart().await;
        let mut events = home.host.machine.events();
        let orphan_gone = async {
            while home.host.machine.sandboxes().await.expect("list").len() > 1 {
                events.next().await;
            }
        };
        tokio::time::timeout(LONG, orphan_gone).await.expect("the orphan goes");
        let after = home.until_ready(&kept).await;
        assert_eq!(before["status"]["containerStatuses"], after["status"]["containerStatuses"]);
        home.api.delete_gracefully(&kept, 1);
        gone(&home, &kept).await;
        let folder = home.host.path().join("node/pods");
        let empty = async {
            while std::fs::read_dir(&folder).expect("read").count() > 0 {
                tokio::task::yield_now().await
            }
        };
        tokio::time::timeout(LONG, empty).await.expect("folders go");
        home
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_is_registered_ready_and_holds_its_lease() {
    at_home(async |home: Home| {
        let node = home
            .api
            .until("a ready node", |api| api.get("/api/v1/nodes/n1").filter(|node| condition(node, "Ready") == "True"))
            .await;
        assert_eq!(node["metadata"]["labels"]["kubernetes.io/hostname"], "n1");
        assert_eq!(
            node["status"]["addresses"],
            json!([{ "type": "InternalIP", "address": "192.0.2.1" }, { "type": "Hostname", "address": "n1" }])
        );
        assert!(node["status"]["nodeInfo"]["containerRuntimeVersion"].as_str().is_some_and(|v| v.starts_with("containerd://")));
        let lease =
            home.api.until("a lease", |api| api.get("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1")).await;
        assert_eq!((&lease["spec"]["holderIdentity"], &lease["spec"]["leaseDurationSeconds"]), (&json!("n1"), &json!(40)));
        home
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_implemented_stops_the_pod_with_a_condition_that_names_it() {
    at_home(async |home: Home| {
        let path = home.pod(
            "web",
            json!({ "containers": [shell(STAY)], "volumes": [{ "name": "v", "nfs": { "server": "s", "path": "/" } }] }),
        );
        let pod = home.until_pod(&path, "refusal", |pod| condition(pod, "irori.dev/Supported") == "False").await;
        assert_eq!(pod["status"]["phase"], "Pending");
        assert_eq!(pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"], "NotImplemented");
        home.api.until("an event", |_| home.has_event("NotImplemented").then_some(())).await;
        assert!(home.host.machine.sandboxes().await.expect("list").is_empty());
        home.api.delete_gracefully(&path, 0);
        gone(&home, &path).await;
        home
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_config_map_holds_the_pod_up_until_it_is_there() {
    at_home(async |home: Home| {
        let mut main = shell(STAY);
        main["envFrom"] = json!([{ "configMapRef": { "name": "later" } }]);
        let path = home.pod("web", json!({ "containers": [main] }));
        let waits =
            |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CreateContainerConfigError";
        home.until_pod(&path, "a config error", waits).await;
        home.api.put("/api/v1/namespaces/shop/configmaps/later", json!({ "metadata": {}, "data": { "a": "b" } }));
        let pod = home.until_ready(&path).await;
        assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
        home.api.delete_gracefully(&path, 1);
        gone(&home, &path).await;
        home
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_pod_gets_its_hook_and_its_signal_and_is_killed_when_the_grace_is_over() {
    at_home(async |home: Home| {
        let shared = home.host.path().join("shared");
        std::fs::create_dir_all(&shared).expect("made");
        let volumes = json!([{ "name": "h", "hostPath": { "path": shared, "type": "Directory" } }]);
        let mount = json!([{ "name": "h", "mountPath": "/shared" }]);
        let mut polite = shell("trap 'echo term >> /shared/polite; exit 0' TERM; while :; do sleep 1 & wait $!; done");
        polite["volumeMounts"] = mount.clone();
        polite["lifecycle"] =
            json!({ "preStop": { "exec": { "command": ["/bin/busybox", "sh", "-c", "echo hook >> /shared/polite"] } } });
        let polite = home.pod("polite", json!({ "containers": [polite], "volumes": volumes }));
        let stubborn = home.pod("stubborn", json!({ "containers": [shell("trap '' TERM; while :; do sleep 1; done")] }));
        home.until_ready(&polite).await;
        home.until_ready(&stubborn).await;
        let begun = std::time::Instant::now();
        home.api.delete_gracefully(&polite, 30);
        gone(&home, &polite).await;
        assert!(begun.elapsed() < Duration::from_secs(15), "it did not wait for the grace");
        assert_eq!(std::fs::read_to_string(shared.join("polite")).expect("read"), "hook\nterm\n");
        let begun = std::time::Instant::now();
        home.api.delete_gracefully(&stubborn, 3);
        gone(&home, &stubborn).await;
        assert!(begun.elapsed() >= Duration::from_secs(3), "it had its grace");
        home
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_on_the_host_network_is_probed_over_http_and_keeps_its_security_context() {
    at_home(async |home: Home| {
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
        let serve = format!("id -u; id -G; mkdir -p /tmp/www && echo hi > /tmp/www/index.html && exec /bin/busybox httpd -f -p 127.0.0.1:{port} -h /tmp/www");
        let mut main = shell(&serve);
        main["readinessProbe"] = json!({ "httpGet": { "host": "127.0.0.1", "port": port, "path": "/" }, "periodSeconds": 1 });
        main["livenessProbe"] = json!({ "tcpSocket": { "host": "127.0.0.1", "port": port }, "periodSeconds": 1 });
        main["securityContext"] = json!({ "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } });
        main["volumeMounts"] = json!([{ "name": "tmp", "mountPath": "/tmp" }]);
        let security = json!({ "runAsUser": 1234, "runAsGroup": 2345, "fsGroup": 3456, "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } });
        let path = home.pod("web", json!({ "hostNetwork": true, "securityContext": security, "containers": [main], "volumes": [{ "name": "tmp", "emptyDir": { "medium": "Memory" } }] }));
        let pod = home.until_ready(&path).await;
        assert_eq!(pod["status"]["podIP"], "192.0.2.1");
        assert_eq!(home.log(&pod).await, "1234\n2345 3456\n");
        home.api.delete_gracefully(&path, 1);
        gone(&home, &path).await;
        home
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_over_its_memory_is_killed_and_named_so() {
    at_home(async |home: Home| {
        let mut main = shell("exec /bin/busybox tail /dev/zero");
        main["resources"] = json!({ "limits": { "memory": "16Mi" } });
        let path = home.pod("greedy", json!({ "restartPolicy": "Never", "containers": [main] }));
        let pod = home.until_pod(&path, "failure", |pod| pod["status"]["phase"] == "Failed").await;
        let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
        assert_eq!((&ended["reason"], &ended["exitCode"]), (&json!("OOMKilled"), &json!(137)));
        home.api.delete_gracefully(&path, 1);
        gone(&home, &path).await;
        home
    })
    .await;
}
