// SPDX-License-Identifier: MIT
//! Scripts: what runs from top to bottom, and what in them stands alone.

use crate::patch;

/// True for scripts of systemd's tests and tools, known by their names.
pub fn is_script(path: &str) -> bool {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    name.ends_with(".sh") || name.ends_with(".py")
}

/// True if these lines are functions, classes or subshells of a script, from the first line to the last:
/// they do not depend on what was done right above them.
pub fn stands_alone(path: &str, lines: &[u8]) -> bool {
    let said = |line: &&[u8]| !line.is_empty() && !line.starts_with(b"#");
    let mut lines = patch::split_lines(lines).map(<[u8]>::trim_ascii).filter(said);
    let Some(first) = lines.next() else { return false };
    if path.ends_with(".py") {
        let starts = |line: &[u8]| line.starts_with(b"def ") || line.starts_with(b"class ");
        return starts(first) || (first.starts_with(b"@") && lines.any(starts));
    }
    let last = lines.last().unwrap_or(first);
    (first.ends_with(b"{") && last == b"}") || (first == b"(" && last.starts_with(b")"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_stand_alone_and_commands_do_not() {
        let alone = |path: &str, lines: &str| stands_alone(path, lines.as_bytes());
        assert!(alone("a.sh", "# why\ntestcase_a() {\n    b\n}\n\n"));
        assert!(alone("a.sh", "(\n    b\n)\n"));
        assert!(!alone("a.sh", "testcase_a() {\n    b\n}\n\nc\n"));
        assert!(!alone("a.sh", "# why\nrestart\n"));
        assert!(!alone("a.sh", ""));
        assert!(alone("a.py", "    @skip\n    def test(self):\n        b()\n"));
        assert!(!alone("a.py", "    @skip\n"));
        assert!(is_script("test/units/TEST-01.sh") && !is_script("meson.build"));
    }
}
