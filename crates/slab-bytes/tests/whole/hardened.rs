//! The program with an arena of 1 MiB in `Hardened` mode, which finds damage too.

#[path = "mod.rs"]
mod whole;

whole::whole_program!(slab_core::Hardened, 1 << 20);
