//! A disk that fills up: writes are refused, everything else goes on, and room makes it well again without a hand.
use std::{collections::BTreeMap, fs, io::Write, path::PathBuf, process::Command, time::Duration};

use irori_testkit::{
    Api, binary,
    client::{Answer, Client},
    eventually,
};
use serde_json::{Value, json};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// An API whose data folder is a small ext4 of its own, seen by it alone.
fn on_a_small_disk() -> Api {
    let api = Api::new(&binary());
    let image = api.folder().join("disk.img");
    fs::File::create(&image).unwrap().set_len(48 << 20).unwrap();
    // No bytes are kept back for root, who we are.
    let made =
        Command::new("mkfs.ext4").args(["-q", "-m", "0", "-O", "^resize_inode"]).arg(&image).output().expect("start mkfs.ext4");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mount = format!("mount -o loop '{}' '{}' && exec \"$@\"", image.display(), api.data().display());
    api.expecting("no space left").within(&["unshare", "--mount", "--propagation", "private", "sh", "-c", &mount, "sh"])
}

/// Takes all the room there is, or gives it back.
struct Filler(PathBuf);

impl Filler {
    fn fill(api: &Api) -> Self {
        let filler = Self::of(api);
        filler.more();
        filler
    }

    fn of(api: &Api) -> Self {
        Self(api.seen_by_irori(&api.data()).join("filler"))
    }

    fn more(&self) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&self.0).expect("open the filler");
        for size in [1 << 20, 4096, 512, 1] {
            while file.write_all(&vec![7; size]).is_ok() {}
        }
        let _full = file.sync_all();
    }

    fn free(&self) {
        fs::remove_file(&self.0).expect("remove the filler");
    }
}

/// What was acknowledged: content and resourceVersion of each object.
#[derive(Default)]
struct Written(BTreeMap<String, Value>);

impl Written {
    fn create(&mut self, client: &mut Client, name: &str, bytes: usize) -> Answer {
        let data = json!({"content": name.repeat(bytes / name.len() + 1)});
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data});
        let answer = client.send("POST", MAPS, &object).expect("an answer");
        if answer.status == 201 {
            self.0.insert(name.to_owned(), shown(&answer.json()));
        }
        answer
    }

    /// Everything that was acknowledged is there, and nothing else.
    #[track_caller]
    fn expect_all(&self, client: &mut Client) {
        let list = client.get(MAPS).unwrap().json();
        let items = list["items"].as_array().expect("a list");
        let found: BTreeMap<String, Value> =
            items.iter().map(|item| (item["metadata"]["name"].as_str().unwrap().to_owned(), shown(item))).collect();
        assert!(self.0 == found, "{:?} are acknowledged, {:?} are there", self.0.keys(), found.keys());
    }
}

fn shown(object: &Value) -> Value {
    json!([object["data"], object["metadata"]["resourceVersion"], object["metadata"]["uid"]])
}

#[track_caller]
fn expect_no_space(answer: &Answer) {
    let status = answer.json();
    assert_eq!((answer.status, status["reason"].as_str()), (507, Some("InsufficientStorage")), "{answer:?}");
    assert_eq!(status["message"], "the store is read-only: no space left on its disk");
}

#[test]
fn a_full_disk_makes_the_api_read_only_until_there_is_room() {
    let mut api = on_a_small_disk();
    api.start();
    let (mut client, mut written) = (api.door().client(), Written::default());
    for n in 0..20 {
        assert_eq!(written.create(&mut client, &format!("before-{n}"), 2_000).status, 201);
    }
    let mut watch = api.door().watch(&format!("{MAPS}?watch=1")).unwrap().unwrap();
    let mut told: BTreeMap<String, Value> = BTreeMap::new();

    let filler = Filler::fill(&api);
    // What is left of the last block may still take a small write or two.
    let refused = eventually("writes are refused", Duration::from_secs(20), || {
        filler.more();
        let answer = written.create(&mut client, &format!("full-{}", written.0.len()), 20_000);
        if answer.status == 201 { Err("still room".to_owned()) } else { Ok(answer) }
    });
    expect_no_space(&refused);
    for _ in 0..20 {
        expect_no_space(&written.create(&mut client, "refused", 20_000));
    }
    let first = client.send("PATCH", &format!("{MAPS}/before-0"), &json!({"data": {"content": "x".repeat(20_000)}})).unwrap();
    expect_no_space(&first);

    // Reads, and watches old and new, go on.
    written.expect_all(&mut client);
    assert_eq!(client.get("/readyz").unwrap().status, 200);
    let mut second = api.door().watch(&format!("{MAPS}?watch=1")).unwrap().unwrap();
    assert_eq!(second.event().unwrap().unwrap()["type"], "ADDED");

    filler.free();
    assert_eq!(written.create(&mut client, "after", 20_000).status, 201);
    assert_eq!(written.create(&mut client, "refused", 20_000).status, 201);
    while told.len() < written.0.len() {
        let event = watch.event().unwrap().expect("the watch goes on");
        assert_eq!(event["type"], "ADDED");
        told.insert(event["object"]["metadata"]["name"].as_str().unwrap().to_owned(), shown(&event["object"]));
    }
    assert!(told == written.0);

    api.kill();
    api.start();
    written.expect_all(&mut api.door().client());
    starts_on_a_full_disk(&mut api, &mut written);
    assert!(api.log().contains("no space left"), "the log says so once");
}

/// Killed with a full disk and started again on it: everything can be read, and room makes it well.
fn starts_on_a_full_disk(api: &mut Api, written: &mut Written) {
    Filler::fill(api);
    expect_no_space(&written.create(&mut api.door().client(), "never", 200_000));
    api.kill();
    api.start();
    let mut client = api.door().client();
    written.expect_all(&mut client);
    expect_no_space(&written.create(&mut client, "never", 200_000));
    Filler::of(api).free();
    assert_eq!(written.create(&mut client, "at-last", 20_000).status, 201);
    written.expect_all(&mut client);
}
