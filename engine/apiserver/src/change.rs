//! create, update, patch: decode ▶ patch ▶ admission ▶ strategy ▶ validate ▶ commit.
use std::sync::Arc;

use irori_api::{row::Row, status::Status};
use irori_http::Response;
use irori_rules::{Birth, Part, managed, tree};
use irori_store::Entry;
use serde_json::Value;

use crate::{
    admission::{self, Attributes, Operation},
    authz,
    call::Call,
    commit::{self, Lost},
    decode, limits,
    options::WriteOptions,
    patch::{self as patching, Patch},
    precondition, read,
    refusal::{About, Answered, Refusal},
    respond,
    server::Server,
    stored,
};

/// POST to a collection.
pub async fn create(server: &Arc<Server>, call: &mut Call, row: &Arc<Row>) -> Answered<Response> {
    let options = WriteOptions::read(server, call)?;
    let mut object = decode::object(server, call, row).await?;
    place_in_namespace(&mut object, row, &call.asked.namespace)?;
    decode::fill_in(server, row, Part::Main, &mut object)?;
    drop_twin_owners(call, &mut object, "");
    managed::track_create(&server.tables, row, &mut object, &options.writer());
    match create_object(server, call, row, object, options.dry_run).await {
        Ok(created) => respond::object(server, call, row, 201, created),
        Err(Lost::Refused(refusal)) => Err(refusal),
        Err(Lost::Race) => Err(Refusal::already_exists(read::about(row, &call.asked.name))),
    }
}

/// The part of a creation behind decoding and tracking: also for PUT and apply to a name that is new. `Race`: the name is taken.
async fn create_object(
    server: &Arc<Server>,
    call: &mut Call,
    row: &Arc<Row>,
    object: Value,
    dry_run: bool,
) -> Result<Value, Lost> {
    let stored_row = server.stored_as(row);
    let mut object = to_stored(server, row, &stored_row, object);
    let generate = text(&object, "generateName").to_owned();
    let generated = text(&object, "name").is_empty() && !generate.is_empty();
    let tries = if generated { limits::GENERATED_NAME_TRIES_MAX } else { 1 };
    for attempt in 1..=tries {
        let mut new = if attempt == tries { std::mem::take(&mut object) } else { object.clone() };
        let birth = Birth {
            uid: uuid::Uuid::new_v4().to_string(),
            creation_timestamp: now(server),
            generated_name: if generated { irori_rules::generated_name(&generate, &random_letters(5)) } else { String::new() },
            namespace: if row.namespaced { call.asked.namespace.clone() } else { String::new() },
        };
        if generated {
            new["metadata"]["name"] = birth.generated_name.clone().into();
        }
        let name = text(&new, "name").to_owned();
        call.asked.name.clone_from(&name);
        let asked = Attributes { operation: Operation::Create, row: &stored_row, subresource: "", old: None };
        admission::mutate(server, call, &asked, &mut new).await?;
        irori_rules::early_warnings(&stored_row, &new).into_iter().for_each(|text| call.warn(text));
        drop_twin_owners(call, &mut new, AFTER_ADMISSION);
        irori_rules::prepare_create(&server.tables, &stored_row, &mut new, &birth);
        let errors = irori_rules::validate_create(&stored_row, row, &new);
        if !errors.is_empty() {
            return Err(Refusal::invalid(kind_about(row, &name), &errors).into());
        }
        irori_rules::warnings(&stored_row, &new, None).into_iter().for_each(|text| call.warn(text));
        admission::validate(server, call, &asked, &new).await?;
        if !dry_run {
            refuse_kind(server, row)?;
            precondition::require_no_revision(&new)?;
        }
        warn_without_controller(server, call, row);
        match commit::create(server, &stored_row, &mut new, dry_run).await {
            Ok(()) => return Ok(new),
            Err(Lost::Race) if attempt < tries => {}
            Err(Lost::Race) if generated => {
                return Err(Refusal::from(Status::generated_name_taken(&row.gvr, &name)).into());
            }
            Err(lost) => return Err(lost),
        }
    }
    Err(Refusal::internal("a creation has at least one try").into())
}

/// A creation by PUT or apply: a revision is not looked at. Whoever may only update makes nothing new by it.
async fn create_named(
    server: &Arc<Server>,
    call: &mut Call,
    row: &Arc<Row>,
    mut object: Value,
    dry_run: bool,
) -> Result<Response, Lost> {
    tree::remove(&mut object, &["metadata", "resourceVersion"]);
    let creates = authz::Attributes { verb: "create", ..authz::Attributes::of(call) };
    authz::require(server, &call.user, &creates)?;
    let created = create_object(server, call, row, object, dry_run).await?;
    Ok(respond::object(server, call, row, 201, created)?)
}

/// PUT of one object, or of a part of it.
pub async fn update(server: &Arc<Server>, call: &mut Call, row: &Arc<Row>, part: Part<'_>) -> Answered<Response> {
    let options = WriteOptions::read(server, call)?;
    let mut object = decode::object(server, call, row).await?;
    place_in_namespace(&mut object, row, &call.asked.namespace)?;
    let name = call.asked.name.clone();
    precondition::require_name(&object, &name)?;
    decode::fill_in(server, row, part, &mut object)?;
    drop_twin_owners(call, &mut object, "");
    let stored_row = &server.stored_as(row);
    let strategy = irori_rules::strategy(stored_row);
    let key = read::key(row, &call.asked.namespace, &name)?;
    for _ in 0..limits::CONFLICT_TRIES_MAX {
        let mut object = object.clone();
        let entry = server.store.get(&key).await?;
        let current = entry.as_ref().map(|entry| respond::tree(server, row, entry)).transpose()?;
        let own = current.as_ref().map_or("", |current| text(current, "uid"));
        precondition::require_uid(row, &key, &name, text(&object, "uid"), own)?;
        let done = match (entry, current) {
            (Some(entry), Some(current)) => {
                managed::track_update(&server.tables, row, &current, &mut object, &options.writer());
                let target = Target { row, stored_row, entry: &entry, part, dry_run: options.dry_run };
                let replaced = replace(server, call, &target, current, object).await;
                answer(server, call, row, replaced)
            }
            _ if part == Part::Main && strategy.create_on_update => {
                managed::track_create(&server.tables, row, &mut object, &options.writer());
                create_named(server, call, row, object, options.dry_run).await
            }
            _ => return Err(Refusal::not_found(read::about(row, &name))),
        };
        match done {
            Ok(response) => return Ok(response),
            // Whoever said a revision is told at the next try that it is gone.
            Err(Lost::Race) => {}
            Err(Lost::Refused(refusal)) => return Err(refusal),
        }
    }
    Err(Refusal::modified(read::about(row, &name)))
}

/// PATCH of one object, or of a part of it. On a lost race it starts again from the newest object.
pub async fn patch(server: &Arc<Server>, call: &mut Call, row: &Arc<Row>, part: Part<'_>) -> Answered<Response> {
    let patch = patching::read(server, call).await?;
    let options = patch.options(server, call)?;
    let name = call.asked.name.clone();
    let key = read::key(row, &call.asked.namespace, &name)?;
    let stored_row = &server.stored_as(row);
    for _ in 0..limits::CONFLICT_TRIES_MAX {
        let entry = server.store.get(&key).await?;
        let current = entry.as_ref().map(|entry| respond::tree(server, row, entry)).transpose()?;
        let mut object = match (&patch, &current) {
            (Patch::Apply(apply), current) if current.is_some() || part == Part::Main => {
                let (writer, counts) = (options.writer(), |name: &str| decode::counts(row, part, name));
                let room = decode::room(server, &counts);
                let applied =
                    managed::apply(&server.tables, row, current.as_ref(), apply.config()?, &writer, options.force, &room)
                        .map_err(patching::refuse_apply)?;
                apply.complain(call)?;
                applied
            }
            (Patch::Change(change), Some(current)) => patching::change(server, call, row, current, change)?,
            _ => return Err(Refusal::not_found(read::about(row, &name))),
        };
        // What a patch may not say at all: another name or namespace.
        if current.is_none() {
            precondition::require_no_uid(row, &name, text(&object, "uid"))?;
        }
        place_in_namespace(&mut object, row, &call.asked.namespace)?;
        precondition::require_name(&object, &name)?;
        let done = match (entry, current) {
            (Some(entry), Some(current)) => {
                if matches!(patch, Patch::Change(_)) {
                    decode::fill_in(server, row, part, &mut object)?;
                    managed::track_update(&server.tables, row, &current, &mut object, &options.writer());
                }
                let target = Target { row, stored_row, entry: &entry, part, dry_run: options.dry_run };
                let replaced = replace(server, call, &target, current, object).await;
                answer(server, call, row, replaced)
            }
            _ => create_named(server, call, row, object, options.dry_run).await,
        };
        match done {
            Ok(response) => return Ok(response),
            Err(Lost::Race) => {}
            Err(Lost::Refused(refusal)) => return Err(refusal),
        }
    }
    Err(Refusal::modified(read::about(row, &name)))
}

/// What became of an update.
pub enum Replaced {
    /// The object as it is now, in the storage version.
    Written(Value),
    /// Nothing changed; the entry is what it was.
    Same(Entry),
}

fn answer(server: &Server, call: &Call, row: &Row, replaced: Result<Replaced, Lost>) -> Result<Response, Lost> {
    Ok(match replaced? {
        Replaced::Written(object) => respond::object(server, call, row, 200, object)?,
        Replaced::Same(entry) => respond::entry(server, call, row, 200, &entry)?,
    })
}

/// What is changed: one entry, as it was read.
pub struct Target<'a> {
    /// In the version of the request.
    pub row: &'a Arc<Row>,
    /// In the version that is stored.
    pub stored_row: &'a Arc<Row>,
    pub entry: &'a Entry,
    pub part: Part<'a>,
    pub dry_run: bool,
}

/// The stages of a change behind decoding, patching and tracking. `current` is the entry, and `object` what it shall become, defaulted;
/// both in the version of the request.
pub async fn replace(
    server: &Arc<Server>,
    call: &mut Call,
    target: &Target<'_>,
    current: Value,
    object: Value,
) -> Result<Replaced, Lost> {
    let Target { row, stored_row, entry, part, dry_run } = *target;
    let old = if row.gvk == stored_row.gvk { current } else { respond::tree(server, stored_row, entry)? };
    let mut object = to_stored(server, row, stored_row, object);
    let name = text(&old, "name").to_owned();
    let subresource = match part {
        Part::Main => "",
        Part::Status => "status",
        Part::Sub(name) => name,
    };
    let asked = Attributes { operation: Operation::Update, row: stored_row, subresource, old: Some(&old) };
    admission::mutate(server, call, &asked, &mut object).await?;
    drop_twin_owners(call, &mut object, AFTER_ADMISSION);
    let unconditional = irori_rules::strategy(stored_row).unconditional_update;
    precondition::require_revision(row, unconditional, entry, &mut object)?;
    irori_rules::prepare_update(&server.tables, stored_row, &mut object, &old, part, &now(server));
    let errors = irori_rules::validate_update(stored_row, row, &object, &old, part);
    if !errors.is_empty() {
        return Err(Refusal::invalid(kind_about(row, &name), &errors).into());
    }
    let warnings = match part {
        Part::Main => irori_rules::warnings(stored_row, &object, Some(&old)),
        Part::Status => irori_rules::status_warnings(stored_row, &object),
        Part::Sub(_) => Vec::new(),
    };
    warnings.into_iter().for_each(|text| call.warn(text));
    admission::validate(server, call, &asked, &object).await?;
    managed::keep_times(&old, &mut object);
    if stored::encode(&object, &stored_row.gvk) == entry.value {
        return Ok(Replaced::Same(entry.clone()));
    }
    // The last finalizer of an object that is being deleted: the update is its end.
    if commit::is_over(stored_row, &object) {
        commit::delete(server, stored_row, entry, &object, dry_run).await?;
        return Ok(Replaced::Written(object));
    }
    commit::update(server, stored_row, entry, &old, &mut object, dry_run).await?;
    Ok(Replaced::Written(object))
}

const AFTER_ADMISSION: &str = " after mutating admission happens";

/// An owner that is told twice is kept once, with a warning.
fn drop_twin_owners(call: &mut Call, object: &mut Value, when: &str) {
    let gone = irori_rules::drop_twin_owners(object);
    if !gone.is_empty() {
        call.warn(format!(
            ".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}",
            gone.join(", ")
        ));
    }
}

/// From the version of the request to the one that is stored.
fn to_stored(server: &Server, row: &Row, stored_row: &Row, object: Value) -> Value {
    if row.gvk == stored_row.gvk {
        return object;
    }
    let mut object = irori_rules::convert(object, &stored_row.gvk);
    irori_rules::default_object(&server.tables, stored_row, &mut object);
    object
}

/// `metadata.FIELD` as text.
pub fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    irori_rules::tree::text(object, &["metadata", field])
}

/// Now, as metadata has it.
pub fn now(server: &Server) -> String {
    server.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// For Invalid: it names the kind.
pub fn kind_about<'a>(row: &'a Row, name: &'a str) -> About<'a> {
    About { group: read::error_group(row), resource: &row.gvk.kind, name }
}

/// The object's namespace must be the path's, or be left out.
pub fn place_in_namespace(object: &mut Value, row: &Row, namespace: &str) -> Answered<()> {
    if !object.get("metadata").is_some_and(Value::is_object) {
        object["metadata"] = serde_json::Map::new().into();
    }
    let own = text(object, "namespace");
    if !row.namespaced {
        return Ok(());
    }
    if namespace.is_empty() {
        return Err(Refusal::bad_request("an empty namespace may not be set during creation"));
    }
    if own.is_empty() {
        object["metadata"]["namespace"] = namespace.into();
    } else if own != namespace {
        return Err(other_namespace());
    }
    Ok(())
}

/// Of a body that is meant for another namespace than its path.
pub fn other_namespace() -> Refusal {
    Refusal::bad_request("the namespace of the provided object does not match the namespace sent on the request")
}

/// Random letters of the stock alphabet.
pub fn random_letters(count: usize) -> String {
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let random = uuid::Uuid::new_v4();
    // Bytes 6 and 8 carry the version of the uuid and are skipped.
    let free = random.as_bytes().iter().enumerate().filter(|(i, _)| !matches!(i, 6 | 8)).map(|(_, b)| *b);
    free.take(count).map(|b| char::from(ALPHABET[usize::from(b) % ALPHABET.len()])).collect()
}

/// Kinds that would change how the API itself works, and are not built yet: they are held to their rules, and not stored.
fn refuse_kind(server: &Server, row: &Row) -> Answered<()> {
    if server.settings.store_unenforced {
        return Ok(());
    }
    match (row.gvk.group.as_str(), row.gvk.kind.as_str()) {
        ("apiextensions.k8s.io", "CustomResourceDefinition") => Err(Refusal::not_implemented("CustomResourceDefinition")),
        ("admissionregistration.k8s.io", kind) => Err(Refusal::not_implemented(kind)),
        ("apiregistration.k8s.io", "APIService") => Err(Refusal::not_implemented("APIService")),
        _ => Ok(()),
    }
}

/// Says so where nothing acts on a kind here.
fn warn_without_controller(server: &Server, call: &mut Call, row: &Row) {
    let (group, kind) = (&row.gvk.group, &row.gvk.kind);
    if server.settings.without_controller.iter().any(|(g, k)| g == group && k == kind) {
        call.warn(format!("{kind} is stored, but this server has no controller for it yet: nothing will act on it"));
    }
}
