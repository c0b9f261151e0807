// SPDX-License-Identifier: MIT
//! The fewest variants that cover all versions: exact, with existing texts preferred.

use std::collections::BTreeSet;

/// A text that could be a variant.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Indices of the versions that it covers.
    pub covers: BTreeSet<usize>,
    /// It is on disk: a person may have written or read it.
    pub exists: bool,
    /// It must stay: a version that is not here depends on it.
    pub forced: bool,
}

/// The chosen candidates, by index.
#[derive(Debug, PartialEq, Eq)]
pub struct Cover {
    pub chosen: BTreeSet<usize>,
    /// No smaller set covers all versions. False only if the search was given up.
    pub minimal: bool,
}

/// Steps of the search after which the greedy answer is taken; real series need a few dozen.
const BUDGET: usize = 2_000_000;

/// Finds the smallest set that covers the versions `0..count`; among sets of the same size the one
/// with the most existing candidates, then the one whose members come last in the list. `None` if
/// a version is covered by no candidate.
pub fn smallest(candidates: &[Candidate], count: usize) -> Option<Cover> {
    let all: BTreeSet<usize> = (0..count).collect();
    let forced: BTreeSet<usize> = (0..candidates.len()).filter(|&i| candidates[i].forced).collect();
    let useful = undominated(candidates);
    let greedy = greedy(candidates, &all, &forced)?;
    let mut search = Search { candidates, useful, best: None, budget: BUDGET };
    let open: BTreeSet<usize> = without(&all, candidates, &forced);
    // With a limit on the size, growing from below: the first size that works is the smallest.
    for size in forced.len()..=greedy.len() {
        search.descend(&open, &forced, size);
        if let Some((_, chosen)) = search.best {
            return Some(Cover { chosen, minimal: true });
        }
        if search.budget == 0 {
            break;
        }
    }
    Some(Cover { chosen: greedy, minimal: false })
}

struct Search<'a> {
    candidates: &'a [Candidate],
    useful: Vec<usize>,
    /// (new candidates, sum of the distances from the end of the list), and the set.
    best: Option<((usize, usize), BTreeSet<usize>)>,
    budget: usize,
}

impl Search<'_> {
    fn descend(&mut self, open: &BTreeSet<usize>, chosen: &BTreeSet<usize>, size: usize) {
        if self.budget == 0 {
            return;
        }
        self.budget -= 1;
        if open.is_empty() {
            let new = chosen.iter().filter(|&&i| !self.candidates[i].exists).count();
            let early = chosen.iter().map(|i| self.candidates.len() - i).sum();
            let cost = (new, early);
            if self.best.as_ref().is_none_or(|(best, _)| cost < *best) {
                self.best = Some((cost, chosen.clone()));
            }
            return;
        }
        let left = size.saturating_sub(chosen.len());
        let widest = self.useful.iter().map(|&i| self.candidates[i].covers.len()).max();
        if left * widest.unwrap_or(0) < open.len() {
            return;
        }
        // One of those that cover the hardest version must be in every solution.
        let takers = |v: usize| {
            let covers = |i: &usize| self.candidates[*i].covers.contains(&v);
            self.useful.iter().copied().filter(covers).collect::<Vec<_>>()
        };
        let hardest = open.iter().map(|&v| takers(v)).min_by_key(Vec::len).unwrap_or_default();
        for index in hardest {
            let mut chosen = chosen.clone();
            chosen.insert(index);
            let open = open.difference(&self.candidates[index].covers).copied().collect();
            self.descend(&open, &chosen, size);
        }
    }
}

fn without(
    all: &BTreeSet<usize>,
    candidates: &[Candidate],
    chosen: &BTreeSet<usize>,
) -> BTreeSet<usize> {
    let covered = |v: &usize| chosen.iter().any(|&i| candidates[i].covers.contains(v));
    all.iter().copied().filter(|v| !covered(v)).collect()
}

/// Leaves out what another candidate, as good otherwise, covers too.
fn undominated(candidates: &[Candidate]) -> Vec<usize> {
    let rank = |i: usize| (candidates[i].exists, i);
    (0..candidates.len())
        .filter(|&i| {
            let mine = &candidates[i];
            !(0..candidates.len()).any(|j| {
                let other = &candidates[j];
                j != i
                    && mine.covers.is_subset(&other.covers)
                    && other.exists >= mine.exists
                    && (mine.covers != other.covers || rank(j) > rank(i))
            })
        })
        .collect()
}

fn greedy(
    candidates: &[Candidate],
    all: &BTreeSet<usize>,
    forced: &BTreeSet<usize>,
) -> Option<BTreeSet<usize>> {
    let mut chosen = forced.clone();
    loop {
        let open = without(all, candidates, &chosen);
        if open.is_empty() {
            return Some(chosen);
        }
        let gain = |i: &usize| candidates[*i].covers.intersection(&open).count();
        let best = (0..candidates.len()).max_by_key(|i| (gain(i), candidates[*i].exists, *i))?;
        if gain(&best) == 0 {
            return None;
        }
        chosen.insert(best);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(covers: &[usize], exists: bool) -> Candidate {
        Candidate { covers: covers.iter().copied().collect(), exists, forced: false }
    }

    fn chosen(candidates: &[Candidate], count: usize) -> Vec<usize> {
        let cover = smallest(candidates, count).unwrap();
        assert!(cover.minimal);
        cover.chosen.into_iter().collect()
    }

    #[test]
    fn greedy_would_take_three_where_two_do() {
        let list = [
            candidate(&[1, 2, 3, 4], false),
            candidate(&[0, 1, 2], false),
            candidate(&[3, 4, 5], false),
        ];
        assert_eq!(chosen(&list, 6), [1, 2]);
    }

    #[test]
    fn existing_texts_win_among_equals_but_not_over_fewer() {
        let list = [candidate(&[0, 1], false), candidate(&[0, 1], true), candidate(&[0, 1], false)];
        assert_eq!(chosen(&list, 2), [1]);
        let list = [candidate(&[0], true), candidate(&[1], true), candidate(&[0, 1], false)];
        assert_eq!(chosen(&list, 2), [2]);
    }

    #[test]
    fn what_is_needed_elsewhere_stays() {
        let mut list = [candidate(&[], true), candidate(&[0], true)];
        list[0].forced = true;
        assert_eq!(chosen(&list, 1), [0, 1]);
        assert_eq!(smallest(&list, 2), None);
    }

    /// Against brute force over all subsets, on a few thousand small random instances.
    #[test]
    fn as_small_as_brute_force() {
        let mut seed = 0x2545_f491_u32;
        let mut random = |n: u32| {
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            seed % n
        };
        for _ in 0..3000 {
            let (n, count) = (1 + random(8) as usize, 1 + random(7) as usize);
            let list: Vec<Candidate> = (0..n)
                .map(|_| Candidate {
                    covers: (0..count).filter(|_| random(3) == 0).collect(),
                    exists: random(2) == 0,
                    forced: random(9) == 0,
                })
                .collect();
            let size = (0..1_u32 << n)
                .filter(|set| {
                    let has = |i: usize| set >> i & 1 == 1;
                    (0..n).all(|i| !list[i].forced || has(i))
                        && (0..count).all(|v| (0..n).any(|i| has(i) && list[i].covers.contains(&v)))
                })
                .map(u32::count_ones)
                .min();
            let found = smallest(&list, count).map(|c| c.chosen.len() as u32);
            assert_eq!(found, size, "{list:?}");
        }
    }
}
