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
use super::fields::{coordinate, difficulty};
use super::problem::{Problems, Reason, shorten};
use super::rows::{self, Rows, Shape, ordered};
use super::{Annotations, Options, Problem, Source};
use crate::geom::{self, Quad, min_area_rect, rbox_to_quad};
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
/// Entries that programs write beside a box to say how it is turned.
const ANGLES: [&str; 4] = ["angle", "rotation", "theta", "direction"];
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
        return Err(Reason::line(
            "not in pixels",
            format!("<coordinate> is '{}'; need pixel", shorten(system.as_bytes())),
        ));
    }
    let (robndbox, bndbox) = (child(node, "robndbox"), child(node, "bndbox"));
    let mut shapes = Vec::new();
    if let Some(points) = polygon(node)? {
        shapes.push(("polygon", outline(&points, problems)));
    }
    if let Some(shape) = robndbox.filter(|shape| child(*shape, DIOR[0]).is_some()) {
        shapes.push(("robndbox", Shape::Corners(coordinates(shape, DIOR)?)));
    }
    if let Some(shape) = bndbox.filter(|shape| child(*shape, CORNERS[0]).is_some()) {
        shapes.push(("bndbox", Shape::Corners(coordinates(shape, CORNERS)?)));
    }
    if let Some(shape) = robndbox.filter(|shape| child(*shape, DIOR[0]).is_none()) {
        shapes.push(("robndbox", rotated(coordinates(shape, ["cx", "cy", "w", "h", "angle"])?)?));
    }
    if let Some(shape) = bndbox.filter(|shape| shapes.is_empty() || child(*shape, "xmin").is_some()) {
        let hbox = coordinates(shape, ["xmin", "ymin", "xmax", "ymax"])?;
        ordered(&hbox)?;
        shapes.push(("bndbox", turned(node, shape, hbox, shapes.is_empty())?));
    }
    let Some(&(name, shape)) = shapes.first() else {
        return Err(Reason::line("incomplete object", "an object needs <polygon>, <points>, <robndbox> or <bndbox>"));
    };
    for (other, beside) in &shapes[1..] {
        if !alike(bounds(shape), bounds(*beside)) {
            let text = format!("<{name}> and <{other}> are different boxes: remove the wrong one");
            return Err(Reason::line("shapes disagree", text));
        }
    }
    Ok((class, shape, difficulty(text_of(node, "difficult").as_bytes())?))
}

/// Points of `<polygon>` (`x1 y1 x2 y2 ...`, or `<pt>` with `x` and `y`) or `<points>` (`<point>x,y</point>`).
fn polygon(node: Node<'_, '_>) -> Result<Option<Vec<[f64; 2]>>, Reason> {
    let Some(shape) = child(node, "polygon").or_else(|| child(node, "points")) else {
        return Ok(None);
    };
    let mut points = Vec::new();
    for point in shape.children().filter(|n| n.has_tag_name("point") || n.has_tag_name("pt")) {
        points.push(match point.text().and_then(|text| text.split_once(',')) {
            Some((x, y)) => [coordinate(x.as_bytes())?, coordinate(y.as_bytes())?],
            None => coordinates(point, ["x", "y"])?,
        });
    }
    // Corners are numbered without a gap, so their number bounds the work.
    let numbered = shape.children().filter(Node::is_element).count() / 2;
    for i in points.len() + 1..=if points.is_empty() { numbered } else { 0 } {
        let tags = [format!("x{i}"), format!("y{i}")];
        points.push(coordinates(shape, [&tags[0], &tags[1]])?);
    }
    if points.len() > 3 && points.first() == points.last() {
        points.pop(); // closed by its first corner
    }
    if points.len() < 3 {
        return Err(Reason::line("incomplete object", format!("a polygon needs three corners, got {}", points.len())));
    }
    Ok(Some(points))
}

/// A polygon of four corners itself; of another one the minimum-area rectangle, which is counted.
fn outline(points: &[[f64; 2]], problems: &mut Problems<'_>) -> Shape {
    let flat = points.as_flattened();
    if let Ok(quad) = <Quad>::try_from(flat) {
        return Shape::Corners(quad);
    }
    problems.lose(POLYGONS);
    Shape::Corners(rbox_to_quad(&min_area_rect(&geom::points(flat))))
}

/// A horizontal box, turned about its centre if an attribute says so. The angle of another entry has no known unit, so it
/// is a problem unless a more exact shape counts.
fn turned(node: Node<'_, '_>, shape: Node<'_, '_>, hbox: [f64; 4], counts: bool) -> Result<Shape, Reason> {
    let rotation = child(node, "attributes").and_then(|all| {
        let named = |n: &Node<'_, '_>| text_of(*n, "name").eq_ignore_ascii_case("rotation");
        all.children().find(named).map(|n| text_of(n, "value"))
    });
    if let Some(text) = rotation {
        let degrees = coordinate(text.as_bytes())?;
        let [x0, y0, x1, y1] = hbox;
        if degrees != 0.0 {
            let (cx, cy) = ((x0 + x1) / 2.0, (y0 + y1) / 2.0);
            return Ok(Shape::Rotated([cx, cy, x1 - x0, y1 - y0, degrees.to_radians() % TAU]));
        }
    }
    for (parent, tag) in [node, shape].into_iter().flat_map(|parent| ANGLES.map(|tag| (parent, tag))) {
        let text = text_of(parent, tag);
        if counts && coordinate(text.as_bytes()).is_ok_and(|angle| angle != 0.0) {
            let text = format!("a horizontal box with <{tag}> {text}, of unknown unit and direction: need <robndbox>");
            return Err(Reason::line("unknown rotation", text));
        }
    }
    Ok(Shape::Upright(hbox))
}

/// Least horizontal box around a shape.
fn bounds(shape: Shape) -> [f64; 4] {
    let quad = match shape {
        Shape::Corners(quad) => quad,
        Shape::Rotated(rbox) => rbox_to_quad(&rbox),
        Shape::Upright(hbox) => return hbox,
    };
    let corners = geom::corners(&quad);
    corners.iter().fold([f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY], |[a, b, c, d], p| {
        [a.min(p.x), b.min(p.y), c.max(p.x), d.max(p.y)]
    })
}

/// Whether two boxes may be of one object: annotators clip and round the box around a shape, but not beyond an IoU of
/// one half and a few pixels.
fn alike(a: [f64; 4], b: [f64; 4]) -> bool {
    let area = |[x0, y0, x1, y1]: [f64; 4]| (x1 - x0).max(0.0) * (y1 - y0).max(0.0);
    let both = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    let close = a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 4.0);
    close || 3.0 * both >= area(a) + area(b)
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
