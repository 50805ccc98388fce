//! VOC-style XML: corners as in DIOR-R, or centre, sides and angle as in roLabelImg and HRSC2016.

use super::super::xml_shapes::DIOR;
use super::text::{push_coordinate, push_number, push_xml};
use super::{Image, Object};
use crate::geom::{Quad, RBox};
use std::f64::consts::{FRAC_PI_2, PI, TAU};
use std::io::Write;

/// Decimals of an angle in radians: precise to a millionth of a pixel at a distance of 20,000.
const ANGLE: u32 = 10;

/// Returns XML with the corners of each object, which may be any quad.
pub(super) fn corners<'a>(image: Image<'_>, objects: impl Iterator<Item = Object<'a>>) -> Vec<u8> {
    annotation(image, objects, |out, quad| DIOR.iter().zip(quad).for_each(|(tag, &v)| number(out, tag, v)))
}

/// Returns XML with `cx cy w h angle` of each object, a rectangle; the angle is the direction of its first side, 0 to
/// 2π.
pub(super) fn rolabelimg<'a>(image: Image<'_>, objects: impl Iterator<Item = Object<'a>>) -> Vec<u8> {
    annotation(image, objects, |out, quad| {
        let [cx, cy, w, h, angle] = rbox(quad);
        [("cx", cx), ("cy", cy), ("w", w), ("h", h)].iter().for_each(|(tag, v)| number(out, tag, *v));
        out.extend_from_slice(b"\t\t\t<angle>");
        push_number(out, angle.rem_euclid(TAU), ANGLE);
        out.extend_from_slice(b"</angle>\n");
    })
}

fn annotation<'a>(
    image: Image<'_>,
    objects: impl Iterator<Item = Object<'a>>,
    shape: impl Fn(&mut Vec<u8>, &Quad),
) -> Vec<u8> {
    let mut out = b"<annotation>\n\t<filename>".to_vec();
    push_xml(&mut out, image.file);
    let (width, height) = (image.width, image.height);
    // Writing to a vector never fails.
    let _ = write!(
        out,
        "</filename>\n\t<size>\n\t\t<width>{width}</width>\n\t\t<height>{height}</height>\n\t\t<depth>3</depth>\n\t\
         </size>\n\t<segmented>0</segmented>\n"
    );
    for object in objects {
        out.extend_from_slice(b"\t<object>\n\t\t<type>robndbox</type>\n\t\t<name>");
        push_xml(&mut out, object.class);
        let (difficult, truncated) = (object.difficult, u8::from(object.difficult == 2));
        let _ = write!(
            out,
            "</name>\n\t\t<pose>Unspecified</pose>\n\t\t<truncated>{truncated}</truncated>\n\t\t<difficult>{difficult}\
             </difficult>\n\t\t<robndbox>\n"
        );
        shape(&mut out, object.quad);
        out.extend_from_slice(b"\t\t</robndbox>\n\t</object>\n");
    }
    out.extend_from_slice(b"</annotation>\n");
    out
}

fn number(out: &mut Vec<u8>, tag: &str, v: f64) {
    // Writing to a vector never fails.
    let _ = write!(out, "\t\t\t<{tag}>");
    push_coordinate(out, v);
    let _ = writeln!(out, "</{tag}>");
}

/// Returns XML as in HRSC2016: the long side first, angles from −π/2 to π/2, class numbers of HRSC2016.
pub(super) fn hrsc<'a>(image: Image<'_>, name: &str, objects: impl Iterator<Item = Object<'a>>) -> Vec<u8> {
    let mut out = b"<HRSC_Image>\n\t<Img_FileName>".to_vec();
    push_xml(&mut out, name);
    let suffix = image.file.rsplit_once('.').map_or("", |(_, suffix)| suffix);
    out.extend_from_slice(b"</Img_FileName>\n\t<Img_FileFmt>");
    push_xml(&mut out, suffix);
    let (width, height) = (image.width, image.height);
    // Writing to a vector never fails.
    let _ = write!(
        out,
        "</Img_FileFmt>\n\t<Img_SizeWidth>{width}</Img_SizeWidth>\n\t<Img_SizeHeight>{height}</Img_SizeHeight>\n\t\
         <Img_SizeDepth>3</Img_SizeDepth>\n\t<Annotated>1</Annotated>\n\t<HRSC_Objects>\n"
    );
    for (i, object) in objects.enumerate() {
        let (difficult, truncated) = (object.difficult, u8::from(object.difficult == 2));
        let _ = write!(out, "\t\t<HRSC_Object>\n\t\t\t<Object_ID>{}</Object_ID>\n\t\t\t<Class_ID>", i + 1);
        push_xml(&mut out, object.class);
        let _ = write!(
            out,
            "</Class_ID>\n\t\t\t<truncated>{truncated}</truncated>\n\t\t\t<difficult>{difficult}</difficult>\n"
        );
        let [cx, cy, mut w, mut h, mut angle] = rbox(object.quad);
        if h > w {
            (w, h, angle) = (h, w, angle + FRAC_PI_2);
        }
        for (tag, v) in [("mbox_cx", cx), ("mbox_cy", cy), ("mbox_w", w), ("mbox_h", h)] {
            number(&mut out, tag, v);
        }
        out.extend_from_slice(b"\t\t\t<mbox_ang>");
        push_number(&mut out, (angle + FRAC_PI_2).rem_euclid(PI) - FRAC_PI_2, ANGLE);
        out.extend_from_slice(b"</mbox_ang>\n\t\t</HRSC_Object>\n");
    }
    out.extend_from_slice(b"\t</HRSC_Objects>\n</HRSC_Image>\n");
    out
}

/// Converts a rectangle, given by its corners clockwise on the screen, to a box with the same first side.
fn rbox(quad: &Quad) -> RBox {
    let [x1, y1, x2, y2, x3, y3, x4, y4] = *quad;
    let (ux, uy) = (0.5 * (x2 - x1 + x3 - x4), 0.5 * (y2 - y1 + y3 - y4));
    let (vx, vy) = (0.5 * (x4 - x1 + x3 - x2), 0.5 * (y4 - y1 + y3 - y2));
    let (w, h) = (ux.hypot(uy), vx.hypot(vy));
    // The longer side gives the more precise angle; a side may be 0.
    let angle = if w >= h { uy.atan2(ux) } else { vy.atan2(vx) - FRAC_PI_2 };
    [0.25 * (x1 + x2 + x3 + x4), 0.25 * (y1 + y2 + y3 + y4), w, h, angle]
}
