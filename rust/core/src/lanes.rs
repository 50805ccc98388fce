//! SIMD without intrinsics: four numbers, one for each edge of a quad.
//!
//! The compiler turns plain arrays and branch-free loops into vector instructions.

use std::ops::{Add, Div, Mul, Sub};

/// Defines a function with a second version, compiled for AVX2, which runs on processors that have it.
///
/// The results are bit-identical: only registers are wider, no fused multiply-add is used. Inlined callees profit
/// too; closures are not inlined, so the hot loops below have none.
macro_rules! wide {
    ($(#[$doc:meta])* $vis:vis fn $name:ident $(<$T:ident: $bound:path>)? ($($arg:ident: $type:ty),* $(,)?)
     $(-> $result:ty)? $body:block) => {
        $(#[$doc])*
        $vis fn $name $(<$T: $bound>)? ($($arg: $type),*) $(-> $result)? {
            #[inline(always)]
            fn plain $(<$T: $bound>)? ($($arg: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn avx2 $(<$T: $bound>)? ($($arg: $type),*) $(-> $result)? {
                    plain $(::<$T>)? ($($arg),*)
                }
                if std::arch::is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has just been found to have the feature.
                    return unsafe { avx2 $(::<$T>)? ($($arg),*) };
                }
            }
            plain $(::<$T>)? ($($arg),*)
        }
    };
}
pub(crate) use wide;

/// Four numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct F4(pub [f64; 4]);

macro_rules! elementwise {
    ($trait:ident, $method:ident, $op:tt) => {
        impl $trait for F4 {
            type Output = F4;

            #[inline(always)]
            fn $method(self, other: F4) -> F4 {
                F4(std::array::from_fn(|i| self.0[i] $op other.0[i]))
            }
        }
    };
}

elementwise!(Add, add, +);
elementwise!(Sub, sub, -);
elementwise!(Mul, mul, *);
elementwise!(Div, div, /);

/// Coordinate differences closer to 0 than this count as 0.
const FLAT: f64 = 1e-200;

impl F4 {
    /// The same number four times.
    #[inline(always)]
    pub fn all(v: f64) -> F4 {
        F4([v; 4])
    }

    /// Clamps each number to the range; the order of comparisons lets NaN through.
    #[inline(always)]
    pub fn clamp(self, low: F4, high: F4) -> F4 {
        self.at_least(low).at_most(high)
    }

    /// Maximum of each pair.
    #[inline(always)]
    pub fn at_least(self, low: F4) -> F4 {
        F4(std::array::from_fn(|i| if self.0[i] < low.0[i] { low.0[i] } else { self.0[i] }))
    }

    /// Minimum of each pair.
    #[inline(always)]
    fn at_most(self, high: F4) -> F4 {
        F4(std::array::from_fn(|i| if self.0[i] > high.0[i] { high.0[i] } else { self.0[i] }))
    }

    /// Quotient of each pair, or `flat` if the divisor is only rounding, where the quotient could overflow.
    #[inline(always)]
    pub fn over(self, divisor: F4, flat: f64) -> F4 {
        // The quotient is always computed: a select costs less than a branch.
        let quotient = self / F4(divisor.0.map(|d| if d.abs() < FLAT { 1.0 } else { d }));
        F4(std::array::from_fn(|i| if divisor.0[i].abs() < FLAT { flat } else { quotient.0[i] }))
    }

    /// Numbers of the next corners: 2nd, 3rd, 4th, 1st.
    #[inline(always)]
    pub fn next(self) -> F4 {
        let [a, b, c, d] = self.0;
        F4([b, c, d, a])
    }

    /// Sum, opposite edges first: their numbers are nearly equal and of opposite sign.
    #[inline(always)]
    pub fn sum(self) -> f64 {
        let [a, b, c, d] = self.0;
        (a + c) + (b + d)
    }
}
