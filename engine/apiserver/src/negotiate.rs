//! Which form an answer has: Accept, `as=Table`, gzip.
use irori_api::{
    field::{FieldError, FieldPath, Wrong},
    status::Status,
};

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
    /// PartialObjectMetadata.
    Metadata,
    /// PartialObjectMetadataList.
    MetadataList,
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

/// What an object is accepted as, and with the streams a collection.
pub const ALL_FORMS: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const STREAMS: [&str; 2] = ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];

/// Refuses what cannot be answered as it was asked for, before it is done. `tables`: whether there is a table of it.
pub fn admit(call: &Call, tables: bool) -> Answered<()> {
    // Upstream's router looks at types alone, and knows no half of them but `*/*`.
    let mut types = clauses(call).map(|(_, clause)| media_type(clause)).peekable();
    let routed = types.peek().is_none() || types.any(|media| media == "*/*" || ALL_FORMS.contains(&media));
    if !routed {
        let streams: &[&str] = if matches!(call.asked.verb, "list" | "watch") { &STREAMS } else { &[] };
        return Err(Status::not_routable(&[&ALL_FORMS, streams].concat()).into());
    }
    choose(call, tables).map(drop)
}

/// Agrees on the form of the answer.
pub fn wanted(call: &Call) -> Answered<Wanted> {
    choose(call, true)
}

/// The first clause (by weight, then by order) that can be served wins.
fn choose(call: &Call, tables: bool) -> Answered<Wanted> {
    let watch = call.asked.is_resource && call.asked.verb == "watch";
    let mut clauses: Vec<(f32, &str)> = clauses(call).collect();
    if clauses.is_empty() {
        return Ok(JSON);
    }
    clauses.sort_by(|a, b| b.0.total_cmp(&a.0));
    let served = |wanted: &Wanted| tables || wanted.shape != Shape::Table;
    let wanted = clauses
        .iter()
        .find_map(|(weight, clause)| if *weight > 0.0 { serve(clause, watch).filter(served) } else { None })
        .ok_or_else(|| {
            let no_stream = watch && clauses.iter().any(|(_, clause)| media_type(clause) == "application/yaml");
            Refusal::not_acceptable(if no_stream { &STREAMS } else { &ALL_FORMS })
        })?;
    match call.query.text("includeObject") {
        Some(other) if wanted.shape == Shape::Table && !matches!(other, "None" | "Metadata" | "Object") => {
            let why = "must be 'Metadata', 'Object', 'None', or empty";
            let error = FieldError::new(FieldPath::new("includeObject"), Wrong::Invalid, other, why);
            Err(Refusal::bad_request(format!("Unable to convert to Table as requested: {error}")))
        }
        _ => Ok(wanted),
    }
}

/// The clauses of Accept with their weights; none where nothing is asked for.
fn clauses(call: &Call) -> impl Iterator<Item = (f32, &str)> {
    let header = call.header("accept").unwrap_or("").trim();
    let clauses = (!header.is_empty()).then(|| header.split(','));
    clauses.into_iter().flatten().map(|clause| (weight(clause), clause.trim()))
}

fn media_type(clause: &str) -> &str {
    clause.split(';').next().unwrap_or("").trim()
}

fn weight(clause: &str) -> f32 {
    clause.split(';').find_map(|p| p.trim().strip_prefix("q=")).and_then(|q| q.parse().ok()).unwrap_or(1.0)
}

fn serve(clause: &str, watch: bool) -> Option<Wanted> {
    let form = match media_type(clause) {
        "application/json" | "*/*" | "application/*" => Form::Json,
        "application/yaml" if !watch => Form::Yaml,
        "application/vnd.kubernetes.protobuf" => Form::Protobuf,
        _ => return None,
    };
    let (mut shown, mut group, mut version) = (None, None, None);
    for part in clause.split(';').skip(1).map(str::trim) {
        match part.split_once('=').unwrap_or((part, "")) {
            ("as", kind) => shown = Some(kind),
            ("g", name) => group = Some(name),
            ("v", name) => version = Some(name),
            ("stream", "watch") if form != Form::Yaml => {}
            ("stream", _) => return None,
            _ => {}
        }
    }
    // Another shape is named by its whole kind, or not at all.
    let (shape, old_meta) = match (shown, group, version) {
        (None, None, None) => (Shape::Itself, false),
        (Some(kind), Some("meta.k8s.io"), Some(version @ ("v1" | "v1beta1"))) => {
            let shape = match kind {
                "Table" if form != Form::Protobuf => Shape::Table,
                "PartialObjectMetadata" => Shape::Metadata,
                "PartialObjectMetadataList" => Shape::MetadataList,
                _ => return None,
            };
            (shape, version == "v1beta1")
        }
        _ => return None,
    };
    Some(Wanted { form, shape, old_meta })
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
