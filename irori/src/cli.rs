//! What people type. Exit codes: 0 done, 1 failed, 2 the command line or the home file is wrong, 3 the machine lacks something,
//! 4 not running.
use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::{api, assemble::storage::StoreAt, commands};

#[derive(Parser)]
#[command(
    name = "irori",
    version,
    about = "A home cloud: the Kubernetes API, its machines, and what a home needs, in one binary"
)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
    /// What is logged to standard error: a level, or parts with levels such as `info,irori_store=debug`.
    #[arg(long, global = true, env = "IRORI_LOG", default_value = "warn", value_name = "FILTER")]
    pub log: String,
    /// Shifts the clock by so many seconds. For tests of expiry alone.
    #[arg(long, global = true, env = "IRORI_TEST_CLOCK_OFFSET", default_value_t = 0, hide = true, allow_hyphen_values = true)]
    pub test_clock_offset: i64,
}

#[derive(Subcommand)]
pub enum Command {
    /// Brings the home to what its file says; run again, it changes only what differs.
    Up(Up),
    /// Stops the home: its pods, its network, its processes. The data stays.
    Down(Down),
    /// Shows machines, apps and certificates of the running home.
    Status(Reading),
    /// Prints the administrator's kubeconfig.
    Kubeconfig(Data),
    /// Prints the certificate of the home's own CA, for browsers, phones and `curl --cacert`.
    Ca(Data),
    /// Prints what an app writes, or irori's own log where no app is named.
    Logs(Logs),
    /// Runs store and API alone: stock behaviour, no controllers.
    Api(api::Api),
    /// Runs store, API, controllers and scheduler, without a node and without the platform.
    Server(Server),
    /// Runs the node of this machine for a server elsewhere.
    Node(Apart),
    /// Runs the gateway and its certificates for a server elsewhere.
    Gateway(Apart),
    /// Backup, restore and upkeep of the store.
    #[command(subcommand)]
    Store(commands::store::Store),
    /// Prints a completion script for a shell.
    Completions { shell: clap_complete::Shell },
}

impl Command {
    /// Whether it does nothing but print.
    fn only_tells(&self) -> bool {
        match self {
            Self::Status(_) | Self::Kubeconfig(_) | Self::Ca(_) | Self::Logs(_) | Self::Completions { .. } => true,
            Self::Store(store) => store.only_tells(),
            Self::Up(_) | Self::Down(_) | Self::Api(_) | Self::Server(_) | Self::Node(_) | Self::Gateway(_) => false,
        }
    }
}

#[derive(Args, Clone)]
pub struct Data {
    /// Where everything of this home lives.
    #[arg(long, short, env = "IRORI_DATA_DIR", default_value = "/var/lib/irori", value_name = "DIR")]
    pub data_dir: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    Text,
    Json,
}

#[derive(Args, Clone)]
pub struct Reading {
    #[command(flatten)]
    pub data: Data,
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

#[derive(Args, Clone)]
pub struct Up {
    /// The home file.
    pub home: PathBuf,
    #[command(flatten)]
    pub reading: Reading,
    /// Return once the home is up and leave it running (as a systemd service where systemd runs).
    #[arg(long)]
    pub detach: bool,
    #[command(flatten)]
    pub store: StoreAt,
}

#[derive(Args, Clone)]
pub struct Down {
    #[command(flatten)]
    pub data: Data,
    /// How long pods may take to end, in seconds.
    #[arg(long, default_value_t = 30)]
    pub grace: u64,
}

#[derive(Args, Clone)]
pub struct Logs {
    /// The app; without it, irori's own log.
    pub app: Option<String>,
    #[command(flatten)]
    pub data: Data,
    /// Go on printing what is written.
    #[arg(long, short)]
    pub follow: bool,
    /// Only the last so many lines.
    #[arg(long)]
    pub tail: Option<i64>,
}

#[derive(Args, Clone)]
pub struct Server {
    /// The home file: its domain and its network settings.
    pub home: PathBuf,
    #[command(flatten)]
    pub data: Data,
    /// Where the API listens, besides loopback: the address that nodes reach.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Vec<SocketAddr>,
    #[command(flatten)]
    pub store: StoreAt,
}

/// A part that runs apart from the server.
#[derive(Args, Clone)]
pub struct Apart {
    /// The home file, the same as the server's.
    pub home: PathBuf,
    /// This part's own folder.
    #[command(flatten)]
    pub data: Data,
    /// What the server made for this part, in its DATA/credentials/node or DATA/credentials/gateway.
    #[arg(long, value_name = "DIR")]
    pub credentials: PathBuf,
}

/// Why a command ended badly, as an exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Failed = 1,
    WrongInput = 2,
    MachineLacks = 3,
    NotRunning = 4,
}

/// An error that carries its exit code.
#[derive(Debug)]
pub struct Ended {
    pub exit: Exit,
    pub error: anyhow::Error,
}

impl<E: Into<anyhow::Error>> From<E> for Ended {
    fn from(error: E) -> Self {
        Self { exit: Exit::Failed, error: error.into() }
    }
}

impl Exit {
    pub fn because(self, error: impl Into<anyhow::Error>) -> Ended {
        Ended { exit: self, error: error.into() }
    }
}

pub type Done = Result<(), Ended>;

pub fn run(arguments: Arguments) -> ExitCode {
    irori_runtime::telemetry::init(&arguments.log);
    if arguments.command.only_tells() {
        irori_runtime::end_with_reader();
    }
    let offset = irori_runtime::SignedDuration::from_secs(arguments.test_clock_offset);
    let done = match arguments.command {
        Command::Up(up) => commands::up::run(up, offset),
        Command::Down(down) => commands::down::run(down, offset),
        Command::Status(reading) => commands::status::run(reading, offset),
        Command::Kubeconfig(data) => commands::show::kubeconfig(&data),
        Command::Ca(data) => commands::show::ca(&data),
        Command::Logs(logs) => commands::logs::run(logs, offset),
        Command::Api(api) => api::run(api, offset),
        Command::Server(server) => commands::apart::server(server, offset),
        Command::Node(apart) => commands::apart::node(apart, offset),
        Command::Gateway(apart) => commands::apart::gateway(apart, offset),
        Command::Store(store) => commands::store::run(store, offset),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "irori", &mut std::io::stdout());
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Ended { exit, error }) => {
            eprintln!("irori: {error:#}");
            let by_exit = match exit {
                Exit::WrongInput | Exit::Failed => None,
                Exit::MachineLacks => Some("E02"),
                Exit::NotRunning => Some("E03"),
            };
            if let Some(code) = crate::errors::code(&error).or(by_exit) {
                eprintln!("  {code}: docs/errors/{code}.md says what to do");
            }
            ExitCode::from(exit as u8)
        }
    }
}
