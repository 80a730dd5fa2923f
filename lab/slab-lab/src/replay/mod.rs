//! Replays a trace over all contenders, each in a separate process. From the bottom up:
//!
//! ```text
//! limits    memory and time of a replay
//! report    the results, as JSON has them          summary   their geometric means
//! samples   a heap over time                       map       a heap over time and place
//! pins      the call stacks that keep pages in use
//! protocol  the messages between lab and worker
//! worker    the process of one contender
//! session   the lab's end of a worker
//! run       all contenders over a trace, round by round
//! count     the instructions of one contender, by valgrind's callgrind
//! threads   all thread-safe heaps over a trace, on one thread and on several
//! advice    which allocator to take, or to keep malloc
//! ```

pub mod advice;
mod count;
mod limits;
mod map;
mod pins;
pub mod protocol;
mod report;
mod run;
mod samples;
mod session;
mod summary;
mod threads;
pub mod worker;

pub use count::{count, counter_is_installed};
pub use limits::{PEAK_BYTES_MAX, region_bytes};
pub use map::{Area, HeapMap, SHADES};
pub use report::{ContenderReport, Middle, Report, TraceReport};
pub use run::{Measures, ReplayError, pinned_bytes, replay, sample, start};
pub use samples::{Moment, Samples};
pub use session::Session;
pub(crate) use summary::geometric_mean;
pub use summary::{Means, Summary};
pub use threads::{ThreadReport, replay_threads};
