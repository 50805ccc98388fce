//! Numbers and names as text.

use std::io::Write;

/// Decimals of a coordinate in pixels.
const PIXEL: u32 = 6;

/// Appends a coordinate in pixels with up to six decimals.
pub(crate) fn push_coordinate(text: &mut Vec<u8>, v: f64) {
    push_number(text, v, PIXEL);
}

/// Appends a number with up to `decimals` decimals, without trailing zeros.
pub(crate) fn push_number(text: &mut Vec<u8>, v: f64, decimals: u32) {
    let one = 10u64.pow(decimals);
    let units = (v * one as f64).round();
    if units.is_nan() || units.abs() >= 1e18 {
        // Writing to a vector never fails.
        let _ = write!(text, "{v:?}");
        return;
    }
    let (whole, mut rest) = (units.abs() as u64 / one, units.abs() as u64 % one);
    if units < 0.0 {
        text.push(b'-');
    }
    let _ = write!(text, "{whole}");
    if rest > 0 {
        text.push(b'.');
        while rest > 0 {
            text.push(b'0' + (rest / (one / 10)) as u8);
            rest = rest % (one / 10) * 10;
        }
    }
}

/// Appends text as a JSON string.
pub(super) fn push_json(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for c in text.chars() {
        // Writing to a vector never fails.
        let _ = match c {
            '"' | '\\' => write!(out, "\\{c}"),
            c if c.is_control() => write!(out, "\\u{:04x}", u32::from(c)),
            c => write!(out, "{c}"),
        };
    }
    out.push(b'"');
}

/// Appends text with the special characters of XML escaped.
pub(super) fn push_xml(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            byte => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(v: f64, decimals: u32) -> String {
        let mut text = Vec::new();
        push_number(&mut text, v, decimals);
        String::from_utf8(text).expect("digits")
    }

    #[test]
    fn numbers_are_as_short_as_they_can_be() {
        for (v, text) in [
            (12.34 + 824.0, "836.34"),
            (-0.25, "-0.25"),
            (-4e-7, "0"),
            (5e-7, "0.000001"),
            (10.0, "10"),
            (1e9, "1000000000"),
            (2.0f64.powi(31) + 0.5, "2147483648.5"),
            (1e300, "1e300"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(number(v, PIXEL), text);
        }
        assert_eq!(number(1.0 / 3.0, 10), "0.3333333333");
    }

    proptest! {
        #[test]
        fn shares_of_20_000_pixels_are_kept(x in -20_000f64..40_000.0) {
            let share: f64 = number(x / 20_000.0, 10).parse().expect("a number");
            prop_assert!((share * 20_000.0 - x).abs() < 1.1e-6);
        }

        #[test]
        fn strings_of_json(text in "\\PC*|[\\x00-\\x1f\"\\\\a]*") {
            let mut json = Vec::new();
            push_json(&mut json, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&json).expect("json"), text);
        }

        #[test]
        fn text_of_xml(text in "[a-c<>&'\"é]{1,9}") {
            let mut xml = b"<a>".to_vec();
            push_xml(&mut xml, &text);
            let xml = String::from_utf8(xml).expect("text") + "</a>";
            let document = roxmltree::Document::parse(&xml).expect("xml");
            prop_assert_eq!(document.root_element().text(), Some(text.as_str()));
        }
    }
}
