//! Programs of any operation language: read from bytes, random, or from proptest, and run on a machine.

use std::fmt;

/// An operation that some bytes encode.
///
/// # Examples
///
/// ```
/// use slab_testkit::{Machine, Operation, program};
///
/// #[derive(Debug, Clone, Copy)]
/// enum Op {
///     Push(u8),
///     Pop,
/// }
///
/// impl Operation for Op {
///     type Code = [u8; 2];
///
///     fn from_code([tag, value]: [u8; 2]) -> Self {
///         if tag % 2 == 0 { Op::Push(value) } else { Op::Pop }
///     }
/// }
///
/// /// A stack, and how many values it should have.
/// struct Stack(Vec<u8>, usize);
///
/// impl Machine<Op> for Stack {
///     type Fault = String;
///
///     fn step(&mut self, op: Op) -> Result<bool, String> {
///         match op {
///             Op::Push(value) => {
///                 self.0.push(value);
///                 self.1 += 1;
///             }
///             Op::Pop if self.0.pop().is_none() => return Ok(false),
///             Op::Pop => self.1 -= 1,
///         }
///         Ok(true)
///     }
///
///     fn validate(&mut self) -> Result<(), String> {
///         if self.0.len() == self.1 { Ok(()) } else { Err("a value was lost".to_owned()) }
///     }
/// }
///
/// let counts = program::run(&mut Stack(vec![], 0), &program::decode::<Op>(&[0, 7, 1, 0, 1, 0])).unwrap();
/// assert_eq!((counts.executed, counts.skipped), (2, 1));
/// ```
pub trait Operation: Copy + fmt::Debug {
    /// The bytes of one operation: an array. Zeros encode the smallest operation, so that shrinking a byte
    /// string shrinks the program.
    type Code: Default + AsMut<[u8]>;

    /// Returns the operation that some bytes encode. Every code is one.
    fn from_code(code: Self::Code) -> Self;
}

/// Returns the program that a byte string encodes. Zeros complete a short last operation. *O*(length).
///
/// # Panics
///
/// If the code of an operation has no bytes.
pub fn decode<O: Operation>(bytes: &[u8]) -> Vec<O> {
    let widen = |chunk: &[u8]| {
        let mut code = O::Code::default();
        code.as_mut()[..chunk.len()].copy_from_slice(chunk);
        O::from_code(code)
    };
    bytes.chunks(code_bytes::<O>()).map(widen).collect()
}

/// Returns `count` random operations, always the same for a seed, which must not be zero. *O*(count). The
/// length is fixed, so that a test can assert how many of them were executed.
pub fn random<O: Operation>(count: usize, seed: u64) -> Vec<O> {
    let mut state = seed;
    let bytes: Vec<u8> = (0..code_bytes::<O>() * count)
        .map(|_| {
            // Marsaglia's xorshift; its upper half is more random.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect();
    decode(&bytes)
}

/// Returns a proptest strategy for programs of 1 to `ops_max` operations.
#[cfg(feature = "proptest")]
pub fn strategy<O: Operation>(ops_max: usize) -> impl proptest::strategy::Strategy<Value = Vec<O>>
where
    O::Code: proptest::arbitrary::Arbitrary,
{
    use proptest::prelude::*;

    proptest::collection::vec(any::<O::Code>().prop_map(O::from_code), 1..=ops_max)
}

fn code_bytes<O: Operation>() -> usize {
    O::Code::default().as_mut().len()
}

/// Runs operations: a subject, and the model that its results are compared with.
pub trait Machine<O> {
    /// A difference between subject and model, or a violated invariant.
    type Fault;

    /// Runs one operation on the subject and compares the results. Returns whether the operation reached the
    /// subject; it does not if, for example, it frees a block and none is live.
    ///
    /// # Errors
    ///
    /// The difference between subject and model. It may also panic.
    fn step(&mut self, op: O) -> Result<bool, Self::Fault>;

    /// Checks the invariants of the subject.
    ///
    /// # Errors
    ///
    /// The violated invariant. It may also panic.
    fn validate(&mut self) -> Result<(), Self::Fault>;
}

/// The counts of a run. Tests assert them, because a check that ran nothing proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use = "a run that executed nothing proves nothing"]
pub struct Counts {
    /// Operations that reached the subject.
    pub executed: usize,
    /// Operations that did not.
    pub skipped: usize,
    /// Times that the invariants were checked.
    pub validated: usize,
}

/// A fault, and the operation after which it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure<O, F> {
    /// Index of the operation.
    pub step: usize,
    /// The operation.
    pub op: O,
    /// The fault.
    pub fault: F,
}

impl<O: fmt::Debug, F: fmt::Display> fmt::Display for Failure<O, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}, {:?}: {}", self.step, self.op, self.fault)
    }
}

/// The number of times that a run checks the invariants. A shorter run does so after every operation.
const VALIDATIONS_MAX: usize = 1024;

/// Runs operations in order, and checks the invariants after each, or about a thousand times in a longer run.
///
/// # Errors
///
/// The first [`Failure`].
pub fn run<O: Copy, M: Machine<O>>(
    machine: &mut M,
    ops: &[O],
) -> Result<Counts, Failure<O, M::Fault>> {
    let validate_every = ops.len().div_ceil(VALIDATIONS_MAX).max(1);
    let mut counts = Counts::default();
    for (step, &op) in ops.iter().enumerate() {
        let at_step = |fault| Failure { step, op, fault };
        if machine.step(op).map_err(at_step)? {
            counts.executed += 1;
        } else {
            counts.skipped += 1;
        }
        if step % validate_every == 0 {
            machine.validate().map_err(at_step)?;
            counts.validated += 1;
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds a number, or does nothing with zero.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Add(u16);

    impl Operation for Add {
        type Code = [u8; 2];

        fn from_code(code: [u8; 2]) -> Self {
            Self(u16::from_le_bytes(code))
        }
    }

    /// A sum that may not pass a limit.
    struct Sum {
        sum: u32,
        limit: u32,
        validated: usize,
    }

    impl Machine<Add> for Sum {
        type Fault = &'static str;

        fn step(&mut self, Add(number): Add) -> Result<bool, &'static str> {
            self.sum += u32::from(number);
            if number == 13 { Err("13 is refused") } else { Ok(number != 0) }
        }

        fn validate(&mut self) -> Result<(), &'static str> {
            self.validated += 1;
            if self.sum <= self.limit { Ok(()) } else { Err("the sum is too large") }
        }
    }

    fn sum(limit: u32) -> Sum {
        Sum { sum: 0, limit, validated: 0 }
    }

    #[test]
    fn every_byte_string_is_a_program() {
        assert_eq!(decode::<Add>(&[]), []);
        assert_eq!(decode::<Add>(&[1, 1, 2]), [Add(257), Add(2)]);
        assert_eq!(random::<Add>(100, 7).len(), 100);
        assert_eq!(random::<Add>(100, 7), random::<Add>(100, 7));
        assert_ne!(random::<Add>(100, 7), random::<Add>(100, 8));
    }

    #[test]
    fn operations_and_validations_are_counted() {
        let mut machine = sum(100);
        let counts = run(&mut machine, &[Add(1), Add(0), Add(99)]).expect("within the limit");
        assert_eq!(counts, Counts { executed: 2, skipped: 1, validated: 3 });
        assert_eq!((machine.sum, machine.validated), (100, 3));
        let counts = run(&mut sum(u32::MAX), &[Add(1); 10_000]).expect("no limit");
        assert_eq!(counts, Counts { executed: 10_000, skipped: 0, validated: 1000 });
    }

    #[test]
    fn the_first_fault_is_returned_with_its_operation() {
        let failure = run(&mut sum(100), &[Add(1), Add(13), Add(1000)]).expect_err("13 comes");
        assert_eq!(failure, Failure { step: 1, op: Add(13), fault: "13 is refused" });
        let failure = run(&mut sum(100), &[Add(1), Add(1000)]).expect_err("the sum is 1001");
        assert_eq!(failure.to_string(), "step 1, Add(1000): the sum is too large");
    }
}
