//! Evaluation of detections: matching with the ground truth, and average precision.

pub mod bootstrap;
pub mod curve;
pub mod devkit;
mod group;
pub mod matching;
pub mod rules;
pub mod truth;
