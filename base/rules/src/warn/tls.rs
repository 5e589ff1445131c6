//! Whether certificate and key of a Secret look like such.
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::tree::text;

/// What to say of a pair that no server could use. It looks at the PEM around both, not into them.
pub fn pair(secret: &Value) -> Option<String> {
    let blocks = |key: &str| -> Vec<String> {
        let bytes = STANDARD.decode(text(secret, &["data", key])).unwrap_or_default();
        pem_types(&String::from_utf8_lossy(&bytes))
    };
    let certificates = blocks("tls.crt");
    if certificates.is_empty() {
        return Some("tls: failed to find any PEM data in certificate input".into());
    }
    if !certificates.iter().any(|kind| kind == "CERTIFICATE") {
        let skipped = certificates.join(" ");
        if let [only] = certificates.as_slice()
            && only.ends_with("PRIVATE KEY")
        {
            return Some(
                "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched"
                    .into(),
            );
        }
        return Some(format!(
            "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following types: [{skipped}]"
        ));
    }
    let keys = blocks("tls.key");
    if keys.is_empty() {
        return Some("tls: failed to find any PEM data in key input".into());
    }
    if keys.iter().any(|kind| kind.ends_with("PRIVATE KEY")) {
        return None;
    }
    Some(match keys.as_slice() {
        [only] if only == "CERTIFICATE" => "tls: found a certificate rather than a key in the PEM for the private key".into(),
        all => format!(
            "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks of the following types: [{}]",
            all.join(" ")
        ),
    })
}

/// The types of the PEM blocks of a text.
fn pem_types(text: &str) -> Vec<String> {
    let begins = text.lines().filter_map(|line| line.trim_end().strip_prefix("-----BEGIN ")?.strip_suffix("-----"));
    begins.filter(|kind| text.contains(&format!("-----END {kind}-----"))).map(str::to_owned).collect()
}
