//! Shared by the fuzz tests: random numbers and the time limit.

use std::time::Duration;

/// xorshift64*: small, with the same numbers on every machine.
pub struct Random(pub u64);

impl Random {
    /// A number from 0 to `n` - 1.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n.max(1)
    }
}

/// Number of parts: those of the parsers in `fuzz_formats`, and two for images.
const PARTS: f64 = 11.0;

/// Two seconds, or this many of the [`PARTS`] parts of `ROTX_FUZZ_SECONDS`.
pub fn time_limit(parts: f64) -> Duration {
    let total = std::env::var("ROTX_FUZZ_SECONDS").ok().and_then(|s| s.parse::<f64>().ok());
    Duration::from_secs_f64(total.map_or(2.0, |seconds| seconds * parts / PARTS))
}
