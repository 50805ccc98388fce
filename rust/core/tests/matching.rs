//! Compares the matcher, which takes shortcuts, with the plain rules of the DOTA devkit, pair by pair.

mod scenes;

use rotx_core::eval::devkit;
use rotx_core::eval::matching::match_detections;
use rotx_core::eval::rules::{Measure, Rules};
use rotx_core::eval::truth::{Detections, Truth};
use rotx_core::geom::Quad;
use scenes::Rng;

const IMAGES: usize = 4;
const CLASSES: usize = 2;
const THRESHOLDS: [f64; 3] = [0.5, 0.25, 0.75];

struct Set {
    truths: Vec<Quad>,
    truth_image: Vec<u32>,
    truth_label: Vec<u32>,
    ignore: Vec<bool>,
    quads: Vec<Quad>,
    image: Vec<u32>,
    label: Vec<u32>,
    scores: Vec<f64>,
}

fn bounds(quad: &Quad) -> [f64; 4] {
    let all = |start: usize| quad.iter().skip(start).step_by(2).copied();
    let (low, high) = (f64::INFINITY, f64::NEG_INFINITY);
    [all(0).fold(low, f64::min), all(1).fold(low, f64::min), all(0).fold(high, f64::max), all(1).fold(high, f64::max)]
}

/// Objects on whole pixels, close together; most detections repeat one with a few corners moved, so that many IoUs are
/// exactly 1/2, 1/4 or 3/4, or equal for two objects. Some quads are self-intersecting or have no area.
fn random_set(random: &mut Rng, far: f64) -> Set {
    let mut set = Set {
        truths: vec![],
        truth_image: vec![],
        truth_label: vec![],
        ignore: vec![],
        quads: vec![],
        image: vec![],
        label: vec![],
        scores: vec![],
    };
    let whole = |random: &mut Rng, low: f64, high: f64| random.between(low, high).round();
    for _ in 0..40 {
        let (x, y) = (far + whole(random, 0.0, 60.0), far + whole(random, 0.0, 60.0));
        let (w, h) = (whole(random, 0.0, 24.0), whole(random, 1.0, 24.0));
        let (sx, sy) = (whole(random, -3.0, 3.0), whole(random, -3.0, 3.0));
        let mut quad = [x, y, x + w, y + sy, x + w + sx, y + h + sy, x + sx, y + h];
        match random.below(12) {
            0 => quad.swap(2, 4),                                                     // often self-intersecting
            1 => quad = [x, y, x + sx, y + h, x + w + sx, y + h + sy, x + w, y + sy], // the other orientation
            2 => quad[2..4].copy_from_slice(&[x, y]),                                 // a triangle
            _ => {}
        }
        set.truths.push(quad);
        set.truth_image.push(random.below(IMAGES) as u32);
        set.truth_label.push(random.below(CLASSES) as u32);
        set.ignore.push(random.below(5) == 0);
    }
    for i in 0..160 {
        let source = random.below(set.truths.len());
        let mut quad = set.truths[source];
        match random.below(6) {
            0 => {}
            1 => (quad[5], quad[7]) = (0.5 * (quad[3] + quad[5]), 0.5 * (quad[1] + quad[7])), // half as high
            2 => (quad[2], quad[4]) = (quad[2] + (quad[2] - quad[0]), quad[4] + (quad[4] - quad[6])), // twice as wide
            _ => (0..8).for_each(|k| quad[k] += whole(random, -2.0, 2.0)),
        }
        set.quads.push(quad);
        set.image.push(set.truth_image[source]);
        set.label.push(set.truth_label[source]);
        set.scores.push(f64::from((i * 37) % 160) / 160.0);
    }
    set
}

/// Applies the rules one by one, with the devkit's arithmetic for every pair; returns `(hit, ignored)` of each
/// detection.
fn by_the_rules(set: &Set, threshold: f64) -> Vec<(bool, bool)> {
    let mut order: Vec<usize> = (0..set.quads.len()).collect();
    order.sort_by(|&a, &b| set.scores[b].total_cmp(&set.scores[a]));
    let mut taken = vec![false; set.truths.len()];
    let mut out = vec![(false, false); set.quads.len()];
    for d in order {
        let [x0, y0, x1, y1] = bounds(&set.quads[d]);
        let mut best = (f64::NEG_INFINITY, usize::MAX);
        for (t, quad) in set.truths.iter().enumerate() {
            if (set.truth_image[t], set.truth_label[t]) != (set.image[d], set.label[d]) {
                continue;
            }
            let [u0, v0, u1, v1] = bounds(quad);
            let (w, h) = (u1.min(x1) - u0.max(x0) + 1.0, v1.min(y1) - v0.max(y0) + 1.0);
            if w <= 0.0 || h <= 0.0 || best.0.is_nan() {
                continue;
            }
            let iou = devkit::iou(quad, &set.quads[d]);
            if iou > best.0 || iou.is_nan() {
                best = (iou, t);
            }
        }
        if best.0 > threshold {
            if set.ignore[best.1] {
                out[d].1 = true;
            } else if !taken[best.1] {
                taken[best.1] = true;
                out[d].0 = true;
            }
        }
    }
    out
}

#[test]
fn short_cuts_never_change_a_decision_of_the_devkit() {
    let mut random = Rng(20_190_401);
    for round in 0..400 {
        let set = random_set(&mut random, [0.0, 300.0, 4000.0, 20_000.0][round % 4]);
        let truth = Truth { quads: &set.truths, image: &set.truth_image, label: &set.truth_label, ignore: &set.ignore };
        let detections = Detections { quads: &set.quads, image: &set.image, label: &set.label, scores: &set.scores };
        let rules = Rules {
            thresholds: THRESHOLDS.to_vec(),
            strict: true,
            second_choice: false,
            measure: Measure::Devkit,
            max_detections: 0,
            area: None,
        };
        let got = match_detections(truth, detections, CLASSES, IMAGES, &rules, 1 + round % 2);
        for (t, &threshold) in THRESHOLDS.iter().enumerate() {
            for (d, want) in by_the_rules(&set, threshold).into_iter().enumerate() {
                let bit = 1 << t;
                let verdict = (got.hit[d] & bit != 0, got.ignored[d] & bit != 0);
                assert_eq!(verdict, want, "round {round}, threshold {threshold}, detection {:?}", set.quads[d]);
            }
        }
    }
}
