//! Properties of rotated IoU, checked on millions of random cases.
#![allow(missing_docs)]

mod scenes;

use rotx_core::geom::{self, Point, Quad, RBox, rbox_to_quad};
use rotx_core::iou::{Mode, QuadShape, RotatedBox, Shape};
use scenes::{FAMILIES, Rng, any_quad, orders, spellings};

const TOLERANCE: f64 = 1e-9;

fn overlap<S: Shape>(a: &S::Raw, b: &S::Raw, mode: Mode) -> f64 {
    S::new(a).overlap(&S::new(b), mode)
}

fn iou(a: &RBox, b: &RBox) -> f64 {
    overlap::<RotatedBox>(a, b, Mode::Iou)
}

fn iou_quad(a: &Quad, b: &Quad) -> f64 {
    overlap::<QuadShape>(a, b, Mode::Iou)
}

/// 1e-9, plus the effect on the IoU of rounding the coordinates, of size up to `reach`.
fn tolerance(a: &RBox, b: &RBox, reach: f64) -> f64 {
    let short = a[2].min(a[3]).min(b[2]).min(b[3]);
    let far = [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]].iter().fold(reach, |m, v| m.max(v.abs()));
    TOLERANCE + 4.0 * f64::EPSILON * far / short
}

/// Calls `f` on `n` pairs of each family.
fn each_pair(seed: u64, n: usize, mut f: impl FnMut(&str, RBox, RBox, &mut Rng)) {
    let mut rng = Rng(seed);
    for (family, make) in FAMILIES {
        for _ in 0..n {
            let (a, b) = make(&mut rng);
            f(family, a, b, &mut rng);
        }
    }
}

/// Checks the range, exact symmetry, and IoF against its definition.
fn bounded<S: Shape>(a: &S::Raw, b: &S::Raw) -> Result<(), String> {
    let (sa, sb) = (S::new(a), S::new(b));
    let common = sa.intersection(&sb);
    if common.to_bits() != sb.intersection(&sa).to_bits() || !(0.0..).contains(&common) {
        return Err(format!("intersection {common}"));
    }
    let (forth, back) = (sa.overlap(&sb, Mode::Iou), sb.overlap(&sa, Mode::Iou));
    if forth.to_bits() != back.to_bits() || !(0.0..=1.0).contains(&forth) {
        return Err(format!("IoU {forth}, swapped {back}"));
    }
    let iof = sa.overlap(&sb, Mode::Iof);
    let exact = if common > 0.0 { (common / sa.area()).min(1.0) } else { 0.0 };
    if iof != exact || !(0.0..=1.0).contains(&iof) || (common <= sb.area() && iof < forth - 1e-15) {
        return Err(format!("IoF {iof}, IoU {forth}, area {}", sa.area()));
    }
    Ok(())
}

#[test]
fn overlaps_are_bounded_and_symmetric() {
    each_pair(1, 600_000, |family, a, b, _| {
        bounded::<RotatedBox>(&a, &b).unwrap_or_else(|e| panic!("{family} {a:?} {b:?}: {e}"));
        let (a, b) = (rbox_to_quad(&a), rbox_to_quad(&b));
        bounded::<QuadShape>(&a, &b).unwrap_or_else(|e| panic!("{family} {a:?} {b:?}: {e}"));
    });
    let mut rng = Rng(2);
    for _ in 0..3_000_000 {
        let (a, b) = (any_quad(&mut rng), any_quad(&mut rng));
        bounded::<QuadShape>(&a, &b).unwrap_or_else(|e| panic!("{a:?} {b:?}: {e}"));
    }
}

#[test]
fn one_rectangle_in_any_spelling_is_equal() {
    each_pair(3, 100_000, |family, a, b, _| {
        for other in spellings(&b) {
            let got = iou(&b, &other);
            assert!(got >= 1.0 - TOLERANCE, "{family} {b:?} {other:?}: {got}");
            let (before, after) = (iou(&a, &b), iou(&a, &other));
            assert!((before - after).abs() <= TOLERANCE, "{family} {a:?} {b:?} {other:?}: {before} {after}");
        }
        let quad = rbox_to_quad(&b);
        for other in orders(&quad) {
            let got = iou_quad(&quad, &other);
            assert!(got >= 2.0 - TOLERANCE.max(tolerance(&b, &b, 0.0)) - 1.0, "{family} {quad:?} {other:?}: {got}");
        }
    });
}

#[test]
fn any_quad_equals_itself_from_every_corner() {
    let mut rng = Rng(4);
    for _ in 0..500_000 {
        let quad = any_quad(&mut rng);
        let area = QuadShape::new(&quad).area();
        for other in orders(&quad) {
            let got = iou_quad(&quad, &other);
            // The rounding error of products of coordinates is relative to the area that remains after cancellation.
            let enough = if area == 0.0 { 0.0 } else { 1.0 - TOLERANCE - 1e-11 / area };
            assert!(got >= enough && (area > 0.0 || got == 0.0), "{quad:?} {other:?}: {got}");
        }
    }
}

#[test]
fn moving_the_scene_changes_nothing() {
    each_pair(5, 400_000, |family, a, b, rng| {
        // Centres on a grid of 2^-30 px, so that the translation itself is exact.
        let grid = |v: f64| (v * f64::from(1 << 30)).round() / f64::from(1 << 30);
        let snap = |r: RBox| [grid(r[0]), grid(r[1]), r[2], r[3], r[4]];
        let (a, b) = (snap(a), snap(b));
        let (dx, dy) = (rng.sign() * 1e5, rng.sign() * 1e5);
        let shift = |r: RBox| [r[0] + dx, r[1] + dy, r[2], r[3], r[4]];
        let (before, after) = (iou(&a, &b), iou(&shift(a), &shift(b)));
        let within = tolerance(&a, &b, 1e5);
        assert!((before - after).abs() <= within, "{family} moved {a:?} {b:?}: {before} {after}");

        let turn = rng.angle();
        let (sin, cos) = turn.sin_cos();
        let rotate = |r: RBox| [r[0] * cos - r[1] * sin, r[0] * sin + r[1] * cos, r[2], r[3], r[4] + turn];
        let after = iou(&rotate(a), &rotate(b));
        let within = tolerance(&a, &b, 0.0);
        assert!((before - after).abs() <= within, "{family} turned by {turn} {a:?} {b:?}: {before} {after}");
    });
}

#[test]
fn moving_quads_changes_nothing() {
    let mut rng = Rng(6);
    let grid = |v: f64| (v * f64::from(1 << 30)).round() / f64::from(1 << 30);
    for _ in 0..500_000 {
        let (a, b) = (any_quad(&mut rng).map(grid), any_quad(&mut rng).map(grid));
        let (dx, dy) = (rng.sign() * 1e5, rng.sign() * 1e5);
        let mut place = 0;
        let mut shift = |v: f64| {
            place += 1;
            v + if place % 2 == 1 { dx } else { dy }
        };
        let (before, after) = (iou_quad(&a, &b), iou_quad(&a.map(&mut shift), &b.map(&mut shift)));
        assert!((before - after).abs() <= TOLERANCE, "{a:?} {b:?}: {before} {after}");
    }
}

#[test]
fn known_overlaps() {
    each_pair(7, 400_000, |family, a, b, _| {
        let within = tolerance(&a, &b, 0.0);
        let want = match family {
            "nested" => b[2] * b[3] / (a[2] * a[3]),
            "touching" => 0.0,
            "same_angle" => {
                // In the frame of `a` both are axis-aligned.
                let (sin, cos) = a[4].sin_cos();
                let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
                let (du, dv) = ((dx * cos + dy * sin).abs(), (dy * cos - dx * sin).abs());
                let u = (0.5 * (a[2] + b[2]) - du).clamp(0.0, a[2].min(b[2]));
                let v = (0.5 * (a[3] + b[3]) - dv).clamp(0.0, a[3].min(b[3]));
                u * v / (a[2] * a[3] + b[2] * b[3] - u * v)
            }
            _ => return,
        };
        let got = iou(&a, &b);
        assert!((got - want).abs() <= within, "{family} {a:?} {b:?}: {got} not {want}");
    });
}

#[test]
fn rboxes_equal_their_quads_and_the_slow_oracle() {
    each_pair(8, 100_000, |family, a, b, _| {
        let within = tolerance(&a, &b, 0.0);
        let (qa, qb) = (rbox_to_quad(&a), rbox_to_quad(&b));
        let (rboxes, quads, want) = (iou(&a, &b), iou_quad(&qa, &qb), slow_iou(&qa, &qb));
        assert!((rboxes - quads).abs() <= within, "{family} {a:?} {b:?}: {rboxes}, as quads {quads}");
        let within = within + slow_rounding(&qa, &qb);
        assert!((quads - want).abs() <= within, "{family} {a:?} {b:?}: {quads} not {want}");
    });
}

#[test]
fn any_quads_equal_the_slow_oracle() {
    let mut rng = Rng(9);
    let mut met = [0; 3];
    for _ in 0..500_000 {
        let (a, mut b) = (any_quad(&mut rng), any_quad(&mut rng));
        match rng.below(6) {
            0 => b = a.map(|v| v + rng.log_between(1e-15, 1e-3)), // near-equal
            1 => b = rng.pick(&orders(&a)),
            2 => (b[0], b[1], b[4], b[5]) = (a[0], a[1], a[4], a[5]), // a common diagonal
            3 => b[..4].copy_from_slice(&a[2..6]),                    // a common side
            _ => {}
        }
        let (got, want) = (iou_quad(&a, &b), slow_iou(&a, &b));
        assert!((got - want).abs() <= TOLERANCE + slow_rounding(&a, &b), "{a:?} {b:?}: {got} not {want}");
        met[usize::from(want > 0.0) + usize::from(want > 0.0 && !(geom::is_convex(&a) && geom::is_convex(&b)))] += 1;
    }
    assert!(met.iter().all(|&n| n > 25_000), "all kinds of pairs occur: {met:?}");
}

/// IoU of quads, by slabs between the x of all corners and crossings: within a slab, the order of the edges in y is
/// fixed.
fn slow_iou(a: &Quad, b: &Quad) -> f64 {
    let (area_a, area_b) = (slow_product(a, None), slow_product(b, None));
    if area_a == 0.0 || area_b == 0.0 || geom::signed_area(a) == 0.0 || geom::signed_area(b) == 0.0 {
        return 0.0;
    }
    let common = (slow_product(a, Some(b)) * area_a.signum() * area_b.signum()).max(0.0);
    let union = area_a.abs() + area_b.abs() - common;
    if common < union { common / union } else { 1.0 }
}

/// Bound on the rounding error of [`slow_iou`]: coordinates are below the extent, areas are sums of their products.
fn slow_rounding(a: &Quad, b: &Quad) -> f64 {
    let extent = (0..8).flat_map(|i| [(a[i] - a[i % 2]).abs(), (b[i] - a[i % 2]).abs()]).fold(0.0, f64::max);
    1e-14 * extent * extent / geom::signed_area(a).abs().max(geom::signed_area(b).abs())
}

/// Integral of the product of the winding numbers of `a` and `b`; without `b`, the signed area of `a`.
fn slow_product(a: &Quad, b: Option<&Quad>) -> f64 {
    let (x0, y0) = (a[0], a[1]);
    let edges: Vec<(usize, [f64; 2], [f64; 2])> = std::iter::once(a)
        .chain(b)
        .enumerate()
        .flat_map(|(owner, quad)| {
            let point = |i: usize| [quad[2 * (i % 4)] - x0, quad[2 * (i % 4) + 1] - y0];
            (0..4).map(move |i| (owner, point(i), point(i + 1)))
        })
        .collect();
    let mut xs: Vec<f64> = edges.iter().map(|e| e.1[0]).collect();
    for (i, (_, p, q)) in edges.iter().enumerate() {
        for (_, r, s) in &edges[..i] {
            let across = (q[0] - p[0]) * (s[1] - r[1]) - (q[1] - p[1]) * (s[0] - r[0]);
            let t = ((r[0] - p[0]) * (s[1] - r[1]) - (r[1] - p[1]) * (s[0] - r[0])) / across;
            if t > 0.0 && t < 1.0 {
                xs.push(p[0] + t * (q[0] - p[0]));
            }
        }
    }
    xs.sort_by(f64::total_cmp);
    let mut sum = 0.0;
    let mut heights: Vec<(f64, usize, f64)> = Vec::new();
    for slab in xs.windows(2).filter(|slab| slab[0] < slab[1]) {
        let middle = 0.5 * (slab[0] + slab[1]);
        heights.clear();
        for (owner, p, q) in &edges {
            if (p[0] < middle) != (q[0] < middle) {
                let y = p[1] + (middle - p[0]) / (q[0] - p[0]) * (q[1] - p[1]);
                heights.push((y, *owner, (q[0] - p[0]).signum()));
            }
        }
        heights.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut winding = [0.0, if b.is_some() { 0.0 } else { 1.0 }];
        for pair in heights.windows(2) {
            winding[pair[0].1] += pair[0].2;
            sum += winding[0] * winding[1] * (pair[1].0 - pair[0].0) * (slab[1] - slab[0]);
        }
    }
    sum
}

/// Numbers for which floating-point arithmetic breaks down.
const SPECIAL: [f64; 18] = [
    0.0,
    -0.0,
    -1.0,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    1e308,
    -1e308,
    f64::MAX,
    f64::MIN,
    1e160,
    -1e160,
    1e-160,
    1e-308,
    -1e-308,
    f64::MIN_POSITIVE,
    5e-324,
    -5e-324,
];

#[test]
fn degenerate_rboxes_meet_nothing() {
    let mut rng = Rng(10);
    let mut valid = 0;
    for _ in 0..1_000_000 {
        let good = scenes::generic(&mut rng);
        let mut bad = good;
        for _ in 0..=rng.below(3) {
            bad[rng.below(5)] = rng.pick(&SPECIAL);
        }
        let [.., w, h, _] = bad;
        let has_area = bad.iter().all(|v| v.is_finite()) && w > 0.0 && h > 0.0 && w * h > 0.0 && w * h < f64::INFINITY;
        for (a, b) in [(&good, &bad), (&bad, &bad)] {
            bounded::<RotatedBox>(a, b).unwrap_or_else(|e| panic!("{a:?} {b:?}: {e}"));
            assert!(has_area || iou(a, b) == 0.0, "{a:?} {b:?}");
        }
        // A box whose sides coincide after rounding meets nothing, not even itself.
        let far = 1e9 * w.min(h);
        if has_area && bad[0].abs() < far && bad[1].abs() < far && w * h > 1e-290 {
            valid += 1;
            assert!(iou(&bad, &bad) >= 1.0 - TOLERANCE, "{bad:?}: {}", iou(&bad, &bad));
        }
    }
    assert!(valid > 1000, "only {valid} of the boxes are unusual but valid");
}

#[test]
fn degenerate_quads_meet_nothing() {
    let mut rng = Rng(11);
    for _ in 0..1_000_000 {
        let good = any_quad(&mut rng);
        let mut bad = good;
        match rng.below(3) {
            0 => (0..=rng.below(4)).for_each(|_| bad[rng.below(8)] = rng.pick(&SPECIAL)),
            1 => bad = bad.map(|v| v * rng.pick(&[1e-160, 1e160, 1e-308, 1e307])),
            _ => (bad[4], bad[5], bad[6], bad[7]) = (bad[0], bad[1], bad[2], bad[3]), // a segment, twice
        }
        for (a, b) in [(&good, &bad), (&bad, &bad)] {
            bounded::<QuadShape>(a, b).unwrap_or_else(|e| panic!("{a:?} {b:?}: {e}"));
        }
        if QuadShape::new(&bad).area() == 0.0 {
            assert!(iou_quad(&good, &bad) == 0.0 && iou_quad(&bad, &bad) == 0.0, "{bad:?}");
        }
        // Nothing here may panic. If no product overflows, the finite points have a rectangle.
        let corners = geom::corners(&bad);
        let rect = geom::min_area_rect(&corners);
        let finite = corners.iter().filter(|p| p.x.is_finite() && p.y.is_finite()).count();
        assert!(finite > 0 || rect.iter().all(|v| v.is_nan()), "{bad:?}: {rect:?}");
        let overflows = corners.iter().any(|p| p.x.abs().max(p.y.abs()) > 1e153);
        assert!(finite == 0 || overflows || rect.iter().all(|v| v.is_finite()), "{bad:?}: {rect:?}");
        geom::point_in_quad(Point { x: 1.0, y: 1.0 }, &bad);
        geom::clip_convex(&geom::corners(&good), &corners);
    }
}

/// The reciprocal of the area of one of the window's two triangles overflows.
#[test]
fn a_corner_at_subnormal_distance_does_no_harm() {
    for tiny in [0.0, 5e-324, 1e-320, 1e-310, 1e-300, 1e-200] {
        let quad = [0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, tiny];
        let square = [-1.0, -1.0, 2.0, -1.0, 2.0, 2.0, -1.0, 2.0];
        for other in orders(&quad) {
            let (same, within) = (iou_quad(&quad, &other), iou_quad(&square, &other));
            assert!(same >= 1.0 - TOLERANCE, "{quad:?} {other:?}: {same}");
            assert!((within - 0.5 / 9.0).abs() < TOLERANCE, "{other:?}: {within}");
        }
    }
}

#[test]
fn rectangles_come_back_from_their_corners() {
    each_pair(12, 30_000, |family, _, b, _| {
        let quad = rbox_to_quad(&b);
        let far = b.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        for order in orders(&quad) {
            let back = geom::min_area_rect(&geom::corners(&order));
            let aspect = b[2].max(b[3]) / b[2].min(b[3]);
            let within = TOLERANCE + 16.0 * f64::EPSILON * far / b[2].min(b[3]) * aspect;
            assert!(iou(&b, &back) >= 1.0 - within, "{family} {b:?} -> {back:?}: {}", iou(&b, &back));
            let half = std::f64::consts::FRAC_PI_2;
            assert!(back[2] >= back[3] && (-half..half).contains(&back[4]), "{back:?} is not le90");
        }
    });
}

#[test]
fn the_least_rectangle_holds_the_points_and_no_other_direction_is_smaller() {
    let mut rng = Rng(13);
    for _ in 0..30_000 {
        let n = 1 + rng.below(12);
        let points: Vec<Point> =
            (0..n).map(|_| Point { x: rng.between(-50.0, 50.0), y: rng.between(-50.0, 50.0) }).collect();
        let rect = geom::min_area_rect(&points);
        let extent = |angle: f64| {
            let (sin, cos) = angle.sin_cos();
            let span = |f: &dyn Fn(&Point) -> f64| {
                let (low, high) = points.iter().map(f).fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
                high - low
            };
            (span(&|p| p.x * cos + p.y * sin), span(&|p| p.y * cos - p.x * sin))
        };
        let (w, h) = extent(rect[4]);
        assert!((w - rect[2]).abs() < 1e-9 && (h - rect[3]).abs() < 1e-9, "{points:?}: {rect:?}");
        for p in &points {
            let (sin, cos) = rect[4].sin_cos();
            let (dx, dy) = (p.x - rect[0], p.y - rect[1]);
            let (u, v) = ((dx * cos + dy * sin).abs(), (dy * cos - dx * sin).abs());
            assert!(u <= 0.5 * w + 1e-9 && v <= 0.5 * h + 1e-9, "{p:?} outside {rect:?}");
        }
        for i in 0..180 {
            let (w, h) = extent(f64::from(i).to_radians());
            assert!(w * h >= rect[2] * rect[3] - 1e-9, "{points:?}: {i} degrees beats {rect:?}");
        }
    }
}
