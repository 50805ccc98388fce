//! The order in which detections are processed: by falling score.

/// Indices of the scores, highest first; ties by index, NaN last.
///
/// # Panics
/// If there are 2³² scores or more.
pub fn by_falling_score(scores: &[f64]) -> Vec<u32> {
    assert!(u32::try_from(scores.len()).is_ok(), "fewer than 2^32 scores");
    sort((0..scores.len() as u32).collect(), |i| scores[i as usize])
}

/// Sorts ascending indices by falling score; ties by index, NaN last.
pub(crate) fn sort(indices: Vec<u32>, score: impl Fn(u32) -> f64) -> Vec<u32> {
    // Score and index in one key: sorting needs no look-ups, and the order is total.
    let mut keys: Vec<(u64, u32)> = indices.into_iter().map(|i| (falling_key(score(i)), i)).collect();
    keys.sort_unstable();
    keys.into_iter().map(|(_, i)| i).collect()
}

/// An integer that sorts scores in falling order.
fn falling_key(score: f64) -> u64 {
    if score.is_nan() {
        return u64::MAX;
    }
    let bits = (score + 0.0).to_bits(); // + 0.0: the two zeros are equal scores
    if bits >> 63 == 0 { !bits ^ (1 << 63) } else { bits }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_score_then_index_then_nan() {
        assert_eq!(by_falling_score(&[0.5, f64::NAN, 0.9, -1.0, 0.5, -0.0, 0.0]), [2, 0, 4, 5, 6, 3, 1]);
    }
}
