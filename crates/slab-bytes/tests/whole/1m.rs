//! The program with an arena of 1 MiB.

#[path = "mod.rs"]
mod whole;

whole::whole_program!(slab_core::Checked, 1 << 20);
