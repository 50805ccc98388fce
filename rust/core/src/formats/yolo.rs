//! YOLO-OBB: one file per image, `label x1 y1 ... x4 y4` per line, as fractions of the image's sides.
//!
//! Predictions have a score in a tenth column.

use super::chunks::{PIECE, each_line, read as read_pieces};
use super::dota::one_image_a_source;
use super::fields::{Fields, explain};
use super::number;
use super::problem::{Reason, shorten};
use super::rows::{Rows, Scored, later};
use super::{Detections, Options, Problem, Source};
use crate::geom::Quad;

/// Largest plausible fraction of a side; a larger number is a coordinate in pixels.
const MOST: f64 = 10.0;

/// Reads the objects of one image per source: quads as written, not in pixels; the score is NaN if it is missing.
///
/// Labels are indices into `options.classes`; without these, the class names are the digits of the labels.
///
/// # Errors
/// Returns the first problem in source order, unless lenient.
pub fn read(sources: &[Source<'_>], options: &Options<'_>) -> Result<Detections, Problem> {
    let known = one_image_a_source(sources, options);
    let parse = |rows: &mut Rows<'_, Scored>, number: u64, image: &[u8], line: &[u8]| {
        const MEANT: &str = "9: label x1 y1 x2 y2 x3 y3 x4 y4";
        let (class, quad, score) = columns(line).map_err(|reason| explain(line, 9..=10, MEANT, reason))?;
        let class = class_name(class, options.classes)?;
        let (image, label) = (rows.annotated(image)?, rows.class(class.as_bytes())?);
        rows.push(quad, Scored { score, line: later(0, number) }, image, label);
        Ok(())
    };
    let all = read_pieces(sources, PIECE, &known, options, |rows, source, text, problems| {
        each_line(text, problems, |number, line| parse(rows, number, source.subject.as_bytes(), line))
    });
    all.map(Detections::from)
}

fn columns(line: &[u8]) -> Result<(&[u8], Quad, f64), Reason> {
    let mut fields = Fields::new(line);
    let (class, quad) = (fields.word(), fields.coordinates()?);
    if let Some(far) = quad.iter().find(|v| v.abs() > MOST) {
        let text = format!("{far} is not a fraction of an image's side: divide x by its width and y by its height");
        return Err(Reason::line("not normalised", text));
    }
    let score = if fields.clone().word().is_empty() { f64::NAN } else { fields.score()? };
    if !fields.word().is_empty() {
        return Err(Reason::line("wrong number of columns", "wrong number of columns"));
    }
    Ok((class, quad, score))
}

/// Returns the class name of a label, which may be written as `3.0`.
fn class_name(label: &[u8], classes: Option<&[String]>) -> Result<String, Reason> {
    let index = number::parse(label).filter(|v| v.fract() == 0.0 && (0.0..1e6).contains(v));
    let Some(index) = index else {
        let text = format!("label '{}' is not a number from 0 on", shorten(label));
        return Err(Reason::line("wrong label", text));
    };
    let Some(classes) = classes else { return Ok(format!("{index}")) };
    classes.get(index as usize).cloned().ok_or_else(|| {
        let text = format!("label {index} has no name: there are {} names, from 0 on", classes.len());
        Reason::line("wrong label", text)
    })
}

#[cfg(test)]
mod tests {
    use super::super::Data;
    use super::*;

    fn parse(text: &str, classes: Option<&[String]>) -> Result<Detections, Problem> {
        let source = Source { name: "f".into(), subject: "P1".into(), data: Data::Bytes(text.as_bytes()) };
        read(&[source], &Options { classes, ..Options::default() })
    }

    #[test]
    fn lines_with_and_without_scores() {
        let read = parse("1 0 0 1 0 1 1 0 1\r\n0.0 0 0 .5 0 .5 .5 0 1.05 0.75\n", None).expect("read");
        assert_eq!((read.classes, read.line), (vec!["1".to_owned(), "0".to_owned()], vec![1, 2]));
        assert_eq!((read.quads[1][7], read.scores[0].is_nan(), read.scores[1]), (1.05, true, 0.75));
        let names = ["plane".to_owned(), "ship".to_owned()];
        let read = parse("1 0 0 1 0 1 1 0 1", Some(&names)).expect("read");
        assert_eq!((read.classes, read.label), (names.to_vec(), vec![1]));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let names = ["plane".to_owned()];
        for (line, reason) in [
            ("0 0.5 0.5 0.1 0.1", "f:1: 5 columns, need 9: label x1 y1 x2 y2 x3 y3 x4 y4: '0 0.5 0.5 0.1 0.1'"),
            ("1 0 0 1 0 1 1 0 1", "f:1: label 1 has no name: there are 1 names, from 0 on: '1 0 0 1 0 1 1 0 1'"),
            ("-1 0 0 1 0 1 1 0 1", "f:1: label '-1' is not a number from 0 on: '-1 0 0 1 0 1 1 0 1'"),
            (
                "0 0 0 833 0 1 1 0 1",
                "f:1: 833 is not a fraction of an image's side: divide x by its width and y by its height: '0 0 0 833 0 1 1 0 1'",
            ),
        ] {
            assert_eq!(parse(line, Some(&names)).expect_err(line).to_string(), reason);
        }
    }
}
