//! From the positioned tree to `Home`, collecting every mistake on the way.
mod store;

use std::{collections::BTreeMap, net::IpAddr, path::Path};

use crate::{
    diagnostic::{Diagnostic, Place, nearest},
    model::{App, Builtin, GatewayListen, Home, Image, Network, Store},
    source::{self, Key, Node, Value},
};

const TEXT_BYTES_MAX: usize = 1 << 20;
const FILES_BYTES_MAX: usize = 1 << 20;
const APPS_MAX: usize = 200;
const REPLICAS_MAX: i64 = 100;

/// Reads a file that the home file names by `from`, relative to it.
pub type FileSource<'a> = &'a dyn Fn(&Path) -> std::io::Result<Vec<u8>>;

/// Reads a home file. All mistakes that can be found are returned at once, in the order of the text.
pub fn parse(text: &str, files: FileSource<'_>) -> Result<Home, Vec<Diagnostic>> {
    let start = Place { line: 1, column: 1, width: 1 };
    let alone = |message: String| vec![Diagnostic { place: start, message, help: None }];
    if text.len() > TEXT_BYTES_MAX {
        return Err(alone(format!("the file is over the limit of {TEXT_BYTES_MAX} bytes")));
    }
    let root =
        source::read(text).map_err(|d| vec![d])?.ok_or_else(|| alone("the file is empty; a home was expected".to_owned()))?;
    let mut reader = Reader { found: Vec::new(), files };
    let home = reader.home(&root);
    match (home, reader.found.is_empty()) {
        (Some(home), true) => Ok(home),
        _ => {
            reader.found.sort_by_key(|d| (d.place.line, d.place.column));
            Err(reader.found)
        }
    }
}

struct Reader<'a> {
    found: Vec<Diagnostic>,
    files: FileSource<'a>,
}

/// The fields of one mapping; each is taken once, and what is left at the end is a mistake.
struct Fields<'n> {
    place: Place,
    what: &'static str,
    entries: Vec<(&'n Key, &'n Node)>,
    valid: &'static [&'static str],
}

impl<'n> Fields<'n> {
    fn get(&self, name: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| *node)
    }
}

impl Reader<'_> {
    fn fault<T>(&mut self, place: Place, message: impl Into<String>, help: impl Into<Option<String>>) -> Option<T> {
        self.found.push(Diagnostic { place, message: message.into(), help: help.into() });
        None
    }

    fn fields<'n>(&mut self, node: &'n Node, what: &'static str, valid: &'static [&'static str]) -> Option<Fields<'n>> {
        let Value::Map(entries) = &node.value else {
            return self.fault(node.place, format!("{what} is a mapping"), format!("its fields are: {}", valid.join(", ")));
        };
        for (key, _) in entries.iter().filter(|(key, _)| !valid.contains(&key.name.as_str())) {
            let help = match nearest(&key.name, valid.iter().copied()) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("its fields are: {}", valid.join(", ")),
            };
            self.fault::<()>(key.place, format!("{what} has no field `{}`", key.name), help);
        }
        Some(Fields { place: node.place, what, entries: entries.iter().map(|(k, n)| (k, n)).collect(), valid })
    }

    fn needed<'n>(&mut self, fields: &Fields<'n>, name: &'static str, example: &str) -> Option<&'n Node> {
        debug_assert!(fields.valid.contains(&name), "the field is in the table of its mapping");
        match fields.get(name) {
            Some(node) => Some(node),
            None => {
                self.fault(fields.place, format!("{} lacks `{name}`", fields.what), format!("for example: `{name}: {example}`"))
            }
        }
    }

    fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        match &node.value {
            Value::Scalar { text, .. } if !text.is_empty() => Some(text.clone()),
            _ => self.fault(node.place, format!("{what} is a text"), None),
        }
    }

    fn number(&mut self, node: &Node, what: &str, from: i64, to: i64) -> Option<i64> {
        let number = match &node.value {
            Value::Scalar { text, plain: true } => text.parse::<i64>().ok(),
            _ => None,
        };
        match number {
            Some(n) if (from..=to).contains(&n) => Some(n),
            _ => self.fault(node.place, format!("{what} is a number from {from} to {to}"), None),
        }
    }

    fn port(&mut self, node: &Node, what: &str) -> Option<u16> {
        self.number(node, what, 1, 65535).and_then(|n| u16::try_from(n).ok())
    }

    fn addresses(&mut self, node: &Node, what: &str) -> Option<Vec<IpAddr>> {
        let Value::List(items) = &node.value else {
            return self.fault(
                node.place,
                format!("{what} is a list of IP addresses"),
                "for example: `[192.168.1.10]`".to_owned(),
            );
        };
        let mut addresses = Vec::new();
        for item in items {
            match &item.value {
                Value::Scalar { text, .. } => match text.parse() {
                    Ok(address) => addresses.push(address),
                    Err(_) => {
                        self.fault::<()>(
                            item.place,
                            format!("`{text}` is not an IP address"),
                            "for example: 192.168.1.10 or fd00::1".to_owned(),
                        );
                    }
                },
                _ => {
                    self.fault::<()>(item.place, "an IP address was expected", None);
                }
            }
        }
        Some(addresses)
    }

    fn home(&mut self, root: &Node) -> Option<Home> {
        let fields = self.fields(root, "a home", &["apiVersion", "kind", "metadata", "spec"])?;
        for (name, value) in [("apiVersion", "irori.dev/v1alpha1"), ("kind", "Home")] {
            if let Some(node) = self.needed(&fields, name, value) {
                let text = self.text(node, name);
                if let Some(text) = text.filter(|text| text != value) {
                    self.fault::<()>(
                        node.place,
                        format!("`{text}` is not known as {name}"),
                        format!("this version of irori reads `{name}: {value}`"),
                    );
                }
            }
        }
        let name = self.name_of_home(&fields);
        let spec = self.needed(&fields, "spec", "{domain: home.arpa, apps: {}}")?;
        let spec = self.fields(spec, "spec", &["domain", "network", "store", "apps"])?;
        let domain = self.needed(&spec, "domain", "home.arpa").and_then(|node| self.domain(node));
        let network = match spec.get("network") {
            Some(node) => self.network(node),
            None => Some(Network::default()),
        };
        let store = match spec.get("store") {
            Some(node) => self.store(node),
            None => Some(Store::default()),
        };
        let apps = match spec.get("apps") {
            Some(node) => self.apps(node, domain.as_deref().unwrap_or("home.arpa")),
            None => Some(BTreeMap::new()),
        };
        Some(Home { name: name?, domain: domain?, network: network?, store: store?, apps: apps? })
    }

    fn name_of_home(&mut self, fields: &Fields<'_>) -> Option<String> {
        let metadata = self.needed(fields, "metadata", "{name: home}")?;
        let metadata = self.fields(metadata, "metadata", &["name"])?;
        let node = self.needed(&metadata, "name", "home")?;
        let name = self.text(node, "the name")?;
        self.label(node.place, &name).then_some(name)
    }

    /// RFC 1123 label, as Kubernetes names are.
    fn label(&mut self, place: Place, name: &str) -> bool {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let valid = (1..=63).contains(&name.len()) && name.bytes().all(good) && !name.starts_with('-') && !name.ends_with('-');
        if !valid {
            let help = "1 to 63 lowercase letters, digits and `-`, beginning and ending with a letter or digit";
            self.fault::<()>(place, format!("`{name}` is not a valid name"), help.to_owned());
        }
        valid
    }

    fn domain(&mut self, node: &Node) -> Option<String> {
        let domain = self.text(node, "the domain")?;
        let labels: Vec<&str> = domain.split('.').collect();
        if labels.len() < 2 || domain.len() > 200 {
            return self.fault(
                node.place,
                format!("`{domain}` is not a domain"),
                "for example: home.arpa, or a domain you own".to_owned(),
            );
        }
        labels.iter().all(|label| self.label(node.place, label)).then_some(domain)
    }

    fn network(&mut self, node: &Node) -> Option<Network> {
        let fields = self.fields(node, "network", &["gateway", "api", "node", "dns"])?;
        let mut network = Network::default();
        if let Some(node) = fields.get("gateway") {
            let gateway = self.fields(node, "gateway", &["addresses", "https", "http"])?;
            let GatewayListen { addresses, https, http } = &mut network.gateway;
            self.set(gateway.get("addresses"), addresses, |r, n| r.addresses(n, "addresses"));
            self.set(gateway.get("https"), https, |r, n| r.port(n, "https"));
            self.set(gateway.get("http"), http, |r, n| r.port(n, "http"));
            if https == http {
                self.fault::<()>(node.place, format!("http and https both want port {http}"), None);
            }
        }
        if let Some(node) = fields.get("api") {
            let api = self.fields(node, "api", &["addresses", "port"])?;
            self.set(api.get("addresses"), &mut network.api_addresses, |r, n| r.addresses(n, "addresses"));
            self.set(api.get("port"), &mut network.api_port, |r, n| r.port(n, "port"));
        }
        if let Some(node) = fields.get("node") {
            let own = self.fields(node, "node", &["port"])?;
            self.set(own.get("port"), &mut network.node_port, |r, n| r.port(n, "port"));
        }
        if let Some(node) = fields.get("dns") {
            let dns = self.fields(node, "dns", &["upstream"])?;
            self.set(dns.get("upstream"), &mut network.dns_upstream, |r, n| r.addresses(n, "upstream"));
        }
        Some(network)
    }

    fn set<T>(&mut self, node: Option<&Node>, to: &mut T, read: impl FnOnce(&mut Self, &Node) -> Option<T>) {
        if let Some(value) = node.and_then(|node| read(self, node)) {
            *to = value;
        }
    }

    fn apps(&mut self, node: &Node, domain: &str) -> Option<BTreeMap<String, App>> {
        let Value::Map(entries) = &node.value else {
            return self.fault(
                node.place,
                "apps is a mapping from name to app",
                "for example: `whoami: {builtin: whoami}`".to_owned(),
            );
        };
        if entries.len() > APPS_MAX {
            return self.fault(node.place, format!("{} apps are over the limit of {APPS_MAX}", entries.len()), None);
        }
        let mut apps = BTreeMap::new();
        let mut hosts: BTreeMap<String, Place> = BTreeMap::new();
        for (key, node) in entries {
            let named = self.label(key.place, &key.name);
            let Some(app) = self.app(&key.name, node, domain).filter(|_| named) else { continue };
            if let Some(first) = hosts.insert(app.host.clone(), key.place) {
                self.fault::<()>(
                    key.place,
                    format!("`{}` is the host of two apps", app.host),
                    format!("the other stands in line {}", first.line),
                );
            }
            apps.insert(key.name.clone(), app);
        }
        Some(apps)
    }

    fn app(&mut self, name: &str, node: &Node, domain: &str) -> Option<App> {
        let fields =
            self.fields(node, "an app", &["image", "builtin", "replicas", "port", "env", "files", "resources", "host"])?;
        let image = self.image(&fields);
        let is_builtin = fields.get("builtin").is_some();
        let mut app = App {
            image: Image::Builtin(Builtin::Whoami),
            replicas: 1,
            port: 8080,
            env: BTreeMap::new(),
            files: BTreeMap::new(),
            cpu: None,
            memory: None,
            host: format!("{name}.{domain}"),
        };
        self.set(fields.get("replicas"), &mut app.replicas, |r, n| {
            r.number(n, "replicas", 0, REPLICAS_MAX).and_then(|n| u32::try_from(n).ok())
        });
        if !is_builtin && image.is_some() {
            self.needed(&fields, "port", "8080");
        }
        self.set(fields.get("port"), &mut app.port, |r, n| r.port(n, "port"));
        self.set(fields.get("env"), &mut app.env, Self::env);
        self.set(fields.get("files"), &mut app.files, |r, n| r.files(n, is_builtin));
        self.set(fields.get("host"), &mut app.host, |r, n| r.host(n, domain));
        if let Some(node) = fields.get("resources") {
            let resources = self.fields(node, "resources", &["cpu", "memory"])?;
            self.set(resources.get("cpu"), &mut app.cpu, |r, n| r.quantity(n, "cpu", "500m or 2").map(Some));
            self.set(resources.get("memory"), &mut app.memory, |r, n| r.quantity(n, "memory", "64Mi or 1Gi").map(Some));
        }
        app.image = image?;
        Some(app)
    }

    fn image(&mut self, fields: &Fields<'_>) -> Option<Image> {
        match (fields.get("image"), fields.get("builtin")) {
            (Some(_), Some(builtin)) => self.fault(builtin.place, "an app has either `image` or `builtin`, not both", None),
            (None, None) => {
                let help = format!(
                    "for example: `image: registry.example/app:1`, or `builtin:` with one of {}",
                    Builtin::NAMES.join(", ")
                );
                self.fault(fields.place, "an app lacks `image` or `builtin`", help)
            }
            (Some(node), None) => {
                let reference = self.text(node, "image")?;
                if reference.chars().any(|c| c.is_whitespace() || c.is_control()) || reference.contains("://") {
                    return self.fault(
                        node.place,
                        format!("`{reference}` is not an image reference"),
                        "for example: registry.example/app:1".to_owned(),
                    );
                }
                Some(Image::Reference(reference))
            }
            (None, Some(node)) => {
                let name = self.text(node, "builtin")?;
                if let Some(builtin) = Builtin::from_name(&name) {
                    return Some(Image::Builtin(builtin));
                }
                let help = match nearest(&name, Builtin::NAMES) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there are: {}", Builtin::NAMES.join(", ")),
                };
                self.fault(node.place, format!("there is no builtin `{name}`"), help)
            }
        }
    }

    fn env(&mut self, node: &Node) -> Option<BTreeMap<String, String>> {
        let Value::Map(entries) = &node.value else {
            return self.fault(node.place, "env is a mapping from name to text", "for example: `{GREETING: hello}`".to_owned());
        };
        let mut env = BTreeMap::new();
        for (key, node) in entries {
            if key.name.is_empty() || key.name.contains('=') || !key.name.bytes().all(|b| (0x20..0x7f).contains(&b)) {
                self.fault::<()>(key.place, format!("`{}` is not a name of an environment variable", key.name), None);
            }
            match &node.value {
                Value::Scalar { text, .. } => drop(env.insert(key.name.clone(), text.clone())),
                _ => drop(self.fault::<()>(node.place, format!("`{}` is a text", key.name), None)),
            }
        }
        Some(env)
    }

    fn files(&mut self, node: &Node, relative: bool) -> Option<BTreeMap<String, Vec<u8>>> {
        let Value::Map(entries) = &node.value else {
            return self.fault(
                node.place,
                "files is a mapping from path to content",
                "for example: `{index.html: hello}`".to_owned(),
            );
        };
        let mut files = BTreeMap::new();
        for (key, node) in entries {
            let steps = key.name.strip_prefix('/').unwrap_or(&key.name);
            let clean =
                !steps.is_empty() && steps.split('/').all(|step| !matches!(step, "" | "." | "..")) && !steps.contains('\0');
            if !clean || key.name.starts_with('/') == relative {
                let help = if relative {
                    "a path below the page, such as `index.html`"
                } else {
                    "a whole path, such as `/etc/app/config.yaml`"
                };
                self.fault::<()>(key.place, format!("`{}` is not a path for a file here", key.name), help.to_owned());
                continue;
            }
            if let Some(content) = self.content(node) {
                files.insert(key.name.clone(), content);
            }
        }
        let bytes: usize = files.values().map(Vec::len).sum();
        if bytes > FILES_BYTES_MAX {
            return self.fault(node.place, format!("{bytes} bytes of files are over the limit of {FILES_BYTES_MAX}"), None);
        }
        Some(files)
    }

    fn content(&mut self, node: &Node) -> Option<Vec<u8>> {
        if let Value::Scalar { text, .. } = &node.value {
            return Some(text.clone().into_bytes());
        }
        let fields = self.fields(node, "a file", &["from"])?;
        let from = self.needed(&fields, "from", "site/index.html")?;
        let path = self.text(from, "from")?;
        match (self.files)(Path::new(&path)) {
            Ok(bytes) => Some(bytes),
            Err(source) => {
                self.fault(from.place, format!("read `{path}`: {source}"), "paths are relative to the home file".to_owned())
            }
        }
    }

    fn host(&mut self, node: &Node, domain: &str) -> Option<String> {
        let host = self.text(node, "host")?.to_ascii_lowercase();
        let below = host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
        if !below {
            let help = format!("for example: www.{domain}");
            return self.fault(node.place, format!("`{host}` is not below the home's domain `{domain}`"), help);
        }
        host.split('.').all(|label| self.label(node.place, label)).then_some(host)
    }

    fn quantity(&mut self, node: &Node, what: &str, example: &str) -> Option<String> {
        let text = self.text(node, what)?;
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let suffix = &text[digits.len()..];
        let known = ["", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"].contains(&suffix);
        let amount = digits.parse::<f64>().ok().filter(|n| n.is_finite() && *n > 0.0);
        if known && amount.is_some() {
            return Some(text);
        }
        self.fault(node.place, format!("`{text}` is not an amount of {what}"), format!("for example: {example}"))
    }
}

#[cfg(test)]
mod tests;
