//! VOC-style XML, one file per image: DIOR-R, HRSC2016, roLabelImg, FAIR1M, DroneVehicle and plain boxes.
//!
//! In `<annotation>`, each `<object>` has a `<name>` (FAIR1M: in `<possibleresult>`), perhaps `<difficult>`, and one or
//! more shapes, of which the most exact one counts: corners in `<polygon>` (`x1 y1 ...` or `<pt>`) or `<points>`
//! (FAIR1M), in `<robndbox>` (`x_left_top`, ...: DIOR-R) or in `<bndbox>` (`x0 y0 ... x3 y3`); then `<robndbox>` by
//! `cx cy w h angle`, radians clockwise (roLabelImg); then `<bndbox>` by `xmin ymin xmax ymax`, perhaps turned by an
//! attribute `rotation`, degrees clockwise (CVAT). Shapes of an object that disagree are a problem. In `<HRSC_Image>`,
//! each `<HRSC_Object>` has `mbox_cx`, ... `mbox_ang`, radians clockwise; their class is `ship`, as HRSC2016 is commonly
//! scored. Other entries are counted, unless they say nothing.

use super::chunks::{WHOLE, read as read_files};
use super::dota::one_image_a_source;
use super::fields::difficulty;
use super::problem::{Problems, Reason, shorten};
use super::rows::{self, Rows, Shape};
use super::xml_shapes::{child, coordinates, required, rotated, shape_of, text_of};
use super::{Annotations, Options, Problem, Source};
use roxmltree::{Document, Node};

/// Entries of an object that are read, or say how it is written.
const READ: [&str; 13] = [
    "name",
    "difficult",
    "possibleresult",
    "coordinate",
    "type",
    "polygon",
    "points",
    "robndbox",
    "bndbox",
    "attributes",
    "angle",
    "truncated",
    "pose",
];
/// Values that say nothing.
const NOTHING: [&str; 7] = ["", "0", "0.0", "none", "false", "unspecified", "unknown"];
/// Name under which polygons without four corners are counted.
pub const POLYGONS: &str = "polygons without four corners";

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
        let parsed = if tag == "object" { object(node, problems) } else { hrsc_object(node) };
        let pushed = parsed.and_then(|(class, shape, difficult)| {
            rows.push_shape(line, image.as_bytes(), class.as_bytes(), shape, difficult)
        });
        // The entries of HRSC2016 are always the same; nothing that a user added gets lost.
        if pushed.is_ok() && tag == "object" {
            count_unread(node, problems);
        }
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

fn object<'a>(node: Node<'a, '_>, problems: &mut Problems<'_>) -> Result<Object<'a>, Reason> {
    let class = match child(node, "possibleresult") {
        Some(result) if child(node, "name").is_none() => required(result, "name")?,
        _ => required(node, "name")?,
    };
    let system = text_of(node, "coordinate");
    if !matches!(system, "" | "pixel") {
        let text = format!("<coordinate> is '{}'; need pixel", shorten(system.as_bytes()));
        return Err(Reason::line("not in pixels", text));
    }
    let difficult = difficulty(text_of(node, "difficult").as_bytes())?;
    let (shape, outline) = shape_of(node)?;
    if outline {
        problems.lose(POLYGONS);
    }
    Ok((class, shape, difficult))
}

/// Counts the entries of an object that are not read, unless they are empty or a default.
fn count_unread(node: Node<'_, '_>, problems: &mut Problems<'_>) {
    for entry in node.children().filter(Node::is_element) {
        let name = entry.tag_name().name();
        let text = entry.text().unwrap_or_default().trim();
        let nested = entry.children().any(|n| n.is_element());
        if name == "attributes" {
            let said = entry.children().filter(|n| !NOTHING.contains(&text_of(*n, "value")));
            said.filter(|n| text_of(*n, "name") != "rotation").for_each(|n| problems.lose(text_of(n, "name")));
        }
        let says_nothing = !nested && NOTHING.iter().any(|nothing| text.eq_ignore_ascii_case(nothing));
        if !says_nothing && !READ.contains(&name) {
            problems.lose(name);
        }
    }
}

fn hrsc_object<'a>(node: Node<'a, '_>) -> Result<Object<'a>, Reason> {
    let rbox = coordinates(node, ["mbox_cx", "mbox_cy", "mbox_w", "mbox_h", "mbox_ang"])?;
    Ok(("ship", rotated(rbox)?, difficulty(text_of(node, "difficult").as_bytes())?))
}
