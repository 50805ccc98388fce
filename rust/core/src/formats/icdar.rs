//! ICDAR 2015 scene text: one file per image, columns separated by commas, one class `text`.
//!
//! Ground truth: `x1,y1,...,x4,y4,transcription`, where `###` means "don't care" (difficulty 1) and the
//! transcription may hold commas. Results: `x1,y1,...,x4,y4`, whatever follows; they have no scores, so 1.

use super::chunks::{PIECE, each_line, read as read_pieces};
use super::dota::one_image_a_source;
use super::fields::{coordinate, trim, wrong_columns};
use super::problem::Reason;
use super::rows::{Known, Object, Rows};
use super::{Annotations, Detections, Options, Problem, Source};
use crate::geom::Quad;

/// The only class.
pub const CLASS: &str = "text";

/// Reads the ground truth of one image per source.
///
/// # Errors
/// Returns the first problem in source order, unless lenient.
pub fn read_annotations(sources: &[Source<'_>], options: &Options<'_>) -> Result<Annotations, Problem> {
    let known = one_image_a_source(sources, options);
    let parse = |rows: &mut Rows<'_, Object>, number: u64, image: &[u8], line: &[u8]| {
        let (quad, transcription) = columns(line)?;
        let transcription =
            transcription.ok_or_else(|| wrong_columns(8, "9: x1,y1,x2,y2,x3,y3,x4,y4,transcription"))?;
        rows.push_object(number, image, CLASS.as_bytes(), quad, u8::from(trim(transcription) == b"###"))
    };
    let all = read_pieces(sources, PIECE, &known, options, |rows, source, text, problems| {
        each_line(text, problems, |number, line| parse(rows, number, source.subject.as_bytes(), line))
    });
    all.map(Annotations::from)
}

/// Reads the results of one image per source.
///
/// # Errors
/// Same as [`read_annotations`].
pub fn read_results(sources: &[Source<'_>], options: &Options<'_>) -> Result<Detections, Problem> {
    let known = Known::new(options);
    let parse = |rows: &mut Rows<'_, f64>, image: &[u8], line: &[u8]| {
        let (quad, _) = columns(line)?;
        let (image, label) = (rows.detected(image)?, rows.class(CLASS.as_bytes())?);
        rows.push(quad, 1.0, image, label);
        Ok(())
    };
    let all = read_pieces(sources, PIECE, &known, options, |rows, source, text, problems| {
        each_line(text, problems, |_, line| parse(rows, source.subject.as_bytes(), line))
    });
    all.map(Detections::from)
}

fn columns(line: &[u8]) -> Result<(Quad, Option<&[u8]>), Reason> {
    let mut fields = line.splitn(9, |&b| b == b',');
    let mut quad = [0.0; 8];
    for (i, value) in quad.iter_mut().enumerate() {
        let field =
            fields.next().ok_or_else(|| wrong_columns(i, "8 numbers separated by commas: x1,y1,x2,y2,x3,y3,x4,y4"))?;
        *value = coordinate(field)?;
    }
    Ok((quad, fields.next()))
}
