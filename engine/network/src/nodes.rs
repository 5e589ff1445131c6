//! Routes to the pods of other nodes.
//!
//! Flow: Nodes (informer), the kernel's changes -> `plan` (pure) -> the kernel's routes -> condition `PodRoutesIncomplete` on this Node.
//! A node is reached if one of its InternalIPs is on a network that this machine is on. What needs a tunnel is not reached yet:
//! that is said by the condition and never hidden.
use std::{net::IpAddr, sync::Mutex, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use irori_client::{Backoff, Informer, Informers, Key, Loop, Outcome, ReconcileError, Reconciler};
use irori_runtime::{Clock, Tasks};
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::{
    Cidr, Settings,
    netlink::{
        NetlinkError, events,
        route::{LinkAddress, Route, RouteSocket},
    },
};

/// The condition on this Node: `True` as long as pods of some node cannot be reached.
pub const CONDITION: &str = "PodRoutesIncomplete";
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(500), max: Duration::from_secs(60) };

/// What to do about other nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodesPlan {
    pub routes: Vec<Route>,
    /// Why pods of some nodes are not reached, in the words of the condition.
    pub unreached: Vec<String>,
}

/// The pod ranges that a Node was given. What cannot be read is left out.
pub fn pod_cidrs(node: &Node) -> Vec<Cidr> {
    let spec = node.spec.as_ref();
    let several = spec.and_then(|spec| spec.pod_cidrs.as_deref()).unwrap_or_default();
    let one = spec.and_then(|spec| spec.pod_cidr.as_ref()).filter(|_| several.is_empty());
    several.iter().chain(one).filter_map(|text| text.parse().ok()).collect()
}

/// Routes from this node to the pods of all others. Pure.
pub fn plan<'a>(nodes: impl IntoIterator<Item = &'a Node>, addresses: &[LinkAddress], settings: &Settings) -> NodesPlan {
    let mut plan = NodesPlan::default();
    for node in nodes {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        if name == settings.node_name {
            continue;
        }
        let internal = internal_ips(node);
        for range in pod_cidrs(node) {
            let Some(own) = settings.pod_cidrs.iter().find(|own| own.is_v6() == range.is_v6()) else { continue };
            if own.overlaps(&range) {
                plan.unreached.push(format!("node {name}: its pod range {range} overlaps this node's {own}"));
                continue;
            }
            let on_link = |ip: &IpAddr| {
                let shared = addresses.iter().find(|a| Cidr::new(a.address, a.length).is_some_and(|net| net.contains(*ip)));
                shared.filter(|a| a.address != *ip && a.length < Cidr::host(*ip).length()).map(|a| (a.link, *ip))
            };
            match internal.iter().filter(|ip| ip.is_ipv6() == range.is_v6()).find_map(on_link) {
                Some((link, via)) => {
                    let source = Some(own.gateway());
                    plan.routes.push(Route { to: range, via: Some(via), link, source, onlink: false, ours: true });
                }
                None => plan.unreached.push(format!(
                    "node {name}: none of its addresses ({}) is on a network of this node, and tunnels are not implemented",
                    internal.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
                )),
            }
        }
    }
    plan
}

fn internal_ips(node: &Node) -> Vec<IpAddr> {
    let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    addresses.filter(|address| address.type_ == "InternalIP").filter_map(|address| address.address.parse().ok()).collect()
}

/// The addresses that this machine has now.
pub fn addresses() -> Result<Vec<LinkAddress>, NetlinkError> {
    RouteSocket::open()?.addresses()
}

/// Makes the kernel's routes to other nodes' pods these; routes of others are left alone.
pub fn apply(plan: &NodesPlan, settings: &Settings) -> Result<(), NetlinkError> {
    let mut socket = RouteSocket::open()?;
    let gateways = settings.gateways();
    for v6 in [false, true] {
        let ours = |route: &Route| route.ours && route.via.is_some() && route.source.is_some_and(|s| gateways.contains(&s));
        let there: Vec<Route> = socket.routes(v6)?.into_iter().filter(ours).collect();
        for gone in there.iter().filter(|there| !plan.routes.iter().any(|route| route.to == there.to)) {
            socket.delete_route(gone)?;
        }
        let wanted = plan.routes.iter().filter(|route| route.to.is_v6() == v6);
        for route in wanted.filter(|route| !there.iter().any(|t| (t.to, t.via, t.link) == (route.to, route.via, route.link))) {
            socket.set_route(route)?;
        }
    }
    Ok(())
}

/// Keeps routes and the condition in step with the Nodes until shutdown. `client` may patch this Node's status.
pub fn run(
    settings: Settings,
    client: kube::Client,
    informers: &Informers,
    clock: Clock,
    tasks: &Tasks,
) -> Result<(), NetlinkError> {
    let nodes = informers.of::<Node>();
    let all = || Key::cluster("nodes");
    // The machine's own networks change, too, and network managers remove routes that they do not know.
    let events = events::links_and_routes()?.map(move |_| all());
    let triggers = stream::select(nodes.changes().map(move |_| all()), events);
    let routes = Routes { settings, client, nodes, clock, told: Mutex::default() };
    Loop { workers: 1, backoff: BACKOFF }.run(routes, triggers, tasks);
    Ok(())
}

struct Routes {
    settings: Settings,
    client: kube::Client,
    nodes: Informer<Node>,
    clock: Clock,
    /// What the condition says.
    told: Mutex<Option<Vec<String>>>,
}

impl Reconciler for Routes {
    fn name(&self) -> &'static str {
        "pod-routes"
    }

    fn reconcile(&self, _all: Key) -> BoxFuture<'_, Result<Outcome, ReconcileError>> {
        async {
            self.nodes.synced().await;
            let failed = |e: NetlinkError| ReconcileError::other("set routes to other nodes' pods", e);
            let nodes = self.nodes.list();
            let plan = plan(nodes.iter().map(|node| &**node), &addresses().map_err(failed)?, &self.settings);
            apply(&plan, &self.settings).map_err(failed)?;
            self.tell(plan.unreached).await?;
            Ok(Outcome::Done)
        }
        .boxed()
    }
}

impl Routes {
    /// Writes the condition if it says something else than before.
    async fn tell(&self, unreached: Vec<String>) -> Result<(), ReconcileError> {
        let registered = self.nodes.get(&Key::cluster(self.settings.node_name.as_str())).is_some();
        let known = self.told.lock().expect("no holder of this lock panics").as_ref() == Some(&unreached);
        if known || !registered {
            return Ok(());
        }
        let now = self.clock.now().to_string();
        let (status, reason) = if unreached.is_empty() { ("False", "AllNodesRouted") } else { ("True", "NoDirectNetwork") };
        let message =
            if unreached.is_empty() { "pods of all nodes are reached directly".to_owned() } else { unreached.join("; ") };
        let condition = json!({
            "type": CONDITION, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        });
        let nodes: Api<Node> = Api::all(self.client.clone());
        let patch = Patch::Strategic(json!({ "status": { "conditions": [condition] } }));
        nodes.patch_status(&self.settings.node_name, &PatchParams::default(), &patch).await?;
        *self.told.lock().expect("no holder of this lock panics") = Some(unreached);
        Ok(())
    }
}
