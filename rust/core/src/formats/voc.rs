//! VOC-style XML, one file per image: DIOR-R, HRSC2016, roLabelImg and plain boxes.
//!
//! In `<annotation>`, each `<object>` has a `<name>`, perhaps `<difficult>`, and a box: `<robndbox>` by its
//! corners (`x_left_top`, ...: DIOR-R) or by `cx cy w h angle`, radians clockwise (roLabelImg); or `<bndbox>` by
//! `xmin ymin xmax ymax` or by the corners `x0 y0 ... x3 y3`. In `<HRSC_Image>`, each `<HRSC_Object>` has
//! `mbox_cx`, ... `mbox_ang`, radians clockwise; their class is `ship`, as HRSC2016 is commonly scored.

use super::chunks::{WHOLE, read as read_files};
use super::dota::one_image_a_source;
use super::fields::{coordinate, difficulty};
use super::problem::{Problems, Reason, shorten};
use super::rows::{self, Rows, Shape};
use super::{Annotations, Options, Problem, Source};
use roxmltree::{Document, Node};
use std::f64::consts::TAU;

pub(super) const DIOR: [&str; 8] = [
    "x_left_top",
    "y_left_top",
    "x_right_top",
    "y_right_top",
    "x_right_bottom",
    "y_right_bottom",
    "x_left_bottom",
    "y_left_bottom",
];
const CORNERS: [&str; 8] = ["x0", "y0", "x1", "y1", "x2", "y2", "x3", "y3"];

/// Reads the annotations of one image per source.
///
/// # Errors
/// Returns the first problem in source order, unless lenient; malformed XML is a problem of the whole file.
pub fn read(sources: &[Source<'_>], options: &Options<'_>) -> Result<Annotations, Problem> {
    let known = one_image_a_source(sources, options);
    let all = read_files(sources, WHOLE, &known, options, |rows, source, text, problems| {
        if let Err(reason) = image(rows, &source.subject, text, problems) {
            let _ = problems.add(0, b"", reason);
        }
        0
    });
    all.map(Annotations::from)
}

fn image(
    rows: &mut Rows<'_, rows::Object>,
    image: &str,
    text: &[u8],
    problems: &mut Problems<'_>,
) -> Result<(), Reason> {
    let bad = |e: String| Reason::file("not well-formed xml", e);
    let text = str::from_utf8(text).map_err(|_| bad("is not UTF-8 text".to_owned()))?;
    let broken = |e: roxmltree::Error| bad(format!("is not well-formed xml: {}", shorten(e.to_string().as_bytes())));
    let document = Document::parse(text).map_err(broken)?;
    let root = document.root_element().tag_name().name();
    let tag = match root {
        "annotation" => "object",
        "HRSC_Image" => "HRSC_Object",
        _ => return Err(bad(format!("starts with <{root}>; need <annotation> or <HRSC_Image>"))),
    };
    let (mut line, mut counted) = (1, 0);
    for node in document.descendants().filter(|n| n.has_tag_name(tag)) {
        // Objects come in the order of the file, so its lines are counted once.
        let start = node.range().start;
        line += text.as_bytes()[counted..start].iter().filter(|&&b| b == b'\n').count() as u64;
        counted = start;
        let parsed = if tag == "object" { object(node) } else { hrsc_object(node) };
        let pushed = parsed.and_then(|(class, shape, difficult)| {
            rows.push_shape(line, image.as_bytes(), class.as_bytes(), shape, difficult)
        });
        if let Err(reason) = pushed {
            let first = text[node.range()].lines().next().unwrap_or_default();
            if problems.add(line, first.as_bytes(), reason).is_break() {
                break;
            }
        }
    }
    Ok(())
}

type Object<'a> = (&'a str, Shape, u8);

fn object<'a>(node: Node<'a, '_>) -> Result<Object<'a>, Reason> {
    let class = required(node, "name")?;
    let shape = if let Some(shape) = child(node, "robndbox") {
        if child(shape, DIOR[0]).is_some() {
            Shape::Corners(coordinates(shape, DIOR)?)
        } else {
            rotated(coordinates(shape, ["cx", "cy", "w", "h", "angle"])?)?
        }
    } else if let Some(shape) = child(node, "bndbox") {
        if child(shape, CORNERS[0]).is_some() {
            Shape::Corners(coordinates(shape, CORNERS)?)
        } else {
            Shape::Upright(coordinates(shape, ["xmin", "ymin", "xmax", "ymax"])?)
        }
    } else {
        return Err(Reason::line("incomplete object", "an object needs <robndbox> or <bndbox>"));
    };
    Ok((class, shape, difficulty(text_of(node, "difficult").as_bytes())?))
}

fn hrsc_object<'a>(node: Node<'a, '_>) -> Result<Object<'a>, Reason> {
    let rbox = coordinates(node, ["mbox_cx", "mbox_cy", "mbox_w", "mbox_h", "mbox_ang"])?;
    Ok(("ship", rotated(rbox)?, difficulty(text_of(node, "difficult").as_bytes())?))
}

/// The shape of `cx, cy, w, h, angle`. No program writes more than a turn in radians: such an angle is in degrees.
fn rotated(rbox: [f64; 5]) -> Result<Shape, Reason> {
    if rbox[4].abs() > TAU + 1e-3 {
        let text = format!("the angle must be in radians, clockwise; {} is more than a turn", rbox[4]);
        return Err(Reason::line("angle not in radians", text));
    }
    Ok(Shape::Rotated(rbox))
}

pub(super) fn child<'a, 'd>(node: Node<'a, 'd>, tag: &str) -> Option<Node<'a, 'd>> {
    node.children().find(|n| n.has_tag_name(tag))
}

pub(super) fn text_of<'a>(node: Node<'a, '_>, tag: &str) -> &'a str {
    child(node, tag).and_then(|n| n.text()).unwrap_or_default().trim()
}

fn required<'a>(node: Node<'a, '_>, tag: &str) -> Result<&'a str, Reason> {
    match text_of(node, tag) {
        "" => Err(Reason::line("incomplete object", format!("<{tag}> missing or empty"))),
        text => Ok(text),
    }
}

fn coordinates<const N: usize>(node: Node<'_, '_>, tags: [&str; N]) -> Result<[f64; N], Reason> {
    let mut values = [0.0; N];
    for (value, tag) in values.iter_mut().zip(tags) {
        *value = coordinate(required(node, tag)?.as_bytes())
            .map_err(|reason| Reason::line(reason.kind, format!("<{tag}>: {}", reason.text)))?;
    }
    Ok(values)
}
