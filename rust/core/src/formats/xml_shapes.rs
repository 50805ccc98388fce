//! The shape of an object in XML: every form that datasets write, the most exact of them, and whether they agree.

use super::fields::coordinate;
use super::problem::Reason;
use super::rows::{Shape, ordered};
use crate::geom::{Point, Quad, RBox, hbox_to_quad, min_area_rect, rbox_to_quad};
use crate::iou::{Mode, QuadShape, aligned};
use roxmltree::Node;
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
const FROM_0: [&str; 8] = ["x0", "y0", "x1", "y1", "x2", "y2", "x3", "y3"];
const FROM_1: [&str; 8] = ["x1", "y1", "x2", "y2", "x3", "y3", "x4", "y4"];
const ROTATED: [&str; 5] = ["cx", "cy", "w", "h", "angle"];
const UPRIGHT: [&str; 4] = ["xmin", "ymin", "xmax", "ymax"];

/// Elements that hold the shape of an object.
pub(super) const SHAPES: [&str; 4] = ["polygon", "points", "robndbox", "bndbox"];

/// Least IoU of two shapes of one object.
const LEAST_IOU: f64 = 0.5;
/// Pixels by which two shapes of one object may differ in any case: they are rounded.
const ROUNDING: f64 = 4.0;

/// One shape of an object.
struct Form<'a> {
    tag: &'a str,
    shape: Shape,
    /// Corners as written, of a polygon without four corners; its shape is then the rectangle of least area around it.
    outline: Vec<Point>,
}

impl Form<'_> {
    /// Exact forms come first.
    fn rank(&self) -> u8 {
        match self.shape {
            Shape::Corners(_) if self.outline.is_empty() => 0,
            Shape::Rotated(_) => 1,
            Shape::Corners(_) => 2,
            Shape::Upright(_) => 3,
        }
    }

    fn quad(&self) -> Quad {
        match &self.shape {
            Shape::Corners(quad) => *quad,
            Shape::Rotated(rbox) => rbox_to_quad(rbox),
            Shape::Upright(hbox) => hbox_to_quad(*hbox),
        }
    }

    fn around(&self) -> [f64; 4] {
        if self.outline.is_empty() {
            return around(self.quad().as_chunks::<2>().0.iter().copied());
        }
        around(self.outline.iter().map(|p| [p.x, p.y]))
    }
}

/// The most exact shape of an object, and whether it is only the rectangle around a polygon.
///
/// # Errors
/// If there is none, one is damaged, two disagree, or an upright box has an angle beside it.
pub(super) fn shape_of(object: Node<'_, '_>) -> Result<(Shape, bool), Reason> {
    let nodes = SHAPES.iter().filter_map(|tag| child(object, tag));
    let mut forms = nodes.map(form).collect::<Result<Vec<_>, _>>()?;
    forms.sort_by_key(Form::rank);
    let Some(best) = forms.first() else {
        let text = "an object needs <robndbox> or <bndbox>, or corners in <polygon> or <points>";
        return Err(Reason::line("incomplete object", text));
    };
    for other in &forms[1..] {
        if !agree(best, other) {
            let text = format!("<{}> and <{}> are different shapes: remove the wrong one", best.tag, other.tag);
            return Err(Reason::line("shapes disagree", text));
        }
    }
    if let Shape::Upright(hbox) = best.shape {
        if let Some(rbox) = turned(object, hbox)? {
            return Ok((Shape::Rotated(rbox), false));
        }
        for place in [Some(object), child(object, best.tag)].into_iter().flatten() {
            for tag in ["angle", "rotation", "theta"] {
                let angle = text_of(place, tag);
                if !angle.is_empty() && angle.parse() != Ok(0.0) {
                    let text =
                        format!("<{tag}> {angle} beside xmin, ymin, xmax, ymax: how they are rotated is unknown");
                    return Err(Reason::line("unknown rotation", text));
                }
            }
        }
    }
    Ok((best.shape, !best.outline.is_empty()))
}

fn form<'a>(node: Node<'a, '_>) -> Result<Form<'a>, Reason> {
    let tag = node.tag_name().name();
    let has = |tag: &str| child(node, tag).is_some();
    let written = |shape| Ok(Form { tag, shape, outline: Vec::new() });
    if tag == "bndbox" || tag == "robndbox" {
        return if has(DIOR[0]) {
            written(Shape::Corners(coordinates(node, DIOR)?))
        } else if has(FROM_0[0]) {
            written(Shape::Corners(coordinates(node, FROM_0)?))
        } else if has(FROM_1[6]) {
            written(Shape::Corners(coordinates(node, FROM_1)?))
        } else if tag == "robndbox" || has(ROTATED[0]) {
            written(rotated(coordinates(node, ROTATED)?)?)
        } else {
            let hbox = coordinates(node, UPRIGHT)?;
            ordered(&hbox)?;
            written(Shape::Upright(hbox))
        };
    }
    let mut outline = if tag == "points" || has("point") || has("pt") { listed(node)? } else { numbered(node)? };
    if outline.len() > 3 && outline.first() == outline.last() {
        outline.pop(); // closes the ring
    }
    match outline[..] {
        [a, b, c, d] => written(Shape::Corners([a.x, a.y, b.x, b.y, c.x, c.y, d.x, d.y])),
        [_, _, _, ..] => Ok(Form { tag, shape: Shape::Corners(rbox_to_quad(&min_area_rect(&outline))), outline }),
        _ => {
            let text = format!("<{tag}>: need three corners or more, got {}", outline.len());
            Err(Reason::line("incomplete object", text))
        }
    }
}

/// Corners in elements `<point>` or `<pt>`: `x,y` as text, or `<x>` and `<y>`.
fn listed(node: Node<'_, '_>) -> Result<Vec<Point>, Reason> {
    let nodes = node.children().filter(|n| n.has_tag_name("point") || n.has_tag_name("pt"));
    let point = |n: Node<'_, '_>| {
        if child(n, "x").is_some() {
            let [x, y] = coordinates(n, ["x", "y"])?;
            return Ok(Point { x, y });
        }
        let text = n.text().unwrap_or_default();
        let (x, y) = text.split_once(',').ok_or_else(|| Reason::line("not a number", "<point>: need x,y"))?;
        Ok(Point { x: coordinate(x.as_bytes())?, y: coordinate(y.as_bytes())? })
    };
    nodes.map(point).collect()
}

/// Corners in elements `<x1>`, `<y1>`, `<x2>`, ...; their numbers may begin at 0.
fn numbered(node: Node<'_, '_>) -> Result<Vec<Point>, Reason> {
    let first = usize::from(child(node, "x0").is_none());
    let mut corners = Vec::new();
    for i in first.. {
        let (x, y) = (format!("x{i}"), format!("y{i}"));
        if child(node, &x).is_none() && child(node, &y).is_none() {
            break;
        }
        let [x, y] = coordinates(node, [&x, &y])?;
        corners.push(Point { x, y });
    }
    Ok(corners)
}

/// The shape of `cx, cy, w, h, angle`. No program writes more than a turn in radians: such an angle is in degrees.
pub(super) fn rotated(rbox: RBox) -> Result<Shape, Reason> {
    if rbox[4].abs() > TAU + 1e-3 {
        let text = format!("the angle must be in radians, clockwise; {} is more than a turn", rbox[4]);
        return Err(Reason::line("angle not in radians", text));
    }
    if rbox[2] < 0.0 || rbox[3] < 0.0 {
        let text = format!("negative width or height: {} x {}", rbox[2], rbox[3]);
        return Err(Reason::line("negative side", text));
    }
    Ok(Shape::Rotated(rbox))
}

/// A box that the attribute `rotation` turns about its centre, in degrees, clockwise, as CVAT writes it.
fn turned(object: Node<'_, '_>, [x0, y0, x1, y1]: [f64; 4]) -> Result<Option<RBox>, Reason> {
    let named = |n: &Node<'_, '_>| text_of(*n, "name").eq_ignore_ascii_case("rotation");
    let Some(attribute) = child(object, "attributes").and_then(|all| all.children().find(named)) else {
        return Ok(None);
    };
    let [degrees] = coordinates(attribute, ["value"])?;
    let angle = degrees.to_radians() % TAU;
    Ok((angle != 0.0).then_some([(x0 + x1) / 2.0, (y0 + y1) / 2.0, x1 - x0, y1 - y0, angle]))
}

pub(super) fn coordinates<const N: usize>(node: Node<'_, '_>, tags: [&str; N]) -> Result<[f64; N], Reason> {
    let mut values = [0.0; N];
    for (value, tag) in values.iter_mut().zip(tags) {
        *value = coordinate(required(node, tag)?.as_bytes())
            .map_err(|reason| Reason::line(reason.kind, format!("<{tag}>: {}", reason.text)))?;
    }
    Ok(values)
}

fn around(points: impl Iterator<Item = [f64; 2]>) -> [f64; 4] {
    let none = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
    points.fold(none, |b, [x, y]| [b[0].min(x), b[1].min(y), b[2].max(x), b[3].max(y)])
}

/// Whether two forms may describe one object; an upright box is compared with the box around the other.
fn agree(a: &Form<'_>, b: &Form<'_>) -> bool {
    let (hbox_a, hbox_b) = (a.around(), b.around());
    let boxes_agree = same(hbox_to_quad(hbox_a), hbox_to_quad(hbox_b));
    let rough = |form: &Form<'_>| matches!(form.shape, Shape::Upright(_));
    boxes_agree && (rough(a) || rough(b) || same(a.quad(), b.quad()))
}

fn same(a: Quad, b: Quad) -> bool {
    let (a_corners, b_corners) = (a.as_chunks::<2>().0, b.as_chunks::<2>().0);
    let near = |p: &[f64; 2], q: &[f64; 2]| (p[0] - q[0]).abs() <= ROUNDING && (p[1] - q[1]).abs() <= ROUNDING;
    if a_corners.iter().all(|p| b_corners.iter().any(|q| near(p, q))) {
        return true;
    }
    let mut iou = [0.0];
    aligned::<QuadShape>(&[a], &[b], Mode::Iou, &mut iou);
    iou[0] >= LEAST_IOU
}

pub(super) fn child<'a, 'd>(node: Node<'a, 'd>, tag: &str) -> Option<Node<'a, 'd>> {
    node.children().find(|n| n.has_tag_name(tag))
}

pub(super) fn text_of<'a>(node: Node<'a, '_>, tag: &str) -> &'a str {
    child(node, tag).and_then(|n| n.text()).unwrap_or_default().trim()
}

pub(super) fn required<'a>(node: Node<'a, '_>, tag: &str) -> Result<&'a str, Reason> {
    match text_of(node, tag) {
        "" => Err(Reason::line("incomplete object", format!("<{tag}> missing or empty"))),
        text => Ok(text),
    }
}
