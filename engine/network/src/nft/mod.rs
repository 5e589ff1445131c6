//! Packet rules, as data and as the `nft` program's JSON.
//!
//! What it is: `expression` (words of the language), `base` (what a node always has), `ruleset` (what Services add, and the
//! difference between two of them), `Nft` (hands one transaction to the program).
//! Invariant: only the table `inet irori-<instance>` is ever written. A transaction is carried out whole or not at all.
//! Limits: 10 s for a transaction.
pub mod base;
pub mod expression;
pub mod ruleset;

use std::{io, path::PathBuf, process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

const TRANSACTION_TIME: Duration = Duration::from_secs(10);
/// Of the program's complaints this much is kept.
const COMPLAINT_BYTES: usize = 2_000;

/// Why a transaction was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    #[error("run {}", program.display())]
    Run { program: PathBuf, source: io::Error },
    #[error("wait for nft: no answer in {} s", TRANSACTION_TIME.as_secs())]
    Slow,
    #[error("apply packet rules: nft says: {complaint}")]
    Refused { complaint: String },
    #[error("read nft's listing")]
    Listing(#[source] serde_json::Error),
}

/// The `nft` program.
#[derive(Clone, Debug)]
pub struct Nft {
    program: PathBuf,
}

impl Nft {
    pub fn new(program: PathBuf) -> Self {
        Self { program }
    }

    /// Carries out the commands as one transaction.
    pub async fn apply(&self, commands: Vec<Value>) -> Result<(), NftError> {
        let input = json!({ "nftables": commands }).to_string();
        self.run(&["-j", "-f", "-"], input.into_bytes()).await.map(drop)
    }

    /// The base chains of all tables, as nft lists them.
    pub async fn chains(&self) -> Result<Vec<Value>, NftError> {
        self.list("chains", "chain").await
    }

    /// Whether the table (family inet) is there.
    pub async fn has_table(&self, name: &str) -> Result<bool, NftError> {
        let tables = self.list("tables", "table").await?;
        Ok(tables.iter().any(|table| table["family"] == "inet" && table["name"] == name))
    }

    async fn list(&self, what: &str, kind: &str) -> Result<Vec<Value>, NftError> {
        let output = self.run(&["-j", "list", what], Vec::new()).await?;
        let listing: Value = serde_json::from_slice(&output).map_err(NftError::Listing)?;
        let objects = listing["nftables"].as_array().cloned().unwrap_or_default();
        Ok(objects.into_iter().filter_map(|mut object| object.get_mut(kind).map(Value::take)).collect())
    }

    /// Removes the table with all it holds; one that is not there is no error.
    pub async fn remove_table(&self, table: &str) -> Result<(), NftError> {
        let table = json!({ "table": { "family": "inet", "name": table } });
        self.apply(vec![json!({ "add": table }), json!({ "delete": table })]).await
    }

    async fn run(&self, arguments: &[&str], input: Vec<u8>) -> Result<Vec<u8>, NftError> {
        let failed = |source| NftError::Run { program: self.program.clone(), source };
        let mut child = tokio::process::Command::new(&self.program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let mut stdin = child.stdin.take().expect("it was asked for");
        let talk = async {
            let write = async {
                // A program that stopped reading tells why by its exit code.
                let _told_by_exit_code = stdin.write_all(&input).await;
                drop(stdin);
            };
            let ((), output) = tokio::join!(write, child.wait_with_output());
            output
        };
        let output = tokio::time::timeout(TRANSACTION_TIME, talk).await.map_err(|_| NftError::Slow)?.map_err(failed)?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let complaint = String::from_utf8_lossy(&output.stderr);
        let complaint = complaint.split_whitespace().collect::<Vec<_>>().join(" ");
        Err(NftError::Refused { complaint: complaint.chars().take(COMPLAINT_BYTES).collect() })
    }
}
