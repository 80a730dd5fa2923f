//! A replay as one HTML page without scripts, fonts or pictures from elsewhere. Nothing is measured
//! here. From the bottom up:
//!
//! ```text
//! colours    one colour per allocator
//! bars       a chart of horizontal bars: time, memory, sizes, lifetimes
//! timeline   pages over time
//! heap_map   live blocks over time and place
//! section    one trace: recommendation, charts, table
//! overview   all traces and their recommendations, if there are several
//! footer     how it was measured
//! page       all of them
//! ```
//!
//! The page is both HTML and well-formed XML, so that strict parsers can check it.

mod bars;
mod colours;
mod footer;
mod heap_map;
mod overview;
mod page;
mod section;
#[cfg(test)]
mod tests;
mod timeline;

pub use footer::Provenance;
pub use page::Page;
pub use timeline::Watched;
