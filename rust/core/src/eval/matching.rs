//! Matching of detections with the ground truth: one matcher for all protocols.
//!
//! Detections are matched image by image and class by class, by falling score. Protocols differ only in the fields
//! of [`Rules`]; one pass decides all IoU thresholds.

use crate::eval::curve::Curve;
use crate::eval::group::{Group, match_groups, outside};
use crate::eval::rules::Rules;
use crate::eval::truth::{Detections, Truth};
use crate::ranking;
use crate::threads;

/// Result of matching.
#[derive(Debug, Default)]
pub struct Matches {
    /// Detections sorted by class, then by falling score; ties in file order.
    pub order: Vec<u32>,
    /// Start of each class in `order`; one more entry than classes.
    pub starts: Vec<usize>,
    /// For each detection, one bit per threshold: the detection found an object.
    pub hit: Vec<u32>,
    /// For each detection, one bit per threshold: the detection is ignored.
    pub ignored: Vec<u32>,
    /// For each detection, the object matched at the first threshold, or else the one it overlaps most; −1: none.
    pub truth: Vec<i32>,
    /// For each detection, the IoU with that object.
    pub iou: Vec<f64>,
    /// Number of objects of each class that are not ignored.
    pub positives: Vec<u32>,
}

impl Matches {
    /// Detections of a class that are not ignored at a threshold, best score first: `(index, found an object)`.
    pub fn verdicts(&self, class: usize, threshold: usize) -> impl Iterator<Item = (usize, bool)> {
        let bit = 1 << threshold;
        let order = &self.order[self.starts[class]..self.starts[class + 1]];
        order
            .iter()
            .map(|&i| i as usize)
            .filter(move |&i| self.ignored[i] & bit == 0)
            .map(move |i| (i, self.hit[i] & bit != 0))
    }

    /// Precision-recall curve of a class at a threshold; `None` without objects to find.
    pub fn curve(&self, class: usize, threshold: usize) -> Option<Curve> {
        let positives = f64::from(self.positives[class]);
        let verdicts = self.verdicts(class, threshold).map(|(_, hit)| (hit, 1.0));
        (positives > 0.0).then(|| Curve::new(verdicts, positives))
    }
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

    let sorted = sort(truth, detections, classes, images, jobs);
    let groups: Vec<Group> = sorted
        .iter()
        .flat_map(|class| (0..images).map(|i| Group { detections: class.detections.of(i), truths: class.truths.of(i) }))
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
    for class in &sorted {
        out.order.extend_from_slice(&class.order);
        out.starts.push(out.order.len());
    }
    out
}

/// Detections of a class by falling score, and its detections and objects by image.
struct Class {
    order: Vec<u32>,
    detections: Buckets,
    truths: Buckets,
}

fn sort(truth: Truth, detections: Detections, classes: usize, images: usize, jobs: usize) -> Vec<Class> {
    let by_class = split_by(detections.label, classes);
    let truths_by_class = split_by(truth.label, classes);
    threads::map(classes, jobs, |class| {
        let order = ranking::sort(by_class.of(class).to_vec(), |i| detections.scores[i as usize]);
        let detections = split_values(&order, detections.image, images);
        Class { order, detections, truths: split_values(truths_by_class.of(class), truth.image, images) }
    })
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

/// Sorts the indices 0..n by their buckets.
fn split_by(bucket: &[u32], buckets: usize) -> Buckets {
    let all: Vec<u32> = (0..bucket.len() as u32).collect();
    split_values(&all, bucket, buckets)
}

/// Sorts indices by their buckets, stably (counting sort).
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
