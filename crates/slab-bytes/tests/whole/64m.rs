//! The program with an arena of 64 MiB.

#[path = "mod.rs"]
mod whole;

whole::whole_program!(slab_core::Checked, 64 << 20);
