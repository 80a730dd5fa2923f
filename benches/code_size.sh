#!/usr/bin/env bash
# Code bytes of alloc + dealloc on a Cortex-M4 (thumbv7em-none-eabi): benches/code_size.sh
#
# A static library with two exported functions over an allocator passed by reference is built per contender with
# opt-level "s", fat LTO, one codegen unit and panic=abort, linked with --gc-sections from these two
# entries alone, and its .text and .rodata are counted. `empty` is the same with functions that do
# nothing. The panic handler loops, so no formatting remains; memory functions of
# compiler_builtins that a contender calls count.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
triple=thumbv7em-none-eabi
rustup target add --toolchain stable "$triple" >/dev/null 2>&1 || { echo "SKIPPED: code size, no $triple"; exit 0; }
sysroot=$(rustc +stable --print sysroot)
lld=$(find "$sysroot" -name rust-lld -type f | head -1)
[ -n "$lld" ] || { echo 'SKIPPED: code size, no linker'; exit 0; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
cat >"$work/Cargo.toml" <<EOF
[package]
name = "code-size"
version = "0.0.0"
edition = "2024"
[lib]
crate-type = ["staticlib"]
path = "src/lib.rs"
[features]
empty = []
checked = []
unchecked = []
bounded = []
compact = []
talc = []
rlsf = []
[dependencies]
slab-bytes = { path = "$root/crates/slab-bytes", default-features = false }
slab-core = { path = "$root/crates/slab-core" }
slab-traits = { path = "$root/crates/slab-traits", default-features = false }
talc = { version = "5.1.1", default-features = false }
rlsf = { version = "0.2.3", default-features = false }
[profile.release]
opt-level = "s"
lto = "fat"
codegen-units = 1
panic = "abort"
[workspace]
EOF
cat >"$work/src/lib.rs" <<'EOF'
#![no_std]
#![allow(unused_unsafe)]
use core::{alloc::Layout, ptr::NonNull};
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! { loop {} }
/// `talc` links `alloc`, which wants one; nothing calls it.
struct Nothing;
unsafe impl core::alloc::GlobalAlloc for Nothing {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 { core::ptr::null_mut() }
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}
#[global_allocator]
static GLOBAL: Nothing = Nothing;
#[cfg(any(feature = "checked", feature = "unchecked"))]
mod heap {
    use super::*;
    use slab_traits::ByteAllocator;
    #[cfg(feature = "checked")]
    type M = slab_core::Checked;
    #[cfg(feature = "unchecked")]
    type M = slab_core::Unchecked;
    pub type Heap = slab_bytes::SlabByteAllocator<M>;
    pub unsafe fn alloc(heap: &mut Heap, layout: Layout) -> Option<NonNull<u8>> { unsafe { heap.alloc(layout).ok() } }
    pub unsafe fn free(heap: &mut Heap, block: NonNull<u8>, layout: Layout) { unsafe { heap.dealloc(block, layout) } }
}
#[cfg(any(feature = "bounded", feature = "compact"))]
mod heap {
    use super::*;
    use slab_traits::ByteAllocator;
    #[cfg(feature = "bounded")]
    type P = slab_bytes::Bounded;
    #[cfg(feature = "compact")]
    type P = slab_bytes::Compact;
    pub type Heap = slab_bytes::UnitByteAllocator<P>;
    pub unsafe fn alloc(heap: &mut Heap, layout: Layout) -> Option<NonNull<u8>> { heap.alloc(layout).ok() }
    pub unsafe fn free(heap: &mut Heap, block: NonNull<u8>, layout: Layout) { unsafe { heap.dealloc(block, layout) } }
}
#[cfg(feature = "talc")]
mod heap {
    use super::*;
    pub type Heap = talc::base::Talc<talc::source::Manual, talc::DefaultBinning>;
    pub unsafe fn alloc(heap: &mut Heap, layout: Layout) -> Option<NonNull<u8>> { unsafe { heap.allocate(layout) } }
    pub unsafe fn free(heap: &mut Heap, block: NonNull<u8>, layout: Layout) { unsafe { heap.deallocate(block.as_ptr(), layout) } }
}
#[cfg(feature = "rlsf")]
mod heap {
    use super::*;
    pub type Heap = rlsf::Tlsf<'static, u16, u16, 12, 16>;
    pub unsafe fn alloc(heap: &mut Heap, layout: Layout) -> Option<NonNull<u8>> { unsafe { heap.allocate(layout) } }
    pub unsafe fn free(heap: &mut Heap, block: NonNull<u8>, layout: Layout) { unsafe { heap.deallocate(block, layout.align()) } }
}
#[cfg(feature = "empty")]
mod heap {
    use super::*;
    pub type Heap = ();
    pub unsafe fn alloc(_: &mut Heap, _: Layout) -> Option<NonNull<u8>> { None }
    pub unsafe fn free(_: &mut Heap, _: NonNull<u8>, _: Layout) {}
}
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bench_alloc(heap: &mut heap::Heap, size: usize, align: usize) -> Option<NonNull<u8>> {
    unsafe { heap::alloc(heap, Layout::from_size_align_unchecked(size, align)) }
}
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bench_free(heap: &mut heap::Heap, block: NonNull<u8>, size: usize, align: usize) {
    unsafe { heap::free(heap, block, Layout::from_size_align_unchecked(size, align)) }
}
EOF
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$root/target}/code-size"
printf '%-22s %8s %8s\n' contender text rodata
for contender in empty checked unchecked bounded compact talc rlsf; do
    cargo +stable build --quiet --release --manifest-path "$work/Cargo.toml" --target "$triple" --features "$contender"
    "$lld" -flavor gnu -static --gc-sections -u bench_alloc -u bench_free -e bench_alloc \
        "$CARGO_TARGET_DIR/$triple/release/libcode_size.a" -o "$work/$contender.elf"
    name=$contender
    case $contender in checked | unchecked | bounded | compact) name="slab-bytes/$contender" ;; esac
    size -A "$work/$contender.elf" | awk -v name="$name" '
        /^\.text/ { text += $2 } /^\.rodata/ { rodata += $2 }
        END { printf "%-22s %8d %8d\n", name, text, rodata }'
done
