//! The keys of a home that several servers share: the files of the CA tree in one piece, sealed (`seal`) under a root key that every server is
//! given.
use std::{collections::BTreeMap, fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::{
    TrustError, read_secret,
    seal::{Keyring, SealError, Unlock},
    write_secret,
};

/// The files of a CA tree.
const FILES: [&str; 10] = [
    "root.crt",
    "root.key",
    "servers.crt",
    "servers.key",
    "clients.crt",
    "clients.key",
    "front-proxy.crt",
    "front-proxy.key",
    "sa.key",
    "domain",
];

/// What lies in the store: the wrapped data key, and the tree sealed with it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shared {
    keys: String,
    tree: String,
}

fn broken(reason: &dyn std::fmt::Display) -> TrustError {
    TrustError::Parse { what: "shared keys", reason: reason.to_string() }
}

/// Seals the CA tree in a folder, for a place of this name. A missing key file is made.
pub fn seal_tree(unlock: &Unlock, name: &str, folder: &Path) -> Result<Vec<u8>, SealError> {
    let ring = Keyring::create(unlock, 0)?;
    let tree = STANDARD.encode(ring.seal(name, &pack_tree(folder)?)?);
    let keys = String::from_utf8(ring.record()?).map_err(|source| broken(&source))?;
    Ok(serde_json::to_vec(&Shared { keys, tree }).map_err(|source| broken(&source))?)
}

/// Opens what `seal_tree` sealed for the same place: a packed tree.
pub fn open_tree(unlock: &Unlock, name: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    let shared: Shared = serde_json::from_slice(sealed).map_err(|source| broken(&source))?;
    let ring = Keyring::unlock(shared.keys.as_bytes(), unlock)?;
    ring.open(name, &STANDARD.decode(shared.tree).map_err(|source| broken(&source))?)
}

/// The files of the CA tree in a folder, in one piece.
pub fn pack_tree(folder: &Path) -> Result<Vec<u8>, TrustError> {
    let mut files = BTreeMap::new();
    for name in FILES {
        let bytes = read_secret(&folder.join(name))?
            .ok_or_else(|| TrustError::Incomplete { folder: folder.to_owned(), missing: name.to_owned() })?;
        files.insert(name, String::from_utf8(bytes).map_err(|source| broken(&source))?);
    }
    serde_json::to_vec(&files).map_err(|source| broken(&source))
}

/// Writes a packed tree to a folder that is not there yet. A crash leaves nothing or all of it.
pub fn unpack_tree(packed: &[u8], folder: &Path) -> Result<(), TrustError> {
    let files: BTreeMap<String, String> = serde_json::from_slice(packed).map_err(|source| broken(&source))?;
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".making");
    let making = folder.with_file_name(name);
    let failed = |source| TrustError::Write { path: making.clone(), source };
    if making.exists() {
        fs::remove_dir_all(&making).map_err(failed)?;
    }
    for name in FILES {
        let text = files.get(name).ok_or_else(|| broken(&format!("`{name}` is missing")))?;
        write_secret(&making.join(name), text.as_bytes())?;
    }
    fs::rename(&making, folder).map_err(failed)
}

#[cfg(test)]
mod tests {
    use irori_runtime::{Clock, SignedDuration, Timestamp};

    use super::*;
    use crate::CaTree;

    #[test]
    fn a_tree_goes_from_one_server_to_another_under_the_shared_key_alone() {
        let folder = tempfile::tempdir().expect("make a folder");
        let at = |name: &str| folder.path().join(name);
        let clock = Clock::system(Timestamp::UNIX_EPOCH, SignedDuration::ZERO);
        let first = CaTree::open(&at("one"), "home.arpa", &clock).expect("make a tree");
        let key = Unlock::KeyFile(at("key"));
        let sealed = seal_tree(&key, "irori/trust", &at("one")).expect("seal");
        let text = String::from_utf8(sealed.clone()).expect("text");
        assert!(!text.contains("PRIVATE") && !text.contains("UFJJVkFURSBLRVk"), "neither as it is nor in base64");

        unpack_tree(&open_tree(&key, "irori/trust", &sealed).expect("open"), &at("other")).expect("unpack");
        let other = CaTree::open(&at("other"), "home.arpa", &clock).expect("open the tree");
        assert_eq!(other.root_pem(), first.root_pem());

        Keyring::create(&Unlock::KeyFile(at("stranger")), 0).expect("make a key");
        let opened = |key: &str, name: &str| open_tree(&Unlock::KeyFile(at(key)), name, &sealed);
        assert!(matches!(opened("stranger", "irori/trust"), Err(SealError::WrongKey)));
        assert!(matches!(opened("nowhere", "irori/trust"), Err(SealError::KeyFileMissing { .. })));
        assert!(matches!(opened("key", "irori/elsewhere"), Err(SealError::Damaged { .. })));
        assert!(open_tree(&key, "irori/trust", &sealed[..50]).is_err());
    }
}
