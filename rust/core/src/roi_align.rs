//! RoIAlignRotated: features of rotated boxes, by bilinear samples, forward and backward.
//!
//! RoIAlign (He et al. 2017) on rotated boxes, as in RRPN (Ma et al. 2018) and MMCV: the box is divided into
//! rows × columns of bins; the value of a bin is the mean of the features at a grid of points in it.
//!
//! Work is split by image and block of channels. The planes of a block are copied so that the channels of a pixel are
//! adjacent: position and weights of a sample are computed once for all of them and applied by vector instructions.
//! No two threads write to the same number, and the order of sums does not depend on the number of threads, so the
//! result does not either.

use std::ops::{Add, AddAssign, Mul, Range};

use crate::lanes::wide;
use crate::threads;

/// A region of interest `image, cx, cy, w, h, angle`: the index of its image in the batch, then a rotated box in
/// pixels of the original image.
pub type Roi = [f64; 6];

/// How regions are sampled.
#[derive(Clone, Copy, Debug)]
pub struct Pooling {
    /// Rows and columns of bins.
    pub output_size: [usize; 2],
    /// Size of the feature map relative to the original image.
    pub spatial_scale: f64,
    /// Number of samples along each side of a bin; 0: one per pixel of the feature map, rounded up.
    pub sampling_ratio: usize,
    /// Whether the centre of the first pixel is at 0.5, as for boxes; otherwise it is at 0, and regions are at least
    /// one pixel wide and high.
    pub aligned: bool,
    /// Whether angles are clockwise on the screen.
    pub clockwise: bool,
}

/// Number type of features.
pub trait Real: Copy + Default + Send + Sync + Add<Output = Self> + Mul<Output = Self> + AddAssign {
    /// Rounds to the nearest number of this type.
    fn from_f64(value: f64) -> Self;
}

impl Real for f32 {
    #[inline(always)]
    fn from_f64(value: f64) -> f32 {
        value as f32
    }
}

impl Real for f64 {
    #[inline(always)]
    fn from_f64(value: f64) -> f64 {
        value
    }
}

/// Writes the features of every region to `out`, regions × channels × rows × columns of bins.
///
/// `input` is images × channels × height × width, as `shape` says. Samples outside the image are 0. Regions with a
/// number that is not finite, or, if `aligned`, with a negative size, have features 0. With adaptive sampling
/// (`sampling_ratio` 0), samples outside the image are skipped in bulk: a huge region costs no more than one that
/// covers the image.
///
/// # Errors
/// If an image index is out of range.
///
/// # Panics
/// If the lengths of `input` and `out` do not fit, or for 2³² pixels or more.
pub fn roi_align_rotated<T: Real>(
    input: &[T],
    shape: [usize; 4],
    rois: &[Roi],
    pooling: &Pooling,
    jobs: usize,
    out: &mut [T],
) -> Result<(), String> {
    let [images, channels, height, width] = shape;
    let bins = pooling.bins();
    assert_eq!(input.len(), images * channels * height * width, "input has the size of its shape");
    assert_eq!(out.len(), rois.len() * channels * bins, "out: as many as the bins of all channels and regions");
    assert!(u32::try_from(height * width).is_ok(), "fewer than 2³² pixels");
    let images_of = images_of(rois, images)?;
    if out.is_empty() || input.is_empty() {
        out.fill(T::default());
        return Ok(());
    }
    let blocks = channels.div_ceil(LANES);
    // For each block of channels of an image: its regions, and where their features go.
    let mut work: Vec<Vec<(&Roi, &mut [T])>> = (0..images * blocks).map(|_| Vec::new()).collect();
    for ((roi, &image), of_roi) in rois.iter().zip(&images_of).zip(out.chunks_exact_mut(channels * bins)) {
        for (block, of_block) in of_roi.chunks_mut(LANES * bins).enumerate() {
            work[image * blocks + block].push((roi, of_block));
        }
    }
    threads::for_each(work.into_iter().enumerate(), jobs, |(i, regions)| {
        if regions.is_empty() {
            return;
        }
        let pixels = pack(&input[planes(i, shape)], height * width);
        let mut taps = Vec::new();
        for (roi, out) in regions {
            match Grid::new(roi, pooling, height, width) {
                Some(grid) => gather(&pixels, &grid, &mut taps, out),
                None => out.fill(T::default()),
            }
        }
    });
    Ok(())
}

/// Computes the gradient with respect to `input`, of `shape`, from the gradient with respect to the features.
///
/// `grad` has the shape of `out` of [`roi_align_rotated`]; `grad_input` is overwritten. The result is bit-identical
/// for any number of threads.
///
/// # Errors
/// If an image index is out of range.
///
/// # Panics
/// If the lengths of `grad` and `grad_input` do not fit, or for 2³² pixels or more.
pub fn roi_align_rotated_backward<T: Real>(
    grad: &[T],
    rois: &[Roi],
    shape: [usize; 4],
    pooling: &Pooling,
    jobs: usize,
    grad_input: &mut [T],
) -> Result<(), String> {
    let [images, channels, height, width] = shape;
    let bins = pooling.bins();
    assert_eq!(grad_input.len(), images * channels * height * width, "grad_input has the size of its shape");
    assert_eq!(grad.len(), rois.len() * channels * bins, "grad: as many as the bins of all channels and regions");
    assert!(u32::try_from(height * width).is_ok(), "fewer than 2³² pixels");
    let images_of = images_of(rois, images)?;
    if grad_input.is_empty() {
        return Ok(());
    }
    let blocks = channels.div_ceil(LANES);
    let of_image = grad_input.chunks_exact_mut(channels * height * width);
    let work: Vec<&mut [T]> = of_image.flat_map(|image| image.chunks_mut(LANES * height * width)).collect();
    threads::for_each(work.into_iter().enumerate(), jobs, |(i, planes)| {
        let (image, first) = (i / blocks, i % blocks * LANES);
        let lanes = planes.len() / (height * width);
        let mut pixels = vec![[T::default(); LANES]; height * width];
        let mut taps = Vec::new();
        for (r, roi) in rois.iter().enumerate().filter(|&(r, _)| images_of[r] == image) {
            if let Some(grid) = Grid::new(roi, pooling, height, width) {
                let start = (r * channels + first) * bins;
                scatter(&grad[start..start + lanes * bins], &grid, &mut taps, &mut pixels);
            }
        }
        unpack(&pixels, planes);
    });
    Ok(())
}

/// The image of every region, checked.
fn images_of(rois: &[Roi], images: usize) -> Result<Vec<usize>, String> {
    let image_of = |(row, roi): (usize, &Roi)| {
        let image = roi[0];
        // NaN fails this comparison.
        if image >= 0.0 && image < images as f64 && image.fract() == 0.0 {
            return Ok(image as usize);
        }
        Err(format!(
            "rois: row {row} has image index {image}, need an integer from 0 to below {images}, the batch's size"
        ))
    };
    rois.iter().enumerate().map(image_of).collect()
}

/// The number of channels in a block: two cache lines of f32.
const LANES: usize = 32;

/// Range of block `i` of all images in an array of `shape`.
fn planes(i: usize, [_, channels, height, width]: [usize; 4]) -> Range<usize> {
    let blocks = channels.div_ceil(LANES);
    let (image, first) = (i / blocks, i % blocks * LANES);
    let last = channels.min(first + LANES);
    (image * channels + first) * height * width..(image * channels + last) * height * width
}

/// Transposes planes of `area` pixels to pixels of channels; missing channels of the block are 0.
fn pack<T: Real>(planes: &[T], area: usize) -> Vec<[T; LANES]> {
    let mut pixels = vec![[T::default(); LANES]; area];
    // A few pixels at a time: whole cache lines of every plane.
    for (t, some) in pixels.chunks_mut(TILE).enumerate() {
        for (lane, plane) in planes.chunks_exact(area).enumerate() {
            for (pixel, &value) in some.iter_mut().zip(&plane[t * TILE..]) {
                pixel[lane] = value;
            }
        }
    }
    pixels
}

/// Transposes pixels of channels to planes.
fn unpack<T: Real>(pixels: &[[T; LANES]], planes: &mut [T]) {
    for (t, some) in pixels.chunks(TILE).enumerate() {
        for (lane, plane) in planes.chunks_exact_mut(pixels.len()).enumerate() {
            for (pixel, value) in some.iter().zip(&mut plane[t * TILE..]) {
                *value = pixel[lane];
            }
        }
    }
}

/// Number of pixels transposed at once.
const TILE: usize = 16;

wide! {
    /// The features of one region: channels × bins.
    fn gather<T: Real>(pixels: &[[T; LANES]], grid: &Grid, taps: &mut Vec<Tap<T>>, out: &mut [T]) {
        let bins = grid.bins();
        for bin in 0..bins {
            grid.taps(bin, taps);
            let mut sum = [T::default(); LANES];
            for tap in taps.iter() {
                let [i, j, k, l] = tap.pixels;
                let (p, q, r, s) = (&pixels[i as usize], &pixels[j as usize], &pixels[k as usize], &pixels[l as usize]);
                let [a, b, c, d] = tap.weights;
                for lane in 0..LANES {
                    sum[lane] += (a * p[lane] + b * q[lane]) + (c * r[lane] + d * s[lane]);
                }
            }
            for (plane, &value) in out.chunks_exact_mut(bins).zip(&sum) {
                plane[bin] = value;
            }
        }
    }
}

wide! {
    /// Adds the gradient of one region's features to the gradient of the pixels.
    fn scatter<T: Real>(grad: &[T], grid: &Grid, taps: &mut Vec<Tap<T>>, pixels: &mut [[T; LANES]]) {
        let bins = grid.bins();
        for bin in 0..bins {
            let mut of_bin = [T::default(); LANES];
            for (value, plane) in of_bin.iter_mut().zip(grad.chunks_exact(bins)) {
                *value = plane[bin];
            }
            grid.taps(bin, taps);
            for tap in taps.iter() {
                for corner in 0..4 {
                    let (pixel, weight) = (&mut pixels[tap.pixels[corner] as usize], tap.weights[corner]);
                    for lane in 0..LANES {
                        pixel[lane] += weight * of_bin[lane];
                    }
                }
            }
        }
    }
}

/// A sample: four pixels and their weights, already divided by the number of samples of the bin.
struct Tap<T> {
    pixels: [u32; 4],
    weights: [T; 4],
}

/// Sampling positions of one region, in pixels of the feature map.
struct Grid {
    cx: f64,
    cy: f64,
    sin: f64,
    cos: f64,
    down: Axis,
    across: Axis,
    height: usize,
    width: usize,
}

/// One axis of a region's frame: bins with equal numbers of samples.
struct Axis {
    bins: usize,
    /// Length of a bin, number of samples in it, and their spacing.
    bin: f64,
    samples: f64,
    step: f64,
    /// Range of the image along this axis.
    low: f64,
    high: f64,
}

impl Pooling {
    fn bins(&self) -> usize {
        self.output_size[0] * self.output_size[1]
    }
}

impl Grid {
    /// Returns None if no sample of the region can lie in the image.
    fn new(roi: &Roi, pooling: &Pooling, height: usize, width: usize) -> Option<Grid> {
        let [_, cx, cy, w, h, angle] = *roi;
        let offset = if pooling.aligned { 0.5 } else { 0.0 };
        let [cx, cy] = [cx, cy].map(|v| v * pooling.spatial_scale - offset);
        let [mut w, mut h] = [w, h].map(|v| v * pooling.spatial_scale);
        if ![cx, cy, w, h, angle].iter().all(|v| v.is_finite()) {
            return None;
        }
        if !pooling.aligned {
            (w, h) = (w.max(1.0), h.max(1.0));
        }
        if w < 0.0 || h < 0.0 {
            return None;
        }
        let (sin, cos) = if pooling.clockwise { angle } else { -angle }.sin_cos();
        // The sampled area of the image in the region's frame: its centre and half extent.
        let (to_x, to_y) = (0.5 * (width as f64 - 1.0) - cx, 0.5 * (height as f64 - 1.0) - cy);
        let (reach_x, reach_y) = (0.5 * (width as f64 + 1.0), 0.5 * (height as f64 + 1.0));
        let across = (to_x * cos + to_y * sin, reach_x * cos.abs() + reach_y * sin.abs());
        let down = (to_y * cos - to_x * sin, reach_y * cos.abs() + reach_x * sin.abs());
        let [rows, columns] = pooling.output_size;
        let axis = |size, bins, image| Axis::new(size, bins, pooling.sampling_ratio, image);
        Some(Grid { cx, cy, sin, cos, down: axis(h, rows, down), across: axis(w, columns, across), height, width })
    }

    fn bins(&self) -> usize {
        self.down.bins * self.across.bins
    }

    /// Samples of a bin that lie in the image.
    #[inline(always)]
    fn taps<T: Real>(&self, bin: usize, taps: &mut Vec<Tap<T>>) {
        taps.clear();
        let (row, column) = (bin / self.across.bins, bin % self.across.bins);
        let weight = 1.0 / (self.down.samples * self.across.samples);
        let (rows, columns) = (self.down.in_image(row), self.across.in_image(column));
        for i in rows {
            let v = self.down.at(row, i);
            let (x0, y0) = (self.cx - v * self.sin, self.cy + v * self.cos);
            for j in columns.clone() {
                let u = self.across.at(column, j);
                if let Some(tap) = self.tap(x0 + u * self.cos, y0 + u * self.sin, weight) {
                    taps.push(tap);
                }
            }
        }
    }

    /// Pixels around a point. Points up to one pixel outside the outer centres are clamped to them.
    #[inline(always)]
    fn tap<T: Real>(&self, x: f64, y: f64, weight: f64) -> Option<Tap<T>> {
        let (last_x, last_y) = (self.width as f64 - 1.0, self.height as f64 - 1.0);
        if !((-1.0..=last_x + 1.0).contains(&x) && (-1.0..=last_y + 1.0).contains(&y)) {
            return None;
        }
        let (x, y) = (x.max(0.0).min(last_x), y.max(0.0).min(last_y));
        let (left, top) = (x as u32, y as u32);
        let (right, bottom) = ((left + 1).min(self.width as u32 - 1), (top + 1).min(self.height as u32 - 1));
        let (dx, dy) = (x - f64::from(left), y - f64::from(top));
        let (upper, lower) = (top * self.width as u32, bottom * self.width as u32);
        let (above, below) = (weight * (1.0 - dy), weight * dy);
        Some(Tap {
            pixels: [upper + left, upper + right, lower + left, lower + right],
            weights: [above * (1.0 - dx), above * dx, below * (1.0 - dx), below * dx].map(T::from_f64),
        })
    }
}

impl Axis {
    fn new(size: f64, bins: usize, sampling_ratio: usize, (image, reach): (f64, f64)) -> Axis {
        let bin = size / bins as f64;
        let samples = if sampling_ratio > 0 { sampling_ratio as f64 } else { bin.ceil() };
        // One pixel of margin for rounding.
        Axis { bins, bin, samples, step: bin / samples, low: image - reach - 1.0, high: image + reach + 1.0 }
    }

    /// Position of sample `i` of a bin, relative to the region's centre.
    #[inline(always)]
    fn at(&self, bin: usize, i: u64) -> f64 {
        (bin as f64 - 0.5 * self.bins as f64) * self.bin + (i as f64 + 0.5) * self.step
    }

    /// Samples of a bin that may lie in the image: all, unless the region is much larger than the image.
    #[inline(always)]
    fn in_image(&self, bin: usize) -> Range<u64> {
        let start = (bin as f64 - 0.5 * self.bins as f64) * self.bin;
        if start >= self.low && start + self.bin <= self.high {
            return 0..self.samples as u64;
        }
        let index = |place: f64| (place - start) / self.step;
        // The casts saturate at 0 and turn NaN, of an empty bin outside the image, into 0.
        (index(self.low) as u64)..(index(self.high).ceil().min(self.samples) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_left_out_for_speed_are_outside_the_image() {
        // Few enough samples to test each.
        let pooling =
            Pooling { output_size: [3, 2], spatial_scale: 0.5, sampling_ratio: 40, aligned: true, clockwise: true };
        for roi in [[1.0, -30.0, 40.0, 150.0, 90.0, 1.1], [0.0, 60.0, 2.0, 110.0, 400.0, -0.4]] {
            let grid = Grid::new(&roi, &pooling, 6, 9).expect("finite numbers");
            let mut taps: Vec<Tap<f64>> = Vec::new();
            let mut kept = 0;
            for bin in 0..6 {
                grid.taps(bin, &mut taps);
                let (row, column) = (bin / 2, bin % 2);
                let mut all = 0;
                for (i, j) in (0..40).flat_map(|i| (0..40).map(move |j| (i, j))) {
                    let (v, u) = (grid.down.at(row, i), grid.across.at(column, j));
                    let (x, y) = (grid.cx + u * grid.cos - v * grid.sin, grid.cy + u * grid.sin + v * grid.cos);
                    all += usize::from(grid.tap::<f64>(x, y, 1.0).is_some());
                }
                assert_eq!(taps.len(), all);
                kept += all;
            }
            assert!(kept > 20 && kept < 9000, "{kept}");
        }
    }
}
