//! DOTA annotations: a folder `labelTxt` with one file per image.
//!
//! Optional header lines `imagesource:...` and `gsd:...`, then `x1 y1 ... x4 y4 class difficulty`; the
//! difficulty may be missing.

use super::chunks::{PIECE, each_line, read as read_pieces};
use super::fields::{Fields, difficulty, explain};
use super::names::Names;
use super::problem::Reason;
use super::rows::{Known, Object, Rows, check_class};
use super::{Annotations, Options, Problem, Source};
use crate::geom::Quad;

/// Reads the annotations of one image per source.
///
/// # Errors
/// Returns the first problem in source order, unless lenient.
pub fn read(sources: &[Source<'_>], options: &Options<'_>) -> Result<Annotations, Problem> {
    let known = one_image_a_source(sources, options);
    let parse = |rows: &mut Rows<'_, Object>, number: u64, image: &[u8], line: &[u8]| match columns(line) {
        Ok((quad, class, difficult)) => rows.push_object(number, image, class, quad, difficult),
        Err(_) if is_header(line) => Ok(()),
        Err(reason) => Err(explain(line, 9..=10, "9 or 10: x1 y1 x2 y2 x3 y3 x4 y4 class difficulty", reason)),
    };
    let all = read_pieces(sources, PIECE, &known, options, |rows, source, text, problems| {
        each_line(text, problems, |number, line| parse(rows, number, source.subject.as_bytes(), line))
    });
    all.map(Annotations::from)
}

/// Known names if each source is an image: every source counts as one, with or without objects.
pub(crate) fn one_image_a_source(sources: &[Source<'_>], options: &Options<'_>) -> Known {
    let mut known = Known::new(options);
    if options.images.is_none() {
        let subjects: Vec<String> = sources.iter().map(|s| s.subject.clone()).collect();
        known.images = Names::new(&subjects);
    }
    known
}

fn columns(line: &[u8]) -> Result<(Quad, &[u8], u8), Reason> {
    let mut fields = Fields::new(line);
    let quad = fields.coordinates()?;
    let (class, difficult) = (fields.word(), fields.word());
    if class.is_empty() || !fields.word().is_empty() {
        return Err(Reason::line("wrong number of columns", "wrong number of columns"));
    }
    check_class(class, difficult)?;
    Ok((quad, class, difficulty(difficult)?))
}

/// Headers are `imagesource:GoogleEarth` and `gsd:0.1`; DOTA's page prints them with quotes and spaces.
fn is_header(line: &[u8]) -> bool {
    let line: Vec<u8> = line.iter().filter(|b| !b"'\" \t".contains(b)).map(u8::to_ascii_lowercase).collect();
    line.starts_with(b"imagesource:") || line.starts_with(b"gsd:")
}
