//! The differences between protocols.

/// Definition of the IoU of two boxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Exactly, by the robust kernel.
    Quad,
    /// As in the DOTA devkit: only for pairs whose bounds, enlarged by a pixel, intersect; and in the devkit's own
    /// arithmetic where rounding decides or a quad is not convex.
    Devkit,
    /// Horizontal boxes, from corner 1 to corner 3.
    Horizontal,
    /// Horizontal boxes of whole pixels: x2 − x1 + 1 wide (PASCAL VOC).
    HorizontalPixels,
}

/// The rules of a protocol.
#[derive(Clone, Debug)]
pub struct Rules {
    /// IoU thresholds, at most 32.
    pub thresholds: Vec<f64>,
    /// Whether a match needs an IoU above the threshold; otherwise an equal one suffices.
    pub strict: bool,
    /// Whether a detection whose best object is taken may match another one (COCO); otherwise it is a false positive.
    pub second_choice: bool,
    /// Definition of the IoU.
    pub measure: Measure,
    /// Largest number of detections per image and class that count; 0: all.
    pub max_detections: usize,
    /// Range of areas; objects and unmatched detections outside it are ignored.
    pub area: Option<(f64, f64)>,
}
