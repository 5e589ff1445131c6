//! Files of one volume that would lie at the same path, or one below the other.
use hashbrown::{HashMap, HashSet};

use irori_api::status::quoted;
use serde_json::Value;

use super::COMPARED_MAX;
use crate::tree::{get, items, map, text};

/// What there is to say of the volumes of a pod.
pub fn overlaps(volumes: &[Value], told: &mut Vec<String>) {
    for volume in volumes {
        let name = quoted(text(volume, &["name"]));
        for kind in ["configMap", "secret", "downwardAPI"] {
            if let Some(source) = get(volume, &[kind]) {
                let whose = if kind == "secret" { text(source, &["secretName"]) } else { text(source, &["name"]) };
                within(&paths(source), &format!("volume {name} ({})", shown(kind, whose)), told);
            }
        }
        projected(items(volume, &["projected", "sources"]), &name, told);
    }
}

fn projected(sources: &[Value], name: &str, told: &mut Vec<String>) {
    let (mut all, mut compared) = (HashSet::new(), 0);
    for source in sources {
        let Some((kind, inner)) = map(source, &[]).into_iter().flatten().find(|(_, inner)| !inner.is_null()) else {
            told.push(format!("volume {name} (Projected) has no sources provided"));
            continue;
        };
        let own = if kind == "serviceAccountToken" { vec![text(inner, &["path"])] } else { paths(inner) };
        let message = format!("volume {name} (Projected {})", shown(kind, text(inner, &["name"])));
        within(&own, &message, told);
        all.extend(own);
        compared += all.len();
        if compared > COMPARED_MAX {
            return;
        }
        let mut sorted: Vec<&str> = all.iter().copied().collect();
        sorted.sort_unstable();
        within(&sorted, &message, told);
    }
}

/// A source as messages name it.
fn shown(kind: &str, name: &str) -> String {
    match kind {
        "configMap" => format!("ConfigMap {}", quoted(name)),
        "secret" => format!("Secret {}", quoted(name)),
        "downwardAPI" => "DownwardAPI".into(),
        "clusterTrustBundle" => format!("ClusterTrustBundle {}", quoted(name)),
        _ => "ServiceAccountToken".into(),
    }
}

fn paths(source: &Value) -> Vec<&str> {
    items(source, &["items"]).iter().map(|item| text(item, &["path"])).collect()
}

/// A folder or file among paths.
#[derive(Default)]
struct Node<'a> {
    /// The path that ends here.
    file: Option<&'a str>,
    /// A path that leads through here.
    below: Option<&'a str>,
}

/// Each path that meets one before it.
fn within(paths: &[&str], message: &str, told: &mut Vec<String>) {
    let (mut nodes, mut steps) = (vec![Node::default()], HashMap::new());
    for path in paths.iter().map(|path| path.trim_end_matches('/')).filter(|path| !path.is_empty()) {
        let (mut at, mut met, mut way) = (0, None, Vec::new());
        for step in path.split('/') {
            way.push(at);
            at = *steps.entry((at, step)).or_insert_with(|| {
                nodes.push(Node::default());
                nodes.len() - 1
            });
            met = met.or(nodes[at].file);
        }
        if let Some(other) = met.or(nodes[at].below) {
            told.push(format!("{message}: overlapping paths: {} with {}", quoted(path), quoted(other)));
        }
        nodes[at].file = Some(path);
        way.into_iter().for_each(|at| nodes[at].below = Some(path));
    }
}
