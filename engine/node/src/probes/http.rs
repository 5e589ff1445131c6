//! One GET: a fresh connection, certificates not judged, redirects not followed away.
use std::{sync::Arc, time::Duration};

use http::{HeaderName, HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::HTTPGetAction;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
};
use tokio::net::TcpStream;

use super::{SHOWN_MAX, Target};

pub const PROBE_AGENT: &str = "kube-probe/1.36";
pub const HOOK_AGENT: &str = "kube-lifecycle/1.36";
/// Of an answer's body, in bytes; more is an answer all the same.
const BODY_MAX: usize = 10 * 1024;
/// Redirects on the same host that are followed.
const REDIRECTS_MAX: usize = 10;

pub async fn get(target: &Target, action: &HTTPGetAction, _limit: Duration, agent: &str) -> Result<(), String> {
    let (host, port) = (target.host(action.host.as_deref())?, target.port(&action.port)?);
    let tls = action.scheme.as_deref() == Some("HTTPS");
    let mut path = action.path.clone().filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned());
    if !path.starts_with('/') {
        path.insert(0, '/');
    }
    for _ in 0..=REDIRECTS_MAX {
        let (status, location, body) = once(action, &host, port, tls, &path, agent).await?;
        if !status.is_redirection() {
            let good = status.is_success();
            return if good { Ok(()) } else { Err(format!("HTTP probe failed with statuscode: {}{body}", status.as_u16())) };
        }
        match location.and_then(|to| to.parse::<Uri>().ok()) {
            Some(to) if to.host().is_none() => path = to.to_string(),
            Some(to) if to.host() == Some(host.as_str()) && to.port_u16().unwrap_or(port) == port => {
                path = to.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
            }
            // To another host: the container did answer.
            _ => return Ok(()),
        }
    }
    Err(format!("stopped after {REDIRECTS_MAX} redirects"))
}

type Answer = (http::StatusCode, Option<String>, String);

async fn once(action: &HTTPGetAction, host: &str, port: u16, tls: bool, path: &str, agent: &str) -> Result<Answer, String> {
    let stream = TcpStream::connect((host, port)).await.map_err(|e| format!("Get \"{path}\": dial tcp {host}:{port}: {e}"))?;
    let request = request(action, host, port, path, agent)?;
    if !tls {
        return exchange(TokioIo::new(stream), request).await;
    }
    let name = rustls_pki_types_name(host)?;
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(aws_lc_rs::default_provider())))
        .with_no_client_auth();
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    exchange(TokioIo::new(stream.map_err(|e| format!("Get \"{path}\": TLS handshake: {e}"))?), request).await
}

fn rustls_pki_types_name(host: &str) -> Result<rustls::pki_types::ServerName<'static>, String> {
    rustls::pki_types::ServerName::try_from(host.to_owned()).map_err(|e| e.to_string())
}

fn request(
    action: &HTTPGetAction,
    host: &str,
    port: u16,
    path: &str,
    agent: &str,
) -> Result<Request<Empty<bytes::Bytes>>, String> {
    let mut request = Request::get(path).body(Empty::new()).map_err(|e| e.to_string())?;
    let headers = request.headers_mut();
    for given in action.http_headers.iter().flatten() {
        let name = HeaderName::try_from(given.name.as_str()).map_err(|e| e.to_string())?;
        headers.append(name, HeaderValue::try_from(given.value.as_str()).map_err(|e| e.to_string())?);
    }
    let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let mut default = |name: HeaderName, value: &str| {
        if !headers.contains_key(&name)
            && let Ok(value) = HeaderValue::try_from(value)
        {
            headers.insert(name, value);
        }
    };
    default(header::HOST, &authority);
    default(header::USER_AGENT, agent);
    default(header::ACCEPT, "*/*");
    default(header::CONNECTION, "close");
    Ok(request)
}

async fn exchange<I>(io: I, request: Request<Empty<bytes::Bytes>>) -> Result<Answer, String>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.map_err(|e| e.to_string())?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
        let status = response.status();
        let location = response.headers().get(header::LOCATION).and_then(|v| v.to_str().ok()).map(str::to_owned);
        let mut text = String::new();
        if !status.is_success()
            && let Ok(body) = Limited::new(response.into_body(), BODY_MAX).collect().await
        {
            let body = String::from_utf8_lossy(&body.to_bytes()).trim().to_owned();
            let end = body.floor_char_boundary(SHOWN_MAX / 2);
            if end > 0 {
                text = format!(" {}", &body[..end]);
            }
        }
        Ok((status, location, text))
    };
    tokio::pin!(connection);
    tokio::pin!(answer);
    let mut open = true;
    loop {
        tokio::select! {
            answer = &mut answer => return answer,
            // The connection may end before its last answer is read.
            _ended = &mut connection, if open => open = false,
        }
    }
}

/// A probe asks whether a server answers, not who it is.
#[derive(Debug)]
struct AnyCertificate(CryptoProvider);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end: &rustls::pki_types::CertificateDer<'_>,
        _between: &[rustls::pki_types::CertificateDer<'_>],
        _name: &rustls::pki_types::ServerName<'_>,
        _ocsp: &[u8],
        _now: rustls::pki_types::UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &rustls::pki_types::CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &rustls::pki_types::CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
