//! A heap without size classes and headers: blocks are rows of units of 16 bytes.
//!
//! * `policy`: when a freed block is merged with its neighbours;
//! * `region`: a region's header, its map, and its units;
//! * `map`: where blocks and free runs start and end;
//! * `links`, `bins`, `parked`: the free runs and the parked blocks, in lists by length;
//! * `heap`: the allocator; `runs`: the free runs it cuts and merges; `resize`, `growth`;
//! * `fault`: what is wrong with a refused request;
//! * `bound`: how large a region has to be;
//! * `validate`: every invariant.

mod bins;
mod bound;
mod fault;
mod growth;
mod heap;
mod links;
mod map;
mod parked;
mod policy;
mod region;
mod resize;
mod runs;
mod validate;

pub use heap::UnitByteAllocator;
pub use policy::{Bounded, Compact, Policy};
