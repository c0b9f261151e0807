// SPDX-License-Identifier: MIT
//! The first bad one of many candidates, where each trial is dear and some cannot be tried.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use anyhow::Result;

/// What a trial says of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trial<B> {
    Good,
    /// With what was seen.
    Bad(B),
    /// It cannot be tried, for this reason: it does not build, say.
    Skipped(String),
}

/// The first bad candidate that could be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct First<B> {
    pub at: usize,
    pub bad: B,
    /// Those right before it that could not be tried, with the reasons: any of them may be the first.
    pub untried: Vec<(usize, String)>,
}

/// What is still to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// Any of which may be the first bad one, beside the one that is known to be bad.
    pub candidates: usize,
    /// If all of them can be tried.
    pub trials: u32,
}

/// Looks for the first bad one of `0..count`, where the last is known to be `bad`, and what comes before
/// number 0 is good.
///
/// # Errors
/// Those of a trial end the search.
pub fn first_bad<B>(
    count: usize,
    bad: B,
    mut trial: impl FnMut(usize, Left) -> Result<Trial<B>>,
) -> Result<First<B>> {
    let mut first = First { at: count.saturating_sub(1), bad, untried: Vec::new() };
    // Where the first bad one can be, at the earliest.
    let mut low = 0;
    let mut skipped: BTreeMap<usize, String> = BTreeMap::new();
    loop {
        let open = (low..first.at).filter(|at| !skipped.contains_key(at));
        // Far from all that is known: the middle at first. Beside one that does not build the next
        // one hardly does.
        let distance = |at: usize| {
            let below = skipped.range(..at).next_back().map_or(0, |(known, _)| known + 1);
            let above = skipped.range(at..).next().map_or(first.at, |(known, _)| *known);
            (at + 1 - below.max(low)).min(above.min(first.at) - at)
        };
        let candidates = open.clone().count();
        let Some(at) = open.max_by_key(|&at| (distance(at), Reverse(at))) else { break };
        let trials = usize::BITS - candidates.leading_zeros();
        match trial(at, Left { candidates, trials })? {
            Trial::Good => low = at + 1,
            Trial::Bad(bad) => (first.at, first.bad) = (at, bad),
            Trial::Skipped(why) => {
                skipped.insert(at, why);
            }
        }
    }
    first.untried = skipped.into_iter().filter(|(at, _)| (low..first.at).contains(at)).collect();
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer for `count` candidates that are bad from `from` on, with those tried, in order.
    fn searched(count: usize, from: usize, broken: &[usize]) -> (First<usize>, Vec<usize>) {
        let mut tried = Vec::new();
        let first = first_bad(count, count - 1, |at, left| {
            assert!(left.candidates >= 1 && left.candidates < count);
            tried.push(at);
            Ok(match () {
                () if broken.contains(&at) => Trial::Skipped(format!("no {at}")),
                () if at < from => Trial::Good,
                () => Trial::Bad(at),
            })
        });
        (first.unwrap(), tried)
    }

    #[test]
    fn every_first_bad_one_is_found_in_as_few_trials_as_can_be() {
        for count in 1..40_usize {
            for from in 0..count {
                let (first, tried) = searched(count, from, &[]);
                assert_eq!(first, First { at: from, bad: from, untried: Vec::new() });
                assert!(tried.len() <= count.ilog2() as usize + 1, "{count} {from}: {tried:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_tried_is_gone_around_and_named_if_it_matters() {
        for count in 1..14_usize {
            for from in 0..count {
                for bits in 0..1_usize << (count - 1) {
                    let broken: Vec<usize> = (0..count).filter(|i| bits >> i & 1 == 1).collect();
                    let (first, mut tried) = searched(count, from, &broken);
                    // The first that can be tried, and those beside it that cannot.
                    let at = (from..count).find(|i| !broken.contains(i)).unwrap();
                    let good = (0..from).rfind(|i| !broken.contains(i));
                    let untried: Vec<(usize, String)> =
                        (good.map_or(0, |i| i + 1)..at).map(|i| (i, format!("no {i}"))).collect();
                    assert_eq!(first, First { at, bad: at, untried }, "{count} {from} {broken:?}");
                    tried.sort_unstable();
                    let twice = tried.windows(2).any(|two| two[0] == two[1]);
                    assert!(!twice && !tried.contains(&(count - 1)), "{tried:?}");
                }
            }
        }
    }

    #[test]
    fn it_says_how_many_are_left_and_leaves_a_region_that_does_not_build() {
        let mut left = Vec::new();
        let trial = |at: usize, l: Left| {
            left.push((at, l.candidates, l.trials));
            Ok(if (28..36).contains(&at) {
                Trial::Skipped("does not build".into())
            } else if at < 40 {
                Trial::Good
            } else {
                Trial::Bad(())
            })
        };
        let first = first_bad(64, (), trial).unwrap();
        assert_eq!((first.at, first.untried), (40, Vec::new()));
        assert_eq!(left[..2], [(31, 63, 6), (15, 62, 6)]);
        assert!(left.len() < 11, "{left:?}");
        assert_eq!(left.last().map(|l| l.2), Some(1));
    }

    #[test]
    fn an_error_ends_it() {
        let error = first_bad(9, (), |_, _| Err(anyhow::anyhow!("interrupted"))).unwrap_err();
        assert_eq!(error.to_string(), "interrupted");
    }
}
