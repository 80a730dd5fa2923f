//! The same programs over counted pointers of several types in one cache, and the model they are compared with: how
//! many owners each value has, and what it holds.

use std::collections::BTreeMap;

use lock_api::RawMutex;
use slab_cache::{
    AtomicCount, Checked, Count, Counted, Full, Global, Hardened, LocalCount, Mode, NoLock,
    SlabCache, SlabCounted, Unchecked, WithSlots, coerce,
};
use slab_testkit::FailingSource;

use super::config::With;
use super::{Op, Report, Source};

type Slots<'a, R, M> = WithSlots<48, With<R, Source<'a>, 1024, M>>;
type Cache<'a, T, R, M> = SlabCache<T, Slots<'a, R, M>>;
type Owned<'a, T, R, M, N> = SlabCounted<T, Slots<'a, R, M>, N>;

/// A value of one of several types.
trait Value {
    fn number(&self) -> u64;
}

impl Value for u64 {
    fn number(&self) -> u64 {
        *self
    }
}

/// As long as a slot, with the count.
type Words = [u64; 5];

impl Value for Words {
    fn number(&self) -> u64 {
        assert!(self.iter().all(|word| *word == self[0]), "the content changed");
        self[0]
    }
}

/// Makes pointers with a kind of count.
pub trait Alloc: Count + Sized {
    fn alloc<'a, T, R: RawMutex + 'static, M: Mode>(
        cache: &Cache<'a, Counted<T>, R, M>,
        value: T,
    ) -> Result<Owned<'a, T, R, M, Self>, Full<T>>;
}

impl Alloc for LocalCount {
    fn alloc<'a, T, R: RawMutex + 'static, M: Mode>(
        cache: &Cache<'a, Counted<T>, R, M>,
        value: T,
    ) -> Result<Owned<'a, T, R, M, Self>, Full<T>> {
        cache.alloc_rc(value)
    }
}

impl Alloc for AtomicCount {
    fn alloc<'a, T, R: RawMutex + 'static, M: Mode>(
        cache: &Cache<'a, Counted<T>, R, M>,
        value: T,
    ) -> Result<Owned<'a, T, R, M, Self>, Full<T>> {
        cache.alloc_arc(value)
    }
}

enum Owner<'a, R: RawMutex + 'static, M: Mode, N: Count> {
    Word(Owned<'a, u64, R, M, N>),
    Words(Owned<'a, Words, R, M, N>),
    Erased(Owned<'a, dyn Value, R, M, N>),
}

impl<R: RawMutex + 'static, M: Mode, N: Count> Owner<'_, R, M, N> {
    /// Returns the number that the value holds, and how many owners it has.
    fn state(&self) -> (u64, usize) {
        match self {
            Self::Word(owner) => (owner.number(), SlabCounted::strong_count(owner)),
            Self::Words(owner) => (owner.number(), SlabCounted::strong_count(owner)),
            Self::Erased(owner) => (owner.number(), SlabCounted::strong_count(owner)),
        }
    }

    fn share(&self) -> Self {
        match self {
            Self::Word(owner) => Self::Word(owner.clone()),
            Self::Words(owner) => Self::Words(owner.clone()),
            Self::Erased(owner) => Self::Erased(owner.clone()),
        }
    }

    fn erase(self) -> Self {
        match self {
            Self::Word(owner) => Self::Erased(SlabCounted::unsize(owner, coerce!(dyn Value))),
            Self::Words(owner) => Self::Erased(SlabCounted::unsize(owner, coerce!(dyn Value))),
            Self::Erased(owner) => Self::Erased(owner),
        }
    }

    /// Makes this the only owner of a value, if there is memory, and writes a number to it.
    fn write(&mut self, number: u64) -> bool {
        match self {
            Self::Word(owner) => SlabCounted::make_mut(owner).map(|word| *word = number).is_ok(),
            Self::Words(owner) => {
                SlabCounted::make_mut(owner).map(|words| *words = [number; 5]).is_ok()
            }
            Self::Erased(_) => false,
        }
    }

    /// Takes the value out, if this is the only owner.
    fn take(self) -> Result<u64, Self> {
        match self {
            Self::Word(owner) => SlabCounted::try_unwrap(owner).map_err(Self::Word),
            Self::Words(owner) => {
                SlabCounted::try_unwrap(owner).map(|words| words[0]).map_err(Self::Words)
            }
            Self::Erased(_) => Err(self),
        }
    }
}

/// Runs a program, and compares each step with the model.
fn check<R: RawMutex + 'static, M: Mode, N: Alloc>(source: Source<'_>, ops: &[Op]) -> Report {
    let mut report = Report::default();
    let Ok(cache) = Cache::<(), R, M>::with_config_in(source) else { return report };
    let mut cache = Some(cache);
    let mut live: Vec<Owner<'_, R, M, N>> = Vec::new();
    // How many owners the value with each number has.
    let mut counts = BTreeMap::<u64, usize>::new();
    let mut next = 0;
    for (step, &op) in ops.iter().enumerate() {
        let place = |which: u16| usize::from(which).checked_rem(live.len());
        match op {
            Op::Make(_) | Op::MakeWith(_) | Op::MakeUninit(_) | Op::Rehandle => {
                let Some(cache) = &cache else { continue };
                next += 1;
                let made = match op {
                    Op::Make(count) if count % 2 == 0 => {
                        N::alloc(cache.of(), [next; 5]).map(Owner::Words).map_err(|full| full.0[0])
                    }
                    _ => N::alloc(cache.of(), next).map(Owner::Word).map_err(|full| full.0),
                };
                match made {
                    Ok(owner) => {
                        live.push(owner);
                        counts.insert(next, 1);
                        report.made += 1;
                    }
                    Err(number) => assert_eq!(number, next, "returned"),
                }
            }
            Op::Adopt(which) => {
                if let Some(place) = place(which) {
                    live.push(live[place].share());
                    *counts.entry(live[place].state().0).or_default() += 1;
                }
            }
            Op::DropElsewhere(which) => {
                if let Some(place) = place(which) {
                    let erased = live.swap_remove(place).erase();
                    live.push(erased);
                }
            }
            Op::Drop(which, _) | Op::Take(which) => {
                let Some(place) = place(which) else { continue };
                let owner = live.swap_remove(place);
                let (number, owners) = owner.state();
                let is_taken = matches!(op, Op::Take(_));
                match owner.take() {
                    _ if !is_taken => {}
                    Ok(value) => assert_eq!((value, owners), (number, 1)),
                    Err(owner) => assert!(owners > 1 || matches!(owner, Owner::Erased(_))),
                }
                let count = counts.remove(&number).expect("the model has it") - 1;
                if count > 0 {
                    counts.insert(number, count);
                }
                report.dropped += 1;
            }
            Op::Write(which) => {
                let Some(place) = place(which) else { continue };
                next += 1;
                let (before, _) = live[place].state();
                if live[place].write(next) {
                    let count = counts.remove(&before).expect("the model has it") - 1;
                    if count > 0 {
                        counts.insert(before, count);
                    }
                    counts.insert(next, 1);
                }
            }
            // The owners outlive the last handle of the cache.
            Op::Reclaim if step % 5 == 4 => cache = None,
            Op::Reclaim => _ = cache.as_ref().map(|cache| cache.reclaim()),
        }
        report.executed += 1;
        for owner in &live {
            let (number, owners) = owner.state();
            assert_eq!(counts.get(&number), Some(&owners), "owners of {number}");
        }
        if let Some(cache) = &cache {
            assert_eq!((cache.len(), cache.held_bytes()), (counts.len(), source.live_bytes()));
        }
    }
    report
}

/// Runs a program over a cache of each kind, and sees that all memory comes back.
pub fn check_owners(ops: &[Op]) -> Report {
    type Spin = spin::Mutex<()>;
    let run = |check: fn(Source<'_>, &[Op]) -> Report| {
        let source = FailingSource::new(Global);
        let report = check(&source, ops);
        assert_eq!((source.live_blocks(), source.live_bytes()), (0, 0), "leaked");
        report
    };
    run(check::<NoLock, Unchecked, LocalCount>);
    run(check::<NoLock, Hardened, AtomicCount>);
    run(check::<Spin, Checked, AtomicCount>);
    run(check::<Spin, Hardened, LocalCount>);
    run(check::<NoLock, Checked, LocalCount>)
}
