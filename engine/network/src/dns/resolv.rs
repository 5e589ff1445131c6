//! Name servers from a file like `/etc/resolv.conf` (resolv.conf(5)).
use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::Path,
    time::SystemTime,
};

/// As many as the C library uses.
const SERVERS_MAX: usize = 3;
const PORT: u16 = 53;

/// The servers of a file, as of its last change.
#[derive(Default)]
pub struct ResolvConf {
    changed: Option<SystemTime>,
    servers: Vec<SocketAddr>,
}

impl ResolvConf {
    /// The servers, read again if the file is not the one of last time. A missing file names none.
    pub fn servers(&mut self, path: &Path) -> Vec<SocketAddr> {
        let changed = fs::metadata(path).and_then(|meta| meta.modified()).ok();
        if changed.is_none() || changed != self.changed {
            self.servers = fs::read_to_string(path).map(|text| parse(&text)).unwrap_or_default();
            self.changed = changed;
        }
        self.servers.clone()
    }
}

fn parse(text: &str) -> Vec<SocketAddr> {
    let words = text.lines().map(str::split_whitespace);
    let named = words.filter_map(|mut words| words.next().filter(|word| *word == "nameserver").and_then(|_| words.next()));
    let addresses = named.filter_map(|word| word.split('%').next().and_then(|word| word.parse::<IpAddr>().ok()));
    addresses.map(|ip| SocketAddr::new(ip, PORT)).take(SERVERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_and_everything_else_is_passed_over() {
        let text = "# nameserver 9.9.9.9\nsearch home.arpa\nnameserver 192.0.2.53\n  nameserver\t2001:db8::53 ; x\nnameserver nonsense\noptions edns0\n";
        assert_eq!(parse(text), ["192.0.2.53:53".parse().expect("one"), "[2001:db8::53]:53".parse().expect("two")]);
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_missing_one_names_none() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("resolv.conf");
        let mut conf = ResolvConf::default();
        assert_eq!(conf.servers(&path), []);
        fs::write(&path, "nameserver 192.0.2.1").expect("write");
        assert_eq!(conf.servers(&path).len(), 1);
        fs::write(&path, "nameserver 192.0.2.1\nnameserver 192.0.2.2").expect("write");
        let later = SystemTime::now() + std::time::Duration::from_secs(5);
        fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(later)).expect("touch");
        assert_eq!(conf.servers(&path).len(), 2);
        fs::remove_file(&path).expect("remove");
        assert_eq!(conf.servers(&path), []);
    }
}
