//! The program with an arena of 16 MiB.

#[path = "mod.rs"]
mod whole;

whole::whole_program!(slab_core::Checked, 16 << 20);
