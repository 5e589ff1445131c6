//! Hosts, pods and outsiders, each a network namespace that lives as long as its value.
use std::{
    fs::File,
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use irori_network::{
    Cidr, InstanceId, Settings, cni, host, namespace,
    netlink::route::{Link, Route, RouteSocket},
};
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;
use tempfile::TempDir;

/// Longer than anything here takes, shorter than a person waits.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// A network namespace without a name.
pub struct Namespace {
    _file: File,
    path: String,
}

impl Namespace {
    /// A new one, with `lo` up.
    pub fn new() -> Self {
        let make = || {
            unshare(CloneFlags::CLONE_NEWNET).expect("root");
            let mut socket = RouteSocket::open().unwrap();
            let lo = socket.link("lo").unwrap().unwrap();
            socket.set_up(lo.index).unwrap();
            File::open("/proc/thread-self/ns/net").unwrap()
        };
        let file = std::thread::spawn(make).join().unwrap();
        let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
        Self { _file: file, path }
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    /// Does `work` inside.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        namespace::inside(Path::new(&self.path), work).unwrap()
    }

    pub fn link(&self, name: &str) -> Option<Link> {
        self.run(|| RouteSocket::open().unwrap().link(name).unwrap())
    }

    pub fn links(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.run(|| RouteSocket::open().unwrap().links().unwrap()).into_iter().map(|l| l.name).collect();
        names.sort();
        names
    }

    /// Answers every TCP connection on `port` with `name` and the peer's address.
    pub fn serve_tcp(&self, address: &str, name: &str) {
        let listener = self.run(|| TcpListener::bind(address).unwrap());
        let name = name.to_owned();
        std::thread::spawn(move || {
            while let Ok((mut stream, peer)) = listener.accept() {
                let _the_client_may_be_gone = stream.write_all(format!("{name} {}", peer.ip()).as_bytes());
            }
        });
    }

    /// Answers every datagram on `address` with `name` and the peer's address.
    pub fn serve_udp(&self, address: &str, name: &str) {
        let socket = self.run(|| UdpSocket::bind(address).unwrap());
        let name = name.to_owned();
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
                let _the_client_may_be_gone = socket.send_to(format!("{name} {}", peer.ip()).as_bytes(), peer);
            }
        });
    }

    /// What a TCP server says to us.
    pub fn ask_tcp(&self, address: &str) -> io::Result<String> {
        let address: SocketAddr = address.parse().unwrap();
        self.run(|| {
            let mut stream = TcpStream::connect_timeout(&address, DEADLINE)?;
            stream.set_read_timeout(Some(DEADLINE))?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        })
    }

    /// What a UDP server answers to us.
    pub fn ask_udp(&self, address: &str) -> io::Result<String> {
        let socket = self.udp_to(address)?;
        ask_again(&socket, DEADLINE)
    }

    /// A UDP socket connected to `address`.
    pub fn udp_to(&self, address: &str) -> io::Result<UdpSocket> {
        let address: SocketAddr = address.parse().unwrap();
        self.run(|| {
            let any = if address.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
            let socket = UdpSocket::bind(any)?;
            socket.connect(address)?;
            Ok(socket)
        })
    }
}

/// Sends a datagram and waits for the answer.
pub fn ask_again(socket: &UdpSocket, time: Duration) -> io::Result<String> {
    socket.set_read_timeout(Some(time))?;
    socket.send(b"?")?;
    let mut buffer = [0; 512];
    let read = socket.recv(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..read]).into_owned())
}

/// A machine that runs one Irori or more.
pub struct Host {
    pub namespace: Namespace,
}

impl Host {
    pub fn new() -> Self {
        Self { namespace: Namespace::new() }
    }

    /// A machine with an uplink to an outsider: 192.0.2.1 and 2001:db8::1 here, 192.0.2.9 and 2001:db8::9 there.
    pub fn with_outsider() -> (Self, Namespace) {
        let (host, outside) = (Self::new(), Namespace::new());
        connect(
            &host.namespace,
            "up0",
            &["192.0.2.1/24", "2001:db8::1/64"],
            &outside,
            "out0",
            &["192.0.2.9/24", "2001:db8::9/64"],
        );
        default_route(&host.namespace, "up0", &["192.0.2.9", "2001:db8::9"]);
        (host, outside)
    }

    /// An Irori on it.
    pub fn irori(&self, instance: &str, ranges: &[&str]) -> Irori<'_> {
        let dir = TempDir::new().unwrap();
        let services = if ranges[0].starts_with("10.42.") { "10.96.0.0/16" } else { "10.97.0.0/16" };
        let settings = Settings {
            instance: instance.parse::<InstanceId>().unwrap(),
            node_name: "n1".to_owned(),
            data_dir: dir.path().to_owned(),
            pod_cidrs: ranges.iter().map(|r| r.parse::<Cidr>().unwrap()).collect(),
            cluster_cidrs: ["10.42.0.0/16", "10.43.0.0/16", "fd42::/48"].iter().map(|r| r.parse().unwrap()).collect(),
            service_cidrs: [services, "fd96::/112"].iter().map(|r| r.parse().unwrap()).collect(),
            uplinks: Vec::new(),
            node_addresses: Vec::new(),
            nft: PathBuf::from("nft"),
        };
        Irori { host: self, settings, _dir: dir }
    }

    /// Runs asynchronous work as a process on this machine would.
    pub fn block_on<T: Send>(&self, work: impl Future<Output = T> + Send) -> T {
        self.namespace.run(|| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work))
    }

    pub fn nft(&self, arguments: &[&str]) -> String {
        let output = self.namespace.run(|| std::process::Command::new("nft").args(arguments).output().unwrap());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn switch(&self, name: &str) -> String {
        self.namespace.run(|| std::fs::read_to_string(format!("/proc/sys/net/{name}")).unwrap().trim().to_owned())
    }
}

/// Joins two namespaces by a veth pair with these addresses.
pub fn connect(left: &Namespace, left_name: &str, left_ips: &[&str], right: &Namespace, right_name: &str, right_ips: &[&str]) {
    let file = File::open(right.path()).unwrap();
    left.run(|| RouteSocket::open().unwrap().add_veth(left_name, right_name, Some(file.as_raw_fd()), 1500).unwrap());
    for (side, name, ips) in [(left, left_name, left_ips), (right, right_name, right_ips)] {
        side.run(|| {
            let mut socket = RouteSocket::open().unwrap();
            let link = socket.link(name).unwrap().unwrap();
            socket.set_up(link.index).unwrap();
            for text in ips {
                let (ip, length) = text.split_once('/').unwrap();
                socket.add_address(link.index, ip.parse().unwrap(), length.parse().unwrap()).unwrap();
            }
        });
    }
}

pub fn default_route(namespace: &Namespace, link: &str, vias: &[&str]) {
    namespace.run(|| {
        let mut socket = RouteSocket::open().unwrap();
        let link = socket.link(link).unwrap().unwrap().index;
        for via in vias {
            let via: IpAddr = via.parse().unwrap();
            let to = Cidr::everything(via.is_ipv6());
            socket.set_route(&Route { to, via: Some(via), link, source: None, onlink: false, ours: false }).unwrap();
        }
    });
}

/// One Irori on a machine.
pub struct Irori<'a> {
    pub host: &'a Host,
    pub settings: Settings,
    _dir: TempDir,
}

static CONTAINERS: AtomicU32 = AtomicU32::new(0);

impl Irori<'_> {
    pub fn prepare(&self) -> host::Prepared {
        self.try_prepare().unwrap()
    }

    pub fn try_prepare(&self) -> Result<host::Prepared, host::HostError> {
        self.host.block_on(host::prepare(&self.settings))
    }

    pub fn remove(&self) {
        self.host.block_on(host::remove(&self.settings)).unwrap();
    }

    /// Calls the plugin as a container runtime would: exit code and output.
    pub fn call(&self, command: &str, container: &str, namespace: &str) -> (u8, Value) {
        let mut config = cni::conflist(&self.settings, 1_450)["plugins"][0].clone();
        config["cniVersion"] = "1.0.0".into();
        config["name"] = "irori".into();
        self.call_with(command, container, namespace, &config)
    }

    pub fn call_with(&self, command: &str, container: &str, namespace: &str, config: &Value) -> (u8, Value) {
        let env = |name: &str| match name {
            "CNI_COMMAND" => Some(command.to_owned()),
            "CNI_CONTAINERID" => Some(container.to_owned()),
            "CNI_NETNS" => Some(namespace.to_owned()),
            "CNI_IFNAME" => Some("eth0".to_owned()),
            _ => None,
        };
        let input = config.to_string();
        let mut output = Vec::new();
        let exit = self.host.namespace.run(|| cni::main(&env, &mut input.as_bytes(), &mut output));
        (exit, if output.is_empty() { Value::Null } else { serde_json::from_slice(&output).unwrap() })
    }

    /// A pod on this Irori.
    pub fn pod(&self) -> Pod {
        let namespace = Namespace::new();
        let container = format!("container-{}", CONTAINERS.fetch_add(1, Ordering::Relaxed));
        let (exit, result) = self.call("ADD", &container, namespace.path());
        assert_eq!(exit, 0, "{result}");
        let ips = result["ips"].as_array().unwrap().iter();
        let ips = ips.map(|ip| ip["address"].as_str().unwrap().split('/').next().unwrap().to_owned()).collect();
        let host_link = result["interfaces"][0]["name"].as_str().unwrap().to_owned();
        Pod { namespace, container, ips, host_link, result }
    }

    pub fn delete(&self, pod: &Pod) {
        assert_eq!(self.call("DEL", &pod.container, pod.namespace.path()), (0, Value::Null));
    }
}

/// A pod: a namespace that the plugin attached.
pub struct Pod {
    pub namespace: Namespace,
    pub container: String,
    pub ips: Vec<String>,
    pub host_link: String,
    pub result: Value,
}

impl Pod {
    pub fn v4(&self) -> &str {
        &self.ips[0]
    }

    pub fn v6(&self) -> &str {
        &self.ips[1]
    }
}
