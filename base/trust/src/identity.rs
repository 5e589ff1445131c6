//! A certificate chain with its key.
use std::{path::Path, sync::Arc};

use jiff::Timestamp;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::{SubjectName, TrustError, read_secret, tls, write_secret};

/// A leaf, its intermediates, and the leaf's private key, as PEM.
#[derive(Clone)]
pub struct Identity {
    /// Leaf first.
    pub certificate_pem: String,
    pub key_pem: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity(..)")
    }
}

impl Identity {
    /// The chain as DER, leaf first.
    pub fn chain(&self) -> Result<Vec<CertificateDer<'static>>, TrustError> {
        chain_from_pem(&self.certificate_pem)
    }

    pub(crate) fn key(&self) -> Result<PrivateKeyDer<'static>, TrustError> {
        PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes())
            .map_err(|source| TrustError::Parse { what: "private key", reason: source.to_string() })
    }

    /// For rustls.
    pub fn certified_key(&self) -> Result<Arc<CertifiedKey>, TrustError> {
        let key =
            CertifiedKey::from_der(self.chain()?, self.key()?, &tls::provider()).map_err(|source| TrustError::Tls { source })?;
        Ok(Arc::new(key))
    }

    /// From when to when the leaf is valid.
    pub fn validity(&self) -> Result<(Timestamp, Timestamp), TrustError> {
        let chain = self.chain()?;
        let leaf = chain.first().ok_or(TrustError::Parse { what: "certificate", reason: "there is none".to_owned() })?;
        validity(leaf)
    }

    /// The DNS names and addresses that the leaf speaks for.
    pub fn names(&self) -> Result<Vec<SubjectName>, TrustError> {
        let chain = self.chain()?;
        let broken = |reason: String| TrustError::Parse { what: "certificate", reason };
        let (_, leaf) = X509Certificate::from_der(&chain[0]).map_err(|source| broken(source.to_string()))?;
        let names = leaf.subject_alternative_name().map_err(|source| broken(source.to_string()))?;
        Ok(names.into_iter().flat_map(|extension| &extension.value.general_names).filter_map(subject_name).collect())
    }

    /// When to renew: at two thirds of the leaf's life.
    pub fn renew_at(&self) -> Result<Timestamp, TrustError> {
        let (from, to) = self.validity()?;
        Ok(to - (to.duration_since(from) / 3))
    }

    /// Writes `<stem>.crt` and `<stem>.key` (0600).
    pub fn save(&self, folder: &Path, stem: &str) -> Result<(), TrustError> {
        write_secret(&folder.join(format!("{stem}.key")), self.key_pem.as_bytes())?;
        write_secret(&folder.join(format!("{stem}.crt")), self.certificate_pem.as_bytes())
    }

    /// Reads what `save` wrote; `None` where either file is missing.
    pub fn load(folder: &Path, stem: &str) -> Result<Option<Self>, TrustError> {
        let certificate = read_secret(&folder.join(format!("{stem}.crt")))?;
        let key = read_secret(&folder.join(format!("{stem}.key")))?;
        let (Some(certificate), Some(key)) = (certificate, key) else { return Ok(None) };
        let text =
            |bytes| String::from_utf8(bytes).map_err(|source| TrustError::Parse { what: "PEM", reason: source.to_string() });
        Ok(Some(Self { certificate_pem: text(certificate)?, key_pem: text(key)? }))
    }
}

fn subject_name(name: &GeneralName<'_>) -> Option<SubjectName> {
    match name {
        GeneralName::DNSName(name) => Some(SubjectName::Dns(name.to_ascii_lowercase())),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|four| SubjectName::Ip(four.into())),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|sixteen| SubjectName::Ip(sixteen.into())),
        },
        _ => None,
    }
}

pub(crate) fn chain_from_pem(pem: &str) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let chain = chain.map_err(|source| TrustError::Parse { what: "certificate", reason: source.to_string() })?;
    if chain.is_empty() {
        return Err(TrustError::Parse { what: "certificate", reason: "no PEM block of a certificate found".to_owned() });
    }
    Ok(chain)
}

pub(crate) fn parse(der: &CertificateDer<'_>) -> Result<(Timestamp, Timestamp, String, Vec<String>), TrustError> {
    let broken = |reason: String| TrustError::Parse { what: "certificate", reason };
    let (_, cert) = X509Certificate::from_der(der).map_err(|source| broken(source.to_string()))?;
    let time = |seconds: i64| Timestamp::from_second(seconds).map_err(|source| broken(source.to_string()));
    let (from, to) = (time(cert.validity().not_before.timestamp())?, time(cert.validity().not_after.timestamp())?);
    let text = |a: &x509_parser::prelude::AttributeTypeAndValue<'_>| {
        a.as_str().map(str::to_owned).map_err(|source| broken(source.to_string()))
    };
    let name = cert.subject().iter_common_name().next().map(text).transpose()?.unwrap_or_default();
    let groups = cert.subject().iter_organization().map(text).collect::<Result<_, _>>()?;
    Ok((from, to, name, groups))
}

fn validity(der: &CertificateDer<'_>) -> Result<(Timestamp, Timestamp), TrustError> {
    parse(der).map(|(from, to, ..)| (from, to))
}

/// SHA-256 over the first certificate of a PEM text: the same for everybody who holds the certificate.
pub fn fingerprint(pem: &str) -> Result<[u8; 32], TrustError> {
    let first = chain_from_pem(pem)?.swap_remove(0);
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &first);
    Ok(digest.as_ref().try_into().expect("SHA-256 has 32 bytes"))
}
