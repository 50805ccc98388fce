//! Average precision over resampled images.

use crate::eval::curve::{Average, Curve};
use crate::eval::matching::Matches;
use crate::eval::truth::Truth;
use crate::threads;

/// Average precision of every class for many weightings of the images, for bootstrap intervals.
///
/// `weights` has one row per sample of images, with `images` numbers: how often each image is in it. The result has
/// one row per sample, with one number per class; NaN if a class has no object in the sample.
///
/// # Panics
/// If an image index is out of range.
pub fn bootstrap(
    matches: &Matches,
    truth: Truth,
    detection_image: &[u32],
    (weights, images): (&[u32], usize),
    threshold: usize,
    kind: Average,
    jobs: usize,
) -> Vec<f64> {
    let classes = matches.positives.len();
    let sets: Vec<&[u32]> = weights.chunks(images.max(1)).collect();
    let rows = threads::map(sets.len(), jobs, |i| {
        let set = sets[i];
        let mut positives = vec![0.0; classes];
        for ((&image, &label), _) in truth.image.iter().zip(truth.label).zip(truth.ignore).filter(|(_, i)| !**i) {
            positives[label as usize] += f64::from(set[image as usize]);
        }
        let weight = |i: usize| f64::from(set[detection_image[i] as usize]);
        (0..classes)
            .map(|class| match positives[class] {
                0.0 => f64::NAN,
                n => Curve::new(matches.verdicts(class, threshold).map(|(i, hit)| (hit, weight(i))), n).average(kind),
            })
            .collect::<Vec<f64>>()
    });
    rows.concat()
}
