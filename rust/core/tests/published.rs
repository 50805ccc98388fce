//! Boxes for which a published implementation returned a wrong IoU. The true values are from exact arithmetic;
//! `tests/exact_area.py` checks them again.

#![allow(clippy::unwrap_used, missing_docs)]

use rotx_core::geom::rbox_to_quad;
use rotx_core::iou::{Mode, QuadShape, RotatedBox, Shape};
use rotx_core::nms::nms;
use serde_json::Value;

#[test]
fn every_published_case_is_right() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("cases/published.json")).unwrap();
    assert!(cases.len() >= 40);
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        let want = case["iou"].as_f64().unwrap();
        let numbers =
            |key: &str| -> Vec<f64> { case[key].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect() };
        let (a, b) = (numbers("a"), numbers("b"));
        let check = |how: &str, got: f64| {
            assert!((got - want).abs() <= 1e-9, "{name} {how}: {got} instead of {want}");
        };
        if let (Ok(a), Ok(b)) = (a.as_slice().try_into(), b.as_slice().try_into()) {
            check("rbox", overlap::<RotatedBox>(a, b));
            check("rbox, swapped", overlap::<RotatedBox>(b, a));
            check("quad", overlap::<QuadShape>(&rbox_to_quad(a), &rbox_to_quad(b)));
        } else {
            let (a, b) = (a.as_slice().try_into().unwrap(), b.as_slice().try_into().unwrap());
            check("quad", overlap::<QuadShape>(a, b));
            check("quad, swapped", overlap::<QuadShape>(b, a));
        }
    }
}

fn overlap<S: Shape>(a: &S::Raw, b: &S::Raw) -> f64 {
    S::new(a).overlap(&S::new(b), Mode::Iou)
}

/// open-mmlab/mmcv#1663: in float16 nothing was suppressed.
#[test]
fn mmcv_1663_keeps_the_best_of_each_pair() {
    let boxes = [
        [233.25, 276.0, 160.0, 50.625, -3.0371],
        [233.625, 276.75, 160.875, 52.6562, -2.998],
        [261.0, 326.25, 146.625, 46.4062, -2.9844],
        [261.0, 326.75, 147.375, 47.9062, -2.9648],
    ];
    assert_eq!(nms::<RotatedBox>(&boxes, &[0.9858, 0.6021, 0.9854, 0.9453], None, 0.5), [0, 2]);
}

/// open-mmlab/mmcv#1133: boxes that overlap nothing were suppressed.
#[test]
fn mmcv_1133_keeps_what_overlaps_nothing() {
    // Parallel slanted boxes, 0.01 px apart; their axis-aligned bounds overlap almost completely.
    let (sin, cos) = 0.6f64.sin_cos();
    let boxes: Vec<[f64; 5]> =
        (0..50).map(|i| f64::from(i) * 20.01).map(|d| [500.0 - d * sin, 500.0 + d * cos, 80.0, 20.0, 0.6]).collect();
    let scores: Vec<f64> = (0..50).map(|i| 1.0 - 0.01 * f64::from(i)).collect();
    assert_eq!(nms::<RotatedBox>(&boxes, &scores, None, 0.0), (0..50).collect::<Vec<u32>>());
}
