//! The table in `benches/README.md`, made from the newest run of each bench.
use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context, Result};

const BEGIN: &str = "<!-- figures: written by `cargo xtask bench table` -->";
const END: &str = "<!-- end of figures -->";

pub fn write(root: &Path) -> Result<()> {
    let path = root.join("benches/README.md");
    let text = fs::read_to_string(&path).with_context(|| format!("read `{}`", path.display()))?;
    let (before, rest) = text.split_once(BEGIN).context("benches/README.md has no place for the figures")?;
    let (_, after) = rest.split_once(END).context("the place for the figures in benches/README.md has no end")?;
    let table = table(&newest(root)?);
    fs::write(&path, format!("{before}{BEGIN}\n{table}{END}{after}")).with_context(|| format!("write `{}`", path.display()))
}

/// Name of each bench, with file name and text of its newest run that ended well.
fn newest(root: &Path) -> Result<BTreeMap<String, (String, String)>> {
    let mut found = BTreeMap::new();
    let folder = root.join("benches/runs");
    let files = fs::read_dir(&folder).with_context(|| format!("list `{}`", folder.display()))?;
    let mut names: Vec<String> = files.flatten().filter_map(|file| file.file_name().into_string().ok()).collect();
    names.sort();
    for name in names.iter().filter(|name| name.ends_with(".txt")) {
        let text = fs::read_to_string(folder.join(name)).with_context(|| format!("read run `{name}`"))?;
        if let Some((bench, _)) = name.split_once('-').filter(|_| !text.contains("\nended early: ")) {
            found.insert(bench.to_owned(), (name.clone(), text));
        }
    }
    Ok(found)
}

fn table(runs: &BTreeMap<String, (String, String)>) -> String {
    let mut table = String::from("| what | must | aim | measured | | run |\n|---|---|---|---|---|---|\n");
    for (name, text) in runs.values() {
        for line in text.lines().filter_map(|line| line.strip_prefix("judged: ")) {
            let cells: Vec<&str> = line.split(" | ").collect();
            if let [must, aim, measured, verdict, what] = cells.as_slice() {
                let verdict =
                    if verdict.starts_with("MISSES") { format!("**{}**", verdict.to_lowercase()) } else { (*verdict).to_owned() };
                table += &format!(
                    "| {what} | {must} | {aim} | {measured} | {verdict} | [{}](runs/{name}) |\n",
                    name.trim_end_matches(".txt")
                );
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_judged_line_becomes_a_row_that_says_what_misses() {
        let text = "date: x\njudged: ≤ 60 MB | 30 MB | 71.0 MB | MISSES THE MUST | stripped binary\n";
        let runs = BTreeMap::from([("api".to_owned(), ("api-1.txt".to_owned(), text.to_owned()))]);
        let made = table(&runs);
        assert!(
            made.ends_with("| stripped binary | ≤ 60 MB | 30 MB | 71.0 MB | **misses the must** | [api-1](runs/api-1.txt) |\n"),
            "{made}"
        );
    }
}
