//! Which store a server stands on, and the keys that servers of one store share.
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use irori_api::row::Tables;
use irori_runtime::Clock;
use irori_store::{Durability, EmbeddedStore, EtcdSettings, EtcdStore, Expect, Login, SealedStore, Store, StoreError, Write};
use irori_trust::{
    CaTree, Identity, TrustError, open_tree, pack_tree,
    seal::{Passphrase, SealError, Unlock},
    seal_tree, tls, unpack_tree,
};

use super::Context;

/// Where the shared keys lie: no path of the API leads there, since the first part of every other key is `core` or an API group's name.
const TRUST_KEY: &str = "irori/trust";

/// In the data folder of a server whose objects are in etcd: how far it has seen them.
const NOTED: &str = "etcd-revision";

#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreAt {
    /// Where objects are kept: in the data folder unless `etcd://HOST:PORT,HOST:PORT[/PREFIX]` says otherwise, which several servers of one
    /// home may share.
    #[arg(long, env = "IRORI_STORE", value_name = "WHERE", help_heading = "Store")]
    pub store: Option<String>,
    /// The CA of etcd's certificates (PEM); with it, etcd is spoken to over TLS.
    #[arg(long, value_name = "FILE", requires = "store", help_heading = "Store")]
    pub etcd_ca: Option<PathBuf>,
    /// Our certificate for etcd (PEM).
    #[arg(long, value_name = "FILE", requires_all = ["etcd_ca", "etcd_key"], help_heading = "Store")]
    pub etcd_cert: Option<PathBuf>,
    /// The key of our certificate for etcd (PEM).
    #[arg(long, value_name = "FILE", requires = "etcd_cert", help_heading = "Store")]
    pub etcd_key: Option<PathBuf>,
    /// Our user of etcd's own authentication.
    #[arg(long, value_name = "NAME", requires_all = ["store", "etcd_password_file"], help_heading = "Store")]
    pub etcd_user: Option<String>,
    /// A file with that user's password in its first line.
    #[arg(long, value_name = "FILE", requires = "etcd_user", help_heading = "Store")]
    pub etcd_password_file: Option<PathBuf>,
    /// The key that seals what the servers of one etcd share; DATA/shared.key by default. The first server makes it, and every other one is
    /// given a copy.
    #[arg(long, value_name = "FILE", requires = "store", help_heading = "Store")]
    pub shared_key: Option<PathBuf>,
    /// A resource whose objects are sealed at rest, such as `secrets` (the default) or `deployments.apps`; may be given more than once.
    #[arg(long = "seal", value_name = "RESOURCE", help_heading = "Sealing at rest")]
    pub seal: Vec<String>,
    /// The key that seals at rest; DATA/sealing.key by default, with etcd the shared key. Made at the first start: keep a copy elsewhere.
    #[arg(long, value_name = "FILE", conflicts_with = "sealing_passphrase_file", help_heading = "Sealing at rest")]
    pub sealing_key_file: Option<PathBuf>,
    /// A file with the passphrase that seals at rest, instead of a key file. A systemd credential named `irori-passphrase` does the same.
    #[arg(long, value_name = "FILE", help_heading = "Sealing at rest")]
    pub sealing_passphrase_file: Option<PathBuf>,
}

/// An address of the form `etcd://…`.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    endpoints: Vec<String>,
    prefix: Option<String>,
}

fn address(text: &str) -> Result<Address> {
    let usage = "expected etcd://HOST:PORT,HOST:PORT[/PREFIX]";
    let Some(rest) = text.strip_prefix("etcd://") else { bail!("`{text}` is no store: {usage}") };
    let (hosts, prefix) = rest.split_once('/').map_or((rest, None), |(hosts, prefix)| (hosts, Some(prefix)));
    let endpoint = |host: &str| {
        let host = host.trim();
        // `[::1]` has colons, and no port.
        let has_port = host.rsplit_once(':').is_some_and(|(name, port)| !name.is_empty() && port.parse::<u16>().is_ok());
        let bare = host.ends_with(']') || !host.contains(':');
        match (host.is_empty(), has_port, bare) {
            (false, true, false) => Ok(host.to_owned()),
            (false, _, true) => Ok(format!("{host}:2379")),
            _ => bail!("`{host}` is no address of an etcd member: {usage}"),
        }
    };
    let endpoints = hosts.split(',').map(endpoint).collect::<Result<_>>()?;
    let prefix = prefix.map(|prefix| prefix.trim_matches('/')).filter(|prefix| !prefix.is_empty());
    Ok(Address { endpoints, prefix: prefix.map(|prefix| format!("/{prefix}")) })
}

impl StoreAt {
    /// The same with what the home file says where no option was given. Its files are relative to `folder`.
    pub fn or(self, home: &irori_home::Store, folder: &Path) -> Self {
        let file = |given: Option<PathBuf>, said: &Option<String>| given.or_else(|| said.as_ref().map(|name| folder.join(name)));
        let seal = if self.seal.is_empty() { home.seal.clone() } else { self.seal };
        // Either of them takes the place of both.
        let unnamed = self.sealing_key_file.is_none() && self.sealing_passphrase_file.is_none();
        let sealing = |given, said: &Option<String>| if unnamed { file(given, said) } else { given };
        let sealing_key_file = sealing(self.sealing_key_file, &home.sealing_key_file);
        let sealing_passphrase_file = sealing(self.sealing_passphrase_file, &home.sealing_passphrase_file);
        let at = Self { seal, sealing_key_file, sealing_passphrase_file, ..self };
        // An etcd that is named on the command line has nothing of the other.
        let Some(etcd) = home.etcd.as_ref().filter(|_| at.store.is_none()) else { return at };
        let prefix = etcd.prefix.as_ref().map(|prefix| format!("/{}", prefix.trim_matches('/'))).unwrap_or_default();
        Self {
            store: Some(format!("etcd://{}{prefix}", etcd.members.join(","))),
            etcd_ca: file(at.etcd_ca, &etcd.ca_file),
            etcd_cert: file(at.etcd_cert, &etcd.cert_file),
            etcd_key: file(at.etcd_key, &etcd.key_file),
            etcd_user: at.etcd_user.or_else(|| etcd.user.clone()),
            etcd_password_file: file(at.etcd_password_file, &etcd.password_file),
            shared_key: file(at.shared_key, &etcd.shared_key_file),
            seal: at.seal,
            sealing_key_file: at.sealing_key_file,
            sealing_passphrase_file: at.sealing_passphrase_file,
        }
    }

    /// Finds what is wrong with what was asked for, before anything is started.
    pub fn check(&self) -> Result<()> {
        if !self.seal.is_empty() {
            self.sealed_prefixes()?;
        }
        self.store.as_deref().map_or(Ok(()), |at| address(at).map(drop))
    }

    /// Whether other servers may stand on the same store.
    pub fn is_shared(&self) -> bool {
        self.store.is_some()
    }

    /// The same as words of a command line, for a process that is started in the background.
    pub fn words(&self) -> Result<Vec<String>> {
        let path = |path: &Option<PathBuf>| -> Result<Option<String>> {
            let Some(path) = path else { return Ok(None) };
            let whole = path.canonicalize().unwrap_or_else(|_| path.clone());
            Ok(Some(whole.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?.to_owned()))
        };
        let given = [
            ("--store", self.store.clone()),
            ("--etcd-ca", path(&self.etcd_ca)?),
            ("--etcd-cert", path(&self.etcd_cert)?),
            ("--etcd-key", path(&self.etcd_key)?),
            ("--etcd-user", self.etcd_user.clone()),
            ("--etcd-password-file", path(&self.etcd_password_file)?),
            ("--shared-key", path(&self.shared_key)?),
        ];
        let sealing = [
            ("--sealing-key-file", path(&self.sealing_key_file)?),
            ("--sealing-passphrase-file", path(&self.sealing_passphrase_file)?),
        ];
        let sealed = self.seal.iter().map(|resource| ("--seal", Some(resource.clone())));
        let given = given.into_iter().chain(sealing).chain(sealed);
        Ok(given.filter_map(|(flag, value)| Some([flag.to_owned(), value?])).flatten().collect())
    }

    /// Opens the store and the home's keys.
    pub async fn open(&self, context: &Context, domain: &str) -> Result<(Arc<dyn Store>, Arc<CaTree>)> {
        let Context { data, clock, store_tasks, .. } = context;
        let Some(at) = &self.store else {
            let prefixes = self.sealed_prefixes()?;
            let unlock = self.unlock(data.root().join("sealing.key"))?;
            ensure!(
                data.store().exists() || !data.root().join(NOTED).exists(),
                "the objects of the home in `{}` are in etcd: name it by --store etcd://… or in the home file, or restore a backup here",
                data.root().display()
            );
            let store = EmbeddedStore::open(irori_store::Settings::at(&data.store())?, store_tasks)?;
            let store = SealedStore::open(store, &unlock, prefixes).await?;
            // The home's keys come last: a store that does not open must not leave new ones behind.
            return Ok((store, Arc::new(CaTree::open(&data.trust(), domain, clock)?)));
        };
        ensure!(
            !data.store().exists(),
            "`{}` holds a store of its own; a home moves to etcd with an empty data folder",
            data.store().display()
        );
        let address = address(at)?;
        let prefix = address.prefix.unwrap_or_else(|| format!("/irori/{domain}"));
        let settings = EtcdSettings {
            tls: self.tls(clock)?,
            login: self.login()?,
            noted: Some(data.root().join(NOTED)),
            ..EtcdSettings::at(address.endpoints, &prefix, clock.clone())
        };
        let prefixes = self.sealed_prefixes()?;
        let store = EtcdStore::open(settings, store_tasks).await?;
        let trust = self.shared_trust(store.as_ref(), context, domain).await?;
        let unlock = self.unlock(self.shared_key_file(context))?;
        Ok((SealedStore::open(store, &unlock, prefixes).await?, trust))
    }

    fn shared_key_file(&self, context: &Context) -> PathBuf {
        self.shared_key.clone().unwrap_or_else(|| context.data.root().join("shared.key"))
    }

    /// What unlocks the sealed values: `otherwise` where no key is named.
    fn unlock(&self, otherwise: PathBuf) -> Result<Unlock> {
        let credential = std::env::var_os("CREDENTIALS_DIRECTORY").map(|folder| PathBuf::from(folder).join("irori-passphrase"));
        let passphrase = self
            .sealing_passphrase_file
            .clone()
            .or_else(|| credential.filter(|file| self.sealing_key_file.is_none() && file.is_file()));
        let Some(path) = passphrase else {
            return Ok(Unlock::KeyFile(self.sealing_key_file.clone().unwrap_or(otherwise)));
        };
        let text = std::fs::read_to_string(&path).with_context(|| format!("read `{}`", path.display()))?;
        Ok(Unlock::Passphrase(Passphrase::new(text.lines().next().unwrap_or_default())?))
    }

    /// Where the objects lie that are to be sealed.
    fn sealed_prefixes(&self) -> Result<Vec<String>> {
        let tables = Tables::builtin();
        let prefix = |named: &String| {
            let found = tables.stored_resources().find(|(name, _)| name == named);
            let (_, storage) = found.with_context(|| {
                format!("`{named}` is no resource that is stored; expected one such as `secrets` or `deployments.apps`")
            })?;
            Ok(format!("{}/", storage.prefix))
        };
        if self.seal.is_empty() {
            return Ok(vec![prefix(&"secrets".to_owned())?]);
        }
        self.seal.iter().map(prefix).collect()
    }

    fn tls(&self, clock: &Clock) -> Result<Option<Arc<rustls::ClientConfig>>> {
        let text = |path: &PathBuf| std::fs::read_to_string(path).with_context(|| format!("read `{}`", path.display()));
        let Some(ca) = &self.etcd_ca else { return Ok(None) };
        let identity = match (&self.etcd_cert, &self.etcd_key) {
            (Some(certificate), Some(key)) => Some(Identity { certificate_pem: text(certificate)?, key_pem: text(key)? }),
            _ => None,
        };
        Ok(Some(tls::client(&text(ca)?, identity.as_ref(), &["h2"], clock)?))
    }

    fn login(&self) -> Result<Option<Login>> {
        let (Some(user), Some(path)) = (&self.etcd_user, &self.etcd_password_file) else { return Ok(None) };
        let text = std::fs::read_to_string(path).with_context(|| format!("read `{}`", path.display()))?;
        let password = text.lines().next().unwrap_or_default().to_owned();
        Ok(Some(Login { user: user.clone(), password }))
    }

    /// The keys of the home: those in the store, or ours where there are none yet.
    async fn shared_trust(&self, store: &dyn Store, context: &Context, domain: &str) -> Result<Arc<CaTree>> {
        let folder = context.data.trust();
        let unlock = Unlock::KeyFile(self.shared_key_file(context));
        let sealed = match store.get(TRUST_KEY).await? {
            Some(entry) => entry.value,
            None => match offer(store, context, domain, &unlock).await? {
                None => return Ok(Arc::new(CaTree::open(&folder, domain, &context.clock)?)),
                Some(theirs) => theirs,
            },
        };
        let packed = open_tree(&unlock, TRUST_KEY, &sealed).map_err(|failed| {
            let told = match &failed {
                SealError::KeyFileMissing { .. } => "the home's keys are shared sealed: copy shared.key from its first server",
                _ => "open the home's shared keys",
            };
            anyhow::Error::new(failed).context(told)
        })?;
        if !folder.exists() {
            unpack_tree(&packed, &folder)?;
        } else if pack_tree(&folder)? != packed {
            return Err(TrustError::Parse {
                what: "shared keys",
                reason: format!("the keys in `{}` are not those of the home in etcd", folder.display()),
            }
            .into());
        }
        Ok(Arc::new(CaTree::open(&folder, domain, &context.clock)?))
    }
}

/// Offers our keys to the store, making them where we have none. Returns those of another server if it was quicker.
async fn offer(store: &dyn Store, context: &Context, domain: &str, unlock: &Unlock) -> Result<Option<bytes::Bytes>> {
    let folder = context.data.trust();
    let offered = context.data.root().join("trust.offered");
    let fresh = !folder.exists();
    let ours = if fresh { &offered } else { &folder };
    if fresh && offered.exists() {
        std::fs::remove_dir_all(&offered).with_context(|| format!("remove `{}`", offered.display()))?;
    }
    CaTree::open(ours, domain, &context.clock)?;
    let sealed = seal_tree(unlock, TRUST_KEY, ours)?;
    let write = Write { key: TRUST_KEY.into(), expect: Expect::Absent, value: Some(sealed.into()) };
    let theirs = match store.commit(vec![write], Durability::Synced).await {
        Ok(_) => None,
        Err(StoreError::Conflict { current, .. }) => {
            Some(current.context("another server took its keys back while this one started: start it again")?.value)
        }
        Err(source) => return Err(source.into()),
    };
    if fresh && theirs.is_none() {
        std::fs::rename(&offered, &folder).with_context(|| format!("make `{}`", folder.display()))?;
    } else if fresh {
        std::fs::remove_dir_all(&offered).with_context(|| format!("remove `{}`", offered.display()))?;
    }
    Ok(theirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Address {
        address(text).expect("an address")
    }

    #[test]
    fn addresses_have_members_and_perhaps_a_prefix() {
        assert_eq!(at("etcd://a:1,b,[::1]:3,[::2]").endpoints, ["a:1", "b:2379", "[::1]:3", "[::2]:2379"]);
        assert_eq!(at("etcd://a:1").prefix, None);
        assert_eq!(at("etcd://a:1/").prefix, None);
        assert_eq!(at("etcd://a:1/homes/one/").prefix.as_deref(), Some("/homes/one"));
        for bad in ["", "http://a:1", "etcd://", "etcd://a:1,,b:2", "etcd://a:port", "etcd://:2379", "a:1"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sealed_resources_are_named_as_kubectl_names_them() {
        let sealed = |names: &[&str]| {
            let seal = names.iter().map(|name| (*name).to_owned()).collect();
            StoreAt { seal, ..StoreAt::default() }.sealed_prefixes()
        };
        assert_eq!(sealed(&["secrets", "deployments.apps"]).unwrap(), ["core/secrets/", "apps/deployments/"]);
        assert!(sealed(&["secret"]).is_err() && sealed(&["deployments"]).is_err() && sealed(&["tokenreviews"]).is_err());
    }

    #[test]
    fn what_the_home_file_says_counts_where_no_option_is_given() {
        let etcd = irori_home::Etcd {
            members: vec!["a:1".into(), "b".into()],
            prefix: Some("homes/one".into()),
            ca_file: Some("ca.crt".into()),
            ..irori_home::Etcd::default()
        };
        let home = irori_home::Store {
            etcd: Some(etcd),
            seal: vec!["configmaps".into()],
            sealing_key_file: Some("/keys/k".into()),
            ..irori_home::Store::default()
        };
        let at = StoreAt::default().or(&home, Path::new("/home"));
        assert_eq!(at.store.as_deref(), Some("etcd://a:1,b/homes/one"));
        assert_eq!(at.etcd_ca.as_deref(), Some(Path::new("/home/ca.crt")));
        assert_eq!((at.seal, at.sealing_key_file.as_deref()), (vec!["configmaps".to_owned()], Some(Path::new("/keys/k"))));
        let given = StoreAt {
            store: Some("etcd://c".into()),
            seal: vec!["secrets".into()],
            sealing_passphrase_file: Some("p".into()),
            ..StoreAt::default()
        };
        assert_eq!(given.clone().or(&home, Path::new("/home")), given);
        assert_eq!(StoreAt::default().sealed_prefixes().unwrap(), ["core/secrets/"]);
    }

    #[test]
    fn a_background_process_gets_the_same_words() {
        assert_eq!(StoreAt::default().words().unwrap(), Vec::<String>::new());
        let given = StoreAt { store: Some("etcd://a:1".into()), etcd_user: Some("u".into()), ..StoreAt::default() };
        assert_eq!(given.words().unwrap(), ["--store", "etcd://a:1", "--etcd-user", "u"]);
    }
}
