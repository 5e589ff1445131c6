//! What a write may be told beside its body: `dryRun`, `fieldValidation`, `fieldManager`, `force`.
use irori_api::field::{ErrorList, FieldPath};
use irori_rules::managed::{self, Writer};
use serde_json::Value;

use crate::{
    call::Call,
    change,
    refusal::{About, Answered, Refusal},
    server::Server,
};

/// What is done about unknown and repeated fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

/// How a field manager is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manager {
    Optional,
    /// By apply, which may `force` too.
    Required,
}

/// The options of one write.
#[derive(Clone, Debug)]
pub struct WriteOptions {
    pub dry_run: bool,
    /// Apply takes fields over from others.
    pub force: bool,
    manager: String,
    subresource: String,
    now: String,
}

impl WriteOptions {
    /// Of a create, an update, or a patch that is not apply. Every wrong option is told.
    pub fn read(server: &Server, call: &Call) -> Answered<Self> {
        Self::checked(server, call, Manager::Optional)
    }

    /// Of an apply.
    pub fn of_apply(server: &Server, call: &Call) -> Answered<Self> {
        Self::checked(server, call, Manager::Required)
    }

    fn checked(server: &Server, call: &Call, asked: Manager) -> Answered<Self> {
        let mut errors = ErrorList::default();
        let given = call.query.get("fieldManager").unwrap_or("");
        if asked == Manager::Required && given.is_empty() {
            errors.required(FieldPath::new("fieldManager"), "is required for apply patch");
        }
        if asked == Manager::Optional && call.asked.verb == "patch" && call.query.text("force").is_some() {
            errors.forbidden(FieldPath::new("force"), "may not be specified for non-apply patch");
        }
        if given.len() > managed::MANAGER_BYTES_MAX {
            errors.too_long(FieldPath::new("fieldManager"), managed::MANAGER_BYTES_MAX);
        }
        if given.chars().any(char::is_control) {
            errors.invalid(FieldPath::new("fieldManager"), given, "should only contain printable characters");
        }
        let dry_run = dry_run_into(call.query.all("dryRun"), &mut errors);
        if let Err(wrong) = validation_of(call) {
            errors.not_supported(FieldPath::new("fieldValidation"), wrong, &["Ignore", "Strict", "Warn"]);
        }
        if !errors.is_empty() {
            return Err(refused(options_kind(call), &errors));
        }
        Ok(Self {
            dry_run,
            force: call.query.flag("force"),
            manager: managed::manager_name(given, call.header("user-agent").unwrap_or("")),
            subresource: call.asked.subresource.clone(),
            now: change::now(server),
        })
    }

    /// Who writes, for managedFields.
    pub fn writer(&self) -> Writer<'_> {
        Writer { manager: &self.manager, subresource: &self.subresource, now: &self.now }
    }
}

/// `fieldValidation` of a request whose options were read; what is not said is a warning.
pub fn field_validation(call: &Call) -> FieldValidation {
    validation_of(call).unwrap_or(FieldValidation::Strict)
}

fn validation_of(call: &Call) -> Result<FieldValidation, &str> {
    match call.query.text("fieldValidation") {
        None | Some("Warn") => Ok(FieldValidation::Warn),
        Some("Ignore") => Ok(FieldValidation::Ignore),
        Some("Strict") => Ok(FieldValidation::Strict),
        Some(other) => Err(other),
    }
}

/// `dryRun` of a deletion's query: `All` or nothing.
pub fn dry_run(call: &Call) -> Answered<bool> {
    let mut errors = ErrorList::default();
    let dry = dry_run_into(call.query.all("dryRun"), &mut errors);
    if errors.is_empty() { Ok(dry) } else { Err(refused(options_kind(call), &errors)) }
}

/// `dryRun` of DeleteOptions in a body. What is not understood must not become a deletion.
pub fn dry_run_of(options: &Value) -> Answered<bool> {
    let mut errors = ErrorList::default();
    let asked = irori_rules::tree::items(options, &["dryRun"]);
    let dry = dry_run_into(asked.iter().map(|v| v.as_str().unwrap_or("?")), &mut errors);
    if errors.is_empty() { Ok(dry) } else { Err(refused("DeleteOptions", &errors)) }
}

fn dry_run_into<'a>(asked: impl Iterator<Item = &'a str>, errors: &mut ErrorList) -> bool {
    let asked: Vec<&str> = asked.collect();
    let dry = !asked.is_empty();
    if asked.iter().any(|value| *value != "All") {
        errors.not_supported(FieldPath::new("dryRun"), asked, &["All"]);
    }
    dry
}

fn options_kind(call: &Call) -> &'static str {
    match call.asked.verb {
        "create" => "CreateOptions",
        "patch" => "PatchOptions",
        "delete" | "deletecollection" => "DeleteOptions",
        _ => "UpdateOptions",
    }
}

fn refused(kind: &str, errors: &ErrorList) -> Refusal {
    Refusal::invalid(About { group: "meta.k8s.io", resource: kind, name: "" }, errors)
}
