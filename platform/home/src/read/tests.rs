use super::*;

const GOOD: &str = "apiVersion: irori.dev/v1alpha1
kind: Home
metadata:
  name: home
spec:
  domain: home.arpa
  apps:
    whoami:
      builtin: whoami
      replicas: 2
    welcome:
      builtin: page
      host: home.arpa
      files:
        index.html: <h1>hi</h1>
    shop:
      image: registry.example/shop:1
      port: 3000
      resources: {cpu: 500m, memory: 64Mi}
";

fn none(_: &Path) -> std::io::Result<Vec<u8>> {
    Err(std::io::ErrorKind::NotFound.into())
}

fn mistakes(from: &str, to: &str) -> Vec<Diagnostic> {
    let text = GOOD.replace(from, to);
    assert_ne!(text, GOOD, "the test changes the text");
    parse(&text, &none).unwrap_err()
}

#[test]
fn a_good_file_is_read_with_its_defaults() {
    let home = parse(GOOD, &none).unwrap();
    assert_eq!(home.network, Network::default());
    assert_eq!(home.apps["whoami"].host, "whoami.home.arpa");
    assert_eq!(home.apps["whoami"].replicas, 2);
    assert_eq!(home.apps["welcome"].files["index.html"], b"<h1>hi</h1>");
    assert_eq!(home.apps["shop"].port, 3000);
}

#[test]
fn the_example_is_a_good_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let text = std::fs::read_to_string(folder.join("home.yaml")).unwrap();
    let home = parse(&text, &|file| std::fs::read(folder.join(file))).unwrap();
    assert_eq!(home.apps.len(), 2);
}

#[test]
fn a_mistyped_field_names_its_neighbour_and_its_place() {
    let found = mistakes("replicas: 2", "replcias: 2");
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].place.line, found[0].place.column, found[0].place.width), (10, 7, 8));
    assert_eq!(found[0].message, "an app has no field `replcias`");
    assert_eq!(found[0].help.as_deref(), Some("did you mean `replicas`?"));
}

#[test]
fn several_mistakes_are_told_at_once_in_order() {
    let text = GOOD
        .replace("replicas: 2", "replicas: many")
        .replace("builtin: page", "builtin: pgae")
        .replace("kind: Home", "kind: House");
    let lines: Vec<usize> = parse(&text, &none).unwrap_err().iter().map(|d| d.place.line).collect();
    assert_eq!(lines, [2, 10, 12]);
}

#[test]
fn mistakes_of_every_field_are_found() {
    for (from, to, said) in [
        ("domain: home.arpa", "domain: home", "is not a domain"),
        ("host: home.arpa", "host: www.example.com", "is not below the home's domain"),
        ("host: home.arpa", "host: whoami.home.arpa", "is the host of two apps"),
        ("port: 3000", "port: 70000", "port is a number from 1 to 65535"),
        ("      port: 3000\n", "", "lacks `port`"),
        ("image: registry.example/shop:1", "image: https://x/y", "is not an image reference"),
        ("cpu: 500m", "cpu: lots", "is not an amount of cpu"),
        ("index.html: <h1>hi</h1>", "../x: y", "is not a path"),
        ("index.html: <h1>hi</h1>", "index.html: {from: nowhere}", "read `nowhere`"),
        ("shop:\n", "Shop_1:\n", "is not a valid name"),
        ("irori.dev/v1alpha1", "irori.dev/v9", "is not known as apiVersion"),
        ("spec:\n", "spec:\n  network: {gateway: {http: 443}}\n", "both want port 443"),
        ("spec:\n", "spec:\n  network: {api: {addresses: [here]}}\n", "is not an IP address"),
        ("    whoami:\n", "    welcome: {}\n    whoami:\n", "stands twice"),
        ("kind: Home", "kind: &a Home\nx: *a", "aliases"),
        ("spec:\n", "spec: [\n", "not YAML"),
    ] {
        let found = mistakes(from, to);
        assert!(found.iter().any(|d| d.message.contains(said)), "{to}: {found:?}");
    }
}

#[test]
fn an_empty_or_hostile_text_is_refused_without_a_crash() {
    for text in ["", "---\n", "[", "a: b\n---\nc: d\n", &"[".repeat(10_000), &"a:\n ".repeat(2_000), "\u{0}", "- x"] {
        assert!(parse(text, &none).is_err());
    }
}

#[test]
fn where_objects_are_kept_is_read_with_what_is_sealed() {
    let store = "  store:
    etcd: {members: [10.0.0.11, 10.0.0.12:2379], caFile: ca.crt, certFile: me.crt, keyFile: me.key, sharedKeyFile: shared.key}
    seal: [secrets, configmaps]
    sealingPassphraseFile: phrase
  apps:
";
    let home = parse(&GOOD.replace("  apps:\n", store), &none).unwrap();
    let etcd = home.store.etcd.unwrap();
    assert_eq!(etcd.members, ["10.0.0.11", "10.0.0.12:2379"]);
    assert_eq!((etcd.ca_file.as_deref(), etcd.shared_key_file.as_deref()), (Some("ca.crt"), Some("shared.key")));
    assert_eq!(home.store.seal, ["secrets", "configmaps"]);
    assert_eq!(parse(GOOD, &none).unwrap().store, Store::default());
    for (wrong, told) in [
        ("{etcd: {}}", "etcd lacks `members`"),
        ("{etcd: {members: []}}", "etcd has at least one member"),
        ("{etcd: {members: [a], certFile: c, caFile: c}}", "etcd with `certFile` lacks `keyFile`"),
        ("{etcd: {members: [a], user: me}}", "etcd with `user` lacks `passwordFile`"),
        ("{seal: [secret]}", "`secret` is no resource whose objects are stored"),
        ("{seal: secrets}", "seal is a list of texts"),
        ("{sealingKeyFile: a, sealingPassphraseFile: b}", "a key file or a passphrase seals, not both"),
        ("{sael: []}", "store has no field `sael`"),
    ] {
        let found = mistakes("  apps:\n", &format!("  store: {wrong}\n  apps:\n"));
        assert_eq!(found.iter().map(|d| d.message.as_str()).collect::<Vec<_>>(), [told], "{wrong}");
    }
}
