//! Refusals of well-typed objects: which field, for which reason, in which words.
use std::collections::BTreeMap;

use irori_api::row::Tables;
use irori_rules::{validate_create, validate_update};
use serde_json::Value;

use super::{
    change::{Last, changed},
    create::made,
    recording::{Step, row, steps},
};

/// Refusals that stand in the store or in admission, not in the rules.
fn elsewhere(message: &str) -> bool {
    message.contains("not configured for dual-stack")
        || message.contains("provided port")
        || message.contains("failed to allocate")
}

fn causes(status: &Value) -> Vec<(String, String, String)> {
    let text = |c: &Value, f: &str| c[f].as_str().unwrap_or("").to_owned();
    let mut out: Vec<_> = status["details"]["causes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|c| (text(c, "field"), text(c, "reason"), text(c, "message")))
        .collect();
    out.sort();
    out
}

fn told(errors: &irori_api::field::ErrorList) -> Vec<(String, String, String)> {
    let mut out: Vec<_> = errors.iter().map(|e| (e.field.to_string(), e.wrong.reason().to_owned(), e.body())).collect();
    out.sort();
    out
}

#[derive(Default)]
struct Count {
    good: usize,
    worded: usize,
    all: usize,
}

fn without_words(causes: &[(String, String, String)]) -> Vec<(&str, &str)> {
    causes.iter().map(|(field, reason, _)| (field.as_str(), reason.as_str())).collect()
}

fn compare(s: &Step, errors: &irori_api::field::ErrorList, count: &mut Count, misses: &mut Vec<String>) {
    let want = if s.status == 422 { causes(&s.want) } else { Vec::new() };
    let got = told(errors);
    count.all += 1;
    if without_words(&want) == without_words(&got) {
        count.good += 1;
        if want == got {
            count.worded += 1;
        }
    } else {
        let short = |c: &[(String, String, String)]| {
            c.iter()
                .map(|(f, r, m)| {
                    format!("{f} {} ({})", r.trim_start_matches("FieldValue"), m.chars().take(90).collect::<String>())
                })
                .collect::<Vec<_>>()
                .join("; ")
        };
        misses.push(format!("{}#{} want [{}] got [{}]", s.id, s.step, short(&want), short(&got)));
    }
}

/// https://kubernetes.io/docs/reference/using-api/api-concepts/ : 422 with the causes by field.
#[test]
fn objects_that_a_stock_server_refuses_are_refused_for_the_same_fields() {
    let tables = Tables::builtin();
    let mut counts: BTreeMap<String, Count> = BTreeMap::new();
    let mut misses = Vec::new();
    for s in ["validate", "create"].iter().flat_map(|g| steps(g)).filter(|s| s.method == "POST" && matches!(s.status, 201 | 422))
    {
        let Some((row, ..)) = row(&tables, &s.path) else { continue };
        if row.storage.is_none() || elsewhere(s.want["message"].as_str().unwrap_or("")) {
            continue;
        }
        let Some(Ok(object)) = made(&tables, &s) else { continue };
        // As the server does: the form that is stored is what is held to the rules.
        let stored = tables.stored_as(row).unwrap();
        let object = if row.converts() { irori_rules::convert(object, &stored.gvk) } else { object };
        let errors = validate_create(stored, row, &object);
        compare(&s, &errors, counts.entry(row.gvk.kind.clone()).or_default(), &mut misses);
    }
    let (mut good, mut all) = (0, 0);
    for (kind, c) in &counts {
        println!("{kind}: {} of {}, {} to the word", c.good, c.all, c.worded);
        good += c.good;
        all += c.all;
    }
    println!("validation: {good} of {all}\n{}", misses.join("\n"));
    assert!(all > 2500 && 100 * good >= 97 * all, "{good} of {all}\n{}", misses.join("\n"));
}

/// What may not change, https://kubernetes.io/docs/reference/kubernetes-api/ by kind.
#[test]
fn changes_that_a_stock_server_refuses_are_refused_for_the_same_fields() {
    let tables = Tables::builtin();
    let mut count = Count::default();
    let mut misses = Vec::new();
    for group in ["life", "strategic", "semantics", "subresource"] {
        let mut last = Last::default();
        for s in steps(group) {
            last.enter(&s);
            let is_change =
                matches!(s.method.as_str(), "PUT" | "PATCH") && !s.content_type.contains("apply") && !s.path.ends_with("/scale");
            let by_field = s.status == 200 || (s.status == 422 && s.want["details"]["causes"].is_array());
            let by_version = s.want["message"].as_str().unwrap_or("").contains("metadata.resourceVersion");
            if let (true, true, false, Some(old)) = (is_change, by_field, by_version, last.object.clone())
                && let (Some((row, ..)), Some(Ok((new, part)))) =
                    (row(&tables, &s.path), changed(&tables, &s.path, &s.content_type, &s.body, &old))
            {
                let part = part.as_part();
                compare(&s, &validate_update(row, row, &new, &old, part), &mut count, &mut misses);
            }
            last.leave(&s);
        }
    }
    println!("changes: {} of {}, {} to the word\n{}", count.good, count.all, count.worded, misses.join("\n"));
    assert!(count.all > 100 && 100 * count.good >= 97 * count.all, "{} of {}\n{}", count.good, count.all, misses.join("\n"));
}
