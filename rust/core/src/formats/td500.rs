//! MSRA-TD500 scene text: one file per image, `index difficulty x y width height angle`, one class `text`.
//!
//! `x, y` is the top left corner before the box is rotated about its centre by `angle`, in radians, clockwise.

use super::chunks::{PIECE, each_line, read as read_pieces};
use super::dota::one_image_a_source;
use super::fields::{Fields, difficulty, explain};
use super::icdar::CLASS;
use super::problem::Reason;
use super::rows::{Object, Rows, Shape};
use super::{Annotations, Options, Problem, Source};

const MEANT: &str = "7: index difficulty x y width height angle";

/// Reads the annotations of one image per source.
///
/// # Errors
/// Returns the first problem in source order, unless lenient.
pub fn read(sources: &[Source<'_>], options: &Options<'_>) -> Result<Annotations, Problem> {
    let known = one_image_a_source(sources, options);
    let parse = |rows: &mut Rows<'_, Object>, number: u64, image: &[u8], line: &[u8]| {
        let ([x, y, w, h, angle], difficult) = columns(line).map_err(|reason| explain(line, 7..=7, MEANT, reason))?;
        let shape = Shape::Rotated([x + w / 2.0, y + h / 2.0, w, h, angle]);
        rows.push_shape(number, image, CLASS.as_bytes(), shape, difficult)
    };
    let all = read_pieces(sources, PIECE, &known, options, |rows, source, text, problems| {
        each_line(text, problems, |number, line| parse(rows, number, source.subject.as_bytes(), line))
    });
    all.map(Annotations::from)
}

fn columns(line: &[u8]) -> Result<([f64; 5], u8), Reason> {
    let mut fields = Fields::new(line);
    let (_, difficult) = (fields.word(), fields.word());
    let (box_, rest) = (fields.coordinates()?, fields.word());
    if !rest.is_empty() {
        return Err(Reason::line("wrong number of columns", "wrong number of columns"));
    }
    Ok((box_, difficulty(difficult)?))
}
