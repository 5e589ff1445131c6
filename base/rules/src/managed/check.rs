//! Whether an applied object has the types of its kind. The texts are what a stock server answers.
use irori_api::schema::Shape;
use serde_json::Value;

use super::{
    set::step_text,
    typed::{At, Place, Typed},
};
use crate::decode::DEPTH_MAX;

/// What is wrong with the types of an applied object, each with its path.
pub(super) fn check(typed: Typed<'_>, of: At<'_>, value: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    checked(typed, of, value, &mut String::new(), &mut errors, 0);
    errors
}

/// Errors that are told; the rest of the object is not looked at.
const ERRORS_MAX: usize = 100;

fn checked(typed: Typed<'_>, at: At<'_>, value: &Value, path: &mut String, errors: &mut Vec<String>, depth: usize) {
    if errors.len() >= ERRORS_MAX || value.is_null() {
        return;
    }
    let mut say = |path: &str, why: String| errors.push(if path.is_empty() { why } else { format!("{path}: {why}") });
    if depth >= DEPTH_MAX {
        return say(path, "nested too deeply".to_owned());
    }
    // An atomic place is checked too.
    let whole = at.of.and_then(|of| typed.schemas.resolve(of));
    let end = path.len();
    match (whole.map(|t| &t.shape), value) {
        (None | Some(Shape::Any), _) => {}
        (Some(Shape::Object(object)), Value::Object(fields)) => {
            for (name, value) in fields {
                if errors.len() >= ERRORS_MAX {
                    return;
                }
                path.push('.');
                path.push_str(name);
                match object.fields.get(name) {
                    Some(field) => checked(
                        typed,
                        At { of: Some(&field.of), atomic: field.atomic.then_some(true) },
                        value,
                        path,
                        errors,
                        depth + 1,
                    ),
                    None if object.preserve_unknown => {}
                    None => errors.push(format!("{path}: field not declared in schema")),
                }
                path.truncate(end);
            }
        }
        (Some(Shape::Map { values }), Value::Object(fields)) => {
            for (name, value) in fields {
                if errors.len() >= ERRORS_MAX {
                    return;
                }
                path.push('.');
                path.push_str(name);
                checked(typed, At::of(values), value, path, errors, depth + 1);
                path.truncate(end);
            }
        }
        (Some(Shape::List(list)), Value::Array(items)) => {
            let apart = matches!(typed.place(at), Place::Items(_));
            let mut seen = std::collections::HashSet::new();
            for (i, item) in items.iter().enumerate() {
                if errors.len() >= ERRORS_MAX {
                    return;
                }
                let step = if apart { typed.step(list, item) } else { Ok(format!("i:{i}").into()) };
                match step {
                    Ok(step) => {
                        path.push_str(&step_text(&step));
                        if !seen.insert(step.clone()) {
                            let key = step_text(&step);
                            errors.push(format!("{}: duplicate entries for key {key}", &path[..end]));
                        }
                    }
                    Err(why) => {
                        errors.push(format!("{path}: element {i}: {why}"));
                        continue;
                    }
                }
                checked(typed, At::of(&list.items), item, path, errors, depth + 1);
                path.truncate(end);
            }
        }
        (Some(shape), value) => {
            if let Some(wanted) = mismatch(shape, value) {
                say(path, wanted);
            }
        }
    }
}

fn mismatch(shape: &Shape, value: &Value) -> Option<String> {
    let shown = || format!("&{{{}}}", go_text(value));
    match shape {
        Shape::Object(_) | Shape::Map { .. } => Some(format!("expected map, got {}", shown())),
        Shape::List(_) => Some(format!("expected list, got {}", shown())),
        Shape::String { .. } if !value.is_string() => {
            Some(format!("expected string, got &value.valueUnstructured{{Value:{}}}", go_text(value)))
        }
        Shape::Integer { .. } | Shape::Number if !value.is_number() => {
            Some(format!("expected numeric (int or float), got {}", go_type(value)))
        }
        Shape::Boolean if !value.is_boolean() => Some(format!("expected boolean, got {}", shown())),
        Shape::Quantity | Shape::IntOrString if value.is_object() || value.is_array() => {
            Some(format!("expected any scalar, got {}", shown()))
        }
        _ => None,
    }
}

/// A value as upstream's `%v` writes it.
fn go_text(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_text).collect::<Vec<_>>().join(" ")),
        Value::Object(fields) => {
            let fields: Vec<String> = fields.iter().map(|(k, v)| format!("{k}:{}", go_text(v))).collect();
            format!("map[{}]", fields.join(" "))
        }
        scalar => scalar.to_string(),
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::String(_) => "string",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}
