//! A client whose other end is in this process.
use http::{Request, Response};
use http_body_util::BodyExt;
use irori_http::{Body, BoxError};
use tower::{Service, ServiceExt};

/// A client over `service`. Who calls is what the service's maker decided (an extension of each request); nothing is said here.
///
/// Must be called within a tokio runtime.
pub fn in_process<S>(service: S) -> kube::Client
where
    S: Service<Request<Body>, Response = Response<Body>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
{
    let service = service.map_request(|request: Request<kube::client::Body>| {
        request.map(|body| body.map_err(|source| -> BoxError { source.into() }).boxed_unsync())
    });
    kube::Client::new(service, "default")
}
