//! Compares the grid's keep list with the definition, which compares all pairs.
#![allow(clippy::unwrap_used, missing_docs)]

mod scenes;

use rotx_core::geom::{RBox, rbox_to_quad};
use rotx_core::iou::{Mode, QuadShape, RotatedBox, Shape};
use rotx_core::nms::nms;
use scenes::{Rng, any_quad, generic, spellings};

/// Greedy suppression by definition: best first, against every kept box of the same label.
fn by_definition<S: Shape>(boxes: &[S::Raw], scores: &[f64], labels: Option<&[i64]>, threshold: f64) -> Vec<u32> {
    let mut order: Vec<usize> = (0..boxes.len()).collect();
    // A stable sort: equal scores stay in the order of their indices, NaN goes last.
    order.sort_by(|&i, &j| match (scores[i].is_nan(), scores[j].is_nan()) {
        (false, false) => scores[j].partial_cmp(&scores[i]).unwrap(),
        (a, b) => a.cmp(&b),
    });
    let mut keep: Vec<usize> = Vec::new();
    for i in order {
        let suppressed = keep.iter().any(|&k| {
            labels.is_none_or(|l| l[i] == l[k]) && S::new(&boxes[i]).overlap(&S::new(&boxes[k]), Mode::Iou) > threshold
        });
        if !suppressed {
            keep.push(i);
        }
    }
    keep.into_iter().map(|i| i as u32).collect()
}

/// Checks that keep lists are equal, for thresholds that include the IoUs of some pairs of the set.
fn compare<S: Shape>(name: &str, boxes: &[S::Raw], rng: &mut Rng)
where
    S::Raw: std::fmt::Debug,
{
    // Few distinct scores: many ties. Both zeros, infinities and NaN are scores, too.
    let level = [0.5, 0.25, 0.75, 0.5, 0.0, -0.0, f64::NAN, f64::INFINITY];
    let levels = rng.pick(&[1, 4, 8]);
    let ties = rng.below(3) > 0;
    let scores: Vec<f64> =
        boxes.iter().map(|_| if ties { level[rng.below(levels)] } else { rng.between(0.0, 1.0) }).collect();
    let labels: Vec<i64> = boxes.iter().map(|_| rng.pick(&[0, 0, 1, 7, -3, i64::MIN, i64::MAX])).collect();
    let mut thresholds = vec![0.0, 0.1, 0.5, 1.0];
    for _ in 0..40 {
        let (i, j) = (rng.below(boxes.len()), rng.below(boxes.len()));
        let exact = S::new(&boxes[i]).overlap(&S::new(&boxes[j]), Mode::Iou);
        if exact > 0.0 && i != j && thresholds.len() < 8 {
            thresholds.extend([exact, exact.next_down()]);
        }
    }
    for labels in [None, Some(labels.as_slice())] {
        for &threshold in &thresholds {
            let want = by_definition::<S>(boxes, &scores, labels, threshold);
            let got = nms::<S>(boxes, &scores, labels, threshold);
            assert!(got == want, "{name} above {threshold}: {got:?} not {want:?} of {boxes:?} {scores:?} {labels:?}");
        }
    }
}

/// Rotated boxes of one kind of scene.
fn scene(kind: &str, n: usize, rng: &mut Rng) -> Vec<RBox> {
    let mut boxes: Vec<RBox> = Vec::new();
    while boxes.len() < n {
        let [x, y, w, h, angle] = generic(rng);
        let next = match kind {
            "dense" => [x / 5.0, y / 5.0, 5.0 + w / 20.0, 5.0 + h / 20.0, angle],
            "duplicates" if !boxes.is_empty() && rng.below(2) == 0 => {
                let copied = rng.pick(&boxes);
                rng.pick(&spellings(&copied))
            }
            "clusters" => {
                let centre = 200.0 * rng.below(5) as f64;
                [centre + x / 100.0, centre + y / 100.0, 20.0 + w / 100.0, 10.0 + h / 100.0, 0.3 + angle / 1000.0]
            }
            "sizes" => {
                let size = rng.log_between(1.0, 2e4);
                [x, y, size, size * rng.between(0.1, 1.0), angle]
            }
            "outliers" => match rng.below(10) {
                0 => [rng.sign() * 1e9 + x, rng.sign() * 1e9, w, h, angle],
                1 => [rng.sign() * 1e9, y, rng.log_between(1.0, 1e9), h, angle],
                _ => [x, y, w, h, angle],
            },
            "degenerate" if rng.below(3) == 0 => {
                let mut bad = [x, y, w, h, angle];
                bad[rng.below(5)] = rng.pick(&[0.0, -1.0, f64::NAN, f64::INFINITY, 1e308, -1e308, 1e-308, 5e-324]);
                bad
            }
            "integers" => {
                let mut whole = |low: usize, n: usize| (low + rng.below(n)) as f64;
                [whole(0, 20), whole(0, 20), whole(1, 6), whole(1, 6), std::f64::consts::FRAC_PI_2 * whole(0, 4)]
            }
            "cells" => {
                // Centres, sides and borders on powers of two, where the grid's cells end.
                let mut power = || f64::exp2(rng.below(6) as f64);
                let (w, h, dx, dy) = (power(), power(), power(), power());
                [32.0 + dx - dy, 32.0 + dy - w, w, h, 0.0]
            }
            _ => [x, y, w, h, angle],
        };
        boxes.push(next);
    }
    boxes
}

const KINDS: [&str; 9] =
    ["generic", "dense", "duplicates", "clusters", "sizes", "outliers", "degenerate", "integers", "cells"];

#[test]
fn keep_list_of_rboxes_and_their_quads_is_that_of_all_pairs() {
    let mut rng = Rng(20);
    for set in 0..200 {
        let kind = KINDS[set % KINDS.len()];
        let n = rng.pick(&[1, 2, 30, 100, 250]);
        let boxes = scene(kind, n, &mut rng);
        compare::<RotatedBox>(kind, &boxes, &mut rng);
        let quads: Vec<_> = boxes.iter().map(rbox_to_quad).collect();
        compare::<QuadShape>(kind, &quads, &mut rng);
    }
}

#[test]
fn keep_list_of_any_quads_is_that_of_all_pairs() {
    let mut rng = Rng(21);
    for _ in 0..200 {
        let (n, spread) = (rng.pick(&[2, 30, 120]), rng.log_between(1.0, 1000.0));
        let mut far = || [rng.between(0.0, spread), rng.between(0.0, spread)];
        let moves: Vec<[f64; 2]> = (0..n).map(|_| far()).collect();
        let quads: Vec<[f64; 8]> = moves
            .iter()
            .map(|by| {
                let quad = any_quad(&mut rng);
                std::array::from_fn(|i| quad[i] + by[i % 2])
            })
            .collect();
        compare::<QuadShape>("any quads", &quads, &mut rng);
    }
}

/// Small boxes far from the origin: borders of boxes and of grid cells are a few units in the last place apart.
#[test]
fn keep_list_holds_where_coordinates_have_few_digits_left() {
    let mut rng = Rng(22);
    for _ in 0..200 {
        let (far, size) = (rng.log_between(1e3, 1e15), rng.log_between(1e-4, 1.0));
        let boxes: Vec<RBox> = (0..60)
            .map(|_| {
                let (x, y) = (far + rng.between(0.0, 6.0 * size), far + rng.between(0.0, 6.0 * size));
                [x, y, size * rng.between(0.5, 1.0), size, rng.angle()]
            })
            .collect();
        compare::<RotatedBox>("far out", &boxes, &mut rng);
    }
}

#[test]
fn a_pair_exactly_at_the_threshold_is_kept() {
    // A square of side 4 and a half, a quarter, three quarters of it: the IoU of such rboxes is computed exactly.
    for (h, threshold) in [(2.0, 0.5f64), (1.0, 0.25), (3.0, 0.75)] {
        let boxes = [[10.0, 10.0, 4.0, 4.0, 0.0], [10.0, 10.0, 4.0, h, 0.0]];
        assert_eq!(nms::<RotatedBox>(&boxes, &[1.0, 0.5], None, threshold), [0, 1], "{h}");
        assert_eq!(nms::<RotatedBox>(&boxes, &[1.0, 0.5], None, threshold.next_down()), [0], "{h}");
    }
}
