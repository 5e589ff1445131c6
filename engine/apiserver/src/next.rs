//! Continue tokens: where the next page of a list goes on. Their form is upstream's, so that a client may go from one server to another.
use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{GeneralPurpose, GeneralPurposeConfig, general_purpose::NO_PAD},
};
use irori_api::codec::{Limits, json};
use serde_json::{Value, json};

use crate::refusal::{Answered, Refusal};

/// Go's RawURLEncoding: bits that are left over do not matter.
const BASE64: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, FORGIVING);
const FORGIVING: GeneralPurposeConfig = NO_PAD.with_decode_allow_trailing_bits(true);
const VERSION: &str = "meta.k8s.io/v1";

/// Where the next page goes on.
#[derive(Debug, PartialEq, Eq)]
pub struct Next {
    /// -1: whatever is newest then.
    pub revision: i64,
    /// Relative to the prefix of the list.
    pub after: String,
}

impl Next {
    pub fn encode(&self) -> String {
        BASE64.encode(json!({"v": VERSION, "rv": self.revision, "start": format!("{}\0", self.after)}).to_string())
    }

    pub fn decode(token: &str) -> Answered<Self> {
        Self::read(token).map_err(|why| Refusal::bad_request(format!("invalid continue token: continue key is not valid: {why}")))
    }

    fn read(token: &str) -> Result<Self, String> {
        let bytes = BASE64.decode(token).map_err(|_| not_base64(token))?;
        let value = json::read(&bytes, &Limits::default()).map_err(|source| source.to_string())?.value;
        let version = text(&value, "v")?;
        if version != VERSION {
            return Err(format!("server does not recognize this encoded version {version}"));
        }
        let revision = match &value["rv"] {
            Value::Null => 0,
            number => number.as_i64().ok_or_else(|| mistyped(number, "rv", "int64"))?,
        };
        if revision == 0 {
            return Err(format!("incorrect encoded start resourceVersion (version {VERSION})"));
        }
        let start = text(&value, "start")?;
        if start.is_empty() {
            return Err(format!("encoded start key empty (version {VERSION})"));
        }
        // It may not lead out of the list, nor be spelled in two ways.
        let steps = start.strip_prefix('/').unwrap_or(start);
        if steps.split('/').any(|step| matches!(step, "" | "." | "..")) {
            return Err(start.to_owned());
        }
        Ok(Self { revision, after: steps.trim_end_matches('\0').to_owned() })
    }
}

fn text<'a>(token: &'a Value, field: &str) -> Result<&'a str, String> {
    match &token[field] {
        Value::Null => Ok(""),
        Value::String(text) => Ok(text),
        other => Err(mistyped(other, field, "string")),
    }
}

/// Go's words for a value of another type.
fn mistyped(value: &Value, field: &str, wanted: &str) -> String {
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(number) if wanted == "int64" => &format!("number {number}"),
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    format!("json: cannot unmarshal {is} into Go struct field continueToken.{field} of type {wanted}")
}

/// Go's words for what is no base64: the first byte that is none, else the one that is left over.
fn not_base64(token: &str) -> String {
    let strange = token.bytes().position(|b| !b.is_ascii_alphanumeric() && !matches!(b, b'-' | b'_'));
    format!("illegal base64 data at input byte {}", strange.unwrap_or(token.len().saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_continue_token_says_what_it_was_made_of() {
        let next = Next { revision: 7, after: "default/web".to_owned() };
        assert_eq!(Next::decode(&next.encode()).ok(), Some(next));
    }

    #[test]
    fn a_broken_continue_token_is_refused_in_the_stock_words() {
        let of = |json: &str| BASE64.encode(json);
        let cases = [
            ("!!!".to_owned(), "illegal base64 data at input byte 0"),
            ("abc=".to_owned(), "illegal base64 data at input byte 3"),
            ("abcde".to_owned(), "illegal base64 data at input byte 4"),
            ("abc".to_owned(), "invalid character 'i' looking for beginning of value"),
            (of("{}"), "server does not recognize this encoded version "),
            (of(r#"{"v":"meta.k8s.io/v2"}"#), "server does not recognize this encoded version meta.k8s.io/v2"),
            (
                of(r#"{"v":"meta.k8s.io/v1","rv":"1"}"#),
                "json: cannot unmarshal string into Go struct field continueToken.rv of type int64",
            ),
            (of(r#"{"v":"meta.k8s.io/v1","start":"u"}"#), "incorrect encoded start resourceVersion (version meta.k8s.io/v1)"),
            (of(r#"{"v":"meta.k8s.io/v1","rv":1,"start":""}"#), "encoded start key empty (version meta.k8s.io/v1)"),
            (of(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"../../x"}"#), "../../x"),
            (of(r#"{"v":"meta.k8s.io/v1","rv":1,"start":"//x"}"#), "//x"),
        ];
        for (token, why) in cases {
            let refusal = Next::decode(&token).expect_err(why);
            assert_eq!(
                (refusal.code, &*refusal.message),
                (400, &*format!("invalid continue token: continue key is not valid: {why}"))
            );
        }
    }
}
