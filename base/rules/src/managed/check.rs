//! Whether an applied object has the types of its kind. The texts are what a stock server answers.
use hashbrown::HashSet;

use irori_api::schema::Shape;
use serde_json::Value;

use super::{
    set::step_text,
    typed::{At, Place, Typed},
};
use crate::{chain::Chain, decode::DEPTH_MAX};

/// What is wrong with the types of an applied object, each with its path.
pub(super) fn check(typed: Typed<'_>, of: At<'_>, value: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    checked(typed, of, value, None, &mut errors, 0);
    errors
}

/// Errors that are told; the rest of the object is not looked at.
const ERRORS_MAX: usize = 100;

type Way<'p> = Chain<'p, Mark<'p>>;

#[derive(Clone, Copy)]
enum Mark<'p> {
    Field(&'p str),
    Item(&'p str),
}

fn text_of(way: Option<&Way<'_>>) -> String {
    let text = |step| match step {
        Mark::Field(name) => format!(".{name}"),
        Mark::Item(step) => step_text(step),
    };
    way.map(Chain::steps).unwrap_or_default().into_iter().map(text).collect()
}

fn checked(typed: Typed<'_>, at: At<'_>, value: &Value, way: Option<&Way<'_>>, errors: &mut Vec<String>, depth: usize) {
    if errors.len() >= ERRORS_MAX || value.is_null() {
        return;
    }
    let told = |why: String| if way.is_none() { why } else { format!("{}: {why}", text_of(way)) };
    if depth >= DEPTH_MAX {
        return errors.push(told("nested too deeply".to_owned()));
    }
    // An atomic place is checked too.
    let whole = at.of.and_then(|of| typed.schemas.resolve(of));
    match (whole.map(|t| &t.shape), value) {
        (None | Some(Shape::Any), _) => {}
        (Some(Shape::Object(object)), Value::Object(fields)) => {
            for (name, value) in fields {
                if errors.len() >= ERRORS_MAX {
                    return;
                }
                let way = Way { up: way, step: Mark::Field(name) };
                match object.fields.get(name) {
                    Some(field) => {
                        let at = At { of: Some(&field.of), atomic: field.atomic.then_some(true) };
                        checked(typed, at, value, Some(&way), errors, depth + 1);
                    }
                    None if object.preserve_unknown => {}
                    None => errors.push(format!("{}: field not declared in schema", text_of(Some(&way)))),
                }
            }
        }
        (Some(Shape::Map { values }), Value::Object(fields)) => {
            for (name, value) in fields {
                if errors.len() >= ERRORS_MAX {
                    return;
                }
                checked(typed, At::of(values), value, Some(&Way { up: way, step: Mark::Field(name) }), errors, depth + 1);
            }
        }
        (Some(Shape::List(list)), Value::Array(items)) => {
            let apart = matches!(typed.place(at), Place::Items(_));
            let mut seen = HashSet::with_capacity(if apart { items.len() } else { 0 });
            for (i, item) in items.iter().enumerate() {
                if errors.len() >= ERRORS_MAX {
                    return;
                }
                let step = if apart { typed.step(list, item) } else { Ok(format!("i:{i}").into()) };
                let step = match step {
                    Ok(step) => step,
                    Err(why) => {
                        errors.push(format!("{}: element {i}: {why}", text_of(way)));
                        continue;
                    }
                };
                if apart && !seen.insert(step.clone()) {
                    errors.push(format!("{}: duplicate entries for key {}", text_of(way), step_text(&step)));
                }
                checked(typed, At::of(&list.items), item, Some(&Way { up: way, step: Mark::Item(&step) }), errors, depth + 1);
            }
        }
        (Some(shape), value) => errors.extend(mismatch(shape, value).map(told)),
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
