//! Matching detections with the ground truth: one matcher for every protocol.
//!
//! Detections are taken image by image and class by class, by falling score. Everything that differs between
//! protocols is a field of [`Rules`]; all IoU thresholds are decided in one pass.

use crate::eval::ap::Curve;
use crate::eval::devkit;
use crate::geom::{self, Quad};
use crate::iou::{self, AlongX, Mode, QuadShape, Shape, wide};
use crate::nms::falling_key;
use crate::threads;

/// The ground truth, one entry an object.
#[derive(Clone, Copy)]
pub struct Truth<'a> {
    /// The corners.
    pub quads: &'a [Quad],
    /// The index of the image.
    pub image: &'a [u32],
    /// The index of the class.
    pub label: &'a [u32],
    /// Objects that need not be found; detections on them do not count.
    pub ignore: &'a [bool],
}

/// The detections, one entry each, in the order of their files.
#[derive(Clone, Copy)]
pub struct Detections<'a> {
    /// The corners.
    pub quads: &'a [Quad],
    /// The index of the image.
    pub image: &'a [u32],
    /// The index of the class.
    pub label: &'a [u32],
    /// The confidence.
    pub scores: &'a [f64],
}

/// How the IoU of two boxes is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Exactly, by the robust kernel.
    Quad,
    /// As the DOTA devkit does: only pairs whose bounds, a pixel larger, meet; and wherever the decision
    /// hangs on rounding or a quad is not convex, in the devkit's own arithmetic.
    Devkit,
    /// Horizontal boxes, from corner 1 to corner 3.
    Horizontal,
    /// Horizontal boxes of whole pixels: x2 − x1 + 1 wide (PASCAL VOC).
    HorizontalPixels,
}

/// The rules of a protocol.
#[derive(Clone, Debug)]
pub struct Rules {
    /// IoU thresholds, at most 32.
    pub thresholds: Vec<f64>,
    /// Whether a match needs an IoU above the threshold, not just equal to it.
    pub strict: bool,
    /// Whether a detection whose best object is taken may have another one (COCO); without it, it is false.
    pub second_choice: bool,
    /// How IoU is measured.
    pub measure: Measure,
    /// The number of detections that count in an image and class; 0: all.
    pub max_detections: usize,
    /// Objects whose area is outside are ignored, and so are unmatched detections outside.
    pub area: Option<(f64, f64)>,
}

/// What became of every detection.
#[derive(Debug, Default)]
pub struct Matches {
    /// The detections by class, and by falling score within; equal scores in the order of the files.
    pub order: Vec<u32>,
    /// Where each class starts in `order`; one more entry than classes.
    pub starts: Vec<usize>,
    /// A bit for each threshold: the detection found an object. Indexed as the detections, like the next ones.
    pub hit: Vec<u32>,
    /// A bit for each threshold: the detection does not count.
    pub ignored: Vec<u32>,
    /// The object it was matched with at the first threshold, or else the one it overlaps most; −1: none.
    pub truth: Vec<i32>,
    /// The IoU with that object.
    pub iou: Vec<f64>,
    /// The number of objects of each class that count.
    pub positives: Vec<u32>,
}

impl Matches {
    /// The detections of a class that count at a threshold, best score first: `(index, found an object)`.
    pub fn verdicts(&self, class: usize, threshold: usize) -> impl Iterator<Item = (usize, bool)> {
        let bit = 1 << threshold;
        let order = &self.order[self.starts[class]..self.starts[class + 1]];
        order
            .iter()
            .map(|&i| i as usize)
            .filter(move |&i| self.ignored[i] & bit == 0)
            .map(move |i| (i, self.hit[i] & bit != 0))
    }

    /// The precision-recall curve of a class at a threshold; `None` if no object of it counts.
    pub fn curve(&self, class: usize, threshold: usize) -> Option<Curve> {
        let positives = f64::from(self.positives[class]);
        let verdicts = self.verdicts(class, threshold).map(|(_, hit)| (hit, 1.0));
        (positives > 0.0).then(|| Curve::new(verdicts, positives))
    }
}

/// Pixels by which the devkit enlarges horizontal boxes.
const PIXEL: f64 = 1.0;
/// IoUs nearer than this to a threshold, or to each other, are decided by the devkit's arithmetic.
const CLOSE: f64 = 1e-6;
/// Bound on the relative error of the devkit's areas, in units of (coordinate)² / area: 16 pairs of edges,
/// each rounded about the origin.
const DEVKIT_ERROR: f64 = 1e-13;

/// The detections and objects of one image and class.
struct Group<'a> {
    detections: &'a [u32],
    truths: &'a [u32],
}

/// Matches detections and ground truth of `classes` classes and `images` images.
///
/// # Panics
/// If a label or an image index is out of range, lengths differ, or there are more than 32 thresholds.
pub fn match_detections(
    truth: Truth,
    detections: Detections,
    classes: usize,
    images: usize,
    rules: &Rules,
    jobs: usize,
) -> Matches {
    assert!(rules.thresholds.len() <= 32, "at most 32 thresholds");
    let ignore: Vec<bool> = match rules.area {
        None => truth.ignore.to_vec(),
        Some(range) => truth.ignore.iter().zip(truth.quads).map(|(&i, q)| i || outside(q, range)).collect(),
    };
    let truth = Truth { ignore: &ignore, ..truth };
    let mut out = Matches {
        hit: vec![0; detections.scores.len()],
        ignored: vec![0; detections.scores.len()],
        truth: vec![-1; detections.scores.len()],
        iou: vec![0.0; detections.scores.len()],
        positives: vec![0; classes],
        ..Matches::default()
    };
    for (&label, _) in truth.label.iter().zip(truth.ignore).filter(|(_, ignore)| !**ignore) {
        out.positives[label as usize] += 1;
    }

    let by_class = split_by(detections.label, classes);
    let truths_by_class = split_by(truth.label, classes);
    let sorted = threads::map(classes, jobs, |class| {
        let mut keys: Vec<(u64, u32)> =
            by_class.of(class).iter().map(|&i| (falling_key(detections.scores[i as usize]), i)).collect();
        keys.sort_unstable();
        let order: Vec<u32> = keys.into_iter().map(|(_, i)| i).collect();
        let by_image = split_values(&order, detections.image, images);
        let truths_by_image = split_values(truths_by_class.of(class), truth.image, images);
        (order, by_image, truths_by_image)
    });

    let groups: Vec<Group> = sorted
        .iter()
        .flat_map(|(_, detections, truths)| {
            (0..images).map(|i| Group { detections: detections.of(i), truths: truths.of(i) })
        })
        .filter(|group| !group.detections.is_empty())
        .collect();
    let tasks: Vec<&[Group]> = groups.chunks(16).collect();
    let verdicts = threads::map(tasks.len(), jobs, |i| match_groups(truth, detections, rules, tasks[i]));
    for verdict in verdicts.into_iter().flatten() {
        let i = verdict.detection as usize;
        (out.hit[i], out.ignored[i]) = (verdict.hit, verdict.ignored);
        (out.truth[i], out.iou[i]) = (verdict.truth, verdict.iou);
    }
    out.starts.push(0);
    for (order, ..) in &sorted {
        out.order.extend_from_slice(order);
        out.starts.push(out.order.len());
    }
    out
}

wide! {
    fn match_groups(truth: Truth, detections: Detections, rules: &Rules, groups: &[Group]) -> Vec<Verdict> {
        let mut matcher = Matcher::new(truth, detections, rules);
        for group in groups {
            matcher.run(group);
        }
        matcher.verdicts
    }
}

/// Indices by bucket, in one array.
struct Buckets {
    values: Vec<u32>,
    starts: Vec<usize>,
}

impl Buckets {
    fn of(&self, bucket: usize) -> &[u32] {
        &self.values[self.starts[bucket]..self.starts[bucket + 1]]
    }
}

/// The indices 0..n by the bucket that each is in, in order.
fn split_by(bucket: &[u32], buckets: usize) -> Buckets {
    let all: Vec<u32> = (0..bucket.len() as u32).collect();
    split_values(&all, bucket, buckets)
}

/// These indices by the bucket that each is in, their order kept (a counting sort).
fn split_values(values: &[u32], bucket: &[u32], buckets: usize) -> Buckets {
    let mut starts = vec![0; buckets + 1];
    for &v in values {
        starts[bucket[v as usize] as usize + 1] += 1;
    }
    for i in 0..buckets {
        starts[i + 1] += starts[i];
    }
    let mut next = starts.clone();
    let mut out = vec![0; values.len()];
    for &v in values {
        let slot = &mut next[bucket[v as usize] as usize];
        out[*slot] = v;
        *slot += 1;
    }
    Buckets { values: out, starts }
}

fn outside(quad: &Quad, (low, high): (f64, f64)) -> bool {
    !(low..=high).contains(&geom::signed_area(quad).abs())
}

struct Verdict {
    detection: u32,
    hit: u32,
    ignored: u32,
    truth: i32,
    iou: f64,
}

/// The state of matching group after group; buffers are used again.
struct Matcher<'a> {
    truth: Truth<'a>,
    detections: Detections<'a>,
    rules: &'a Rules,
    lowest: f64,
    verdicts: Vec<Verdict>,
    objects: Vec<Object>,
    /// Whether any of them is not convex.
    odd_objects: bool,
    along_x: AlongX,
    hits: Vec<u32>,
    /// The detections of the group.
    quads: Vec<Quad>,
    /// `(object of the group, IoU)` of the detection in hand.
    candidates: Vec<(usize, f64)>,
}

/// An object of the group in hand.
struct Object {
    index: u32,
    shape: QuadShape,
    convex: bool,
    /// A bit for each threshold at which a detection has taken it.
    taken: u32,
}

impl<'a> Matcher<'a> {
    fn new(truth: Truth<'a>, detections: Detections<'a>, rules: &'a Rules) -> Self {
        let lowest = rules.thresholds.iter().copied().fold(f64::INFINITY, f64::min);
        Matcher {
            truth,
            detections,
            rules,
            lowest,
            verdicts: Vec::new(),
            objects: Vec::new(),
            odd_objects: false,
            along_x: AlongX::default(),
            hits: Vec::new(),
            quads: Vec::new(),
            candidates: Vec::new(),
        }
    }

    #[inline(always)]
    fn run(&mut self, group: &Group) {
        self.objects.clear();
        self.objects.extend(group.truths.iter().map(|&index| {
            let quad = &self.truth.quads[index as usize];
            let convex = self.rules.measure != Measure::Devkit || geom::is_convex(quad);
            Object { index, shape: QuadShape::new(quad), convex, taken: 0 }
        }));
        if self.rules.second_choice {
            // Objects that count come first: an ignored one is only the last resort.
            self.objects.sort_by_key(|o| self.truth.ignore[o.index as usize]);
        }
        self.odd_objects = self.objects.iter().any(|o| !o.convex);
        self.along_x.fill(self.objects.iter().map(|o| o.shape.bounds()));
        // Copied first: the loads of a plain loop overlap, those between long computations would not.
        self.quads.clear();
        self.quads.extend(group.detections.iter().map(|&i| self.detections.quads[i as usize]));
        for (rank, &detection) in group.detections.iter().enumerate() {
            let beyond = self.rules.max_detections > 0 && rank >= self.rules.max_detections;
            let verdict = if beyond {
                Verdict { detection, hit: 0, ignored: u32::MAX, truth: -1, iou: 0.0 }
            } else {
                let quad = self.quads[rank];
                self.measure(&quad);
                if self.rules.second_choice { self.best_free(detection) } else { self.best(detection) }
            };
            self.verdicts.push(verdict);
        }
    }

    /// Fills `candidates` with the objects that the quad overlaps, in order.
    #[inline(always)]
    fn measure(&mut self, quad: &Quad) {
        self.candidates.clear();
        match self.rules.measure {
            Measure::Quad => self.overlaps(&QuadShape::new(quad)),
            Measure::Devkit => self.measure_as_devkit(quad),
            Measure::Horizontal => self.horizontal(quad, 0.0),
            Measure::HorizontalPixels => self.horizontal(quad, PIXEL),
        }
    }

    #[inline(always)]
    fn overlaps(&mut self, shape: &QuadShape) {
        self.along_x.meeting(shape.bounds(), &mut self.hits);
        self.hits.sort_unstable();
        for &i in &self.hits {
            self.candidates.push((i as usize, shape.overlap(&self.objects[i as usize].shape, Mode::Iou)));
        }
    }

    fn horizontal(&mut self, quad: &Quad, pixel: f64) {
        let [x0, y0, _, _, x1, y1, ..] = *quad;
        for (i, object) in self.objects.iter().enumerate() {
            let [u0, v0, _, _, u1, v1, ..] = self.truth.quads[object.index as usize];
            let w = (u1.min(x1) - u0.max(x0) + pixel).max(0.0);
            let h = (v1.min(y1) - v0.max(y0) + pixel).max(0.0);
            let inside = w * h;
            // The order of operations is the devkit's: an IoU of exactly 0.5 must come out as there.
            let union = (x1 - x0 + pixel) * (y1 - y0 + pixel) + (u1 - u0 + pixel) * (v1 - v0 + pixel) - inside;
            if inside > 0.0 {
                self.candidates.push((i, inside / union));
            }
        }
    }

    #[inline(always)]
    fn measure_as_devkit(&mut self, quad: &Quad) {
        let shape = QuadShape::new(quad);
        // The robust kernel limits what the devkit does not, where a quad is not convex.
        let odd = !geom::is_convex(quad) || self.odd_object_near(quad);
        if !odd {
            self.overlaps(&shape);
        }
        if odd || self.hangs_on_rounding(&shape) {
            self.candidates.clear();
            let bounds = iou::quad_bounds(quad);
            for (i, object) in self.objects.iter().enumerate() {
                let truth = &self.truth.quads[object.index as usize];
                if bounds.meets_by(&iou::quad_bounds(truth), PIXEL) {
                    self.candidates.push((i, devkit::iou(truth, quad)));
                }
            }
        }
    }

    /// Whether an object that is not convex is among those that the devkit would compare.
    #[inline(always)]
    fn odd_object_near(&self, quad: &Quad) -> bool {
        self.odd_objects && {
            let bounds = iou::quad_bounds(quad);
            let near = |o: &Object| bounds.meets_by(&iou::quad_bounds(&self.truth.quads[o.index as usize]), PIXEL);
            self.objects.iter().any(|o| !o.convex && near(o))
        }
    }

    /// Whether rounding could decide: the best IoU is close to a threshold or to the second best.
    #[inline(always)]
    fn hangs_on_rounding(&self, shape: &QuadShape) -> bool {
        let (mut best, mut second, mut smallest) = (0.0, 0.0, shape.area());
        for &(i, iou) in &self.candidates {
            smallest = f64::min(smallest, self.objects[i].shape.area());
            if iou > best {
                (best, second) = (iou, best);
            } else if iou > second {
                second = iou;
            }
        }
        let bounds = shape.bounds();
        let far = bounds.x0.abs().max(bounds.x1.abs()).max(bounds.y0.abs()).max(bounds.y1.abs());
        let close = CLOSE + DEVKIT_ERROR * far * far / smallest;
        best >= self.lowest - close
            && (best - second <= close || self.rules.thresholds.iter().any(|t| (best - t).abs() <= close))
    }

    #[inline(always)]
    fn passes(&self, iou: f64, threshold: f64) -> bool {
        if self.rules.strict { iou > threshold } else { iou >= threshold }
    }

    /// The object of the greatest IoU, the first of equals; if it is taken there is no second choice.
    #[inline(always)]
    fn best(&mut self, detection: u32) -> Verdict {
        let mut verdict = Verdict { detection, hit: 0, ignored: 0, truth: -1, iou: 0.0 };
        let mut best: Option<(usize, f64)> = None;
        for &(i, iou) in &self.candidates {
            if iou.is_nan() {
                best = None; // as numpy.max: a NaN is the maximum, and passes no threshold
                break;
            }
            if best.is_none_or(|(_, highest)| iou > highest) {
                best = Some((i, iou));
            }
        }
        if let Some((i, iou)) = best {
            let index = self.objects[i].index;
            if iou > 0.0 {
                (verdict.truth, verdict.iou) = (index as i32, iou);
            }
            for (t, &threshold) in self.rules.thresholds.iter().enumerate() {
                let bit = 1 << t;
                if !self.passes(iou, threshold) {
                    continue;
                }
                if self.truth.ignore[index as usize] {
                    verdict.ignored |= bit;
                } else if self.objects[i].taken & bit == 0 {
                    self.objects[i].taken |= bit;
                    verdict.hit |= bit;
                }
            }
        }
        self.ignore_outside(&mut verdict, best.map_or(0.0, |(_, iou)| iou));
        verdict
    }

    /// A detection that reaches no object is ignored if its own area is outside the range.
    fn ignore_outside(&self, verdict: &mut Verdict, iou: f64) {
        let Some(range) = self.rules.area else { return };
        if outside(&self.detections.quads[verdict.detection as usize], range) {
            for (t, &threshold) in self.rules.thresholds.iter().enumerate() {
                if !self.passes(iou, threshold) {
                    verdict.ignored |= 1 << t;
                }
            }
        }
    }

    /// The free object of the greatest IoU, the last of equals, ignored ones only if no other fits; as COCO.
    #[inline(always)]
    fn best_free(&mut self, detection: u32) -> Verdict {
        let mut verdict = Verdict { detection, hit: 0, ignored: 0, truth: -1, iou: 0.0 };
        let most = self.candidates.iter().copied().reduce(|a, b| if b.1 > a.1 { b } else { a });
        let mut first = most;
        for (t, &threshold) in self.rules.thresholds.iter().enumerate() {
            let bit = 1 << t;
            let mut found: Option<(usize, f64)> = None;
            for &(i, iou) in &self.candidates {
                let object = &self.objects[i];
                let ignored = self.truth.ignore[object.index as usize];
                if found.is_some_and(|(j, _)| ignored && !self.truth.ignore[self.objects[j].index as usize]) {
                    break;
                }
                let least = found.map_or(threshold, |(_, iou)| iou);
                let fits = if found.is_some() { iou >= least } else { self.passes(iou, least) };
                if object.taken & bit == 0 && fits {
                    found = Some((i, iou));
                }
            }
            match found {
                Some((i, _)) => {
                    self.objects[i].taken |= bit;
                    let ignored = self.truth.ignore[self.objects[i].index as usize];
                    if ignored {
                        verdict.ignored |= bit
                    } else {
                        verdict.hit |= bit
                    }
                    if t == 0 {
                        first = found;
                    }
                }
                None => {
                    let range = self.rules.area;
                    let quad = &self.detections.quads[detection as usize];
                    if range.is_some_and(|range| outside(quad, range)) {
                        verdict.ignored |= bit;
                    }
                }
            }
        }
        if let Some((i, iou)) = first.filter(|(_, iou)| *iou > 0.0) {
            (verdict.truth, verdict.iou) = (self.objects[i].index as i32, iou);
        }
        verdict
    }
}
