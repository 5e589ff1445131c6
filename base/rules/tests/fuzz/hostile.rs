//! Input made to be dear: what it costs as each request that takes it, from bytes to bytes.
use irori_api::{
    codec::{Limits, json, yaml},
    row::{Gvk, Row, Tables},
};
use irori_rules::{
    Birth, Part, PatchKind, Room, apply_patch, decode, default_within,
    managed::{self, Writer, keep_times, track_create, track_update},
    prepare_create, prepare_update, table_cells, validate_create, validate_update,
};
use serde_json::{Value, json};

/// What is asked with it.
#[derive(Clone, Copy, Debug)]
pub enum Request {
    Create,
    /// Nothing is there yet.
    Apply,
    /// Applied before by the same, and now less of it.
    Reapply,
    /// Somebody else made it.
    Takeover,
    Patch(PatchKind),
}

pub const REQUESTS: [Request; 6] = [
    Request::Create,
    Request::Apply,
    Request::Reapply,
    Request::Takeover,
    Request::Patch(PatchKind::Merge),
    Request::Patch(PatchKind::Strategic),
];

/// Of the API: what is larger is refused while its defaults are filled in.
const ROOM: Room<'static> = Room {
    bytes_max: 4 << 20,
    grown_max: 1_572_864,
    counts: &|name| !matches!(name, "apiVersion" | "kind" | "metadata" | "status"),
};

const WRITER: Writer<'_> = Writer { manager: "m", subresource: "", now: "2026-01-01T00:00:00Z" };

/// A kind of input, that can be made of any size.
pub struct Hostile {
    pub name: &'static str,
    kind: (&'static str, &'static str, &'static str),
    /// What is repeated until the size is reached, with a number in place of `#`.
    parts: (&'static str, &'static str, &'static str),
    yaml: bool,
}

const POD: (&str, &str, &str) = ("", "v1", "Pod");
const MAP: (&str, &str, &str) = ("", "v1", "ConfigMap");
const DEPLOYMENT: (&str, &str, &str) = ("apps", "v1", "Deployment");

/// Every one of them.
pub fn all() -> Vec<Hostile> {
    let json = |name, kind, parts| Hostile { name, kind, parts, yaml: false };
    let yaml = |name, kind, parts| Hostile { name, kind, parts, yaml: true };
    vec![
        json("keys of a map", MAP, (r#"{"metadata":{"name":"m"},"data":{"#, r##""k#":"v","##, r#""z":""}}"#)),
        json("one long text", MAP, (r#"{"metadata":{"name":"m"},"data":{"k":""#, "xxxxxxxxxxxxxxxx", r#""}}"#)),
        json("escapes", MAP, (r#"{"metadata":{"name":"m"},"data":{"k":""#, r"\u00e9\n", r#""}}"#)),
        json("repeated keys", MAP, (r#"{"metadata":{"name":"m"},"data":{"#, r#""k":"v","#, r#""z":""}}"#)),
        json("unknown fields", MAP, (r#"{"metadata":{"name":"m"},"#, r##""u#":1,"##, r#""z":1}"#)),
        json("annotations", MAP, (r#"{"metadata":{"name":"m","annotations":{"#, r##""a/k#":"v","##, r#""z":""}}}"#)),
        json("finalizers", MAP, (r#"{"metadata":{"name":"m","finalizers":["#, r##""a.b/f#","##, r#""a.b/z"]}}"#)),
        json(
            "owners",
            MAP,
            (
                r#"{"metadata":{"name":"m","ownerReferences":["#,
                r##"{"apiVersion":"v1","kind":"K","name":"n#","uid":"u#"},"##,
                r#"{"apiVersion":"v1","kind":"K","name":"z","uid":"z"}]}}"#,
            ),
        ),
        json(
            "containers",
            POD,
            (
                r#"{"metadata":{"name":"p"},"spec":{"containers":["#,
                r##"{"name":"c#","image":"i"},"##,
                r#"{"name":"z","image":"i"}]}}"#,
            ),
        ),
        json(
            "containers of one name",
            POD,
            (
                r#"{"metadata":{"name":"p"},"spec":{"containers":["#,
                r#"{"name":"c","image":"i"},"#,
                r#"{"name":"z","image":"i"}]}}"#,
            ),
        ),
        json(
            "environment that names itself",
            POD,
            (
                r#"{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i","env":["#,
                r##"{"name":"V#","value":"$(V#)"},"##,
                r#"{"name":"z"}]}]}}"#,
            ),
        ),
        json(
            "ports",
            POD,
            (
                r#"{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i","ports":["#,
                r##"{"containerPort":80,"name":"p#"},"##,
                r#"{"containerPort":1}]}]}}"#,
            ),
        ),
        json(
            "volumes and their mounts",
            POD,
            (
                r#"{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}],"volumes":["#,
                r##"{"name":"v#","emptyDir":{}},"##,
                r#"{"name":"z"}]}}"#,
            ),
        ),
        json(
            "tolerations",
            POD,
            (
                r#"{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}],"tolerations":["#,
                r##"{"key":"k#","operator":"Exists"},"##,
                r#"{"operator":"Exists"}]}}"#,
            ),
        ),
        json(
            "spread constraints",
            POD,
            (
                r#"{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}],"topologySpreadConstraints":["#,
                r##"{"maxSkew":1,"topologyKey":"k#","whenUnsatisfiable":"DoNotSchedule"},"##,
                r#"{"maxSkew":1,"topologyKey":"z","whenUnsatisfiable":"DoNotSchedule"}]}}"#,
            ),
        ),
        json(
            "host aliases",
            POD,
            (
                r#"{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}],"hostAliases":["#,
                r##"{"ip":"10.0.0.1","hostnames":["h#"]},"##,
                r#"{"ip":"10.0.0.2"}]}}"#,
            ),
        ),
        json(
            "resources",
            POD,
            (
                r#"{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i","resources":{"limits":{"#,
                r##""example.com/r#":"1","##,
                r#""cpu":"1"}}}]}}"#,
            ),
        ),
        json(
            "a quantity of many digits",
            POD,
            (
                r#"{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i","resources":{"limits":{"cpu":""#,
                "9999999999999999",
                r#""}}}]}}"#,
            ),
        ),
        json(
            "selector terms",
            DEPLOYMENT,
            (
                r#"{"metadata":{"name":"d"},"spec":{"selector":{"matchExpressions":["#,
                r##"{"key":"k#","operator":"In","values":["v"]},"##,
                r#"{"key":"z","operator":"Exists"}]},"template":{}}}"#,
            ),
        ),
        json(
            "mounts",
            POD,
            (
                r#"{"metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i","volumeMounts":["#,
                r##"{"name":"v#","mountPath":"/#"},"##,
                r#"{"name":"z","mountPath":"/"}]}]}}"#,
            ),
        ),
        json(
            "ports of a service",
            ("", "v1", "Service"),
            (
                r#"{"metadata":{"name":"s"},"spec":{"type":"NodePort","ports":["#,
                r##"{"name":"p#","port":80,"nodePort":#},"##,
                r#"{"port":1}]}}"#,
            ),
        ),
        json(
            "scopes of a quota",
            ("", "v1", "ResourceQuota"),
            (r#"{"metadata":{"name":"q"},"spec":{"hard":{},"scopes":["#, r##""s#","##, r#""z"]}}"#),
        ),
        json(
            "topology keys",
            ("storage.k8s.io", "v1", "CSINode"),
            (
                r#"{"metadata":{"name":"n"},"spec":{"drivers":[{"name":"d","nodeID":"n","topologyKeys":["#,
                r##""-#","##,
                r#""z"]}]}}"#,
            ),
        ),
        json(
            "webhooks",
            ("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration"),
            (r#"{"metadata":{"name":"w"},"webhooks":["#, r##"{"name":"a.b.c#"},"##, r#"{"name":"z"}]}"#),
        ),
        json(
            "variables of a policy",
            ("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy"),
            (
                r#"{"metadata":{"name":"p"},"spec":{"validations":[{"expression":"v"}],"variables":["#,
                r##"{"name":"v#","expression":"v"},"##,
                r#"{"name":"z","expression":"true"}]}}"#,
            ),
        ),
        json(
            "devices of a slice",
            ("resource.k8s.io", "v1", "ResourceSlice"),
            (
                r#"{"metadata":{"name":"s"},"spec":{"driver":"d","nodeName":"n","pool":{"name":"p","resourceSliceCount":1},"devices":["#,
                r##"{"name":"d#","taints":[{"key":"k","effect":"NoSchedule"}]},"##,
                r#"{"name":"z"}]}}"#,
            ),
        ),
        json("numbers", MAP, (r#"{"metadata":{"name":"m"},"data":["#, "1234567890.5e-3,", "1]}")),
        json("nesting", MAP, (r#"{"metadata":{"name":"m"},"data":["#, "[[[[[[[[", "")),
        yaml("yaml keys", MAP, ("metadata: {name: m}\ndata:\n", "  k#: v\n", "")),
        yaml("yaml aliases", MAP, ("metadata: {name: m}\nx: &a [a, a, a, a, a, a, a, a]\ny:\n", "  - *a\n", "")),
        yaml("yaml flow", MAP, ("metadata: {name: m}\ndata: [", "[[[[[[[[", "")),
    ]
}

impl Hostile {
    pub fn of_size(&self, bytes: usize) -> Vec<u8> {
        let (head, part, tail) = self.parts;
        let mut out = String::with_capacity(bytes + 64);
        out.push_str(head);
        let mut i = 0_u32;
        while out.len() + tail.len() < bytes {
            out.push_str(&part.replace('#', &i.to_string()));
            i += 1;
        }
        out.push_str(tail);
        out.into_bytes()
    }

    /// What the hostile body is sent to: an object as large, where it is accepted as one; else the least of its kind.
    pub fn stored(&self, tables: &Tables, request: Request, bytes: &[u8]) -> Value {
        let row = self.row(tables);
        let made = self.read(tables, bytes).and_then(|body| match request {
            Request::Reapply => {
                managed::apply(tables, row, None, &body, &WRITER, false, &ROOM).ok().and_then(|o| born(tables, row, o))
            }
            _ => create(tables, row, body),
        });
        let least = || self.read(tables, &self.of_size(0)).and_then(|body| create(tables, row, body));
        made.filter(|object| json::write(object).len() <= ROOM.bytes_max)
            .or_else(least)
            .unwrap_or_else(|| json!({"metadata": {"name": "m", "namespace": "n", "uid": "u"}}))
    }

    /// One request, from bytes to bytes. Refusals are as good as answers.
    pub fn answer(&self, tables: &Tables, request: Request, stored: &Value, bytes: &[u8]) {
        let row = self.row(tables);
        let Some(body) = self.read(tables, bytes) else { return };
        let changed = match request {
            Request::Create => create(tables, row, body),
            Request::Apply => {
                let made = managed::apply(tables, row, None, &body, &WRITER, false, &ROOM).ok();
                made.and_then(|object| born(tables, row, object))
            }
            Request::Reapply | Request::Takeover => {
                let made = managed::apply(tables, row, Some(stored), &body, &WRITER, true, &ROOM).ok();
                made.and_then(|object| updated(tables, row, stored, object))
            }
            Request::Patch(kind) => {
                let patched = apply_patch(tables, row, stored, kind, &body).ok();
                patched.and_then(|object| filled(tables, row, object)).and_then(|mut object| {
                    track_update(tables, row, stored, &mut object, &WRITER);
                    updated(tables, row, stored, object)
                })
            }
        };
        let _bytes = changed.map(|object| json::write(&object));
    }

    fn row<'t>(&self, tables: &'t Tables) -> &'t Row {
        let (group, version, kind) = self.kind;
        tables.kind(&Gvk::new(group, version, kind)).unwrap()
    }

    fn read(&self, tables: &Tables, bytes: &[u8]) -> Option<Value> {
        let (row, limits) = (self.row(tables), Limits { depth_max: 100, ..Limits::default() });
        let read = if self.yaml { yaml::read(bytes, &limits) } else { json::read(bytes, &limits) };
        let mut body = read.ok()?.value;
        if body.is_object() {
            body["apiVersion"] = row.gvk.api_version().into();
            body["kind"] = row.gvk.kind.as_str().into();
        }
        Some(body)
    }
}

/// Decoded, with its defaults, if it is not too large then.
fn filled(tables: &Tables, row: &Row, body: Value) -> Option<Value> {
    let mut object = decode(tables, row, body).ok()?.object;
    default_within(tables, row, &mut object, &ROOM).ok().map(|()| object)
}

fn create(tables: &Tables, row: &Row, body: Value) -> Option<Value> {
    let mut object = filled(tables, row, body)?;
    track_create(tables, row, &mut object, &WRITER);
    born(tables, row, object)
}

fn born(tables: &Tables, row: &Row, mut object: Value) -> Option<Value> {
    let birth =
        Birth { uid: "u".into(), creation_timestamp: WRITER.now.into(), generated_name: String::new(), namespace: "n".into() };
    prepare_create(tables, row, &mut object, &birth);
    let errors = validate_create(row, row, &object);
    let _cells = table_cells(row, &object, 0);
    errors.is_empty().then_some(object)
}

fn updated(tables: &Tables, row: &Row, stored: &Value, mut object: Value) -> Option<Value> {
    prepare_update(tables, row, &mut object, stored, Part::Main, WRITER.now);
    keep_times(stored, &mut object);
    let errors = validate_update(row, row, &object, stored, Part::Main);
    errors.is_empty().then_some(object)
}
