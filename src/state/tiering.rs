//! When runs of sorted or replaced rows are put together: each row is written about as often as the logarithm of the
//! size of all, and there are few runs to look into.

/// Runs of about the same size before they are merged into one of the next size.
const FAN_IN: usize = 4;
/// Ratio of the sizes.
const RATIO: u32 = 4;
/// Runs below this are all of the smallest size.
const SMALLEST: u64 = 4 << 10;

/// How many of the newest runs, whose sizes these are, are to become one: 1 if none.
pub fn due(sizes: &[u64]) -> usize {
    let Some((oldest, newer)) = sizes.split_last() else { return 0 };
    // Half of a table may be rows that have been replaced, not more.
    if !newer.is_empty() && newer.iter().sum::<u64>() >= *oldest {
        return sizes.len();
    }
    let class = |size: u64| (size / SMALLEST).checked_ilog(u64::from(RATIO)).map_or(0, |c| c + 1);
    let mut due = 1;
    for top in 0..=class(u64::MAX) {
        let smaller = newer.iter().take_while(|&&size| class(size) <= top);
        let (count, alike) = smaller
            .fold((0, 0), |(count, alike), &size| (count + 1, alike + usize::from(class(size) == top)));
        if alike >= FAN_IN {
            due = due.max(count);
        }
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_runs_and_few_writes() {
        // Cuts of a table of 1 GB whose rows stay as many.
        const TABLE: u64 = 1_000_000_000;
        for cut in [100_000_000, 5_000_000, 50_000, 1_000] {
            let (mut chain, mut written) = (vec![TABLE], 0);
            for _ in 0..1000 {
                chain.insert(0, cut);
                let due = due(&chain);
                let mut merged: u64 = chain.drain(..due).sum();
                if chain.is_empty() {
                    merged = TABLE;
                }
                written += merged;
                chain.insert(0, merged);
                assert!(chain.len() <= 16, "{chain:?}");
            }
            assert!(written <= 7 * cut * 1000, "{written} for {cut}");
        }
        assert_eq!(due(&[1]), 1);
        assert_eq!(due(&[]), 0);
        assert_eq!(due(&[1, 1 << 30]), 1);
    }
}
