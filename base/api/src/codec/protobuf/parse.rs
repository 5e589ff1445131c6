//! Message to tree.
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{
    CodecError, Limits, MAGIC,
    plan::{Entry, FieldPlan, Kind, Many, Message, Plan, entry_of},
    wire::{Content, Fields},
};
use crate::{
    codec::{Budget, SCALAR_COST, TREE_COST, json},
    row::Gvk,
    scalar,
};

const WRONG_TYPE: CodecError = CodecError::Protobuf("wrong wireType");
const NOT_TEXT: CodecError = CodecError::Protobuf("string field contains invalid UTF-8");

pub fn enveloped(plan: &Plan, bytes: &[u8], default: Option<&Gvk>, limits: &Limits) -> Result<Value, CodecError> {
    Reader { plan, limits, budget: Budget::new(limits), depth: 0 }.enveloped(bytes, default)
}

pub fn bare(plan: &Plan, gvk: &Gvk, bytes: &[u8], limits: &Limits) -> Result<Value, CodecError> {
    Reader { plan, limits, budget: Budget::new(limits), depth: 0 }.kind(gvk, bytes)
}

struct Reader<'a> {
    plan: &'a Plan,
    limits: &'a Limits,
    budget: Budget,
    depth: usize,
}

impl Reader<'_> {
    fn enveloped(&mut self, bytes: &[u8], default: Option<&Gvk>) -> Result<Value, CodecError> {
        let unknown = bytes.strip_prefix(MAGIC).ok_or(CodecError::Protobuf(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]",
        ))?;
        let (mut api_version, mut kind, mut raw, mut encoding) = (String::new(), String::new(), &[][..], &[][..]);
        let mut fields = Fields(unknown);
        while let Some((number, content)) = fields.next()? {
            match (number, content) {
                (1, Content::Bytes(bytes)) => {
                    let mut fields = Fields(bytes);
                    while let Some((number, content)) = fields.next()? {
                        match (number, content) {
                            (1, content) => api_version = text(content)?,
                            (2, content) => kind = text(content)?,
                            _ => {}
                        }
                    }
                }
                (2, Content::Bytes(bytes)) => raw = bytes,
                (3, Content::Bytes(bytes)) => encoding = bytes,
                (1..=3, _) => return Err(WRONG_TYPE),
                _ => {}
            }
        }
        if !encoding.is_empty() {
            return Err(CodecError::Protobuf("the content encoding of a protobuf body must be empty"));
        }
        match default {
            Some(default) if kind.is_empty() => self.kind(default, raw),
            _ => self.kind(&Gvk::parse(&api_version, &kind), raw),
        }
    }

    fn kind(&mut self, gvk: &Gvk, raw: &[u8]) -> Result<Value, CodecError> {
        let plan = self.plan;
        let unknown = || CodecError::UnknownKind { api_version: gvk.api_version(), kind: gvk.kind.clone() };
        let message = plan.of_kind(gvk).ok_or_else(unknown)?;
        let mut fields = Map::new();
        // A list without items is a list of none.
        if gvk.kind.ends_with("List") && message.index_of(b"items").is_some() {
            fields.insert("items".into(), Value::Array(Vec::new()));
        }
        self.message(message, raw, &mut fields)?;
        Ok(super::with_kind(gvk, fields))
    }

    fn message(&mut self, message: &Message, bytes: &[u8], into: &mut Map<String, Value>) -> Result<(), CodecError> {
        self.deeper()?;
        self.entries(message, &message.entries, bytes, into)?;
        self.depth -= 1;
        Ok(())
    }

    fn deeper(&mut self) -> Result<(), CodecError> {
        if self.depth >= self.limits.depth_max {
            return Err(CodecError::TooDeep(self.limits.depth_max));
        }
        self.depth += 1;
        self.budget.take(TREE_COST)
    }

    fn entries(
        &mut self,
        message: &Message,
        entries: &[(u32, Entry)],
        bytes: &[u8],
        into: &mut Map<String, Value>,
    ) -> Result<(), CodecError> {
        let mut fields = Fields(bytes);
        while let Some((number, content)) = fields.next()? {
            match entry_of(entries, number) {
                None => {}
                Some(Entry::Field(at)) => self.field(&message.fields[*at as usize], content, into)?,
                Some(Entry::Embedded(inner)) => {
                    let Content::Bytes(bytes) = content else { return Err(WRONG_TYPE) };
                    self.entries(message, inner, bytes, into)?;
                }
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &FieldPlan, content: Content<'_>, into: &mut Map<String, Value>) -> Result<(), CodecError> {
        match field.many {
            Many::One => {
                // A message that comes in pieces is one message.
                let before = match field.kind {
                    Kind::Message(_) => into.remove(&*field.name),
                    _ => None,
                };
                match self.value(field.kind, content, before)? {
                    Some(value) if field.keeps_zero || !field.kind.is_plain() || !is_zero(&value) => {
                        into.insert(field.name.as_ref().into(), value);
                    }
                    _ => {
                        into.remove(&*field.name);
                    }
                }
            }
            Many::List => {
                if let (Kind::I32 | Kind::I64 | Kind::Bool, Content::Bytes(packed)) = (field.kind, content) {
                    let mut packed = packed;
                    while !packed.is_empty() {
                        let item = Content::Varint(super::wire::take_varint(&mut packed)?);
                        self.item(field, item, into)?;
                    }
                } else {
                    self.item(field, content, into)?;
                }
            }
            Many::Map => {
                let Content::Bytes(entry) = content else { return Err(WRONG_TYPE) };
                let (mut key, mut value) = (String::new(), None);
                let mut fields = Fields(entry);
                while let Some((number, content)) = fields.next()? {
                    match number {
                        1 => key = text(content)?,
                        2 => value = self.value(field.kind, content, None)?,
                        _ => {}
                    }
                }
                self.budget.take(SCALAR_COST)?;
                let value = value.unwrap_or_else(|| empty(field.kind));
                let entries = into.entry(&*field.name).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(entries) = entries {
                    entries.insert(key, value);
                }
            }
        }
        Ok(())
    }

    fn item(&mut self, field: &FieldPlan, content: Content<'_>, into: &mut Map<String, Value>) -> Result<(), CodecError> {
        let item = self.value(field.kind, content, None)?.unwrap_or(Value::Null);
        let items = into.entry(&*field.name).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(items) = items {
            items.push(item);
        }
        Ok(())
    }

    /// `None` stands for a value that JSON does not show: a time that was never set.
    fn value(&mut self, kind: Kind, content: Content<'_>, before: Option<Value>) -> Result<Option<Value>, CodecError> {
        self.budget.take(SCALAR_COST)?;
        let plan = self.plan;
        Ok(Some(match (kind, content) {
            (Kind::String, content) => Value::String(text(content)?),
            (Kind::Bytes, Content::Bytes(bytes)) => Value::String(STANDARD.encode(bytes)),
            (Kind::I32, Content::Varint(number)) => Value::from(number as i32),
            (Kind::I64, Content::Varint(number)) => Value::from(number as i64),
            (Kind::Bool, Content::Varint(number)) => Value::Bool(number != 0),
            (Kind::Double, Content::Fixed64(bits)) => {
                let number = f64::from_bits(bits);
                // Whole numbers are printed without a point, as Go does.
                if number.fract() == 0.0 && number.abs() < 9e15 {
                    Value::from(number as i64)
                } else {
                    let number = serde_json::Number::from_f64(number);
                    Value::Number(number.ok_or(CodecError::Protobuf("a number that is not finite"))?)
                }
            }
            (Kind::Quantity, Content::Bytes(bytes)) => {
                let mut quantity = String::from("0");
                each(bytes, |number, content| {
                    if number == 1 {
                        quantity = text(content)?;
                    }
                    Ok(())
                })?;
                Value::String(quantity)
            }
            (Kind::IntOrString, Content::Bytes(bytes)) => {
                let (mut is_text, mut number_value, mut text_value) = (false, 0, String::new());
                each(bytes, |number, content| {
                    match (number, content) {
                        (1, Content::Varint(kind)) => is_text = kind == 1,
                        (2, Content::Varint(value)) => number_value = value as i32,
                        (3, content) => text_value = text(content)?,
                        _ => {}
                    }
                    Ok(())
                })?;
                if is_text { Value::String(text_value) } else { Value::from(number_value) }
            }
            (Kind::Time | Kind::MicroTime, Content::Bytes(bytes)) => {
                if bytes.is_empty() {
                    return Ok(None);
                }
                return time(kind, bytes).map(Some);
            }
            (Kind::Duration, Content::Bytes(bytes)) => {
                let mut nanos = 0;
                each(bytes, |number, content| {
                    if let (1, Content::Varint(value)) = (number, content) {
                        nanos = value as i64;
                    }
                    Ok(())
                })?;
                Value::String(scalar::format_duration(nanos))
            }
            (Kind::Json, Content::Bytes(bytes)) => return self.json(bytes),
            (Kind::Strings, Content::Bytes(bytes)) => {
                let mut items = Vec::new();
                each(bytes, |number, content| {
                    if number == 1 {
                        self.budget.take(SCALAR_COST)?;
                        items.push(Value::String(text(content)?));
                    }
                    Ok(())
                })?;
                Value::Array(items)
            }
            (Kind::SchemaOrList(props) | Kind::SchemaOrBool(props) | Kind::SchemaOrStrings(props), Content::Bytes(bytes)) => {
                self.deeper()?;
                let value = self.schema_or(kind, props, bytes)?;
                self.depth -= 1;
                return Ok(value);
            }
            (Kind::Message(message), Content::Bytes(bytes)) => {
                let mut fields = match before {
                    Some(Value::Object(fields)) => fields,
                    _ => Map::new(),
                };
                self.message(plan.message(message), bytes, &mut fields)?;
                Value::Object(fields)
            }
            _ => return Err(WRONG_TYPE),
        }))
    }

    /// JSON as text, or an enveloped object (RawExtension).
    fn json(&mut self, bytes: &[u8]) -> Result<Option<Value>, CodecError> {
        let mut raw = &[][..];
        each(bytes, |number, content| {
            if let (1, Content::Bytes(bytes)) = (number, content) {
                raw = bytes;
            }
            Ok(())
        })?;
        if raw.is_empty() {
            return Ok(None);
        }
        self.deeper()?;
        let value = if raw.starts_with(MAGIC) {
            self.enveloped(raw, None)?
        } else {
            let limits = Limits { depth_max: self.limits.depth_max - self.depth, cost_max: self.budget.0 };
            let value = json::read(raw, &limits)?.value;
            // What the text can have cost at most.
            self.budget.take(raw.len().min(self.budget.0))?;
            value
        };
        self.depth -= 1;
        Ok(Some(value))
    }

    fn schema_or(&mut self, kind: Kind, props: u32, bytes: &[u8]) -> Result<Option<Value>, CodecError> {
        let plan = self.plan;
        let (mut one, mut list, mut allows) = (None, Vec::new(), false);
        let mut fields = Fields(bytes);
        while let Some((number, content)) = fields.next()? {
            let schema_number = if matches!(kind, Kind::SchemaOrBool(_)) { 2 } else { 1 };
            match (kind, number, content) {
                (Kind::SchemaOrBool(_), 1, Content::Varint(value)) => allows = value != 0,
                (_, number, Content::Bytes(bytes)) if number == schema_number => {
                    let mut fields = Map::new();
                    self.message(plan.message(props), bytes, &mut fields)?;
                    one = Some(Value::Object(fields));
                }
                (Kind::SchemaOrList(_), 2, Content::Bytes(bytes)) => {
                    let mut fields = Map::new();
                    self.message(plan.message(props), bytes, &mut fields)?;
                    list.push(Value::Object(fields));
                }
                (Kind::SchemaOrStrings(_), 2, content) => {
                    self.budget.take(SCALAR_COST)?;
                    list.push(Value::String(text(content)?));
                }
                _ => {}
            }
        }
        Ok(match (one, kind) {
            (Some(schema), _) => Some(schema),
            (None, Kind::SchemaOrBool(_)) => Some(Value::Bool(allows)),
            (None, _) => Some(Value::Array(list)),
        })
    }
}

fn each<'a>(bytes: &'a [u8], mut take: impl FnMut(u32, Content<'a>) -> Result<(), CodecError>) -> Result<(), CodecError> {
    let mut fields = Fields(bytes);
    while let Some((number, content)) = fields.next()? {
        take(number, content)?;
    }
    Ok(())
}

fn text(content: Content<'_>) -> Result<String, CodecError> {
    let Content::Bytes(bytes) = content else { return Err(WRONG_TYPE) };
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| NOT_TEXT)
}

fn time(kind: Kind, bytes: &[u8]) -> Result<Value, CodecError> {
    let (mut seconds, mut nanos) = (0, 0);
    each(bytes, |number, content| {
        match (number, content) {
            (1, Content::Varint(value)) => seconds = value as i64,
            (2, Content::Varint(value)) => nanos = value as i32,
            _ => {}
        }
        Ok(())
    })?;
    let out_of_range = |_| CodecError::Protobuf("a time out of range");
    Ok(Value::String(if kind == Kind::Time {
        scalar::format_time(Timestamp::from_second(seconds).map_err(out_of_range)?)
    } else {
        scalar::format_micro_time(Timestamp::new(seconds, nanos.clamp(0, 999_999_999)).map_err(out_of_range)?)
    }))
}

/// What a map entry without a value means.
fn empty(kind: Kind) -> Value {
    match kind {
        Kind::String | Kind::Bytes => "".into(),
        Kind::Quantity => "0".into(),
        Kind::Strings => Value::Array(Vec::new()),
        Kind::Message(_) => Value::Object(Map::new()),
        _ => Value::Null,
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Bool(set) => !set,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}
