//! Rotated geometry, NMS, dataset parsing and detection evaluation.
//!
//! Functions take slices and return `Vec`s or fill `&mut` slices, without Python. In image space x points right and y
//! down; angles are in radians, clockwise positive on the screen.

mod along_x;
pub mod bounds;
pub mod convex;
pub mod eval;
pub mod formats;
pub mod geom;
pub mod image_io;
pub mod iou;
mod lanes;
pub mod nms;
pub mod ranking;
pub mod roi_align;
pub mod split;
pub mod threads;
pub mod tile;
