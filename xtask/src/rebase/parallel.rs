// SPDX-License-Identifier: MIT
//! The same work on many items, on all processors.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use git2::Repository;

/// Runs `work` on every item, with one thread per repository handle. Results keep the order.
pub fn in_parallel<T: Sync, R: Send>(
    repos: &mut [Repository],
    items: &[T],
    work: impl Fn(&Repository, &T) -> Result<R> + Sync,
) -> Vec<Result<R>> {
    let next = AtomicUsize::new(0);
    let mut results: Vec<(usize, Result<R>)> = Vec::with_capacity(items.len());
    std::thread::scope(|scope| {
        let threads: Vec<_> = repos
            .iter_mut()
            .map(|repo| {
                let (next, work) = (&next, &work);
                scope.spawn(move || {
                    let mut mine = Vec::new();
                    while let Some(index) = Some(next.fetch_add(1, Ordering::Relaxed))
                        && let Some(item) = items.get(index)
                    {
                        let result = crate::exec::check_interrupt().and_then(|()| work(repo, item));
                        mine.push((index, result));
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
