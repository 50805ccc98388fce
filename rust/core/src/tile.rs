//! Cuts images into windows and assigns objects to them, by the rules of MMRotate's `img_split.py`.

use crate::geom::{self, Point, Quad};

/// If no window has enough of the image, shares closer to the largest than this count as equal to it.
const SAME_SHARE: f64 = 0.01;

/// Rectangle of whole pixels, columns `x0..x1` and rows `y0..y1`. Windows may extend beyond the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// First column.
    pub x0: i64,
    /// First row.
    pub y0: i64,
    /// Column after the last.
    pub x1: i64,
    /// Row after the last.
    pub y1: i64,
}

/// Size of square windows and overlap of neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tiling {
    /// Side in pixels.
    pub size: i64,
    /// Overlap of two neighbours in pixels; less than `size`.
    pub gap: i64,
}

/// Windows of an image: for each tiling, column by column from the left, each from the top.
///
/// The last window of a row or column is moved back to end at the image border. Only windows with an area share of
/// image above `img_rate_thr` are kept; if there are none, those with the largest share.
///
/// # Panics
/// Unless every `size` is greater than its `gap`, and the `gap` is at least 0.
pub fn windows(width: i64, height: i64, tilings: &[Tiling], img_rate_thr: f64) -> Vec<Window> {
    let mut all = Vec::new();
    for tiling @ &Tiling { size, gap } in tilings {
        assert!(size > gap && gap >= 0, "size {size} must be greater than gap {gap}, and that no less than 0");
        for x0 in starts(width, tiling) {
            all.extend(starts(height, tiling).map(|y0| Window { x0, y0, x1: x0 + size, y1: y0 + size }));
        }
    }
    let shares: Vec<f64> = all.iter().map(|w| image_share(w, width, height)).collect();
    let most = shares.iter().copied().fold(0.0, f64::max);
    let enough = |share: f64| share > img_rate_thr || (most <= img_rate_thr && most - share < SAME_SHARE);
    all.into_iter().zip(shares).filter(|&(_, share)| enough(share)).map(|(window, _)| window).collect()
}

/// Number of windows before any is left out.
pub fn count(width: i64, height: i64, tilings: &[Tiling]) -> u64 {
    let of = |t: &Tiling| (along(width, t) as u64).saturating_mul(along(height, t) as u64);
    tilings.iter().map(of).fold(0, u64::saturating_add)
}

/// Number of windows along a side of the image.
fn along(length: i64, &Tiling { size, gap }: &Tiling) -> i64 {
    let step = size - gap;
    ((length - size).max(0) - 1).div_euclid(step) + 2
}

/// Starts of the windows along a side of the image.
fn starts(length: i64, tiling: &Tiling) -> impl Iterator<Item = i64> {
    let (step, last) = (tiling.size - tiling.gap, (length - tiling.size).max(0));
    (0..along(length, tiling)).map(move |i| (i * step).min(last))
}

/// Part of a window inside the image.
fn image_share(window: &Window, width: i64, height: i64) -> f64 {
    let area = (window.x1.min(width) - window.x0) * (window.y1.min(height) - window.y0);
    area as f64 / ((window.x1 - window.x0) * (window.y1 - window.y0)) as f64
}

/// An object assigned to a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Index of the window.
    pub window: u32,
    /// Index of the object.
    pub object: u32,
    /// Whether the object extends beyond the window.
    pub truncated: bool,
}

/// Objects of each window, in their order: those with at least `iof_thr` of their area, and more than 0, in it.
///
/// The area of a self-intersecting quad is that of its convex hull. Quads without area are in no window.
pub fn cut(quads: &[Quad], windows: &[Window], iof_thr: f64) -> Vec<Cut> {
    let mut found: Vec<Cut> = Vec::new();
    for (object, quad) in quads.iter().enumerate() {
        let outline = outline(quad);
        let area = signed_area(&outline);
        if area == 0.0 || !area.is_finite() {
            continue;
        }
        let (low, high) = bounds(&outline);
        for (window, w) in windows.iter().enumerate() {
            let (x0, y0, x1, y1) = (w.x0 as f64, w.y0 as f64, w.x1 as f64, w.y1 as f64);
            if low.x >= x1 || high.x <= x0 || low.y >= y1 || high.y <= y0 {
                continue;
            }
            let truncated = low.x < x0 || high.x > x1 || low.y < y0 || high.y > y1;
            let share = || signed_area(&within(&outline, [x0, y0, x1, y1])) / area;
            // An object that only touches a window is not in it, whatever the threshold.
            if !truncated || share() >= iof_thr.max(f64::MIN_POSITIVE) {
                found.push(Cut { window: window as u32, object: object as u32, truncated });
            }
        }
    }
    found.sort_unstable_by_key(|c| (c.window, c.object));
    found
}

/// Corners of a quad, or of its convex hull if two of its edges cross.
fn outline(quad: &Quad) -> Vec<Point> {
    let [p, q, r, s] = geom::corners(quad);
    if crosses(p, q, r, s) || crosses(q, r, s, p) { geom::convex_hull(&[p, q, r, s]) } else { vec![p, q, r, s] }
}

/// Whether the interiors of the edges `a`, `b` and `c`, `d` intersect.
fn crosses(a: Point, b: Point, c: Point, d: Point) -> bool {
    geom::cross(a, b, c) * geom::cross(a, b, d) < 0.0 && geom::cross(c, d, a) * geom::cross(c, d, b) < 0.0
}

/// Twice the signed area of a polygon, relative to its first corner, so that large coordinates keep their precision.
fn signed_area(polygon: &[Point]) -> f64 {
    let Some(&o) = polygon.first() else { return 0.0 };
    polygon.windows(2).map(|edge| geom::cross(o, edge[0], edge[1])).sum()
}

fn bounds(polygon: &[Point]) -> (Point, Point) {
    let mut low = Point { x: f64::INFINITY, y: f64::INFINITY };
    let mut high = Point { x: f64::NEG_INFINITY, y: f64::NEG_INFINITY };
    for p in polygon {
        low = Point { x: low.x.min(p.x), y: low.y.min(p.y) };
        high = Point { x: high.x.max(p.x), y: high.y.max(p.y) };
    }
    (low, high)
}

/// Part of a polygon in a horizontal rectangle `x0, y0, x1, y1` (Sutherland and Hodgman 1974).
///
/// If a non-convex polygon falls into pieces, edges of zero area along the rectangle join them.
fn within(polygon: &[Point], [x0, y0, x1, y1]: [f64; 4]) -> Vec<Point> {
    let left = keep(polygon, |p| p.x - x0);
    let right = keep(&left, |p| x1 - p.x);
    let below = keep(&right, |p| p.y - y0);
    keep(&below, |p| y1 - p.y)
}

/// Part of a polygon where the linear function `inside` is not negative.
fn keep(polygon: &[Point], inside: impl Fn(Point) -> f64) -> Vec<Point> {
    let mut kept = Vec::with_capacity(polygon.len() + 1);
    let mut previous = polygon.last().copied();
    for &here in polygon {
        if let Some(before) = previous {
            let (a, b) = (inside(before), inside(here));
            if (a < 0.0) != (b < 0.0) {
                let t = a / (a - b);
                kept.push(Point { x: before.x + t * (here.x - before.x), y: before.y + t * (here.y - before.y) });
            }
            if b >= 0.0 {
                kept.push(here);
            }
        }
        previous = Some(here);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQUARE: Quad = [10.0, 10.0, 20.0, 10.0, 20.0, 20.0, 10.0, 20.0];

    fn window(x0: i64, y0: i64, size: i64) -> Window {
        Window { x0, y0, x1: x0 + size, y1: y0 + size }
    }

    #[test]
    fn the_last_window_ends_where_the_image_ends() {
        let tiling = [Tiling { size: 100, gap: 20 }];
        let corners: Vec<_> = windows(250, 100, &tiling, 0.6).iter().map(|w| (w.x0, w.y0)).collect();
        assert_eq!(corners, [(0, 0), (80, 0), (150, 0)]);
        assert_eq!(windows(180, 100, &tiling, 0.6).len(), 2);
        assert_eq!(windows(100, 260, &tiling, 0.6), [0, 80, 160].map(|y| window(0, y, 100)));
        assert_eq!([(250, 100), (180, 100), (261, 1)].map(|(w, h)| count(w, h, &tiling)), [3, 2, 4]);
        assert_eq!(count(i64::MAX, i64::MAX, &[Tiling { size: 1, gap: 0 }; 2]), u64::MAX);
    }

    #[test]
    fn a_small_image_keeps_the_windows_that_hold_most_of_it() {
        let tilings = [Tiling { size: 100, gap: 20 }, Tiling { size: 50, gap: 10 }];
        assert_eq!(windows(20, 20, &tilings, 0.6), [window(0, 0, 50)]);
        assert_eq!(windows(90, 90, &tilings[..1], 0.6), [window(0, 0, 100)]);
    }

    #[test]
    fn half_an_object_is_enough_for_a_threshold_of_one_half() {
        let found = |x0, thr| cut(&[SQUARE], &[window(x0, 0, 100)], thr);
        assert_eq!(found(15, 0.5), [Cut { window: 0, object: 0, truncated: true }]);
        assert_eq!(found(15, 0.5000001), []);
        assert_eq!(found(10, 1.0), [Cut { window: 0, object: 0, truncated: false }]);
        assert_eq!(found(20, 0.0), []);
    }

    #[test]
    fn either_turn_and_crossed_corners_have_their_area() {
        let [x1, y1, x2, y2, x3, y3, x4, y4] = SQUARE;
        let backwards = [x4, y4, x3, y3, x2, y2, x1, y1];
        let crossed = [x1, y1, x3, y3, x2, y2, x4, y4];
        for quad in [backwards, crossed] {
            assert_eq!(cut(&[quad], &[window(15, 0, 100)], 0.5).len(), 1);
            assert_eq!(cut(&[quad], &[window(15, 15, 100)], 0.26).len(), 0);
        }
        let line = [1.0, 1.0, 5.0, 5.0, 9.0, 9.0, 5.0, 5.0];
        assert_eq!(cut(&[line, [f64::NAN; 8]], &[window(0, 0, 10)], 0.0), []);
    }
}
