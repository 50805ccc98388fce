//! Axis-aligned bounds of shapes.

use crate::geom::Point;

/// Axis-aligned bounds of a shape. Shapes without area have empty bounds, which intersect nothing.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub(crate) x0: f64,
    pub(crate) y0: f64,
    pub(crate) x1: f64,
    pub(crate) y1: f64,
}

impl Bounds {
    pub(crate) const EMPTY: Bounds =
        Bounds { x0: f64::INFINITY, y0: f64::INFINITY, x1: f64::NEG_INFINITY, y1: f64::NEG_INFINITY };

    /// Bounds of finite points.
    #[inline]
    pub(crate) fn around(points: &[Point]) -> Bounds {
        let mut bounds = Bounds::EMPTY;
        for p in points {
            bounds.x0 = bounds.x0.min(p.x);
            bounds.x1 = bounds.x1.max(p.x);
            bounds.y0 = bounds.y0.min(p.y);
            bounds.y1 = bounds.y1.max(p.y);
        }
        bounds
    }

    /// Whether the interiors intersect.
    #[inline(always)]
    pub fn meets(&self, other: &Bounds) -> bool {
        // `&`, not `&&`: four comparisons without a branch are cheaper than one mispredicted.
        (self.x0 < other.x1) & (other.x0 < self.x1) & (self.y0 < other.y1) & (other.y0 < self.y1)
    }

    /// Whether the bounds intersect if both are `margin` wider and higher, as boxes of whole pixels are.
    #[inline]
    pub(crate) fn meets_by(&self, other: &Bounds, margin: f64) -> bool {
        let width = self.x1.min(other.x1) - self.x0.max(other.x0) + margin;
        let height = self.y1.min(other.y1) - self.y0.max(other.y0) + margin;
        width > 0.0 && height > 0.0
    }
}
