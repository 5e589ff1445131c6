//! Kinds of the core group.
use serde_json::{Value, json};

use super::{born, changed, changed_part};
use crate::prepare::Part;

const NONE: [&str; 0] = [];

#[test]
fn an_event_of_its_own_group_is_normal_or_a_warning() {
    let event = |sort: Value| {
        json!({
            "metadata": {"name": "e"}, "eventTime": "2026-01-01T00:00:00.000000Z", "action": "A", "reason": "R", "type": sort,
            "reportingController": "c.example/x", "reportingInstance": "i",
            "regarding": {"kind": "Pod", "name": "p", "namespace": "n"},
        })
    };
    let told = |sort: Value| born(("events.k8s.io", "events"), event(sort));
    assert_eq!(told(json!("Warning")), NONE);
    assert_eq!(told(json!("abc")), ["type: Invalid value: \"\": has invalid value: abc"]);
    assert_eq!(told(Value::Null), ["type: Invalid value: \"\": has invalid value: "]);
}

#[test]
fn limits_are_told_by_type_and_each_type_stands_once() {
    let told = |limits: Value| born(("", "limitranges"), json!({"metadata": {"name": "l"}, "spec": {"limits": limits}}));
    let unknown = "must be a standard limit type or fully qualified";
    assert_eq!(told(json!([{"type": "abc"}])), [format!("spec.limits[0].type: Invalid value: \"abc\": {unknown}")]);
    assert_eq!(told(json!([{"type": "a.example/Volume"}])), NONE);
    let twice = json!([{"type": "Pod"}, {"type": "Container"}, {"type": "Pod"}]);
    assert_eq!(told(twice), ["spec.limits[2].type: Duplicate value: \"Pod\""]);
    let claims = json!([{"type": "PersistentVolumeClaim", "max": {"storage": "1Gi", "foo": "1", "pods": "1", "a.b/c": "1"}}]);
    let unknown = "must be a standard resource type or fully qualified";
    assert_eq!(told(claims), [format!("spec.limits[0].max[foo]: Invalid value: \"foo\": {unknown}")]);
}

#[test]
fn a_replication_controller_without_a_template_is_told_so_once() {
    let body = json!({"metadata": {"name": "c"}, "spec": {"selector": {"a": "b"}}});
    assert_eq!(born(("", "replicationcontrollers"), body), ["spec.template: Required value"]);
}

#[test]
fn a_name_for_something_elsewhere_has_no_families() {
    let spec = json!({"type": "ExternalName", "externalName": "a.example", "ipFamilies": ["abc"]});
    let told = born(("", "services"), json!({"metadata": {"name": "s"}, "spec": spec}));
    assert_eq!(told, ["spec.ipFamilies: Forbidden: may not be set for ExternalName services"]);
}

#[test]
fn a_registry_secret_that_is_no_object_is_refused_as_go_refuses_it() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let told = |text: &str| {
        let body = json!({
            "metadata": {"name": "s"}, "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": STANDARD.encode(text)},
        });
        born(("", "secrets"), body)
    };
    for (text, why) in [
        ("", "unexpected end of JSON input"),
        ("a", "invalid character 'a' looking for beginning of value"),
        ("[]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        ("1", "json: cannot unmarshal number into Go value of type map[string]interface {}"),
    ] {
        assert_eq!(told(text), [format!("data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": {why}")]);
    }
    for text in ["{}", "null"] {
        assert_eq!(told(text), NONE);
    }
}

fn service(spec: Value) -> Value {
    let mut body = json!({"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    body["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    body
}

#[test]
fn addresses_of_a_service_are_one_of_each_family() {
    let told = |ips: Value| born(("", "services"), service(json!({"clusterIP": ips[0], "clusterIPs": ips})));
    assert_eq!(told(json!(["10.96.0.2", "fd00::2"])), NONE);
    assert_eq!(
        told(json!(["10.96.0.2", "10.96.0.3"])),
        [r#"spec.clusterIPs: Invalid value: ["10.96.0.2","10.96.0.3"]: may specify no more than one IP for each IP family"#]
    );
    assert_eq!(
        told(json!(["None", "10.96.0.2"])),
        [r#"spec.clusterIPs: Invalid value: ["None","10.96.0.2"]: 'None' must be the first and only value"#]
    );
    let other = service(json!({"clusterIP": "fd00::2", "ipFamilies": ["IPv4"]}));
    assert_eq!(
        born(("", "services"), other),
        [r#"spec.clusterIPs[0]: Invalid value: "fd00::2": expected an IPv4 value as indicated by `ipFamilies[0]`"#]
    );
}

#[test]
fn an_external_address_is_one_that_others_reach() {
    let local = "may not be in the link-local range (169.254.0.0/16, fe80::/10)";
    let multicast = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)";
    for (ip, why) in [("169.254.1.1", local), ("fe80::1", local), ("224.0.0.1", multicast), ("ff02::1", multicast)] {
        let told = born(("", "services"), service(json!({"externalIPs": [ip]})));
        assert_eq!(told, [format!("spec.externalIPs[0]: Invalid value: {ip:?}: {why}")]);
    }
    let endpoints = |ip: &str| json!({"metadata": {"name": "e"}, "subsets": [{"addresses": [{"ip": ip}]}]});
    assert_eq!(born(("", "endpoints"), endpoints("239.1.1.1")), NONE);
    assert_eq!(born(("", "endpoints"), endpoints("224.0.0.1")).len(), 1);
}

#[test]
fn a_class_of_load_balancers_stays() {
    let balancer = |class: Value| service(json!({"type": "LoadBalancer", "loadBalancerClass": class}));
    assert_eq!(
        changed(("", "services"), balancer(json!("a.example/b")), balancer(Value::Null)),
        ["spec.loadBalancerClass: Invalid value: null: may not change once set"]
    );
}

fn volume(spec: Value) -> Value {
    let mut body = json!({"metadata": {"name": "v"}, "spec": {
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"],
        "csi": {"driver": "d.example", "volumeHandle": "h"},
    }});
    body["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    body
}

#[test]
fn a_volume_stays_where_it_is() {
    let told = |old: Value, new: Value| changed(("", "persistentvolumes"), volume(old), volume(new));
    let csi = |more: Value| {
        let mut csi = json!({"driver": "d.example", "volumeHandle": "h"});
        csi.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "csi": csi })
    };
    let moved = ["spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation"];
    let secret = |name: &str| json!({"controllerExpandSecretRef": {"name": name, "namespace": "n"}});
    assert_eq!(told(csi(json!({})), csi(json!({"volumeHandle": "i"}))), moved);
    assert_eq!(told(csi(json!({})), csi(secret("s"))), NONE);
    assert_eq!(told(csi(secret("s")), csi(secret("t"))), moved);
    assert_eq!(told(json!({}), json!({"volumeMode": "Block"})), ["volumeMode: Invalid value: \"Block\": field is immutable"]);
    let zone = |key: &str, zone: &str| {
        let term = json!({"matchExpressions": [{"key": key, "operator": "In", "values": [zone]}]});
        json!({"nodeAffinity": {"required": {"nodeSelectorTerms": [term]}}})
    };
    let (old, new) = ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone");
    assert_eq!(told(json!({}), zone(new, "a")), NONE);
    assert_eq!(told(zone(old, "a"), zone(new, "a")), NONE);
    assert_eq!(
        told(zone(new, "a"), zone(new, "b")),
        [
            r#"nodeAffinity: Invalid value: {"Required":{"NodeSelectorTerms":[{"MatchExpressions":[{"Key":"topology.kubernetes.io/zone","Operator":"In","Values":["b"]}],"MatchFields":null}]}}: field is immutable"#
        ]
    );
    assert_eq!(told(zone(new, "a"), json!({})), ["nodeAffinity: Invalid value: null: field is immutable"]);
    assert_eq!(
        told(json!({"volumeAttributesClassName": "a"}), json!({})),
        ["spec.volumeAttributesClassName: Forbidden: update from non-nil value to nil is forbidden"]
    );
}

fn claim(requests: Value, more: Value, status: Value) -> Value {
    let mut body = json!({"metadata": {"name": "c", "namespace": "n"}, "status": status, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": requests}, "volumeName": "v",
    }});
    body["spec"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[test]
fn of_a_bound_claim_the_size_may_change_down_to_what_it_has() {
    let status = || json!({"phase": "Bound", "capacity": {"storage": "1Gi"}});
    let of = |requests: Value, more: Value| claim(requests, more, status());
    let told = |old: Value, new: Value| changed(("", "persistentvolumeclaims"), old, new);
    let sized = |size: &str| of(json!({"storage": size}), json!({}));
    let fixed = [
        "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
    ];
    assert_eq!(told(sized("2Gi"), sized("3Gi")), NONE);
    assert_eq!(told(sized("2Gi"), sized("1500Mi")), NONE);
    assert_eq!(
        told(sized("2Gi"), sized("1Gi")),
        ["spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"]
    );
    assert_eq!(told(sized("2Gi"), of(json!({"storage": "2Gi", "a.b/c": "1"}), json!({}))), fixed);
    let waiting = |size: &str| claim(json!({"storage": size}), json!({}), json!({"phase": "Pending"}));
    assert_eq!(told(waiting("2Gi"), waiting("3Gi")), fixed);
    let classed = |class: Value| of(json!({"storage": "1Gi"}), json!({"storageClassName": class}));
    assert_eq!(told(classed(Value::Null), classed(json!("a"))), NONE);
    assert_eq!(told(classed(json!("a")), classed(json!("b"))), fixed);
    let attributes = |class: Value| {
        let status = json!({"phase": "Bound", "currentVolumeAttributesClassName": "a"});
        claim(json!({"storage": "1Gi"}), json!({"volumeAttributesClassName": class}), status)
    };
    assert_eq!(told(attributes(json!("a")), attributes(json!("b"))), NONE);
    assert_eq!(told(attributes(json!("a")), attributes(Value::Null)).len(), 1);
}

#[test]
fn the_status_of_a_claim_speaks_of_storage() {
    let told = |status: Value| {
        let of = |status| claim(json!({"storage": "1Gi"}), json!({}), status);
        changed_part(("", "persistentvolumeclaims"), of(json!({})), of(status), Part::Status)
    };
    assert_eq!(
        told(json!({"capacity": {"storage": "1Gi"}, "allocatedResourceStatuses": {"storage": "NodeResizePending"}})),
        NONE
    );
    let why = "must be a valid resource quantity";
    assert_eq!(told(json!({"capacity": {"storage": "-1"}})), [format!("status.capacity[storage]: Invalid value: -1: {why}")]);
    assert_eq!(
        told(json!({"allocatedResources": {"cpu": "1", "storage": "-2"}})),
        [
            "status.allocatedResources: Unsupported value: \"cpu\": supported values: \"storage\"".to_owned(),
            format!("status.allocatedResources[storage]: Invalid value: -2: {why}"),
        ]
    );
    let told = told(json!({"allocatedResourceStatuses": {"storage": "x"}}));
    assert!(told[0].starts_with("status.allocatedResourceStatus: Unsupported value: \"storage\""), "{told:?}");
}

#[test]
fn a_claim_names_one_source_of_data() {
    let told = |more: Value| born(("", "persistentvolumeclaims"), claim(json!({"storage": "1Gi"}), more, json!({})));
    let one = |name: &str, group: &str| json!({"apiGroup": group, "kind": "Foo", "name": name});
    assert_eq!(
        told(json!({"dataSource": one("a", "a.b"), "dataSourceRef": one("b", "a.b")})),
        ["spec: Invalid value: {}: must match dataSourceRef"]
    );
    let told = told(json!({"dataSourceRef": one("a", "Bad Group")}));
    assert_eq!(told.len(), 2, "of both ways: {told:?}");
    assert!(told[1].starts_with("spec.dataSourceRef.apiGroup: Invalid value: \"Bad Group\": a lowercase RFC 1123"), "{told:?}");
}

#[test]
fn a_node_keeps_its_networks_and_its_machine() {
    let node = |spec: Value| json!({"metadata": {"name": "n"}, "spec": spec});
    let told = |old: Value, new: Value| changed(("", "nodes"), node(old), node(new));
    let networks = ["spec.podCIDRs: Forbidden: node updates may not change podCIDR except from \"\" to valid"];
    let of = |cidr: &str| json!({"podCIDR": cidr, "podCIDRs": [cidr]});
    assert_eq!(told(json!({}), of("10.1.0.0/24")), NONE);
    assert_eq!(told(of("10.1.0.0/24"), of("10.2.0.0/24")), networks);
    assert_eq!(told(of("10.1.0.0/24"), json!({})), networks);
    let machine = ["spec.providerID: Forbidden: node updates may not change providerID except from \"\" to valid"];
    assert_eq!(told(json!({"providerID": "a"}), json!({"providerID": "b"})), machine);
    assert_eq!(told(json!({}), json!({"externalID": "a"})), ["spec.externalID: Forbidden: may not be updated"]);
    let twice = json!({"podCIDR": "10.1.0.0/24", "podCIDRs": ["10.1.0.0/24", "10.2.0.0/24"]});
    assert_eq!(
        born(("", "nodes"), node(twice)),
        [r#"spec.podCIDRs: Invalid value: ["10.1.0.0/24","10.2.0.0/24"]: may specify no more than one CIDR for each IP family"#]
    );
}

#[test]
fn the_status_of_a_node_has_amounts_and_different_addresses() {
    let node = |status: Value| json!({"metadata": {"name": "n"}, "status": status});
    let told = |status: Value| changed_part(("", "nodes"), node(json!({})), node(status), Part::Status);
    let address = json!({"type": "InternalIP", "address": "1.1.1.1"});
    assert_eq!(
        told(json!({"addresses": [address, address]})),
        [r#"status.addresses[1]: Duplicate value: {"Type":"InternalIP","Address":"1.1.1.1"}"#]
    );
    assert_eq!(
        told(json!({"capacity": {"cpu": "-1", "memory": "1Gi"}, "allocatable": {"pods": "1500m"}})),
        [
            "status.capacity.cpu: Invalid value: \"-1\": must be greater than or equal to 0",
            "status.allocatable.pods: Invalid value: \"1500m\": must be an integer",
        ]
    );
}

#[test]
fn a_load_balancer_is_reached_at_addresses_and_names() {
    let told = |kind: &str, place: Value| {
        let with = |status: Value| {
            let mut body = service(json!({"type": kind}));
            body["status"] = status;
            body
        };
        let status = json!({"loadBalancer": {"ingress": [place]}});
        changed_part(("", "services"), with(json!({})), with(status), Part::Status)
    };
    let at = "status.loadBalancer.ingress[0]";
    assert_eq!(told("LoadBalancer", json!({"ip": "1.1.1.1", "hostname": "a.example"})), NONE);
    let bad_ip = told("LoadBalancer", json!({"ip": "abc"}));
    assert!(bad_ip[0].starts_with(&format!("{at}.ip: Invalid value: \"abc\": must be a valid IP address")), "{bad_ip:?}");
    assert_eq!(told("LoadBalancer", json!({"hostname": "Bad_Host"})).len(), 1);
    let no_name = format!("{at}.hostname: Invalid value: \"1.2.3.4\": must be a DNS name, not an IP address");
    assert_eq!(told("LoadBalancer", json!({"hostname": "1.2.3.4"})), [no_name]);
    let mode = format!("{at}.ipMode: Unsupported value: \"Bogus\": supported values: \"Proxy\", \"VIP\"");
    assert_eq!(told("LoadBalancer", json!({"ip": "1.1.1.1", "ipMode": "Bogus"})), [mode]);
    let alone = format!("{at}.ipMode: Forbidden: may not be specified when `ip` is not set");
    assert_eq!(told("LoadBalancer", json!({"hostname": "a", "ipMode": "VIP"})), [alone]);
    let only = "status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is \"LoadBalancer\"";
    assert_eq!(told("ClusterIP", json!({"ip": "1.1.1.1"})), [only]);
}

#[test]
fn a_quota_keeps_its_scopes_and_its_status_counts_like_it() {
    let quota = |spec: Value, status: Value| json!({"metadata": {"name": "q", "namespace": "n"}, "spec": spec, "status": status});
    let scoped = |scopes: Value| quota(json!({"hard": {"pods": "1"}, "scopes": scopes}), json!({}));
    let told = |old: Value, new: Value| changed(("", "resourcequotas"), old, new);
    assert_eq!(told(scoped(json!(["Terminating", "NotBestEffort"])), scoped(json!(["NotBestEffort", "Terminating"]))), NONE);
    assert_eq!(
        told(scoped(json!(["Terminating"])), scoped(Value::Null)),
        ["spec.scopes: Invalid value: null: field is immutable"]
    );
    let status = json!({"hard": {"foo": "1"}, "used": {"pods": "1500m"}});
    assert_eq!(
        changed_part(("", "resourcequotas"), quota(json!({}), json!({})), quota(json!({}), status), Part::Status),
        [
            "status.hard[foo]: Invalid value: \"foo\": must be a standard resource for quota",
            "status.used[pods]: Invalid value: \"1500m\": must be an integer",
        ]
    );
    let exists = |scope: &str| json!({"scopeName": scope, "operator": "Exists"});
    let selector = json!({"matchExpressions": [exists("BestEffort"), exists("NotBestEffort")]});
    let both = quota(json!({"hard": {"pods": "1"}, "scopeSelector": selector}), json!({}));
    assert_eq!(
        born(("", "resourcequotas"), both),
        ["spec.scopeSelector.matchExpressions: Invalid value: null: conflicting scopes"]
    );
}

#[test]
fn a_namespace_has_finalizers_with_a_domain_and_ends_by_deletion() {
    let namespace = |finalizers: Value, phase: &str| json!({"metadata": {"name": "n"}, "spec": {"finalizers": finalizers}, "status": {"phase": phase}});
    let why = "name is neither a standard finalizer name nor is it fully qualified";
    let fresh = born(("", "namespaces"), namespace(json!(["foo", "a.b/c"]), "Active"));
    assert_eq!(fresh, [format!("spec.finalizers: Invalid value: \"foo\": {why}")]);
    let old = || namespace(json!(["kubernetes"]), "Active");
    let told = |new: Value, part: Part<'_>| changed_part(("", "namespaces"), old(), new, part);
    let finalize = |finalizers: Value| -> Vec<String> {
        crate::validate_finalize(&namespace(finalizers, "Active")).iter().map(ToString::to_string).collect()
    };
    assert_eq!(finalize(json!([])), NONE);
    assert_eq!(finalize(json!(["bad"])), [format!("spec.finalizers[0]: Invalid value: \"bad\": {why}")]);
    assert_eq!(
        told(namespace(json!(["kubernetes"]), "Terminating"), Part::Status),
        ["status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"]
    );
    let mut ending = namespace(json!(["kubernetes"]), "Terminating");
    ending["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let told = changed_part(("", "namespaces"), ending.clone(), ending, Part::Status);
    assert_eq!(told, NONE);
}

#[test]
fn a_series_that_an_event_becomes_is_one() {
    let event = |series: Value| {
        json!({
            "metadata": {"name": "e", "namespace": "n"}, "eventTime": "2026-01-01T00:00:00.000000Z", "action": "A", "reason": "R",
            "reportingController": "c.example/x", "reportingInstance": "i", "type": "Normal", "series": series,
        })
    };
    let series = |count: i64| json!({"count": count, "lastObservedTime": "2026-01-01T00:00:00.000000Z"});
    let told = |old: Value, new: Value| {
        changed(("events.k8s.io", "events"), event(old), event(new))
            .into_iter()
            .filter(|e| e.starts_with("series"))
            .collect::<Vec<_>>()
    };
    assert_eq!(told(Value::Null, series(1)), ["series.count: Invalid value: \"\": should be at least 2"]);
    assert_eq!(told(series(1), series(1)), NONE);
}

#[test]
fn a_config_map_that_is_too_large_names_no_field() {
    let body = json!({"metadata": {"name": "c"}, "data": {"a": "x".repeat(1024 * 1024 + 1)}});
    assert_eq!(born(("", "configmaps"), body), ["[]: Too long: may not be more than 1048576 bytes"]);
}

#[test]
fn owners_have_a_version_and_one_controls() {
    let body = |metadata: Value| {
        let mut body = json!({"metadata": {"name": "c"}});
        body["metadata"].as_object_mut().unwrap().extend(metadata.as_object().unwrap().clone());
        body
    };
    let owner =
        |version: &str, name: &str| json!({"apiVersion": version, "kind": "K", "name": name, "uid": name, "controller": true});
    let version = born(("", "configmaps"), body(json!({"ownerReferences": [owner("a/b/c", "a")]})));
    let why = "version must not be empty";
    assert_eq!(version, [format!("metadata.ownerReferences[0].apiVersion: Invalid value: \"a/b/c\": {why}")]);
    let two = born(("", "configmaps"), body(json!({"ownerReferences": [owner("v1", "a"), owner("v1", "b")]})));
    let shown = |name: &str| format!(r#"{{"apiVersion":"v1","kind":"K","name":"{name}","uid":"{name}","controller":true}}"#);
    let start = format!("metadata.ownerReferences: Invalid value: [{},{}]: Only one reference can have", shown("a"), shown("b"));
    assert!(two[0].starts_with(&start), "{two:?}");
    let both = born(("", "configmaps"), body(json!({"finalizers": ["orphan", "foregroundDeletion"]})));
    let why = "finalizer orphan and foregroundDeletion cannot be both set";
    assert_eq!(both, [format!("metadata.finalizers: Invalid value: [\"orphan\",\"foregroundDeletion\"]: {why}")]);
}

#[test]
fn a_volume_that_is_a_disk_or_share_says_which() {
    let told = |source: &str, fields: Value| {
        let mut body = volume(json!({ source: fields }));
        body["spec"].as_object_mut().unwrap().remove("csi");
        born(("", "persistentvolumes"), body)
    };
    for (source, fields) in [
        ("awsElasticBlockStore", &["volumeID"][..]),
        ("cinder", &["volumeID"]),
        ("portworxVolume", &["volumeID"]),
        ("glusterfs", &["endpoints", "path"]),
        ("rbd", &["monitors", "image"]),
        ("cephfs", &["monitors"]),
        ("azureFile", &["secretName", "shareName"]),
        ("scaleIO", &["gateway", "system", "volumeName"]),
        ("storageos", &["volumeName"]),
        ("vsphereVolume", &["volumePath"]),
        ("photonPersistentDisk", &["pdID"]),
    ] {
        let want: Vec<String> = fields.iter().map(|field| format!("spec.{source}.{field}: Required value")).collect();
        assert_eq!(told(source, json!({})), want);
    }
    let azure = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
    assert_eq!(
        told("azureDisk", json!({})),
        [
            "spec.azureDisk.diskName: Required value".to_owned(),
            "spec.azureDisk.diskURI: Required value".to_owned(),
            format!("spec.azureDisk.diskURI: Unsupported value: \"\": supported values: {azure:?}"),
        ]
    );
    assert_eq!(
        told("fc", json!({})),
        ["spec.fc.targetWWNs: Required value: must specify either targetWWNs or wwids, but not both"]
    );
    assert_eq!(told("flocker", json!({})), ["spec.flocker: Required value: one of datasetName and datasetUUID is required"]);
    assert_eq!(
        told("quobyte", json!({})),
        [
            "spec.quobyte.registry: Required value: must be a host:port pair or multiple pairs separated by commas",
            "spec.quobyte.volume: Required value",
        ]
    );
    assert_eq!(told("gcePersistentDisk", json!({})), ["spec.persistentDisk.pdName: Required value"]);
    assert_eq!(
        told("cinder", json!({"volumeID": "v", "secretRef": {"name": "s"}})),
        ["spec.cinder.secretRef.namespace: Required value"]
    );
    let beside = born(("", "persistentvolumes"), volume(json!({"cephfs": {}})));
    assert_eq!(beside, ["spec.cephfs.monitors: Required value", "spec.csi: Forbidden: may not specify more than 1 volume type"]);
}

#[test]
fn the_root_of_a_machine_is_not_recycled() {
    let told = |path: &str| {
        let mut body = volume(json!({"hostPath": {"path": path}, "persistentVolumeReclaimPolicy": "Recycle"}));
        body["spec"].as_object_mut().unwrap().remove("csi");
        born(("", "persistentvolumes"), body)
    };
    assert_eq!(told("/a"), NONE);
    let why = "may not be 'recycle' for a hostPath mount of '/'";
    assert_eq!(told("/"), [format!("spec.persistentVolumeReclaimPolicy: Forbidden: {why}")]);
}
