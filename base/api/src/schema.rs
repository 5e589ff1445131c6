//! What an object may look like: one tree of types for built-in and custom kinds.
//!
//! Everything that walks objects (decoding, pruning, defaulting, patching, apply, protobuf, OpenAPI) walks these types.
use std::sync::{Arc, OnceLock};

use hashbrown::HashMap;

use serde_json::Value;

use crate::row::{Gvk, Row};

mod fields;

pub use fields::Fields;

/// A named or anonymous type. Recursive types refer to each other by name through `Schemas`.
#[derive(Clone, Debug)]
pub struct Type {
    /// As published in OpenAPI: `io.k8s.api.core.v1.Container`; empty for anonymous types.
    pub name: String,
    pub shape: Shape,
}

const SCHEMA_PROPS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

impl Type {
    /// Whether its values have parts.
    pub fn is_composite(&self) -> bool {
        matches!(self.shape, Shape::Object(_) | Shape::Map { .. } | Shape::List(_) | Shape::Any)
    }

    /// Of the types whose value is a schema or something else (`JSONSchemaPropsOrArray`, `…OrBool`, `…OrStringArray`): the schema's.
    pub fn schema_or_else(&self) -> Option<TypeRef> {
        let other = self.name.strip_prefix(SCHEMA_PROPS)?;
        matches!(other, "OrArray" | "OrBool" | "OrStringArray").then(|| TypeRef::Named(SCHEMA_PROPS.into()))
    }
}

/// The JSON shape of a value.
#[derive(Clone, Debug)]
pub enum Shape {
    Object(Object),
    /// A map from string to values of one type.
    Map {
        values: TypeRef,
    },
    List(List),
    String {
        format: Option<StringFormat>,
        one_of: Vec<String>,
    },
    Integer {
        bits: IntegerBits,
    },
    /// A double.
    Number,
    Boolean,
    /// A Kubernetes quantity: a string or a number in, canonical string out.
    Quantity,
    IntOrString,
    /// Any JSON (RawExtension, JSON, FieldsV1, JSONSchemaProps' open ends): kept as it is.
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StringFormat {
    /// RFC 3339 in seconds (metav1.Time).
    Time,
    /// RFC 3339 in microseconds (metav1.MicroTime).
    MicroTime,
    /// Base64 of bytes.
    Byte,
    /// A Go duration such as `1h5m` (metav1.Duration).
    Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntegerBits {
    I32,
    I64,
}

#[derive(Clone, Debug, Default)]
pub struct Object {
    pub fields: Fields,
    /// `x-kubernetes-map-type: atomic`.
    pub atomic: bool,
    /// Keep what the fields do not name (custom kinds only).
    pub preserve_unknown: bool,
    form: OnceLock<Form>,
}

impl Object {
    /// One without fields yet.
    pub fn of(atomic: bool) -> Self {
        Self { atomic, ..Self::default() }
    }

    /// What objects of the type look like when they are whole; made at the first walk, by whoever knows it.
    pub fn form(&self, make: impl FnOnce() -> Form) -> &Form {
        self.form.get_or_init(make)
    }
}

/// What a type says of the objects that have it, worked out once: walks over large objects would do it again for each item of a list.
#[derive(Clone, Debug)]
pub struct Form {
    /// Of Kubernetes itself: its objects pass through typed structs.
    pub builtin: bool,
    /// By the place of each field.
    pub fields: Vec<FieldForm>,
    /// Places of the fields that are written where nobody set them.
    pub written: Vec<usize>,
    /// Places of the fields that have a default.
    pub defaulted: Vec<usize>,
}

/// Of one field.
#[derive(Clone, Debug, Default)]
pub struct FieldForm {
    /// What is written where nobody set it; `None` for nothing.
    pub absent: Option<Value>,
    /// Its default, filled in itself.
    pub default: Option<Value>,
    /// Its zero is written.
    pub always_written: bool,
    /// A list that is written as null where it is empty.
    pub null_when_empty: bool,
}

#[derive(Clone, Debug)]
pub struct Field {
    pub of: TypeRef,
    pub required: bool,
    pub default: Option<Value>,
    /// The number and type in the kind's protobuf message; `None` where protobuf does not carry the field.
    pub protobuf: Option<ProtoField>,
    /// Strategic merge: the key by which items of the list are merged.
    pub patch_merge_key: Option<String>,
    /// Strategic merge: `merge`, `replace`, `retainKeys`, or several.
    pub patch_strategy: Vec<String>,
    /// `x-kubernetes-map-type: atomic` said of this field (a map that apply treats as one value).
    pub atomic: bool,
}

#[derive(Clone, Debug)]
pub struct ProtoField {
    pub number: u32,
    /// `string`, `int32`, `k8s.io.api.core.v1.Container`, `map<string, string>`, …
    pub kind: String,
    pub repeated: bool,
    /// Numbers of the embedded messages around this field, outermost first: JSON inlines what protobuf nests
    /// (`Volume.volumeSource`). Almost always empty.
    pub within: Vec<u32>,
    /// Absent and zero differ (a pointer to a scalar in the Go type): a zero on the wire is kept when decoded.
    pub pointer: bool,
}

#[derive(Clone, Debug)]
pub struct List {
    pub items: TypeRef,
    pub kind: ListKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListKind {
    Atomic,
    Set,
    /// Items are told apart by these fields.
    Map {
        keys: Vec<String>,
    },
    /// The table says nothing: treated as atomic by apply.
    Unsaid,
}

/// A type by name (looked up in `Schemas`) or in place.
#[derive(Clone, Debug)]
pub enum TypeRef {
    Named(Arc<str>),
    Inline(Arc<Type>),
}

/// All named types of one server.
#[derive(Clone, Debug, Default)]
pub struct Schemas {
    /// Hashed: a walk over an object looks a type up at each step, and the names begin alike.
    pub types: HashMap<Arc<str>, Arc<Type>>,
}

impl Schemas {
    /// The type behind a reference; `None` only where a table is broken.
    pub fn resolve<'a>(&'a self, of: &'a TypeRef) -> Option<&'a Type> {
        match of {
            TypeRef::Named(name) => self.types.get(name).map(Arc::as_ref),
            TypeRef::Inline(of) => Some(of),
        }
    }

    pub fn named(&self, name: &str) -> Option<&Arc<Type>> {
        self.types.get(name)
    }

    /// The fields behind a reference, if it is an object with named fields.
    pub fn object<'a>(&'a self, of: &'a TypeRef) -> Option<&'a Object> {
        match &self.resolve(of)?.shape {
            Shape::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The object at a path of field names; lists and maps on the way are entered (`spec`, `containers`, `ports`).
    pub fn object_at<'a>(&'a self, of: &'a TypeRef, path: &[&str]) -> Option<&'a Object> {
        let mut of = of;
        for name in path {
            of = self.innermost(&self.object(of)?.fields.get(name)?.of)?;
        }
        self.object(of)
    }

    /// Enters lists and maps down to what they hold.
    fn innermost<'a>(&'a self, mut of: &'a TypeRef) -> Option<&'a TypeRef> {
        loop {
            of = match &self.resolve(of)?.shape {
                Shape::List(list) => &list.items,
                Shape::Map { values } => values,
                _ => return Some(of),
            };
        }
    }

    /// The type of a row's list (`PodList`), where the tables know it; lists of custom kinds are made of `metadata` and `items`.
    pub fn list_of(&self, row: &Row) -> Option<&Arc<Type>> {
        match &row.of {
            TypeRef::Named(name) => self.types.get(format!("{name}List").as_str()),
            TypeRef::Inline(_) => None,
        }
    }

    /// A built-in type by group, version and kind, also where no resource has it (Status, DeleteOptions, Scale, Eviction).
    pub fn of_kind(&self, gvk: &Gvk) -> Option<&Arc<Type>> {
        let package = package_of(&gvk.group);
        let named = |package: &str| self.types.get(format!("{package}.{}.{}", gvk.version, gvk.kind).as_str());
        named(&package).or_else(|| if gvk.version == "v1" { named(META) } else { None })
    }
}

pub(crate) const META: &str = "io.k8s.apimachinery.pkg.apis.meta";

/// Where the types of a group are published, without the version.
pub(crate) fn package_of(group: &str) -> String {
    match group {
        "" => "io.k8s.api.core".to_owned(),
        "apiextensions.k8s.io" => "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions".to_owned(),
        "apiregistration.k8s.io" => "io.k8s.kube-aggregator.pkg.apis.apiregistration".to_owned(),
        "meta.k8s.io" => META.to_owned(),
        group => format!("io.k8s.api.{}", group.split('.').next().unwrap_or(group)),
    }
}
