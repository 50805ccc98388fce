//! Greedy non-maximum suppression over a spatial grid.

use crate::bounds::Bounds;
use crate::iou::{Mode, Shape};
use crate::lanes::wide;
use crate::ranking::by_falling_score;

/// Indices of the boxes that greedy NMS keeps, best first.
///
/// Boxes are visited by falling score, ties by index, NaN last. A box is dropped if its IoU with a kept box of the
/// same label exceeds `threshold` (≥ 0). Without `labels`, all boxes have one class. The result equals that of
/// comparing all pairs; a grid of the kept boxes makes the cost nearly linear in the number of boxes at constant
/// density. Boxes without area are always kept: they overlap nothing.
///
/// # Panics
/// If the lengths differ or there are 2³² boxes or more.
pub fn nms<S: Shape>(boxes: &[S::Raw], scores: &[f64], labels: Option<&[i64]>, threshold: f64) -> Vec<u32> {
    assert_eq!(boxes.len(), scores.len(), "one score per box");
    assert!(labels.is_none_or(|l| l.len() == boxes.len()), "one label per box");
    let order = by_falling_score(scores);
    greedy::<S>(boxes, &order, labels, threshold)
}

wide! {
    fn greedy<S: Shape>(boxes: &[S::Raw], order: &[u32], labels: Option<&[i64]>, threshold: f64) -> Vec<u32> {
        let mut keep = Vec::new();
        let (mut kept, mut grid, mut near) = (Vec::<(S, i64)>::new(), Grid::default(), Vec::new());
        let mut ahead = Vec::with_capacity(AHEAD);
        for some in order.chunks(AHEAD) {
            // Copied first: loads of a plain loop overlap, loads between long computations do not.
            ahead.clear();
            ahead.extend(some.iter().map(|&i| boxes[i as usize]));
            for (raw, &i) in ahead.iter().zip(some) {
                let shape = S::new(raw);
                let label = labels.map_or(0, |labels| labels[i as usize]);
                if !grid.suppresses(&shape, label, &kept, threshold, &mut near) {
                    keep.push(i);
                    if shape.area() > 0.0 {
                        grid.insert(kept.len() as u32, &shape, label);
                        kept.push((shape, label));
                    }
                }
            }
        }
        keep
    }
}

/// Number of boxes fetched at once.
const AHEAD: usize = 64;

/// Kept boxes in a grid with levels of square cells, one level per factor of four in box size.
///
/// A box is stored in the cell of its centre, on the level whose cells are just larger than the box. A look-up visits,
/// on each level, the cells from which boxes could reach. So neither one huge box among many small ones nor a distant
/// outlier makes it slow.
#[derive(Default)]
struct Grid {
    levels: Vec<Level>,
}

/// Growing hash table of cells. The cells of a row are adjacent buckets, so a look-up touches few cache lines.
/// Collisions cost time but change no result.
struct Level {
    exponent: i32,
    /// Exponent of the side of a cell, a power of two.
    cell: f64,
    /// Last entry of each bucket, or NONE.
    heads: Vec<u32>,
    entries: Vec<Entry>,
    /// Cell of each entry.
    rows: Vec<u64>,
    columns: Vec<i64>,
    /// Range of the boxes' areas; unbounded if a box is not convex.
    least_area: f64,
    greatest_area: f64,
}

struct Entry {
    around: Around,
    id: u32,
    /// Previous entry of the bucket.
    next: u32,
}

const NONE: u32 = u32::MAX;

/// Reach of a box from its centre, in cells: one half plus a margin for rounding.
const REACH: f64 = 0.5 + 1e-6;

/// A level holds boxes whose sides differ by up to two to this power: small enough for few boxes per cell, large
/// enough for few levels.
const LEVEL_BITS: i32 = 2;

impl Grid {
    /// Whether the IoU with a kept box of the label exceeds the threshold. `near` is scratch space.
    #[inline(always)]
    fn suppresses<S: Shape>(
        &self,
        shape: &S,
        label: i64,
        kept: &[(S, i64)],
        threshold: f64,
        near: &mut Vec<u32>,
    ) -> bool {
        if shape.area() == 0.0 {
            return false;
        }
        let (own, convex) = (exponent(shape.bounds()), shape.convex());
        // A suppressing box most often has the same size: its level comes first.
        let others = self.levels.iter().filter(|level| level.exponent != own);
        for level in self.levels.iter().filter(|level| level.exponent == own).chain(others) {
            if convex && level.too_small_or_large(shape.area(), threshold) {
                continue;
            }
            near.clear();
            level.meeting(shape.bounds(), label, near);
            for &id in near.iter() {
                let (other, its_label) = &kept[id as usize];
                if *its_label == label && shape.overlap(other, Mode::Iou) > threshold {
                    return true;
                }
            }
        }
        false
    }

    fn insert<S: Shape>(&mut self, id: u32, shape: &S, label: i64) {
        let exponent = exponent(shape.bounds());
        let known = self.levels.iter().position(|level| level.exponent == exponent);
        let i = known.unwrap_or_else(|| {
            self.levels.push(Level::new(exponent));
            self.levels.len() - 1
        });
        let level = &mut self.levels[i];
        let (least, greatest) = if shape.convex() { (shape.area(), shape.area()) } else { (0.0, f64::INFINITY) };
        level.least_area = level.least_area.min(least);
        level.greatest_area = level.greatest_area.max(greatest);
        level.insert(id, shape.bounds(), label);
    }
}

impl Level {
    fn new(exponent: i32) -> Level {
        Level {
            exponent,
            cell: f64::exp2(f64::from(exponent)),
            heads: vec![NONE; 64],
            entries: Vec::new(),
            rows: Vec::new(),
            columns: Vec::new(),
            least_area: f64::INFINITY,
            greatest_area: 0.0,
        }
    }

    /// Whether no box here can reach the threshold: the IoU is at most the smaller area over the larger.
    #[inline(always)]
    fn too_small_or_large(&self, area: f64, threshold: f64) -> bool {
        let threshold = threshold * (1.0 - 1e-9); // for rounding
        self.greatest_area < threshold * area || area < threshold * self.least_area
    }

    fn insert(&mut self, id: u32, bounds: &Bounds, label: i64) {
        if 2 * self.entries.len() >= self.heads.len() {
            self.heads = vec![NONE; 4 * self.heads.len()];
            for i in 0..self.entries.len() {
                self.link(i);
            }
        }
        self.rows.push(self.row(self.index(0.5 * (bounds.y0 + bounds.y1)), label));
        self.columns.push(self.index(0.5 * (bounds.x0 + bounds.x1)));
        self.entries.push(Entry { around: Around::new(bounds), id, next: NONE });
        self.link(self.entries.len() - 1);
    }

    /// Adds an entry at the front of its bucket.
    fn link(&mut self, i: usize) {
        let bucket = self.bucket(self.rows[i], self.columns[i]);
        self.entries[i].next = self.heads[bucket];
        self.heads[bucket] = i as u32;
    }

    /// Adds the boxes of the label whose bounds intersect these to `near`, and possibly a few others.
    #[inline(always)]
    fn meeting(&self, bounds: &Bounds, label: i64, near: &mut Vec<u32>) {
        let reach = REACH * self.cell;
        let (x0, x1) = (self.index(bounds.x0 - reach), self.index(bounds.x1 + reach));
        let (y0, y1) = (self.index(bounds.y0 - reach), self.index(bounds.y1 + reach));
        let cells = (x1 as f64 - x0 as f64 + 1.0) * (y1 as f64 - y0 as f64 + 1.0);
        let around = Around::new(bounds);
        if cells > self.entries.len() as f64 {
            for entry in &self.entries {
                entry.push_if_meeting(&around, near);
            }
            return;
        }
        for y in y0..=y1 {
            let row = self.row(y, label);
            for x in x0..=x1 {
                let mut i = self.heads[self.bucket(row, x)];
                while i != NONE {
                    let entry = &self.entries[i as usize];
                    entry.push_if_meeting(&around, near);
                    i = entry.next;
                }
            }
        }
    }

    #[inline(always)]
    fn index(&self, v: f64) -> i64 {
        (v / self.cell).floor() as i64
    }

    /// First bucket of a row of cells; multiplying and rotating spreads the rows.
    #[inline(always)]
    fn row(&self, y: i64, label: i64) -> u64 {
        let hash = (y as u64).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let hash = (hash.rotate_left(31) ^ (label as u64)).wrapping_mul(0x94D0_49BB_1331_11EB);
        hash >> 24
    }

    #[inline(always)]
    fn bucket(&self, row: u64, x: i64) -> usize {
        row.wrapping_add(x as u64) as usize & (self.heads.len() - 1)
    }
}

impl Entry {
    #[inline(always)]
    fn push_if_meeting(&self, around: &Around, near: &mut Vec<u32>) {
        if around.meets(&self.around) {
            near.push(self.id);
        }
    }
}

/// Bounds in half the bytes, never smaller than the exact ones: x0, y0, −x1, −y1, rounded down.
#[derive(Clone, Copy)]
struct Around([f32; 4]);

impl Around {
    #[inline(always)]
    fn new(bounds: &Bounds) -> Around {
        Around([bounds.x0, bounds.y0, -bounds.x1, -bounds.y1].map(|v| {
            let near = v as f32;
            if f64::from(near) > v { near.next_down() } else { near }
        }))
    }

    #[inline(always)]
    fn meets(&self, other: &Around) -> bool {
        let ([a0, b0, a1, b1], [c0, d0, c1, d1]) = (self.0, other.0);
        (a0 < -c1) & (b0 < -d1) & (c0 < -a1) & (d0 < -b1)
    }
}

/// Level of a box: cells with sides of two to this power are larger than it.
fn exponent(bounds: &Bounds) -> i32 {
    let side = (bounds.x1 - bounds.x0).max(bounds.y1 - bounds.y0);
    // Exponent field of the number; 0 and subnormal sides share the lowest level.
    let exponent = (side.to_bits() >> 52) as i32 - 1022;
    (exponent + LEVEL_BITS - 1).div_euclid(LEVEL_BITS) * LEVEL_BITS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iou::RotatedBox;

    #[test]
    fn a_suppressed_box_suppresses_nothing() {
        // Three boxes in a row: the middle one overlaps both others, which do not meet each other.
        let boxes = [[0.0, 0.0, 10.0, 4.0, 0.0], [6.0, 0.0, 10.0, 4.0, 0.0], [12.0, 0.0, 10.0, 4.0, 0.0]];
        assert_eq!(nms::<RotatedBox>(&boxes, &[0.9, 0.8, 0.7], None, 0.1), [0, 2]);
        assert_eq!(nms::<RotatedBox>(&boxes, &[0.8, 0.9, 0.7], None, 0.1), [1]);
        assert_eq!(nms::<RotatedBox>(&boxes, &[0.8, 0.9, 0.7], Some(&[0, 1, 0]), 0.1), [1, 0, 2]);
    }

    #[test]
    fn an_iou_equal_to_the_threshold_is_kept() {
        let boxes = [[0.0, 0.0, 4.0, 4.0, 0.0], [0.0, 1.0, 4.0, 2.0, 0.0]];
        assert_eq!(nms::<RotatedBox>(&boxes, &[0.9, 0.8], None, 0.5), [0, 1]);
        assert_eq!(nms::<RotatedBox>(&boxes, &[0.9, 0.8], None, 0.5f64.next_down()), [0]);
    }

    #[test]
    fn sizes_and_places_beyond_32_bits() {
        for scale in [1e-60, 1e-25, 1e25, 1e60] {
            let boxes = [[3.0, 2.0, 4.0, 2.0, 0.3], [3.1, 2.0, 4.0, 2.0, 0.3], [9.0, 2.0, 4.0, 2.0, 0.3]]
                .map(|[x, y, w, h, angle]| [x * scale, y * scale, w * scale, h * scale, angle]);
            assert_eq!(nms::<RotatedBox>(&boxes, &[0.9, 0.8, 0.7], None, 0.5), [0, 2], "{scale}");
        }
    }

    #[test]
    fn boxes_without_area_are_kept() {
        let boxes = [[0.0, 0.0, 0.0, 4.0, 0.0], [0.0, 0.0, 4.0, 4.0, 0.0], [f64::NAN, 0.0, 4.0, 4.0, 0.0]];
        assert_eq!(nms::<RotatedBox>(&boxes, &[0.9, 0.8, 0.7], None, 0.0), [0, 1, 2]);
        assert!(nms::<RotatedBox>(&[], &[], None, 0.5).is_empty());
    }
}
