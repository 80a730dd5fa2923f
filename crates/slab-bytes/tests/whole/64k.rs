//! The program with an arena of 64 KiB.

#[path = "mod.rs"]
mod whole;

whole::whole_program!(slab_core::Checked, 64 << 10);
