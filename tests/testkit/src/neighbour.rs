//! Another host on the machine's network: what lies outside the home.
use std::process::{Child, Command, Stdio};

use crate::machine::{Machine, plain};

/// A network namespace at the other end of the machine's link. What it runs ends with it.
pub struct Neighbour {
    namespace: String,
    running: Vec<Child>,
}

impl Neighbour {
    pub const ADDRESS: &'static str = "192.0.2.1";

    /// Takes the far end of the machine's link into a namespace of its own.
    pub fn of(machine: &Machine) -> Self {
        let namespace = format!("{}-n", machine.namespace());
        plain("ip", &["netns", "add", &namespace]).expect_ok();
        let address = format!("{}/24", Self::ADDRESS);
        plain("ip", &["-n", machine.namespace(), "link", "set", "lan1", "netns", &namespace]).expect_ok();
        for words in [
            vec!["link", "set", "lo", "up"],
            vec!["address", "add", &address, "dev", "lan1"],
            vec!["-6", "address", "add", "2001:db8::1/64", "dev", "lan1", "nodad"],
            vec!["link", "set", "lan1", "up"],
        ] {
            plain("ip", &[vec!["-n", namespace.as_str()], words].concat()).expect_ok();
        }
        Self { namespace, running: Vec::new() }
    }

    /// Keeps a program running here until the neighbour goes.
    pub fn start(&mut self, program: &str, arguments: &[&str]) {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.namespace)).arg("--").arg(program).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        self.running.push(command.spawn().expect("start a program"));
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _gone = child.kill();
            let _gone = child.wait();
        }
        plain("ip", &["netns", "delete", &self.namespace]);
    }
}
