//! RoIAlignRotated against known answers, and backward against forward.
#![allow(missing_docs, clippy::unwrap_used)]

use rotx_core::roi_align::{Pooling, Roi, roi_align_rotated, roi_align_rotated_backward};
use std::f64::consts::FRAC_PI_2;

const SHAPE: [usize; 4] = [2, 35, 6, 9]; // more than one block of channels
const POOLING: Pooling =
    Pooling { output_size: [2, 3], spatial_scale: 0.5, sampling_ratio: 0, aligned: true, clockwise: true };

fn numbers(n: usize) -> Vec<f64> {
    (0..n).map(|i| (i as f64 * 0.7).sin()).collect()
}

fn features(input: &[f64], shape: [usize; 4], rois: &[Roi], pooling: &Pooling) -> Vec<f64> {
    let mut out = vec![f64::NAN; rois.len() * shape[1] * pooling.output_size[0] * pooling.output_size[1]];
    roi_align_rotated(input, shape, rois, pooling, 1, &mut out).unwrap();
    out
}

const ROIS: [Roi; 4] = [
    [1.0, 9.0, 6.0, 12.0, 5.0, 0.3],
    [0.0, 2.0, 3.0, 40.0, 1.0, -2.0],
    [1.0, 17.0, 11.0, 4.0, 9.0, FRAC_PI_2],
    [0.0, 8.0, 6.0, 1e9, 1e9, 0.7],
];

#[test]
fn a_plane_is_sampled_at_the_centre_of_each_bin() {
    let shape = [1, 1, 9, 12];
    let input: Vec<f64> = (0..9 * 12).map(|i| f64::from(i % 12) + 100.0 * f64::from(i / 12)).collect();
    let (w, h, angle) = (6.0, 4.0, 0.4f64);
    let found = features(&input, shape, &[[0.0, 11.0, 9.0, w, h, angle]], &POOLING);
    let (sin, cos) = angle.sin_cos();
    for (bin, value) in found.iter().enumerate() {
        let (u, v) = (0.5 * w * ((bin % 3) as f64 - 1.0) / 3.0, 0.5 * h * ((bin / 3) as f64 - 0.5) / 2.0);
        let (x, y) = (5.5 - 0.5 + u * cos - v * sin, 4.5 - 0.5 + u * sin + v * cos);
        assert!((value - (x + 100.0 * y)).abs() < 1e-12, "bin {bin}: {value} at {x}, {y}");
    }
}

#[test]
fn backward_is_the_transpose_of_forward_for_any_number_of_threads() {
    let input = numbers(SHAPE.iter().product());
    for sampling_ratio in [0, 1, 3] {
        let pooling = Pooling { sampling_ratio, ..POOLING };
        let out = features(&input, SHAPE, &ROIS, &pooling);
        let grad = numbers(out.len());
        let backward = |jobs| {
            let mut grad_input = vec![f64::NAN; input.len()];
            roi_align_rotated_backward(&grad, &ROIS, SHAPE, &pooling, jobs, &mut grad_input).unwrap();
            grad_input
        };
        let grad_input = backward(1);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (left, right) = (dot(&out, &grad), dot(&input, &grad_input));
        assert!(left.abs() > 0.01 && (left - right).abs() < 1e-12 * left.abs().max(1.0), "{left} {right}");
        for jobs in [2, 3, 7] {
            assert_eq!(backward(jobs), grad_input);
            let mut again = vec![f64::NAN; out.len()];
            roi_align_rotated(&input, SHAPE, &ROIS, &pooling, jobs, &mut again).unwrap();
            assert_eq!(again, out);
        }
    }
}

#[test]
fn regions_that_are_huge_far_away_empty_or_no_numbers() {
    let ones = vec![1.0; SHAPE.iter().product()];
    let of = |roi: Roi| features(&ones, SHAPE, &[roi], &POOLING);
    for size in [1e4, 1e9, 1e18, 1e30, 1e300] {
        for (w, h) in [(size, size), (size, 8.0), (8.0, size)] {
            // Each bin is the share of its samples inside the image.
            let found = of([0.0, 9.0, 6.0, w, h, 0.3]);
            assert!(found.iter().all(|v| (0.0..=1.0).contains(v)), "{w} {h} {found:?}");
            assert!(size > 1e4 || found.iter().any(|&v| v > 0.0), "{w} {h}");
        }
    }
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for column in 1..6 {
            let mut roi = [0.0, 9.0, 6.0, 4.0, 4.0, 0.3];
            roi[column] = bad;
            assert!(of(roi).iter().all(|&v| v == 0.0));
        }
    }
    assert!(of([0.0, 1e300, 6.0, 4.0, 4.0, 0.0]).iter().all(|&v| v == 0.0), "far away");
    assert!(of([0.0, 9.0, 6.0, -4.0, 4.0, 0.0]).iter().all(|&v| v == 0.0), "negative");
    assert!(of([0.0, 9.0, 6.0, 0.0, 4.0, 0.0]).iter().all(|&v| v == 0.0), "no sample in no width");
}

#[test]
fn image_indices_are_checked() {
    let input = numbers(SHAPE.iter().product());
    for bad in [2.0, -1.0, 0.5, f64::NAN, 1e30] {
        let rois = [ROIS[0], [bad, 5.0, 5.0, 4.0, 4.0, 0.0]];
        let mut out = vec![0.0; 2 * SHAPE[1] * 6];
        let error = roi_align_rotated(&input, SHAPE, &rois, &POOLING, 1, &mut out).unwrap_err();
        assert!(error.contains(&format!("row 1 has image index {bad}, need an integer from 0 to below 2")), "{error}");
    }
    assert_eq!(features(&[], [0, 3, 6, 9], &[], &POOLING), []);
    assert_eq!(features(&[], [1, 2, 0, 9], &[ROIS[1]], &POOLING), [0.0; 12], "an image without pixels");
}
