//! Limits of memory: what a file can hold, and what is held of an image at once.
//!
//! Sizes that a file states are checked here before memory is taken for them, and memory is taken by functions that
//! return an error where there is none.

use std::alloc::{Layout, alloc_zeroed};
use std::env;

use super::ImageError;

/// Greatest number of pixels of an image that is held whole; also OpenCV's limit.
const MOST_PIXELS: u64 = 1 << 30;

/// Environment variable that replaces [`MOST_PIXELS`]; `--max-pixels` of the commands sets it, also for workers.
const VARIABLE: &str = "ROTX_MAX_PIXELS";

/// Number of pixels that the user allows; None without a choice.
fn chosen() -> Option<u64> {
    env::var(VARIABLE).ok()?.parse().ok()
}

/// Refuses a header that claims more than `bytes` can hold if each of them expands to at most `expansion`.
pub fn check_claim(
    (width, height): (usize, usize),
    bits_per_pixel: u64,
    bytes: u64,
    expansion: u64,
) -> Result<(), ImageError> {
    if width == 0 || height == 0 {
        return Err(ImageError(format!("is empty: it has {width} x {height} pixels")));
    }
    let row = (width as u128 * u128::from(bits_per_pixel)).div_ceil(8);
    if row.saturating_mul(height as u128) > u128::from(bytes) * u128::from(expansion) {
        let (width, height, bytes) = (grouped(width as u64), grouped(height as u64), grouped(bytes));
        return Err(ImageError(format!("claims {width} x {height} pixels, more than its {bytes} bytes can hold")));
    }
    Ok(())
}

/// As [`check_claim`], for files that may hold less than their pixels, up to the number of pixels that the user allows.
pub fn check_likely(size: (usize, usize), bits_per_pixel: u64, bytes: u64, expansion: u64) -> Result<(), ImageError> {
    check_claim(size, bits_per_pixel, bytes, expansion).or_else(|error| match chosen() {
        Some(most) if (1..=most).contains(&pixels(size)) => Ok(()),
        _ => Err(ImageError(format!("{}; if it is meant to, allow it with --max-pixels", error.0))),
    })
}

/// Refuses an image that would be held whole if it is too large for that.
pub fn check_whole((width, height): (usize, usize), why: &str) -> Result<(), ImageError> {
    let most = chosen().unwrap_or(MOST_PIXELS);
    if pixels((width, height)) > most {
        let (width, height, most) = (grouped(width as u64), grouped(height as u64), grouped(most));
        return Err(ImageError(format!(
            "has {width} x {height} pixels, and {why} is held in memory whole, up to {most} pixels: allow more with \
             --max-pixels"
        )));
    }
    Ok(())
}

fn pixels((width, height): (usize, usize)) -> u64 {
    (width as u64).saturating_mul(height as u64)
}

/// Zeros, which take no memory until they are written to.
///
/// # Errors
/// If there is no memory.
pub fn zeros(bytes: usize) -> Result<Vec<u8>, ImageError> {
    let layout = Layout::array::<u8>(bytes).map_err(|_| too_much(bytes))?;
    if bytes == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the layout is not empty.
    let start = unsafe { alloc_zeroed(layout) };
    if start.is_null() {
        return Err(too_much(bytes));
    }
    // SAFETY: the global allocator gave this memory for that many bytes, and they are initialised.
    Ok(unsafe { Vec::from_raw_parts(start, bytes, bytes) })
}

/// Reserves items; unlike `Vec::reserve`, it returns an error if there is no memory, instead of ending the process.
///
/// # Errors
/// If there is no memory.
pub fn reserve<T>(items: &mut Vec<T>, number: usize) -> Result<(), ImageError> {
    items.try_reserve_exact(number).map_err(|_| too_much(number.saturating_mul(size_of::<T>())))
}

/// Changes the length, as `Vec::resize` with zeros.
pub fn resize(bytes: &mut Vec<u8>, length: usize) -> Result<(), ImageError> {
    reserve(bytes, length.saturating_sub(bytes.len()))?;
    bytes.resize(length, 0);
    Ok(())
}

fn too_much(bytes: usize) -> ImageError {
    ImageError(format!("needs {} bytes of memory, more than there are", grouped(bytes as u64)))
}

/// A number with commas, such as 100,000.
pub fn grouped(number: u64) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", grouped(number / 1000), number % 1000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(1_000_002), "1,000,002");
        assert!(check_claim((10, 10), 8, 1, 100).is_ok());
        assert!(check_claim((10, 10), 16, 1, 100).is_err());
        let error = check_claim((100_000, 100_000), 1, 1234, 1032).expect_err("too much");
        assert_eq!(error.0, "claims 100,000 x 100,000 pixels, more than its 1,234 bytes can hold");
        assert!(check_claim((usize::MAX, usize::MAX), u64::MAX, u64::MAX, u64::MAX).is_err());
    }

    #[test]
    fn memory_that_is_not_there() {
        for bytes in [usize::MAX, isize::MAX as usize, isize::MAX as usize / 2] {
            assert!(zeros(bytes).expect_err("too much").0.ends_with("bytes of memory, more than there are"));
            assert!(resize(&mut vec![1], bytes).is_err());
            assert!(reserve(&mut Vec::<u64>::new(), bytes).is_err());
        }
        assert_eq!(zeros(3).expect("memory"), [0; 3]);
    }
}
