//! The byte that is kept beside each granule: whether a block starts there, and which one.

use crate::classes::CLASS_COUNT_MAX;

const CLASSES: u8 = CLASS_COUNT_MAX as u8;

/// No block starts here.
pub const NOTHING: u8 = 0;
/// A live run of pages that no class has starts here. Its line says how long it is.
pub const RUN: u8 = 1 + 3 * CLASSES;
/// A live block shows its bytes from here, and starts as many granules before as the other bits say.
/// The granule before this one has the code [`behind`] of its class.
const SHIFTED: u8 = 0x80;

/// A live block of a class starts here.
#[inline]
pub const fn live(class: usize) -> u8 {
    1 + class as u8
}

/// A dead block of a class starts here.
#[inline]
pub const fn dead(class: usize) -> u8 {
    1 + CLASSES + class as u8
}

/// The next granule is the first that a shifted block shows.
pub const fn behind(class: usize) -> u8 {
    1 + 2 * CLASSES + class as u8
}

/// The first granule that a live block shows; it starts `pad` granules before, at most 127.
pub const fn shifted(pad: u32) -> u8 {
    SHIFTED | pad as u8
}

/// The meaning of a granule's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    Nothing,
    Live { class: usize },
    Dead { class: usize },
    Behind { class: usize },
    Shifted { pad: u32 },
    Run,
}

/// Reads a code.
pub const fn meaning(code: u8) -> Meaning {
    if code == NOTHING {
        return Meaning::Nothing;
    }
    if code & SHIFTED != 0 {
        return Meaning::Shifted { pad: (code & !SHIFTED) as u32 };
    }
    let (kind, class) = ((code - 1) / CLASSES, ((code - 1) % CLASSES) as usize);
    match kind {
        0 => Meaning::Live { class },
        1 => Meaning::Dead { class },
        2 => Meaning::Behind { class },
        _ => Meaning::Run,
    }
}

const _: () = assert!(RUN < SHIFTED);
