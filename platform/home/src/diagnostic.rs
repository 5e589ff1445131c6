//! A mistake in a home file, shown where it is.
use std::fmt::Write;

/// A place in the text: line and column from 1, and how many characters it spans in its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub line: usize,
    pub column: usize,
    pub width: usize,
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub place: Place,
    /// What is wrong, lowercase, with the text at fault in backticks.
    pub message: String,
    /// What was expected, or the nearest valid name.
    pub help: Option<String>,
}

/// All mistakes as text: `file:line:column`, the line itself, a caret, and help.
pub fn render(file: &str, text: &str, found: &[Diagnostic]) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::new();
    for d in found {
        let number = d.place.line.to_string();
        let pad = " ".repeat(number.len());
        let line = lines.get(d.place.line.saturating_sub(1)).copied().unwrap_or_default();
        let caret = " ".repeat(d.place.column.saturating_sub(1)) + &"^".repeat(d.place.width.max(1));
        let _to_string = writeln!(out, "{file}:{}:{}: {}", d.place.line, d.place.column, d.message)
            .and_then(|()| writeln!(out, " {pad} |\n {number} | {line}\n {pad} | {caret}"))
            .and_then(|()| d.help.as_ref().map_or(Ok(()), |help| writeln!(out, " {pad} = {help}")));
    }
    out
}

/// The valid name nearest to a mistyped one, if any is near.
pub fn nearest<'a>(typed: &str, valid: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (typed.chars().count() / 3).max(1) + 1;
    let near = valid.into_iter().map(|name| (distance(&typed.to_lowercase(), &name.to_lowercase()), name));
    near.filter(|(d, _)| *d <= limit).min_by_key(|(d, _)| *d).map(|(_, name)| name)
}

/// Edit distance with swaps of neighbours (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let changed = usize::from(a[i - 1] != b[j - 1]);
                let mut best = (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + changed);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(rows[i - 2][j - 2] + 1);
                }
                best
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_name_finds_its_neighbour_and_a_strange_one_none() {
        assert_eq!(nearest("replcias", ["replicas", "resources"]), Some("replicas"));
        assert_eq!(nearest("hots", ["host", "port"]), Some("host"));
        assert_eq!(nearest("zebra", ["host", "port"]), None);
    }

    #[test]
    fn the_caret_stands_below_the_fault() {
        let place = Place { line: 2, column: 3, width: 4 };
        let shown =
            render("home.yaml", "a: 1\nb: oops\n", &[Diagnostic { place, message: "bad".into(), help: Some("good".into()) }]);
        assert_eq!(shown, "home.yaml:2:3: bad\n   |\n 2 | b: oops\n   |   ^^^^\n   = good\n");
    }
}
