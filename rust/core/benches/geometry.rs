//! IoU and NMS at the sizes of evaluation and merging.
#![allow(missing_docs)]

#[path = "../tests/scenes/mod.rs"]
mod scenes;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rotx_core::geom::{Quad, RBox, rbox_to_quad};
use rotx_core::iou::{Mode, QuadShape, RotatedBox, Shape, aligned, pairwise};
use rotx_core::nms::nms;
use scenes::Rng;
use std::hint::black_box;

/// Vehicles and ships as in DOTA, 10 to 60 px long, in a square image with sides of `side` px.
fn boxes(n: usize, side: f64, seed: u64) -> Vec<RBox> {
    let mut rng = Rng(seed);
    let mut next = || {
        let w = rng.log_between(10.0, 60.0);
        [rng.between(0.0, side), rng.between(0.0, side), w, w * rng.between(0.25, 0.6), rng.angle()]
    };
    (0..n).map(|_| next()).collect()
}

/// Detections before NMS: objects at DOTA's density, about 60 per 1024 × 1024 px, with 12 detections each.
fn detections(n: usize, seed: u64) -> (Vec<RBox>, Vec<f64>) {
    let mut rng = Rng(seed);
    let objects = boxes(n / 12, 1024.0 * (n as f64 / 12.0 / 60.0).sqrt(), seed);
    let mut found = || {
        let [x, y, w, h, angle] = rng.pick(&objects);
        let mut by = |part: f64| rng.between(-part, part);
        [x + by(0.1) * w, y + by(0.1) * w, w * (1.0 + by(0.1)), h * (1.0 + by(0.1)), angle + by(0.1)]
    };
    let found = (0..n).map(|_| found()).collect();
    (found, (0..n).map(|_| rng.between(0.0, 1.0)).collect())
}

fn quads(boxes: &[RBox]) -> Vec<Quad> {
    boxes.iter().map(rbox_to_quad).collect()
}

fn bench_pairwise<S: Shape>(c: &mut Criterion, name: &str, a: &[S::Raw], b: &[S::Raw]) {
    let mut group = c.benchmark_group("pairwise");
    group.throughput(Throughput::Elements((a.len() * b.len()) as u64)).sample_size(20);
    for jobs in [1, 2] {
        group.bench_function(format!("{name}, {jobs} threads"), |bench| {
            bench.iter_batched_ref(
                || vec![0.0; a.len() * b.len()],
                |out| pairwise::<S>(black_box(a), black_box(b), Mode::Iou, jobs, out),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn iou(c: &mut Criterion) {
    for (name, side) in [("dense", 100.0), ("sparse", 10_000.0)] {
        let (a, b) = (boxes(2000, side, 1), boxes(2000, side, 2));
        bench_pairwise::<RotatedBox>(c, &format!("rboxes {name} 2000 x 2000"), &a, &b);
        bench_pairwise::<QuadShape>(c, &format!("quads {name} 2000 x 2000"), &quads(&a), &quads(&b));
    }
    let (a, _) = detections(100_000, 3);
    let mut rng = Rng(4);
    let b: Vec<RBox> = a.iter().map(|r| [r[0] + rng.between(-5.0, 5.0), r[1], r[2], r[3], r[4] + 0.1]).collect();
    let mut group = c.benchmark_group("aligned");
    group.throughput(Throughput::Elements(a.len() as u64)).sample_size(20);
    let mut out = vec![0.0; a.len()];
    group.bench_function("rboxes 100000", |bench| {
        bench.iter(|| aligned::<RotatedBox>(black_box(&a), black_box(&b), Mode::Iou, &mut out));
    });
    let (a, b) = (quads(&a), quads(&b));
    group.bench_function("quads 100000", |bench| {
        bench.iter(|| aligned::<QuadShape>(black_box(&a), black_box(&b), Mode::Iou, &mut out));
    });
    group.finish();
}

fn suppression(c: &mut Criterion) {
    let mut group = c.benchmark_group("nms");
    group.sample_size(10);
    for n in [20_000, 200_000] {
        let (boxes, scores) = detections(n, 5);
        group.throughput(Throughput::Elements(n as u64));
        group.bench_function(format!("rboxes {n}"), |bench| {
            bench.iter(|| nms::<RotatedBox>(black_box(&boxes), &scores, None, 0.1));
        });
        let quads = quads(&boxes);
        group.bench_function(format!("quads {n}"), |bench| {
            bench.iter(|| nms::<QuadShape>(black_box(&quads), &scores, None, 0.1));
        });
    }
    group.finish();
}

criterion_group!(benches, iou, suppression);
criterion_main!(benches);
