//! Reads randomly damaged files with every parser. No parser panics, lenient reading never fails, a strict error is the
//! first problem that lenient reading skips and names an existing line, and the number of threads changes nothing.
//!
//! Takes about two seconds per parser, or a share of `ROTX_FUZZ_SECONDS`.

mod random;

use random::{Random, time_limit};
use rotx_core::formats::{self, Data, Options, Problem, Skipped, Source};
use std::time::Instant;

const LABELS: &str =
    "imagesource:GoogleEarth\ngsd:0.146\n10 10 50.5 10 50 40 10 40 plane 0\r\n1 2 3 4 5 6 7 8\tship 1\n";
const TASK1: &str = "P0001 0.9 10 10 50 10 50 40 10 40\nP0001 1e-3 1 2 3 4 5 6 7 8\nP2 .5 -1 2. 3 4 5 6 7 8\n";
const TASK2: &str = "P0001 0.9 10 10 50 40\nP2 1.0 1 2 3 4\n";
const ICDAR: &str = "377,117,463,117,465,130,378,130,Genaxis, Theatre\n1,2,3,4,5,6,7,8,###\r\n";
const FLAT: &str = "00001 133 237 684 237 684 672 133 672 golffield 0\n00002 1 2 3 4 5 6 7 8 vehicle\n";
const GGHL: &str = "F:/x/1.png 1,2,3,4,0,1,2,3,4,5,6,7,8,0.5,10 1,2,3,4,1,1,2,3,4,5,6,7,8\n";
const GGHL_EMPTY: &str = "/y/2.bmp\n";
const UCAS: &str =
    "car 2.7e+02\t9.1e+01\t2.9e+02\t3.8e+01\t3.3e+02\t4.9e+01\t3.1e+02\t1.0e+02\t1.0e+02\t2 38 49 63\t\n";
const TD500: &str = "0 0 1053 371 264 42 -0.112\n1 1 10 20 30 40 0\n";
const NAMES: &str = "P0001\n/x/P0002.png\n\nP0001\r\n";
const XML: &str = "<?xml version=\"1.0\"?>\n<annotation>\n<object><name>a</name><difficult>1</difficult>\n<robndbox>\
    <cx>1</cx><cy>2</cy><w>3</w><h>4</h><angle>0.5</angle></robndbox></object>\n<object><name>b</name><bndbox>\
    <xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object></annotation>\n";
const HRSC: &str = "<HRSC_Image><HRSC_Objects><HRSC_Object><difficult>0</difficult><mbox_cx>1</mbox_cx><mbox_cy>2\
    </mbox_cy><mbox_w>3</mbox_w><mbox_h>4</mbox_h><mbox_ang>-1</mbox_ang></HRSC_Object></HRSC_Objects></HRSC_Image>";

const XML_SIZE: &str =
    "<annotation><filename>a.jpg</filename><size><width>8</width><height>6</height></size></annotation>";
const YOLO: &str = "0 0.1 0.2 0.3 .4 0.5 0.6 0.7 0.8\n1.0 0 0 1 0 1 1.05 0 1 0.75\r\n";

/// Pieces that are inserted as damage.
const PIECES: [&[u8]; 24] = [
    b" ",
    b"\t",
    b"\n",
    b"\r\n",
    b"\0",
    b",",
    b".",
    b"-",
    b"+",
    b"nan",
    b"inf",
    b"1e999",
    b"1e",
    b"9999999999999999999999",
    b"-0",
    b"\xff",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"<",
    b"</object>",
    b"&amp;",
    b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
    b"###",
    "٣é".as_bytes(),
];

/// Up to `copies` of the seeds, damaged in up to three places; occasionally noise.
fn damaged(random: &mut Random, seeds: &[&str], copies: usize) -> Vec<u8> {
    if random.below(20) == 0 {
        return (0..random.below(300)).map(|_| random.below(256) as u8).collect();
    }
    let mut text = Vec::new();
    for _ in 0..=random.below(copies) {
        text.extend_from_slice(seeds[random.below(seeds.len())].as_bytes());
    }
    for _ in 0..random.below(4) {
        let (at, length) = (random.below(text.len() + 1), random.below(8));
        let end = text.len().min(at + length);
        match random.below(5) {
            0 => drop(text.drain(at..end)),
            1 => drop(text.splice(at..end, PIECES[random.below(PIECES.len())].iter().copied())),
            2 => drop(text.splice(at..at, PIECES[random.below(PIECES.len())].iter().copied())),
            3 if at < text.len() => text[at] = random.below(256) as u8,
            4 => text.truncate(at.max(1)),
            _ => {}
        }
    }
    text
}

fn check_problem(problem: &Problem, text: &[u8]) {
    let lines = text.split(|&b| b == b'\n').count() as u64;
    assert!(problem.line <= lines, "{problem} of {lines} lines");
    assert!(!problem.reason.is_empty() && !problem.to_string().contains('\n'), "{problem}");
}

/// The output of a parser, as far as annotations and results share it.
struct Read {
    rows: usize,
    skipped: Skipped,
    /// The whole output, for comparison.
    whole: String,
}

fn fuzz(
    name: &str,
    seeds: &[&str],
    copies: usize,
    read: impl Fn(&[Source<'_>], &Options<'_>) -> Result<Read, Problem>,
) {
    let known = ["P0001".to_owned(), "P2".to_owned()];
    let mut random = Random(0x9E37_79B9_7F4A_7C15 ^ name.len() as u64);
    let (start, limit) = (Instant::now(), time_limit(1.0));
    let (mut runs, mut good) = (0u64, 0u64);
    while runs < 1000 || start.elapsed() < limit {
        let texts = [damaged(&mut random, seeds, copies), damaged(&mut random, seeds, copies)];
        let subject = |i: usize| known[i].clone();
        let source = |i: usize| Source { name: format!("f{i}"), subject: subject(i), data: Data::Bytes(&texts[i]) };
        let sources = [source(0), source(1)];
        let images = (random.below(2) == 0).then_some(&known[..]);
        let options = Options { images, classes: None, lenient: true, kept: 20, jobs: 1 };
        let lenient = read(&sources, &options).unwrap_or_else(|p| panic!("lenient {name} failed: {p}"));
        for problem in &lenient.skipped.first {
            check_problem(problem, &texts[usize::from(problem.file == "f1")]);
        }
        match read(&sources, &Options { lenient: false, ..options }) {
            Ok(strict) => {
                assert!(lenient.skipped.is_empty() && strict.whole == lenient.whole, "{name}: {texts:?}");
                good += u64::from(strict.rows > 0);
            }
            Err(problem) => assert_eq!(Some(&problem), lenient.skipped.first.first(), "{name}: {texts:?}"),
        }
        if runs.is_multiple_of(100) {
            let again = read(&sources, &Options { jobs: 3, ..options }).expect("lenient");
            assert_eq!(again.whole, lenient.whole);
        }
        runs += 1;
    }
    assert!(good > runs / 50 && good < runs / 2, "{name}: {good} of {runs} inputs were valid: the test is too weak");
}

type ReadAnnotations = fn(&[Source<'_>], &Options<'_>) -> Result<formats::Annotations, Problem>;
type ReadDetections = fn(&[Source<'_>], &Options<'_>) -> Result<formats::Detections, Problem>;

fn annotations(name: &str, seeds: &[&str], copies: usize, read: ReadAnnotations) {
    fuzz(name, seeds, copies, |sources, options| {
        let found = read(sources, options)?;
        let n = found.quads.len();
        assert!(n == found.image.len() && n == found.label.len() && n == found.difficult.len());
        assert!(n == found.line.len() && found.line.iter().all(|&line| line > 0));
        assert!(found.image.iter().all(|&i| (i as usize) < found.images.len()));
        assert!(found.label.iter().all(|&i| (i as usize) < found.classes.len()));
        assert!(found.difficult.iter().all(|&d| d <= 2));
        assert!(found.quads.as_flattened().iter().all(|v| v.is_finite()));
        Ok(Read { rows: n, whole: format!("{found:?}"), skipped: found.skipped })
    });
}

fn detections(name: &str, seeds: &[&str], read: ReadDetections) {
    fuzz(name, seeds, 3, |sources, options| {
        let found = read(sources, options)?;
        let n = found.quads.len();
        assert!(n == found.image.len() && n == found.label.len() && n == found.scores.len());
        assert!(found.image.iter().all(|&i| (i as usize) < found.images.len()));
        assert!(found.label.iter().all(|&i| (i as usize) < found.classes.len()));
        assert!(found.quads.as_flattened().iter().chain(&found.scores).all(|v| v.is_finite()));
        Ok(Read { rows: n, whole: format!("{found:?}"), skipped: found.skipped })
    });
}

#[test]
fn dota() {
    annotations("dota", &[LABELS], 3, formats::dota::read);
}

#[test]
fn task1() {
    detections("task1", &[TASK1], formats::task1::read_task1);
}

#[test]
fn task2() {
    detections("task2", &[TASK2], formats::task1::read_task2);
}

#[test]
fn icdar() {
    annotations("icdar", &[ICDAR], 3, formats::icdar::read_annotations);
}

#[test]
fn icdar_results() {
    detections("icdar results", &[ICDAR], formats::icdar::read_results);
}

#[test]
fn flat() {
    annotations("flat", &[FLAT], 3, formats::lines::read_flat);
}

#[test]
fn gghl() {
    annotations("gghl", &[GGHL, GGHL_EMPTY], 2, formats::lines::read_gghl);
}

#[test]
fn voc() {
    annotations("voc", &[XML, HRSC], 1, formats::voc::read); // one root element per file
}

#[test]
fn ucas() {
    annotations("ucas", &[UCAS], 3, formats::ucas::read);
}

#[test]
fn td500() {
    annotations("td500", &[TD500], 3, formats::td500::read);
}

#[test]
fn yolo() {
    fuzz("yolo", &[YOLO], 3, |sources, options| {
        let names = ["plane".to_owned(), "ship".to_owned()];
        let found = formats::yolo::read(sources, &Options { classes: Some(&names), ..*options })?;
        let n = found.quads.len();
        assert!(n == found.image.len() && n == found.label.len() && n == found.scores.len());
        assert!(found.label.iter().all(|&i| i < 2));
        assert!(found.quads.as_flattened().iter().all(|v| v.abs() <= 10.0));
        assert!(found.scores.iter().all(|v| !v.is_infinite())); // NaN: the score is missing
        Ok(Read { rows: n, whole: format!("{found:?}"), skipped: found.skipped })
    });
}

#[test]
fn image_info() {
    let mut random = Random(8);
    let (start, limit) = (Instant::now(), time_limit(0.5));
    let (mut runs, mut good) = (0, 0);
    while start.elapsed() < limit {
        let text = damaged(&mut random, &[XML_SIZE, HRSC], 1);
        let source = Source { name: "f".into(), subject: String::new(), data: Data::Bytes(&text) };
        let found = formats::image_info::read(&[source], 1);
        runs += 1;
        good += usize::from(found[0].size == [8, 6] && found[0].file == "a.jpg");
    }
    assert!(good > runs / 50, "{good} of {runs} inputs were valid: the test is too weak");
}

#[test]
fn image_list() {
    let mut random = Random(7);
    let (start, limit) = (Instant::now(), time_limit(1.0));
    while start.elapsed() < limit {
        let text = damaged(&mut random, &[NAMES], 3);
        match formats::read_names("list", &Data::Bytes(&text)) {
            Ok(list) => {
                assert_eq!(list.names.len(), list.lines.len());
                assert!(list.lines.is_sorted_by(|a, b| a < b));
                assert!(list.names.iter().all(|name| !name.is_empty()));
            }
            Err(problem) => check_problem(&problem, &text),
        }
    }
}
