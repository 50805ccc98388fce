//! Finds the boxes that intersect another one by their bounds, sorted along x, and a binary search.

use crate::bounds::Bounds;

/// Bounds sorted along x: those that may intersect a box are adjacent.
#[derive(Default)]
pub(crate) struct AlongX {
    /// Input index of each of the sorted bounds.
    index: Vec<u32>,
    x0: Vec<f64>,
    x1: Vec<f64>,
    y0: Vec<f64>,
    y1: Vec<f64>,
    /// Running maximum of `x1`.
    reach: Vec<f64>,
}

impl AlongX {
    /// Replaces the bounds; reuses the memory.
    pub(crate) fn fill<'a>(&mut self, bounds: impl Iterator<Item = &'a Bounds>) {
        let all: Vec<&Bounds> = bounds.collect();
        let mut keys: Vec<(u64, u32)> = all.iter().map(|b| rising_key(b.x0)).zip(0..).collect();
        keys.sort_unstable();
        let AlongX { index, x0, x1, y0, y1, reach } = self;
        index.clear();
        [&mut *x0, &mut *x1, &mut *y0, &mut *y1, &mut *reach].into_iter().for_each(Vec::clear);
        let mut far = f64::NEG_INFINITY;
        for (_, i) in keys {
            let b = all[i as usize];
            far = far.max(b.x1);
            index.push(i);
            for (column, v) in [(&mut *x0, b.x0), (x1, b.x1), (y0, b.y0), (y1, b.y1), (reach, far)] {
                column.push(v);
            }
        }
    }

    /// Writes the input indices of all bounds that intersect these to `hits`, in no particular order.
    #[inline(always)]
    pub(crate) fn meeting(&self, bounds: &Bounds, hits: &mut Vec<u32>) {
        hits.clear();
        let mut i = self.reach.partition_point(|&x1| x1 <= bounds.x0);
        let last = self.x0.partition_point(|&x0| x0 < bounds.x1);
        while i < last {
            // Eight at a time, without branches: most do not intersect.
            let end = last.min(i + 8);
            let columns = self.x0[i..end].iter().zip(&self.x1[i..end]).zip(&self.y0[i..end]).zip(&self.y1[i..end]);
            let mut mask = 0u32;
            for (k, (((&x0, &x1), &y0), &y1)) in columns.enumerate() {
                mask |= u32::from(bounds.meets(&Bounds { x0, y0, x1, y1 })) << k;
            }
            while mask != 0 {
                hits.push(self.index[i + mask.trailing_zeros() as usize]);
                mask &= mask - 1;
            }
            i = end;
        }
    }
}

/// An integer that sorts like the number.
fn rising_key(v: f64) -> u64 {
    let bits = v.to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_exactly_those_that_meet() {
        let at = |i: i32| {
            let (x, y, w) = (f64::from(i * 37 % 50), f64::from(i * 17 % 30), f64::from(1 + i * i % 23));
            Bounds { x0: x, y0: y, x1: x + w, y1: y + 5.0 }
        };
        let mut all: Vec<Bounds> = (0..100).map(at).collect();
        all.push(Bounds::EMPTY);
        let (mut along_x, mut hits) = (AlongX::default(), Vec::new());
        along_x.fill(all.iter());
        for bounds in &all {
            along_x.meeting(bounds, &mut hits);
            hits.sort_unstable();
            let want: Vec<u32> = (0..).zip(&all).filter(|(_, b)| bounds.meets(b)).map(|(i, _)| i).collect();
            assert_eq!(hits, want);
        }
        along_x.fill([].iter());
        along_x.meeting(&all[0], &mut hits);
        assert!(hits.is_empty());
    }
}
