//! Conversion of TIFF samples to pixels, as in libtiff and thus OpenCV.

use super::super::ImageError;
use super::super::ifd::Directory;
use std::io::{Read, Seek};

/// Interpretation of samples as colours.
pub enum Colour {
    /// The first sample, with a number of bits; the others are dropped.
    Grey {
        bits: usize,
        inverted: bool,
    },
    /// The first three samples.
    Rgb {
        sixteen: bool,
        alpha: Alpha,
    },
    /// Indices into RGB colours.
    Palette(Vec<[u8; 3]>),
    Cmyk,
}

/// Role of a fourth sample.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Alpha {
    /// None: it is missing, or the colours are already multiplied by it.
    None,
    /// libtiff multiplies the colours by it.
    Unassociated,
}

impl Colour {
    /// Reads the interpretation from the tags of a directory.
    pub fn from_tags<R: Read + Seek>(
        tags: &mut Directory<R>,
        samples: usize,
        bits: usize,
    ) -> Result<Colour, ImageError> {
        let photometric = tags.number(262, u64::MAX)?;
        match (photometric, samples, bits) {
            (0 | 1, _, 1 | 2 | 4 | 8 | 16) => Ok(Colour::Grey { bits, inverted: photometric == 0 }),
            (2, 3.., 8 | 16) | (6, 3, 8) => {
                let alpha = if samples > 3 && tags.number(338, 0)? == 2 { Alpha::Unassociated } else { Alpha::None };
                Ok(Colour::Rgb { sixteen: bits == 16, alpha })
            }
            (3, _, 1 | 2 | 4 | 8) => Ok(Colour::Palette(palette(&tags.numbers(320, 3 << bits)?, bits)?)),
            (5, 4.., 8) => Ok(Colour::Cmyk),
            _ => Err(ImageError(format!(
                "is a TIFF with {samples} samples of {bits} bits a pixel and {}: only grey, RGB, palettes and CMYK of up \
                 to 16 bits are read; write it as 8-bit RGB",
                if photometric == u64::MAX {
                    "no photometric interpretation".into()
                } else {
                    format!("photometric interpretation {photometric}")
                }
            ))),
        }
    }

    /// Converts `samples` per pixel to RGB; a sample takes two bytes if it has 16 bits, else one.
    pub fn paint(&self, pixels: &[u8], samples: usize, big_endian: bool, out: &mut [u8]) {
        let out = out.as_chunks_mut::<3>().0;
        match self {
            Colour::Grey { bits: 16, inverted } => {
                let upper = pixels.chunks_exact(2 * samples).map(|p| p[usize::from(!big_endian)]);
                out.iter_mut().zip(upper).for_each(|(o, g)| *o = [if *inverted { 255 - g } else { g }; 3]);
            }
            Colour::Grey { bits, inverted } => {
                let most = (1 << bits) - 1;
                for (out, p) in out.iter_mut().zip(pixels.chunks_exact(samples)) {
                    let grey = if *inverted { most - u16::from(p[0]) } else { u16::from(p[0]) };
                    *out = [(grey * 255 / most) as u8; 3];
                }
            }
            Colour::Rgb { sixteen: false, alpha: Alpha::None } if samples == 3 => {
                out.as_flattened_mut().copy_from_slice(pixels);
            }
            Colour::Rgb { sixteen: false, alpha } => {
                let pixels = pixels.chunks_exact(samples);
                out.iter_mut().zip(pixels).for_each(|(o, p)| *o = rgb(|i| p[i], *alpha));
            }
            Colour::Rgb { sixteen: true, alpha } => {
                let number = if big_endian { u16::from_be_bytes } else { u16::from_le_bytes };
                for (out, p) in out.iter_mut().zip(pixels.chunks_exact(2 * samples)) {
                    let eight = |i: usize| ((u32::from(number([p[2 * i], p[2 * i + 1]])) + 128) / 257) as u8;
                    *out = rgb(eight, *alpha);
                }
            }
            Colour::Palette(colours) => {
                let pixels = pixels.chunks_exact(samples);
                out.iter_mut().zip(pixels).for_each(|(o, p)| *o = colours[usize::from(p[0])]);
            }
            Colour::Cmyk => {
                for (out, p) in out.iter_mut().zip(pixels.chunks_exact(samples)) {
                    let light = |ink: u8| u16::from(255 - ink);
                    *out = [p[0], p[1], p[2]].map(|ink| (light(p[3]) * light(ink) / 255) as u8);
                }
            }
        }
    }
}

fn rgb(sample: impl Fn(usize) -> u8, alpha: Alpha) -> [u8; 3] {
    let rgb = [sample(0), sample(1), sample(2)];
    match alpha {
        Alpha::None => rgb,
        Alpha::Unassociated => {
            let alpha = u32::from(sample(3));
            rgb.map(|colour| ((u32::from(colour) * alpha + 127) / 255) as u8)
        }
    }
}

/// Palette of 16-bit colours: all reds, all greens, all blues. Old files have 8 bits: then none is above 255.
fn palette(map: &[u64], bits: usize) -> Result<Vec<[u8; 3]>, ImageError> {
    let n = 1 << bits;
    if map.len() < 3 * n {
        return Err(ImageError::new("is damaged: its palette has too few colours"));
    }
    let shift = if map[..3 * n].iter().any(|&colour| colour > 255) { 8 } else { 0 };
    Ok((0..n).map(|i| [i, n + i, 2 * n + i].map(|at| (map[at] >> shift) as u8)).collect())
}

/// Unpacks samples of 1, 2 or 4 bits to one byte each; skips the first `skip`.
pub fn unpack(raw: &[u8], bits: usize, skip: usize, out: &mut [u8]) {
    for (i, out) in (skip..).zip(out) {
        *out = raw[i * bits / 8] >> (8 - bits - i * bits % 8) & ((1 << bits) - 1);
    }
}
