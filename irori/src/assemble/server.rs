//! Store, API, controllers, scheduler, signer.
use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context as _, Result};
use irori_api::row::Tables;
use irori_apiserver::{ApiServer, Cidr, UserInfo};
use irori_client::{Candidate, Informers, Timing, in_process};
use irori_controllers::Pool;
use irori_home::Home;
use irori_http::{Limits, serve};
use irori_runtime::{Clock, OnEnd, Tasks};
use irori_store::Store;
use irori_trust::{CaTree, Identity, Lifetime, Rotating, SubjectName, tls};
use tokio::net::TcpListener;

use super::{
    Context,
    objects::{INFORMER_USER, SYSTEM_NAMESPACE, ensure, own},
    ranges::Ranges,
    reachable::{ensure_kubernetes, keep_cluster_dns},
    servers,
    storage::StoreAt,
};

/// Names inside the cluster end in this.
pub const CLUSTER_DOMAIN: &str = "cluster.local";
/// The running server.
pub struct Server {
    context: Context,
    pub store: Arc<dyn Store>,
    pub api: Arc<ApiServer>,
    pub trust: Arc<CaTree>,
    pub informers: Informers,
    pub ranges: Ranges,
    tls: Arc<rustls::ServerConfig>,
    /// On loopback.
    pub address: SocketAddr,
    /// Other servers may stand on the same store.
    shared: bool,
}

/// What the leading parts stand on.
#[derive(Clone)]
struct Parts {
    api: Arc<ApiServer>,
    trust: Arc<CaTree>,
    informers: Informers,
    ranges: Ranges,
    clock: Clock,
}

impl Server {
    /// Opens or makes the home's trust and store, and starts everything of a server.
    pub async fn start(context: &Context, home: &Home, at: &StoreAt) -> Result<Self> {
        let Context { clock, tasks, .. } = context;
        let (store, trust) = at.open(context, &home.domain).await?;
        let loopback = SocketAddr::from(([127, 0, 0, 1], home.network.api_port));
        let listener = TcpListener::bind(loopback).await.with_context(|| format!("bind API listener on {loopback}"))?;
        let address = listener.local_addr()?;
        let ranges = Ranges::of_home(trust.root_pem())?;
        let settings = irori_apiserver::Settings {
            service_cidrs: ranges.services().into_iter().map(|(address, bits)| Cidr { address, bits }).collect(),
            without_controller: irori_controllers::without_controller(),
            advertised: address.to_string(),
            cluster_domain: CLUSTER_DOMAIN.to_owned(),
            ..irori_apiserver::Settings::default()
        };
        let tables = Arc::new(Tables::builtin());
        let api = ApiServer::new(settings, store.clone(), tables, trust.clone(), clock.clone(), tasks.clone()).await?;

        let mut more: Vec<SubjectName> = home.network.api_addresses.iter().map(|ip| SubjectName::Ip(*ip)).collect();
        more.push(SubjectName::from(format!("api.{}", home.domain).as_str()));
        let tls = api_tls(context, &trust, &more)?;

        let informers = Informers::new(in_process(api.in_process(UserInfo::new(INFORMER_USER, &[]))), tasks.clone());
        let shared = at.is_shared();
        let server = Self { context: context.clone(), store, api, trust, informers, ranges, tls, address, shared };
        server.listen_with(listener);
        ensure(&server.admin(), &own()).await?;
        server.start_parts()?;
        Ok(server)
    }

    /// A client with all rights, in process: for what irori itself has to set up.
    pub fn admin(&self) -> kube::Client {
        self.parts().admin()
    }

    /// A client that acts as a service account, in process.
    pub fn account(&self, namespace: &str, name: &str) -> kube::Client {
        self.parts().account(namespace, name)
    }

    /// The name of this server's instance, where others may be beside it.
    pub fn among_others(&self) -> Option<&str> {
        self.shared.then_some(self.context.instance.as_str())
    }

    fn parts(&self) -> Parts {
        Parts {
            api: self.api.clone(),
            trust: self.trust.clone(),
            informers: self.informers.clone(),
            ranges: self.ranges,
            clock: self.context.clock.clone(),
        }
    }

    /// Starts parts that only one server of a home may run: at once where there is one server, otherwise whenever this one holds the Lease
    /// of that name in kube-system.
    pub fn lead(&self, name: &str, client: &kube::Client, start: impl Fn(&Tasks) + Send + 'static) -> Result<()> {
        let Context { clock, tasks, instance, .. } = &self.context;
        if !self.shared {
            start(tasks);
            return Ok(());
        }
        let candidate = Candidate {
            client: client.clone(),
            informers: self.informers.clone(),
            namespace: "kube-system",
            name: name.to_owned(),
            identity: format!("{}_{instance}", super::node::name()?),
            clock: clock.clone(),
            timing: Timing::default(),
        };
        candidate.run(tasks, start);
        Ok(())
    }

    /// Lets pods reach this server, for as long as it lives: whoever leads takes away what a dead one left behind.
    pub async fn be_reached(&self, endpoints: Vec<SocketAddr>) -> Result<()> {
        ensure_kubernetes(&self.admin(), &self.ranges, &endpoints, self.among_others()).await?;
        let Some(instance) = self.among_others().map(str::to_owned) else { return Ok(()) };
        let (admin, ranges) = (self.admin(), self.ranges);
        self.lead(&servers::lease_of(&instance), &self.admin(), move |tasks| {
            let (admin, instance, endpoints) = (admin.clone(), instance.clone(), endpoints.clone());
            // Again after having been taken for dead.
            tasks.spawn("reachable", OnEnd::Contained, async move {
                ensure_kubernetes(&admin, &ranges, &endpoints, Some(&instance)).await.map_err(|source| format!("{source:#}"))
            });
        })
    }

    fn start_parts(&self) -> Result<()> {
        let user = |name: &str| self.api.in_process(UserInfo::new(name, &[]));
        let manager = in_process(user("system:kube-controller-manager").agent(CONTROLLER_MANAGER));
        let scheduler = in_process(user("system:kube-scheduler").agent(SCHEDULER));
        let (parts, shared) = (self.parts(), self.shared);
        self.lead(CONTROLLER_MANAGER, &manager, move |tasks| {
            parts.start_controllers(tasks);
            if shared {
                servers::sweep(parts.admin(), &parts.informers, tasks);
            }
        })?;
        let parts = self.parts();
        self.lead(SCHEDULER, &scheduler, move |tasks| parts.start_scheduler(tasks))
    }

    /// Answers on one more address, with the same certificate.
    pub async fn listen(&self, address: SocketAddr) -> Result<SocketAddr> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("bind API listener on {address}"))?;
        let bound = listener.local_addr()?;
        self.listen_with(listener);
        Ok(bound)
    }

    fn listen_with(&self, listener: TcpListener) {
        let tasks = &self.context.tasks;
        let handler = self.api.clone();
        tasks.spawn("api", OnEnd::Fatal, serve(listener, Some(self.tls.clone()), handler, Limits::default(), tasks.clone()));
    }

    /// A kubeconfig for an identity, written 0600 below DATA/credentials.
    pub fn write_kubeconfig(&self, name: &str, identity: &Identity, server: &str) -> Result<()> {
        let text = kubeconfig(name, server, self.trust.root_pem(), identity);
        crate::data::write_whole(&self.context.data.credentials().join(format!("{name}.kubeconfig")), text.as_bytes())
    }

    /// The administrator's kubeconfig, made anew at each start, so that it has never expired.
    pub fn write_admin(&self) -> Result<()> {
        let identity = self.trust.issue_client(
            "irori-admin",
            Some("system:masters"),
            Lifetime(irori_runtime::SignedDuration::from_hours(24 * 365)),
        )?;
        self.write_kubeconfig("admin", &identity, &format!("https://{}", self.address))
    }
}

impl Parts {
    fn admin(&self) -> kube::Client {
        in_process(self.api.in_process(UserInfo::new("system:irori:setup", &["system:masters"])))
    }

    fn account(&self, namespace: &str, name: &str) -> kube::Client {
        in_process(self.api.in_process(UserInfo::service_account(namespace, name)))
    }

    fn start_controllers(&self, tasks: &Tasks) {
        let pool = |(range, node_bits): (String, u8)| Some(Pool { cidr: range.parse().ok()?, node_bits });
        let settings = irori_controllers::Settings {
            root_ca_pem: self.trust.root_pem().to_owned(),
            pod_pools: self.ranges.pods().into_iter().filter_map(pool).collect(),
            ..irori_controllers::Settings::default()
        };
        let account = |name: &str| {
            let user = UserInfo::service_account("kube-system", name);
            in_process(self.api.in_process(user).agent(CONTROLLER_MANAGER))
        };
        irori_controllers::start(settings, account, &self.informers, &self.clock, tasks);
        let requesters = vec![format!("system:serviceaccount:{SYSTEM_NAMESPACE}:certs")];
        let signer = self.account(SYSTEM_NAMESPACE, "signer");
        keep_cluster_dns(self.admin(), self.ranges.cluster_dns(), &self.informers, tasks);
        irori_certs::Signer::start(signer, &self.informers, self.trust.clone(), requesters, &self.clock, tasks);
    }

    fn start_scheduler(&self, tasks: &Tasks) {
        let scheduler = in_process(self.api.in_process(UserInfo::new("system:kube-scheduler", &[])).agent(SCHEDULER));
        irori_scheduler::start(scheduler, &self.informers, &self.clock, tasks);
    }
}

/// Under the stock names: rules about field managers of other people's tools name them.
const CONTROLLER_MANAGER: &str = "kube-controller-manager";
const SCHEDULER: &str = "kube-scheduler";

/// What every API server is called.
const API_NAMES: [&str; 7] = [
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "localhost",
    "127.0.0.1",
    "::1",
];

/// TLS of an API listener: a certificate for the usual names and `more`, renewed for as long as the process runs.
pub fn api_tls(context: &Context, trust: &Arc<CaTree>, more: &[SubjectName]) -> Result<Arc<rustls::ServerConfig>> {
    let mut names: Vec<SubjectName> = API_NAMES.map(SubjectName::from).into();
    // Where pods reach it: through its Service, or on the pod side of its own node.
    let ranges = Ranges::of_home(trust.root_pem())?;
    names.push(SubjectName::Ip(ranges.kubernetes().into()));
    names.extend(ranges.first_pod_side().into_iter().map(SubjectName::Ip));
    names.extend(more.iter().filter(|name| trust.scope().permits(name)).cloned());
    let identity = trust.issue_server(&names, Lifetime::default())?;
    let certificate = Rotating::new(&identity)?;
    let (renewing, trust) = (certificate.clone(), trust.clone());
    let keep = renewing.keep(identity, context.clock.clone(), move || trust.issue_server(&names, Lifetime::default()));
    let shutdown = context.tasks.shutdown().clone();
    context.tasks.spawn("api-certificate", OnEnd::Fatal, async move {
        shutdown.guard(keep).await;
        Ok::<(), std::convert::Infallible>(())
    });
    Ok(tls::server(certificate, tls::ClientCertificates::Ask, &["h2", "http/1.1"], &context.clock)?)
}

fn kubeconfig(user: &str, server: &str, ca_pem: &str, identity: &Identity) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let data = |pem: &str| STANDARD.encode(pem);
    let (ca, certificate, key) = (data(ca_pem), data(&identity.certificate_pem), data(&identity.key_pem));
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: irori\n\
         clusters:\n- name: irori\n  cluster:\n    server: {server}\n    certificate-authority-data: {ca}\n\
         contexts:\n- name: irori\n  context: {{cluster: irori, user: {user}}}\n\
         users:\n- name: {user}\n  user:\n    client-certificate-data: {certificate}\n    client-key-data: {key}\n"
    )
}
