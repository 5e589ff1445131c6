//! Tree to message, as plainly as it can be said: what the transcoder is compared with.
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use super::super::{
    CodecError,
    plan::{FieldPlan, Kind, Many, Message, Plan},
    wire::{FIXED64, VARINT, put_bytes, put_nested, put_tag, put_varint},
};
use crate::scalar;

/// Trees deeper than this are not the server's own.
const DEPTH_MAX: usize = 512;

pub fn message(plan: &Plan, message: &Message, value: &Value) -> Result<Vec<u8>, CodecError> {
    let Value::Object(fields) = value else { return Err(misfit("", "not an object")) };
    let mut out = Vec::with_capacity(512);
    Writer { plan, depth: 0 }.object(message, fields, &mut out)?;
    Ok(out)
}

fn misfit(field: &str, why: &'static str) -> CodecError {
    CodecError::Misfit { field: field.to_owned(), why }
}

struct Writer<'a> {
    plan: &'a Plan,
    depth: usize,
}

type Written = Result<(), CodecError>;

impl Writer<'_> {
    fn object(&mut self, message: &Message, fields: &Map<String, Value>, out: &mut Vec<u8>) -> Written {
        if self.depth == DEPTH_MAX {
            return Err(CodecError::TooDeep(DEPTH_MAX));
        }
        self.depth += 1;
        let mut known: Vec<(&FieldPlan, &Value)> = Vec::with_capacity(fields.len());
        for (name, value) in fields {
            if let (Some(field), false) = (message.field(name), value.is_null()) {
                known.push((field, value));
            }
        }
        known.sort_unstable_by(|(a, _), (b, _)| a.path.cmp(&b.path));
        self.level(&known, 0, out)?;
        self.depth -= 1;
        Ok(())
    }

    /// Writes the fields of one level of embedded messages.
    fn level(&mut self, fields: &[(&FieldPlan, &Value)], level: usize, out: &mut Vec<u8>) -> Written {
        let mut rest = fields;
        while let [(field, value), after @ ..] = rest {
            let number = field.path[level];
            if field.path.len() == level + 1 {
                self.field(field, number, value, out)?;
                rest = after;
            } else {
                let end = rest.iter().position(|(field, _)| field.path[level] != number).unwrap_or(rest.len());
                let (embedded, after) = rest.split_at(end);
                put_nested(out, number, |out| self.level(embedded, level + 1, out))?;
                rest = after;
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &FieldPlan, number: u32, value: &Value, out: &mut Vec<u8>) -> Written {
        match (field.many, value) {
            (Many::One, value) => self.value(field, number, value, out),
            (Many::List, Value::Array(items)) => items.iter().try_for_each(|item| self.value(field, number, item, out)),
            (Many::Map, Value::Object(entries)) => entries.iter().try_for_each(|(key, value)| {
                put_nested(out, number, |out| {
                    put_bytes(out, 1, key.as_bytes());
                    self.value(field, 2, value, out)
                })
            }),
            (Many::List, _) => Err(misfit(&field.name, "not a list")),
            (Many::Map, _) => Err(misfit(&field.name, "not a map")),
        }
    }

    fn value(&mut self, field: &FieldPlan, number: u32, value: &Value, out: &mut Vec<u8>) -> Written {
        let wrong = |why| misfit(&field.name, why);
        let text = || value.as_str().ok_or_else(|| wrong("not a string"));
        match field.kind {
            // In a list or map a null stands for the empty value.
            Kind::String if value.is_null() => put_bytes(out, number, b""),
            Kind::String => put_bytes(out, number, text()?.as_bytes()),
            Kind::Bytes if value.is_null() => put_bytes(out, number, b""),
            Kind::Bytes => put_bytes(out, number, &STANDARD.decode(text()?).map_err(|_| wrong("not base64"))?),
            Kind::I32 | Kind::I64 => {
                let given = integer(value).ok_or_else(|| wrong("not an integer"))?;
                if field.kind == Kind::I32 && i32::try_from(given).is_err() {
                    return Err(wrong("not an integer of 32 bits"));
                }
                put_tag(out, number, VARINT);
                put_varint(out, given as u64);
            }
            Kind::Double => {
                let given = value.as_f64().ok_or_else(|| wrong("not a number"))?;
                put_tag(out, number, FIXED64);
                out.extend_from_slice(&given.to_le_bytes());
            }
            Kind::Bool => {
                let given = value.as_bool().ok_or_else(|| wrong("not a boolean"))?;
                put_tag(out, number, VARINT);
                out.push(u8::from(given));
            }
            Kind::Quantity => put_nested(out, number, |out| match value {
                Value::String(text) => {
                    put_bytes(out, 1, text.as_bytes());
                    Ok(())
                }
                Value::Number(number) => {
                    put_bytes(out, 1, number.to_string().as_bytes());
                    Ok(())
                }
                Value::Null => {
                    put_bytes(out, 1, b"0");
                    Ok(())
                }
                _ => Err(wrong("not a quantity")),
            })?,
            Kind::IntOrString => put_nested(out, number, |out| {
                let given = integer(value)
                    .map(|given| i32::try_from(given).map_err(|_| wrong("not an integer of 32 bits")))
                    .transpose()?;
                if given.is_none() && !value.is_string() {
                    return Err(wrong("neither integer nor string"));
                }
                put_tag(out, 1, VARINT);
                put_varint(out, u64::from(given.is_none()));
                put_tag(out, 2, VARINT);
                put_varint(out, i64::from(given.unwrap_or(0)) as u64);
                put_bytes(out, 3, value.as_str().unwrap_or("").as_bytes());
                Ok(())
            })?,
            Kind::Time | Kind::MicroTime => put_nested(out, number, |out| {
                let read = if field.kind == Kind::Time { scalar::parse_time } else { scalar::parse_micro_time };
                let time = read(text()?).map_err(|_| wrong("not a time"))?;
                let micros = if field.kind == Kind::Time { 0 } else { time.subsec_nanosecond() / 1000 * 1000 };
                // Before 1970 the fraction counts backwards; on the wire it always counts forwards.
                let (seconds, nanos) =
                    if micros < 0 { (time.as_second() - 1, micros + 1_000_000_000) } else { (time.as_second(), micros) };
                put_tag(out, 1, VARINT);
                put_varint(out, seconds as u64);
                put_tag(out, 2, VARINT);
                put_varint(out, i64::from(nanos) as u64);
                Ok(())
            })?,
            Kind::Duration => put_nested(out, number, |out| {
                let nanos = scalar::parse_duration(text()?).map_err(|_| wrong("not a duration"))?;
                put_tag(out, 1, VARINT);
                put_varint(out, nanos as u64);
                Ok(())
            })?,
            Kind::Json => put_nested(out, number, |out| {
                put_bytes(out, 1, &crate::codec::json::write(value));
                Ok::<_, CodecError>(())
            })?,
            Kind::Strings => put_nested(out, number, |out| {
                let items = value.as_array().ok_or_else(|| wrong("not a list"))?;
                items.iter().try_for_each(|item| {
                    item.as_str().map(|text| put_bytes(out, 1, text.as_bytes())).ok_or_else(|| wrong("not a string"))
                })
            })?,
            Kind::SchemaOrList(props) => put_nested(out, number, |out| match value {
                Value::Array(items) => items.iter().try_for_each(|item| self.nested(field, 2, props, item, out)),
                one => self.nested(field, 1, props, one, out),
            })?,
            Kind::SchemaOrBool(props) => put_nested(out, number, |out| {
                put_tag(out, 1, VARINT);
                out.push(u8::from(*value != Value::Bool(false)));
                if value.is_boolean() { Ok(()) } else { self.nested(field, 2, props, value, out) }
            })?,
            Kind::SchemaOrStrings(props) => put_nested(out, number, |out| match value {
                Value::Array(items) => items.iter().try_for_each(|item| {
                    item.as_str().map(|text| put_bytes(out, 2, text.as_bytes())).ok_or_else(|| wrong("not a string"))
                }),
                one => self.nested(field, 1, props, one, out),
            })?,
            Kind::Message(_) if value.is_null() => put_bytes(out, number, b""),
            Kind::Message(message) => self.nested(field, number, message, value, out)?,
        }
        Ok(())
    }

    fn nested(&mut self, field: &FieldPlan, number: u32, message: u32, value: &Value, out: &mut Vec<u8>) -> Written {
        let fields = value.as_object().ok_or_else(|| misfit(&field.name, "not an object"))?;
        let message = self.plan.message(message);
        put_nested(out, number, |out| self.object(message, fields, out))
    }
}

/// Also what is written as `1.0`.
fn integer(value: &Value) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < 9e15).map(|number| number as i64))
}
