//! Decimal numbers from bytes.

/// 10^0 to 10^22: the powers of ten that a double holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Parses a number such as `-12.50` at the start of `text`; returns it with its length in bytes.
///
/// Returns `None` if this fast path does not apply: no digit, an exponent, or so many digits that the division
/// below would round twice. Digits and power of ten are exact doubles, so their quotient is the double nearest to
/// the decimal (Clinger 1990), as from `str::parse` and Python's `float`.
#[inline(always)]
pub(crate) fn prefix(text: &[u8]) -> Option<(f64, usize)> {
    let negative = text.first() == Some(&b'-');
    let start = usize::from(negative || text.first() == Some(&b'+'));
    let mut i = start;
    let mut digits: u64 = 0;
    while let Some(d) = text.get(i).map(|b| b.wrapping_sub(b'0')).filter(|&d| d < 10) {
        digits = digits.wrapping_mul(10).wrapping_add(u64::from(d));
        i += 1;
    }
    let mut count = i - start;
    let mut decimals = 0;
    if text.get(i) == Some(&b'.') {
        i += 1;
        let point = i;
        while let Some(d) = text.get(i).map(|b| b.wrapping_sub(b'0')).filter(|&d| d < 10) {
            digits = digits.wrapping_mul(10).wrapping_add(u64::from(d));
            i += 1;
        }
        decimals = i - point;
        count += decimals;
    }
    // 19 digits fit in 64 bits, so the comparison with 2^53 is valid.
    if count == 0 || count > 19 || digits > 1 << 53 {
        return None;
    }
    let value = digits as f64 / POWERS[decimals];
    Some((if negative { -value } else { value }, i))
}

/// Parses all of `text` as a number, NaN and infinities included; `None` if it is not a number.
#[cold]
pub(crate) fn parse(text: &[u8]) -> Option<f64> {
    match prefix(text) {
        Some((value, length)) if length == text.len() => Some(value),
        _ => str::from_utf8(text).ok()?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn odd_numbers() {
        for text in ["1", "-0", "+5", "5.", ".5", "-.5e3", "1e22", "9007199254740993", "0.1", "1e999", "-inf", "nan"] {
            let (got, want) = (parse(text.as_bytes()).expect(text), text.parse::<f64>().expect(text));
            assert!(got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()), "{text}");
        }
        for text in ["", ".", "-", "+-1", "1,5", "0x10", "1_0", "1 ", "e5", "12a", "1.2.3", "--1", "١"] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_nearest_double(text in "[+-]?[0-9]{0,24}(\\.[0-9]{0,24})?(e-?[0-9]{1,3})?") {
            let want = text.parse::<f64>().ok();
            prop_assert_eq!(parse(text.as_bytes()).map(f64::to_bits), want.map(f64::to_bits), "{}", text);
        }
    }
}
