//! Tables for people: columns as wide as what stands in them.
use irori_home::AppRow;

/// Prints a heading and rows; the last column is not padded.
pub fn print<const N: usize>(heading: [&str; N], rows: &[[String; N]]) {
    print!("{}", text(heading, rows));
}

fn text<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let heading = heading.map(str::to_owned);
    let widths: Vec<usize> =
        (0..N).map(|column| rows.iter().chain([&heading]).map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in [&heading].into_iter().chain(rows) {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// The table of apps, and below it what is wrong with those that do not run.
pub fn print_apps(apps: &[AppRow]) {
    let rows: Vec<[String; 4]> = apps
        .iter()
        .map(|row| [row.app.clone(), row.state.clone(), format!("{}/{}", row.ready, row.replicas), row.address.clone()])
        .collect();
    print(["APP", "STATE", "READY", "ADDRESS"], &rows);
    let mut troubled = apps.iter().filter(|row| !row.detail.is_empty()).peekable();
    if troubled.peek().is_some() {
        println!();
    }
    troubled.for_each(|row| println!("{}: {}", row.app, row.detail));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_stands_in_them() {
        let rows =
            [["a".to_owned(), "wide cell".to_owned(), String::new()], ["longer".to_owned(), "b".to_owned(), "c".to_owned()]];
        assert_eq!(text(["X", "Y", "Z"], &rows), "X       Y          Z\na       wide cell\nlonger  b          c\n");
    }
}
