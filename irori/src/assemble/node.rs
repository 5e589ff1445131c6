//! This machine as a node: containers, pod network, Services, cluster DNS.
use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result};
use futures::StreamExt;
use irori_client::{Identity as ClientIdentity, Informers, Key, Recorder, Remote, connect};
use irori_home::{BUILTIN_PROGRAM, Builtin, Home, builtin_image_name};
use irori_network::{Cidr, Links, Network, dns};
use irori_node::{
    Caller, LeaseTerms,
    containerd::{Machine, MachineSettings},
    images::Layout,
    parse_resolv_conf,
    runtime::{ImageConfig, Runtime},
};
use irori_runtime::OnEnd;
use irori_trust::{CaTree, Identity, Lifetime, Rotating, SubjectName, tls};
use k8s_openapi::api::core::v1::Node as NodeObject;
use tokio::net::TcpListener;

use super::{
    Context,
    ranges::{Ranges, sockets},
    server::{CLUSTER_DOMAIN, Server},
};

/// What a node shows to the API, and what it checks the API with. In one process it comes from the CA tree, apart from a folder.
pub struct Credentials {
    pub api: String,
    pub root_pem: String,
    pub clients_pem: String,
    /// `system:node:NAME`.
    pub node: Identity,
    /// `system:kube-proxy`.
    pub proxy: Identity,
    /// Of the node's own HTTPS port.
    pub serving: Identity,
}

/// Files of a credentials folder.
const NODE: &str = "node";
const PROXY: &str = "proxy";
const SERVING: &str = "serving";
const FILES: [&str; 3] = ["api", "root.crt", "clients.crt"];
/// A node has to come back with its certificate after a holiday; in one process it is new at each start anyway.
const NODE_LIFE: Lifetime = Lifetime(irori_runtime::SignedDuration::from_hours(24 * 365));

impl Credentials {
    pub fn issue(trust: &CaTree, api: &str, name: &str, addresses: &[IpAddr]) -> Result<Self> {
        let mut names =
            vec![SubjectName::from(format!("{name}.nodes.{CLUSTER_DOMAIN}").as_str()), SubjectName::from("127.0.0.1")];
        names.extend(addresses.iter().map(|ip| SubjectName::Ip(*ip)).filter(|name| trust.scope().permits(name)));
        Ok(Self {
            api: api.to_owned(),
            root_pem: trust.root_pem().to_owned(),
            clients_pem: trust.clients_pem().to_owned(),
            node: trust.issue_client(&format!("system:node:{name}"), Some("system:nodes"), NODE_LIFE)?,
            proxy: trust.issue_client("system:kube-proxy", None, NODE_LIFE)?,
            serving: trust.issue_server(&names, NODE_LIFE)?,
        })
    }

    /// Writes them for a node that runs apart.
    pub fn save(&self, folder: &Path) -> Result<()> {
        for (name, text) in FILES.iter().zip([&self.api, &self.root_pem, &self.clients_pem]) {
            crate::data::write_whole(&folder.join(name), text.as_bytes())?;
        }
        for (stem, identity) in [(NODE, &self.node), (PROXY, &self.proxy), (SERVING, &self.serving)] {
            identity.save(folder, stem)?;
        }
        Ok(())
    }

    /// Reads what `save` wrote.
    pub fn load(folder: &Path) -> Result<Self> {
        let text = |name: &str| {
            std::fs::read_to_string(folder.join(name)).with_context(|| format!("read `{}`", folder.join(name).display()))
        };
        let identity =
            |stem: &str| Identity::load(folder, stem)?.with_context(|| format!("`{}` has no {stem}.crt", folder.display()));
        let [api, root_pem, clients_pem] = FILES.map(text);
        let (node, proxy, serving) = (identity(NODE)?, identity(PROXY)?, identity(SERVING)?);
        Ok(Self { api: api?, root_pem: root_pem?, clients_pem: clients_pem?, node, proxy, serving })
    }

    fn client(&self, identity: &Identity, context: &Context) -> Result<kube::Client> {
        let identity =
            ClientIdentity::Certificate { cert_pem: identity.certificate_pem.clone(), key_pem: identity.key_pem.clone() };
        Ok(connect(&Remote {
            url: self.api.clone(),
            ca_pem: self.root_pem.clone(),
            identity,
            agent: "kubelet",
            clock: context.clock.clone(),
        })?)
    }
}

/// The running node.
pub struct Node {
    pub name: String,
    /// `containerd 1.6.20`.
    pub runtime: String,
    machine: Arc<Machine>,
    _node: irori_node::Node,
    addresses: Vec<IpAddr>,
    ranges: Ranges,
    client: kube::Client,
    proxy: kube::Client,
    informers: Informers,
    proxy_informers: Informers,
}

/// The machine's name as a Kubernetes name.
pub fn name() -> Result<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").context("ask for the machine's name")?.trim().to_lowercase();
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let name = name.trim_matches(['-', '.']).to_owned();
    anyhow::ensure!(!name.is_empty(), "this machine has no name; give it one (`hostnamectl set-hostname NAME`)");
    Ok(name)
}

/// The addresses that this machine would use to speak to the outside, IPv4 first. Nothing is sent.
pub fn addresses() -> Vec<IpAddr> {
    let towards = |from: &str, to: &str| -> Option<IpAddr> {
        let socket = UdpSocket::bind((from, 0)).ok()?;
        socket.connect((to, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    let mut found: Vec<IpAddr> =
        [towards("0.0.0.0", "198.51.100.1"), towards("::", "2001:db8:ffff::1")].into_iter().flatten().collect();
    found.retain(|ip| !ip.is_loopback() && !ip.is_unspecified());
    if found.is_empty() {
        found.push(IpAddr::from([127, 0, 0, 1]));
    }
    found
}

fn machine_settings(context: &Context) -> MachineSettings {
    let root = context.data.root();
    MachineSettings {
        instance: context.instance.clone(),
        dir: root.join("containerd"),
        log_dir: root.join("logs/pods"),
        cni_bin_dir: root.join("cni/bin"),
        cni_conf_dir: root.join("cni/conf"),
        log_limits: Default::default(),
        containerd: None,
        runc: None,
    }
}

impl Node {
    /// Starts containerd, and the node on top of it.
    pub async fn start(
        context: &Context,
        home: &Home,
        credentials: &Credentials,
        name: &str,
        addresses: Vec<IpAddr>,
        lease: LeaseTerms,
    ) -> Result<Self> {
        let Context { clock, tasks, data, .. } = context;
        let ranges = Ranges::of_home(&credentials.root_pem)?;
        // For whoever removes this node without its credentials.
        crate::data::write_whole(&data.root().join("root.crt"), credentials.root_pem.as_bytes())?;
        let machine = Machine::start(machine_settings(context), clock.clone(), tasks).await?;
        let version = machine.version().await?;
        let (client, proxy) = (credentials.client(&credentials.node, context)?, credentials.client(&credentials.proxy, context)?);
        let informers = Informers::new(client.clone(), tasks.clone());
        let proxy_informers = Informers::new(proxy.clone(), tasks.clone());
        let (listener, port) = listen(&addresses, home.network.node_port).await?;
        let certificate = Rotating::new(&credentials.serving)?;
        let check = CaTree::client_checker(&credentials.clients_pem, clock)?;
        let settings = irori_node::Settings {
            name: name.to_owned(),
            folder: data.root().join("node").join(name),
            hostname: name.to_owned(),
            addresses: addresses.clone(),
            labels: Vec::new(),
            taints: Vec::new(),
            pods_max: 110,
            reserved_cpu_millis: 0,
            reserved_memory_bytes: 0,
            pids_per_pod_max: Some(4096),
            cluster_dns: ranges.cluster_dns(),
            cluster_domain: CLUSTER_DOMAIN.to_owned(),
            host_dns: parse_resolv_conf(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default()),
            port,
            tls: tls::server(certificate, tls::ClientCertificates::Ask, &["h2", "http/1.1"], clock)?,
            clients: Arc::new(move |peer| {
                let verified = check(&peer.certificates).ok()?;
                Some(Caller { name: verified.common_name, groups: verified.organizations })
            }),
            version: format!("v1.36.2-irori.{}", env!("CARGO_PKG_VERSION")),
            lease,
        };
        let node = irori_node::Node::start(irori_node::Parts {
            settings,
            client: client.clone(),
            informers: informers.clone(),
            runtime: machine.clone(),
            listener,
            clock: clock.clone(),
            tasks: tasks.clone(),
        })?;
        let runtime = format!("{} {}", version.name, version.version);
        Ok(Self {
            name: name.to_owned(),
            runtime,
            machine,
            _node: node,
            addresses,
            ranges,
            client,
            proxy,
            informers,
            proxy_informers,
        })
    }

    /// Sets the pod network up as soon as the node has its ranges; returns the pod-side addresses and what a person should know.
    pub async fn network(&self, context: &Context, home: &Home) -> Result<(Vec<IpAddr>, Vec<String>)> {
        let pod_cidrs = self.pod_cidrs().await?;
        let settings = network_settings(context, &self.ranges, &self.name, pod_cidrs, self.addresses.clone())?;
        let network = Network::new(settings.clone());
        let prepared = network.prepare().await?;
        let program = std::env::current_exe().context("find irori's own program")?;
        network.install(&prepared, &program)?;
        let recorder = Recorder::new(self.proxy.clone(), "kube-proxy", Some(&self.name), context.clock.clone(), &context.tasks);
        let links =
            Links { client: self.client.clone(), informers: &self.proxy_informers, recorder, clock: context.clock.clone() };
        network.serve(links, &context.tasks)?;
        self.cluster_dns(context, home, &settings).await?;
        Ok((settings.gateways(), prepared.findings.iter().map(ToString::to_string).collect()))
    }

    async fn pod_cidrs(&self) -> Result<Vec<Cidr>> {
        let nodes = self.informers.of_selected::<NodeObject>(&format!("metadata.name={}", self.name), "");
        let mut changes = nodes.changes();
        let given = async {
            loop {
                let node = nodes.get(&Key::cluster(&self.name));
                let ranges = node.and_then(|node| node.spec.as_ref()?.pod_cidrs.clone()).unwrap_or_default();
                if !ranges.is_empty() {
                    return Some(ranges);
                }
                changes.next().await?;
            }
        };
        let ranges = tokio::time::timeout(Duration::from_secs(60), given).await;
        let ranges = ranges.ok().flatten().context("the node was given no pod range in 60 s")?;
        let ranges: Vec<Cidr> = ranges
            .iter()
            .map(|range| range.parse().with_context(|| format!("read pod range `{range}`")))
            .collect::<Result<_>>()?;
        // The cluster may have a family that this machine has not.
        Ok(ranges.into_iter().filter(|range| !range.is_v6() || self.ranges.pods().len() > 1).collect())
    }

    async fn cluster_dns(&self, context: &Context, home: &Home, settings: &irori_network::Settings) -> Result<()> {
        let upstreams = match home.network.dns_upstream.as_slice() {
            [] => dns::Upstreams::ResolvConf("/etc/resolv.conf".into()),
            given => dns::Upstreams::Fixed(given.iter().map(|ip| SocketAddr::new(*ip, 53)).collect()),
        };
        let settings = dns::DnsSettings {
            listen: sockets(settings.gateways(), 53),
            domain: CLUSTER_DOMAIN.to_owned(),
            service_addresses: self.ranges.cluster_dns(),
            reverse: settings.cluster_cidrs.iter().chain(&settings.service_cidrs).copied().collect(),
            upstreams,
        };
        dns::run(settings, dns::Informed::new(&self.proxy_informers), &context.tasks).await?;
        Ok(())
    }

    /// Takes in the images of the builtin programs.
    pub async fn import_builtins(&self) -> Result<()> {
        for name in Builtin::NAMES {
            let builtin = Builtin::from_name(name).context("a name of the list is a builtin")?;
            let config =
                ImageConfig { entrypoint: vec!["/builtin".to_owned()], user: "65532:65532".to_owned(), ..ImageConfig::default() };
            let layout =
                Layout::new(&builtin_image_name(builtin)).pinned().config(config).file("/builtin", 0o755, BUILTIN_PROGRAM);
            self.machine.import_image(&layout).await.with_context(|| format!("import image of {name}"))?;
        }
        Ok(())
    }
}

async fn listen(addresses: &[IpAddr], port: u16) -> Result<(TcpListener, u16)> {
    let address = SocketAddr::new(addresses.first().copied().unwrap_or(IpAddr::from([127, 0, 0, 1])), port);
    let listener = TcpListener::bind(address).await.with_context(|| format!("bind node listener on {address}"))?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

fn network_settings(
    context: &Context,
    ranges: &Ranges,
    node: &str,
    pod_cidrs: Vec<Cidr>,
    node_addresses: Vec<IpAddr>,
) -> Result<irori_network::Settings> {
    let nft = crate::machine::search_path().into_iter().map(|folder| folder.join("nft")).find(|file| file.is_file());
    Ok(irori_network::Settings {
        instance: context.instance.parse()?,
        node_name: node.to_owned(),
        data_dir: context.data.root().to_owned(),
        pod_cidrs,
        cluster_cidrs: ranges.pods().iter().map(|(range, _)| range.parse()).collect::<Result<_, _>>()?,
        service_cidrs: ranges.services().iter().map(|(base, bits)| format!("{base}/{bits}").parse()).collect::<Result<_, _>>()?,
        uplinks: Vec::new(),
        node_addresses,
        nft: nft.unwrap_or_else(|| PathBuf::from("nft")),
    })
}

/// Starts the node of this machine beside a server in the same process, and lets the API be reached from pods.
pub async fn beside(context: &Context, home: &Home, server: &Server) -> Result<Node> {
    let (name, addresses) = (name()?, addresses());
    let credentials = Credentials::issue(&server.trust, &format!("https://{}", server.address), &name, &addresses)?;
    let lease = if server.among_others().is_some() { LeaseTerms::USUAL } else { LeaseTerms::ALONE };
    Node::start(context, home, &credentials, &name, addresses, lease).await
}

/// Ends every pod of this home on this machine, and containerd. Returns how many there were.
pub async fn end_pods(context: &Context, grace: Duration) -> Result<usize> {
    let machine = Machine::start(machine_settings(context), context.clock.clone(), &context.tasks).await?;
    let count = machine.sandboxes().await?.len();
    let deadline = tokio::time::Instant::now() + grace + SETTLED_WITHIN;
    // What was being started when the home ended has to get there before it can be removed.
    loop {
        let cleared = tokio::time::timeout_at(deadline, clear(&machine, grace)).await;
        match cleared.unwrap_or_else(|_| Err(anyhow::anyhow!("the pods do not end"))) {
            Ok(()) => break,
            Err(source) if tokio::time::Instant::now() >= deadline => return Err(source),
            Err(source) => tracing::debug!("end pods: {source:#}"),
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    machine.dismantle().await?;
    // Nothing of another folder may hang in the data folder of a home that is down: people copy and delete it.
    for part in ["node", "containerd"] {
        let folder = context.data.root().join(part);
        irori_node::unmount_below(&folder).with_context(|| format!("unmount what hangs below `{}`", folder.display()))?;
    }
    Ok(count)
}

/// How long what was being started when its home was told to end may take, beyond the time that its pods have.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

async fn clear(machine: &Machine, grace: Duration) -> Result<()> {
    let containers = machine.containers().await?;
    let stopping = containers.iter().map(|container| async {
        machine.stop_container(&container.id, grace).await?;
        machine.remove_container(&container.id).await
    });
    // One that cannot be removed yet cuts off no other's time to end.
    let ended: Result<Vec<()>, _> = futures::future::join_all(stopping).await.into_iter().collect();
    ended.context("end containers")?;
    for sandbox in &machine.sandboxes().await? {
        machine.stop_sandbox(&sandbox.id).await.context("end sandbox")?;
        machine.remove_sandbox(&sandbox.id).await.context("remove sandbox")?;
    }
    Ok(())
}

/// Removes links, routes and rules of this home.
pub async fn remove_network(context: &Context) -> Result<()> {
    // The ranges of this node are not known here; everything that was made carries the instance id.
    let root = std::fs::read_to_string(context.data.trust().join("root.crt"))
        .or_else(|_| std::fs::read_to_string(context.data.root().join("root.crt")));
    let root = match root {
        // A home that was ended before it had keys had no network either.
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        root => root.context("read the home's root certificate")?,
    };
    let ranges = Ranges::of_home(&root)?;
    let pods = ranges.pods().iter().map(|(range, _)| range.parse()).collect::<Result<_, _>>()?;
    let settings = network_settings(context, &ranges, &name()?, pods, addresses())?;
    Network::new(settings).remove().await?;
    Ok(())
}

/// Keeps a task of the process alive with the node: nothing to do but to be named in the list of tasks.
pub fn hold(node: Node, context: &Context) {
    let shutdown = context.tasks.shutdown().clone();
    context.tasks.spawn("node", OnEnd::Fatal, async move {
        shutdown.wait().await;
        drop(node);
        Ok::<(), std::convert::Infallible>(())
    });
}
