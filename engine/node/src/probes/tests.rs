use k8s_openapi::api::core::v1::HTTPGetAction;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::*;

fn here(port: u16) -> Target {
    let ports = serde_json::from_value(json!([{ "name": "web", "containerPort": port }])).expect("ports");
    Target { ip: Some(IpAddr::from([127, 0, 0, 1])), ports }
}

/// A server that gives each connection the next answer, and hands back what it was asked.
async fn answers(texts: Vec<&'static str>) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let task = tokio::spawn(async move {
        let mut asked = Vec::new();
        for text in texts {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut buffer = vec![0; 4096];
            let length = stream.read(&mut buffer).await.expect("read");
            asked.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
            stream.write_all(text.as_bytes()).await.expect("written");
        }
        asked
    });
    (port, task)
}

fn action(value: serde_json::Value) -> HTTPGetAction {
    serde_json::from_value(value).expect("an action")
}

async fn get(port: u16, value: serde_json::Value) -> Result<(), String> {
    http::get(&here(port), &action(value), Duration::from_secs(5), http::PROBE_AGENT).await
}

#[tokio::test]
async fn a_success_is_a_status_from_200_on_and_the_request_says_who_asks() {
    let (port, asked) = answers(vec!["HTTP/1.1 204 No Content\r\n\r\n"]).await;
    get(port, json!({ "port": "web", "path": "healthz", "httpHeaders": [{ "name": "X-A", "value": "b" }] })).await.expect("good");
    let asked = asked.await.expect("served").remove(0);
    assert!(asked.starts_with("GET /healthz HTTP/1.1\r\n"), "{asked}");
    for line in ["x-a: b", "user-agent: kube-probe/1.36", &format!("host: 127.0.0.1:{port}")] {
        assert!(asked.to_lowercase().contains(line), "{line} in {asked}");
    }
}

#[tokio::test]
async fn an_error_status_is_a_failure_with_its_code_and_text() {
    let (port, _asked) = answers(vec!["HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nbusy"]).await;
    assert_eq!(get(port, json!({ "port": port })).await, Err("HTTP probe failed with statuscode: 503 busy".to_owned()));
}

#[tokio::test]
async fn a_redirect_is_followed_on_the_same_host_only() {
    let (port, asked) = answers(vec![
        "HTTP/1.1 302 F\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 500 E\r\nContent-Length: 0\r\n\r\n",
    ])
    .await;
    assert!(get(port, json!({ "port": port, "path": "/a" })).await.is_err());
    assert!(asked.await.expect("served")[1].starts_with("GET /b "));
    let (port, _asked) = answers(vec!["HTTP/1.1 302 F\r\nLocation: http://192.0.2.9/\r\nContent-Length: 0\r\n\r\n"]).await;
    get(port, json!({ "port": port })).await.expect("it did answer");
}

#[tokio::test]
async fn tcp_asks_for_a_connection_and_a_named_port_must_exist() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tcp(&here(port), None, &IntOrString::String("web".into())).await.expect("it listens");
    assert!(tcp(&here(port), None, &IntOrString::String("none".into())).await.is_err());
    drop(listener);
    assert!(tcp(&here(port), None, &IntOrString::Int(port.into())).await.is_err());
}
