//! Which certificate answers which server name.
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, RwLock},
};

use irori_client::Key;
use irori_trust::Identity;
use k8s_openapi::api::core::v1::Secret;
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tracing::warn;

use crate::{gateway::Tables, table::Table};

/// The certificates of all Secrets that Ingresses name. A name that none speaks for ends the handshake.
pub struct Certificates {
    tables: Tables,
    by_secret: RwLock<HashMap<Key, (String, Arc<CertifiedKey>)>>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificates(..)")
    }
}

impl Certificates {
    pub fn new(tables: Tables) -> Arc<Self> {
        Arc::new(Self { tables, by_secret: RwLock::default() })
    }

    /// Takes the certificates of the Secrets that the table names; a broken one is told and the one before it stays.
    pub fn load(&self, table: &Table, secret: &dyn Fn(&Key) -> Option<Arc<Secret>>) {
        let mut known = self.by_secret.write().expect("no holder of this lock panics");
        let mut loaded = HashMap::new();
        for key in table.secrets() {
            let before = known.remove(key);
            let Some(secret) = secret(key) else { continue };
            let version = secret.metadata.resource_version.clone().unwrap_or_default();
            let fresh = match before {
                Some((seen, certified)) if seen == version => Some((seen, certified)),
                before => match certified(&secret) {
                    Ok(certified) => Some((version, certified)),
                    Err(reason) => {
                        warn!(secret = ?key, "read TLS secret: {reason}");
                        before
                    }
                },
            };
            loaded.extend(fresh.map(|entry| (key.clone(), entry)));
        }
        *known = loaded;
    }
}

fn certified(secret: &Secret) -> Result<Arc<CertifiedKey>, String> {
    let field = |name: &str| {
        let bytes = secret.data.as_ref().and_then(|data| data.get(name)).ok_or_else(|| format!("`{name}` is missing"))?;
        String::from_utf8(bytes.0.clone()).map_err(|_| format!("`{name}` is not PEM"))
    };
    let identity = Identity { certificate_pem: field("tls.crt")?, key_pem: field("tls.key")? };
    identity.certified_key().map_err(|source| source.to_string())
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?.to_ascii_lowercase();
        let table = self.tables.present();
        let key = table.secret_for(&name)?;
        self.by_secret.read().expect("no holder of this lock panics").get(key).map(|(_, certified)| certified.clone())
    }
}
