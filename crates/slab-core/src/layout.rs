//! Arithmetic on sizes, alignments and offsets: `const`, without pointers, and with every overflow
//! returned as `None`.

/// Returns the smallest multiple of `align` that is not below `value`, or `None` if it overflows.
///
/// # Panics
///
/// In debug builds, if `align` is not a power of two.
///
/// # Examples
///
/// ```
/// use slab_core::layout::align_up;
///
/// assert_eq!(align_up(17, 16), Some(32));
/// assert_eq!(align_up(usize::MAX, 16), None);
/// ```
#[inline]
pub const fn align_up(value: usize, align: usize) -> Option<usize> {
    debug_assert!(align.is_power_of_two());
    match value.checked_add(align - 1) {
        Some(sum) => Some(sum & !(align - 1)),
        None => None,
    }
}

/// Returns the largest multiple of `align` that is not above `value`.
///
/// # Panics
///
/// In debug builds, if `align` is not a power of two.
#[inline]
pub const fn align_down(value: usize, align: usize) -> usize {
    debug_assert!(align.is_power_of_two());
    value & !(align - 1)
}

/// Division by a slot size that is known at run time, without a division instruction.
///
/// The result is exact for every `u32` offset: with `m = ⌈2⁶⁴ / d⌉` the product `n·m` is `n·2⁶⁴/d` plus
/// an error below `n < 2³²`, too small to reach the next multiple of `2⁶⁴/d`, which is above `2³²`.
///
/// # Examples
///
/// ```
/// use slab_core::layout::Reciprocal;
///
/// const BY_48: Reciprocal = Reciprocal::new(48).unwrap();
/// assert_eq!(BY_48.exact(96), Some(2));
/// assert_eq!(BY_48.exact(100), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reciprocal {
    divisor: u32,
    /// `⌈2⁶⁴ / divisor⌉`, or 0 for a divisor of 1, whose quotient is the offset itself.
    magic: u64,
}

impl Reciprocal {
    /// Prepares division by `divisor`, or returns `None` if it is zero.
    pub const fn new(divisor: u32) -> Option<Self> {
        match divisor {
            0 => None,
            1 => Some(Self { divisor, magic: 0 }),
            _ => Some(Self { divisor, magic: (u64::MAX / divisor as u64) + 1 }),
        }
    }

    /// Returns the divisor.
    #[inline]
    pub const fn divisor(self) -> u32 {
        self.divisor
    }

    /// Returns `offset / divisor`, rounded down. *O*(1), one multiplication.
    #[inline]
    pub const fn quotient(self, offset: u32) -> u32 {
        if self.divisor == 1 {
            return offset;
        }
        ((offset as u128 * self.magic as u128) >> 64) as u32
    }

    /// Returns `offset / divisor` if `offset` is a multiple of the divisor. *O*(1), two multiplications.
    #[inline]
    pub const fn exact(self, offset: u32) -> Option<u32> {
        let quotient = self.quotient(offset);
        if quotient.wrapping_mul(self.divisor) == offset { Some(quotient) } else { None }
    }
}

/// Exact division of small offsets by a slot size: one multiplication computes the quotient and also shows
/// whether the division is exact.
///
/// Let `factor` be 2³² / `divisor`, rounded up. The upper half of `offset · factor` is the quotient. The lower
/// half is below `factor` exactly if nothing remains, as long as offset and divisor are small: rounding up adds less
/// than `divisor` for each unit of the quotient, which is less than `offset + divisor` in all, and each
/// unit of the remainder adds `factor`.
///
/// # Examples
///
/// ```
/// use slab_core::layout::ExactDivisor;
///
/// const BY_48: ExactDivisor = ExactDivisor::new(48).unwrap();
/// assert_eq!(BY_48.index_of(96), Some(2));
/// assert_eq!(BY_48.index_of(100), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExactDivisor {
    factor: u32,
}

impl ExactDivisor {
    /// Prepares division by `divisor`, or returns `None` if it is below 2 or above 32,768.
    pub const fn new(divisor: u32) -> Option<Self> {
        if divisor < 2 || divisor > 1 << 15 {
            return None;
        }
        Some(Self { factor: (u32::MAX / divisor) + 1 })
    }

    /// Returns `offset / divisor` if `offset` is a multiple of the divisor. *O*(1).
    #[inline]
    pub const fn index_of(self, offset: u16) -> Option<u32> {
        let product = offset as u64 * self.factor as u64;
        if (product as u32) < self.factor { Some((product >> 32) as u32) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn align_up_reports_overflow() {
        assert_eq!(align_up(0, 4096), Some(0));
        assert_eq!(align_up(usize::MAX - 15, 16), Some(usize::MAX - 15));
        assert_eq!(align_up(usize::MAX - 14, 16), None);
        assert_eq!(align_down(4097, 4096), 4096);
    }

    #[test]
    fn reciprocal_agrees_with_division() {
        assert_eq!(Reciprocal::new(0), None);
        let divisors = [1, 2, 3, 7, 16, 48, 80, 641, 3584, 65_535, 65_537, u32::MAX - 1, u32::MAX];
        let mut checked = 0;
        for divisor in divisors {
            let by = Reciprocal::new(divisor).unwrap();
            for factor in [0, 1, 2, 3, 5, 63, 64, 255, 65_535, u32::MAX / divisor] {
                let near = divisor.saturating_mul(factor);
                for offset in [near.saturating_sub(1), near, near.saturating_add(1)] {
                    assert_eq!(by.quotient(offset), offset / divisor, "{offset} / {divisor}");
                    let exact = offset.is_multiple_of(divisor).then_some(offset / divisor);
                    assert_eq!(by.exact(offset), exact, "{offset} / {divisor}");
                    checked += 1;
                }
            }
        }
        assert_eq!(checked, divisors.len() * 30);
    }

    #[test]
    fn exact_division_accepts_every_multiple_and_no_other_offset() {
        for refused in [0, 1, (1 << 15) + 1, u32::MAX] {
            assert_eq!(ExactDivisor::new(refused), None);
        }
        let divisors = (2..200).chain([768, 1280, 3584, 4095, 4096, 4097, 32_767, 32_768]);
        for divisor in divisors.step_by(if cfg!(miri) { 31 } else { 1 }) {
            let by = ExactDivisor::new(divisor).unwrap();
            for offset in (0..=u16::MAX).step_by(if cfg!(miri) { 97 } else { 1 }) {
                let wide = u32::from(offset);
                let expected = wide.is_multiple_of(divisor).then_some(wide / divisor);
                assert_eq!(by.index_of(offset), expected, "{offset} / {divisor}");
            }
        }
    }
}
