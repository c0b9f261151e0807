// SPDX-License-Identifier: MIT
//! The blocks of a file of which most lines are those of another one: only what is near the other
//! lines is read anew.

use super::{Block, Blocks, Marks, Scanner};

/// A run of lines that were taken over.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// From which line to which one of the old file, from 0; the last one does not belong to it.
    pub from: usize,
    pub to: usize,
    /// The line of the new file that stands for `from`.
    pub at: usize,
}

impl Blocks {
    /// What [`Blocks::scan`] finds in a new file that has the lines `kept`, in order, of the file
    /// that these blocks were found in.
    pub fn spliced(&self, kept: &[Kept], bytes: &[u8], starts: &[usize]) -> Blocks {
        let mut scanner = Scanner::default();
        let mut marks = Marks::new(bytes, 0);
        let lines = starts.len().saturating_sub(1);
        let (mut line, mut runs) = (0, kept.iter().peekable());
        // The line above, if it was read, left nothing open.
        let mut is_calm = true;
        while line < lines {
            while runs.next_if(|run| run.at + (run.to - run.from) <= line).is_some() {}
            if is_calm
                && let Some(run) = runs.peek().filter(|run| run.at <= line)
                && let Some(end) = self.next_calm(line - run.at + run.from, run.to)
            {
                let (start, end) = (line - run.at + run.from, end);
                self.copy(&mut scanner, start, end, line);
                line += end - start;
                marks = Marks::new(bytes, starts[line]);
                continue;
            }
            let span = (starts[line], starts[line + 1]);
            if !scanner.passes_over(bytes, span, &mut marks) {
                scanner.line(line, bytes.get(span.0..span.1).unwrap_or_default());
            }
            line += 1;
            is_calm = scanner.calm.last() == Some(&line);
        }
        scanner.finish(starts)
    }

    /// If nothing is open at line `start`, the last such line up to `end`.
    fn next_calm(&self, start: usize, end: usize) -> Option<usize> {
        let at = match self.calm.binary_search(&start) {
            Ok(at) => at + 1,
            Err(_) if start == 0 => 0,
            Err(_) => return None,
        };
        let after = self.calm[at..].partition_point(|calm| *calm <= end);
        self.calm[at..at + after].last().copied()
    }

    /// Takes over what was found from line `start` up to `end`, which is line `at` of the new file.
    fn copy(&self, scanner: &mut Scanner, start: usize, end: usize, at: usize) {
        let moved = |line: usize| line - start + at;
        let first = self.blocks.partition_point(|block| block.start < start);
        let blocks = self.blocks[first..].iter().take_while(|block| block.start < end);
        scanner.blocks.extend(blocks.map(|block| Block {
            name: block.name.clone(),
            start: moved(block.start),
            end: moved(block.end),
        }));
        let first = self.calm.partition_point(|calm| *calm <= start);
        let calm = self.calm[first..].iter().take_while(|calm| **calm <= end);
        scanner.calm.extend(calm.map(|calm| moved(*calm)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::content::line_starts;
    use super::*;

    /// Files of what starts and ends comments, strings, directives and blocks, of which lines are
    /// taken out, put in, or left: reading all of the new file gives the same.
    #[test]
    fn what_is_taken_over_is_what_reading_everything_finds() {
        const LINES: [&str; 18] = [
            "\n",
            "        x;\n",
            "        x;\n",
            "int f(void) {\n",
            "int g(int a,\n",
            "      int b)\n",
            "{\n",
            "}\n",
            "}\n",
            "} /* a\n",
            "*/\n",
            "// {\n",
            "#define a \\\n",
            "#if b\n",
            "x: {\n",
            "struct s {\n",
            "TEST(a) { }\n",
            "        \"/*\"; }",
        ];
        let mut seed = 0x9e37_79b9_u32;
        let mut random = move |n: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            seed as usize % n
        };
        let mut copied = 0;
        for _ in 0..20_000 {
            let old: Vec<&str> = (0..random(40)).map(|_| LINES[random(17)]).collect();
            let (mut new, mut kept): (Vec<&str>, Vec<Kept>) = (Vec::new(), Vec::new());
            let mut from = 0;
            while from < old.len() {
                let to = from + 1 + random(old.len() - from);
                kept.push(Kept { from, to, at: new.len() });
                new.extend(&old[from..to]);
                new.extend((0..random(3)).map(|_| LINES[random(17)]));
                from = to + random(3);
            }
            if random(4) == 0 {
                new.push(LINES[17]);
            }
            let (old, new) = (old.concat().into_bytes(), new.concat().into_bytes());
            let blocks = Blocks::scan(&old, &line_starts(&old));
            let starts = line_starts(&new);
            let found = blocks.spliced(&kept, &new, &starts);
            assert_eq!(found, Blocks::scan(&new, &starts), "{}", String::from_utf8_lossy(&new));
            copied += usize::from(kept.iter().any(|k| blocks.next_calm(k.from, k.to).is_some()));
        }
        assert!(copied > 5_000, "{copied}");
    }
}
