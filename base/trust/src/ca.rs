//! The CA tree of a home.
use std::{fs, path::Path, sync::Arc};

use irori_runtime::Clock;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::{RootCertStore, server::WebPkiClientVerifier};
use rustls_pki_types::CertificateDer;

use crate::{
    Identity, Scope, SubjectName, TokenKeys, TrustError,
    identity::{chain_from_pem, parse},
    tls, write_secret,
};

/// How long a leaf lives.
#[derive(Clone, Copy, Debug)]
pub struct Lifetime(pub SignedDuration);

impl Default for Lifetime {
    fn default() -> Self {
        Self(SignedDuration::from_hours(24 * 90))
    }
}

const CA_LIFE: SignedDuration = SignedDuration::from_hours(24 * 365 * 30);
/// Certificates are dated back so that a client whose clock is a little slow accepts them.
const DATED_BACK: SignedDuration = SignedDuration::from_hours(24);

struct Authority {
    certificate: CertificateDer<'static>,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// Root, `servers`, `clients`, `front-proxy`, and the service-account keys.
pub struct CaTree {
    scope: Scope,
    clock: Clock,
    root: Authority,
    servers: Authority,
    clients: Authority,
    front_proxy: Authority,
    tokens: TokenKeys,
    client_verifier: Arc<dyn rustls::server::danger::ClientCertVerifier>,
}

/// What a verified client certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub common_name: String,
    pub organizations: Vec<String>,
    pub not_after: Timestamp,
}

impl CaTree {
    /// Opens the tree in `folder`, or makes one for `domain` where the folder does not exist yet.
    pub fn open(folder: &Path, domain: &str, clock: &Clock) -> Result<Self, TrustError> {
        let scope = Scope::new(domain);
        if !folder.exists() {
            create(folder, &scope, clock.now())?;
        }
        let made_for = load_text(folder, "domain")?;
        if made_for.trim() != scope.domain {
            return Err(TrustError::OtherDomain { made_for: made_for.trim().to_owned(), asked: scope.domain });
        }
        let clients = load(folder, "clients")?;
        Ok(Self {
            root: load(folder, "root")?,
            servers: load(folder, "servers")?,
            front_proxy: load(folder, "front-proxy")?,
            tokens: TokenKeys::from_pem(&load_text(folder, "sa.key")?)?,
            client_verifier: verifier(&clients.certificate)?,
            clients,
            scope,
            clock: clock.clone(),
        })
    }

    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The root, for phones, browsers, and `kube-root-ca.crt`.
    pub fn root_pem(&self) -> &str {
        &self.root.pem
    }

    /// The anchor of API client certificates.
    pub fn clients_pem(&self) -> &str {
        &self.clients.pem
    }

    /// The anchor of the aggregation layer.
    pub fn front_proxy_pem(&self) -> &str {
        &self.front_proxy.pem
    }

    /// The keys of service-account tokens.
    pub fn tokens(&self) -> &TokenKeys {
        &self.tokens
    }

    /// A server certificate with a fresh key; the chain has the `servers` intermediate. Errors: `OutsideScope`.
    pub fn issue_server(&self, names: &[SubjectName], life: Lifetime) -> Result<Identity, TrustError> {
        let key = fresh_key()?;
        let params = self.server_params(names, life)?;
        let leaf = params
            .signed_by(&key, &self.servers.issuer)
            .map_err(|source| TrustError::Make { what: "server certificate", source })?;
        Ok(Identity { certificate_pem: format!("{}{}", leaf.pem(), self.servers.pem), key_pem: key.serialize_pem() })
    }

    /// A client certificate with a fresh key.
    pub fn issue_client(&self, common_name: &str, organization: Option<&str>, life: Lifetime) -> Result<Identity, TrustError> {
        let key = fresh_key()?;
        let mut params = leaf_params(self.clock.now(), life, ExtendedKeyUsagePurpose::ClientAuth);
        params.distinguished_name = subject(common_name, organization);
        let leaf = params
            .signed_by(&key, &self.clients.issuer)
            .map_err(|source| TrustError::Make { what: "client certificate", source })?;
        Ok(Identity { certificate_pem: leaf.pem(), key_pem: key.serialize_pem() })
    }

    /// Signs a PEM request for a server certificate: its names and its key are taken, nothing else. Returns the chain as PEM.
    /// Errors: `OutsideScope`, `Parse` (a request that is broken, not signed by its key, or names nobody).
    pub fn sign_server_request(&self, request_pem: &str, life: Lifetime) -> Result<String, TrustError> {
        let request = CertificateSigningRequestParams::from_pem(request_pem)
            .map_err(|source| TrustError::Parse { what: "certificate request", reason: source.to_string() })?;
        let params = self.server_params(&requested_names(&request.params)?, life)?;
        let request = CertificateSigningRequestParams { params, public_key: request.public_key };
        let leaf =
            request.signed_by(&self.servers.issuer).map_err(|source| TrustError::Make { what: "server certificate", source })?;
        Ok(format!("{}{}", leaf.pem(), self.servers.pem))
    }

    /// Signs a PEM request for a client certificate whose subject the caller has checked. Returns the leaf as PEM.
    pub fn sign_client_request(
        &self,
        request_pem: &str,
        common_name: &str,
        organization: Option<&str>,
        life: Lifetime,
    ) -> Result<String, TrustError> {
        let request = CertificateSigningRequestParams::from_pem(request_pem)
            .map_err(|source| TrustError::Parse { what: "certificate request", reason: source.to_string() })?;
        let mut params = leaf_params(self.clock.now(), life, ExtendedKeyUsagePurpose::ClientAuth);
        params.distinguished_name = subject(common_name, organization);
        let request = CertificateSigningRequestParams { params, public_key: request.public_key };
        let leaf =
            request.signed_by(&self.clients.issuer).map_err(|source| TrustError::Make { what: "client certificate", source })?;
        Ok(leaf.pem())
    }

    /// Verifies a client's chain (leaf first) against `clients`, on our clock.
    pub fn verify_client(&self, chain: &[CertificateDer<'static>]) -> Result<Verified, TrustError> {
        verify_client(self.client_verifier.as_ref(), chain, &self.clock)
    }

    /// The same check for a process that has the anchor but not the tree (a node apart).
    pub fn client_checker(
        clients_pem: &str,
        clock: &Clock,
    ) -> Result<impl Fn(&[CertificateDer<'static>]) -> Result<Verified, TrustError> + Send + Sync + use<>, TrustError> {
        let anchor = chain_from_pem(clients_pem)?.swap_remove(0);
        let (verifier, clock) = (verifier(&anchor)?, clock.clone());
        Ok(move |chain: &[CertificateDer<'static>]| verify_client(verifier.as_ref(), chain, &clock))
    }

    fn server_params(&self, names: &[SubjectName], life: Lifetime) -> Result<CertificateParams, TrustError> {
        names.iter().try_for_each(|name| self.scope.check(name))?;
        let mut params = leaf_params(self.clock.now(), life, ExtendedKeyUsagePurpose::ServerAuth);
        // The first name also as common name, within its 64 bytes, for people who read certificates.
        let common_name = names.first().map(ToString::to_string).filter(|name| name.len() <= 64);
        params.distinguished_name = subject(common_name.as_deref().unwrap_or("server"), None);
        params.subject_alt_names = names.iter().map(SubjectName::to_san).collect::<Result<_, _>>()?;
        Ok(params)
    }
}

/// A fresh key and a PEM request for a server certificate over it, for a signer elsewhere.
pub fn request_server(names: &[SubjectName]) -> Result<ServerRequest, TrustError> {
    let failed = |source| TrustError::Make { what: "certificate request", source };
    let key = fresh_key()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = names.iter().map(SubjectName::to_san).collect::<Result<_, _>>()?;
    let request = params.serialize_request(&key).map_err(failed)?;
    Ok(ServerRequest { request_pem: request.pem().map_err(failed)?, key_pem: key.serialize_pem() })
}

/// What `request_server` makes. The key stays with whoever asked.
pub struct ServerRequest {
    pub request_pem: String,
    pub key_pem: String,
}

/// The names that a PEM request asks to speak for. Errors: `Parse`, as for `CaTree::sign_server_request`.
pub fn names_of_request(request_pem: &str) -> Result<Vec<SubjectName>, TrustError> {
    let request = CertificateSigningRequestParams::from_pem(request_pem)
        .map_err(|source| TrustError::Parse { what: "certificate request", reason: source.to_string() })?;
    requested_names(&request.params)
}

fn requested_names(params: &CertificateParams) -> Result<Vec<SubjectName>, TrustError> {
    let refused = |reason: &str| TrustError::Parse { what: "certificate request", reason: reason.to_owned() };
    if params.subject_alt_names.is_empty() {
        return Err(refused("it has no subject alternative name"));
    }
    let name = |san: &SanType| match san {
        SanType::DnsName(name) => Ok(SubjectName::from(name.as_str())),
        SanType::IpAddress(address) => Ok(SubjectName::Ip(*address)),
        _ => Err(refused("it has a subject alternative name that is neither a DNS name nor an address")),
    };
    params.subject_alt_names.iter().map(name).collect()
}

fn verify_client(
    verifier: &dyn rustls::server::danger::ClientCertVerifier,
    chain: &[CertificateDer<'static>],
    clock: &Clock,
) -> Result<Verified, TrustError> {
    let refused = |reason: String| TrustError::NotAccepted { reason };
    let (leaf, intermediates) = chain.split_first().ok_or_else(|| refused("there is none".to_owned()))?;
    if chain.len() > 4 {
        return Err(refused("its chain is over the limit of 4".to_owned()));
    }
    verifier.verify_client_cert(leaf, intermediates, tls::unix_time(clock)).map_err(|source| refused(source.to_string()))?;
    let (_, not_after, common_name, organizations) = parse(leaf)?;
    Ok(Verified { common_name, organizations, not_after })
}

fn verifier(anchor: &CertificateDer<'static>) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TrustError> {
    let mut roots = RootCertStore::empty();
    roots.add(anchor.clone()).map_err(|source| TrustError::Tls { source })?;
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), tls::provider_arc())
        .build()
        .map_err(|source| TrustError::Parse { what: "client anchor", reason: source.to_string() })
}

fn fresh_key() -> Result<KeyPair, TrustError> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(|source| TrustError::Make { what: "key", source })
}

fn subject(common_name: &str, organization: Option<&str>) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    if let Some(organization) = organization {
        subject.push(DnType::OrganizationName, organization);
    }
    subject.push(DnType::CommonName, common_name);
    subject
}

fn dated(now: Timestamp, life: SignedDuration) -> (time::OffsetDateTime, time::OffsetDateTime) {
    let date =
        |at: Timestamp| time::OffsetDateTime::from_unix_timestamp(at.as_second()).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    (date(now.saturating_sub(DATED_BACK).unwrap_or(Timestamp::UNIX_EPOCH)), date(now.saturating_add(life).unwrap_or(now)))
}

fn leaf_params(now: Timestamp, life: Lifetime, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let (not_before, not_after) = dated(now, life.0);
    let mut params = CertificateParams::default();
    params.not_before = not_before;
    params.not_after = not_after;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    params
}

fn ca_params(now: Timestamp, name: &str, below: u8, usages: Vec<ExtendedKeyUsagePurpose>) -> CertificateParams {
    let (not_before, not_after) = dated(now, CA_LIFE);
    let mut params = CertificateParams::default();
    params.not_before = not_before;
    params.not_after = not_after;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = usages;
    params.distinguished_name = subject(name, Some("Irori"));
    params
}

/// Makes the tree in a folder beside, which takes its name only when it is whole.
fn create(folder: &Path, scope: &Scope, now: Timestamp) -> Result<(), TrustError> {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".making");
    let making = folder.with_file_name(name);
    let failed = |source| TrustError::Write { path: making.clone(), source };
    if making.exists() {
        fs::remove_dir_all(&making).map_err(failed)?;
    }
    let made = |source| TrustError::Make { what: "CA certificate", source };

    let root_key = fresh_key()?;
    let mut params = ca_params(now, &format!("Irori root of {}", scope.domain), 1, Vec::new());
    params.name_constraints = Some(scope.constraints());
    let root = params.self_signed(&root_key).map_err(made)?;
    save(&making, "root", &root.pem(), &root_key)?;
    let issuer = Issuer::new(params, root_key);

    let tree = [
        ("servers", ExtendedKeyUsagePurpose::ServerAuth),
        ("clients", ExtendedKeyUsagePurpose::ClientAuth),
        ("front-proxy", ExtendedKeyUsagePurpose::ClientAuth),
    ];
    for (stem, usage) in tree {
        let key = fresh_key()?;
        let mut params = ca_params(now, &format!("Irori {stem} of {}", scope.domain), 0, vec![usage]);
        params.use_authority_key_identifier_extension = true;
        save(&making, stem, &params.signed_by(&key, &issuer).map_err(made)?.pem(), &key)?;
    }
    write_secret(&making.join("sa.key"), fresh_key()?.serialize_pem().as_bytes())?;
    write_secret(&making.join("domain"), scope.domain.as_bytes())?;
    fs::rename(&making, folder).map_err(failed)?;
    let parent = folder.parent().ok_or_else(|| failed(std::io::ErrorKind::InvalidInput.into()))?;
    fs::File::open(parent).and_then(|dir| dir.sync_all()).map_err(failed)
}

fn save(folder: &Path, stem: &str, pem: &str, key: &KeyPair) -> Result<(), TrustError> {
    Identity { certificate_pem: pem.to_owned(), key_pem: key.serialize_pem() }.save(folder, stem)
}

fn load(folder: &Path, stem: &str) -> Result<Authority, TrustError> {
    let incomplete = || TrustError::Incomplete { folder: folder.to_owned(), missing: format!("{stem}.crt or {stem}.key") };
    let saved = Identity::load(folder, stem)?.ok_or_else(incomplete)?;
    let broken = |source: rcgen::Error| TrustError::Parse { what: "CA", reason: format!("{stem}: {source}") };
    let key = KeyPair::from_pem(&saved.key_pem).map_err(broken)?;
    let issuer = Issuer::from_ca_cert_pem(&saved.certificate_pem, key).map_err(broken)?;
    Ok(Authority { certificate: saved.chain()?.swap_remove(0), pem: saved.certificate_pem, issuer })
}

fn load_text(folder: &Path, name: &str) -> Result<String, TrustError> {
    let bytes = crate::read_secret(&folder.join(name))?
        .ok_or_else(|| TrustError::Incomplete { folder: folder.to_owned(), missing: name.to_owned() })?;
    String::from_utf8(bytes).map_err(|source| TrustError::Parse { what: "trust folder", reason: source.to_string() })
}

#[cfg(test)]
mod tests;
