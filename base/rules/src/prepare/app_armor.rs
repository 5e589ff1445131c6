//! AppArmor profiles that are asked for by annotation, as before v1.30: containers of a new pod get them as fields.
//!
//! Source: https://kubernetes.io/docs/tutorials/security/apparmor/.
use irori_api::field::FieldPath;
use serde_json::{Value, json};

use crate::tree::{get, items, items_mut, set, text};

/// Before the name of a container.
const ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Bytes of a profile's name.
const NAME_BYTES_MAX: usize = 4095;

/// What an annotation asks for a container that has no profile of its own.
struct Wish {
    list: &'static str,
    index: usize,
    annotation: String,
    /// `None`: no profile has such a name.
    profile: Option<Value>,
}

/// Wishes for something else than the pod's own profile.
fn wishes(pod: &Value) -> Vec<Wish> {
    let mut wishes = Vec::new();
    if text(pod, &["spec", "os", "name"]) == "windows" {
        return wishes;
    }
    let of_pod = get(pod, &["spec", "securityContext", "appArmorProfile"]);
    for list in ["initContainers", "containers"] {
        for (index, container) in items(pod, &["spec", list]).iter().enumerate() {
            let annotation = format!("{ANNOTATION}{}", text(container, &["name"]));
            let Some(asked) = get(pod, &["metadata", "annotations", &annotation]).and_then(Value::as_str) else { continue };
            let profile = profile(asked);
            let has_own = get(container, &["securityContext", "appArmorProfile"]).is_some();
            if !has_own && (profile.is_none() || profile.as_ref() != of_pod) {
                wishes.push(Wish { list, index, annotation, profile });
            }
        }
    }
    wishes
}

/// The field that says the same as an annotation.
fn profile(asked: &str) -> Option<Value> {
    match asked {
        "unconfined" => Some(json!({"type": "Unconfined"})),
        "runtime/default" => Some(json!({"type": "RuntimeDefault"})),
        _ => {
            let name = asked.strip_prefix("localhost/")?;
            let fits = !name.is_empty() && name.trim() == name && name.len() <= NAME_BYTES_MAX;
            fits.then(|| json!({"type": "Localhost", "localhostProfile": name}))
        }
    }
}

/// Gives the containers of a new pod what their annotations ask for.
pub fn fulfil(pod: &mut Value) {
    for Wish { list, index, profile, .. } in wishes(pod) {
        if let (Some(container), Some(profile)) = (items_mut(pod, &["spec", list]).get_mut(index), profile) {
            set(container, &["securityContext", "appArmorProfile"], profile);
        }
    }
}

/// What there is to say of it, before it is done.
pub fn warnings(pod: &Value) -> Vec<String> {
    let at = FieldPath::new("metadata").child("annotations");
    let told =
        |wish: Wish| format!("{}: deprecated since v1.30; use the \"appArmorProfile\" field instead", at.key(&wish.annotation));
    wishes(pod).into_iter().map(told).collect()
}
