// SPDX-License-Identifier: MIT
//! systemd's own unit tests, of the parts that the series touches, in the build folder of a version.
//!
//! They answer what our checks cannot: whether anything changed *outside* of containers. Run as
//! root they use namespaces of their own, with a cgroup2 tree, since half of them are about that;
//! what they write below /run and /var stays there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use anyhow::{Context, Result};
use regex::Regex;
use serde::{Deserialize, Serialize};

use super::{BUILD_DEADLINE, BUILD_MB, Request, Workplace};
use crate::exec::Job;
use crate::fault::Fault;
use crate::ui::Ui;
use crate::workspace::{Cache, require_space};

/// The tests of what the patches touch: the manager and its executor, journald, logind, logging,
/// mounting, control groups, removing folders.
static TOUCHED: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r"^test-(.*cgroup.*|.*mount.*|exec.*|log|rm-rf|journal.*|login-.*|core-unit|engine|unit-.*|taint|manager|.*-serialize|bus-unit-util|virt)$",
    )
    .ok()
});

/// How meson says that one test ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    Passed,
    /// The test itself says that it cannot run here.
    Skipped,
    /// Where it gave up, in its own words: a test that fails on this machine without the series may
    /// not fail earlier with it.
    Failed(String),
}

/// Test by name.
pub type Endings = BTreeMap<String, Ending>;

/// Hides what the tests write, mounts cgroup2 (a host may mount cgroup v1 alone), and becomes meson.
/// `$1`: a folder that must stay visible, the cache's.
const APART: &str = r#"
set -eu
mount --make-rprivate /
for dir in /run /var/lib /var/cache /var/log; do
    case "$1/" in "$dir"/*) ;; *) mount -t tmpfs -o mode=0755 tmpfs "$dir" ;; esac
done
umount -R -l /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup
shift
exec "$@"
"#;

/// Builds and runs the tests of one tree; see [`super::build`] for `materialise`.
///
/// # Errors
/// The tree does not compile, or meson cannot run the tests. A test that fails is an answer.
pub fn unit_tests(
    cache: &Cache,
    ui: &Ui,
    request: &Request<'_>,
    materialise: impl FnOnce(&Path) -> Result<()>,
) -> Result<Endings> {
    let _lock = cache.lock(&format!("build-{}", request.name()))?;
    let work = Workplace::open(cache, request, ui)?;
    require_space(&work.home, BUILD_MB)?;
    let title = format!("unit tests of systemd {} ({})", request.version, request.flavour);
    let step = ui.step(title);
    step.detail("writing the sources");
    materialise(&work.sources)?;
    work.setup(&step)?;
    let (names, targets) = chosen(&work.objects)?;
    work.ninja(&step, &targets)?;
    step.detail("running");
    let log = work.objects.join("meson-logs/testlog.json");
    let _ = fs::remove_file(&log);
    let mut seen = 0;
    let job = run(&work, cache.root(), &names).deadline(BUILD_DEADLINE).run(|line| {
        if line.contains(" test-") {
            seen += 1;
            step.detail(&format!("{seen}/{}", names.len()));
        }
    });
    // Meson's status counts failures, which are answers here; without a log it is not one.
    let text = match (fs::read_to_string(&log), job) {
        (Ok(text), _) => text,
        (Err(_), Err(error)) => return Err(error),
        (Err(error), Ok(())) => {
            return Err(error).with_context(|| format!("cannot read {}", log.display()));
        }
    };
    let endings = parse(&text)?;
    if let Some(lost) = names.iter().find(|n| !endings.contains_key(*n)) {
        return Err(Fault::new(format!("meson did not say how {lost} ended"))
            .hint(format!("see {}", work.logs.join("unit-tests.log").display()))
            .into());
    }
    step.done(&summary(&endings));
    Ok(endings)
}

/// `35 passed, 1 failed, 2 skipped`
pub fn summary(endings: &Endings) -> String {
    let count = |wanted: fn(&Ending) -> bool| endings.values().filter(|e| wanted(e)).count();
    let passed = count(|e| *e == Ending::Passed);
    let skipped = count(|e| *e == Ending::Skipped);
    format!("{passed} passed, {} failed, {skipped} skipped", endings.len() - passed - skipped)
}

fn run(work: &Workplace, cache: &Path, names: &[String]) -> Job {
    let root = rustix::process::geteuid().is_root();
    let job = if root {
        work.job("unshare", "unit-tests.log")
            .args(["--cgroup", "--net", "sh", "-c", APART, "plainboot-tests"])
            .arg(cache)
            .arg("meson")
    } else {
        work.job("meson", "unit-tests.log")
    };
    job.args(["test", "--no-rebuild", "--timeout-multiplier", "4", "-C"])
        .arg(&work.objects)
        .args(names)
}

/// What tests start from the build folder without depending on it: one that the other flavour left there
/// does not fit the libraries.
const EXECUTOR: &str = "systemd-executor@exe";

/// The tests to run, and what must be built for them.
fn chosen(objects: &Path) -> Result<(Vec<String>, Vec<String>)> {
    #[derive(Deserialize)]
    struct Test {
        name: String,
        #[serde(default)]
        depends: Vec<String>,
    }
    #[derive(Deserialize)]
    struct Target {
        id: String,
        filename: Vec<std::path::PathBuf>,
    }
    let tests: Vec<Test> = super::introspect(objects, "tests")?;
    let targets: Vec<Target> = super::introspect(objects, "targets")?;
    let mut names = Vec::new();
    let mut files = Vec::new();
    for test in tests {
        if !TOUCHED.as_ref().is_some_and(|r| r.is_match(&test.name)) {
            continue;
        }
        let needed = targets.iter().filter(|t| test.depends.contains(&t.id) || t.id == EXECUTOR);
        files.extend(needed.flat_map(|t| &t.filename).filter_map(|f| {
            let relative = f.strip_prefix(objects).ok()?;
            Some(relative.to_string_lossy().into_owned())
        }));
        names.push(test.name);
    }
    files.sort();
    files.dedup();
    names.sort();
    names.dedup();
    Ok((names, files))
}

/// Reads meson's `testlog.json`: one document for each test, on a line of its own.
fn parse(text: &str) -> Result<Endings> {
    #[derive(Deserialize)]
    struct Line {
        name: String,
        result: String,
        #[serde(default)]
        stdout: String,
        #[serde(default)]
        stderr: String,
    }
    let mut endings = Endings::new();
    for line in text.lines() {
        let line: Line = serde_json::from_str(line).context("cannot understand meson's log")?;
        // `systemd:core / test-engine`, in older versions `core - systemd:test-engine`.
        let name = line.name.rsplit([' ', ':']).next().unwrap_or(&line.name).to_owned();
        let ending = match line.result.as_str() {
            "OK" => Ending::Passed,
            "SKIP" => Ending::Skipped,
            other => {
                // `src/test/test-execute.c:1206:test_exec_basic: …`; with meson before 0.62 both
                // outputs are in one.
                let mut lines = line.stderr.lines().chain(line.stdout.lines());
                let place = lines.find(|l| l.starts_with("src/") && l.contains(".c:"));
                Ending::Failed(place.unwrap_or(other).to_owned())
            }
        };
        endings.insert(name, ending);
    }
    Ok(endings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_meson_writes_is_understood() {
        let text = concat!(
            r#"{"name": "systemd:core / test-engine", "result": "OK", "duration": 0.1}"#,
            "\n",
            r#"{"name": "core - systemd:test-cgroup-mask", "result": "SKIP", "stdout": "x"}"#,
            "\n",
            r#"{"name": "systemd:test / test-log", "result": "TIMEOUT"}"#,
            "\n",
            r#"{"name": "systemd:test / test-x", "result": "FAIL", "stderr": "a\nsrc/x.c:1:f: no\n"}"#,
            "\n",
        );
        let endings = parse(text).unwrap();
        let all: Vec<_> = endings.iter().map(|(n, e)| (n.as_str(), e.clone())).collect();
        assert_eq!(
            all,
            [
                ("test-cgroup-mask", Ending::Skipped),
                ("test-engine", Ending::Passed),
                ("test-log", Ending::Failed("TIMEOUT".into())),
                ("test-x", Ending::Failed("src/x.c:1:f: no".into())),
            ]
        );
        assert!(parse("nonsense").is_err());
    }

    #[test]
    fn the_tests_of_what_is_touched_are_chosen() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("meson-info")).unwrap();
        let put = |name: &str, json: serde_json::Value| {
            fs::write(dir.path().join("meson-info").join(name), json.to_string()).unwrap();
        };
        put(
            "intro-tests.json",
            serde_json::json!([
                { "name": "test-cgroup-util", "depends": ["a@exe"] },
                { "name": "test-dns-domain", "depends": ["b@exe"] },
                { "name": "cc-sd-journal.h_c", "depends": [] },
            ]),
        );
        put(
            "intro-targets.json",
            serde_json::json!([
                { "id": "a@exe", "installed": false, "filename": [dir.path().join("test-cgroup-util")] },
                { "id": "b@exe", "installed": false, "filename": [dir.path().join("test-dns-domain")] },
            ]),
        );
        let (names, files) = chosen(dir.path()).unwrap();
        assert_eq!(
            (names, files.as_slice()),
            (vec!["test-cgroup-util".to_owned()], ["test-cgroup-util".to_owned()].as_slice())
        );
    }
}
