//! The choices that a pool offers.

use std::time::Duration;

use crate::changes::Undo;

/// When buffers are zeroed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Zeroing {
    /// A buffer from `acquire` is zero as a whole, and one from `acquire_zeroed` as far as it is visible. The bytes behind the
    /// length may be old ones in a buffer from `acquire_for_write` or `acquire_zeroed`, in the larger buffer to which contents
    /// moved, and in a detached copy. Old bytes become visible only through a [`Read`](std::io::Read) that reads the slice it
    /// is given, or that reports more bytes than it wrote.
    #[default]
    OnAcquire,
    /// A buffer is zero as a whole whenever an owner gets it: also behind the length, and also if contents moved to it or were
    /// copied into it. Safe code reads only what this owner wrote, and zeroes.
    Always,
    /// A buffer from `acquire` holds what its last user left in it. One from `acquire_zeroed` is zero all the same.
    Never,
}

impl Zeroing {
    /// Returns the changes to undo before a buffer is handed out as a whole.
    pub(crate) fn undo(self) -> Undo {
        if self == Self::Never { Undo::LENGTH } else { Undo::ALL }
    }
}

/// How requests beyond the largest class are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Oversize {
    /// From more classes, each twice the one before, up to this size. Larger requests are served as with
    /// [`Oversize::Allocate`].
    Keep {
        /// The largest buffer that is kept.
        max_bytes: usize,
    },
    /// By an allocation of the size requested, which is freed on release.
    Allocate,
    /// They are refused.
    Refuse,
}

/// The settings of a pool that its core needs.
#[derive(Debug)]
pub struct Settings {
    pub alignment: usize,
    pub zeroing: Zeroing,
    pub wipe: bool,
    pub oversize: Oversize,
    pub copy_out_max: usize,
    pub retained_bytes_max: usize,
    /// The interval of the sweeps that slow paths carry out; `None` without such sweeps.
    pub sweep_interval: Option<Duration>,
    /// The shortest time from a sweep to one that `decay` carries out.
    pub decay_interval: Duration,
}
