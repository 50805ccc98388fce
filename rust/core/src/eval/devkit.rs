//! The arithmetic of the DOTA devkit's `polyiou`, operation by operation.
//!
//! The devkit sums, over all pairs of edges, the signed area common to the two triangles that the edges make
//! with the origin, cutting with an absolute tolerance of 1e-8. Where rounding decides, the devkit's own result
//! counts, so this module keeps its order of operations. Everything else uses [`crate::iou`], which is faster and
//! stays precise far from the origin.

use crate::geom::{Point, Quad, corners};

const EPS: f64 = 1e-8;
const ORIGIN: Point = Point { x: 0.0, y: 0.0 };

/// Sign of a number, −1, 0 or 1; 0 within the tolerance and for NaN.
fn sign(d: f64) -> i32 {
    i32::from(d > EPS) - i32::from(d < -EPS)
}

fn same(a: Point, b: Point) -> bool {
    sign(a.x - b.x) == 0 && sign(a.y - b.y) == 0
}

/// Like `geom::cross`, with the devkit's order of factors.
fn cross(o: Point, a: Point, b: Point) -> f64 {
    (a.x - o.x) * (b.y - o.y) - (b.x - o.x) * (a.y - o.y)
}

fn area(points: &[Point]) -> f64 {
    let mut sum = 0.0;
    for (i, p) in points.iter().enumerate() {
        let q = points[(i + 1) % points.len()];
        sum += p.x * q.y - p.y * q.x;
    }
    sum / 2.0
}

/// A small polygon on the stack, with scratch space for a cut.
///
/// A triangle cut three times has at most six corners; near the tolerance, repeated ones add a few.
#[derive(Default)]
struct Polygon {
    points: [Point; 32],
    len: usize,
    /// Survives a cut: a crossing that the tolerance leaves undefined keeps its previous value.
    scratch: [Point; 32],
}

impl Polygon {
    /// Keeps the part left of the line from `a` to `b`.
    fn cut(&mut self, a: Point, b: Point) {
        let mut m = 0;
        for i in 0..self.len {
            let (p, q) = (self.points[i], self.points[(i + 1) % self.len]);
            let (sp, sq) = (cross(a, b, p), cross(a, b, q));
            if sign(sp) > 0 {
                self.scratch[m] = p;
                m += 1;
            }
            if sign(sp) != sign(sq) {
                if sign(sq - sp) != 0 {
                    self.scratch[m] =
                        Point { x: (p.x * sq - q.x * sp) / (sq - sp), y: (p.y * sq - q.y * sp) / (sq - sp) };
                }
                m += 1;
            }
        }
        self.len = 0;
        for i in 0..m {
            if i == 0 || !same(self.scratch[i], self.scratch[i - 1]) {
                self.points[self.len] = self.scratch[i];
                self.len += 1;
            }
        }
        while self.len > 1 && same(self.points[self.len - 1], self.points[0]) {
            self.len -= 1;
        }
    }
}

/// Signed area of the intersection of the triangles origin, `a`, `b` and origin, `c`, `d`.
fn common_area(mut a: Point, mut b: Point, mut c: Point, mut d: Point) -> f64 {
    let (s1, s2) = (sign(cross(ORIGIN, a, b)), sign(cross(ORIGIN, c, d)));
    if s1 == 0 || s2 == 0 {
        return 0.0;
    }
    if s1 < 0 {
        (a, b) = (b, a);
    }
    if s2 < 0 {
        (c, d) = (d, c);
    }
    let mut polygon = Polygon { len: 3, ..Polygon::default() };
    polygon.points[..3].copy_from_slice(&[ORIGIN, a, b]);
    polygon.cut(ORIGIN, c);
    polygon.cut(c, d);
    polygon.cut(d, ORIGIN);
    let area = area(&polygon.points[..polygon.len]).abs();
    if s1 * s2 < 0 { -area } else { area }
}

/// Corners in the order that makes the shoelace sum nonnegative.
fn turned(quad: &Quad) -> [Point; 4] {
    let mut points = corners(quad);
    if area(&points) < 0.0 {
        points.reverse();
    }
    points
}

/// `polyiou.iou_poly(truth, detection)`: may be NaN, negative or above 1 for self-intersecting quads.
pub fn iou(truth: &Quad, detection: &Quad) -> f64 {
    let (p, q) = (turned(truth), turned(detection));
    let mut intersection = 0.0;
    for i in 0..4 {
        for j in 0..4 {
            intersection += common_area(p[i], p[(i + 1) % 4], q[j], q[(j + 1) % 4]);
        }
    }
    let union = area(&p).abs() + area(&q).abs() - intersection;
    intersection / union
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_on_integers_are_exact() {
        let a = [0.0, 0.0, 4.0, 0.0, 4.0, 4.0, 0.0, 4.0];
        let b = [0.0, 0.0, 4.0, 0.0, 4.0, 2.0, 0.0, 2.0];
        assert_eq!(iou(&a, &b), 0.5);
        assert_eq!(iou(&b, &[0.0, 2.0, 4.0, 2.0, 4.0, 0.0, 0.0, 0.0]), 1.0);
    }

    #[test]
    fn degenerate_quads_do_not_panic() {
        let point = [3.0; 8];
        assert!(iou(&point, &point).is_nan());
        assert!(iou(&[f64::NAN; 8], &[1e300; 8]).is_nan());
    }
}
