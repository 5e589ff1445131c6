use super::*;
use crate::builders::{PodBuilder, pod};
use serde_json::{Value, json};

fn service(spec: Value) -> Service {
    let mut service = json!({
        "metadata": {"name": "web", "namespace": "ns", "uid": "uid-service", "labels": {"team": "a"}},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}],
            "clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"]},
    });
    for (name, value) in spec.as_object().unwrap() {
        service["spec"][name] = value.clone();
    }
    serde_json::from_value(service).unwrap()
}

fn serving(name: &str, ip: &str) -> PodBuilder {
    pod(name).on("n1").ready_since(0).with_ips(&[ip])
}

fn plan_for(service: &Service, pods: &[Arc<Pod>], slices: &[EndpointSlice]) -> Plan {
    let slices: Vec<_> = slices.iter().cloned().map(Arc::new).collect();
    plan(service, pods, &slices, |_| None)
}

fn many(range: std::ops::Range<usize>) -> Vec<Arc<Pod>> {
    range.map(|n| serving(&format!("p{n:04}"), &format!("10.42.{}.{}", n / 250, n % 250)).done()).collect()
}

/// What the API makes of a plan.
fn applied(mut slices: Vec<EndpointSlice>, plan: Plan) -> Vec<EndpointSlice> {
    let gone: Vec<_> = plan.delete.iter().map(|slice| slice.name_any()).collect();
    slices.retain(|slice| !gone.contains(&slice.name_any()));
    for changed in plan.update {
        let at = slices.iter().position(|slice| slice.name_any() == changed.name_any()).unwrap();
        slices[at] = changed;
    }
    for (n, mut made) in plan.create.into_iter().enumerate() {
        made.metadata.name = Some(format!("web-{}-{n}", slices.len()));
        slices.push(made);
    }
    slices
}

fn is_rest(plan: &Plan) -> bool {
    plan.create.is_empty() && plan.update.is_empty() && plan.delete.is_empty()
}

fn addresses(slices: &[EndpointSlice]) -> Vec<String> {
    let mut all: Vec<_> = slices.iter().flat_map(|s| s.endpoints.iter().flatten()).map(|e| e.addresses[0].clone()).collect();
    all.sort();
    all
}

#[test]
fn a_ready_pod_is_an_endpoint_with_all_that_proxies_need() {
    let plan = plan_for(&service(json!({})), &[serving("a", "10.42.0.5").done()], &[]);
    let slice = &plan.create[0];
    assert_eq!((slice.address_type.as_str(), slice.metadata.generate_name.as_deref()), ("IPv4", Some("web-")));
    assert_eq!(slice.labels()[SERVICE_NAME], "web");
    assert_eq!(slice.labels()["team"], "a");
    assert_eq!(slice.owner_references()[0].uid, "uid-service");
    let port = &slice.ports.as_ref().unwrap()[0];
    assert_eq!((port.name.as_deref(), port.port, port.protocol.as_deref()), (Some("http"), Some(8080), Some("TCP")));
    let endpoint = &slice.endpoints.as_ref().unwrap()[0];
    assert_eq!(endpoint.addresses, ["10.42.0.5"]);
    assert_eq!(endpoint.node_name.as_deref(), Some("n1"));
    assert_eq!(endpoint.target_ref.as_ref().unwrap().uid.as_deref(), Some("uid-a"));
    let expected = EndpointConditions { ready: Some(true), serving: Some(true), terminating: Some(false) };
    assert_eq!(endpoint.conditions.as_ref(), Some(&expected));
}

#[test]
fn terminating_pods_still_serve_but_are_not_ready_and_finished_ones_are_gone() {
    let pods = [
        serving("going", "10.42.0.5").terminating().done(),
        serving("done", "10.42.0.6").phase("Succeeded").done(),
        pod("starting").on("n1").with_ips(&["10.42.0.7"]).done(),
        pod("nowhere").done(),
    ];
    let conditions = |service: &Service| -> Vec<_> {
        let plan = plan_for(service, &pods, &[]);
        let endpoints = plan.create[0].endpoints.clone().unwrap();
        endpoints
            .into_iter()
            .map(|e| (e.addresses[0].clone(), e.conditions.unwrap()))
            .map(|(a, c)| (a, c.ready, c.serving, c.terminating))
            .collect()
    };
    let (yes, no) = (Some(true), Some(false));
    assert_eq!(conditions(&service(json!({}))), [("10.42.0.5".to_owned(), no, yes, yes), ("10.42.0.7".to_owned(), no, no, no)]);
    let early = service(json!({"publishNotReadyAddresses": true}));
    assert_eq!(conditions(&early), [("10.42.0.5".to_owned(), yes, yes, yes), ("10.42.0.7".to_owned(), yes, no, no)]);
}

#[test]
fn a_slice_holds_100_endpoints_and_nothing_is_written_at_rest() {
    let pods = many(0..250);
    let service = service(json!({}));
    let slices = applied(Vec::new(), plan_for(&service, &pods, &[]));
    let sizes: Vec<_> = slices.iter().map(|slice| slice.endpoints.as_ref().unwrap().len()).collect();
    assert_eq!(sizes, [100, 100, 50]);
    assert!(is_rest(&plan_for(&service, &pods, &slices)));
}

#[test]
fn one_pod_more_or_less_touches_one_slice() {
    let service = service(json!({}));
    let slices = applied(Vec::new(), plan_for(&service, &many(0..250), &[]));
    let more = plan_for(&service, &many(0..251), &slices);
    assert_eq!((more.create.len(), more.update.len(), more.delete.len()), (0, 1, 0));
    let less = plan_for(&service, &many(1..250), &slices);
    assert_eq!((less.create.len(), less.update.len(), less.delete.len()), (0, 1, 0));
    let few = applied(slices.clone(), plan_for(&service, &many(0..3), &slices));
    assert_eq!(addresses(&few), addresses(&applied(Vec::new(), plan_for(&service, &many(0..3), &[]))));
    assert_eq!(few.len(), 1, "empty slices go");
    let none = applied(slices.clone(), plan_for(&service, &[], &slices));
    assert_eq!((none.len(), addresses(&none).len()), (1, 0), "one empty slice stays");
    assert!(is_rest(&plan_for(&service, &[], &none)));
}

#[test]
fn both_families_have_their_own_slices() {
    let dual = service(json!({"ipFamilies": ["IPv4", "IPv6"]}));
    let pods = [pod("a").on("n1").ready_since(0).with_ips(&["10.42.0.5", "fd00::5"]).done(), serving("b", "10.42.0.6").done()];
    let plan = plan_for(&dual, &pods, &[]);
    let by_family: BTreeMap<_, _> =
        plan.create.iter().map(|s| (s.address_type.as_str(), addresses(std::slice::from_ref(s)))).collect();
    assert_eq!(by_family["IPv4"], ["10.42.0.5", "10.42.0.6"]);
    assert_eq!(by_family["IPv6"], ["fd00::5"]);
}

#[test]
fn a_named_port_is_what_each_pod_says() {
    let named = service(json!({"ports": [{"name": "http", "port": 80, "targetPort": "web"}]}));
    let with = |name: &str, ip: &str, port: Option<i32>| {
        let ports: Vec<_> = port.iter().map(|port| json!({"name": "web", "containerPort": port})).collect();
        serving(name, ip).spec("containers", json!([{"name": "c", "ports": ports}])).done()
    };
    let pods = [with("a", "10.42.0.5", Some(8080)), with("b", "10.42.0.6", Some(9090)), with("c", "10.42.0.7", None)];
    let plan = plan_for(&named, &pods, &[]);
    let mut seen: Vec<_> = plan
        .create
        .iter()
        .map(|s| (s.ports.as_ref().unwrap().first().and_then(|port| port.port), addresses(std::slice::from_ref(s))))
        .collect();
    seen.sort();
    assert_eq!(
        seen,
        [
            (None, vec!["10.42.0.7".to_owned()]),
            (Some(8080), vec!["10.42.0.5".to_owned()]),
            (Some(9090), vec!["10.42.0.6".to_owned()])
        ]
    );
}

#[test]
fn a_headless_service_is_labelled_and_gives_host_names() {
    let headless = service(json!({"clusterIP": "None"}));
    let named = serving("a", "10.42.0.5").spec("hostname", json!("a-0")).spec("subdomain", json!("web")).done();
    let elsewhere = serving("b", "10.42.0.6").spec("hostname", json!("b-0")).spec("subdomain", json!("db")).done();
    let plan = plan_for(&headless, &[named, elsewhere], &[]);
    assert_eq!(plan.create[0].labels()[HEADLESS], "");
    let names: Vec<_> = plan.create[0].endpoints.iter().flatten().map(|endpoint| endpoint.hostname.as_deref()).collect();
    assert_eq!(names, [Some("a-0"), None]);
}

#[test]
fn the_zone_is_the_nodes() {
    let node: Node = serde_json::from_value(json!({"metadata": {"name": "n1", "labels": {ZONE: "cellar"}}})).unwrap();
    let node = Arc::new(node);
    let plan = plan(&service(json!({})), &[serving("a", "10.42.0.5").done()], &[], |name| (name == "n1").then(|| node.clone()));
    assert_eq!(plan.create[0].endpoints.as_ref().unwrap()[0].zone.as_deref(), Some("cellar"));
}

#[test]
fn services_without_selector_are_left_alone_and_aliases_lose_their_slices() {
    let service_before = service(json!({}));
    let slices = applied(Vec::new(), plan_for(&service_before, &many(0..1), &[]));
    let alias = service(json!({"type": "ExternalName", "externalName": "example.org"}));
    assert_eq!(plan_for(&alias, &many(0..1), &slices).delete.len(), 1);
    let by_hand = service(json!({"selector": null}));
    assert!(is_rest(&plan_for(&by_hand, &many(0..1), &[])));
}

#[test]
fn slices_of_a_former_service_of_that_name_are_replaced() {
    let mut former = service(json!({}));
    former.metadata.uid = Some("uid-former".to_owned());
    let slices = applied(Vec::new(), plan_for(&former, &many(0..1), &[]));
    let plan = plan_for(&service(json!({})), &many(0..1), &slices);
    assert_eq!((plan.create.len(), plan.delete.len()), (1, 1));
}
