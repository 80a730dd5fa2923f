//! A search for the first difference between two logs whose owners exchange messages.
//!
//! Both peers go through the same steps, and each step is one message from either. Where a range of operations is known to
//! hold the difference, both send digests of sixteen parts of it and go on with the first part that differs; and in the
//! same way through the bytes of a write. A difference among 2³² operations takes eight such messages, of at
//! most [`MESSAGE_BYTES_MAX`] bytes.

mod report;
mod wire;

pub use report::{ByteDifference, OperationSummary, PeerDivergence};
pub use wire::{MESSAGE_BYTES_MAX, SEARCH_VERSION, SearchError};

use core::fmt;
use core::ops::Range;

use crate::Config;
use crate::journal::{OpLog, Operation, Operations};
use crate::mix::Mixer;
use report::{SHOWN_BYTES, SHOWN_OPERATIONS, history};
use wire::{Message, Reader};

extern crate alloc;

use alloc::vec::Vec;

/// Parts of a range whose digests are sent at once.
const PARTS: usize = 16;

/// Starts of the digests of a part: no other digest starts with them.
const OPERATIONS_DOMAIN: u64 = u64::from_le_bytes(*b"op parts");
const BYTES_DOMAIN: u64 = u64::from_le_bytes(*b"by parts");

/// Finds the first operation in which our log and that of a peer differ, by messages that the caller carries.
///
/// Each peer makes a search of its log. While there is a [`message`](Self::message), it sends that and hands the
/// peer's to [`receive`](Self::receive); both then know the [`divergence`](Self::divergence). How messages travel is
/// the caller's choice; each has to arrive whole, and a transport without borders between messages needs the
/// length before each.
///
/// A message from elsewhere does no harm: it is checked, bounded in size, and refused if it is not the next one.
/// Each part of a search is smaller than the one before, so that it ends whatever the peer says. A peer that lies
/// about its log gets a wrong answer to be found.
///
/// # Examples
///
/// ```
/// use slab_binned::{DivergenceSearch, LoggedAllocator};
///
/// let (mut ours, mut theirs) = (LoggedAllocator::new(), LoggedAllocator::new());
/// for (peer, byte) in [(&mut ours, 1), (&mut theirs, 2)] {
///     let id = peer.alloc(100)?;
///     peer.write_at(id, 40, &[0, 0, byte, 0])?;
/// }
/// let mut here = DivergenceSearch::new(ours.log());
/// let mut there = DivergenceSearch::new(theirs.log());
/// while let (Some(sent), Some(received)) = (here.message(), there.message()) {
///     let (sent, received) = (sent.to_vec(), received.to_vec());
///     here.receive(&received)?;
///     there.receive(&sent)?;
/// }
/// let found = here.divergence().expect("one byte");
/// assert_eq!(found.at(), Some(1));
/// assert!(found.to_string().contains("operation 1, from byte 42 of the block on"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct DivergenceSearch<'a> {
    log: &'a OpLog,
    step: Step<'a>,
    message: Message,
    rounds: u32,
    /// Operations of the peer's log and the fingerprint behind them, as it said.
    their_count: u64,
    their_end: u64,
}

/// The message that is sent and expected.
#[derive(Clone)]
enum Step<'a> {
    /// Configuration, fingerprints and number of operations.
    Hello,
    /// The first difference is among these operations, the first of which comes next.
    Operations {
        range: Range<u64>,
        from: Operations<'a>,
    },
    /// The operations that differ.
    Report {
        from: Operations<'a>,
        at: u64,
    },
    /// The first difference is among these bytes of the write.
    Bytes {
        range: Range<u64>,
        found: Found<'a>,
    },
    Done(Option<PeerDivergence>),
}

/// The operations that differ: both wrote to the same place.
#[derive(Clone)]
struct Found<'a> {
    at: u64,
    ours: Vec<OperationSummary>,
    theirs: Vec<OperationSummary>,
    /// Our bytes, and where they start in the block.
    written: &'a [u8],
    offset: usize,
}

impl Step<'_> {
    /// The kind of its messages.
    fn kind(&self) -> u8 {
        match self {
            Self::Hello => 1,
            Self::Operations { .. } => 2,
            Self::Report { .. } => 3,
            Self::Bytes { range, .. } if len(range) > SHOWN_BYTES as u64 => 4,
            Self::Bytes { .. } => 5,
            Self::Done(_) => 0,
        }
    }
}

fn len(range: &Range<u64>) -> u64 {
    range.end - range.start
}

/// Returns the parts of a range: sixteen, or as many as it has numbers.
fn parts(range: &Range<u64>) -> impl ExactSizeIterator<Item = Range<u64>> + use<> {
    let (start, len) = (range.start, len(range));
    let count = len.min(PARTS as u64);
    let border = move |part: u64| {
        start + (u128::from(len) * u128::from(part) / u128::from(count.max(1))) as u64
    };
    (0..count as usize).map(move |part| border(part as u64)..border(part as u64 + 1))
}

impl<'a> DivergenceSearch<'a> {
    /// Starts a search through a log. *O*(1).
    pub fn new(log: &'a OpLog) -> Self {
        let (step, message) = (Step::Hello, Message::new(0));
        let mut search = Self { log, step, message, rounds: 0, their_count: 0, their_end: 0 };
        search.go_to(Step::Hello);
        search
    }

    /// Returns the message to be sent, or `None` if the search has ended.
    pub fn message(&self) -> Option<&[u8]> {
        if matches!(self.step, Step::Done(_)) { None } else { Some(self.message.bytes()) }
    }

    /// Takes the message of the peer. *O*(operations that may differ), which get fewer by a factor of sixteen each time,
    /// and *O*(bytes of the write).
    ///
    /// # Errors
    ///
    /// [`SearchError`] if it is not the message that is expected. The search waits for it as before.
    pub fn receive(&mut self, message: &[u8]) -> Result<(), SearchError> {
        if matches!(self.step, Step::Done(_)) {
            return Err(SearchError::Ended);
        }
        let reader = Reader::new(message, self.step.kind())?;
        let next = match &self.step {
            Step::Hello => self.greeted(reader)?,
            Step::Operations { range, from } => self.narrowed(range, from, reader)?,
            Step::Report { from, at } => self.reported(from, *at, reader)?,
            Step::Bytes { range, found } => self.narrowed_bytes(range, found, reader)?,
            Step::Done(_) => return Err(SearchError::Ended),
        };
        self.rounds += 1;
        self.go_to(next);
        Ok(())
    }

    /// Returns the difference, or `None` if there is none or the search has not ended.
    pub fn divergence(&self) -> Option<&PeerDivergence> {
        match &self.step {
            Step::Done(divergence) => divergence.as_ref(),
            _ => None,
        }
    }

    /// Returns how many messages were received.
    pub fn rounds(&self) -> u32 {
        self.rounds
    }

    /// Makes a step the next one and writes its message.
    fn go_to(&mut self, step: Step<'a>) {
        let mut message = Message::new(step.kind());
        match &step {
            Step::Hello => {
                let log = self.log;
                log.config().words().into_iter().for_each(|word| message.put_u64(word));
                let ends = [log.start_fingerprint(), log.end_fingerprint(), log.len() as u64];
                ends.into_iter().for_each(|number| message.put_u64(number));
            }
            Step::Operations { range, from } => {
                put_range(&mut message, range);
                operation_digests(range, from).for_each(|digest| message.put_u64(digest));
            }
            Step::Report { from, at } => {
                message.put_u64(*at);
                let shown = from.clone().take(SHOWN_OPERATIONS);
                message.put(&[shown.len() as u8]);
                shown.for_each(|operation| OperationSummary::from(operation).put(&mut message));
            }
            Step::Bytes { range, found } => {
                put_range(&mut message, range);
                if len(range) > SHOWN_BYTES as u64 {
                    byte_digests(range, found.written).for_each(|digest| message.put_u64(digest));
                } else {
                    message.put(stretch(range, found.written));
                }
            }
            Step::Done(_) => {}
        }
        self.message = message.finish();
        self.step = step;
    }

    /// The peer has said what its log starts with.
    fn greeted(&mut self, mut reader: Reader<'_>) -> Result<Step<'a>, SearchError> {
        let words = [reader.u64()?, reader.u64()?];
        let (start, end, count) = (reader.u64()?, reader.u64()?, reader.u64()?);
        reader.end()?;
        let Some(theirs) = Config::from_words(words) else {
            return Err(SearchError::Broken { what: "a configuration can be", number: words[0] });
        };
        (self.their_count, self.their_end) = (count, end);
        let (log, ours) = (self.log, self.log.config());
        let our_count = log.len() as u64;
        let divergence = if theirs != ours {
            PeerDivergence::Config { ours, theirs }
        } else if start != log.start_fingerprint() {
            PeerDivergence::Start { ours: log.start_fingerprint(), theirs: start }
        } else if (count, end) == (our_count, log.end_fingerprint()) {
            return Ok(Step::Done(None));
        } else {
            // The operation behind the shared ones is compared too: one log may end there.
            let range = 0..count.min(our_count);
            let from = log.operations();
            return Ok(match len(&range) {
                0 => self.shared_are_equal(from, 0),
                _ => Step::Operations { range, from },
            });
        };
        Ok(Step::Done(Some(divergence)))
    }

    /// All operations that both logs have are equal.
    fn shared_are_equal(&self, from: Operations<'a>, at: u64) -> Step<'a> {
        if self.their_count == self.log.len() as u64 {
            let (ours, theirs) = (self.log.end_fingerprint(), self.their_end);
            Step::Done(Some(PeerDivergence::End { ours, theirs }))
        } else {
            Step::Report { from, at }
        }
    }

    /// The peer has sent the digests of the parts of a range.
    fn narrowed(
        &self,
        range: &Range<u64>,
        from: &Operations<'a>,
        mut reader: Reader<'_>,
    ) -> Result<Step<'a>, SearchError> {
        check_range(&mut reader, range)?;
        let mut differs = None;
        for (part, digest) in parts(range).zip(operation_digests(range, from)) {
            if reader.u64()? != digest && differs.is_none() {
                differs = Some(part);
            }
        }
        reader.end()?;
        let Some(part) = differs else {
            // Every range but the first is known to differ.
            SearchError::check(
                self.rounds == 1,
                "a part differs that differed before",
                range.start,
            )?;
            return Ok(self.shared_are_equal(skipped(from, len(range)), range.end));
        };
        let from = skipped(from, part.start - range.start);
        Ok(match len(&part) {
            1 => Step::Report { from, at: part.start },
            _ => Step::Operations { range: part, from },
        })
    }

    /// The peer has sent the operations from the first on that differs.
    fn reported(
        &self,
        from: &Operations<'a>,
        at: u64,
        mut reader: Reader<'_>,
    ) -> Result<Step<'a>, SearchError> {
        let their_at = reader.u64()?;
        SearchError::check(their_at == at, "both found the same operation", their_at)?;
        let count = reader.u8()?;
        SearchError::check(count as usize <= SHOWN_OPERATIONS, "a few are sent", count)?;
        let mut theirs = Vec::new();
        for _ in 0..count {
            theirs.push(OperationSummary::read(&mut reader)?);
        }
        reader.end()?;
        let ours: Vec<_> =
            from.clone().take(SHOWN_OPERATIONS).map(OperationSummary::from).collect();
        let (our_first, their_first) = (ours.first(), theirs.first());
        if let (
            Some(&Operation::Write { id, offset, bytes: written }),
            Some(&OperationSummary::Write { id: their_id, offset: their_offset, len, .. }),
        ) = (from.clone().next().as_ref(), their_first)
            && (id, offset, written.len()) == (their_id, their_offset, len)
        {
            SearchError::check(len != 0, "empty writes do not differ", at)?;
            let found = Found { at, ours, theirs, written, offset };
            return Ok(Step::Bytes { range: 0..len as u64, found });
        }
        SearchError::check(our_first != their_first, "the operations differ", at)?;
        Ok(self.found(at, ours, theirs, None))
    }

    /// The peer has sent the digests of the parts of a range of bytes, or the bytes.
    fn narrowed_bytes(
        &self,
        range: &Range<u64>,
        found: &Found<'a>,
        mut reader: Reader<'_>,
    ) -> Result<Step<'a>, SearchError> {
        check_range(&mut reader, range)?;
        let differs = "a part differs that differed before";
        if len(range) > SHOWN_BYTES as u64 {
            let mut part = None;
            for (candidate, digest) in parts(range).zip(byte_digests(range, found.written)) {
                if reader.u64()? != digest && part.is_none() {
                    part = Some(candidate);
                }
            }
            reader.end()?;
            let Some(range) = part else {
                return Err(SearchError::Broken { what: differs, number: range.start });
            };
            return Ok(Step::Bytes { range, found: found.clone() });
        }
        let theirs = reader.take(len(range) as usize)?;
        reader.end()?;
        let ours = stretch(range, found.written);
        let equal = ours.iter().zip(theirs).take_while(|(ours, theirs)| ours == theirs).count();
        SearchError::check(equal < ours.len(), differs, range.start)?;
        let offset = found.offset + range.start as usize + equal;
        let (ours, theirs) = (ours[equal..].to_vec(), theirs[equal..].to_vec());
        let bytes = ByteDifference { offset, ours, theirs };
        Ok(self.found(found.at, found.ours.clone(), found.theirs.clone(), Some(bytes)))
    }

    fn found(
        &self,
        at: u64,
        ours: Vec<OperationSummary>,
        theirs: Vec<OperationSummary>,
        bytes: Option<ByteDifference>,
    ) -> Step<'a> {
        let blocks = [&ours, &theirs].map(|operations| operations.first()?.block());
        let at = at as usize;
        let history = history(self.log, at, blocks);
        Step::Done(Some(PeerDivergence::Operation { at, ours, theirs, bytes, history }))
    }
}

impl fmt::Debug for DivergenceSearch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DivergenceSearch")
            .field("operations", &self.log.len())
            .field("rounds", &self.rounds)
            .field("divergence", &self.divergence())
            .finish_non_exhaustive()
    }
}

fn put_range(message: &mut Message, range: &Range<u64>) {
    message.put_u64(range.start);
    message.put_u64(range.end);
}

/// Refuses a message about another range.
fn check_range(reader: &mut Reader<'_>, range: &Range<u64>) -> Result<(), SearchError> {
    let theirs = reader.u64()?..reader.u64()?;
    SearchError::check(theirs == *range, "both look at the same range", theirs.start)
}

/// Returns the digest of each part of a range of operations, the first of which comes next. *O*(range).
fn operation_digests<'a>(
    range: &Range<u64>,
    from: &Operations<'a>,
) -> impl Iterator<Item = u64> + use<'a> {
    let mut operations = from.clone();
    parts(range).map(move |part| {
        let mut mixer = Mixer::new();
        mixer.pair(OPERATIONS_DOMAIN, len(&part));
        for _ in part {
            if let Some(operation) = operations.next() {
                take_in(&mut mixer, operation);
            }
        }
        mixer.state()
    })
}

/// Returns the operations behind the next `count`.
fn skipped<'a>(from: &Operations<'a>, count: u64) -> Operations<'a> {
    let mut from = from.clone();
    for _ in 0..count {
        from.next();
    }
    from
}

fn take_in(mixer: &mut Mixer, operation: Operation<'_>) {
    match operation {
        Operation::Alloc { size, align, zeroed, id } => {
            mixer.pair(1 << 32 | size as u64, (align as u64) << 1 | u64::from(zeroed));
            mixer.pair(id.to_bits(), 0);
        }
        Operation::Free { id } => mixer.pair(2 << 32, id.to_bits()),
        Operation::Write { id, offset, bytes } => {
            mixer.pair(3 << 32 | bytes.len() as u64, id.to_bits());
            mixer.pair(offset as u64, 0);
            mixer.bytes(bytes);
        }
        Operation::Trim { released_pages } => mixer.pair(4 << 32, released_pages as u64),
    }
}

/// Returns the digest of each part of a range of bytes. *O*(range).
fn byte_digests(range: &Range<u64>, bytes: &[u8]) -> impl Iterator<Item = u64> {
    parts(range).map(move |part| {
        let mut mixer = Mixer::new();
        mixer.pair(BYTES_DOMAIN, len(&part));
        mixer.bytes(stretch(&part, bytes));
        mixer.state()
    })
}

fn stretch<'a>(range: &Range<u64>, bytes: &'a [u8]) -> &'a [u8] {
    bytes.get(range.start as usize..range.end as usize).unwrap_or_default()
}
