//! rustls configurations: aws-lc-rs, handed over and never installed globally; time from our clock.
use std::{fmt, sync::Arc};

use irori_runtime::Clock;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    server::{
        ResolvesServerCert,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    time_provider::TimeProvider,
};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::{Identity, TrustError, identity::chain_from_pem};

/// What a listener does about client certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    Ignore,
    /// Asks for one and proves that the client holds its key; who it is, is judged by the handler. The handshake never fails on a stranger.
    Ask,
}

pub(crate) fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

pub(crate) fn provider_arc() -> Arc<CryptoProvider> {
    Arc::new(provider())
}

pub(crate) fn unix_time(clock: &Clock) -> UnixTime {
    let seconds = u64::try_from(clock.now().as_second()).unwrap_or(0);
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
}

#[derive(Debug)]
struct OurTime(Clock);

impl TimeProvider for OurTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(unix_time(&self.0))
    }
}

/// A server's configuration. `alpn` in order of preference, e.g. `["h2", "http/1.1"]`.
pub fn server(
    certificates: Arc<dyn ResolvesServerCert>,
    clients: ClientCertificates,
    alpn: &[&str],
    clock: &Clock,
) -> Result<Arc<ServerConfig>, TrustError> {
    let builder = ServerConfig::builder_with_details(provider_arc(), Arc::new(OurTime(clock.clone())))
        .with_safe_default_protocol_versions()
        .map_err(|source| TrustError::Tls { source })?;
    let builder = match clients {
        ClientCertificates::Ignore => builder.with_no_client_auth(),
        ClientCertificates::Ask => builder.with_client_cert_verifier(Arc::new(AskOnly { provider: provider() })),
    };
    let mut config = builder.with_cert_resolver(certificates);
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok(Arc::new(config))
}

/// A client's configuration: trusts `roots_pem` and nothing else; shows `identity` where asked.
pub fn client(
    roots_pem: &str,
    identity: Option<&Identity>,
    alpn: &[&str],
    clock: &Clock,
) -> Result<Arc<ClientConfig>, TrustError> {
    let mut roots = RootCertStore::empty();
    for root in chain_from_pem(roots_pem)? {
        roots.add(root).map_err(|source| TrustError::Tls { source })?;
    }
    let builder = ClientConfig::builder_with_details(provider_arc(), Arc::new(OurTime(clock.clone())))
        .with_safe_default_protocol_versions()
        .map_err(|source| TrustError::Tls { source })?
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            builder.with_client_auth_cert(identity.chain()?, identity.key()?).map_err(|source| TrustError::Tls { source })?
        }
    };
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Ok(Arc::new(config))
}

/// Takes any certificate whose key the client proves to hold. Judging it is the handler's: an unknown certificate is an answer
/// of 401, not a broken handshake (as kube-apiserver does it).
struct AskOnly {
    provider: CryptoProvider,
}

impl fmt::Debug for AskOnly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AskOnly")
    }
}

impl ClientCertVerifier for AskOnly {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
