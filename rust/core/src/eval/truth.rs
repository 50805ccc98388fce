//! Ground truth and detections of a dataset: the input of matching.

use crate::geom::Quad;

/// Ground truth, one entry per object.
#[derive(Clone, Copy)]
pub struct Truth<'a> {
    /// Corners.
    pub quads: &'a [Quad],
    /// Index of the image.
    pub image: &'a [u32],
    /// Index of the class.
    pub label: &'a [u32],
    /// Whether an object is ignored: it need not be found, and detections on it do not count.
    pub ignore: &'a [bool],
}

/// Detections, one entry each, in file order.
#[derive(Clone, Copy)]
pub struct Detections<'a> {
    /// Corners.
    pub quads: &'a [Quad],
    /// Index of the image.
    pub image: &'a [u32],
    /// Index of the class.
    pub label: &'a [u32],
    /// Score.
    pub scores: &'a [f64],
}
