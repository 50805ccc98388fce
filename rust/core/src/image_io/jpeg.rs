//! JPEG, row by row, by libjpeg; bit-identical to OpenCV.

use mozjpeg::{ColorSpace, Decompress, Marker};
use mozjpeg_sys::{self as ffi, J_MESSAGE_CODE, jpeg_common_struct, jpeg_decompress_struct, jpeg_error_mgr};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};

use super::budget::{check_claim, check_whole, resize};
use super::whole::turned;
use super::{Area, Decoder, ImageError, ifd};

/// A block of 8 x 8 pixels takes at least one bit.
pub const PIXELS_PER_BYTE: u64 = 512;

/// Greatest number of scans; encoders write about ten. Each costs time for all pixels, however few bytes it has.
const MOST_SCANS: i32 = 100;

/// Warnings of libjpeg about missing pixels, which it fills with grey; they are errors here.
const MISSING_PIXELS: [J_MESSAGE_CODE; 4] =
    [ffi::JWRN_HIT_MARKER, ffi::JWRN_HUFF_BAD_CODE, ffi::JWRN_JPEG_EOF, ffi::JWRN_MUST_RESYNC];

/// A JPEG file.
struct Jpeg {
    path: PathBuf,
    size: (usize, usize),
    /// None before the first row and after an error.
    rows: Option<Rows>,
    /// Next row.
    next: usize,
    row: Vec<u8>,
}

/// Opens a file and reads its header.
pub fn open(path: &Path) -> Result<Box<dyn Decoder>, ImageError> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let header = header(Box::new(BufReader::new(file)))?;
    let in_scans = IN_SCANS.get();
    let exif = header.markers().filter(|m| m.marker == Marker::APP(1)).find_map(|m| m.data.strip_prefix(b"Exif\0\0"));
    let orientation = exif.map_or(1, ifd::orientation);
    let size = header.size();
    check_claim(size, 8, length, PIXELS_PER_BYTE)?;
    if in_scans {
        check_whole(size, "a JPEG of several scans")?;
    }
    turned(Box::new(Jpeg { path: path.to_owned(), size, rows: None, next: 0, row: Vec::new() }), orientation)
}

impl Decoder for Jpeg {
    fn size(&self) -> (usize, usize) {
        self.size
    }

    fn block(&self) -> (usize, usize) {
        (self.size.0, 64)
    }

    fn decode(&mut self, area: Area, out: &mut [u8]) -> Result<(), ImageError> {
        let mut rows = match self.rows.take().filter(|_| self.next <= area.y) {
            Some(rows) => rows,
            None => {
                self.next = 0;
                let header = header(Box::new(BufReader::new(File::open(&self.path)?)))?;
                let samples = if header.components().len() == 4 { 4 } else { 3 };
                Rows::start(header, samples)?
            }
        };
        let samples = rows.samples;
        resize(&mut self.row, self.size.0 * samples)?;
        for _ in self.next..area.y {
            rows.read(&mut self.row)?;
        }
        for out in out.chunks_exact_mut(area.width * 3) {
            rows.read(&mut self.row)?;
            let row = &self.row[area.x * samples..][..area.width * samples];
            match samples {
                4 => out.as_chunks_mut::<3>().0.iter_mut().zip(row.as_chunks().0).for_each(|(o, &p)| *o = from_cmyk(p)),
                _ => out.copy_from_slice(row),
            }
        }
        self.next = area.y + area.height;
        self.rows = Some(rows);
        Ok(())
    }
}

/// Converts CMYK, which is inverted in JPEG files, as OpenCV does.
fn from_cmyk([c, m, y, k]: [u8; 4]) -> [u8; 3] {
    [c, m, y].map(|ink| k - ((u16::from(255 - ink) * u16::from(k)) >> 8) as u8)
}

/// Source of a stream's bytes.
pub type Source = Box<dyn BufRead + Send>;

/// Rows of a JPEG stream, from the top.
pub struct Rows {
    /// None after the last row.
    started: Option<mozjpeg::decompress::DecompressStarted<Source>>,
    /// Samples per pixel: 1 is grey, 3 RGB, 4 CMYK.
    samples: usize,
    left: usize,
}

// SAFETY: it only points into memory that it owns, and between calls the C code keeps nothing that belongs to a thread.
unsafe impl Send for Rows {}

impl Rows {
    /// Starts decoding to a number of samples per pixel; a stream of several scans is decoded whole, to two bytes per
    /// sample.
    pub fn start(header: Decompress<Source>, samples: usize) -> Result<Rows, ImageError> {
        let space = match samples {
            1 => ColorSpace::JCS_GRAYSCALE,
            3 => ColorSpace::JCS_RGB,
            _ => ColorSpace::JCS_CMYK,
        };
        let left = header.height();
        let started = guard(|| header.to_colorspace(space))?;
        Ok(Rows { started: Some(started), samples, left })
    }

    /// Next row, `width * samples` bytes; after the last one, the rest of the stream is checked.
    pub fn read(&mut self, out: &mut [u8]) -> Result<(), ImageError> {
        let mut started = self.started.take().ok_or_else(ImageError::cut_off)?;
        guard(|| started.read_scanlines_into(out).map(drop))?;
        self.left -= 1;
        if self.left == 0 {
            return guard(|| started.finish());
        }
        self.started = Some(started);
        Ok(())
    }
}

/// Reads the header of a stream.
pub fn header(source: Source) -> Result<Decompress<Source>, ImageError> {
    IN_SCANS.set(false);
    guard(|| Decompress::builder().with_err(errors()).with_markers(&[Marker::APP(1)]).from_reader(source))
}

thread_local! {
    /// Whether the header that this thread read last announces several scans; libjpeg tells it in messages only.
    static IN_SCANS: Cell<bool> = const { Cell::new(false) };
}

/// Payload of the unwinding on libjpeg errors.
enum Failure {
    Libjpeg { code: J_MESSAGE_CODE, message: String },
    Refused(ImageError),
}

/// Calls libjpeg, which unwinds on errors.
pub fn guard<T>(call: impl FnOnce() -> io::Result<T>) -> Result<T, ImageError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => Ok(result?),
        Err(cause) => Err(match cause.downcast::<Failure>().map(|failure| *failure) {
            Ok(Failure::Refused(error)) => error,
            Ok(Failure::Libjpeg { code, .. }) if [ffi::JWRN_JPEG_EOF, ffi::JERR_FILE_READ].contains(&code) => {
                ImageError::cut_off()
            }
            Ok(Failure::Libjpeg { message, .. }) => {
                ImageError(format!("is damaged, or of a kind of JPEG that is not read: {message}"))
            }
            Err(_) => ImageError::new("libjpeg failed"),
        }),
    }
}

/// libjpeg's default error handling, except that errors and warnings about missing pixels unwind.
fn errors() -> jpeg_error_mgr {
    // SAFETY: all of its fields may be zero, and `jpeg_std_error` sets them.
    let mut errors = unsafe {
        let mut errors = std::mem::zeroed();
        ffi::jpeg_std_error(&mut errors);
        errors
    };
    errors.error_exit = Some(fail);
    errors.emit_message = Some(heed);
    errors
}

unsafe extern "C-unwind" fn fail(info: &mut jpeg_common_struct) {
    let mut text = [0; 200]; // the most that libjpeg writes
    // SAFETY: libjpeg calls this with its own structure, whose `err` is what `errors` made; libjpeg writes to the text,
    // which is longer than the binding says.
    let code = unsafe {
        let errors = &*info.err;
        if let Some(format) = errors.format_message {
            let format: unsafe extern "C-unwind" fn(&mut jpeg_common_struct, &mut [u8; 200]) =
                std::mem::transmute(format);
            format(info, &mut text);
        }
        (*info.err).msg_code
    };
    let message = text.split(|&byte| byte == 0).next().unwrap_or_default();
    let message = String::from_utf8_lossy(message).into_owned();
    resume_unwind(Box::new(Failure::Libjpeg { code: code as J_MESSAGE_CODE, message }));
}

unsafe extern "C-unwind" fn heed(info: &mut jpeg_common_struct, level: i32) {
    // SAFETY: as in `fail`.
    let (code, words) = unsafe { ((*info.err).msg_code as J_MESSAGE_CODE, *(*info.err).msg_parm.i()) };
    if level < 0 && MISSING_PIXELS.contains(&code) {
        // SAFETY: as in `fail`.
        unsafe { fail(info) };
    }
    if code == ffi::JTRC_SOF || code == ffi::JTRC_SOS {
        // SAFETY: only decoders read these markers, and the common fields are the first of a decoder.
        let decoder = unsafe { &*std::ptr::from_ref(info).cast::<jpeg_decompress_struct>() };
        // The first word is the kind of the frame, of which two are progressive, or the number of the scan's components.
        let in_scans =
            if code == ffi::JTRC_SOF { [0xc2, 0xca].contains(&words[0]) } else { words[0] < decoder.num_components };
        IN_SCANS.set(IN_SCANS.get() || in_scans);
        if code == ffi::JTRC_SOS && decoder.input_scan_number >= MOST_SCANS {
            let error = ImageError(format!("is damaged: it is a JPEG of more than {MOST_SCANS} scans"));
            resume_unwind(Box::new(Failure::Refused(error)));
        }
    }
}
