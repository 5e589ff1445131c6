//! What containerd is told: its configuration file, for 1.6 and 1.7 (version 2) and for 2.x (version 3).
use std::path::{Path, PathBuf};

use super::install::EngineVersion;

/// The image of a sandbox's first process; built in, never pulled.
pub const PAUSE_IMAGE: &str = "irori.dev/pause:1";

/// Bytes of one line of output in a log; longer ones are split (the stock value).
const LOG_LINE_BYTES_MAX: u32 = 16 * 1024;

/// Seconds between scans of snapshot sizes, which containerd makes whether asked or not: once a month, that is, never on its own.
const SNAPSHOT_SCAN_SECONDS: u32 = 30 * 24 * 3600;

/// Plugins that nothing here uses: each costs memory, a directory or a warning at every start.
const UNUSED: &[&str] = &[
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.snapshotter.v1.blockfile",
    "io.containerd.snapshotter.v1.erofs",
    "io.containerd.differ.v1.erofs",
    "io.containerd.internal.v1.restart",
    "io.containerd.internal.v1.opt",
    "io.containerd.internal.v1.tracing",
    "io.containerd.tracing.processor.v1.otlp",
    "io.containerd.nri.v1.nri",
    "io.containerd.monitor.v1.cgroups",
    "io.containerd.monitor.task.v1.cgroups",
    "io.containerd.grpc.v1.diff",
    "io.containerd.grpc.v1.healthcheck",
    "io.containerd.grpc.v1.snapshots",
];

/// The paths that the configuration names.
pub(super) struct Paths {
    pub root: PathBuf,
    pub state: PathBuf,
    pub socket: PathBuf,
    pub runc: PathBuf,
    pub runc_root: PathBuf,
    pub cni_bin: PathBuf,
    pub cni_conf: PathBuf,
    pub registries: PathBuf,
    /// Whether processes may be protected from the kernel's memory killer (CAP_SYS_RESOURCE; absent in some virtual machines).
    pub may_protect: bool,
}

/// The file's text. Pure, so that an unchanged machine leaves an unchanged file.
pub(super) fn render(version: EngineVersion, paths: &Paths) -> String {
    if version.major >= 2 { version_3(paths) } else { version_2(paths) }
}

fn head(config_version: u8, paths: &Paths) -> String {
    let unused: Vec<String> = UNUSED.iter().map(|name| format!("  {},\n", text(name))).collect();
    format!(
        "version = {config_version}\nroot = {root}\nstate = {state}\noom_score = {oom_score}\ndisabled_plugins = [\n{unused}]\n\n\
         [grpc]\naddress = {socket}\n\n[debug]\nlevel = \"warn\"\n\n[metrics]\naddress = \"\"\n",
        root = path(&paths.root),
        state = path(&paths.state),
        oom_score = if paths.may_protect { -999 } else { 0 },
        socket = path(&paths.socket),
        unused = unused.concat(),
    )
}

fn version_2(paths: &Paths) -> String {
    let cri = "plugins.\"io.containerd.grpc.v1.cri\"";
    format!(
        "{head}\n[{cri}]\nsandbox_image = {pause}\ndisable_tcp_service = true\nstream_server_address = \"127.0.0.1\"\n\
         stats_collect_period = {SNAPSHOT_SCAN_SECONDS}\nmax_container_log_line_size = {LOG_LINE_BYTES_MAX}\n\
         netns_mounts_under_state_dir = true\nrestrict_oom_score_adj = {restrict}\n\n\
         [{cri}.cni]\nbin_dir = {cni_bin}\nconf_dir = {cni_conf}\nmax_conf_num = 1\n\n\
         [{cri}.registry]\nconfig_path = {registries}\n\n\
         [{cri}.containerd]\nsnapshotter = \"overlayfs\"\ndefault_runtime_name = \"runc\"\ndiscard_unpacked_layers = true\n\n\
         [{cri}.containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n\n\
         [{cri}.containerd.runtimes.runc.options]\nBinaryName = {runc}\nRoot = {runc_root}\nSystemdCgroup = false\n",
        head = head(2, paths),
        restrict = !paths.may_protect,
        pause = text(PAUSE_IMAGE),
        cni_bin = path(&paths.cni_bin),
        cni_conf = path(&paths.cni_conf),
        registries = path(&paths.registries),
        runc = path(&paths.runc),
        runc_root = path(&paths.runc_root),
    )
}

fn version_3(paths: &Paths) -> String {
    let (images, runtime) = ("plugins.\"io.containerd.cri.v1.images\"", "plugins.\"io.containerd.cri.v1.runtime\"");
    format!(
        "{head}\n[{images}]\nsnapshotter = \"overlayfs\"\ndiscard_unpacked_layers = true\n\
         stats_collect_period = {SNAPSHOT_SCAN_SECONDS}\n\n\
         [{images}.pinned_images]\nsandbox = {pause}\n\n[{images}.registry]\nconfig_path = {registries}\n\n\
         [{runtime}]\nmax_container_log_line_size = {LOG_LINE_BYTES_MAX}\nnetns_mounts_under_state_dir = true\n\
         restrict_oom_score_adj = {restrict}\n\n\
         [{runtime}.cni]\nbin_dir = {cni_bin}\nconf_dir = {cni_conf}\nmax_conf_num = 1\n\n\
         [{runtime}.containerd]\ndefault_runtime_name = \"runc\"\n\n\
         [{runtime}.containerd.runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n\n\
         [{runtime}.containerd.runtimes.runc.options]\nBinaryName = {runc}\nRoot = {runc_root}\nSystemdCgroup = false\n\n\
         [plugins.\"io.containerd.grpc.v1.cri\"]\ndisable_tcp_service = true\nstream_server_address = \"127.0.0.1\"\n",
        head = head(3, paths),
        restrict = !paths.may_protect,
        pause = text(PAUSE_IMAGE),
        registries = path(&paths.registries),
        cni_bin = path(&paths.cni_bin),
        cni_conf = path(&paths.cni_conf),
        runc = path(&paths.runc),
        runc_root = path(&paths.runc_root),
    )
}

fn path(path: &Path) -> String {
    text(&path.to_string_lossy())
}

/// A TOML basic string; its escapes are those of JSON.
fn text(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths() -> Paths {
        let at = |name: &str| PathBuf::from(format!("/d \"q\"/{name}"));
        Paths {
            root: at("root"),
            state: at("state"),
            socket: at("c.sock"),
            runc: "/usr/sbin/runc".into(),
            runc_root: at("runc"),
            cni_bin: at("bin"),
            cni_conf: at("conf"),
            registries: at("certs.d"),
            may_protect: true,
        }
    }

    #[test]
    fn the_configuration_is_of_the_version_that_the_engine_understands() {
        let old = render(EngineVersion { major: 1, minor: 6, patch: 20 }, &paths());
        assert!(old.starts_with("version = 2\n") && old.contains("[plugins.\"io.containerd.grpc.v1.cri\".containerd]"), "{old}");
        let new = render(EngineVersion { major: 2, minor: 1, patch: 0 }, &paths());
        assert!(new.starts_with("version = 3\n") && new.contains("[plugins.\"io.containerd.cri.v1.runtime\".cni]"), "{new}");
        for text in [old, new] {
            assert!(text.contains(r#"root = "/d \"q\"/root""#) && text.contains(r#"Root = "/d \"q\"/runc""#), "{text}");
        }
    }
}
