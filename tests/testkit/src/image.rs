//! An image for tests, made of this machine's own programs: no registry is asked.
use crate::Home;

/// busybox with all its applets, curl and perl.
pub const BOX: &str = "example.test/box:1";

const SCRIPT: &str = include_str!("image.sh");

impl Home {
    /// Takes `BOX` in.
    pub fn import_box(&self) {
        let socket = self.engine_data().join("containerd/containerd.sock").display().to_string();
        self.machine.run_with("sh", &["-s", BOX, &socket], SCRIPT.as_bytes()).expect_ok();
    }

    /// Gives `BOX` another name.
    pub fn tag_box(&self, name: &str) {
        let socket = self.engine_data().join("containerd/containerd.sock").display().to_string();
        self.machine.run("ctr", &["--address", &socket, "--namespace", "k8s.io", "images", "tag", BOX, name]).expect_ok();
    }
}
