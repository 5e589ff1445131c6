//! LabelSelector objects, matched against labels.
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

type Labels = BTreeMap<String, String>;

/// Whether `selector` has no requirement at all, and so matches everything.
pub fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty) && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// Whether `labels` satisfy every requirement. An operator that is not known matches nothing: what is not understood owns nothing.
pub fn matches(selector: &LabelSelector, labels: Option<&Labels>) -> bool {
    matches_all(selector.match_labels.as_ref(), labels)
        && selector.match_expressions.iter().flatten().all(|requirement| satisfied(requirement, labels))
}

/// Whether every wanted pair is among `labels`; nothing wanted is satisfied by anything.
pub fn matches_all(wanted: Option<&Labels>, labels: Option<&Labels>) -> bool {
    wanted.into_iter().flatten().all(|(name, value)| labels.and_then(|labels| labels.get(name)) == Some(value))
}

fn satisfied(requirement: &LabelSelectorRequirement, labels: Option<&Labels>) -> bool {
    let value = labels.and_then(|labels| labels.get(&requirement.key));
    let listed = |value: &String| requirement.values.iter().flatten().any(|wanted| wanted == value);
    match requirement.operator.as_str() {
        "In" => value.is_some_and(listed),
        "NotIn" => !value.is_some_and(listed),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn requires(key: &str, operator: &str, values: &[&str]) -> LabelSelector {
        let values = Some(values.iter().map(|value| (*value).to_owned()).collect());
        let requirement = LabelSelectorRequirement { key: key.to_owned(), operator: operator.to_owned(), values };
        LabelSelector { match_expressions: Some(vec![requirement]), match_labels: Some(labels(&[("app", "web")])) }
    }

    #[test]
    fn every_requirement_has_to_hold() {
        let web = |pairs: &[(&str, &str)]| {
            let mut all = labels(pairs);
            all.insert("app".to_owned(), "web".to_owned());
            all
        };
        for (operator, values, given, expected) in [
            ("In", &["a", "b"][..], &[("tier", "b")][..], true),
            ("In", &["a", "b"], &[("tier", "c")], false),
            ("In", &["a"], &[], false),
            ("NotIn", &["a"], &[("tier", "a")], false),
            ("NotIn", &["a"], &[], true),
            ("Exists", &[], &[("tier", "")], true),
            ("Exists", &[], &[], false),
            ("DoesNotExist", &[], &[("tier", "")], false),
            ("DoesNotExist", &[], &[], true),
            ("Gt", &["1"], &[("tier", "2")], false),
        ] {
            let selector = requires("tier", operator, values);
            assert_eq!(matches(&selector, Some(&web(given))), expected, "{operator} {values:?} on {given:?}");
            assert!(!matches(&selector, Some(&labels(given))), "matchLabels count too");
        }
    }

    #[test]
    fn a_selector_without_requirements_is_empty_and_matches_everything() {
        let selector = LabelSelector { match_labels: Some(Labels::new()), match_expressions: None };
        assert!(is_empty(&selector) && matches(&selector, None));
        assert!(!is_empty(&requires("a", "Exists", &[])));
    }
}
