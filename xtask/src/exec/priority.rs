// SPDX-License-Identifier: MIT
//! What goes on behind other work.

/// Gives this thread, and what it starts from now on, the lowest priority (nice 19). Beside containers,
/// which the kernel may schedule as a group, that is less of a difference than beside other programs.
pub fn yield_processors() {
    // Of the thread alone: see setpriority(2), "C library/kernel differences".
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        tracing::debug!(%error, "the priority stays as it is");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_thread_that_yields_leaves_the_others_as_they_are() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        let behind = std::thread::spawn(move || {
            super::yield_processors();
            nice()
        });
        assert_eq!((behind.join().unwrap(), nice()), (19, before));
    }
}
