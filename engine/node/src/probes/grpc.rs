//! The gRPC health protocol (grpc.health.v1.Health/Check).
use k8s_openapi::{api::core::v1::GRPCAction, apimachinery::pkg::util::intstr::IntOrString};
use tonic::{client::Grpc, codegen::http::uri::PathAndQuery, transport::Endpoint};
use tonic_prost::ProstCodec;

use super::Target;

#[derive(Clone, PartialEq, prost::Message)]
struct CheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct CheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

const SERVING: i32 = 1;

pub async fn check(target: &Target, action: &GRPCAction) -> Result<(), String> {
    let (host, port) = (target.host(None)?, target.port(&IntOrString::Int(action.port))?);
    let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let endpoint = Endpoint::from_shared(format!("http://{authority}")).map_err(|e| e.to_string())?;
    let channel = endpoint.connect().await.map_err(|e| format!("connect to {authority}: {e}"))?;
    let mut client = Grpc::new(channel);
    client.ready().await.map_err(|e| e.to_string())?;
    let request = tonic::Request::new(CheckRequest { service: action.service.clone().unwrap_or_default() });
    let path = PathAndQuery::from_static("/grpc.health.v1.Health/Check");
    let answer = client.unary::<_, CheckResponse, _>(request, path, ProstCodec::default()).await;
    match answer.map_err(|status| format!("health check: {:?}: {}", status.code(), status.message()))?.into_inner().status {
        SERVING => Ok(()),
        other => Err(format!("service unhealthy (responded with status {other})")),
    }
}
