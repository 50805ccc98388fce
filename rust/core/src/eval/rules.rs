//! What differs between protocols.

/// How the IoU of two boxes is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Exactly, by the robust kernel.
    Quad,
    /// As the DOTA devkit does: only pairs whose bounds, a pixel larger, meet; and wherever the decision
    /// hangs on rounding or a quad is not convex, in the devkit's own arithmetic.
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
    /// Whether a match needs an IoU above the threshold, not just equal to it.
    pub strict: bool,
    /// Whether a detection whose best object is taken may have another one (COCO); without it, it is false.
    pub second_choice: bool,
    /// How IoU is measured.
    pub measure: Measure,
    /// The number of detections that count in an image and class; 0: all.
    pub max_detections: usize,
    /// Objects whose area is outside are ignored, and so are unmatched detections outside.
    pub area: Option<(f64, f64)>,
}
