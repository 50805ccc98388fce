//! Intersection over union (IoU) and over the first box (IoF) of rotated boxes and of quads.
//!
//! No vertex is ever classified as inside or outside. One shape, the window, is mapped to an axis-aligned
//! box or to the unit triangle; by Green's theorem the area of the other within it is a sum over the other's
//! edges of ∫ clamp(x) dy, each of them in closed form. Every step is continuous in the input, so edges that
//! coincide or nearly do, which break clipping by predicates, are nothing special here.
//!
//! For quads the sum counts every point by the product of the two winding numbers: the true area where both
//! are simple, and where one crosses itself the signed sum of the DOTA devkit's polyiou.

use std::cmp::Ordering;

use crate::geom::{self, Quad, RBox};
use crate::threads;

/// An intersection smaller than this part of the smaller box is rounding, and counts as none.
const NEGLIGIBLE: f64 = 1e-12;

/// What the intersection is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The union of both.
    Iou,
    /// The first box.
    Iof,
}

/// The axis-aligned box around a shape. Shapes without area have an empty one, which meets nothing.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub(crate) x0: f64,
    pub(crate) y0: f64,
    pub(crate) x1: f64,
    pub(crate) y1: f64,
}

impl Bounds {
    const EMPTY: Bounds = Bounds { x0: f64::INFINITY, y0: f64::INFINITY, x1: f64::NEG_INFINITY, y1: f64::NEG_INFINITY };

    /// Whether the insides of both meet.
    #[inline(always)]
    pub fn meets(&self, other: &Bounds) -> bool {
        // `&`, not `&&`: four comparisons without a branch are cheaper than one mispredicted.
        (self.x0 < other.x1) & (other.x0 < self.x1) & (self.y0 < other.y1) & (other.y0 < self.y1)
    }

    /// Whether both meet when they count as `margin` wider and higher, as boxes of whole pixels do.
    #[inline]
    pub(crate) fn meets_by(&self, other: &Bounds, margin: f64) -> bool {
        let width = self.x1.min(other.x1) - self.x0.max(other.x0) + margin;
        let height = self.y1.min(other.y1) - self.y0.max(other.y0) + margin;
        width > 0.0 && height > 0.0
    }
}

/// A box made ready for many intersections.
pub trait Shape: Send + Sync + Sized {
    /// The numbers that describe one box: `[f64; 5]` or `[f64; 8]`.
    type Raw: Copy + Sync;

    /// Prepares a box. One with a size that is not positive or a number that is not finite has area 0.
    fn new(raw: &Self::Raw) -> Self;
    /// The box around the shape.
    fn bounds(&self) -> &Bounds;
    /// The area, 0 where the shape is degenerate.
    fn area(&self) -> f64;
    /// An order of shapes that does not depend on which of two comes first.
    fn order(&self, other: &Self) -> Ordering;
    /// The signed area of `self` within `window`, the smaller of the two.
    fn area_within(&self, window: &Self) -> f64;

    /// The area common to both: 0 ≤ area ≤ the smaller one; the same for (a, b) and (b, a).
    #[inline(always)]
    fn intersection(&self, other: &Self) -> f64 {
        if !self.bounds().meets(other.bounds()) {
            return 0.0;
        }
        // The smaller one is the window: coordinates relative to it keep their digits.
        let area = match self.area().partial_cmp(&other.area()) {
            Some(Ordering::Less) => other.area_within(self),
            Some(Ordering::Greater) => self.area_within(other),
            _ if self.order(other) == Ordering::Less => other.area_within(self),
            _ => self.area_within(other),
        };
        let smaller = if self.area() < other.area() { self.area() } else { other.area() };
        if area > smaller {
            smaller
        } else if area > NEGLIGIBLE * smaller {
            area
        } else {
            0.0 // rounding, or NaN where the numbers overflow
        }
    }

    /// IoU or IoF, between 0 and 1, never NaN; 0 where either has no area.
    #[inline(always)]
    fn overlap(&self, other: &Self, mode: Mode) -> f64 {
        let area = self.intersection(other);
        if area == 0.0 {
            return 0.0;
        }
        let whole = match mode {
            Mode::Iou => self.area() + other.area() - area,
            Mode::Iof => self.area(),
        };
        (area / whole).min(1.0)
    }
}

#[inline(always)]
fn clamp(v: f64, low: f64, high: f64) -> f64 {
    // Compiles to two instructions; `f64::clamp` also checks for NaN.
    let v = if v < low { low } else { v };
    if v > high { high } else { v }
}

/// A rotated box ready for intersections.
#[derive(Clone, Copy, Debug)]
pub struct RotatedBox {
    raw: RBox,
    sin: f64,
    cos: f64,
    area: f64,
    bounds: Bounds,
}

impl Shape for RotatedBox {
    type Raw = RBox;

    fn new(raw: &RBox) -> Self {
        let [cx, cy, w, h, angle] = *raw;
        let area = w * h;
        let ok = raw.iter().all(|v| v.is_finite()) && w > 0.0 && h > 0.0 && area > 0.0 && area.is_finite();
        if !ok {
            return RotatedBox { raw: *raw, sin: 0.0, cos: 1.0, area: 0.0, bounds: Bounds::EMPTY };
        }
        let (sin, cos) = angle.sin_cos();
        let dx = 0.5 * (w * cos.abs() + h * sin.abs());
        let dy = 0.5 * (w * sin.abs() + h * cos.abs());
        let bounds = Bounds { x0: cx - dx, y0: cy - dy, x1: cx + dx, y1: cy + dy };
        RotatedBox { raw: *raw, sin, cos, area, bounds }
    }

    #[inline(always)]
    fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    #[inline(always)]
    fn area(&self) -> f64 {
        self.area
    }

    fn order(&self, other: &Self) -> Ordering {
        lexicographic(&self.raw, &other.raw)
    }

    #[inline(always)]
    fn area_within(&self, window: &Self) -> f64 {
        let (dx, dy) = (self.raw[0] - window.raw[0], self.raw[1] - window.raw[1]);
        // Everything below is in the window's frame: centre at the origin, sides along the axes.
        let (cx, cy) = (dx * window.cos + dy * window.sin, dy * window.cos - dx * window.sin);
        let cos = self.cos * window.cos + self.sin * window.sin;
        let sin = self.sin * window.cos - self.cos * window.sin;
        let (wx, wy) = (0.5 * self.raw[2] * cos, 0.5 * self.raw[2] * sin);
        let (hx, hy) = (-0.5 * self.raw[3] * sin, 0.5 * self.raw[3] * cos);
        let (xmax, ymax) = (0.5 * window.raw[2], 0.5 * window.raw[3]);
        let x = [cx + wx + hx, cx - wx + hx, cx - wx - hx, cx + wx - hx];
        let y = [cy + wy + hy, cy - wy + hy, cy - wy - hy, cy + wy - hy];
        // dx/dy of the edges; one along x sweeps no y and adds nothing, whatever stands here.
        let (slope_w, slope_h) = (wx / wy, hx / hy);
        let slope = [slope_w, slope_h, slope_w, slope_h];
        let mut sum = [0.0; 4];
        for i in 0..4 {
            let j = (i + 1) % 4;
            // The part of the edge within the window's rows, from (xa, ya) to (xb, yb).
            let (ya, yb) = (clamp(y[i], -ymax, ymax), clamp(y[j], -ymax, ymax));
            let (xa, xb) = (x[i] + (ya - y[i]) * slope[i], x[j] + (yb - y[j]) * slope[i]);
            // The mean of clamp(x) along it: (ma + mb) / 2, less what lies beyond the window at either end.
            let (ma, mb) = (clamp(xa, -xmax, xmax), clamp(xb, -xmax, xmax));
            let inside = if xa == xb { 0.0 } else { (mb - ma) / (xb - xa) };
            let mean = (ma + mb) - inside * ((ma - xa) - (xb - mb));
            sum[i] = if ya == yb { 0.0 } else { mean * (yb - ya) };
        }
        0.5 * ((sum[0] + sum[2]) + (sum[1] + sum[3]))
    }
}

/// A quad ready for intersections.
#[derive(Clone, Copy, Debug)]
pub struct QuadShape {
    raw: Quad,
    /// Positive where the corners turn clockwise on the screen.
    signed_area: f64,
    bounds: Bounds,
}

impl Shape for QuadShape {
    type Raw = Quad;

    fn new(raw: &Quad) -> Self {
        let signed_area = geom::signed_area(raw);
        if !raw.iter().all(|v| v.is_finite()) || signed_area == 0.0 || !signed_area.is_finite() {
            return QuadShape { raw: *raw, signed_area: 0.0, bounds: Bounds::EMPTY };
        }
        QuadShape { raw: *raw, signed_area, bounds: quad_bounds(raw) }
    }

    #[inline(always)]
    fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    #[inline(always)]
    fn area(&self) -> f64 {
        self.signed_area.abs()
    }

    fn order(&self, other: &Self) -> Ordering {
        lexicographic(&self.raw, &other.raw)
    }

    /// The window is split along a diagonal into two triangles, each counted with the sign of its turn: the
    /// same winding numbers, whatever the quad's shape.
    #[inline(always)]
    fn area_within(&self, window: &Self) -> f64 {
        let [x0, y0, x1, y1, x2, y2, x3, y3] = window.raw;
        let (bx, by) = (x2 - x0, y2 - y0);
        let mut u = [0.0; 4];
        let mut v = [0.0; 4];
        let mut total = 0.0;
        for (ax, ay, turn) in [(x1 - x0, y1 - y0, 1.0), (x3 - x0, y3 - y0, -1.0)] {
            let det = ax * by - ay * bx;
            if det == 0.0 {
                continue;
            }
            // Corner 0 of the window goes to (0, 0), corner 2 to (0, 1), the third one to (1, 0).
            let scale = 1.0 / det;
            for i in 0..4 {
                let (dx, dy) = (self.raw[2 * i] - x0, self.raw[2 * i + 1] - y0);
                u[i] = (dx * by - dy * bx) * scale;
                v[i] = (ax * dy - ay * dx) * scale;
            }
            // det is the map's scale; its sign, that of the triangle's turn, appears twice and cancels.
            total += turn * det.abs() * within_unit_triangle(&u, &v);
        }
        if (self.signed_area < 0.0) != (window.signed_area < 0.0) { -total } else { total }
    }
}

/// ∫ winding number over the triangle (0, 0), (1, 0), (0, 1) of the quad with corners `u`, `v`.
#[inline(always)]
fn within_unit_triangle(u: &[f64; 4], v: &[f64; 4]) -> f64 {
    let relu = |x: f64| if x > 0.0 { x } else { 0.0 };
    // Twice the mean of max(0, x) for x going evenly from a to b.
    let mean = |a: f64, b: f64| {
        let (pa, pb) = (relu(a), relu(b));
        let inside = if a == b { 1.0 } else { (pb - pa) / (b - a) };
        (pa + pb) * inside
    };
    let mut sum = [0.0; 4];
    for i in 0..4 {
        let j = (i + 1) % 4;
        let (va, vb) = (clamp(v[i], 0.0, 1.0), clamp(v[j], 0.0, 1.0));
        let slope = (u[j] - u[i]) / (v[j] - v[i]);
        let (ua, ub) = (u[i] + (va - v[i]) * slope, u[j] + (vb - v[j]) * slope);
        // clamp(u, 0, 1 − v) = max(0, u) − max(0, u + v − 1) for 0 ≤ v ≤ 1.
        let twice = mean(ua, ub) - mean(ua + va - 1.0, ub + vb - 1.0);
        sum[i] = if va == vb { 0.0 } else { twice * (vb - va) };
    }
    0.5 * ((sum[0] + sum[2]) + (sum[1] + sum[3]))
}

/// The box around four finite corners.
pub(crate) fn quad_bounds(quad: &Quad) -> Bounds {
    let mut bounds = Bounds::EMPTY;
    for p in geom::corners(quad) {
        bounds.x0 = bounds.x0.min(p.x);
        bounds.x1 = bounds.x1.max(p.x);
        bounds.y0 = bounds.y0.min(p.y);
        bounds.y1 = bounds.y1.max(p.y);
    }
    bounds
}

fn lexicographic(a: &[f64], b: &[f64]) -> Ordering {
    a.iter().zip(b).map(|(x, y)| x.total_cmp(y)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

/// Prepares every box.
pub fn shapes<S: Shape>(boxes: &[S::Raw]) -> Vec<S> {
    boxes.iter().map(S::new).collect()
}

/// Fewer candidate pairs than this a thread are not worth starting one.
const PAIRS_A_THREAD: usize = 1 << 14;

/// The overlap of every box of `a` with every box of `b`, into `out` (`a.len()` rows of `b.len()`).
///
/// `out` must hold zeros: only pairs that meet are computed and written, so that a sparse scene costs
/// little more than finding them.
///
/// # Panics
/// If `out` is not of that size.
pub fn pairwise<S: Shape>(a: &[S::Raw], b: &[S::Raw], mode: Mode, jobs: usize, out: &mut [f64]) {
    assert_eq!(out.len(), a.len() * b.len(), "one number a pair");
    if out.is_empty() {
        return;
    }
    let columns = Columns::new(shapes::<S>(b));
    let rows_each = (PAIRS_A_THREAD / b.len()).clamp(1, a.len());
    let tasks = a.chunks(rows_each).zip(out.chunks_mut(rows_each * b.len()));
    threads::for_each(tasks, jobs, |(a, out)| dispatch(|| columns.fill(a, mode, out)));
}

/// The overlap of each box of `a` with the box of `b` at the same place, into `out`.
///
/// # Panics
/// If the lengths differ.
pub fn aligned<S: Shape>(a: &[S::Raw], b: &[S::Raw], mode: Mode, out: &mut [f64]) {
    assert!(a.len() == b.len() && a.len() == out.len(), "as many boxes as numbers");
    dispatch(|| {
        for ((a, b), out) in a.iter().zip(b).zip(out) {
            *out = S::new(a).overlap(&S::new(b), mode);
        }
    });
}

/// The second set of boxes, sorted along x so that those which may meet a box stand together.
struct Columns<S> {
    shapes: Vec<S>,
    /// Where each sorted box stands in the input.
    column: Vec<u32>,
    /// The greatest right side of this box and all before it.
    reach: Vec<f64>,
}

impl<S: Shape> Columns<S> {
    fn new(shapes: Vec<S>) -> Self {
        let mut column: Vec<u32> = (0..shapes.len() as u32).collect();
        column.sort_unstable_by(|&i, &j| shapes[i as usize].bounds().x0.total_cmp(&shapes[j as usize].bounds().x0));
        let mut shapes: Vec<_> = shapes.into_iter().map(Some).collect();
        let shapes: Vec<S> = column.iter().filter_map(|&i| shapes[i as usize].take()).collect();
        let mut reach = Vec::with_capacity(shapes.len());
        let mut far = f64::NEG_INFINITY;
        for shape in &shapes {
            far = far.max(shape.bounds().x1);
            reach.push(far);
        }
        Columns { shapes, column, reach }
    }

    #[inline(always)]
    fn fill(&self, rows: &[S::Raw], mode: Mode, out: &mut [f64]) {
        for (row, out) in rows.iter().zip(out.chunks_mut(self.shapes.len())) {
            let a = S::new(row);
            let bounds = a.bounds();
            let first = self.reach.partition_point(|&x1| x1 <= bounds.x0);
            let last = self.shapes.partition_point(|b| b.bounds().x0 < bounds.x1);
            for i in first..last.max(first) {
                let b = &self.shapes[i];
                if bounds.meets(b.bounds()) {
                    out[self.column[i] as usize] = a.overlap(b, mode);
                }
            }
        }
    }
}

/// Runs `f` compiled for AVX2 where the processor has it. The results are the same to the bit: no fused
/// multiply-add is used, only wider registers.
#[inline(always)]
pub(crate) fn dispatch<R>(f: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn avx2<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has just been found to have the feature.
            return unsafe { avx2(f) };
        }
    }
    f()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geom::rbox_to_quad;
    use std::f64::consts::PI;

    fn iou(a: RBox, b: RBox) -> f64 {
        RotatedBox::new(&a).overlap(&RotatedBox::new(&b), Mode::Iou)
    }

    fn iou_quad(a: Quad, b: Quad) -> f64 {
        QuadShape::new(&a).overlap(&QuadShape::new(&b), Mode::Iou)
    }

    #[test]
    fn known_areas() {
        let unit = [0.0, 0.0, 2.0, 2.0, 0.0];
        let octagon = 8.0 * (2f64.sqrt() - 1.0); // a square of side 2 with itself turned by 45 degrees
        for (b, area) in [
            ([1.0, 0.0, 2.0, 2.0, 0.0], 2.0),
            ([1.0, 1.0, 2.0, 2.0, 0.0], 1.0),
            ([2.0, 0.0, 2.0, 2.0, 0.0], 0.0), // touching
            ([0.0, 0.0, 2.0, 2.0, PI / 4.0], octagon),
            ([0.0, 0.0, 1.0, 1.0, 0.3], 1.0), // nested
            ([0.0, 0.0, 9.0, 1.0, 0.0], 2.0), // a cross
        ] {
            let want = area / (4.0 + b[2] * b[3] - area);
            assert!((iou(unit, b) - want).abs() < 1e-14, "{b:?}: {} not {want}", iou(unit, b));
            let quads = iou_quad(rbox_to_quad(&unit), rbox_to_quad(&b));
            assert!((quads - want).abs() < 1e-14, "{b:?}: {quads} not {want}");
        }
    }

    #[test]
    fn winding_numbers_of_odd_quads() {
        let square = [0.0, 0.0, 4.0, 0.0, 4.0, 4.0, 0.0, 4.0];
        let arrow = [0.0, 0.0, 4.0, 0.0, 1.0, 1.0, 0.0, 4.0]; // non-convex, area 4
        assert!((iou_quad(square, arrow) - 4.0 / 16.0).abs() < 1e-15);
        assert_eq!(iou_quad(arrow, arrow), 1.0);
        // A bow tie of lobes +4 and -1: within the square its signed sum is 3.
        let bowtie = [0.0, 0.0, 4.0, 2.0, 4.0, 0.0, 0.0, 4.0];
        let shape = QuadShape::new(&bowtie);
        assert!((QuadShape::new(&square).intersection(&shape) - shape.area()).abs() < 1e-14);
        assert_eq!(iou_quad(bowtie, bowtie), 1.0);
    }

    #[test]
    fn degenerate_boxes_meet_nothing() {
        let good = [5.0, 5.0, 10.0, 10.0, 0.1];
        for (i, v) in [(2, 0.0), (3, -1.0), (0, f64::NAN), (4, f64::INFINITY), (2, f64::INFINITY), (2, 1e308)] {
            let mut bad = good;
            bad[i] = v;
            if v == 1e308 {
                bad[3] = 1e308;
            }
            assert_eq!((iou(good, bad), iou(bad, good), iou(bad, bad)), (0.0, 0.0, 0.0), "{bad:?}");
            // A negative height only makes the corners turn the other way.
            assert_eq!(iou_quad(rbox_to_quad(&good), rbox_to_quad(&bad)) == 0.0, i != 3);
        }
    }

    #[test]
    fn pairwise_is_every_pair() {
        let boxes: Vec<RBox> = (0..57)
            .map(|i| f64::from(i * 37 % 101))
            .map(|k| [k * 3.0 % 70.0, k * 7.0 % 50.0, 1.0 + k % 31.0, 1.0 + k % 13.0, k])
            .collect();
        for jobs in [1, 3] {
            let mut out = vec![0.0; 57 * 40];
            pairwise::<RotatedBox>(&boxes, &boxes[..40], Mode::Iof, jobs, &mut out);
            for (i, row) in out.chunks(40).enumerate() {
                for (j, &got) in row.iter().enumerate() {
                    let want = RotatedBox::new(&boxes[i]).overlap(&RotatedBox::new(&boxes[j]), Mode::Iof);
                    assert_eq!(got, want);
                }
            }
        }
        pairwise::<RotatedBox>(&boxes, &[], Mode::Iou, 0, &mut []);
    }
}
