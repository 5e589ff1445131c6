//! Operations on the paths of a resource.
use serde_json::{Map, Value, json};

use super::{gvk_value, meta, schemas::Schemas};
use crate::row::{Gvk, Row};

const MEDIA: [&str; 3] = ["application/json", "application/vnd.kubernetes.protobuf", "application/yaml"];
const STREAM: [&str; 2] = ["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];
const PATCHES: [&str; 5] = [
    "application/apply-patch+cbor",
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// `AppsV1`, `CoreV1`, `RbacAuthorizationV1`.
fn prefix(group: &str, version: &str) -> String {
    let group = if group.is_empty() { "core" } else { group.strip_suffix(".k8s.io").unwrap_or(group) };
    group.split(['.', '-']).chain([version]).map(capital).collect()
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn tag(group: &str, version: &str) -> String {
    let camel = prefix(group, "");
    let mut chars = camel.chars();
    let group: String = chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect());
    format!("{group}_{version}")
}

fn content(schema: &Value, media: &[&str]) -> Value {
    Value::Object(media.iter().map(|media| ((*media).to_owned(), json!({"schema": schema}))).collect())
}

/// One operation under construction.
struct Operation {
    id: String,
    action: &'static str,
    gvk: Gvk,
    parameters: Vec<Value>,
    body: Option<Value>,
    responses: Map<String, Value>,
    tag: String,
}

impl Operation {
    fn value(self) -> Value {
        let mut out = Map::new();
        out.insert("operationId".into(), json!(self.id));
        out.insert("tags".into(), json!([self.tag]));
        if !self.parameters.is_empty() {
            out.insert("parameters".into(), Value::Array(self.parameters));
        }
        if let Some(body) = self.body {
            out.insert("requestBody".into(), body);
        }
        let mut responses = self.responses;
        responses.insert("401".into(), json!({"description": "Unauthorized"}));
        out.insert("responses".into(), Value::Object(responses));
        out.insert("x-kubernetes-action".into(), json!(self.action));
        out.insert("x-kubernetes-group-version-kind".into(), gvk_value(&self.gvk));
        Value::Object(out)
    }
}

pub fn resources_path(group: &str, version: &str, schemas: &mut Schemas<'_>) -> Value {
    let list = schemas.reference(&meta("APIResourceList"));
    json!({"get": {
        "operationId": format!("get{}APIResources", prefix(group, version)),
        "tags": [tag(group, version)],
        "responses": {"200": {"description": "OK", "content": content(&list, &MEDIA)}, "401": {"description": "Unauthorized"}},
    }})
}

fn query(name: &str, kind: &str) -> Value {
    json!({"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": true}})
}

fn in_path(name: &str) -> Value {
    json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "uniqueItems": true}})
}

fn list_parameters() -> Vec<Value> {
    let text = ["continue", "fieldSelector", "labelSelector", "resourceVersion", "resourceVersionMatch"];
    let mut all: Vec<Value> = text.iter().map(|name| query(name, "string")).collect();
    all.extend(["limit", "timeoutSeconds"].map(|name| query(name, "integer")));
    all.extend(["allowWatchBookmarks", "sendInitialEvents", "watch"].map(|name| query(name, "boolean")));
    all
}

fn write_parameters(patch: bool) -> Vec<Value> {
    let mut all: Vec<Value> = ["dryRun", "fieldManager", "fieldValidation"].iter().map(|name| query(name, "string")).collect();
    if patch {
        all.push(query("force", "boolean"));
    }
    all
}

fn delete_parameters() -> Vec<Value> {
    vec![
        query("dryRun", "string"),
        query("gracePeriodSeconds", "integer"),
        query("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
        query("orphanDependents", "boolean"),
        query("propagationPolicy", "string"),
    ]
}

/// How one place of a resource is named in operation ids and answered.
struct Place<'a> {
    row: &'a Row,
    /// What the operation speaks: the row's kind or a subresource's.
    gvk: Gvk,
    schema: Value,
    /// `NamespacedPodLog`.
    name: String,
}

impl Place<'_> {
    fn operation(
        &self,
        verb: &str,
        action: &'static str,
        codes: &[(&str, &str)],
        parameters: Vec<Value>,
        body: Option<Value>,
    ) -> Value {
        let (group, version) = (&self.row.gvr.group, &self.row.gvr.version);
        let response = |(code, text): &(&str, &str)| {
            ((*code).to_owned(), json!({"description": text, "content": content(&self.schema, &MEDIA)}))
        };
        let operation = Operation {
            id: format!("{verb}{}{}", prefix(group, version), self.name),
            action,
            gvk: self.gvk.clone(),
            parameters,
            body,
            responses: codes.iter().map(response).collect(),
            tag: tag(group, version),
        };
        operation.value()
    }

    /// `connectCoreV1GetNamespacedPodExec`: the verb stands behind group and version.
    fn connect(&self, verb: &str) -> Value {
        let mut operation = self.operation("connect", "connect", OK, Vec::new(), None);
        let id = format!("connect{}{verb}{}", prefix(&self.row.gvr.group, &self.row.gvr.version), self.name);
        operation["operationId"] = id.into();
        operation
    }

    fn request(&self, required: bool) -> Option<Value> {
        let mut body = json!({"content": content(&self.schema, &["*/*"])});
        if required {
            body["required"] = true.into();
        }
        Some(body)
    }
}

const OK: &[(&str, &str)] = &[("200", "OK")];
const OK_CREATED: &[(&str, &str)] = &[("200", "OK"), ("201", "Created")];
const OK_CREATED_ACCEPTED: &[(&str, &str)] = &[("200", "OK"), ("201", "Created"), ("202", "Accepted")];
const OK_ACCEPTED: &[(&str, &str)] = &[("200", "OK"), ("202", "Accepted")];

/// The paths of a row and its subresources.
pub fn paths_of(base: &str, row: &Row, schemas: &mut Schemas<'_>) -> Vec<(String, Value)> {
    let plural = &row.gvr.resource;
    let (collection, scope) = if row.namespaced {
        (format!("{base}namespaces/{{namespace}}/{plural}"), "Namespaced")
    } else {
        (format!("{base}{plural}"), "")
    };
    let shared = |named: bool| {
        let mut parameters = Vec::new();
        if named {
            parameters.push(in_path("name"));
        }
        if row.namespaced {
            parameters.push(in_path("namespace"));
        }
        parameters.push(query("pretty", "string"));
        Value::Array(parameters)
    };
    let kind = &row.gvk.kind;
    let schema = schemas.row(row);
    let object = Place { row, gvk: row.gvk.clone(), schema: schema.clone(), name: format!("{scope}{kind}") };
    let status = schemas.reference(&meta("Status"));
    let options = json!({"content": content(&schemas.reference(&meta("DeleteOptions")), &["*/*"])});
    let patch = json!({"required": true, "content": content(&schemas.reference(&meta("Patch")), &PATCHES)});
    let listed = schemas.list(row);

    let mut paths = Vec::new();
    let mut item = Map::new();
    if row.supports("list") {
        item.insert("get".into(), listing(&object, "list", &listed));
    }
    if row.supports("create") {
        item.insert(
            "post".into(),
            object.operation("create", "post", OK_CREATED_ACCEPTED, write_parameters(false), object.request(true)),
        );
    }
    if row.supports("deletecollection") {
        let all = Place { name: format!("Collection{scope}{kind}"), gvk: row.gvk.clone(), schema: status.clone(), row };
        let mut parameters = list_parameters();
        parameters.retain(|parameter| !matches!(parameter["name"].as_str(), Some("allowWatchBookmarks" | "watch" | "dryRun")));
        parameters.extend(delete_parameters());
        item.insert("delete".into(), all.operation("delete", "deletecollection", OK, parameters, Some(options.clone())));
    }
    if !item.is_empty() {
        item.insert("parameters".into(), shared(false));
        paths.push((collection.clone(), Value::Object(item)));
    }
    if row.namespaced && row.supports("list") {
        let all = Place { name: format!("{kind}ForAllNamespaces"), gvk: row.gvk.clone(), schema: schema.clone(), row };
        let item = json!({"get": listing(&all, "list", &listed), "parameters": [query("pretty", "string")]});
        paths.push((format!("{base}{plural}"), item));
    }

    let mut item = Map::new();
    if row.supports("get") {
        item.insert("get".into(), object.operation("read", "get", OK, Vec::new(), None));
    }
    if row.supports("update") {
        item.insert("put".into(), object.operation("replace", "put", OK_CREATED, write_parameters(false), object.request(true)));
    }
    if row.supports("patch") {
        item.insert("patch".into(), object.operation("patch", "patch", OK_CREATED, write_parameters(true), Some(patch.clone())));
    }
    if row.supports("delete") {
        let answered = if matches!(plural.as_str(), "pods" | "services" | "persistentvolumes" | "persistentvolumeclaims") {
            schema
        } else {
            status
        };
        let gone = Place { name: object.name.clone(), gvk: row.gvk.clone(), schema: answered, row };
        item.insert("delete".into(), gone.operation("delete", "delete", OK_ACCEPTED, delete_parameters(), Some(options)));
    }
    if !item.is_empty() {
        item.insert("parameters".into(), shared(true));
        paths.push((format!("{collection}/{{name}}"), Value::Object(item)));
    }

    for sub in row.subresources.values() {
        let connects = matches!(sub.name.as_str(), "exec" | "attach" | "portforward" | "proxy");
        let text = json!({"type": "string"});
        let schema = if connects || sub.name == "log" { text } else { schemas.kind(&sub.gvk) };
        let place = Place { row, gvk: sub.gvk.clone(), schema, name: format!("{scope}{kind}{}", capital(&sub.name)) };
        let mut item = Map::new();
        for verb in &sub.verbs {
            let (method, operation) = match (verb.as_str(), connects) {
                ("get", true) => ("get", place.connect("Get")),
                ("create", true) => ("post", place.connect("Post")),
                ("update", true) => ("put", place.connect("Put")),
                ("patch", true) => ("patch", place.connect("Patch")),
                ("delete", true) => ("delete", place.connect("Delete")),
                ("get", false) => ("get", place.operation("read", "get", OK, Vec::new(), None)),
                ("create", false) => {
                    ("post", place.operation("create", "post", OK_CREATED_ACCEPTED, write_parameters(false), place.request(true)))
                }
                ("update", false) => {
                    ("put", place.operation("replace", "put", OK_CREATED, write_parameters(false), place.request(true)))
                }
                ("patch", false) => {
                    ("patch", place.operation("patch", "patch", OK_CREATED, write_parameters(true), Some(patch.clone())))
                }
                _ => continue,
            };
            item.insert(method.into(), operation);
        }
        item.insert("parameters".into(), shared(true));
        paths.push((format!("{collection}/{{name}}/{}", sub.name), Value::Object(item)));
    }
    paths
}

fn listing(place: &Place<'_>, verb: &str, list: &Value) -> Value {
    let mut operation = place.operation(verb, "list", OK, list_parameters(), None);
    let mut answers = content(list, &MEDIA);
    for media in STREAM {
        answers[media] = json!({"schema": list});
    }
    operation["responses"]["200"]["content"] = answers;
    operation
}
