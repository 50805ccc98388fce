//! What is matched: the ground truth and the detections of a data set.

use crate::geom::Quad;

/// The ground truth, one entry an object.
#[derive(Clone, Copy)]
pub struct Truth<'a> {
    /// The corners.
    pub quads: &'a [Quad],
    /// The index of the image.
    pub image: &'a [u32],
    /// The index of the class.
    pub label: &'a [u32],
    /// Objects that need not be found; detections on them do not count.
    pub ignore: &'a [bool],
}

/// The detections, one entry each, in the order of their files.
#[derive(Clone, Copy)]
pub struct Detections<'a> {
    /// The corners.
    pub quads: &'a [Quad],
    /// The index of the image.
    pub image: &'a [u32],
    /// The index of the class.
    pub label: &'a [u32],
    /// The confidence.
    pub scores: &'a [f64],
}
