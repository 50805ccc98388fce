//! Intersection over union (IoU) and over the area of the first box (IoF) of rotated boxes and quads.
//!
//! No vertex is ever classified as inside or outside. One shape, the window, is mapped to an axis-aligned
//! box or to the unit triangle. By Green's theorem the area of the other shape within it is a sum over the
//! other's edges of ∫ clamp(x) dy, in closed form. Every step is continuous in the input, so coinciding and nearly
//! coinciding edges, which break clipping by predicates, need no special case.
//!
//! For quads, the sum weights every point by the product of the two winding numbers: the true area if both are
//! simple, and the signed sum of the DOTA devkit's polyiou if one intersects itself. IoU and IoF are this sum over
//! the union or the first area, clamped to [0, 1].

use std::cmp::Ordering;

use crate::along_x::AlongX;
use crate::bounds::Bounds;
use crate::geom::{self, Quad, RBox};
use crate::lanes::{F4, wide};
use crate::threads;

/// An intersection below this share of the smaller box is rounding and counts as 0.
const NEGLIGIBLE: f64 = 1e-12;

/// Divisor of the intersection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Area of the union.
    Iou,
    /// Area of the first box.
    Iof,
}

/// A box prepared for many intersections.
pub trait Shape: Send + Sync + Sized {
    /// The numbers that describe one box: `[f64; 5]` or `[f64; 8]`.
    type Raw: Copy + Sync;

    /// Prepares a box. Boxes with a size that is not positive, or a number that is not finite, have area 0.
    fn new(raw: &Self::Raw) -> Self;
    /// Bounds of the shape.
    fn bounds(&self) -> &Bounds;
    /// Area; 0 for degenerate shapes.
    fn area(&self) -> f64;
    /// Whether the shape is convex: its intersection with another convex shape is then at most its area.
    fn convex(&self) -> bool;
    /// Total order of shapes, independent of the order of the arguments.
    fn order(&self, other: &Self) -> Ordering;
    /// Signed area of `self` within `window`, the smaller of the two.
    fn area_within(&self, window: &Self) -> f64;

    /// Area of the intersection, never negative; equal for (a, b) and (b, a). Rounding aside, it exceeds the
    /// smaller area only if a quad intersects itself.
    #[inline(always)]
    fn intersection(&self, other: &Self) -> f64 {
        if !self.bounds().meets(other.bounds()) {
            return 0.0;
        }
        // The smaller one is the window: coordinates relative to it keep their precision.
        let area = match self.area().partial_cmp(&other.area()) {
            Some(Ordering::Less) => other.area_within(self),
            Some(Ordering::Greater) => self.area_within(other),
            _ if self.order(other) == Ordering::Less => other.area_within(self),
            _ => self.area_within(other),
        };
        let smaller = if self.area() < other.area() { self.area() } else { other.area() };
        // Anything less is rounding; NaN, from overflow, compares as less.
        if area > NEGLIGIBLE * smaller { area } else { 0.0 }
    }

    /// IoU or IoF in [0, 1], never NaN; 0 if either shape has no area.
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
        // For self-intersecting quads the union may come out negative.
        if area < whole { area / whole } else { 1.0 }
    }
}

/// A rotated box prepared for intersections.
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

    #[inline(always)]
    fn convex(&self) -> bool {
        true
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
        let x = F4([cx + wx + hx, cx - wx + hx, cx - wx - hx, cx + wx - hx]);
        let y = F4([cy + wy + hy, cy - wy + hy, cy - wy - hy, cy + wy - hy]);
        let (xmax, ymax) = (0.5 * window.raw[2], 0.5 * window.raw[3]);
        // dx/dy of the edges; opposite edges share theirs.
        let slope = F4([wx, hx, wx, hx]).over(F4([wy, hy, wy, hy]), 0.0);
        // The part of each edge within the window's rows, from (xa, ya) to (xb, yb).
        let ya = y.clamp(F4::all(-ymax), F4::all(ymax));
        let (xa, xb) = (x + (ya - y) * slope, x.next() + (ya - y).next() * slope);
        // Twice the mean of clamp(x) along it: ma + mb, minus the excess beyond the window at either end.
        let (ma, mb) = (xa.clamp(F4::all(-xmax), F4::all(xmax)), xb.clamp(F4::all(-xmax), F4::all(xmax)));
        let inside = (mb - ma).over(xb - xa, 0.0);
        let mean = (ma + mb) - inside * ((ma - xa) - (xb - mb));
        0.5 * (mean * (ya.next() - ya)).sum()
    }
}

/// A quad prepared for intersections.
#[derive(Clone, Copy, Debug)]
pub struct QuadShape {
    raw: Quad,
    /// Positive if the corners are clockwise on the screen.
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
        QuadShape { raw: *raw, signed_area, bounds: Bounds::around(&geom::corners(raw)) }
    }

    #[inline(always)]
    fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    #[inline(always)]
    fn area(&self) -> f64 {
        self.signed_area.abs()
    }

    #[inline(always)]
    fn convex(&self) -> bool {
        geom::is_convex(&self.raw)
    }

    fn order(&self, other: &Self) -> Ordering {
        lexicographic(&self.raw, &other.raw)
    }

    /// The window is split along a diagonal into two triangles, each with the sign of its orientation: their sum has
    /// the winding numbers of the quad, whatever its shape.
    #[inline(always)]
    fn area_within(&self, window: &Self) -> f64 {
        let [x0, y0, x1, y1, x2, y2, x3, y3] = window.raw;
        let (bx, by) = (x2 - x0, y2 - y0);
        let mut total = 0.0;
        let dx = F4([0, 2, 4, 6].map(|i| self.raw[i] - x0));
        let dy = F4([1, 3, 5, 7].map(|i| self.raw[i] - y0));
        for (ax, ay, turn) in [(x1 - x0, y1 - y0, 1.0), (x3 - x0, y3 - y0, -1.0)] {
            let det = ax * by - ay * bx;
            let scale = 1.0 / det;
            if !scale.is_finite() {
                continue; // a triangle without area
            }
            // Corner 0 of the window goes to (0, 0), corner 2 to (0, 1), the third one to (1, 0).
            let scale = F4::all(scale);
            let u = (dx * F4::all(by) - dy * F4::all(bx)) * scale;
            let v = (dy * F4::all(ax) - dx * F4::all(ay)) * scale;
            // det is the scale of the map; its sign, the triangle's orientation, appears twice and cancels.
            total += turn * det.abs() * within_unit_triangle(u, v);
        }
        if (self.signed_area < 0.0) != (window.signed_area < 0.0) { -total } else { total }
    }
}

/// Integral, over the triangle (0, 0), (1, 0), (0, 1), of the winding number of the quad with corners `u`, `v`.
#[inline(always)]
fn within_unit_triangle(u: F4, v: F4) -> f64 {
    let (zero, one) = (F4::all(0.0), F4::all(1.0));
    let slope = (u.next() - u).over(v.next() - v, 0.0);
    // The part of each edge with 0 ≤ v ≤ 1, from (ua, va) to (ub, vb).
    let va = v.clamp(zero, one);
    let (ua, ub) = (u + (va - v) * slope, u.next() + (va - v).next() * slope);
    // clamp(u, 0, 1 − v) = max(0, u) − max(0, u + v − 1); twice the mean of each along the edge.
    let twice = twice_mean_positive(ua, ub) - twice_mean_positive(ua + va - one, ub + va.next() - one);
    0.5 * (twice * (va.next() - va)).sum()
}

/// Twice the mean of max(0, x) for x going evenly from `a` to `b`: (b₊² − a₊²) / (b − a).
#[inline(always)]
fn twice_mean_positive(a: F4, b: F4) -> F4 {
    let (pa, pb) = (a.at_least(F4::all(0.0)), b.at_least(F4::all(0.0)));
    (pa + pb) * (pb - pa).over(b - a, 1.0)
}

fn lexicographic(a: &[f64], b: &[f64]) -> Ordering {
    a.iter().zip(b).map(|(x, y)| x.total_cmp(y)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

/// Smallest number of candidate pairs per thread that is worth a thread.
const PAIRS_A_THREAD: usize = 1 << 16;

/// Writes the overlap of every box of `a` with every box of `b` to `out` (`a.len()` rows of `b.len()`).
///
/// Only pairs whose bounds intersect are computed: a sparse scene costs little more than writing zeros.
///
/// # Panics
/// If `out` has another size.
pub fn pairwise<S: Shape>(a: &[S::Raw], b: &[S::Raw], mode: Mode, jobs: usize, out: &mut [f64]) {
    assert_eq!(out.len(), a.len() * b.len(), "one number per pair");
    if out.is_empty() {
        return;
    }
    let columns: Vec<S> = b.iter().map(S::new).collect();
    let mut along_x = AlongX::default();
    along_x.fill(columns.iter().map(Shape::bounds));
    let rows_each = (PAIRS_A_THREAD / b.len()).clamp(1, a.len());
    let tasks = a.chunks(rows_each).zip(out.chunks_mut(rows_each * b.len()));
    threads::for_each(tasks, jobs, |(a, out)| fill_rows(a, &columns, &along_x, mode, out));
}

wide! {
    fn fill_rows<S: Shape>(a: &[S::Raw], columns: &[S], along_x: &AlongX, mode: Mode, out: &mut [f64]) {
        let mut hits = Vec::new();
        out.fill(0.0);
        for (a, out) in a.iter().zip(out.chunks_mut(columns.len())) {
            let a = S::new(a);
            along_x.meeting(a.bounds(), &mut hits);
            for &j in &hits {
                out[j as usize] = a.overlap(&columns[j as usize], mode);
            }
        }
    }
}

wide! {
    /// Writes the overlap of each box of `a` with the box of `b` at the same index to `out`.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn aligned<S: Shape>(a: &[S::Raw], b: &[S::Raw], mode: Mode, out: &mut [f64]) {
        assert!(a.len() == b.len() && a.len() == out.len(), "as many boxes as numbers");
        for ((a, b), out) in a.iter().zip(b).zip(out) {
            *out = S::new(a).overlap(&S::new(b), mode);
        }
    }
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
