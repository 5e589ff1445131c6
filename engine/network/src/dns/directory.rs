//! What is known of the cluster, as the zone asks for it.
use std::{net::IpAddr, sync::Arc};

use irori_client::{Informer, Informers, Key};
use k8s_openapi::api::{
    core::v1::{Namespace, Service},
    discovery::v1::EndpointSlice,
};

const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The cluster's Services and endpoints.
pub trait Directory: Send + Sync + 'static {
    /// Whether what is here is all there is. Until then nothing is said about the cluster's names.
    fn is_complete(&self) -> bool;
    fn has_namespace(&self, name: &str) -> bool;
    fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>>;
    /// All Services.
    fn services(&self) -> Vec<Arc<Service>>;
    /// The slices of a namespace.
    fn slices_in(&self, namespace: &str) -> Vec<Arc<EndpointSlice>>;

    /// The slices of one Service.
    fn slices(&self, namespace: &str, service: &str) -> Vec<Arc<EndpointSlice>> {
        let mut slices = self.slices_in(namespace);
        slices.retain(|slice| service_of(slice) == Some(service));
        slices
    }

    /// The Service that has this ClusterIP.
    fn by_cluster_ip(&self, address: IpAddr) -> Option<Arc<Service>> {
        let has = |service: &Arc<Service>| cluster_ips(service).contains(&address);
        self.services().into_iter().find(has)
    }
}

/// The Service that a slice belongs to.
pub fn service_of(slice: &EndpointSlice) -> Option<&str> {
    slice.metadata.labels.as_ref()?.get(SERVICE_NAME).map(String::as_str)
}

/// The addresses of a Service; none if it is headless.
pub fn cluster_ips(service: &Service) -> Vec<IpAddr> {
    let spec = service.spec.as_ref();
    let several = spec.and_then(|spec| spec.cluster_ips.as_deref()).unwrap_or_default();
    let one = spec.and_then(|spec| spec.cluster_ip.as_ref());
    let texts: Vec<&String> = if several.is_empty() { one.into_iter().collect() } else { several.iter().collect() };
    texts.into_iter().filter_map(|text| text.parse().ok()).collect()
}

/// The directory that the process's informers keep.
pub struct Informed {
    namespaces: Informer<Namespace>,
    services: Informer<Service>,
    slices: Informer<EndpointSlice>,
}

impl Informed {
    pub fn new(informers: &Informers) -> Self {
        Self { namespaces: informers.of(), services: informers.of(), slices: informers.of() }
    }
}

impl Directory for Informed {
    fn is_complete(&self) -> bool {
        self.namespaces.is_synced() && self.services.is_synced() && self.slices.is_synced()
    }

    fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.get(&Key::cluster(name)).is_some()
    }

    fn service(&self, namespace: &str, name: &str) -> Option<Arc<Service>> {
        self.services.get(&Key::new(namespace, name))
    }

    fn services(&self) -> Vec<Arc<Service>> {
        self.services.list()
    }

    fn slices_in(&self, namespace: &str) -> Vec<Arc<EndpointSlice>> {
        self.slices.in_namespace(namespace)
    }
}
