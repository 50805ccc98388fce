//! An image that is cut into windows while it is decoded from top to bottom.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Image, Origin};
use crate::image_io::{self, Area, Decoder, ImageError, Whole};

/// Smallest number of rows decoded at once.
const LEAST_ROWS: usize = 32;

/// Pixels of a patch that waits for encoding.
pub struct Pixels {
    /// Number of the image.
    pub image: usize,
    /// Index of the patch in the image.
    pub patch: usize,
    /// Three bytes each, rows from the top.
    pub rgb: Vec<u8>,
    pub width: usize,
    pub height: usize,
}

impl Pixels {
    /// Allocated memory; more than the pixels need if a larger patch used it before.
    pub fn bytes(&self) -> usize {
        self.rgb.capacity()
    }
}

/// An open image, the rows that windows still need, and its windows in the order of completion.
pub struct Source {
    /// Number of the image.
    pub image: usize,
    pub plan: Arc<Image>,
    decoder: Box<dyn Decoder>,
    /// Indices of the patches, by the last row of their windows.
    order: Vec<usize>,
    /// Number of patches already cut.
    done: usize,
    /// Number of rows decoded at once.
    step: usize,
    /// Row `y` of the image is at row `y % kept`. `kept` is all rows, or a multiple of `step`, so that no step wraps.
    rows: Vec<u8>,
    kept: usize,
    /// Next row to decode.
    next: usize,
}

impl Source {
    /// Opens the image of a plan.
    pub fn open(image: usize, plan: Arc<Image>) -> Result<Source, ImageError> {
        let decoder = match &plan.origin {
            Origin::File(path) => image_io::open(path)?,
            Origin::Whole(decode) => {
                let decode = Arc::clone(decode);
                Box::new(Whole::new(plan.size, move || decode()))
            }
        };
        let (width, height) = decoder.size();
        if decoder.size() != plan.size {
            return Err(ImageError(format!("has changed: it is {width} x {height} pixels now")));
        }
        let mut order: Vec<usize> = (0..plan.patches.len()).collect();
        order.sort_by_key(|&i| plan.inside(i).y + plan.inside(i).height);
        let block = decoder.block().1.max(1);
        let step = block * LEAST_ROWS.div_ceil(block);
        let kept = rows_kept(order.iter().map(|&i| plan.inside(i)), step).min(height);
        let rows = image_io::zeros(kept.saturating_mul(width).saturating_mul(3))?;
        Ok(Source { image, plan, decoder, order, done: 0, step, rows, kept, next: 0 })
    }

    /// Whether all windows are cut.
    pub fn is_done(&self) -> bool {
        self.done == self.order.len()
    }

    /// Cuts the next window; reuses the memory of `rgb`. None if the split was stopped.
    ///
    /// # Panics
    /// If no window is left.
    pub fn next(
        &mut self,
        padding: Option<[u8; 3]>,
        mut rgb: Vec<u8>,
        stop: &AtomicBool,
    ) -> Result<Option<Pixels>, ImageError> {
        let patch = self.order[self.done];
        let inside = self.plan.inside(patch);
        while self.next < inside.y + inside.height {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            self.decode_rows()?;
        }
        self.done += 1;
        let window = self.plan.patches[patch].window;
        let (width, height) = match padding {
            Some(_) => ((window.x1 - window.x0) as usize, (window.y1 - window.y0) as usize),
            None => (inside.width, inside.height),
        };
        rgb.clear();
        image_io::reserve(&mut rgb, width.saturating_mul(height).saturating_mul(3))?;
        self.cut(inside, width, height, padding, &mut rgb);
        Ok(Some(Pixels { image: self.image, patch, rgb, width, height }))
    }

    fn decode_rows(&mut self) -> Result<(), ImageError> {
        let (width, height) = self.plan.size;
        let rows = self.step.min(height - self.next);
        let out = &mut self.rows[self.next % self.kept * width * 3..][..rows * width * 3];
        self.decoder.read(Area { x: 0, y: self.next, width, height: rows }, out)?;
        self.next += rows;
        Ok(())
    }

    /// Appends `width` x `height` pixels to `rgb`: an area of the image at the top left, and padding.
    fn cut(&self, area: Area, width: usize, height: usize, padding: Option<[u8; 3]>, rgb: &mut Vec<u8>) {
        let beyond = padding.unwrap_or_default().repeat(width);
        for y in area.y..area.y + area.height {
            let start = (y % self.kept * self.plan.size.0 + area.x) * 3;
            rgb.extend_from_slice(&self.rows[start..][..area.width * 3]);
            rgb.extend_from_slice(&beyond[area.width * 3..]);
        }
        for _ in area.height..height {
            rgb.extend_from_slice(&beyond);
        }
    }
}

/// Number of rows, a multiple of `step`, that contain all incomplete windows while one is cut.
fn rows_kept(windows: impl DoubleEndedIterator<Item = Area>, step: usize) -> usize {
    let (mut kept, mut top) = (step, usize::MAX);
    for window in windows.rev() {
        top = top.min(window.y / step * step);
        kept = kept.max((window.y + window.height).next_multiple_of(step) - top);
    }
    kept
}
