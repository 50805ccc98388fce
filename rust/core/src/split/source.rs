//! One image that is cut into windows while it is decoded from the top down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Image, Origin};
use crate::image_io::{self, Area, Decoder, ImageError, Whole};

/// Rows are decoded in steps of at least so many.
const LEAST_ROWS: usize = 32;

/// The pixels of a patch, waiting to be encoded.
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
    /// The memory that it takes; more than its pixels need if a larger patch had it before.
    pub fn bytes(&self) -> usize {
        self.rgb.capacity()
    }
}

/// An open image, the rows of it that windows still need, and its windows in the order in which they are complete.
pub struct Source {
    /// Number of the image.
    pub image: usize,
    pub plan: Arc<Image>,
    decoder: Box<dyn Decoder>,
    /// Indices of the patches, by the last row of their windows.
    order: Vec<usize>,
    /// How many of them have been cut out.
    done: usize,
    /// Rows that are decoded at once.
    step: usize,
    /// Row `y` of the image lies at row `y % kept`; `kept` is a multiple of `step`, so that no step is torn, or all.
    rows: Vec<u8>,
    kept: usize,
    /// The row that is decoded next.
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
        let rows = image_io::zeros(kept * width * 3)?;
        Ok(Source { image, plan, decoder, order, done: 0, step, rows, kept, next: 0 })
    }

    /// Whether all windows have been cut out.
    pub fn is_done(&self) -> bool {
        self.done == self.order.len()
    }

    /// The next window, in the memory of `rgb`; None when it is to stop.
    ///
    /// # Panics
    /// If there is none.
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

    /// An area of the image at the upper left of `width` x `height` pixels, and beyond it the padding, added to `rgb`.
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

/// The number of rows, a multiple of `step`, within which all windows lie that are not complete while one is cut.
fn rows_kept(windows: impl DoubleEndedIterator<Item = Area>, step: usize) -> usize {
    let (mut kept, mut top) = (step, usize::MAX);
    for window in windows.rev() {
        top = top.min(window.y / step * step);
        kept = kept.max((window.y + window.height).next_multiple_of(step) - top);
    }
    kept
}
