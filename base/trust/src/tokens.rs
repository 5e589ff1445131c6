//! The keys of service-account tokens (RFC 7519, ES256).
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rcgen::{KeyPair, PublicKeyData};
use serde_json::{Value, json};

use crate::TrustError;

/// Signs and checks tokens. Times in the claims are the caller's to judge, on our clock.
pub struct TokenKeys {
    key_id: String,
    signing: EncodingKey,
    checking: DecodingKey,
    jwk: Value,
}

impl TokenKeys {
    pub(crate) fn from_pem(pem: &str) -> Result<Self, TrustError> {
        let broken = |reason: String| TrustError::Parse { what: "service-account key", reason };
        let pair = KeyPair::from_pem(pem).map_err(|source| broken(source.to_string()))?;
        // An uncompressed P-256 point: 4, then 32 bytes of x and of y (SEC 1, 2.3.3).
        let point = pair.public_key_raw();
        let (Some(x), Some(y)) = (point.get(1..33), point.get(33..65)) else {
            return Err(broken("it is not a P-256 key".to_owned()));
        };
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &pair.subject_public_key_info());
        let key_id = URL_SAFE_NO_PAD.encode(digest.as_ref());
        Ok(Self {
            signing: EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).map_err(|source| broken(source.to_string()))?,
            checking: DecodingKey::from_ec_components(&x, &y).map_err(|source| broken(source.to_string()))?,
            jwk: json!({"use": "sig", "kty": "EC", "kid": key_id, "crv": "P-256", "alg": "ES256", "x": x, "y": y}),
            key_id,
        })
    }

    /// A compact JWT over `claims`.
    pub fn sign(&self, claims: &Value) -> Result<String, TrustError> {
        let mut header = Header::new(Algorithm::ES256);
        header.typ = None;
        header.kid = Some(self.key_id.clone());
        jsonwebtoken::encode(&header, claims, &self.signing).map_err(|source| TrustError::SignToken { source })
    }

    /// The claims of a token that we signed; `None` for anything else. Neither `exp`, `nbf` nor `aud` is looked at here.
    pub fn check(&self, token: &str) -> Option<Value> {
        let mut rules = Validation::new(Algorithm::ES256);
        rules.required_spec_claims.clear();
        rules.validate_exp = false;
        rules.validate_nbf = false;
        rules.validate_aud = false;
        jsonwebtoken::decode::<Value>(token, &self.checking, &rules).ok().map(|token| token.claims)
    }

    /// The public keys as a JWK set (RFC 7517), for `/openid/v1/jwks`.
    pub fn jwks(&self) -> Value {
        json!({"keys": [self.jwk]})
    }
}
