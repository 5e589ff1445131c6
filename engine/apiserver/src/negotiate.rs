//! Which form an answer has: Accept, `as=Table`, gzip.
use crate::{
    call::Call,
    refusal::{Answered, Refusal},
};

/// How bytes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    Json,
    Yaml,
    Protobuf,
}

impl Form {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }
}

/// What of an object is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    Itself,
    Table,
    /// PartialObjectMetadata, or its list.
    Metadata,
}

/// The form and shape that were agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    pub form: Form,
    pub shape: Shape,
    /// `v1beta1` of meta.k8s.io for tables and metadata, instead of `v1`.
    pub old_meta: bool,
}

/// Plain JSON.
pub const JSON: Wanted = Wanted { form: Form::Json, shape: Shape::Itself, old_meta: false };

/// What a watch and a list are accepted as.
pub const ALL_FORMS: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const WATCH_FORMS: [&str; 4] = [
    "application/json",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf",
    "application/vnd.kubernetes.protobuf;stream=watch",
];

/// Agrees on the form of the answer. The first clause (by weight, then by order) that can be served wins.
pub fn wanted(call: &Call) -> Answered<Wanted> {
    let watch = call.asked.is_resource && call.asked.verb == "watch";
    let header = call.header("accept").unwrap_or("").trim();
    if header.is_empty() {
        return Ok(JSON);
    }
    let mut clauses: Vec<(f32, &str)> = header.split(',').map(|c| (weight(c), c.trim())).collect();
    clauses.sort_by(|a, b| b.0.total_cmp(&a.0));
    clauses
        .into_iter()
        .find_map(|(weight, clause)| if weight > 0.0 { serve(clause, watch) } else { None })
        .ok_or_else(|| Refusal::not_acceptable(if watch { &WATCH_FORMS } else { &ALL_FORMS }))
}

fn weight(clause: &str) -> f32 {
    clause.split(';').find_map(|p| p.trim().strip_prefix("q=")).and_then(|q| q.parse().ok()).unwrap_or(1.0)
}

fn serve(clause: &str, watch: bool) -> Option<Wanted> {
    let mut parts = clause.split(';').map(str::trim);
    let form = match parts.next()? {
        "application/json" | "*/*" | "application/*" => Form::Json,
        "application/yaml" if !watch => Form::Yaml,
        "application/vnd.kubernetes.protobuf" => Form::Protobuf,
        _ => return None,
    };
    let (mut shape, mut old_meta, mut group) = (Shape::Itself, false, "meta.k8s.io");
    for part in parts {
        match part.split_once('=').unwrap_or((part, "")) {
            ("as", "Table") => shape = Shape::Table,
            ("as", "PartialObjectMetadata" | "PartialObjectMetadataList") => shape = Shape::Metadata,
            ("as", _) => return None,
            ("v", "v1") => old_meta = false,
            ("v", "v1beta1") => old_meta = true,
            ("v", _) => return None,
            ("g", name) => group = name,
            ("stream", "watch") => {}
            ("stream", _) => return None,
            _ => {}
        }
    }
    let possible = shape == Shape::Itself || (group == "meta.k8s.io" && !(shape == Shape::Table && form == Form::Protobuf));
    possible.then_some(Wanted { form, shape, old_meta })
}

/// Whether JSON is written for eyes: as `pretty` says, and without it for browsers and the programs that people type.
pub fn wants_pretty(call: &Call) -> bool {
    match call.query.text("pretty") {
        Some(said) => matches!(said, "1" | "t" | "T" | "true" | "TRUE" | "True"),
        None => {
            let agent = call.header("user-agent").unwrap_or("");
            ["curl", "Wget", "Mozilla/5.0"].iter().any(|person| agent.starts_with(person))
        }
    }
}

/// Whether the client takes gzip.
pub fn takes_gzip(call: &Call) -> bool {
    let accepted = call.header("accept-encoding").unwrap_or("");
    accepted.split(',').any(|e| e.split(';').next().is_some_and(|name| name.trim() == "gzip") && weight(e) > 0.0)
}

/// The form of the body that came in; a missing content type is JSON.
pub fn body_form(call: &Call) -> Answered<Form> {
    let header = call.header("content-type").unwrap_or("");
    match header.split(';').next().unwrap_or("").trim() {
        "" | "application/json" => Ok(Form::Json),
        "application/yaml" => Ok(Form::Yaml),
        "application/vnd.kubernetes.protobuf" => Ok(Form::Protobuf),
        _ => Err(Refusal::unsupported_media_type(&ALL_FORMS)),
    }
}
