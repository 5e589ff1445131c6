//! `irori store`: a home is backed up while it runs, lost, and comes back; its store is looked at; its sealing keys change under kill -9.
use std::{fs, process::Stdio, thread, time::Duration};

use irori_testkit::{Etcd, bad_lines};
use serde_json::{Value, json};

use crate::server::Server;

const SECRETS: usize = 300;

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

fn revision_of(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap()
}

/// Secrets `s0`, `s1`, … that hold their number.
fn make_secrets(server: &Server, count: usize) {
    let secret = |n: usize| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": format!("s{n}")}, "stringData": {"n": n.to_string()}});
    let all: String = (0..count).map(|n| format!("{}\n", secret(n))).collect();
    let file = server.folder.join("secrets.json");
    fs::write(&file, all).unwrap();
    server.kubectl(&["create", "-f", file.to_str().unwrap()]).unwrap();
}

/// All of them are there and open.
#[track_caller]
fn expect_secrets(server: &Server, count: usize) {
    let path = "jsonpath={range .items[*]}{.metadata.name}={.data.n}{\"\\n\"}{end}";
    let listed = server.kubectl(&["get", "secrets", "-o", path]).unwrap();
    let found: std::collections::BTreeSet<&str> = listed.lines().collect();
    for n in 0..count {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let line = format!("s{n}={}", STANDARD.encode(n.to_string()));
        assert!(found.contains(line.as_str()), "{line} is missing of {} secrets", found.len());
    }
}

#[test]
fn a_home_that_lost_its_disk_comes_back_from_a_backup_made_while_it_ran() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::new(folder.path().join("home"), Vec::new());
    server.start();
    make_secrets(&server, 20);
    server.kubectl(&["create", "configmap", "kept", "--from-literal=a=1"]).unwrap();
    let kept = json_of(&server.kubectl(&["get", "configmap", "kept", "-o", "json"]).unwrap());

    let file = folder.path().join("backup");
    let backup = file.to_str().unwrap();
    server.irori(&["store", "backup", backup]).unwrap();
    assert!(!fs::read(&file).unwrap().windows(4).any(|four| four == b"czE="), "sealed values leave sealed");
    let told = json_of(&server.irori_on_file(&["store", "verify", backup, "-o", "json"]).unwrap());
    let secrets = &told["census"]["kinds"]["secrets"];
    assert_eq!((secrets["objects"].as_u64(), secrets["sealed"].as_u64()), (Some(20), Some(20)), "{told}");
    assert_eq!(told["census"]["unreadable"], 0);
    let stats = json_of(&server.irori(&["store", "stats", "-o", "json"]).unwrap());
    assert_eq!(stats["census"]["kinds"]["secrets"]["objects"], 20);
    assert_eq!((stats["sealing"]["newest"].as_u64(), stats["live"]["full"].as_bool()), (Some(1), Some(false)), "{stats}");

    // Only who may.
    let raw = ["get", "--raw", "/irori/v1/store/backup", "--as", "somebody"];
    let refused = server.kubectl(&raw).unwrap_err();
    assert!(refused.contains("Forbidden"), "{refused}");
    server.kubectl(&["create", "clusterrole", "backup", "--verb=get", "--non-resource-url=/irori/v1/store/backup"]).unwrap();
    server.kubectl(&["create", "clusterrolebinding", "backup", "--clusterrole=backup", "--user=somebody"]).unwrap();
    server.kubectl(&raw).unwrap();
    assert!(server.kubectl(&["get", "--raw", "/irori/v1/store", "--as", "somebody"]).unwrap_err().contains("Forbidden"));

    // Made after the backup, seen by clients, and lost.
    server.kubectl(&["create", "configmap", "lost", "--from-literal=a=1"]).unwrap();
    let lost = json_of(&server.kubectl(&["get", "configmap", "lost", "-o", "json"]).unwrap());
    server.kill();
    fs::rename(server.data(), folder.path().join("broken")).unwrap();
    server.irori(&["store", "restore", backup]).unwrap();
    let refused = server.irori(&["store", "restore", backup]).unwrap_err();
    assert!(refused.contains("holds a store already") && refused.contains("E11"), "{refused}");
    for keys in ["trust", "sealing.key"] {
        fs::rename(folder.path().join("broken").join(keys), server.data().join(keys)).unwrap();
    }
    server.start();
    expect_secrets(&server, 20);
    assert_eq!(json_of(&server.kubectl(&["get", "configmap", "kept", "-o", "json"]).unwrap()), kept);
    assert!(server.kubectl(&["get", "configmap", "lost"]).unwrap_err().contains("NotFound"));
    server.kubectl(&["create", "configmap", "new", "--from-literal=a=1"]).unwrap();
    let new = json_of(&server.kubectl(&["get", "configmap", "new", "-o", "json"]).unwrap());
    let number = |object: &Value| revision_of(object).parse::<u64>().unwrap();
    assert!(number(&new) > number(&lost) + (1 << 39), "revisions go on far ahead");
    // Whoever goes on from what it saw before is told to start again.
    for seen in [&kept, &lost] {
        let path =
            format!("/api/v1/namespaces/default/configmaps?watch=true&timeoutSeconds=2&resourceVersion={}", revision_of(seen));
        let told = server.kubectl(&["get", "--raw", &path]).unwrap();
        assert!(told.contains("\"code\":410") && told.contains("Expired"), "{told}");
    }
    assert_eq!(bad_lines(&server.log(), &[]), Vec::<String>::new());
}

/// The home file says where the objects are; a backup of etcd becomes a store of one machine.
#[test]
fn a_home_moves_from_etcd_to_a_store_of_its_own_by_a_backup() {
    let etcd = Etcd::single();
    let folder = tempfile::tempdir().unwrap();
    let spec = format!(
        "store: {{etcd: {{members: [\"{}\"], sharedKeyFile: the.key}}, seal: [secrets, configmaps]}}",
        etcd.endpoints()[0]
    );
    let mut server = Server::new(folder.path().join("one"), Vec::new()).with_spec(&spec);
    server.start();
    make_secrets(&server, 20);
    server.kubectl(&["create", "configmap", "sealed", "--from-literal=a=1"]).unwrap();
    let file = folder.path().join("backup");
    server.irori(&["store", "backup", file.to_str().unwrap()]).unwrap();
    let told = json_of(&server.irori_on_file(&["store", "verify", file.to_str().unwrap(), "-o", "json"]).unwrap());
    let kinds = &told["census"]["kinds"];
    assert_eq!(
        (&kinds["secrets"]["sealed"], &kinds["configmaps"]["sealed"]),
        (&json!(20), &kinds["configmaps"]["objects"]),
        "{told}"
    );
    server.end();
    // Without its etcd it must not come up empty.
    let file_without = folder.path().join("one/home.yaml");
    let text = fs::read_to_string(&file_without).unwrap();
    fs::write(&file_without, text.replace(&format!("{spec}, "), "")).unwrap();
    let refused = server.irori(&["server", file_without.to_str().unwrap()]).unwrap_err();
    assert!(refused.contains("are in etcd"), "{refused}");
    assert!(!server.data().join("store").exists() && !server.data().join("sealing.key").exists());
    fs::write(&file_without, text).unwrap();

    let mut alone = Server::new(folder.path().join("two"), Vec::new());
    alone.irori(&["store", "restore", file.to_str().unwrap()]).unwrap();
    // Without the key of that time nothing is made that would be in the way later.
    let refused = alone.irori(&["server", alone.folder.join("home.yaml").to_str().unwrap()]).unwrap_err();
    assert!(refused.contains("E10"), "{refused}");
    assert!(!alone.data().join("trust").exists() && !alone.data().join("sealing.key").exists());
    fs::copy(server.folder.join("the.key"), alone.data().join("sealing.key")).unwrap();
    fs::rename(server.data().join("trust"), alone.data().join("trust")).unwrap();
    alone.start();
    expect_secrets(&alone, 20);
    alone.kubectl(&["get", "configmap", "sealed"]).unwrap();
    for server in [&server, &alone] {
        assert_eq!(bad_lines(&server.log(), &[]), Vec::<String>::new());
    }
}

#[test]
fn the_store_of_a_stopped_home_is_checked_counted_dumped_and_backed_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::new(folder.path().join("home"), Vec::new());
    server.start();
    make_secrets(&server, 3);
    server.kubectl(&["create", "configmap", "shown", "--from-literal=word=plain"]).unwrap();
    let refused = server.irori(&["store", "check"]).unwrap_err();
    assert!(refused.contains("in use by another process") && refused.contains("E04"), "{refused}");
    server.kill();

    let checked = json_of(&server.irori(&["store", "check", "-o", "json"]).unwrap());
    assert_eq!(checked["damage"], json!([]));
    assert_eq!(checked["census"]["kinds"]["secrets"]["sealed"], 3);
    let stats = json_of(&server.irori(&["store", "stats", "-o", "json"]).unwrap());
    assert!(stats["diskBytes"].as_u64() > stats["census"]["bytes"].as_u64() && stats["segments"] == 1, "{stats}");
    assert!(server.irori(&["store", "stats"]).unwrap().contains("secrets"));
    let file = folder.path().join("backup");
    server.irori(&["store", "backup", file.to_str().unwrap()]).unwrap();

    let hidden = server.irori(&["store", "dump", "-o", "json", "--prefix", "core/secrets/default/"]).unwrap();
    assert_eq!(hidden.lines().count(), 3);
    assert_eq!(json_of(hidden.lines().next().unwrap())["sealed"]["generation"], 1);
    let revealed = server.irori(&["store", "dump", "-o", "json", "--reveal", "--prefix", "core/secrets/default/s2"]).unwrap();
    assert_eq!(json_of(&revealed)["object"]["data"]["n"], "Mg==");
    let of_file = server.irori(&["store", "dump", file.to_str().unwrap(), "--prefix", "core/configmaps/default/shown"]).unwrap();
    assert!(
        of_file.starts_with("---\n# core/configmaps/default/shown\n") && of_file.contains("\"word\": \"plain\""),
        "{of_file}"
    );

    // A backup takes the place of an older one, and of nothing else.
    server.irori(&["store", "backup", file.to_str().unwrap()]).unwrap();
    let (letter, link) = (folder.path().join("letter"), folder.path().join("link"));
    fs::write(&letter, "dear").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    let (key, inside) = (server.data().join("sealing.key"), server.data().join("store/new"));
    for (taken, why) in
        [(&letter, "is no backup"), (&key, "is no backup"), (&link, "is no plain file"), (&inside, "the store's own folder")]
    {
        let told = server.irori(&["store", "backup", taken.to_str().unwrap()]).unwrap_err();
        assert!(told.contains(why), "{told}");
    }
    assert_eq!(fs::read(&letter).unwrap(), b"dear");

    // Whoever reads only the beginning of an answer ends the command with it.
    let mut checking = server.command(&["store", "check"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(checking.stdout.take());
    let ended = checking.wait_with_output().unwrap();
    assert!(!String::from_utf8_lossy(&ended.stderr).contains("panicked"), "{ended:?}");

    // A flipped bit is told with file and offset, and nothing is changed by looking.
    let log = fs::read_dir(server.data().join("store")).unwrap().flatten().map(|file| file.path());
    let log = log.filter(|path| path.display().to_string().contains("log-")).min().unwrap();
    let whole = fs::read(&log).unwrap();
    let mut bytes = whole.clone();
    bytes[100] ^= 1;
    fs::write(&log, &bytes).unwrap();
    let told = server.command(&["store", "check"]).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert!(!told.status.success() && out.contains("is damaged at byte 64") && err.contains("E06"), "{out}{err}");
    assert_eq!(fs::read(&log).unwrap(), bytes);
    let cut = fs::read(&file).unwrap();
    fs::write(&file, &cut[..cut.len() - 1]).unwrap();
    let told = server.irori_on_file(&["store", "verify", file.to_str().unwrap()]).unwrap_err();
    assert!(told.contains("is damaged at byte") && told.contains("E11"), "{told}");
}

#[test]
fn sealing_keys_change_under_kill_9_and_every_secret_stays_readable() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::new(folder.path().join("home"), Vec::new());
    server.start();
    make_secrets(&server, SECRETS);
    let sealing = |server: &Server| json_of(&server.irori(&["store", "stats", "-o", "json"]).unwrap());
    // Killed in the middle of each step, at moments that grow.
    for (round, step) in ["rotate", "reseal", "reseal", "retire"].into_iter().enumerate() {
        let mut under_way = server.command(&["store", "seal", step]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(30 * (round as u64 + 1)));
        server.kill();
        under_way.wait().unwrap();
        server.start();
        expect_secrets(&server, SECRETS);
    }
    let generation = sealing(&server)["sealing"]["newest"].as_u64().unwrap();
    server.irori(&["store", "seal", "rotate"]).unwrap();
    let refused = server.irori(&["store", "seal", "retire"]).unwrap_err();
    assert!(refused.contains("seal them anew first"), "{refused}");
    server.irori(&["store", "seal", "reseal"]).unwrap();
    server.irori(&["store", "seal", "retire"]).unwrap();
    let now = sealing(&server);
    assert_eq!(
        (now["sealing"]["oldest"].as_u64(), now["sealing"]["newest"].as_u64()),
        (Some(generation + 1), Some(generation + 1))
    );
    assert_eq!(now["census"]["generations"], json!({(generation + 1).to_string(): SECRETS}));

    // Another key file, killed at moments from before to after the change: the next start finds out which one counts.
    let key = server.data().join("sealing.key");
    let first = fs::read(&key).unwrap();
    for wait in [20, 50, 80] {
        let mut under_way =
            server.command(&["store", "seal", "key"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(wait));
        server.kill();
        under_way.wait().unwrap();
        server.start();
        expect_secrets(&server, SECRETS);
    }
    server.irori(&["store", "seal", "key"]).unwrap();
    assert_ne!(fs::read(&key).unwrap(), first);
    server.kill();
    server.start();
    expect_secrets(&server, SECRETS);

    // To a passphrase, and back to a key file.
    let phrase = folder.path().join("phrase");
    fs::write(&phrase, "a phrase of twelve bytes and more\n").unwrap();
    server.irori(&["store", "seal", "key", "--passphrase-file", phrase.to_str().unwrap()]).unwrap();
    expect_secrets(&server, SECRETS);
    server.kill();
    fs::remove_file(&key).unwrap();
    server.say(&["--sealing-passphrase-file", phrase.to_str().unwrap()]);
    server.start();
    expect_secrets(&server, SECRETS);
    server.irori(&["store", "seal", "key"]).unwrap();
    server.kill();
    server.say(&[]);
    server.start();
    expect_secrets(&server, SECRETS);
    assert_eq!(bad_lines(&server.log(), &[]), Vec::<String>::new());
}
