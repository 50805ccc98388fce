//! Measures the codecs alone for a split: prints the seconds to decode all images, the seconds to encode all patches,
//! and the number of patches.
//!
//! `codecs IMAGE...` cuts windows of 1024 pixels that overlap by 200, and writes no files.

#![allow(clippy::print_stdout)]

use rotx_core::image_io::{Area, Format, encode, open};
use rotx_core::tile::{Tiling, windows};
use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const TILING: Tiling = Tiling { size: 1024, gap: 200 };

fn main() -> Result<(), Box<dyn Error>> {
    let (mut decoding, mut encoding, mut patches) = (Duration::ZERO, Duration::ZERO, 0);
    for path in std::env::args().skip(1).map(PathBuf::from) {
        let start = Instant::now();
        let mut decoder = open(&path)?;
        let (width, height) = decoder.size();
        let mut image = vec![0; width * height * 3];
        decoder.read(Area { x: 0, y: 0, width, height }, &mut image)?;
        decoding += start.elapsed();

        for window in windows(width as i64, height as i64, &[TILING], 0.6) {
            let (x, y, side) = (window.x0 as usize, window.y0 as usize, TILING.size as usize);
            let mut patch = [124, 116, 104].repeat(side * side);
            let across = side.min(width - x) * 3;
            for row in 0..side.min(height - y) {
                let from = ((y + row) * width + x) * 3;
                patch[row * side * 3..][..across].copy_from_slice(&image[from..][..across]);
            }
            let start = Instant::now();
            encode(&patch, side, side, Format::Png, Vec::new())?;
            encoding += start.elapsed();
            patches += 1;
        }
    }
    println!("{} {} {patches}", decoding.as_secs_f64(), encoding.as_secs_f64());
    Ok(())
}
