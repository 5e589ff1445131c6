//! `spec.store`.
use std::collections::BTreeSet;

use irori_api::row::Tables;

use super::Reader;
use crate::{
    diagnostic::nearest,
    model::{Etcd, Store},
    source::{Node, Value},
};

impl Reader<'_> {
    pub(super) fn store(&mut self, node: &Node) -> Option<Store> {
        let fields = self.fields(node, "store", &["etcd", "seal", "sealingKeyFile", "sealingPassphraseFile"])?;
        let mut store = Store::default();
        if let Some(node) = fields.get("etcd") {
            store.etcd = Some(self.etcd(node)?);
        }
        self.set(fields.get("seal"), &mut store.seal, |r, n| r.sealed(n));
        self.set(fields.get("sealingKeyFile"), &mut store.sealing_key_file, |r, n| r.text(n, "sealingKeyFile").map(Some));
        self.set(fields.get("sealingPassphraseFile"), &mut store.sealing_passphrase_file, |r, n| {
            r.text(n, "sealingPassphraseFile").map(Some)
        });
        if let (Some(_), Some(phrase)) = (fields.get("sealingKeyFile"), fields.get("sealingPassphraseFile")) {
            return self.fault(phrase.place, "a key file or a passphrase seals, not both", None);
        }
        Some(store)
    }

    fn etcd(&mut self, node: &Node) -> Option<Etcd> {
        const FIELDS: &[&str] = &["members", "prefix", "caFile", "certFile", "keyFile", "user", "passwordFile", "sharedKeyFile"];
        let fields = self.fields(node, "etcd", FIELDS)?;
        let members = self.needed(&fields, "members", "[10.0.0.11:2379]")?;
        let mut etcd = Etcd { members: self.texts(members, "members", "[10.0.0.11:2379]")?, ..Etcd::default() };
        if etcd.members.is_empty() {
            return self.fault(members.place, "etcd has at least one member", None);
        }
        for (name, to) in [
            ("prefix", &mut etcd.prefix),
            ("caFile", &mut etcd.ca_file),
            ("certFile", &mut etcd.cert_file),
            ("keyFile", &mut etcd.key_file),
            ("user", &mut etcd.user),
            ("passwordFile", &mut etcd.password_file),
            ("sharedKeyFile", &mut etcd.shared_key_file),
        ] {
            self.set(fields.get(name), to, |r, n| r.text(n, name).map(Some));
        }
        // What is of use only together.
        for (one, other) in [("certFile", "keyFile"), ("keyFile", "certFile"), ("certFile", "caFile"), ("user", "passwordFile")] {
            if let Some(node) = fields.get(one).filter(|_| fields.get(other).is_none()) {
                self.fault::<()>(node.place, format!("etcd with `{one}` lacks `{other}`"), None);
            }
        }
        Some(etcd)
    }

    fn sealed(&mut self, node: &Node) -> Option<Vec<String>> {
        let named = self.texts(node, "seal", "[secrets, configmaps]")?;
        let tables = Tables::builtin();
        let known: BTreeSet<String> = tables.stored_resources().map(|(name, _)| name).collect();
        let Value::List(items) = &node.value else { return Some(named) };
        for (item, name) in items.iter().zip(&named).filter(|(_, name)| !known.contains(*name)) {
            let help = match nearest(name, known.iter().map(String::as_str)) {
                Some(name) => format!("did you mean `{name}`?"),
                None => "resources are named as kubectl names them: `secrets`, `deployments.apps`".to_owned(),
            };
            self.fault::<()>(item.place, format!("`{name}` is no resource whose objects are stored"), help);
        }
        Some(named)
    }

    fn texts(&mut self, node: &Node, what: &str, example: &str) -> Option<Vec<String>> {
        let Value::List(items) = &node.value else {
            return self.fault(node.place, format!("{what} is a list of texts"), format!("for example: `{example}`"));
        };
        Some(items.iter().filter_map(|item| self.text(item, what)).collect())
    }
}
