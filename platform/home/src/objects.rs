//! From a home to the objects that make it so. Pure.
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use crate::model::{App, Builtin, Home, Image};

/// Where the home's apps live.
pub const NAMESPACE: &str = "apps";
/// Labels of everything that comes from a home file.
pub const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "irori");
pub const HOME_LABEL: &str = "irori.dev/home";
pub const APP_LABEL: &str = "irori.dev/app";
/// The class of Ingresses that the gateway answers for.
pub const INGRESS_CLASS: &str = "irori";
/// The user of the builtin programs: nobody's.
const BUILTIN_USER: u32 = 65532;
/// Where the builtin `page` finds its files.
const PAGE_FOLDER: &str = "/site";

/// An object to be, and where it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    pub api_version: &'static str,
    pub kind: &'static str,
    pub plural: &'static str,
    pub namespace: Option<&'static str>,
    pub name: String,
    /// Whole, with apiVersion, kind and metadata.
    pub body: Value,
}

/// The image reference of a builtin program.
pub fn builtin_image_name(builtin: Builtin) -> String {
    format!("irori.dev/{}:1", builtin.name())
}

/// The builtin programs, as one static executable: `whoami`, or `page DIR`.
pub const BUILTIN_PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/builtin"));

/// Everything that the home file asks for, in the order in which it has to be made.
pub fn objects(home: &Home) -> Vec<Object> {
    let mut all = vec![namespace(home), ingress_class(home)];
    for (name, app) in &home.apps {
        all.extend(files(home, name, app));
        all.push(deployment(home, name, app));
        all.push(service(home, name));
        all.push(ingress(home, name, app));
    }
    all
}

fn labels(home: &Home, app: Option<&str>) -> Value {
    let mut labels = Map::new();
    labels.insert(MANAGED_BY.0.to_owned(), json!(MANAGED_BY.1));
    labels.insert(HOME_LABEL.to_owned(), json!(home.name));
    if let Some(app) = app {
        labels.insert(APP_LABEL.to_owned(), json!(app));
        labels.insert("app.kubernetes.io/name".to_owned(), json!(app));
    }
    Value::Object(labels)
}

fn namespace(home: &Home) -> Object {
    let mut labels = labels(home, None);
    labels["pod-security.kubernetes.io/enforce"] = json!("baseline");
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}});
    Object { api_version: "v1", kind: "Namespace", plural: "namespaces", namespace: None, name: NAMESPACE.to_owned(), body }
}

fn ingress_class(home: &Home) -> Object {
    let body = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
        "metadata": {"name": INGRESS_CLASS, "labels": labels(home, None)},
        "spec": {"controller": "irori.dev/gateway"},
    });
    let (api_version, kind, plural) = ("networking.k8s.io/v1", "IngressClass", "ingressclasses");
    Object { api_version, kind, plural, namespace: None, name: INGRESS_CLASS.to_owned(), body }
}

fn namespaced(
    home: &Home,
    app: &str,
    api_version: &'static str,
    kind: &'static str,
    plural: &'static str,
    name: String,
    rest: Value,
) -> Object {
    let mut body = json!({
        "apiVersion": api_version, "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels(home, Some(app))},
    });
    if let (Value::Object(body), Value::Object(rest)) = (&mut body, rest) {
        body.extend(rest);
    }
    Object { api_version, kind, plural, namespace: Some(NAMESPACE), name, body }
}

/// Keys of a ConfigMap may not hold `/`; the path comes back in the volume's items.
fn key(index: usize, path: &str) -> String {
    let clean: String = path.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
    format!("{index}.{}", clean.trim_start_matches(['_', '.']))
}

fn files(home: &Home, name: &str, app: &App) -> Option<Object> {
    if app.files.is_empty() {
        return None;
    }
    let (mut data, mut binary) = (Map::new(), Map::new());
    for (index, (path, content)) in app.files.iter().enumerate() {
        match std::str::from_utf8(content) {
            Ok(text) => data.insert(key(index, path), json!(text)),
            Err(_) => binary.insert(key(index, path), json!(STANDARD.encode(content))),
        };
    }
    let rest = json!({"data": data, "binaryData": binary});
    Some(namespaced(home, name, "v1", "ConfigMap", "configmaps", files_name(name), rest))
}

fn files_name(app: &str) -> String {
    format!("{app}-files")
}

fn deployment(home: &Home, name: &str, app: &App) -> Object {
    let selector = json!({APP_LABEL: name});
    let mut template = json!({
        "metadata": {"labels": labels(home, Some(name))},
        "spec": pod(name, app),
    });
    if !app.files.is_empty() {
        // A changed file is a new rollout, so that no pod serves half of a change.
        template["metadata"]["annotations"] = json!({"irori.dev/files": fingerprint(app)});
    }
    let rest = json!({"spec": {"replicas": app.replicas, "selector": {"matchLabels": selector}, "template": template}});
    namespaced(home, name, "apps/v1", "Deployment", "deployments", name.to_owned(), rest)
}

fn pod(name: &str, app: &App) -> Value {
    let mut container = json!({
        "name": name,
        "image": match &app.image {
            Image::Reference(reference) => reference.clone(),
            Image::Builtin(builtin) => builtin_image_name(*builtin),
        },
        "ports": [{"name": "http", "containerPort": app.port}],
        // Looked at often until it listens, then seldom: an idle home sleeps.
        "startupProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 1, "failureThreshold": 300},
        "readinessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 10},
        "securityContext": {"allowPrivilegeEscalation": false},
    });
    let mut spec = json!({"automountServiceAccountToken": false, "enableServiceLinks": false});
    let mut env: Vec<Value> = app.env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    if let Image::Builtin(builtin) = app.image {
        env.push(json!({"name": "PORT", "value": app.port.to_string()}));
        env.push(json!({"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}}));
        env.push(json!({"name": "POD_IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}}));
        env.push(json!({"name": "NODE_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "spec.nodeName"}}}));
        container["args"] = match builtin {
            Builtin::Whoami => json!(["whoami"]),
            Builtin::Page => json!(["page", PAGE_FOLDER]),
        };
        container["imagePullPolicy"] = json!("Never");
        container["securityContext"] = json!({
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
            "runAsNonRoot": true, "runAsUser": BUILTIN_USER, "runAsGroup": BUILTIN_USER,
            "capabilities": {"drop": ["ALL"]},
        });
    }
    if !env.is_empty() {
        container["env"] = json!(env);
    }
    let mut amounts = Map::new();
    amounts.extend(app.cpu.iter().map(|cpu| ("cpu".to_owned(), json!(cpu))));
    amounts.extend(app.memory.iter().map(|memory| ("memory".to_owned(), json!(memory))));
    if !amounts.is_empty() {
        container["resources"] = json!({"requests": amounts, "limits": amounts});
    }
    if !app.files.is_empty() {
        let items: Vec<Value> = app
            .files
            .keys()
            .enumerate()
            .map(|(i, path)| json!({"key": key(i, path), "path": path.trim_start_matches('/')}))
            .collect();
        spec["volumes"] = json!([{"name": "files", "configMap": {"name": files_name(name), "items": items}}]);
        container["volumeMounts"] = if matches!(app.image, Image::Builtin(_)) {
            json!([{"name": "files", "mountPath": PAGE_FOLDER, "readOnly": true}])
        } else {
            let mount = |path: &String| json!({"name": "files", "mountPath": path, "subPath": path.trim_start_matches('/'), "readOnly": true});
            app.files.keys().map(mount).collect()
        };
    }
    spec["containers"] = json!([container]);
    spec
}

fn service(home: &Home, name: &str) -> Object {
    let rest = json!({"spec": {
        "selector": {APP_LABEL: name},
        "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
    }});
    namespaced(home, name, "v1", "Service", "services", name.to_owned(), rest)
}

fn ingress(home: &Home, name: &str, app: &App) -> Object {
    let backend = json!({"service": {"name": name, "port": {"name": "http"}}});
    let rest = json!({"spec": {
        "ingressClassName": INGRESS_CLASS,
        "tls": [{"hosts": [app.host], "secretName": format!("{name}-tls")}],
        "rules": [{"host": app.host, "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}],
    }});
    namespaced(home, name, "networking.k8s.io/v1", "Ingress", "ingresses", name.to_owned(), rest)
}

/// A short mark of the files' content (FNV-1a; tells versions apart, guards nothing).
fn fingerprint(app: &App) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let parts = app.files.iter().flat_map(|(path, content)| [path.as_bytes(), b"\0", content, b"\0"]);
    for byte in parts.flatten() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    fn home(apps: &str) -> Home {
        let text = format!(
            "apiVersion: irori.dev/v1alpha1\nkind: Home\nmetadata: {{name: home}}\nspec: {{domain: home.arpa, apps: {{{apps}}}}}\n"
        );
        parse(&text, &|_| Ok(vec![0xff, 0xfe])).unwrap()
    }

    fn kinds(home: &Home) -> Vec<String> {
        objects(home).iter().map(|o| format!("{}/{}", o.kind, o.name)).collect()
    }

    #[test]
    fn an_app_is_a_deployment_a_service_and_an_ingress() {
        let home = home("a: {builtin: whoami}");
        assert_eq!(kinds(&home), ["Namespace/apps", "IngressClass/irori", "Deployment/a", "Service/a", "Ingress/a"]);
    }

    #[test]
    fn files_come_as_a_config_map_with_their_paths() {
        let home = home("a: {builtin: page, files: {css/x.css: body, logo.png: {from: logo.png}}}");
        let all = objects(&home);
        let map = &all.iter().find(|o| o.kind == "ConfigMap").unwrap().body;
        assert_eq!(map["data"]["0.css_x.css"], "body");
        assert_eq!(map["binaryData"]["1.logo.png"], "//4=");
        let pod = &all.iter().find(|o| o.kind == "Deployment").unwrap().body["spec"]["template"]["spec"];
        assert_eq!(pod["volumes"][0]["configMap"]["items"][0]["path"], "css/x.css");
    }

    #[test]
    fn a_changed_file_changes_the_pod_template() {
        let template = |text: &str| {
            let home = home(&format!("a: {{builtin: page, files: {{index.html: {text}}}}}"));
            objects(&home).into_iter().find(|o| o.kind == "Deployment").unwrap().body["spec"]["template"].clone()
        };
        assert_eq!(template("one"), template("one"));
        assert_ne!(template("one"), template("two"));
    }

    #[test]
    fn builtin_programs_run_as_nobody_without_privileges() {
        let home = home("a: {builtin: whoami}");
        let all = objects(&home);
        let context = &all.iter().find(|o| o.kind == "Deployment").unwrap().body["spec"]["template"]["spec"]["containers"][0]["securityContext"];
        assert_eq!(context["runAsNonRoot"], true);
        assert_eq!(context["capabilities"]["drop"][0], "ALL");
    }
}
