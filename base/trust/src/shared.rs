//! The keys of a home that several servers share: the files of the CA tree in one piece, sealed under a key that every server is given.
//!
//! Form: a byte 1, the nonce (12 bytes), then the ciphertext with its tag (AES-256-GCM-SIV, the name under which it lies as associated data).
use std::{collections::BTreeMap, fs, path::Path};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};

use crate::{TrustError, read_secret, write_secret};

const FORMAT: u8 = 1;
const KEY_BYTES: usize = 32;
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

/// The key that servers of one home have in common.
pub struct SharedKey(RandomizedNonceKey);

impl SharedKey {
    /// Reads a key file: 64 hexadecimal digits. `None` where there is none.
    pub fn load(path: &Path) -> Result<Option<Self>, TrustError> {
        let Some(text) = read_secret(path)? else { return Ok(None) };
        let digits = text.trim_ascii();
        let digit = |byte: &u8| (*byte as char).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let bytes: Option<Vec<u8>> =
            digits.chunks(2).map(|pair| Some(digit(pair.first()?)? << 4 | digit(pair.get(1)?)?)).collect();
        match bytes {
            Some(bytes) if bytes.len() == KEY_BYTES => Self::of(&bytes).map(Some),
            _ => Err(broken(&format!("`{}` does not hold 64 hexadecimal digits", path.display()))),
        }
    }

    /// Makes a key and writes it to a file (0600).
    pub fn create(path: &Path) -> Result<Self, TrustError> {
        let mut bytes = [0; KEY_BYTES];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| broken("there is no randomness"))?;
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        write_secret(path, digits.as_bytes())?;
        Self::of(&bytes)
    }

    fn of(bytes: &[u8]) -> Result<Self, TrustError> {
        RandomizedNonceKey::new(&AES_256_GCM_SIV, bytes).map(Self).map_err(|_| broken("it has not the length of a key"))
    }

    /// Seals something that will lie under a name.
    pub fn seal(&self, name: &str, plain: &[u8]) -> Result<Vec<u8>, TrustError> {
        let mut text = plain.to_vec();
        let sealed = self.0.seal_in_place_append_tag(Aad::from(name.as_bytes()), &mut text);
        let nonce = sealed.map_err(|_| broken("sealing failed"))?;
        Ok([&[FORMAT], nonce.as_ref().as_slice(), &text].concat())
    }

    /// Opens what was sealed under the same key for the same name.
    pub fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, TrustError> {
        let Some((&FORMAT, rest)) = sealed.split_first() else {
            return Err(broken("they have a form that this version does not know"));
        };
        let (nonce, text) = rest.split_at_checked(NONCE_LEN).ok_or_else(|| broken("they are cut short"))?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| broken("they are cut short"))?;
        let mut text = text.to_vec();
        let opened = self.0.open_in_place(nonce, Aad::from(name.as_bytes()), &mut text);
        opened.map(|plain| plain.to_vec()).map_err(|_| broken("they were sealed under another key, or changed since"))
    }
}

fn broken(reason: &str) -> TrustError {
    TrustError::Parse { what: "shared keys", reason: reason.to_owned() }
}

/// The files of the CA tree in a folder, in one piece.
pub fn pack_tree(folder: &Path) -> Result<Vec<u8>, TrustError> {
    let mut files = BTreeMap::new();
    for name in FILES {
        let bytes = read_secret(&folder.join(name))?
            .ok_or_else(|| TrustError::Incomplete { folder: folder.to_owned(), missing: name.to_owned() })?;
        files.insert(name, String::from_utf8(bytes).map_err(|_| broken(&format!("`{name}` is not text")))?);
    }
    serde_json::to_vec(&files).map_err(|source| broken(&source.to_string()))
}

/// Writes a packed tree to a folder that is not there yet. A crash leaves nothing or all of it.
pub fn unpack_tree(packed: &[u8], folder: &Path) -> Result<(), TrustError> {
    let files: BTreeMap<String, String> = serde_json::from_slice(packed).map_err(|source| broken(&source.to_string()))?;
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
        let key = SharedKey::create(&at("key")).expect("make a key");
        let sealed = key.seal("irori/trust", &pack_tree(&at("one")).expect("pack")).expect("seal");
        assert!(!String::from_utf8_lossy(&sealed).contains("PRIVATE KEY"));

        let given = SharedKey::load(&at("key")).expect("read a key").expect("is there");
        unpack_tree(&given.open("irori/trust", &sealed).expect("open"), &at("other")).expect("unpack");
        let other = CaTree::open(&at("other"), "home.arpa", &clock).expect("open the tree");
        assert_eq!(other.root_pem(), first.root_pem());

        let stranger = SharedKey::create(&at("stranger")).expect("make a key");
        assert!(stranger.open("irori/trust", &sealed).is_err());
        assert!(given.open("irori/elsewhere", &sealed).is_err());
        for byte in [0, 1, 20, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[byte] ^= 1;
            assert!(given.open("irori/trust", &changed).is_err(), "byte {byte}");
        }
        assert!(given.open("irori/trust", &sealed[..5]).is_err());
    }

    #[test]
    fn a_key_file_is_64_hexadecimal_digits() {
        let folder = tempfile::tempdir().expect("make a folder");
        let path = folder.path().join("key");
        assert!(SharedKey::load(&path).expect("no error").is_none());
        for bad in ["", "ab", &"g".repeat(64), &"a".repeat(63), &"a".repeat(66)] {
            std::fs::write(&path, bad).expect("write");
            assert!(SharedKey::load(&path).is_err(), "{bad}");
        }
        std::fs::write(&path, format!("{}\n", "aB".repeat(32))).expect("write");
        assert!(SharedKey::load(&path).expect("no error").is_some());
    }
}
