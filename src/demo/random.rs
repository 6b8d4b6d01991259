//! Small, fast and repeatable randomness; nothing here needs to be unpredictable.

/// One step of SplitMix64 (Steele, Lea, Flood 2014): a good hash of a counter.
pub(crate) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// From 0 (included) to 1 (not).
pub(crate) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// One of the items.
pub(crate) fn pick<T: Copy>(items: &[T], bits: u64) -> T {
    // The high half of a product is an even spread without a division (Lemire 2019).
    items[((u128::from(bits) * items.len() as u128) >> 64) as usize]
}

/// A sequence of numbers.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    pub(crate) fn unit(&mut self) -> f64 {
        unit(self.next())
    }

    /// From 0 to `bound`, which is not included.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_repeatable_and_spread() {
        let mut a = Random::new(7);
        let first: Vec<u64> = (0..4).map(|_| a.next()).collect();
        let mut b = Random::new(7);
        assert_eq!(first, (0..4).map(|_| b.next()).collect::<Vec<_>>());
        let mut counts = [0; 10];
        for _ in 0..10_000 {
            counts[a.below(10) as usize] += 1;
        }
        assert!(counts.iter().all(|c| (800..1200).contains(c)), "{counts:?}");
        assert!((0..1000).all(|_| (0.0..1.0).contains(&a.unit())));
        assert_eq!(pick(&[1, 2, 3], u64::MAX), 3);
        assert_eq!(pick(&[1, 2, 3], 0), 1);
    }
}
