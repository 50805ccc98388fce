//! YOLO-OBB.

use super::text::push_number;
use super::{Image, Object};
use std::io::Write;

/// Decimals of a fraction of a side: precise to a millionth of a pixel for sides of 20,000.
const SHARE: u32 = 10;

/// `label x1 y1 ... x4 y4` per line, as fractions of the image's sides.
pub(super) fn text<'a>(image: Image<'_>, objects: impl Iterator<Item = Object<'a>>) -> Vec<u8> {
    let sides = [f64::from(image.width), f64::from(image.height)];
    let mut out = Vec::new();
    for object in objects {
        // Writing to a vector never fails.
        let _ = write!(out, "{}", object.label);
        for (v, side) in object.quad.iter().zip(sides.into_iter().cycle()) {
            out.push(b' ');
            push_number(&mut out, v / side, SHARE);
        }
        out.push(b'\n');
    }
    out
}
