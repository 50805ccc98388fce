//! DOTA results: a folder with one file a class, in whole-image coordinates.
//!
//! Task 1: `image score x1 y1 ... x4 y4`; task 2: `image score xmin ymin xmax ymax`.

use super::chunks::{PIECE, each_line, read as read_pieces};
use super::fields::{Fields, explain};
use super::names::Names;
use super::problem::Reason;
use super::rows::{Known, Rows};
use super::{Detections, Options, Problem, Source};
use crate::geom::Quad;

/// Reads the quads of one class a source.
///
/// # Errors
/// The first problem in the order of the sources, unless lenient.
pub fn read_task1(sources: &[Source<'_>], options: &Options<'_>) -> Result<Detections, Problem> {
    read::<8>(sources, options, "10: image score x1 y1 x2 y2 x3 y3 x4 y4", |quad| quad)
}

/// Reads the horizontal boxes of one class a source; they become quads, clockwise from the top left.
///
/// # Errors
/// As [`read_task1`].
pub fn read_task2(sources: &[Source<'_>], options: &Options<'_>) -> Result<Detections, Problem> {
    read::<4>(sources, options, "6: image score xmin ymin xmax ymax", hbox_to_quad)
}

/// The corners of a horizontal box `xmin, ymin, xmax, ymax`, clockwise from the top left.
pub(crate) fn hbox_to_quad([x0, y0, x1, y1]: [f64; 4]) -> Quad {
    [x0, y0, x1, y0, x1, y1, x0, y1]
}

fn read<const N: usize>(
    sources: &[Source<'_>],
    options: &Options<'_>,
    meant: &str,
    to_quad: impl Fn([f64; N]) -> Quad + Sync,
) -> Result<Detections, Problem> {
    let mut known = Known::new(options);
    if options.classes.is_none() {
        let subjects: Vec<String> = sources.iter().map(|s| s.subject.clone()).collect();
        known.classes = Names::new(&subjects);
    }
    let parse = |rows: &mut Rows<'_, f64>, class: &[u8], line: &[u8]| {
        let (image, score, values) = columns::<N>(line).map_err(|e| explain(line, 2 + N..=2 + N, meant, e))?;
        let (image, label) = (rows.detected(image)?, rows.class(class)?);
        rows.push(to_quad(values), score, image, label);
        Ok(())
    };
    let all = read_pieces(sources, PIECE, &known, options, |rows, source, text, problems| {
        each_line(text, problems, |_, line| parse(rows, source.subject.as_bytes(), line))
    });
    all.map(Detections::from)
}

#[inline(always)]
fn columns<const N: usize>(line: &[u8]) -> Result<(&[u8], f64, [f64; N]), Reason> {
    let mut fields = Fields::new(line);
    let row = (fields.word(), fields.score()?, fields.coordinates()?);
    if !fields.word().is_empty() {
        return Err(Reason::line("wrong number of columns", "wrong number of columns"));
    }
    Ok(row)
}
