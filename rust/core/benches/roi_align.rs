//! RoIAlignRotated at the size of the second stage for one image: 512 regions, 256 channels of 64 × 64 pixels.
#![allow(missing_docs)]

#[path = "../tests/scenes/mod.rs"]
mod scenes;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rotx_core::roi_align::{Pooling, Real, Roi, roi_align_rotated, roi_align_rotated_backward};
use scenes::Rng;
use std::any::type_name;
use std::hint::black_box;

const SHAPE: [usize; 4] = [1, 256, 64, 64];

/// Boxes in a 256 × 256 image; the feature map has a quarter of its width and height.
fn rois(n: usize) -> Vec<Roi> {
    let mut rng = Rng(1);
    let mut next = || {
        let (w, h) = (rng.log_between(8.0, 128.0), rng.log_between(8.0, 64.0));
        [0.0, rng.between(0.0, 256.0), rng.between(0.0, 256.0), w, h, rng.angle()]
    };
    (0..n).map(|_| next()).collect()
}

fn bench<T: Real>(c: &mut Criterion) {
    let mut rng = Rng(2);
    let rois = rois(512);
    let mut numbers = |n: usize| (0..n).map(|_| T::from_f64(rng.between(-1.0, 1.0))).collect::<Vec<T>>();
    let (mut input, mut out) = (numbers(SHAPE.iter().product()), numbers(rois.len() * SHAPE[1] * 49));
    let mut group = c.benchmark_group(format!("roi_align {}", type_name::<T>()));
    group.throughput(Throughput::Elements(rois.len() as u64)).sample_size(20);
    for (sampling_ratio, jobs) in [(2, 1), (2, 2), (0, 1)] {
        let pooling =
            Pooling { output_size: [7, 7], spatial_scale: 0.25, sampling_ratio, aligned: true, clockwise: true };
        group.bench_function(format!("forward, sampling {sampling_ratio}, {jobs} threads"), |bench| {
            bench.iter(|| roi_align_rotated(black_box(&input), SHAPE, &rois, &pooling, jobs, &mut out));
        });
        group.bench_function(format!("backward, sampling {sampling_ratio}, {jobs} threads"), |bench| {
            bench.iter(|| roi_align_rotated_backward(black_box(&out), &rois, SHAPE, &pooling, jobs, &mut input));
        });
    }
    group.finish();
}

criterion_group!(benches, bench<f32>, bench<f64>);
criterion_main!(benches);
