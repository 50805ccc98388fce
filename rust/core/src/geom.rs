//! Points, rotated boxes and quads: corners, areas, hull, minimum-area rectangle, convex clip.

use std::cmp::Ordering;
use std::f64::consts::{FRAC_PI_2, PI};

/// A rotated box `cx, cy, w, h, angle`; the angle in radians, clockwise positive with y down.
pub type RBox = [f64; 5];
/// Four corners `x1, y1, x2, y2, x3, y3, x4, y4` in either orientation; may be non-convex or self-intersecting.
pub type Quad = [f64; 8];

/// Point in the image plane: x to the right, y down.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Coordinate to the right.
    pub x: f64,
    /// Coordinate down.
    pub y: f64,
}

impl Point {
    /// Whether both coordinates are finite.
    pub fn is_finite(self) -> bool {
        self.x.is_finite() && self.y.is_finite()
    }
}

/// Twice the signed area of the triangle `o, a, b`; positive if clockwise on the screen.
#[inline(always)]
pub fn cross(o: Point, a: Point, b: Point) -> f64 {
    (a.x - o.x) * (b.y - o.y) - (a.y - o.y) * (b.x - o.x)
}

/// The points of a row `x1, y1, ..., xk, yk`.
pub fn points(row: &[f64]) -> Vec<Point> {
    row.as_chunks().0.iter().map(|&[x, y]| Point { x, y }).collect()
}

/// The four corners of a quad.
#[inline(always)]
pub fn corners(quad: &Quad) -> [Point; 4] {
    let [x1, y1, x2, y2, x3, y3, x4, y4] = *quad;
    [Point { x: x1, y: y1 }, Point { x: x2, y: y2 }, Point { x: x3, y: y3 }, Point { x: x4, y: y4 }]
}

/// The corners of a horizontal box `xmin, ymin, xmax, ymax`, clockwise from the top left.
pub fn hbox_to_quad([x0, y0, x1, y1]: [f64; 4]) -> Quad {
    [x0, y0, x1, y0, x1, y1, x0, y1]
}

/// The corners of a rotated box: centre ± w/2·(cos a, sin a) ± h/2·(−sin a, cos a).
///
/// Clockwise on the screen, from the corner that is top left at angle 0.
pub fn rbox_to_quad(rbox: &RBox) -> Quad {
    let [cx, cy, w, h, angle] = *rbox;
    let (sin, cos) = angle.sin_cos();
    let (ux, uy) = (0.5 * w * cos, 0.5 * w * sin);
    let (vx, vy) = (-0.5 * h * sin, 0.5 * h * cos);
    [cx - ux - vx, cy - uy - vy, cx + ux - vx, cy + uy - vy, cx + ux + vx, cy + uy + vy, cx - ux + vx, cy - uy + vy]
}

/// Signed area of a quad (shoelace formula); positive if clockwise on the screen.
///
/// The area of a self-intersecting quad is the signed sum of its lobes, as in the DOTA devkit.
#[inline(always)]
pub fn signed_area(quad: &Quad) -> f64 {
    // Cross product of the diagonals: taking differences first avoids cancellation of large coordinates.
    let [p, q, r, s] = corners(quad);
    0.5 * ((r.x - p.x) * (s.y - q.y) - (r.y - p.y) * (s.x - q.x))
}

/// Whether a quad is strictly convex: all four corners turn the same way.
#[inline]
pub fn is_convex(quad: &Quad) -> bool {
    let [p, q, r, s] = corners(quad);
    let turns = [cross(p, q, r), cross(q, r, s), cross(r, s, p), cross(s, p, q)];
    turns.iter().all(|&t| t > 0.0) || turns.iter().all(|&t| t < 0.0)
}

/// Whether a point lies in a quad of finite numbers, border included; a self-intersecting quad contains the points
/// with a nonzero winding number.
pub fn point_in_quad(point: Point, quad: &Quad) -> bool {
    let corners = corners(quad);
    let mut winding = 0;
    for i in 0..4 {
        let (a, b) = (corners[i], corners[(i + 1) % 4]);
        let side = cross(a, b, point);
        let within = |p: f64, a: f64, b: f64| (a.min(b)..=a.max(b)).contains(&p);
        if side == 0.0 && within(point.x, a.x, b.x) && within(point.y, a.y, b.y) {
            return true;
        }
        if a.y <= point.y && b.y > point.y && side > 0.0 {
            winding += 1;
        } else if b.y <= point.y && a.y > point.y && side < 0.0 {
            winding -= 1;
        }
    }
    winding != 0
}

/// The convex hull of finite points, clockwise on the screen, without collinear or repeated points.
/// Points that are not finite are left out.
pub fn convex_hull(points: &[Point]) -> Vec<Point> {
    hull(points.iter().copied().filter(|p| p.is_finite()).collect(), |&p| p)
}

/// Indices of the corners of [`convex_hull`], in its order, from the leftmost; the first of equal points.
pub fn hull_indices(points: &[Point]) -> Vec<usize> {
    hull((0..points.len()).filter(|&i| points[i].is_finite()).collect(), |&i| points[i])
}

/// Corners of the convex hull of items located `at` finite points (Andrew's monotone chain).
#[inline(always)]
fn hull<T: Copy>(mut things: Vec<T>, at: impl Fn(&T) -> Point) -> Vec<T> {
    let place = |thing: &T| (at(thing).x, at(thing).y);
    things.sort_by(|a, b| place(a).partial_cmp(&place(b)).unwrap_or(Ordering::Equal));
    things.dedup_by(|a, b| at(a) == at(b));
    if things.len() < 3 {
        return things;
    }
    let mut hull: Vec<T> = Vec::with_capacity(things.len() + 1);
    let mut chain = |order: &mut dyn Iterator<Item = &T>| {
        let start = hull.len();
        for &thing in order {
            while let [.., a, b] = &hull[start..]
                && cross(at(a), at(b), at(&thing)) <= 0.0
            {
                hull.pop();
            }
            hull.push(thing);
        }
        hull.pop(); // the first point of the other chain
    };
    chain(&mut things.iter());
    chain(&mut things.iter().rev());
    hull
}

/// Minimum-area rectangle around the points, as le90: w ≥ h, angle in [−π/2, π/2).
///
/// One of its sides lies on a side of the convex hull (Freeman and Shapira 1975). Without finite points it is NaN;
/// for collinear points h = 0.
pub fn min_area_rect(points: &[Point]) -> RBox {
    let hull = convex_hull(points);
    let Some(&origin) = hull.first() else { return [f64::NAN; 5] };
    let mut best = [origin.x, origin.y, 0.0, 0.0, 0.0];
    let mut best_area = f64::INFINITY;
    for (i, &a) in hull.iter().enumerate() {
        let b = hull[(i + 1) % hull.len()];
        let length = (b.x - a.x).hypot(b.y - a.y);
        if length <= 0.0 {
            continue; // a hull of one point
        }
        let (cos, sin) = ((b.x - a.x) / length, (b.y - a.y) / length);
        let (mut u0, mut u1, mut v0, mut v1) = (0.0f64, 0.0f64, 0.0f64, 0.0f64);
        for p in &hull {
            let (dx, dy) = (p.x - a.x, p.y - a.y);
            let (u, v) = (dx * cos + dy * sin, dy * cos - dx * sin);
            (u0, u1, v0, v1) = (u0.min(u), u1.max(u), v0.min(v), v1.max(v));
        }
        let (w, h) = (u1 - u0, v1 - v0);
        if w * h < best_area {
            best_area = w * h;
            let (u, v) = (0.5 * (u0 + u1), 0.5 * (v0 + v1));
            best = [a.x + u * cos - v * sin, a.y + u * sin + v * cos, w, h, sin.atan2(cos)];
        }
    }
    to_le90(best)
}

/// The same rectangle with w ≥ h and the angle in [−π/2, π/2).
fn to_le90([cx, cy, w, h, angle]: RBox) -> RBox {
    let (w, h, angle) = if w < h { (h, w, angle + FRAC_PI_2) } else { (w, h, angle) };
    let angle = angle - PI * ((angle + FRAC_PI_2) / PI).floor();
    // The subtraction may round to or beyond either end of the range; both ends are the same direction.
    let angle = if (-FRAC_PI_2..FRAC_PI_2).contains(&angle) { angle } else { -FRAC_PI_2 };
    [cx, cy, w, h, angle]
}

/// Part of a convex polygon inside another (Sutherland and Hodgman 1974), in the orientation of `subject`.
///
/// `clip` may have either orientation. For areas use [`crate::iou`], which never decides on which side of a line a
/// point lies and is therefore exact for coinciding edges.
pub fn clip_convex(subject: &[Point], clip: &[Point]) -> Vec<Point> {
    let turn: f64 = (1..clip.len().saturating_sub(1)).map(|i| cross(clip[0], clip[i], clip[i + 1])).sum();
    let mut output = subject.to_vec();
    for (i, &a) in clip.iter().enumerate() {
        let b = clip[(i + 1) % clip.len()];
        let side = |p: Point| if turn < 0.0 { -cross(a, b, p) } else { cross(a, b, p) };
        let input = std::mem::take(&mut output);
        for (j, &p) in input.iter().enumerate() {
            let q = input[(j + 1) % input.len()];
            let (sp, sq) = (side(p), side(q));
            if sp >= 0.0 {
                output.push(p);
            }
            if (sp > 0.0 && sq < 0.0) || (sp < 0.0 && sq > 0.0) {
                let t = sp / (sp - sq);
                output.push(Point { x: p.x + t * (q.x - p.x), y: p.y + t * (q.y - p.y) });
            }
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQUARE: Quad = [0.0, 0.0, 2.0, 0.0, 2.0, 2.0, 0.0, 2.0];
    const BOWTIE: Quad = [0.0, 0.0, 2.0, 2.0, 2.0, 0.0, 0.0, 2.0];

    #[test]
    fn corners_turn_clockwise_from_the_top_left() {
        assert_eq!(rbox_to_quad(&[1.0, 1.0, 2.0, 2.0, 0.0]), SQUARE);
        let quad = rbox_to_quad(&[0.0, 0.0, 4.0, 2.0, FRAC_PI_2]);
        let want = [1.0, -2.0, 1.0, 2.0, -1.0, 2.0, -1.0, -2.0];
        assert!(quad.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-15), "{quad:?}");
        assert!(signed_area(&SQUARE) == 4.0 && signed_area(&BOWTIE) == 0.0);
    }

    #[test]
    fn convexity_is_strict() {
        assert!(is_convex(&SQUARE));
        assert!(!is_convex(&BOWTIE));
        assert!(!is_convex(&[0.0, 0.0, 1.0, 0.0, 2.0, 0.0, 0.0, 2.0]), "a corner of 180 degrees");
        assert!(!is_convex(&[0.0, 0.0, 4.0, 0.0, 1.0, 1.0, 0.0, 4.0]), "an arrow head");
    }

    #[test]
    fn points_on_the_border_are_inside() {
        let at = |x, y| point_in_quad(Point { x, y }, &SQUARE);
        assert!(at(1.0, 1.0) && at(0.0, 0.0) && at(2.0, 1.0) && at(1.0, 2.0));
        assert!(!at(2.0 + 1e-12, 1.0) && !at(-1.0, 0.0) && !at(3.0, 2.0) && !at(f64::NAN, 1.0));
        assert!(point_in_quad(Point { x: 0.2, y: 1.0 }, &BOWTIE));
        assert!(!point_in_quad(Point { x: 1.0, y: 0.2 }, &BOWTIE));
    }

    #[test]
    fn hull_and_rectangle_of_degenerate_points() {
        let p = |x, y| Point { x, y };
        assert!(convex_hull(&[]).is_empty());
        assert!(min_area_rect(&[]).iter().all(|v| v.is_nan()));
        assert_eq!(min_area_rect(&[p(3.0, 4.0)]), [3.0, 4.0, 0.0, 0.0, 0.0]);
        assert_eq!(convex_hull(&[p(0.0, 0.0), p(1.0, 1.0), p(2.0, 2.0)]).len(), 2);
        // Of points that repeat the first one; the two zeros are one number.
        let again = [p(2.0, 0.0), p(0.0, 3.0), p(0.0, 0.0), p(-0.0, 0.0), p(-0.0, 1.0), p(2.0, 0.0), p(0.0, 3.0)];
        assert_eq!(hull_indices(&again), [2, 0, 1]);
        let line = min_area_rect(&[p(0.0, 0.0), p(1.0, 1.0), p(2.0, 2.0), p(f64::NAN, 0.0)]);
        assert!((line[2] - 8f64.sqrt()).abs() < 1e-12 && line[3] == 0.0);
    }

    #[test]
    fn clip_of_two_squares() {
        let shifted = SQUARE.map(|v| v + 1.0);
        for clip in [corners(&shifted).to_vec(), corners(&shifted).into_iter().rev().collect()] {
            let hull = convex_hull(&clip_convex(&corners(&SQUARE), &clip));
            assert_eq!(hull.len(), 4);
            assert!(hull.iter().all(|p| (1.0..=2.0).contains(&p.x) && (1.0..=2.0).contains(&p.y)));
        }
        assert!(clip_convex(&corners(&SQUARE), &corners(&SQUARE.map(|v| v + 5.0))).is_empty());
    }
}
