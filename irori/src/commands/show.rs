//! `irori kubeconfig` and `irori ca`.
use anyhow::Context as _;

use crate::{
    cli::{Data, Done, Exit},
    data::DataDir,
};

pub fn kubeconfig(data: &Data) -> Done {
    print(data, |d| d.admin_kubeconfig())
}

pub fn ca(data: &Data) -> Done {
    print(data, |d| d.trust().join("root.crt"))
}

fn print(data: &Data, file: impl Fn(&DataDir) -> std::path::PathBuf) -> Done {
    let dir = DataDir::existing(&data.data_dir).map_err(|error| Exit::NotRunning.because(error))?;
    let path = file(&dir);
    print!("{}", std::fs::read_to_string(&path).with_context(|| format!("read `{}`", path.display()))?);
    Ok(())
}
