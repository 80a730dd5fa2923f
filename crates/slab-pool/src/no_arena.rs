//! The types of an arena where there is none: without the feature `arena`, or without `mmap`.

use std::alloc::Layout;
use std::ptr::NonNull;

/// An arena: there is none.
#[derive(Debug)]
pub enum Arena {}

/// A buffer's memory in an arena: there is none.
#[derive(Debug)]
pub enum Slot {}

impl Arena {
    pub fn take(&self, _class: usize) -> Option<Slot> {
        match *self {}
    }

    pub fn has(&self, _class: usize) -> bool {
        match *self {}
    }

    pub fn vacant_bytes(&self) -> usize {
        match *self {}
    }
}

impl Slot {
    pub fn start(&self) -> NonNull<u8> {
        match *self {}
    }

    pub fn layout(&self) -> Layout {
        match *self {}
    }

    pub fn index(&self) -> u16 {
        match *self {}
    }
}
