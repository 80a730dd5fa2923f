//! Passes the compiler's version to the report, and compiles slab-record as a library for `LD_PRELOAD`,
//! which becomes a part of the lab.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../slab-record/src");
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Command::new(&rustc).arg("--version").output().ok();
    let version = said.and_then(|said| String::from_utf8(said.stdout).ok());
    let version = version.as_deref().map(str::trim).filter(|version| !version.is_empty());
    println!("cargo::rustc-env=SLAB_LAB_RUSTC={}", version.unwrap_or("rustc of unknown version"));

    let place = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let library = place.join("slab_record.so");
    let variable = |name: &str| env::var(name).unwrap_or_default();
    let has_recorder = variable("CARGO_CFG_TARGET_OS") == "linux"
        && variable("CARGO_CFG_TARGET_POINTER_WIDTH") == "64";
    let compiled = has_recorder && compile(rustc, &library);
    if !compiled {
        // An empty library: the lab says that the recorder is missing.
        if let Err(error) = fs::write(&library, b"") {
            println!("cargo::error={}: {error}", library.display());
        }
    }
}

/// Compiles the library; `false`, with a warning, if that fails.
fn compile(rustc: OsString, library: &Path) -> bool {
    let mut command = Command::new(rustc);
    command
        .args(["--edition=2024", "--crate-type=cdylib", "--crate-name=slab_record"])
        .args(["--cfg=slab_preload", "-Copt-level=3", "-Clto=fat", "-Ccodegen-units=1"])
        .args(["-Cpanic=abort", "-Cforce-frame-pointers=yes", "-Cstrip=symbols"])
        .arg("--target")
        .arg(env::var_os("TARGET").unwrap_or_default());
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut argument = OsString::from("-Clinker=");
        argument.push(linker);
        command.arg(argument);
    }
    command.arg("-o").arg(library).arg("../slab-record/src/lib.rs");
    // The flags of the program, such as a sanitizer's, are not the library's.
    command.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
    match command.output() {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let line = said.lines().next().unwrap_or("no reason");
            println!("cargo::warning=the recorder cannot be compiled: {line}");
            false
        }
        Err(error) => {
            println!("cargo::warning=the recorder cannot be compiled: {error}");
            false
        }
    }
}
