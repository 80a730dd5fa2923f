//! Finds out whether this compiler has `core::alloc::Allocator`, by compiling an implementation of it.
//!
//! It sets `core_allocator` where the trait is there, since Rust 1.100, and `unstable_allocator` too where
//! it takes the feature `allocator_api`, on older nightly compilers. Every failure counts as "no". The
//! crates that name the trait, by whatever path, have the same script: features are a crate's own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

/// An implementation of all that the crates use.
const PROBE: &str = "
use core::alloc::{AllocError, Allocator, Layout};
use core::ptr::NonNull;
type Block = Result<NonNull<[u8]>, AllocError>;
pub struct Nothing;
unsafe impl Allocator for Nothing {
    fn allocate(&self, _: Layout) -> Block { Err(AllocError) }
    fn allocate_zeroed(&self, _: Layout) -> Block { Err(AllocError) }
    unsafe fn deallocate(&self, _: NonNull<u8>, _: Layout) {}
    unsafe fn grow(&self, _: NonNull<u8>, _: Layout, _: Layout) -> Block { Err(AllocError) }
    unsafe fn grow_zeroed(&self, _: NonNull<u8>, _: Layout, _: Layout) -> Block { Err(AllocError) }
    unsafe fn shrink(&self, _: NonNull<u8>, _: Layout, _: Layout) -> Block { Err(AllocError) }
}
pub fn is_allocator<A: Allocator>() {}
pub fn by_reference() { is_allocator::<&Nothing>() }
";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTC_BOOTSTRAP");
    println!("cargo::rustc-check-cfg=cfg(core_allocator, unstable_allocator)");
    let Some(folder) = env::var_os("OUT_DIR").map(PathBuf::from) else { return };
    // A target whose `core` is built with the program cannot be compiled for from here; the trait
    // does not depend on the target.
    let for_target = compiles(&folder, true, "");
    if compiles(&folder, for_target, PROBE) {
        println!("cargo::rustc-cfg=core_allocator");
    } else if compiles(&folder, for_target, &format!("#![feature(allocator_api)]{PROBE}")) {
        println!("cargo::rustc-cfg=core_allocator");
        println!("cargo::rustc-cfg=unstable_allocator");
    }
}

/// Returns whether the compiler of this build accepts a library, with the target and the flags of this
/// build or with those of the build script.
fn compiles(folder: &Path, for_target: bool, source: &str) -> bool {
    let file = folder.join("probe.rs");
    let result = folder.join("probe.rmeta");
    if fs::write(&file, format!("#![no_std]\n{source}")).is_err() {
        return false;
    }
    let set = |name| env::var_os(name).filter(|value| !value.is_empty());
    let mut words =
        ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTC"].into_iter().filter_map(set);
    let Some(program) = words.next() else { return false };
    let mut compiler = Command::new(program);
    compiler
        .args(words)
        .args(["--edition=2021", "--crate-name=probe", "--crate-type=lib", "--cap-lints=allow"])
        .arg("--emit=metadata")
        .arg("-o")
        .arg(&result)
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if for_target {
        if let Some(target) = set("TARGET") {
            compiler.arg("--target").arg(target);
        }
        if let Ok(flags) = env::var("CARGO_ENCODED_RUSTFLAGS") {
            compiler.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
        }
    }
    let accepted = compiler.status().is_ok_and(|status| status.success());
    // Remove both files: their content differs from machine to machine.
    for path in [&file, &result] {
        let _absent = fs::remove_file(path);
    }
    accepted
}
