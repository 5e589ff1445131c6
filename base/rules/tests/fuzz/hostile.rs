//! Input made to be dear: what it costs from bytes to a stored object.
use irori_api::{
    codec::{Limits, json, yaml},
    row::{Gvk, Tables},
};
use irori_rules::{
    Birth, PatchKind, apply_patch, decode, default_object, managed,
    managed::{Writer, track_create},
    prepare_create, table_cells, validate_create,
};

/// A kind of input, that can be made of any size.
#[derive(Debug)]
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

    /// The way of a create, an apply and a patch, as far as it goes. Refusals are as good as answers.
    pub fn through(&self, tables: &Tables, bytes: &[u8]) {
        let (group, version, kind) = self.kind;
        let row = tables.kind(&Gvk::new(group, version, kind)).unwrap();
        let limits = Limits { depth_max: 100, ..Limits::default() };
        let read = if self.yaml { yaml::read(bytes, &limits) } else { json::read(bytes, &limits) };
        let Ok(read) = read else { return };
        let writer = Writer { manager: "m", subresource: "", now: "2026-01-01T00:00:00Z" };
        let mut config = read.value.clone();
        if config.is_object() {
            config["apiVersion"] = row.gvk.api_version().into();
            config["kind"] = row.gvk.kind.as_str().into();
        }
        let _applied = managed::apply(tables, row, None, &config, &writer, false);
        let Ok(decoded) = decode(tables, row, read.value) else { return };
        let mut object = decoded.object;
        default_object(tables, row, &mut object);
        track_create(tables, row, &mut object, &writer);
        let birth = Birth {
            uid: "u".into(),
            creation_timestamp: writer.now.into(),
            generated_name: String::new(),
            namespace: "n".into(),
        };
        prepare_create(tables, row, &mut object, &birth);
        let _errors = validate_create(row, row, &object);
        let _cells = table_cells(row, &object, 0);
        let _patched = apply_patch(tables, row, &object, PatchKind::Strategic, &config);
        let _again = managed::apply(tables, row, Some(&object), &config, &writer, true);
        let _bytes = json::write(&object);
    }
}
