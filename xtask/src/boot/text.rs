// SPDX-License-Identifier: MIT
//! What a terminal would show of a log.

/// A log line without a terminal's colours, other control sequences and carriage returns.
pub fn plain_text(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => match chars.next() {
                // CSI: parameters, then one letter.
                Some('[') => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                // OSC and the like: up to the string terminator (ESC \) or BEL.
                Some(']' | 'P' | 'X' | '^' | '_') => {
                    while let Some(c) = chars.next() {
                        if c == '\x07' || (c == '\x1b' && chars.next_if_eq(&'\\').is_some()) {
                            break;
                        }
                    }
                }
                _ => {}
            },
            c if c.is_control() && c != '\t' => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_sequences_of_real_boots_are_removed() {
        assert_eq!(plain_text("\x1b[0;1;31mFailed to x\x1b[0m\r\r"), "Failed to x");
        assert_eq!(
            plain_text("\x1b]3008;start=1;type=boot\x1b\\Exiting PID 1..."),
            "Exiting PID 1..."
        );
        assert_eq!(plain_text("\x1b[!p\x1b]104\x07a\x1b[?7hb\x1b7c"), "abc");
        assert_eq!(plain_text("\x1b["), "");
    }
}
