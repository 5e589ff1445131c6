//! Refusals: bodies that a stock server does not take, and what it says.
use irori_api::row::Tables;
use irori_rules::{DecodeError, decode};

use super::recording::{row, steps};

/// DESIGN: at least 97 of 100 recorded exchanges agree in each group.
#[test]
fn bodies_of_wrong_types_are_refused_in_the_words_of_a_stock_server() {
    let tables = Tables::builtin();
    let (mut refused, mut worded, mut all, mut misses) = (0, 0, 0, Vec::new());
    for s in steps("validate").into_iter().filter(|s| s.method == "POST") {
        let Some((row, ..)) = row(&tables, &s.path) else { continue };
        let message = s.want["message"].as_str().unwrap_or("");
        let in_decoding = s.status == 400 && message.contains("cannot be handled as a");
        let outcome = decode(&tables, row, s.body.clone());
        if !in_decoding {
            if let (Err(error), true) = (&outcome, s.status != 400) {
                misses.push(format!("{} refused for {error}", s.id));
                all += 1;
            }
            continue;
        }
        all += 1;
        match outcome {
            Ok(_) => misses.push(format!("{} taken, want {message}", s.id)),
            Err(error) if error.message == message => {
                refused += 1;
                worded += 1;
            }
            Err(error) => {
                refused += 1;
                misses.push(format!("{} want {message}\n      got  {error}", s.id));
            }
        }
    }
    println!("refused {refused}, worded {worded}, of {all}");
    assert!(all > 1000 && 100 * refused >= 97 * all, "{refused} of {all}\n{}", misses.join("\n"));
    println!("{}", misses.join("\n"));
    assert!(100 * worded >= 97 * all, "{worded} of {all}\n{}", misses.join("\n"));
}

/// fieldValidation: Ignore, Warn and Strict, https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation
#[test]
fn unknown_fields_are_told_as_a_stock_server_tells_them() {
    let tables = Tables::builtin();
    let (mut good, mut all, mut misses) = (0, 0, Vec::new());
    for s in steps("field").into_iter().filter(|s| s.method == "POST") {
        let Some((row, ..)) = row(&tables, &s.path) else { continue };
        let Ok(decoded) = decode(&tables, row, s.body.clone()) else { continue };
        let (want, got) = if s.path.contains("fieldValidation=Strict") {
            let error = DecodeError::strict(&row.gvk.api_version(), &row.gvk.kind, &decoded.unknown);
            (s.want["message"].as_str().unwrap_or("").to_owned(), error.message)
        } else {
            let told: Vec<String> = decoded.unknown.iter().map(|u| format!("299 - \"{}\"", u.replace('"', "\\\""))).collect();
            (s.warning.clone(), told.join(", "))
        };
        all += 1;
        if want == got {
            good += 1;
        } else {
            misses.push(format!("{} want {want}\n     got {got}", s.id));
        }
    }
    println!("field: {good} of {all}\n{}", misses.join("\n"));
    assert!(all > 50 && 100 * good >= 97 * all, "{good} of {all}\n{}", misses.join("\n"));
}
