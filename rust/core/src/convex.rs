//! Convex hulls of point sets and quads: overlap, generalized IoU (GIoU) and its gradient.
//!
//! A row `x1, y1, ..., xk, yk` represents the convex hull of its points.

use std::cmp::Ordering;

use crate::bounds::Bounds;
use crate::geom::{self, Point};
use crate::iou::{QuadShape, Shape};

/// A GIoU closer to 1 than this is taken for 1: the hulls are equal.
const ROUNDING: f64 = 1e-12;

/// The convex hull of a row of points, ready for intersections.
///
/// The hull of a row with a number that is not finite is empty: its area is 0.
#[derive(Clone, Debug)]
pub struct Hull<'a> {
    raw: &'a [f64],
    /// Adjacent convex quads that make up the hull, clockwise on the screen.
    parts: Vec<QuadShape>,
    area: f64,
    bounds: Bounds,
}

impl<'a> Shape for Hull<'a> {
    type Raw = &'a [f64];

    fn new(raw: &&'a [f64]) -> Self {
        let points = geom::points(raw);
        let corners = if points.iter().all(|p| p.is_finite()) { geom::convex_hull(&points) } else { Vec::new() };
        let parts: Vec<QuadShape> = fan(&corners).map(|quad| QuadShape::new(&quad)).collect();
        let area: f64 = parts.iter().map(Shape::area).sum();
        let ok = area > 0.0 && area.is_finite();
        let bounds = if ok { Bounds::around(&corners) } else { Bounds::EMPTY };
        Hull { raw, parts, area: if ok { area } else { 0.0 }, bounds }
    }

    fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    fn area(&self) -> f64 {
        self.area
    }

    fn convex(&self) -> bool {
        true
    }

    fn order(&self, other: &Self) -> Ordering {
        self.raw.partial_cmp(other.raw).unwrap_or(Ordering::Equal)
    }

    #[inline(always)]
    fn area_within(&self, window: &Self) -> f64 {
        let pairs = self.parts.iter().flat_map(|part| window.parts.iter().map(move |other| (part, other)));
        pairs.map(|(part, other)| part.intersection(other)).sum()
    }
}

/// Cuts a convex polygon into quads that share its first corner; the last one may be a triangle.
fn fan(corners: &[Point]) -> impl Iterator<Item = geom::Quad> {
    (1..corners.len().saturating_sub(1)).step_by(2).map(|i| {
        let (a, b, c) = (corners[0], corners[i], corners[i + 1]);
        let d = corners.get(i + 2).copied().unwrap_or(a);
        [a.x, a.y, b.x, b.y, c.x, c.y, d.x, d.y]
    })
}

/// GIoU, in [−1, 1]: the IoU minus the share of the common hull that neither covers (Rezatofighi et al. 2019).
///
/// Both arguments are rows of points. The result is 0 if the common hull has no area, NaN if a number is not
/// finite.
pub fn giou(a: &[f64], b: &[f64]) -> f64 {
    Pair::new(a, b).giou()
}

/// Writes the gradient of [`giou`] with respect to the points of `a` to `gradient`.
///
/// At a kink of the function, this is a one-sided derivative; at its maximum, 1, it is 0.
///
/// # Panics
/// If `gradient` and `a` differ in length.
pub fn giou_gradient(a: &[f64], b: &[f64], gradient: &mut [f64]) {
    assert_eq!(gradient.len(), a.len(), "one number per coordinate");
    let pair = Pair::new(a, b);
    let giou = pair.giou();
    gradient.fill(if giou.is_nan() { f64::NAN } else { 0.0 });
    if giou.is_nan() || giou > 1.0 - ROUNDING {
        return;
    }
    let Pair { all, count, hull_a, hull_b, around, common, union, whole } = &pair;
    // giou = common / union − 1 + union / whole, and union = area of a + area of b − common.
    let of_union = if *union > 0.0 { 1.0 / whole - common / (union * union) } else { 0.0 };
    let of_common = if *union > 0.0 { 1.0 / union } else { 0.0 } - of_union;
    let of_whole = if *whole > 0.0 { -union / (whole * whole) } else { 0.0 };
    let mut add = |i: usize, factor: f64, normal: Point| {
        if i < *count && factor != 0.0 {
            gradient[2 * i] += factor * normal.x;
            gradient[2 * i + 1] += factor * normal.y;
        }
    };
    // An area grows by what its border sweeps: along each edge, the outward normal times the displacement, which is
    // interpolated linearly between the ends.
    for (hull, factor) in [(hull_a, of_union), (around, of_whole)] {
        for (i, j) in edges(hull) {
            let normal = outwards(all[i], all[j]);
            add(i, 0.5 * factor, normal);
            add(j, 0.5 * factor, normal);
        }
    }
    // For the common area, only the part of a's border inside b counts.
    for (i, j) in edges(hull_a) {
        let (p, q) = (all[i], all[j]);
        let (from, to) = part_within(p, q, all, hull_b);
        if from < to {
            let end = 0.5 * (to * to - from * from);
            add(i, of_common * (to - from - end), outwards(p, q));
            add(j, of_common * end, outwards(p, q));
        }
    }
}

/// Two rows of points, their hulls as indices of corners, and the areas.
struct Pair {
    /// The points of both rows, relative to a corner of the second.
    all: Vec<Point>,
    /// Number of points of the first row.
    count: usize,
    hull_a: Vec<usize>,
    hull_b: Vec<usize>,
    around: Vec<usize>,
    common: f64,
    union: f64,
    whole: f64,
}

impl Pair {
    fn new(a: &[f64], b: &[f64]) -> Pair {
        let mut all = geom::points(a);
        let count = all.len();
        all.extend(geom::points(b));
        // Relative to a nearby point: products of large coordinates would cancel.
        let origin = all[count];
        for p in &mut all {
            *p = Point { x: p.x - origin.x, y: p.y - origin.y };
        }
        let hull_a = geom::hull_indices(&all[..count]);
        let hull_b: Vec<usize> = geom::hull_indices(&all[count..]).into_iter().map(|i| i + count).collect();
        let around = geom::hull_indices(&all);
        let area =
            |hull: &[usize]| 0.5 * edges(hull).map(|(i, j)| geom::cross(Point::default(), all[i], all[j])).sum::<f64>();
        let (first, second) = (Hull::new(&a), Hull::new(&b));
        let common = first.intersection(&second);
        let union = (first.area + second.area - common).max(0.0);
        // Rounding aside, the common hull is at least as large as either hull.
        let whole = area(&around).max(union);
        Pair { all, count, hull_a, hull_b, around, common, union, whole }
    }

    fn giou(&self) -> f64 {
        if !self.all.iter().all(|p| p.is_finite()) {
            return f64::NAN;
        }
        let iou = if self.union > 0.0 { (self.common / self.union).min(1.0) } else { 0.0 };
        let empty = if self.whole > 0.0 { 1.0 - self.union / self.whole } else { 0.0 };
        iou - empty
    }
}

/// Edges of a closed polygon, as indices of their ends.
fn edges(hull: &[usize]) -> impl Iterator<Item = (usize, usize)> {
    hull.iter().copied().zip(hull.iter().copied().cycle().skip(1))
}

/// Outward normal of an edge of a polygon, clockwise on the screen; it is as long as the edge.
fn outwards(p: Point, q: Point) -> Point {
    Point { x: q.y - p.y, y: p.x - q.x }
}

/// Interval within [0, 1] in which the segment from `p` to `q` lies in a convex polygon, border included; empty if
/// its start is not below its end (Cyrus and Beck 1978).
fn part_within(p: Point, q: Point, points: &[Point], hull: &[usize]) -> (f64, f64) {
    let (mut from, mut to) = (0.0f64, 1.0f64);
    if hull.len() < 3 {
        return (0.0, 0.0);
    }
    for (i, j) in edges(hull) {
        let (start, end) = (geom::cross(points[i], points[j], p), geom::cross(points[i], points[j], q));
        if start < 0.0 && end < 0.0 {
            return (0.0, 0.0);
        }
        let crossing = start / (start - end);
        if start < 0.0 {
            from = from.max(crossing);
        } else if end < 0.0 {
            to = to.min(crossing);
        }
    }
    (from, to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iou::Mode;

    const SQUARE: [f64; 8] = [0.0, 0.0, 2.0, 0.0, 2.0, 2.0, 0.0, 2.0];

    fn iou(a: &[f64], b: &[f64]) -> f64 {
        Hull::new(&a).overlap(&Hull::new(&b), Mode::Iou)
    }

    #[test]
    fn known_areas() {
        // A hexagon of area 6 with a point inside it, its points in no order.
        let hexagon = [3.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.5, 1.2, 2.0, 3.0, 0.0, 2.0, 2.0, 0.0];
        let shape = Hull::new(&&hexagon[..]);
        assert_eq!((shape.area(), shape.parts.len()), (6.0, 2));
        assert_eq!(iou(&hexagon, &hexagon), 1.0);
        assert!((iou(&SQUARE, &hexagon) - 3.5 / 6.5).abs() < 1e-15);
        assert!((iou(&hexagon, &SQUARE) - 3.5 / 6.5).abs() < 1e-15);
        // The hull around both is a hexagon of area 6.5.
        assert!((giou(&hexagon, &SQUARE) - 3.5 / 6.5).abs() < 1e-15);
        let far = SQUARE.map(|v| v + 8.0);
        assert!((giou(&SQUARE, &far) - (8.0 / 36.0 - 1.0)).abs() < 1e-15);
    }

    #[test]
    fn gradient_of_two_squares_side_by_side() {
        // Squares of side 2 at x = 0 and x = 3: the hull around both covers 10, they cover 8.
        let right = [3.0, 0.0, 5.0, 0.0, 5.0, 2.0, 3.0, 2.0];
        let mut gradient = [0.0; 8];
        giou_gradient(&SQUARE, &right, &mut gradient);
        // A move of the left edge to the left widens both; of the right edge to the right, the square alone.
        let (left_edge, right_edge) = (-2.0 / 10.0 + 2.0 * 8.0 / 100.0, 2.0 / 10.0);
        assert!((gradient[0] + gradient[6] - left_edge).abs() < 1e-15, "{gradient:?}");
        assert!((gradient[2] + gradient[4] - right_edge).abs() < 1e-15, "{gradient:?}");
    }

    #[test]
    fn odd_points() {
        let mut gradient = [1.0; 8];
        let dot = [1.0; 8];
        assert_eq!(giou(&dot, &dot), 0.0);
        giou_gradient(&dot, &dot, &mut gradient);
        assert_eq!(gradient, [0.0; 8]);
        assert_eq!(giou(&dot, &SQUARE), 0.0);
        giou_gradient(&SQUARE, &SQUARE, &mut gradient);
        assert_eq!((giou(&SQUARE, &SQUARE), gradient), (1.0, [0.0; 8]));
        let mut bad = SQUARE;
        bad[3] = f64::NAN;
        giou_gradient(&bad, &SQUARE, &mut gradient);
        assert!(giou(&bad, &SQUARE).is_nan() && gradient.iter().all(|v| v.is_nan()));
        assert_eq!(iou(&bad, &SQUARE), 0.0);
    }
}
