//! Members that must not be stood on. None of them is real: a server that only says what it is.
use std::convert::Infallible;

use futures::stream;
use http_body_util::StreamBody;
use hyper::{
    Request, Response,
    body::{Bytes, Frame, Incoming},
    header::{HeaderMap, HeaderValue},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use irori_runtime::{Shutdown, Tasks};
use irori_store::*;
use tokio::net::TcpListener;

use super::clock;
use crate::words::*;

/// A member that answers everything with this message of etcd's Status. Returns where it listens.
async fn member(status: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound address").to_string();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.expect("accept");
            let status = status.clone();
            let answer = service_fn(move |_: Request<Incoming>| {
                let mut message = vec![0];
                message.extend_from_slice(&u32::try_from(status.len()).expect("short").to_be_bytes());
                message.extend_from_slice(&status);
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static("0"));
                let frames = [Frame::data(Bytes::from(message)), Frame::trailers(trailers)];
                let mut response = Response::new(StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>))));
                response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
                async { Ok::<_, Infallible>(response) }
            });
            tokio::spawn(http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(tcp), answer));
        }
    });
    address
}

/// Field 2, the version; field 10, whether it is a learner.
fn status(version: &str, learner: bool) -> Vec<u8> {
    let length = u8::try_from(version.len()).expect("short");
    [&[0x12, length], version.as_bytes(), &[0x50, u8::from(learner)]].concat()
}

async fn refusal(status: Vec<u8>) -> String {
    let settings = EtcdSettings::at(vec![member(status).await], "/irori/test", clock());
    match soon(EtcdStore::open(settings, &Tasks::new(Shutdown::new()))).await.err() {
        Some(refused) => format!("{refused:?}: {refused}"),
        None => panic!("it was taken"),
    }
}

#[tokio::test]
async fn an_etcd_that_may_lose_writes_is_refused_with_its_version() {
    for old in ["3.5.2", "3.5.12", "3.4.30"] {
        let said = refusal(status(old, false)).await;
        assert!(said.starts_with("Version") && said.contains(old) && said.contains("the least is 3.5.13"), "{said}");
    }
}

#[tokio::test]
async fn a_learner_is_no_member_to_ask() {
    let said = refusal(status("3.5.16", true)).await;
    assert!(said.starts_with("Unreachable") && said.contains("learner"), "{said}");
}

/// One bad member of three is enough: sooner or later it would be asked.
#[tokio::test]
async fn one_old_member_among_good_ones_is_refused() {
    let etcd = super::Etcd::single();
    let mut endpoints = etcd.endpoints();
    endpoints.push(member(status("3.5.0", false)).await);
    let settings = EtcdSettings::at(endpoints, "/irori/test", clock());
    let opened = soon(EtcdStore::open(settings, &Tasks::new(Shutdown::new()))).await;
    assert!(matches!(opened.err(), Some(EtcdError::Version { .. })));
}
