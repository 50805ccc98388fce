//! DOTA results: a folder with one file per class, in whole-image coordinates.
//!
//! Task 1: `image score x1 y1 ... x4 y4`; task 2: `image score xmin ymin xmax ymax`.

use super::chunks::{PIECE, each_line, read as read_pieces};
use super::fields::{Fields, explain};
use super::names::Names;
use super::problem::Reason;
use super::rows::{Known, Rows, ordered};
use super::write::text::push_coordinate;
use super::{Detections, Options, Problem, Source};
use crate::geom::{Quad, hbox_to_quad};
use crate::ranking;
use std::io::Write;

/// Reads the quads of one class per source.
///
/// # Errors
/// Returns the first problem in source order, unless lenient.
pub fn read_task1(sources: &[Source<'_>], options: &Options<'_>) -> Result<Detections, Problem> {
    read::<8>(sources, options, "10: image score x1 y1 x2 y2 x3 y3 x4 y4", Ok)
}

/// Reads the horizontal boxes of one class per source; they become quads, clockwise from the top left.
///
/// # Errors
/// Same as [`read_task1`].
pub fn read_task2(sources: &[Source<'_>], options: &Options<'_>) -> Result<Detections, Problem> {
    let to_quad = |hbox| ordered(&hbox).map(|()| hbox_to_quad(hbox));
    read::<4>(sources, options, "6: image score xmin ymin xmax ymax", to_quad)
}

fn read<const N: usize>(
    sources: &[Source<'_>],
    options: &Options<'_>,
    meant: &str,
    to_quad: impl Fn([f64; N]) -> Result<Quad, Reason> + Sync,
) -> Result<Detections, Problem> {
    let mut known = Known::new(options);
    if options.classes.is_none() {
        let subjects: Vec<String> = sources.iter().map(|s| s.subject.clone()).collect();
        known.classes = Names::new(&subjects);
    }
    let parse = |rows: &mut Rows<'_, f64>, class: &[u8], line: &[u8]| {
        let (image, score, values) = columns::<N>(line).map_err(|e| explain(line, 2 + N..=2 + N, meant, e))?;
        let (image, label) = (rows.detected(image)?, rows.class(class)?);
        rows.push(to_quad(values)?, score, image, label);
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

/// Text of a Task 1 file: the detections of one label, best first; ties keep their order.
///
/// Scores are written in full, since rounded ones would tie. Coordinates have up to six decimals, which moves corners
/// by at most a millionth of a pixel and drops rounding noise.
///
/// # Panics
/// If the lengths differ, an image has no name, or there are 2³² detections or more.
pub fn write(names: &[String], quads: &[Quad], scores: &[f64], image: &[i32], label: &[i32], of: i32) -> Vec<u8> {
    let rows = label.iter().zip(0..).filter(|(label, _)| **label == of).map(|(_, row)| row).collect();
    let mut text = Vec::new();
    for row in ranking::sort(rows, |row| scores[row as usize]) {
        let i = row as usize;
        text.extend_from_slice(names[image[i] as usize].as_bytes());
        // Writing to a vector never fails.
        let _ = write!(text, " {:?}", scores[i]);
        for &v in &quads[i] {
            text.push(b' ');
            push_coordinate(&mut text, v);
        }
        text.push(b'\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_sorted_and_of_one_label() {
        let (names, quads) = (["a".to_owned(), "é".to_owned()], [[1.0; 8], [2.0; 8], [3.0; 8], [4.0; 8]]);
        let text = write(&names, &quads, &[0.5, 0.9, 0.5, 0.1 + 0.2], &[0, 1, 1, 0], &[0, 1, 0, 0], 0);
        let want = "a 0.5 1 1 1 1 1 1 1 1\né 0.5 3 3 3 3 3 3 3 3\na 0.30000000000000004 4 4 4 4 4 4 4 4\n";
        assert_eq!(String::from_utf8(text).as_deref(), Ok(want));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            rows in prop::collection::vec((-1e6f64..1e6, prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL), 1..20),
        ) {
            let quads: Vec<Quad> = rows.iter().map(|row| [row.0; 8]).collect();
            let scores: Vec<f64> = rows.iter().map(|row| row.1).collect();
            let zeros = vec![0; rows.len()];
            let text = write(&["a".to_owned()], &quads, &scores, &zeros, &zeros, 0);
            let source = Source { name: "f".into(), subject: "c".into(), data: super::super::Data::Bytes(&text) };
            let read = read_task1(&[source], &Options::default()).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let order = ranking::by_falling_score(&scores);
            for (k, &i) in order.iter().enumerate() {
                prop_assert_eq!(read.scores[k], scores[i as usize]);
                prop_assert!((read.quads[k][3] - quads[i as usize][3]).abs() < 5.1e-7);
            }
        }
    }
}
