//! Annotations of COCO JSON; its images and categories are few and written elsewhere.

use super::text::push_coordinate;
use super::{Batch, Object};
use crate::geom::{Quad, signed_area};
use crate::threads;
use std::io::Write;

/// Returns the objects of a batch as entries of `annotations`, separated by commas and line feeds.
///
/// Ids of images, annotations and categories count from 1 in their order; `first_image` and `first_object` are the
/// numbers of images and objects before this batch. The additional key `difficult` is not part of COCO; other readers
/// ignore it.
///
/// # Panics
/// If the batch is inconsistent.
pub fn annotations(batch: &Batch<'_>, first_image: usize, first_object: usize, jobs: usize) -> Vec<u8> {
    let texts = threads::map(batch.names.len(), jobs, |i| {
        let mut out = Vec::new();
        for (k, object) in (batch.bounds[i]..).zip(batch.objects(i)) {
            if k > 0 {
                out.extend_from_slice(b",\n");
            }
            push(&mut out, &object, first_image + i + 1, first_object + k + 1);
        }
        out
    });
    texts.concat()
}

fn push(out: &mut Vec<u8>, object: &Object<'_>, image: usize, id: usize) {
    let category = object.label + 1;
    // Writing to a vector never fails.
    let _ = write!(out, "{{\"id\": {id}, \"image_id\": {image}, \"category_id\": {category}, \"segmentation\": [[");
    push_numbers(out, object.quad);
    out.extend_from_slice(b"]], \"bbox\": [");
    let [x0, y0, x1, y1] = bounds(object.quad);
    push_numbers(out, &[x0, y0, x1 - x0, y1 - y0]);
    out.extend_from_slice(b"], \"area\": ");
    push_coordinate(out, signed_area(object.quad).abs());
    let _ = write!(out, ", \"iscrowd\": {}, \"difficult\": {}}}", object.crowd, object.difficult);
}

/// Left, top, right and bottom.
fn bounds(quad: &Quad) -> [f64; 4] {
    let corners = quad.as_chunks::<2>().0;
    corners.iter().fold([f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY], |[l, t, r, b], [x, y]| {
        [l.min(*x), t.min(*y), r.max(*x), b.max(*y)]
    })
}

fn push_numbers(out: &mut Vec<u8>, values: &[f64]) {
    for (i, &v) in values.iter().enumerate() {
        if i > 0 {
            out.extend_from_slice(b", ");
        }
        push_coordinate(out, v);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_numbered_on() {
        let names = ["a".to_owned(), "b".to_owned()];
        let quad = [10.0, 0.0, 20.0, 10.0, 10.0, 20.0, 0.0, 10.0];
        let batch = Batch {
            names: &names,
            files: &names,
            sizes: &[[9, 9]; 2],
            bounds: &[0, 0, 2],
            classes: &names,
            quads: &[quad; 2],
            label: &[1, 0],
            difficult: &[0, 2],
            crowd: &[0, 1],
        };
        let text = annotations(&batch, 4, 7, 2);
        let json: serde_json::Value = serde_json::from_slice(&[b"[", &text[..], b"]"].concat()).expect("json");
        let want = serde_json::json!([
            {"id": 8, "image_id": 6, "category_id": 2, "segmentation": [[10, 0, 20, 10, 10, 20, 0, 10]],
             "bbox": [0, 0, 20, 20], "area": 200, "iscrowd": 0, "difficult": 0},
            {"id": 9, "image_id": 6, "category_id": 1, "segmentation": [[10, 0, 20, 10, 10, 20, 0, 10]],
             "bbox": [0, 0, 20, 20], "area": 200, "iscrowd": 1, "difficult": 2},
        ]);
        assert_eq!(json, want);
    }
}
