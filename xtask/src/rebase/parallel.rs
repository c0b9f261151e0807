// SPDX-License-Identifier: MIT
//! The same work on many items, on all processors, and no work twice.

use std::collections::HashMap;
use std::hash::Hash;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

use anyhow::Result;
use git2::Repository;

/// Runs `work` on every item, with one thread per repository handle. Results keep the order.
/// Neighbours go to the same thread as far as possible: they tend to need the same things, and
/// would wait for each other.
pub fn in_parallel<T: Sync, R: Send>(
    repos: &mut [Repository],
    items: &[T],
    work: impl Fn(&Repository, &T) -> Result<R> + Sync,
) -> Vec<Result<R>> {
    let shares = Shares::new(repos.len(), items.len());
    let mut results: Vec<(usize, Result<R>)> = Vec::with_capacity(items.len());
    std::thread::scope(|scope| {
        let threads: Vec<_> = repos
            .iter_mut()
            .enumerate()
            .map(|(thread, repo)| {
                let (shares, work) = (&shares, &work);
                scope.spawn(move || {
                    let mut mine = Vec::new();
                    while let Some(at) = shares.next(thread) {
                        let result =
                            crate::exec::check_interrupt().and_then(|()| work(repo, &items[at]));
                        mine.push((at, result));
                    }
                    mine
                })
            })
            .collect();
        for thread in threads {
            match thread.join() {
                Ok(mine) => results.extend(mine),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// What each thread has left to do.
struct Shares(Mutex<Vec<Range<usize>>>);

impl Shares {
    fn new(threads: usize, items: usize) -> Self {
        let start = |thread: usize| items * thread / threads.max(1);
        Shares(Mutex::new((0..threads).map(|thread| start(thread)..start(thread + 1)).collect()))
    }

    /// The next item of this thread's own, in order; when these are done, the last one of who has
    /// most left.
    fn next(&self, thread: usize) -> Option<usize> {
        let mut shares = self.0.lock().ok()?;
        if let Some(at) = shares.get_mut(thread)?.next() {
            return Some(at);
        }
        shares.iter_mut().max_by_key(|share| share.len())?.next_back()
    }
}

/// Answers by what they depend on. Of two threads that ask for the same, one works.
#[derive(Debug)]
pub struct Memo<K, V>(Mutex<HashMap<K, Arc<OnceLock<V>>>>);

impl<K, V> Default for Memo<K, V> {
    fn default() -> Self {
        Memo(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Clone> Memo<K, V> {
    /// The answer for `key`, which `work` finds if nobody has asked before.
    pub fn get(&self, key: K, work: impl FnOnce() -> V) -> V {
        let cell = match self.0.lock() {
            Ok(mut map) => map.entry(key).or_default().clone(),
            Err(_) => return work(),
        };
        cell.get_or_init(work).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_is_given_out_once_the_own_ones_first_and_in_order() {
        for (threads, items) in [(1, 5), (2, 0), (2, 5), (3, 10), (4, 2)] {
            let shares = Shares::new(threads, items);
            // The first thread works, the others come too late.
            let all: Vec<usize> = std::iter::from_fn(|| shares.next(0)).collect();
            let own = items / threads;
            assert_eq!(all[..own], (0..own).collect::<Vec<_>>());
            let mut sorted = all.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..items).collect::<Vec<_>>(), "{all:?}");
            assert!((0..threads).all(|thread| shares.next(thread).is_none()));
        }
    }
}
