//! The columns of a line: words, coordinates, scores, difficulties.

use super::number;
use super::problem::{Reason, shorten};

/// Largest plausible coordinate in pixels.
const HUGE: f64 = 1e9;

/// Separators of columns.
#[inline(always)]
fn blank(byte: u8) -> bool {
    byte == b' ' || (b'\t'..=b'\r').contains(&byte)
}

/// Trims blanks from both ends of `text`.
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&b| !blank(b)).unwrap_or(text.len());
    let end = text.iter().rposition(|&b| !blank(b)).map_or(start, |i| i + 1);
    &text[start..end]
}

/// Takes the columns of a line one by one, separated by spaces or tabs.
#[derive(Clone)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    #[inline(always)]
    pub fn new(line: &'a [u8]) -> Self {
        Fields { rest: line }
    }

    #[inline(always)]
    fn skip_blanks(&mut self) {
        while let [first, rest @ ..] = self.rest
            && blank(*first)
        {
            self.rest = rest;
        }
    }

    /// Next column; empty at the end of the line.
    #[inline(always)]
    pub fn word(&mut self) -> &'a [u8] {
        self.skip_blanks();
        let end = self.rest.iter().position(|&b| blank(b)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// Next column as a number.
    #[inline(always)]
    fn number(&mut self, what: &str) -> Result<f64, Reason> {
        self.skip_blanks();
        if let Some((value, length)) = number::prefix(self.rest)
            && self.rest.get(length).is_none_or(|&b| blank(b))
        {
            self.rest = &self.rest[length..];
            return Ok(value);
        }
        finite(self.word(), what)
    }

    #[inline(always)]
    pub fn score(&mut self) -> Result<f64, Reason> {
        self.number("score")
    }

    #[inline(always)]
    pub fn coordinates<const N: usize>(&mut self) -> Result<[f64; N], Reason> {
        let mut values = [0.0; N];
        for value in &mut values {
            *value = in_range(self.number("coordinate")?)?;
        }
        Ok(values)
    }
}

/// Parses a single coordinate; blanks around it are allowed.
pub(crate) fn coordinate(text: &[u8]) -> Result<f64, Reason> {
    in_range(finite(trim(text), "coordinate")?)
}

/// Parses a finite number.
#[cold]
pub(crate) fn finite(text: &[u8], what: &str) -> Result<f64, Reason> {
    match number::parse(text) {
        Some(value) if value.is_finite() => Ok(value),
        Some(_) => Err(Reason::line("not finite", format!("{what} '{}' is not finite", shorten(text)))),
        None if text.is_empty() => Err(Reason::line("not a number", format!("{what} missing"))),
        None if text.contains(&0) => Err(Reason::line("binary data", "NUL bytes: this is not a text file")),
        None => Err(Reason::line("not a number", format!("{what} '{}' is not a number", shorten(text)))),
    }
}

#[inline(always)]
fn in_range(value: f64) -> Result<f64, Reason> {
    if value.abs() <= HUGE {
        return Ok(value);
    }
    Err(Reason::line("huge number", format!("coordinate {value:e} is huge: more than {HUGE:e} pixels")))
}

/// Parses a difficulty: 0, 1 or 2, also as `1.0`, `true` or `false`; an empty column and `Unspecified` mean 0.
pub(crate) fn difficulty(text: &[u8]) -> Result<u8, Reason> {
    let text = trim(text);
    match text {
        b"" | b"0" => return Ok(0),
        b"1" => return Ok(1),
        b"2" => return Ok(2),
        _ => {}
    }
    match text.to_ascii_lowercase().as_slice() {
        b"true" => return Ok(1),
        b"false" | b"unspecified" => return Ok(0),
        _ => {}
    }
    match number::parse(text) {
        Some(value) if value == 0.0 || value == 1.0 || value == 2.0 => Ok(value as u8),
        _ => Err(Reason::line("wrong difficulty", format!("difficulty '{}' is not 0, 1 or 2", shorten(text)))),
    }
}

/// Best explanation for an unreadable line: its number of columns, if that is wrong.
#[cold]
pub(crate) fn explain(line: &[u8], columns: std::ops::RangeInclusive<usize>, meant: &str, reason: Reason) -> Reason {
    let mut fields = Fields::new(line);
    let count = std::iter::from_fn(|| Some(fields.word()).filter(|w| !w.is_empty())).count();
    if columns.contains(&count) || line.contains(&0) { reason } else { wrong_columns(count, meant) }
}

/// Error for a line with a wrong number of columns.
#[cold]
pub(crate) fn wrong_columns(count: usize, meant: &str) -> Reason {
    let columns = if count == 1 { "column" } else { "columns" };
    Reason::line("wrong number of columns", format!("{count} {columns}, need {meant}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_parted_by_any_blanks() {
        let mut fields = Fields::new(b"  P1\t0.5  1 \t2.5e0 -3 \r");
        assert_eq!(fields.word(), b"P1");
        assert_eq!(fields.score(), Ok(0.5));
        assert_eq!(fields.coordinates::<3>(), Ok([1.0, 2.5, -3.0]));
        assert_eq!((fields.word(), fields.word()), (&b""[..], &b""[..]));
        assert!(trim(b" \t\r").is_empty() && trim(b"").is_empty());
        assert_eq!(trim(b" a b\r"), b"a b");
    }

    #[test]
    fn numbers_must_be_finite_and_small() {
        for (text, kind) in [
            ("abc", "not a number"),
            ("1,5", "not a number"),
            ("NaN", "not finite"),
            ("-inf", "not finite"),
            ("1e999", "not finite"),
            ("1000000001", "huge number"),
            ("-2e9", "huge number"),
            ("", "not a number"),
            ("1\0", "binary data"),
        ] {
            assert_eq!(Fields::new(text.as_bytes()).coordinates::<1>().err().map(|e| e.kind), Some(kind), "{text}");
            assert_eq!(coordinate(text.as_bytes()).err().map(|e| e.kind), Some(kind), "{text}");
        }
        assert_eq!(Fields::new(b"-1e9").coordinates(), Ok([-1e9]));
        assert_eq!(Fields::new(b"2e9").score(), Ok(2e9));
    }

    #[test]
    fn difficulties_may_be_floats_or_missing() {
        for (text, want) in [("", 0), ("0", 0), ("1.0", 1), ("2", 2), ("2.", 2), ("-0", 0), ("True", 1), ("false", 0)] {
            assert_eq!(difficulty(text.as_bytes()), Ok(want), "{text}");
        }
        for text in ["3", "-1", "0.5", "nan", "x", "1e400"] {
            assert_eq!(difficulty(text.as_bytes()).err().map(|e| e.kind), Some("wrong difficulty"), "{text}");
        }
    }
}
