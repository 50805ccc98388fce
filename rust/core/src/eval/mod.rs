//! Scoring detections: matching them with the ground truth, and average precision.

pub mod ap;
pub mod devkit;
mod group;
pub mod matching;
