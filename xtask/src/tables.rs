//! Makes the compact tables of the built-in kinds from recorded facts of the Kubernetes API.
//!
//! Two text files come out, one line per fact, so that a change of version reads as a diff:
//! `types.txt` (schemas with protobuf numbers merged in) and `kinds.txt` (groups, resources, subresources, table columns).
//! Their grammar is told at the head of `base/api/src/builtin.rs`, which reads them.
//! `pointers.txt` is kept by hand and only read here: it says which optional scalars tell zero from absent.
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    io::Read as _,
    path::Path,
};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Map, Value};

/// Message name to its fields: name, number, type, label.
type Messages = BTreeMap<String, Vec<(String, u32, String, String)>>;

/// Reads the facts in `from` and writes the tables to `to`. The same facts give the same bytes.
pub fn write(from: &Path, to: &Path) -> Result<()> {
    let schemas: BTreeMap<String, Value> = read(from, "types")?;
    let messages: Messages = read(from, "protobuf")?;
    let pointers = pointers(to)?;
    fs::create_dir_all(to).with_context(|| format!("create {}", to.display()))?;
    let types = types(&schemas, &messages, &pointers)?;
    let kinds = kinds(&schemas, &read::<Vec<Value>>(from, "groups")?, &read(from, "resources")?, &read(from, "table-columns")?)?;
    for (name, text) in [("types.txt", types), ("kinds.txt", kinds)] {
        let path = to.join(name);
        fs::write(&path, &text).with_context(|| format!("write {}", path.display()))?;
        println!("{}: {} lines, {} bytes", path.display(), text.lines().count(), text.len());
    }
    Ok(())
}

fn read<T: serde::de::DeserializeOwned>(from: &Path, name: &str) -> Result<T> {
    let path = from.join(format!("{name}.json.gz"));
    let file = fs::File::open(&path).with_context(|| format!("open {}", path.display()))?;
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).with_context(|| format!("unpack {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("parse {}", path.display()))
}

/// `Type.field` per line, `#` starts a comment.
fn pointers(to: &Path) -> Result<BTreeSet<String>> {
    let path = to.join("pointers.txt");
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let mut found = BTreeSet::new();
    let mut of = String::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        match line.strip_prefix('\t') {
            Some(fields) => found.extend(fields.split_whitespace().map(|field| format!("{of}.{field}"))),
            None => of = line.trim().to_owned(),
        }
    }
    Ok(found)
}

// --- types ---

fn types(schemas: &BTreeMap<String, Value>, messages: &Messages, pointers: &BTreeSet<String>) -> Result<String> {
    let mut out = String::from("# Types of Kubernetes 1.36, made by `cargo xtask tables`. Do not edit.\n");
    let mut unused = pointers.clone();
    for (name, schema) in schemas {
        let shape = named_shape(name, schema);
        write!(out, "{name} {shape}")?;
        for gvk in schema["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
            write!(out, " gvk={}/{}/{}", text(gvk, "group"), text(gvk, "version"), text(gvk, "kind"))?;
        }
        if schema["x-kubernetes-map-type"] == "atomic" {
            out.push_str(" atomic");
        }
        if let Some(unions) = schema.get("x-kubernetes-unions") {
            write!(out, " unions={unions}")?;
        }
        out.push('\n');
        if shape != "object" {
            continue;
        }
        let required: BTreeSet<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (field, of) in schema["properties"].as_object().into_iter().flatten() {
            let kind = type_text(of).with_context(|| format!("{name}.{field}"))?;
            write!(out, "\t{field} {kind}")?;
            if required.contains(field.as_str()) {
                out.push_str(" !");
            }
            if let Some(default) = of.get("default") {
                write!(out, " ={default}")?;
            }
            if kind.starts_with("{}") && of["x-kubernetes-map-type"] == "atomic" {
                out.push_str(" atomic");
            }
            if let Some(key) = of["x-kubernetes-patch-merge-key"].as_str() {
                write!(out, " key={key}")?;
            }
            if let Some(strategy) = of["x-kubernetes-patch-strategy"].as_str() {
                write!(out, " strategy={strategy}")?;
            }
            if let Some((numbers, message)) = number_of(messages, &message_name(name), field) {
                let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
                write!(out, " #{}", numbers.join("."))?;
                if message.ends_with(".ExtraValue") {
                    write!(out, ":{message}")?;
                }
                if unused.remove(&format!("{name}.{field}")) {
                    out.push('*');
                }
            } else if !matches!(field.as_str(), "apiVersion" | "kind") {
                bail!("{name}.{field} has no protobuf number");
            }
            out.push('\n');
        }
    }
    if !unused.is_empty() {
        bail!("pointers.txt names fields that do not exist: {unused:?}");
    }
    Ok(out)
}

/// Named types that are not plain objects.
fn named_shape(name: &str, schema: &Value) -> &'static str {
    match name.rsplit('.').next().unwrap_or(name) {
        "Quantity" => "quantity",
        "IntOrString" => "intstr",
        "Time" => "time",
        "MicroTime" => "microtime",
        "FieldsV1" | "RawExtension" | "Patch" => "any",
        _ if schema["type"] == "object" => "object",
        _ => "any",
    }
}

/// The type of a field in the grammar of `builtin.rs`.
fn type_text(of: &Value) -> Result<String> {
    if let Some(name) = reference(of) {
        return Ok(name.to_owned());
    }
    Ok(match (of["type"].as_str(), of["format"].as_str()) {
        (Some("string"), None) => match of["enum"].as_array() {
            Some(values) => {
                let values: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
                format!("str({})", values.join("|").replace(' ', "~"))
            }
            None => "str".into(),
        },
        (Some("string"), Some("byte")) => "bytes".into(),
        (Some("integer"), Some("int32")) => "i32".into(),
        (Some("integer"), Some("int64")) => "i64".into(),
        (Some("number"), Some("double")) => "double".into(),
        (Some("boolean"), None) => "bool".into(),
        (Some("array"), None) => {
            let kind = match of["x-kubernetes-list-type"].as_str() {
                None => String::new(),
                Some("map") => {
                    let keys: Vec<&str> =
                        of["x-kubernetes-list-map-keys"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                    format!("map:{}", keys.join(","))
                }
                Some(kind) => kind.to_owned(),
            };
            format!("[{kind}]{}", type_text(&of["items"])?)
        }
        (Some("object"), None) => match of.get("additionalProperties") {
            Some(values) => format!("{{}}{}", type_text(values)?),
            None => bail!("anonymous object"),
        },
        other => bail!("unknown shape {other:?}"),
    })
}

fn reference(of: &Value) -> Option<&str> {
    of["$ref"].as_str().or_else(|| of["allOf"][0]["$ref"].as_str())?.strip_prefix("#/components/schemas/")
}

fn message_name(schema: &str) -> String {
    schema
        .replacen("io.k8s.", "k8s.io.", 1)
        .replace("apiextensions-apiserver", "apiextensions_apiserver")
        .replace("kube-aggregator", "kube_aggregator")
}

/// Finds the protobuf field for a JSON field: by name, by name without case and signs, then inside embedded messages.
/// Answers the path of numbers and the full name of the field's type.
fn number_of(messages: &Messages, message: &str, field: &str) -> Option<(Vec<u32>, String)> {
    let plain = |name: &str| name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let fields = messages.get(message)?;
    let package = message.rsplit_once('.').map_or("", |(package, _)| package);
    let full = |kind: &str| {
        let inner = kind.strip_prefix("map<string, ").and_then(|rest| rest.strip_suffix('>')).unwrap_or(kind);
        if inner.contains('.') { inner.to_owned() } else { format!("{package}.{inner}") }
    };
    let exact = fields.iter().find(|(name, ..)| name == field);
    if let Some((_, number, kind, _)) = exact.or_else(|| fields.iter().find(|(name, ..)| plain(name) == plain(field))) {
        return Some((vec![*number], full(kind)));
    }
    const EMBEDDED: [&str; 8] = [
        "volumeSource",
        "persistentVolumeSource",
        "localObjectReference",
        "ephemeralContainerCommon",
        "handler",
        "ingressRuleValue",
        "deviceConfiguration",
        "ruleWithOperations",
    ];
    fields.iter().filter(|(name, ..)| EMBEDDED.contains(&name.as_str()) || name == "rule").find_map(|(_, number, kind, _)| {
        let (mut path, of) = number_of(messages, &full(kind), field)?;
        path.insert(0, *number);
        Some((path, of))
    })
}

// --- kinds ---

fn kinds(
    schemas: &BTreeMap<String, Value>,
    groups: &[Value],
    resources: &BTreeMap<String, Vec<Value>>,
    columns: &BTreeMap<String, Vec<Value>>,
) -> Result<String> {
    let mut by_kind = BTreeMap::new();
    for (name, schema) in schemas {
        for gvk in schema["x-kubernetes-group-version-kind"].as_array().into_iter().flatten() {
            by_kind.insert((text(gvk, "group"), text(gvk, "version"), text(gvk, "kind")), name.as_str());
        }
    }
    let mut out = String::from("# Groups and resources of Kubernetes 1.36, made by `cargo xtask tables`. Do not edit.\n");
    kinds_of_group(&mut out, "", &["v1"], resources, columns, &by_kind)?;
    for group in groups {
        let preferred = text(&group["preferredVersion"], "version");
        let mut versions: Vec<&str> = group["versions"].as_array().into_iter().flatten().map(|v| text(v, "version")).collect();
        versions.sort_by_key(|version| *version != preferred);
        kinds_of_group(&mut out, text(group, "name"), &versions, resources, columns, &by_kind)?;
    }
    Ok(out)
}

fn kinds_of_group(
    out: &mut String,
    group: &str,
    versions: &[&str],
    resources: &BTreeMap<String, Vec<Value>>,
    columns: &BTreeMap<String, Vec<Value>>,
    by_kind: &BTreeMap<(&str, &str, &str), &str>,
) -> Result<()> {
    writeln!(out, "group {} {}", if group.is_empty() { "-" } else { group }, versions.join(","))?;
    for version in versions {
        let group_version = if group.is_empty() { (*version).to_owned() } else { format!("{group}/{version}") };
        let listed = resources.get(&group_version).ok_or_else(|| anyhow!("no resources of {group_version}"))?;
        for resource in listed.iter().filter(|resource| !text(resource, "name").contains('/')) {
            let (plural, kind) = (text(resource, "name"), text(resource, "kind"));
            let of = by_kind.get(&(group, version, kind)).ok_or_else(|| anyhow!("no schema of {group_version} {kind}"))?;
            let scope = if resource["namespaced"] == true { "namespaced" } else { "cluster" };
            write!(out, "kind {version} {plural} {kind} {scope} {of} {}", text(resource, "singularName"))?;
            write!(out, " verbs={}", list(resource, "verbs"))?;
            for (key, name) in [("shortNames", "short"), ("categories", "categories")] {
                if resource[key].is_array() {
                    write!(out, " {name}={}", list(resource, key))?;
                }
            }
            if let Some(hash) = resource["storageVersionHash"].as_str() {
                write!(out, " hash={hash}")?;
            }
            if let Some(storage) = storage(group, version, plural, kind, resource) {
                write!(out, " stored={storage}")?;
            }
            out.push('\n');
            for sub in listed {
                let Some(name) = text(sub, "name").strip_prefix(plural).and_then(|rest| rest.strip_prefix('/')) else { continue };
                let (sub_group, sub_version) = match sub["version"].as_str() {
                    Some(version) => (text(sub, "group"), version),
                    None => (group, *version),
                };
                writeln!(out, "\t/{name} {sub_group}/{sub_version}/{} {}", text(sub, "kind"), list(sub, "verbs"))?;
            }
            for column in columns.get(&format!("{group_version}/{plural}")).into_iter().flatten() {
                let format = Some(text(column, "format")).filter(|format| !format.is_empty()).unwrap_or("-");
                writeln!(out, "\t| {} {format} {} {}", text(column, "type"), column["priority"], text(column, "name"))?;
            }
        }
    }
    Ok(())
}

/// `prefix,group/version/kind` of what is on disk; nothing for kinds that are only answered.
/// Stored in another group or version than their own: Events always as core/v1, HorizontalPodAutoscalers as v2.
fn storage(group: &str, version: &str, plural: &str, kind: &str, resource: &Value) -> Option<String> {
    let stored = resource["verbs"].as_array().is_some_and(|verbs| verbs.iter().any(|verb| verb == "update"));
    stored.then(|| match (group, plural) {
        ("events.k8s.io", "events") => "core/events,/v1/Event".into(),
        ("autoscaling", "horizontalpodautoscalers") => {
            "autoscaling/horizontalpodautoscalers,autoscaling/v2/HorizontalPodAutoscaler".into()
        }
        ("", _) => format!("core/{plural},/{version}/{kind}"),
        _ => format!("{group}/{plural},{group}/{version}/{kind}"),
    })
}

fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    of.as_object().and_then(|of: &Map<String, Value>| of.get(key)).and_then(Value::as_str).unwrap_or("")
}

fn list(of: &Value, key: &str) -> String {
    let items: Vec<&str> = of[key].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    items.join(",")
}
