//! Buffer pool for I/O: reusable size-classed buffers with per-thread magazines, bounded memory, backpressure and honest statistics.
