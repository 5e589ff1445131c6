//! The tables, compiled for walking: types as indices, fields in the order of the wire, found by name (writing) and by number (reading).
use std::sync::Arc;

use hashbrown::HashMap;

use crate::{
    row::Gvk,
    schema::{Field, IntegerBits, Schemas, Shape, StringFormat, Type, TypeRef},
};

/// What one value is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    String,
    Bytes,
    I32,
    I64,
    Double,
    Bool,
    Quantity,
    IntOrString,
    Time,
    MicroTime,
    Duration,
    /// Any JSON as text in field 1 of a message (RawExtension, FieldsV1, JSON).
    Json,
    /// A list of strings in field 1 of a message (ExtraValue).
    Strings,
    /// JSONSchemaProps or: a list of them, a boolean, a list of strings.
    SchemaOrList(u32),
    SchemaOrBool(u32),
    SchemaOrStrings(u32),
    Message(u32),
}

impl Kind {
    /// A Go scalar: written also when nobody set it.
    pub fn is_plain(self) -> bool {
        matches!(self, Kind::String | Kind::Bytes | Kind::I32 | Kind::I64 | Kind::Double | Kind::Bool)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Many {
    One,
    List,
    Map,
}

#[derive(Debug)]
pub struct FieldPlan {
    pub name: Box<str>,
    /// Numbers of embedded messages, then the field's own.
    pub path: Box<[u32]>,
    /// The field's own number.
    pub number: u32,
    pub kind: Kind,
    pub many: Many,
    /// A zero on the wire is a value that somebody set, or one that is always written.
    pub keeps_zero: bool,
}

/// A number of a message on the wire: a field, or an embedded message whose fields belong to the same object.
#[derive(Debug)]
pub enum Entry {
    Field(u32),
    Embedded(Vec<(u32, Entry)>),
}

#[derive(Debug, Default)]
pub struct Message {
    pub name: Arc<str>,
    /// Sorted by path: in the order of the wire.
    pub fields: Vec<FieldPlan>,
    /// Sorted by number.
    pub entries: Vec<(u32, Entry)>,
    /// Some fields lie in embedded messages.
    pub embeds: bool,
    names: Names,
}

impl Message {
    #[cfg(test)]
    pub fn field(&self, name: &str) -> Option<&FieldPlan> {
        self.index_of(name.as_bytes()).map(|at| &self.fields[at as usize])
    }

    /// The field of a name, as its index.
    #[inline]
    pub fn index_of(&self, name: &[u8]) -> Option<u32> {
        self.names.find(name, &self.fields)
    }

    fn close(&mut self) {
        self.fields.sort_by(|a, b| a.path.cmp(&b.path));
        self.embeds = self.fields.iter().any(|field| field.path.len() > 1);
        self.names = Names::of(&self.fields);
        for (at, field) in (0..).zip(&self.fields) {
            place(&mut self.entries, &field.path, at);
        }
    }
}

/// Finds fields by name: an open hash table, at most half full, of indices into the fields.
#[derive(Debug, Default)]
struct Names(Box<[u16]>);

/// A place of `Names` without a field.
const FREE: u16 = u16::MAX;

impl Names {
    fn of(fields: &[FieldPlan]) -> Names {
        let mut table = vec![FREE; (fields.len() * 2).next_power_of_two()].into_boxed_slice();
        for (at, field) in (0..FREE).zip(fields) {
            let mut slot = Names::slot(field.name.as_bytes(), table.len());
            while table[slot] != FREE {
                slot = (slot + 1) % table.len();
            }
            table[slot] = at;
        }
        Names(table)
    }

    /// Length, first, middle and last byte tell nearly all fields of one message apart.
    #[inline]
    fn slot(name: &[u8], places: usize) -> usize {
        let [first, .., last] = name else { return name.first().map_or(0, |only| usize::from(*only)) & (places - 1) };
        let mixed = u32::from_le_bytes([*first, name[name.len() / 2], *last, name.len() as u8]).wrapping_mul(0x9e37_79b1);
        (mixed >> 16) as usize & (places - 1)
    }

    #[inline]
    fn find(&self, name: &[u8], fields: &[FieldPlan]) -> Option<u32> {
        let places = self.0.len();
        let mut slot = Names::slot(name, places);
        loop {
            let at = *self.0.get(slot)?;
            let field = fields.get(usize::from(at))?;
            if field.name.as_bytes() == name {
                return Some(u32::from(at));
            }
            slot = (slot + 1) & (places - 1);
        }
    }
}

pub fn entry_of(entries: &[(u32, Entry)], number: u32) -> Option<&Entry> {
    entries.binary_search_by_key(&number, |(number, _)| *number).ok().map(|at| &entries[at].1)
}

#[derive(Debug, Default)]
pub struct Plan {
    pub messages: Vec<Message>,
    /// By the message's whole name: package, version, kind.
    by_kind: HashMap<Arc<str>, u32>,
}

impl Plan {
    pub fn compile(schemas: &Schemas) -> Plan {
        let objects = schemas.types.iter().filter(|(_, of)| matches!(of.shape, Shape::Object(_)));
        let index: HashMap<&str, u32> = objects.clone().zip(0..).map(|((name, _), at)| (&**name, at)).collect();
        let mut plan = Plan::default();
        for (name, of) in objects {
            plan.messages.push(message(schemas, &index, name.clone(), of));
        }
        plan.index_kinds();
        plan
    }

    fn index_kinds(&mut self) {
        for (at, message) in (0..).zip(&self.messages) {
            self.by_kind.insert(message.name.clone(), at);
        }
    }

    pub fn message(&self, at: u32) -> &Message {
        &self.messages[at as usize]
    }

    /// By the rule of `Schemas::of_kind`.
    pub fn of_kind(&self, gvk: &Gvk) -> Option<&Message> {
        let find = |package: &str| self.by_kind.get(&*format!("{package}.{}.{}", gvk.version, gvk.kind));
        let meta = || if gvk.version == "v1" { find(crate::schema::META) } else { None };
        find(&crate::schema::package_of(&gvk.group)).or_else(meta).map(|at| self.message(*at))
    }
}

fn message(schemas: &Schemas, index: &HashMap<&str, u32>, name: Arc<str>, of: &Type) -> Message {
    let mut message = Message { name, ..Message::default() };
    let Shape::Object(object) = &of.shape else { return message };
    message.fields = object.fields.iter().filter_map(|(name, field)| field_plan(schemas, index, name, field)).collect();
    message.close();
    message
}

fn place(entries: &mut Vec<(u32, Entry)>, path: &[u32], field: u32) {
    let [number, rest @ ..] = path else { return };
    let at = match entries.binary_search_by_key(number, |(number, _)| *number) {
        Ok(at) => at,
        Err(at) => {
            let entry = if rest.is_empty() { Entry::Field(field) } else { Entry::Embedded(Vec::new()) };
            entries.insert(at, (*number, entry));
            at
        }
    };
    if let Entry::Embedded(inner) = &mut entries[at].1 {
        place(inner, rest, field);
    }
}

fn field_plan(schemas: &Schemas, index: &HashMap<&str, u32>, name: &str, field: &Field) -> Option<FieldPlan> {
    let proto = field.protobuf.as_ref()?;
    let mut path = proto.within.clone();
    path.push(proto.number);
    let extra = proto.kind.contains(".ExtraValue");
    let (of, many) = match &schemas.resolve(&field.of)?.shape {
        Shape::Map { values } => (values, Many::Map),
        Shape::List(list) if !extra => (&list.items, Many::List),
        _ => (&field.of, Many::One),
    };
    let kind = if extra { Kind::Strings } else { kind_of(schemas, index, of)? };
    Some(FieldPlan {
        name: name.into(),
        path: path.into(),
        number: proto.number,
        kind,
        many,
        keeps_zero: proto.pointer || field.required || field.default.is_some(),
    })
}

fn kind_of(schemas: &Schemas, index: &HashMap<&str, u32>, of: &TypeRef) -> Option<Kind> {
    let found = schemas.resolve(of)?;
    Some(match &found.shape {
        Shape::Object(_) => Kind::Message(*index.get(found.name.as_str())?),
        Shape::String { format: None, .. } => Kind::String,
        Shape::String { format: Some(StringFormat::Byte), .. } => Kind::Bytes,
        Shape::String { format: Some(StringFormat::Time), .. } => Kind::Time,
        Shape::String { format: Some(StringFormat::MicroTime), .. } => Kind::MicroTime,
        Shape::String { format: Some(StringFormat::Duration), .. } => Kind::Duration,
        Shape::Integer { bits: IntegerBits::I32 } => Kind::I32,
        Shape::Integer { bits: IntegerBits::I64 } => Kind::I64,
        Shape::Number => Kind::Double,
        Shape::Boolean => Kind::Bool,
        Shape::Quantity => Kind::Quantity,
        Shape::IntOrString => Kind::IntOrString,
        Shape::Any => {
            let props = || {
                found
                    .name
                    .rsplit_once("JSONSchemaProps")
                    .and_then(|(package, _)| index.get(&*format!("{package}JSONSchemaProps")))
            };
            match found.name.rsplit('.').next()? {
                "JSONSchemaPropsOrArray" => Kind::SchemaOrList(*props()?),
                "JSONSchemaPropsOrBool" => Kind::SchemaOrBool(*props()?),
                "JSONSchemaPropsOrStringArray" => Kind::SchemaOrStrings(*props()?),
                _ => Kind::Json,
            }
        }
        Shape::Map { .. } | Shape::List(_) => return None,
    })
}
