//! From the names of the arguments to traces and contenders.

use slab_peers::{Contender, contenders};

use super::LabError;
use super::args::TraceArguments;
use crate::trace::{self, OPERATIONS_MAX, Trace};

impl TraceArguments {
    /// Reads the traces one by one: files first, then embedded ones; all embedded ones if nothing is named.
    pub(super) fn read(&self) -> impl Iterator<Item = Result<Trace, LabError>> {
        // One more than the limit, so that a longer file is refused and not cut.
        let first = self.first.unwrap_or(OPERATIONS_MAX + 1);
        let all = self.files.is_empty() && self.embedded.is_empty();
        let every = trace::embedded_names().filter(move |_| all).map(str::to_owned);
        let files = self.files.iter().map(move |file| Ok(trace::open(file, first)?));
        files.chain(self.embedded.iter().cloned().chain(every).map(embedded))
    }

    /// Returns the number of traces.
    pub(super) fn count(&self) -> usize {
        match self.files.len() + self.embedded.len() {
            0 => trace::embedded_names().count(),
            named => named,
        }
    }
}

fn embedded(name: String) -> Result<Trace, LabError> {
    trace::embedded(&name)?.ok_or_else(|| {
        let known = trace::embedded_names().collect::<Vec<_>>().join(", ");
        LabError::UnknownTrace { name, known }
    })
}

/// Returns the contenders of these names; all if there are no names.
pub(super) fn named_contenders(names: &[String]) -> Result<Vec<&'static Contender>, LabError> {
    if names.is_empty() {
        return Ok(contenders().iter().collect());
    }
    let named = names.iter().map(|name| {
        Contender::named(name).ok_or_else(|| {
            let known = contenders().iter().map(Contender::name).collect::<Vec<_>>().join(", ");
            LabError::UnknownAllocator { name: name.clone(), known }
        })
    });
    named.collect()
}
