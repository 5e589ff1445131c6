//! A disk that stands still for five seconds: writes wait, everything else goes on, nothing starts again.
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use irori_testkit::{bad_lines, eventually};

use crate::server::Server;

const STALL: Duration = Duration::from_secs(5);

/// A file system that takes no writes; thawed when dropped.
struct Frozen(PathBuf);

impl Frozen {
    fn freeze(at: PathBuf) -> Self {
        fsfreeze("--freeze", &at);
        Self(at)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        fsfreeze("--unfreeze", &self.0);
    }
}

fn fsfreeze(what: &str, at: &Path) {
    let done = Command::new("fsfreeze").arg(what).arg(at).output().expect("start fsfreeze");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// A server whose data folder is an ext4 of its own, seen by it alone.
fn on_its_own_disk(folder: &Path) -> Server {
    let server = Server::new(folder.join("home"), Vec::new());
    let image = folder.join("disk.img");
    fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
    let made = Command::new("mkfs.ext4").arg("-q").arg(&image).output().expect("start mkfs.ext4");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::create_dir_all(server.data()).unwrap();
    let mount = format!("mount -o loop '{}' '{}' && exec \"$@\"", image.display(), server.data().display());
    server.within(&["unshare", "--mount", "--propagation", "private", "sh", "-c", &mount, "sh"])
}

#[test]
fn a_disk_that_stalls_for_five_seconds_restarts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = on_its_own_disk(folder.path());
    server.start();
    server.kubectl(&["create", "configmap", "before", "--from-literal=a=1"]).unwrap();
    let (pid, log) = (server.pid(), server.log().lines().count());
    let mut watch = Command::new(irori_testkit::kubectl())
        .arg("--kubeconfig")
        .arg(server.seen_by_it(&server.data().join("credentials/admin.kubeconfig")))
        .args(["get", "configmaps", "--watch-only", "-o", "name"])
        .stdout(fs::File::create(folder.path().join("watched")).unwrap())
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let frozen = Frozen::freeze(server.seen_by_it(&server.data()));
    let since = Instant::now();
    thread::scope(|scope| {
        // kubectl itself gives up after 10 s.
        let writes: Vec<_> = ["one", "two", "three"]
            .map(|name| {
                let server = &server;
                scope.spawn(move || server.kubectl(&["create", "configmap", name, "--from-literal=a=1"]))
            })
            .into();
        while since.elapsed() < STALL {
            // What is there is read, and health does not ask the disk: nobody takes the server for dead.
            assert_eq!(server.kubectl(&["get", "configmap", "before", "-o", "name"]).unwrap().trim(), "configmap/before");
            assert_eq!(server.kubectl(&["get", "--raw", "/livez"]).unwrap(), "ok");
            assert_eq!(server.kubectl(&["get", "--raw", "/readyz"]).unwrap(), "ok");
            thread::sleep(Duration::from_millis(200));
        }
        assert!(writes.iter().all(|write| !write.is_finished()), "a write is acknowledged only when it is on the disk");
        drop(frozen);
        for write in writes {
            write.join().unwrap().unwrap();
        }
    });
    println!("stalled for {:.1} s", since.elapsed().as_secs_f64());
    // The same process, the same watches, and controllers that go on.
    assert!(server.lives() && server.pid() == pid);
    eventually("the watch that was open tells what was written", Duration::from_secs(10), || {
        let told = fs::read_to_string(folder.path().join("watched")).unwrap();
        if ["one", "two", "three"].iter().all(|name| told.contains(&format!("configmap/{name}"))) { Ok(()) } else { Err(told) }
    });
    server.kubectl(&["create", "deployment", "after", "--image", "none"]).unwrap();
    eventually("a pod of the deployment", Duration::from_secs(10), || {
        let pods = server.kubectl(&["get", "pods", "-o", "name"])?;
        if pods.contains("pod/after-") { Ok(()) } else { Err(pods) }
    });
    watch.kill().unwrap();
    watch.wait().unwrap();
    let after = server.log();
    let said: Vec<&str> = after.lines().skip(log).filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")).collect();
    assert_eq!((said, bad_lines(&after, &[])), (Vec::new(), Vec::new()));
}
