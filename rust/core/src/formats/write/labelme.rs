//! JSON as labelme writes it: one polygon per object.

use super::text::{push_coordinate, push_json};
use super::{Image, Object};
use std::io::Write;

/// JSON of an image. Difficulties 1 and 2 become the flags `difficult` and `truncated` of a shape.
pub(super) fn text<'a>(image: Image<'_>, objects: impl Iterator<Item = Object<'a>>) -> Vec<u8> {
    let mut out = b"{\"version\": \"5.0.1\", \"flags\": {}, \"shapes\": [".to_vec();
    for (i, object) in objects.enumerate() {
        out.extend_from_slice(if i > 0 { b",\n  {\"label\": " } else { b"\n  {\"label\": " });
        push_json(&mut out, object.class);
        out.extend_from_slice(b", \"points\": [");
        for (k, [x, y]) in object.quad.as_chunks().0.iter().enumerate() {
            out.extend_from_slice(if k > 0 { b", [" } else { b"[" });
            push_coordinate(&mut out, *x);
            out.extend_from_slice(b", ");
            push_coordinate(&mut out, *y);
            out.push(b']');
        }
        let flags = ["", "\"difficult\": true", "\"truncated\": true"][usize::from(object.difficult.min(2))];
        // Writing to a vector never fails.
        let _ = write!(out, "], \"group_id\": null, \"shape_type\": \"polygon\", \"flags\": {{{flags}}}}}");
    }
    out.extend_from_slice(b"\n], \"imagePath\": ");
    push_json(&mut out, image.file);
    let _ =
        writeln!(out, ", \"imageData\": null, \"imageHeight\": {}, \"imageWidth\": {}}}", image.height, image.width);
    out
}
