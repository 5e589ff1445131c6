//! Compiles the builtin program statically, with the toolchain that compiles us.
use std::{env, path::PathBuf, process::Command};

fn main() {
    let source = "builtin/builtin.rs";
    println!("cargo::rerun-if-changed={source}");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where to write")).join("builtin");
    let built = Command::new(env::var_os("RUSTC").expect("cargo says which rustc"))
        .args(["--edition", "2024", "--crate-name", "builtin", "--crate-type", "bin", "--target"])
        .arg(env::var_os("TARGET").expect("cargo says the target"))
        .args([
            "-C",
            "target-feature=+crt-static",
            "-C",
            "opt-level=s",
            "-C",
            "panic=abort",
            "-C",
            "strip=symbols",
            "-C",
            "lto=fat",
        ])
        .arg("-o")
        .args([out.as_os_str(), source.as_ref()])
        .status();
    assert!(built.is_ok_and(|status| status.success()), "compile {source} (a static C library is needed: package libc6-dev)");
}
