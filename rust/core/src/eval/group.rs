//! Matching within a group: the detections and objects of one image and class.

use crate::along_x::AlongX;
use crate::bounds::Bounds;
use crate::eval::devkit;
use crate::eval::rules::{Measure, Rules};
use crate::eval::truth::{Detections, Truth};
use crate::geom::{self, Quad};
use crate::iou::{Mode, QuadShape, Shape};
use crate::lanes::wide;

/// Pixels by which the devkit enlarges horizontal boxes.
const PIXEL: f64 = 1.0;
/// IoUs closer than this to a threshold, or to each other, are decided by the devkit's arithmetic.
const CLOSE: f64 = 1e-6;
/// IoUs of the robust kernel closer than this to a threshold count as equal to it.
const ROUNDING: f64 = 1e-12;
/// Bound on the relative error of the devkit's areas, in units of (coordinate)² / area: 16 pairs of edges, each
/// rounded relative to the origin.
const DEVKIT_ERROR: f64 = 1e-13;

/// The detections and objects of one image and class.
pub(super) struct Group<'a> {
    /// Detections by falling score.
    pub detections: &'a [u32],
    pub truths: &'a [u32],
}

wide! {
    /// Matches groups one by one; gives a verdict for each detection.
    pub(super) fn match_groups(truth: Truth, detections: Detections, rules: &Rules, groups: &[Group]) -> Vec<Verdict> {
        let mut matcher = Matcher::new(truth, detections, rules);
        for group in groups {
            matcher.run(group);
        }
        matcher.verdicts
    }
}

/// Whether an area lies outside a range.
pub(super) fn outside(quad: &Quad, (low, high): (f64, f64)) -> bool {
    !(low..=high).contains(&geom::signed_area(quad).abs())
}

/// Verdict on a detection; see `Matches`.
pub(super) struct Verdict {
    pub detection: u32,
    pub hit: u32,
    pub ignored: u32,
    pub truth: i32,
    pub iou: f64,
}

/// State of the matcher; buffers are reused.
struct Matcher<'a> {
    truth: Truth<'a>,
    detections: Detections<'a>,
    rules: &'a Rules,
    lowest: f64,
    verdicts: Vec<Verdict>,
    objects: Vec<Object>,
    /// Whether any object is not convex.
    odd_objects: bool,
    along_x: AlongX,
    hits: Vec<u32>,
    /// Detections of the group.
    quads: Vec<Quad>,
    /// `(object of the group, IoU)` for the current detection.
    candidates: Vec<(usize, f64)>,
}

/// An object of the current group.
struct Object {
    index: u32,
    shape: QuadShape,
    convex: bool,
    /// One bit per threshold: the object is matched.
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
            // Ignored objects come last: they are matched only if no other fits.
            self.objects.sort_by_key(|o| self.truth.ignore[o.index as usize]);
        }
        self.odd_objects = self.objects.iter().any(|o| !o.convex);
        self.along_x.fill(self.objects.iter().map(|o| o.shape.bounds()));
        // Copied first: loads of a plain loop overlap, loads between long computations do not.
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
            // The order of operations is the devkit's: an IoU of exactly 0.5 must come out the same.
            let union = (x1 - x0 + pixel) * (y1 - y0 + pixel) + (u1 - u0 + pixel) * (v1 - v0 + pixel) - inside;
            if inside > 0.0 {
                self.candidates.push((i, inside / union));
            }
        }
    }

    #[inline(always)]
    fn measure_as_devkit(&mut self, quad: &Quad) {
        let shape = QuadShape::new(quad);
        // For quads that are not convex, the robust kernel clamps what the devkit does not.
        let odd = !geom::is_convex(quad) || self.odd_object_near(quad);
        if !odd {
            self.overlaps(&shape);
        }
        if odd || self.hangs_on_rounding(&shape) {
            self.candidates.clear();
            let bounds = Bounds::around(&geom::corners(quad));
            for (i, object) in self.objects.iter().enumerate() {
                let truth = &self.truth.quads[object.index as usize];
                if bounds.meets_by(&Bounds::around(&geom::corners(truth)), PIXEL) {
                    self.candidates.push((i, devkit::iou(truth, quad)));
                }
            }
        }
    }

    /// Whether the devkit would compare the detection with an object that is not convex.
    #[inline(always)]
    fn odd_object_near(&self, quad: &Quad) -> bool {
        self.odd_objects && {
            let bounds = Bounds::around(&geom::corners(quad));
            let around = |o: &Object| Bounds::around(&geom::corners(&self.truth.quads[o.index as usize]));
            let near = |o: &Object| bounds.meets_by(&around(o), PIXEL);
            self.objects.iter().any(|o| !o.convex && near(o))
        }
    }

    /// Whether rounding could decide the match: the best IoU is close to a threshold or to the second best.
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
        let equal = self.rules.measure == Measure::Quad && (iou - threshold).abs() <= ROUNDING;
        if self.rules.strict { iou > threshold && !equal } else { iou >= threshold || equal }
    }

    /// Matches the object with the highest IoU, ties to the first; if it is taken, there is no second choice.
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

    /// An unmatched detection is ignored if its area is outside the range.
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

    /// Matches the free object with the highest IoU, ties to the last; ignored ones only if no other fits, as in COCO.
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
