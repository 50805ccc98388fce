//! DOTA's `labelTxt`.

use super::Object;
use super::text::push_coordinate;
use std::io::Write;

/// `x1 y1 ... x4 y4 class difficulty` per line.
pub(super) fn text<'a>(objects: impl Iterator<Item = Object<'a>>) -> Vec<u8> {
    let mut out = Vec::new();
    for object in objects {
        for &v in object.quad {
            push_coordinate(&mut out, v);
            out.push(b' ');
        }
        // Writing to a vector never fails.
        let _ = writeln!(out, "{} {}", object.class, object.difficult);
    }
    out
}
