//! The little statistics that a benchmark on a noisy machine needs: medians, extremes, ratios taken pair by
//! pair.

/// Median and extremes of one figure over the rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// The middle value; of an even number of values, the mean of the two in the middle.
    pub median: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
}

impl Summary {
    /// The summary of some values, `None` when there are none.
    pub fn of(values: &[f64]) -> Option<Summary> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        Some(Summary { median, min, max })
    }
}

/// The ratios `a / b`, round by round. A round in which one of the two was not measured is left out.
///
/// Both values of a pair were measured shortly after one another, so that a machine that gets slower in the
/// course of a run changes both and hardly their ratio.
pub fn ratios(a: &[Option<f64>], b: &[Option<f64>]) -> Vec<f64> {
    a.iter().zip(b).filter_map(|(a, b)| Some((*a)? / (*b)?)).filter(|ratio| ratio.is_finite()).collect()
}

/// The value below which `percent` of the values lie (nearest rank); reorders them. 0 when there are none.
pub fn percentile(values: &mut [u64], percent: f64) -> u64 {
    if values.is_empty() {
        return 0;
    }
    let rank = (percent / 100.0 * values.len() as f64).ceil() as usize;
    let index = rank.clamp(1, values.len()) - 1;
    *values.select_nth_unstable(index).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_of_odd_and_even_numbers_of_values() {
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[7.0]), Some(Summary { median: 7.0, min: 7.0, max: 7.0 }));
        assert_eq!(Summary::of(&[3.0, 1.0, 2.0]), Some(Summary { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Summary::of(&[4.0, 1.0, 3.0, 2.0]), Some(Summary { median: 2.5, min: 1.0, max: 4.0 }));
    }

    #[test]
    fn summary_is_not_moved_by_one_outlier() {
        let summary = Summary::of(&[100.0, 101.0, 99.0, 3.0, 100.0]).unwrap();
        assert_eq!(summary.median, 100.0);
        assert_eq!(summary.min, 3.0);
    }

    #[test]
    fn ratios_leave_out_incomplete_rounds() {
        let a = [Some(8.0), None, Some(9.0), Some(1.0)];
        let b = [Some(10.0), Some(10.0), Some(10.0), Some(0.0)];
        assert_eq!(ratios(&a, &b), vec![0.8, 0.9]);
    }

    #[test]
    fn ratios_cancel_a_drift_common_to_both() {
        let a = [Some(90.0), Some(45.0), Some(9.0)];
        let b = [Some(100.0), Some(50.0), Some(10.0)];
        let summary = Summary::of(&ratios(&a, &b)).unwrap();
        assert!((summary.min - 0.9).abs() < 1e-9 && (summary.max - 0.9).abs() < 1e-9);
    }

    #[test]
    fn percentiles() {
        let mut values: Vec<u64> = (1..=100).rev().collect();
        assert_eq!(percentile(&mut values, 50.0), 50);
        assert_eq!(percentile(&mut values, 99.0), 99);
        assert_eq!(percentile(&mut values, 100.0), 100);
        assert_eq!(percentile(&mut values, 0.0), 1);
        assert_eq!(percentile(&mut [], 50.0), 0);
        assert_eq!(percentile(&mut [5], 99.0), 5);
    }
}
