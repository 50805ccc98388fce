//! TIFF compressions as streams of rows.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use super::super::section::Section;
use super::super::{ImageError, jpeg};

/// Compression of strips and tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Lzw,
    Deflate,
    PackBits,
    Jpeg,
}

impl Compression {
    pub fn from_tag(tag: u64) -> Result<Compression, ImageError> {
        let name = match tag {
            1 => return Ok(Compression::None),
            5 => return Ok(Compression::Lzw),
            7 => return Ok(Compression::Jpeg),
            8 | 32946 => return Ok(Compression::Deflate),
            32773 => return Ok(Compression::PackBits),
            2..=4 => "a fax compression",
            6 => "the old kind of JPEG",
            34712 | 33003 | 33004 | 33005 => "JPEG 2000",
            34887 => "LERC",
            34925 => "LZMA",
            50000 => "ZSTD",
            50001 => "WebP",
            _ => "an unknown method",
        };
        Err(ImageError(format!(
            "is a TIFF compressed by {name} ({tag}), which is not read: write it with LZW, Deflate or JPEG, such as with \
             gdal_translate -co COMPRESS=DEFLATE -co TILED=YES"
        )))
    }

    /// Largest expansion of one byte by a compression that is not read. Some need no bytes at all for equal pixels.
    pub const OTHERS: u64 = 1 << 16;

    /// Largest expansion of one byte.
    pub fn expansion(self) -> u64 {
        match self {
            Compression::None => 1,
            Compression::Lzw => 2731, // 12 bits for 4096 bytes
            Compression::Deflate => 1032,
            Compression::PackBits => 64,
            Compression::Jpeg => jpeg::PIXELS_PER_BYTE * 4,
        }
    }

    /// Decodes a strip or tile from its compressed data, `section`.
    pub fn open(self, section: Section, jpeg: &Jpeg) -> Result<Box<dyn Rows>, ImageError> {
        let source = BufReader::new(section);
        Ok(match self {
            Compression::None => Box::new(Bytes(source)),
            Compression::Lzw => Box::new(Bytes(Lzw::new(source)?)),
            Compression::Deflate => Box::new(Bytes(flate2::bufread::ZlibDecoder::new(source))),
            Compression::PackBits => Box::new(Bytes(PackBits { source, run: 0, value: None })),
            Compression::Jpeg => Box::new(jpeg.open(source)?),
        })
    }
}

/// Rows of a strip or tile, from the top.
pub trait Rows: Send {
    /// Next row.
    fn row(&mut self, out: &mut [u8]) -> Result<(), ImageError>;
}

struct Bytes<R>(R);

impl<R: Read + Send> Rows for Bytes<R> {
    fn row(&mut self, out: &mut [u8]) -> Result<(), ImageError> {
        Ok(self.0.read_exact(out)?)
    }
}

impl Rows for jpeg::Rows {
    fn row(&mut self, out: &mut [u8]) -> Result<(), ImageError> {
        self.read(out)
    }
}

/// Settings common to all JPEG strips and tiles.
pub struct Jpeg {
    /// JPEG stream of tables only; empty if each strip has its own.
    pub tables: Vec<u8>,
    /// Samples per pixel.
    pub samples: usize,
    /// Whether the samples are YCbCr and must be converted to RGB.
    pub ycbcr: bool,
    /// Width and height of a strip or tile; the last strip may have fewer rows.
    pub size: (usize, usize),
}

impl Jpeg {
    fn open(&self, mut source: BufReader<Section>) -> Result<jpeg::Rows, ImageError> {
        let mut start = [0; 2];
        source.read_exact(&mut start)?;
        if start != [0xff, 0xd8] {
            return Err(ImageError::new("has a strip or tile that is not JPEG"));
        }
        // Only the TIFF tags give the meaning of the samples; an Adobe marker passes it to libjpeg.
        let mut head = vec![0xff, 0xd8, 0xff, 0xee, 0, 14];
        head.extend_from_slice(b"Adobe\0\x64\0\0\0\0");
        head.push(u8::from(self.ycbcr));
        // The tables without their own start and end.
        head.extend_from_slice(self.tables.get(2..self.tables.len().saturating_sub(2)).unwrap_or_default());
        let header = jpeg::header(Box::new(Cursor::new(head).chain(source)))?;
        let ((width, height), inside) = (header.size(), header.components().len());
        if width != self.size.0 || height > self.size.1 || inside != self.samples {
            let (need_width, need_height) = self.size;
            return Err(ImageError(format!(
                "has a strip or tile of {width} x {height} pixels of {inside} samples where {need_width} x {need_height} \
                 of {} are expected",
                self.samples
            )));
        }
        jpeg::Rows::start(header, inside)
    }
}

struct Lzw<R> {
    source: R,
    decoder: weezl::decode::Decoder,
}

impl<R: BufRead> Lzw<R> {
    fn new(mut source: R) -> Result<Lzw<R>, ImageError> {
        // Codes begin with "clear", 256 in 9 bits; before TIFF 6 they had the reverse bit order.
        if source.fill_buf()?.first() == Some(&0) {
            return Err(ImageError::new("is a TIFF with LZW from before 1992, which is not read; save it again"));
        }
        let decoder = weezl::decode::Decoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8);
        Ok(Lzw { source, decoder })
    }
}

impl<R: BufRead> Read for Lzw<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let input = self.source.fill_buf()?;
            let result = self.decoder.decode_bytes(input, out);
            let ended = input.is_empty();
            self.source.consume(result.consumed_in);
            let done = matches!(result.status.map_err(io::Error::other)?, weezl::LzwStatus::Done);
            if result.consumed_out > 0 || out.is_empty() || done || ended {
                return Ok(result.consumed_out);
            }
        }
    }
}

struct PackBits<R> {
    source: R,
    /// Remaining bytes of a run.
    run: usize,
    /// Repeated byte of the run; None for literal bytes.
    value: Option<u8>,
}

impl<R: BufRead> PackBits<R> {
    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.source.read_exact(&mut byte)?;
        Ok(byte[0])
    }
}

impl<R: BufRead> Read for PackBits<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.run == 0 {
            match self.byte()? as i8 {
                -128 => {} // no operation
                copies @ ..0 => (self.run, self.value) = ((1 - isize::from(copies)) as usize, Some(self.byte()?)),
                bytes => (self.run, self.value) = (bytes as usize + 1, None),
            }
        }
        let length = self.run.min(out.len());
        match self.value {
            Some(value) => out[..length].fill(value),
            None => self.source.read_exact(&mut out[..length])?,
        }
        self.run -= length;
        Ok(length)
    }
}

/// Undoes horizontal differencing.
pub fn undo_differences(row: &mut [u8], samples: usize, bits: usize, big_endian: bool) {
    match (bits, big_endian) {
        (8, _) => add(row.as_chunks_mut().0, samples, |[a], [b]| [a.wrapping_add(b)]),
        (_, false) => add(row.as_chunks_mut().0, samples, |a, b| {
            u16::from_le_bytes(a).wrapping_add(u16::from_le_bytes(b)).to_le_bytes()
        }),
        (_, true) => add(row.as_chunks_mut().0, samples, |a, b| {
            u16::from_be_bytes(a).wrapping_add(u16::from_be_bytes(b)).to_be_bytes()
        }),
    }
}

fn add<T: Copy>(row: &mut [T], samples: usize, sum: impl Fn(T, T) -> T) {
    for i in samples..row.len() {
        row[i] = sum(row[i], row[i - samples]);
    }
}
