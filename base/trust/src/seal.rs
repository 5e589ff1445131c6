//! Sealing of values at rest: a root key, and data keys that it wraps, one per generation.
//!
//! A sealed value: `2 · generation u32, big endian · nonce, 12 bytes · ciphertext and tag`, by AES-256-GCM-SIV (RFC 8452). What is
//! authenticated besides is the head and the name that the value is stored under, so that a value in another place does not open. Nonces
//! are random; the algorithm forgives a repeated one, and a generation is to be followed by a new one before `VALUES_MAX` values.
//! The root key comes from a file of 64 hexadecimal digits, or from a passphrase by Argon2id (RFC 9106). It seals nothing but data keys.
use std::{
    fmt,
    path::{Path, PathBuf},
};

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey},
    rand,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use crate::{TrustError, files::link_durably, read_secret, rename_durably, write_secret};

/// First byte of every sealed value.
pub const SEALED: u8 = 2;
/// Values that one generation may seal: far below where random nonces of 96 bits begin to meet (RFC 8452, section 9).
pub const VALUES_MAX: u64 = 1 << 32;
/// Generations kept; values of an older one have to be sealed anew before there is another.
pub const GENERATIONS_MAX: usize = 64;
const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
const HEAD_BYTES: usize = 5;
const RECORD_FORMAT: u32 = 1;
/// Memory of one derivation from a passphrase: RFC 9106's second recommendation, for machines with little memory.
const ARGON2_MEMORY_KIB: u32 = 64 << 10;
const ARGON2_PASSES: u32 = 3;
const ARGON2_LANES: u32 = 4;
/// Memory that a record may ask for; more is taken for damage.
const ARGON2_MEMORY_KIB_MAX: u32 = 1 << 20;
/// Bytes of the shortest passphrase.
const PASSPHRASE_BYTES_MIN: usize = 12;

#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("the key does not open this store: it was sealed with another key file or passphrase")]
    WrongKey,
    #[error("the store is sealed with a passphrase, and none was given")]
    PassphraseNeeded,
    #[error("the store is sealed with a key file, and a passphrase was given")]
    KeyFileNeeded,
    #[error("key file `{path}` is missing, and the store is sealed with it; bring it back from where it was copied to")]
    KeyFileMissing { path: String },
    #[error("key file `{path}` does not hold 64 hexadecimal digits")]
    KeyFileMalformed { path: String },
    #[error("the passphrase has fewer than {PASSPHRASE_BYTES_MIN} bytes")]
    PassphraseShort,
    #[error("the record of the data keys cannot be read: {reason}")]
    Record { reason: String },
    #[error("the record of the data keys has format {found}; this version knows up to {RECORD_FORMAT}")]
    Newer { found: u32 },
    #[error("`{name}` does not open: it was changed, or belongs elsewhere")]
    Damaged { name: String },
    #[error("`{name}` is sealed with generation {generation}, which is not known")]
    UnknownGeneration { name: String, generation: u32 },
    #[error("the system gives no random numbers")]
    Random,
    #[error("there are {GENERATIONS_MAX} generations of data keys; seal the values of older ones anew first")]
    TooManyGenerations,
    #[error("read or make the key file")]
    File(#[from] TrustError),
}

/// Where the root key comes from.
#[derive(Clone)]
pub enum Unlock {
    /// A file, made at the first start.
    KeyFile(PathBuf),
    Passphrase(Passphrase),
}

/// A root key that data keys are to be wrapped with from now on.
pub enum NewRoot {
    Key([u8; KEY_BYTES]),
    Passphrase(Passphrase),
}

/// Never shown.
#[derive(Clone)]
pub struct Passphrase(String);

impl Passphrase {
    /// Takes a passphrase as it was typed, without the end of its line.
    pub fn new(text: &str) -> Result<Self, SealError> {
        let text = text.trim_end_matches(['\r', '\n']);
        if text.len() < PASSPHRASE_BYTES_MIN { Err(SealError::PassphraseShort) } else { Ok(Self(text.to_owned())) }
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}

impl fmt::Debug for Unlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyFile(path) => write!(f, "KeyFile({})", path.display()),
            Self::Passphrase(_) => f.write_str("Passphrase"),
        }
    }
}

/// How a passphrase becomes a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Argon2id {
    salt: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Record {
    format: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    argon2id: Option<Argon2id>,
    generations: Vec<WrappedKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrappedKey {
    id: u32,
    /// The store's revision when it began.
    began: u64,
    key: String,
}

struct Generation {
    id: u32,
    began: u64,
    bytes: [u8; KEY_BYTES],
    key: LessSafeKey,
}

/// The data keys of a store, unlocked. Holds secrets; shows none.
pub struct Keyring {
    root: [u8; KEY_BYTES],
    argon2id: Option<Argon2id>,
    /// Ascending; never empty.
    generations: Vec<Generation>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({} generations)", self.generations.len())
    }
}

impl Keyring {
    /// A new keyring with one generation. A missing key file is made.
    pub fn create(unlock: &Unlock, began: u64) -> Result<Self, SealError> {
        let (root, argon2id) = match unlock {
            Unlock::KeyFile(path) => {
                let key = match read_key(path)? {
                    Some(key) => key,
                    None => make_key(path)?,
                };
                (key, None)
            }
            Unlock::Passphrase(passphrase) => fresh_key_of(passphrase)?,
        };
        Ok(Self { root, argon2id, generations: vec![Generation::new(1, began)?] })
    }

    /// Opens the record that `record` made.
    pub fn unlock(record: &[u8], unlock: &Unlock) -> Result<Self, SealError> {
        let record = Record::read(record)?;
        let root = match (unlock, &record.argon2id) {
            (Unlock::KeyFile(path), None) => return Self::by_file(path, &record),
            (Unlock::Passphrase(passphrase), Some(how)) => key_of_passphrase(passphrase, how)?,
            (Unlock::KeyFile(_), Some(_)) => return Err(SealError::PassphraseNeeded),
            (Unlock::Passphrase(_), None) => return Err(SealError::KeyFileNeeded),
        };
        Self::unwrap(root, &record)
    }

    /// Opens a record with a key file, or with the one that is to follow it: then a change of key was cut off after the record was written,
    /// and is ended here.
    fn by_file(path: &Path, record: &Record) -> Result<Self, SealError> {
        let missing = || SealError::KeyFileMissing { path: path.display().to_string() };
        let refused = match read_key(path)?.map(|key| Self::unwrap(key, record)) {
            None => missing(),
            Some(Err(SealError::WrongKey)) => SealError::WrongKey,
            Some(done) => return done,
        };
        let next = next_key(path);
        match read_key(&next)?.map(|key| Self::unwrap(key, record)) {
            Some(Ok(keys)) => {
                take_next_key(path)?;
                Ok(keys)
            }
            _ => Err(refused),
        }
    }

    /// Opens a newer record of the same store.
    pub fn follow(&self, record: &[u8]) -> Result<Self, SealError> {
        Self::unwrap(self.root, &Record::read(record)?)
    }

    fn unwrap(root: [u8; KEY_BYTES], record: &Record) -> Result<Self, SealError> {
        let key = cipher(&root);
        let mut generations: Vec<Generation> = Vec::new();
        for wrapped in &record.generations {
            if generations.last().is_some_and(|last| last.id >= wrapped.id) {
                return Err(malformed(&"the generations are not in order"));
            }
            let bytes = STANDARD.decode(&wrapped.key).map_err(|e| malformed(&e))?;
            let aad = wrapping(wrapped.id, wrapped.began, record.argon2id.as_ref());
            let bytes = open(&key, &aad, &bytes).ok_or(SealError::WrongKey)?;
            let bytes = bytes.try_into().map_err(|_| malformed(&"a data key has another length"))?;
            generations.push(Generation { id: wrapped.id, began: wrapped.began, bytes, key: cipher(&bytes) });
        }
        if generations.is_empty() {
            return Err(malformed(&"there is no data key"));
        }
        Ok(Self { root, argon2id: record.argon2id.clone(), generations })
    }

    /// The same data keys, to be wrapped with another root key.
    pub fn rewrapped(&self, root: &NewRoot) -> Result<Self, SealError> {
        let (root, argon2id) = match root {
            NewRoot::Key(key) => (*key, None),
            NewRoot::Passphrase(passphrase) => fresh_key_of(passphrase)?,
        };
        Ok(Self { root, argon2id, generations: self.generations.iter().map(Generation::again).collect() })
    }

    /// Whether the root key comes from a passphrase.
    pub fn by_passphrase(&self) -> bool {
        self.argon2id.is_some()
    }

    /// The data keys, wrapped: what is kept beside the values.
    pub fn record(&self) -> Result<Vec<u8>, SealError> {
        let root = cipher(&self.root);
        let wrap = |generation: &Generation| {
            let aad = wrapping(generation.id, generation.began, self.argon2id.as_ref());
            let key = STANDARD.encode(seal(&root, &aad, &generation.bytes)?);
            Ok(WrappedKey { id: generation.id, began: generation.began, key })
        };
        let generations = self.generations.iter().map(wrap).collect::<Result<_, SealError>>()?;
        let record = Record { format: RECORD_FORMAT, argon2id: self.argon2id.clone(), generations };
        serde_json::to_vec(&record).map_err(|e| SealError::Record { reason: e.to_string() })
    }

    /// The generation that seals now, and the revision at which it began.
    pub fn newest(&self) -> (u32, u64) {
        let newest = self.generations.last().expect("a keyring has a generation");
        (newest.id, newest.began)
    }

    /// The oldest generation that is still known.
    pub fn oldest(&self) -> u32 {
        self.generations.first().expect("a keyring has a generation").id
    }

    /// The same with a new generation.
    pub fn rotated(&self, began: u64) -> Result<Self, SealError> {
        if self.generations.len() >= GENERATIONS_MAX {
            return Err(SealError::TooManyGenerations);
        }
        let mut generations: Vec<Generation> = self.generations.iter().map(Generation::again).collect();
        generations.push(Generation::new(self.newest().0 + 1, began)?);
        Ok(Self { root: self.root, argon2id: self.argon2id.clone(), generations })
    }

    /// The same without all generations but the newest: nothing is sealed with them any more.
    pub fn retired(&self) -> Self {
        let newest = self.generations.last().expect("a keyring has a generation");
        Self { root: self.root, argon2id: self.argon2id.clone(), generations: vec![newest.again()] }
    }

    pub fn generations(&self) -> usize {
        self.generations.len()
    }

    /// Seals a value that will be stored under `name`.
    pub fn seal(&self, name: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let newest = self.generations.last().expect("a keyring has a generation");
        let mut sealed = Vec::with_capacity(HEAD_BYTES + NONCE_BYTES + plain.len() + AES_256_GCM_SIV.tag_len());
        sealed.push(SEALED);
        sealed.extend(newest.id.to_be_bytes());
        let body = seal(&newest.key, &authenticated(&sealed, name), plain)?;
        sealed.extend(body);
        Ok(sealed)
    }

    /// Opens a value that is stored under `name`.
    pub fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let damaged = || SealError::Damaged { name: name.to_owned() };
        let generation = generation_of(sealed).ok_or_else(damaged)?;
        let key = self.generations.iter().rev().find(|known| known.id == generation);
        let key = key.ok_or_else(|| SealError::UnknownGeneration { name: name.to_owned(), generation })?;
        let (head, body) = sealed.split_at(HEAD_BYTES);
        open(&key.key, &authenticated(head, name), body).ok_or_else(damaged)
    }
}

/// The generation that sealed a value; `None` if it is not sealed.
pub fn generation_of(value: &[u8]) -> Option<u32> {
    match value {
        [SEALED, a, b, c, d, ..] => Some(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => None,
    }
}

impl Generation {
    fn new(id: u32, began: u64) -> Result<Self, SealError> {
        let bytes = random()?;
        Ok(Self { id, began, bytes, key: cipher(&bytes) })
    }

    fn again(&self) -> Self {
        Self { id: self.id, began: self.began, bytes: self.bytes, key: cipher(&self.bytes) }
    }
}

impl Record {
    fn read(bytes: &[u8]) -> Result<Self, SealError> {
        let record: serde_json::Value = serde_json::from_slice(bytes).map_err(|e| malformed(&e))?;
        let found = record.get("format").and_then(serde_json::Value::as_u64).unwrap_or_default();
        if found > u64::from(RECORD_FORMAT) {
            return Err(SealError::Newer { found: u32::try_from(found).unwrap_or(u32::MAX) });
        }
        serde_json::from_value(record).map_err(|e| malformed(&e))
    }
}

fn malformed(reason: &dyn fmt::Display) -> SealError {
    SealError::Record { reason: reason.to_string() }
}

fn random<const N: usize>() -> Result<[u8; N], SealError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| SealError::Random)?;
    Ok(bytes)
}

fn cipher(key: &[u8; KEY_BYTES]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM_SIV, key).expect("the key has the algorithm's length"))
}

fn seal(key: &LessSafeKey, aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, SealError> {
    let nonce = random::<NONCE_BYTES>()?;
    let mut body = plain.to_vec();
    let sealed = key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut body);
    sealed.map_err(|_| SealError::Random)?;
    Ok([nonce.as_slice(), &body].concat())
}

fn open(key: &LessSafeKey, aad: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = body.split_first_chunk::<NONCE_BYTES>()?;
    let mut sealed = sealed.to_vec();
    let plain = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut sealed).ok()?.len();
    sealed.truncate(plain);
    Some(sealed)
}

fn authenticated(head: &[u8], name: &str) -> Vec<u8> {
    [b"irori value\0", head, name.as_bytes()].concat()
}

fn wrapping(id: u32, began: u64, how: Option<&Argon2id>) -> Vec<u8> {
    let how = how.map_or_else(String::new, |how| format!("{how:?}"));
    [b"irori data key\0".as_slice(), &id.to_be_bytes(), &began.to_be_bytes(), how.as_bytes()].concat()
}

/// A key file: 64 hexadecimal digits. `None` where there is none.
pub fn read_key(path: &Path) -> Result<Option<[u8; KEY_BYTES]>, SealError> {
    let Some(text) = read_secret(path)? else { return Ok(None) };
    parse_key(&text).map(Some).ok_or_else(|| SealError::KeyFileMalformed { path: path.display().to_string() })
}

/// A key as a key file has it.
pub fn parse_key(text: &[u8]) -> Option<[u8; KEY_BYTES]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?);
    let bytes: Option<Vec<u8>> = text.trim_ascii().chunks(2).map(pair).collect();
    bytes.and_then(|bytes| bytes.try_into().ok())
}

/// The same, written.
pub fn key_text(key: &[u8; KEY_BYTES]) -> String {
    key.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where the key lies that is to follow the one of a key file, until the change is done.
pub fn next_key(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".next");
    name.into()
}

/// The key that is to follow the one of a key file: that of a change that was cut off, since a store may be sealed with it already and
/// nothing else has it; a fresh one otherwise. Of several who ask at once all get the same.
pub fn make_next_key(path: &Path) -> Result<[u8; KEY_BYTES], SealError> {
    let next = next_key(path);
    if let Some(key) = read_key(&next)? {
        return Ok(key);
    }
    let mut fresh = next.clone().into_os_string();
    fresh.push(format!(".{}", std::process::id()));
    let fresh = PathBuf::from(fresh);
    make_key(&fresh)?;
    let named = link_durably(&fresh, &next);
    let _goes_anyway = std::fs::remove_file(&fresh);
    named.map_err(|source| TrustError::Write { path: next.clone(), source })?;
    read_key(&next)?.ok_or_else(|| SealError::KeyFileMissing { path: next.display().to_string() })
}

/// Puts the key that follows in the place of a key file.
pub fn take_next_key(path: &Path) -> Result<(), SealError> {
    rename_durably(&next_key(path), path).map_err(|source| TrustError::Write { path: path.to_owned(), source }.into())
}

/// Makes a key, and writes it to a file (0600).
pub fn make_key(path: &Path) -> Result<[u8; KEY_BYTES], SealError> {
    let key = random::<KEY_BYTES>()?;
    write_secret(path, key_text(&key).as_bytes())?;
    Ok(key)
}

/// A key of a passphrase with a salt of its own.
fn fresh_key_of(passphrase: &Passphrase) -> Result<([u8; KEY_BYTES], Option<Argon2id>), SealError> {
    let salt = STANDARD.encode(random::<16>()?);
    let how = Argon2id { salt, memory_kib: ARGON2_MEMORY_KIB, passes: ARGON2_PASSES, lanes: ARGON2_LANES };
    Ok((key_of_passphrase(passphrase, &how)?, Some(how)))
}

fn key_of_passphrase(passphrase: &Passphrase, how: &Argon2id) -> Result<[u8; KEY_BYTES], SealError> {
    if how.memory_kib > ARGON2_MEMORY_KIB_MAX {
        return Err(malformed(&format!("a derivation that takes {} KiB", how.memory_kib)));
    }
    let salt = STANDARD.decode(&how.salt).map_err(|e| malformed(&e))?;
    let params = argon2::Params::new(how.memory_kib, how.passes, how.lanes, Some(KEY_BYTES)).map_err(|e| malformed(&e))?;
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut key = [0; KEY_BYTES];
    argon2.hash_password_into(passphrase.0.as_bytes(), &salt, &mut key).map_err(|e| malformed(&e))?;
    Ok(key)
}

#[cfg(test)]
mod tests;
