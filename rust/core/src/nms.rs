//! Greedy non-maximum suppression over a spatial grid.

use std::collections::BTreeMap;

use crate::iou::{Bounds, Mode, Shape, wide};

/// The boxes that greedy suppression keeps, best first.
///
/// Boxes are taken by falling score, equal ones by index, NaN last; a box is dropped if its IoU with a kept
/// box of the same label is greater than `threshold` (≥ 0). Without `labels` all boxes are of one class. The
/// list equals that of comparing all pairs; a grid of the kept boxes makes the cost nearly linear in the
/// number of boxes at constant density. Boxes without area are always kept: they overlap nothing.
///
/// # Panics
/// If the lengths differ or there are 2³² boxes or more.
pub fn nms<S: Shape>(boxes: &[S::Raw], scores: &[f64], labels: Option<&[i64]>, threshold: f64) -> Vec<u32> {
    assert_eq!(boxes.len(), scores.len(), "one score a box");
    assert!(labels.is_none_or(|l| l.len() == boxes.len()), "one label a box");
    let order = by_falling_score(scores);
    greedy::<S>(boxes, &order, labels, threshold)
}

/// The indices of the scores, highest first, equal ones by index, NaN last.
///
/// # Panics
/// If there are 2³² scores or more.
pub fn by_falling_score(scores: &[f64]) -> Vec<u32> {
    assert!(u32::try_from(scores.len()).is_ok(), "fewer than 2^32 boxes");
    // Score and index in one key: sorting needs no look-up and the order is total.
    let mut keys: Vec<(u64, u32)> = scores.iter().map(|&s| falling_key(s)).zip(0..).collect();
    keys.sort_unstable();
    keys.into_iter().map(|(_, i)| i).collect()
}

/// An integer that grows as the score falls.
pub(crate) fn falling_key(score: f64) -> u64 {
    if score.is_nan() {
        return u64::MAX;
    }
    let bits = (score + 0.0).to_bits(); // + 0.0: the two zeros are equal scores
    if bits >> 63 == 0 { !bits ^ (1 << 63) } else { bits }
}

wide! {
    fn greedy<S: Shape>(boxes: &[S::Raw], order: &[u32], labels: Option<&[i64]>, threshold: f64) -> Vec<u32> {
        let shapes: Vec<S> = order.iter().map(|&i| S::new(&boxes[i as usize])).collect();
        let mut grid = Grid::new(shapes.iter().map(Shape::bounds));
        let mut keep = Vec::new();
        for (rank, shape) in shapes.iter().enumerate() {
            let label = labels.map_or(0, |labels| labels[order[rank] as usize]);
            if !grid.suppresses(shape, label, &shapes, threshold) {
                grid.insert(rank as u32, shape.bounds(), label);
                keep.push(order[rank]);
            }
        }
        keep
    }
}

/// Boxes by place: levels of square cells, one level for each power of two of box size.
///
/// A box lies in the one cell that holds its centre, on the level whose cells are just larger than it; a
/// look-up visits, on each level, the cells from which such boxes could reach. So neither one huge box among
/// many small ones nor a far outlier spoils the cost.
struct Grid {
    levels: Vec<Level>,
}

struct Level {
    cell: f64,
    /// The last box of each bucket of cells, or NONE. Cells share a bucket by chance; that costs time alone.
    heads: Vec<u32>,
    entries: Vec<Entry>,
}

struct Entry {
    bounds: Bounds,
    label: i64,
    id: u32,
    /// The box before it in its bucket.
    next: u32,
}

const NONE: u32 = u32::MAX;

/// How far from its own cell's size, in cells, a box can reach: half, and a little for rounding.
const REACH: f64 = 0.5 + 1e-6;

impl Grid {
    /// An empty grid with room for boxes of these bounds.
    fn new<'a>(bounds: impl Iterator<Item = &'a Bounds>) -> Self {
        let mut counts = BTreeMap::new();
        for bounds in bounds.filter(|b| b.x0 <= b.x1) {
            *counts.entry(exponent(bounds)).or_insert(0usize) += 1;
        }
        let level = |(exponent, count): (i32, usize)| Level {
            cell: f64::exp2(f64::from(exponent)),
            heads: vec![NONE; (2 * count).next_power_of_two()],
            entries: Vec::with_capacity(count),
        };
        Grid { levels: counts.into_iter().map(level).collect() }
    }

    fn insert(&mut self, id: u32, bounds: &Bounds, label: i64) {
        let cell = f64::exp2(f64::from(exponent(bounds)));
        // A box without area has no level: it meets nothing and need not be found.
        if let Ok(i) = self.levels.binary_search_by(|level| level.cell.total_cmp(&cell)) {
            self.levels[i].insert(id, bounds, label);
        }
    }

    /// Whether the IoU with any box of the label is above the threshold.
    #[inline(always)]
    fn suppresses<S: Shape>(&self, shape: &S, label: i64, shapes: &[S], threshold: f64) -> bool {
        for level in &self.levels {
            if level.suppresses(shape, label, shapes, threshold) {
                return true;
            }
        }
        false
    }
}

impl Level {
    fn insert(&mut self, id: u32, bounds: &Bounds, label: i64) {
        let x = self.index(0.5 * (bounds.x0 + bounds.x1));
        let y = self.index(0.5 * (bounds.y0 + bounds.y1));
        let bucket = self.bucket(x, y, label);
        self.entries.push(Entry { bounds: *bounds, label, id, next: self.heads[bucket] });
        self.heads[bucket] = self.entries.len() as u32 - 1;
    }

    #[inline(always)]
    fn suppresses<S: Shape>(&self, shape: &S, label: i64, shapes: &[S], threshold: f64) -> bool {
        let bounds = shape.bounds();
        let reach = REACH * self.cell;
        let (x0, x1) = (self.index(bounds.x0 - reach), self.index(bounds.x1 + reach));
        let (y0, y1) = (self.index(bounds.y0 - reach), self.index(bounds.y1 + reach));
        let cells = (x1 as f64 - x0 as f64 + 1.0) * (y1 as f64 - y0 as f64 + 1.0);
        if cells > self.entries.len() as f64 {
            for entry in &self.entries {
                if entry.suppresses(shape, label, shapes, threshold) {
                    return true;
                }
            }
            return false;
        }
        for x in x0..=x1 {
            for y in y0..=y1 {
                let mut i = self.heads[self.bucket(x, y, label)];
                while i != NONE {
                    let entry = &self.entries[i as usize];
                    if entry.suppresses(shape, label, shapes, threshold) {
                        return true;
                    }
                    i = entry.next;
                }
            }
        }
        false
    }

    #[inline(always)]
    fn index(&self, v: f64) -> i64 {
        (v / self.cell).floor() as i64
    }

    #[inline(always)]
    fn bucket(&self, x: i64, y: i64, label: i64) -> usize {
        // Multiply and rotate: cheap, and neighbouring cells fall far apart.
        let mut hash = (x as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        hash = (hash.rotate_left(29) ^ (y as u64)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        hash = (hash.rotate_left(31) ^ (label as u64)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (hash >> 24) as usize & (self.heads.len() - 1)
    }
}

impl Entry {
    #[inline(always)]
    fn suppresses<S: Shape>(&self, shape: &S, label: i64, shapes: &[S], threshold: f64) -> bool {
        self.label == label
            && shape.bounds().meets(&self.bounds)
            && shape.overlap(&shapes[self.id as usize], Mode::Iou) > threshold
    }
}

/// The least power of two that is greater than the longer side of the bounds.
fn exponent(bounds: &Bounds) -> i32 {
    let side = (bounds.x1 - bounds.x0).max(bounds.y1 - bounds.y0);
    // The exponent field of the number; 0 and subnormal sides share the lowest level.
    (side.to_bits() >> 52) as i32 - 1022
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::iou::RotatedBox;

    #[test]
    fn order_is_score_then_index_then_nan() {
        assert_eq!(by_falling_score(&[0.5, f64::NAN, 0.9, -1.0, 0.5, -0.0, 0.0]), [2, 0, 4, 5, 6, 3, 1]);
    }

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
    fn boxes_without_area_are_kept() {
        let boxes = [[0.0, 0.0, 0.0, 4.0, 0.0], [0.0, 0.0, 4.0, 4.0, 0.0], [f64::NAN, 0.0, 4.0, 4.0, 0.0]];
        assert_eq!(nms::<RotatedBox>(&boxes, &[0.9, 0.8, 0.7], None, 0.0), [0, 1, 2]);
        assert_eq!(nms::<RotatedBox>(&[], &[], None, 0.5), []);
    }
}
