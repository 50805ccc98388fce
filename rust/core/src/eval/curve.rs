//! Precision, recall and average precision.

/// Definition of average precision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Average {
    /// Mean of the best precision at 11 recalls, 0 to 1 (PASCAL VOC 2007, DOTA).
    Voc07,
    /// Area under the monotone envelope (PASCAL VOC 2010 and later).
    Area,
    /// Mean of the envelope at 101 recalls (COCO).
    Coco,
}

/// Precision-recall curve: one point per counted detection, best score first.
#[derive(Clone, Debug, Default)]
pub struct Curve {
    /// Recall: true positives so far over the number of objects; undefined without objects.
    pub recall: Vec<f64>,
    /// Precision: true positives so far over the detections so far.
    pub precision: Vec<f64>,
}

impl Curve {
    /// Computes the curve from verdicts `(is a true positive, weight)`, best score first, without ignored
    /// detections. A detection of weight 0 does not count.
    ///
    /// `positives` is the weighted number of objects to find.
    pub fn new(verdicts: impl Iterator<Item = (bool, f64)>, positives: f64) -> Curve {
        let mut curve = Curve::default();
        let (mut tp, mut fp) = (0.0, 0.0);
        for (positive, weight) in verdicts {
            if positive {
                tp += weight
            } else {
                fp += weight
            }
            curve.recall.push(tp / positives);
            curve.precision.push(tp / f64::max(tp + fp, f64::EPSILON));
        }
        curve
    }

    /// Average precision; 0 without detections, undefined without objects.
    pub fn average(&self, kind: Average) -> f64 {
        match kind {
            Average::Voc07 => self.voc07(),
            Average::Area => self.area(),
            Average::Coco => self.coco(),
        }
    }

    /// Recall thresholds are multiples of the double 0.1, as from `numpy.arange`: those at 0.3, 0.6 and 0.7 lie just
    /// above the decimal number, so a recall of exactly 0.3 does not reach its threshold.
    fn voc07(&self) -> f64 {
        let mut best = [0.0; 11];
        let (mut end, mut highest) = (self.recall.len(), 0.0);
        for (i, best) in best.iter_mut().enumerate().rev() {
            let start = self.recall.partition_point(|&r| r < i as f64 * 0.1);
            highest = self.precision[start.min(end)..end].iter().copied().fold(highest, f64::max);
            end = start.min(end);
            *best = highest;
        }
        best.iter().fold(0.0, |sum, p| sum + p / 11.0)
    }

    fn area(&self) -> f64 {
        let envelope = self.envelope();
        let mut previous = 0.0;
        let mut sum = 0.0;
        for (&recall, precision) in self.recall.iter().zip(envelope) {
            sum += (recall - previous) * precision;
            previous = recall;
        }
        sum
    }

    fn coco(&self) -> f64 {
        let envelope = self.envelope();
        let at = |i: usize| {
            let target = if i == 100 { 1.0 } else { i as f64 * 0.01 };
            envelope.get(self.recall.partition_point(|&r| r < target)).copied().unwrap_or(0.0)
        };
        (0..=100).map(at).sum::<f64>() / 101.0
    }

    /// Highest precision at this or any higher recall.
    fn envelope(&self) -> Vec<f64> {
        let mut envelope = self.precision.clone();
        let mut highest = 0.0;
        for p in envelope.iter_mut().rev() {
            highest = f64::max(highest, *p);
            *p = highest;
        }
        envelope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(verdicts: &[bool], positives: f64) -> Curve {
        Curve::new(verdicts.iter().map(|&tp| (tp, 1.0)), positives)
    }

    #[test]
    fn recall_of_exactly_three_tenths_misses_its_threshold() {
        let three = curve(&[true, true, true], 10.0);
        assert!((three.average(Average::Voc07) - 3.0 / 11.0).abs() < 1e-15);
        assert!((three.average(Average::Area) - 0.3).abs() < 1e-15);
        assert!((three.average(Average::Coco) - 31.0 / 101.0).abs() < 1e-15);
    }

    #[test]
    fn nothing_found_is_zero() {
        for kind in [Average::Voc07, Average::Area, Average::Coco] {
            assert_eq!(curve(&[], 5.0).average(kind), 0.0);
            assert_eq!(curve(&[false, false], 5.0).average(kind), 0.0);
        }
    }

    #[test]
    fn the_envelope_looks_ahead() {
        // Precision 0, 1/2, 2/3 at recall 0, 1/2, 1: two thirds everywhere.
        for kind in [Average::Voc07, Average::Area, Average::Coco] {
            assert!((curve(&[false, true, true], 2.0).average(kind) - 2.0 / 3.0).abs() < 1e-15);
        }
    }
}
