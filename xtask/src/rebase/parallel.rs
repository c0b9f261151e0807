// SPDX-License-Identifier: MIT
//! The same work on many items, on all processors, and no work twice.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use anyhow::Result;
use git2::Repository;

/// Pieces per thread: fewer keep neighbours together, more share the work evenly.
const PIECES: usize = 3;

/// Runs `work` on every item, with one thread per repository handle. Results keep the order.
/// Neighbours go to the same thread as far as possible: they tend to need the same things, and
/// would wait for each other.
pub fn in_parallel<T: Sync, R: Send>(
    repos: &mut [Repository],
    items: &[T],
    work: impl Fn(&Repository, &T) -> Result<R> + Sync,
) -> Vec<Result<R>> {
    let size = items.len().div_ceil((repos.len() * PIECES).max(1)).max(1);
    let next = AtomicUsize::new(0);
    let mut results: Vec<(usize, Result<R>)> = Vec::with_capacity(items.len());
    std::thread::scope(|scope| {
        let threads: Vec<_> = repos
            .iter_mut()
            .map(|repo| {
                let (next, work) = (&next, &work);
                scope.spawn(move || {
                    let mut mine = Vec::new();
                    while let from = next.fetch_add(1, Ordering::Relaxed) * size
                        && from < items.len()
                    {
                        for (at, item) in items.iter().enumerate().skip(from).take(size) {
                            let result =
                                crate::exec::check_interrupt().and_then(|()| work(repo, item));
                            mine.push((at, result));
                        }
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
