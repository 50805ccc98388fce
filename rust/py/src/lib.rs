//! The module `rotx._rust`: each function borrows and checks its arguments, releases the GIL, computes, and wraps the
//! result.

#![allow(missing_docs)] // the docstrings are in the Python modules that call these

mod convex;
mod eval;
mod formats;
mod geometry;
mod roi_align;
mod split;
mod tile;

#[pyo3::pymodule(gil_used = false)]
mod _rust {
    #[pymodule_export]
    use super::convex::{convex_giou, convex_giou_backward, convex_iou, hull_indices};
    #[pymodule_export]
    use super::eval::{Matches, match_detections};
    #[pymodule_export]
    use super::formats::{
        coco_annotations, read_annotations, read_detections, read_image_info, read_names, write_annotations,
        write_task1,
    };
    #[pymodule_export]
    use super::geometry::{
        areas, box_iou, box_iou_aligned, clip_convex, convex_hull, min_area_rect, min_area_rects, nms, points_in_quads,
        rbox_to_quad,
    };
    #[pymodule_export]
    use super::roi_align::{roi_align_rotated, roi_align_rotated_backward};
    #[pymodule_export]
    use super::split::split_images;
    #[pymodule_export]
    use super::tile::{ImageReader, tile_cut, tile_windows};
}
