//! Reading JSON as Go does, with limits and a list of repeated keys.
//!
//! A parser of our own, because the body comes from the network: depth and cost are bounded, repeated keys are found in the same pass,
//! broken UTF-8 and lone surrogates become U+FFFD as in Go, and errors say what a stock server says.
use serde_json::{Map, Number, Value, map::Entry};

use super::{Budget, CodecError, DUPLICATES_MAX, Limits, Read, SCALAR_COST, TREE_COST};

/// Reads one value that fills the whole body.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Read, CodecError> {
    let mut parser =
        Parser { bytes, at: 0, depth: 0, limits, budget: Budget::new(limits), path: Vec::new(), duplicates: Vec::new() };
    parser.blanks();
    let value = parser.value()?;
    parser.blanks();
    match parser.peek() {
        Some(_) => Err(parser.wrong("after top-level value")),
        None => Ok(Read { value, duplicates: parser.duplicates }),
    }
}

/// Writes a tree; what a tree holds can always be written.
pub fn write(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    serde_json::to_writer(&mut out, value).expect("a tree has text keys and is written to memory");
    out
}

/// Bytes that `write` makes of a tree at least: exact but for escapes and long numbers, and cheaper.
pub fn least_bytes(value: &Value) -> usize {
    // Brackets and the commas between.
    let list = |count: usize| 2 + count.saturating_sub(1);
    match value {
        Value::String(text) => text.len() + 2,
        Value::Array(items) => list(items.len()) + items.iter().map(least_bytes).sum::<usize>(),
        Value::Object(fields) => {
            list(fields.len()) + fields.iter().map(|(name, value)| name.len() + 3 + least_bytes(value)).sum::<usize>()
        }
        Value::Number(_) => 1,
        Value::Bool(_) | Value::Null => 4,
    }
}

/// Of a repeated key's path; the rest is left out.
const PATH_BYTES_MAX: usize = 1024;

enum Step {
    Key(String),
    Index(usize),
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    limits: &'a Limits,
    budget: Budget,
    path: Vec<Step>,
    duplicates: Vec<String>,
}

impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// The error of Go's scanner about the byte at hand.
    fn wrong(&self, context: &str) -> CodecError {
        CodecError::Syntax(match self.peek() {
            None => "unexpected end of JSON input".into(),
            Some(b'\'') => format!("invalid character '\\'' {context}"),
            Some(b'"') => format!("invalid character '\"' {context}"),
            Some(byte) => {
                let shown = crate::status::quoted(&char::from(byte).to_string());
                format!("invalid character '{}' {context}", shown.trim_matches('"'))
            }
        })
    }

    fn value(&mut self) -> Result<Value, CodecError> {
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::list),
            other => {
                self.budget.take(SCALAR_COST)?;
                match other {
                    Some(b'"') => Ok(Value::String(self.string()?)),
                    Some(b't') => self.literal("true", Value::Bool(true)),
                    Some(b'f') => self.literal("false", Value::Bool(false)),
                    Some(b'n') => self.literal("null", Value::Null),
                    Some(b'-' | b'0'..=b'9') => self.number(),
                    _ => Err(self.wrong("looking for beginning of value")),
                }
            }
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value, CodecError>) -> Result<Value, CodecError> {
        if self.depth == self.limits.depth_max {
            return Err(CodecError::TooDeep(self.limits.depth_max));
        }
        self.budget.take(TREE_COST)?;
        self.depth += 1;
        self.at += 1;
        self.blanks();
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn object(&mut self) -> Result<Value, CodecError> {
        let mut fields = Map::new();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(fields));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.wrong("looking for beginning of object key string"));
            }
            let key = self.string()?;
            self.blanks();
            if self.peek() != Some(b':') {
                return Err(self.wrong("after object key"));
            }
            self.at += 1;
            self.blanks();
            self.path.push(Step::Key(key));
            let value = self.value()?;
            if let Some(Step::Key(key)) = self.path.pop() {
                match fields.entry(key) {
                    Entry::Vacant(free) => drop(free.insert(value)),
                    Entry::Occupied(mut taken) => {
                        taken.insert(value);
                        self.repeated(taken.key());
                    }
                }
            }
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::Object(fields));
                }
                _ => return Err(self.wrong("after object key:value pair")),
            }
            self.blanks();
        }
    }

    fn list(&mut self) -> Result<Value, CodecError> {
        let mut items = Vec::new();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(items));
        }
        loop {
            self.path.push(Step::Index(items.len()));
            items.push(self.value()?);
            self.path.pop();
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Value::Array(items));
                }
                _ => return Err(self.wrong("after array element")),
            }
            self.blanks();
        }
    }

    /// Notes that a key of the object at hand stands there again.
    fn repeated(&mut self, key: &str) {
        if self.duplicates.len() == DUPLICATES_MAX {
            return;
        }
        let mut text = String::new();
        let above = self.path.iter().map(|step| match step {
            Step::Key(key) => Ok(key.as_str()),
            Step::Index(index) => Err(index),
        });
        for step in above.chain([Ok(key)]) {
            match step {
                // Keys may be as long as the body: cut, so that many repetitions cannot multiply one long path.
                Ok(key) if text.len() + key.len() > PATH_BYTES_MAX => {
                    text.push_str("...");
                    break;
                }
                Ok(key) => {
                    text.push_str(if text.is_empty() { "" } else { "." });
                    text.push_str(key);
                }
                Err(index) => text.push_str(&format!("[{index}]")),
            }
        }
        if !self.duplicates.contains(&text) {
            self.duplicates.push(text);
        }
    }

    fn literal(&mut self, word: &str, value: Value) -> Result<Value, CodecError> {
        for (index, expected) in word.char_indices() {
            if self.peek() != Some(expected as u8) {
                let word = if index == 0 { "" } else { word };
                return Err(self.wrong(&format!("in literal {word} (expecting '{expected}')")));
            }
            self.at += 1;
        }
        Ok(value)
    }

    fn digits(&mut self, context: &str) -> Result<(), CodecError> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.wrong(context));
        }
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Value, CodecError> {
        let start = self.at;
        let mut whole = true;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits("in numeric literal")?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            whole = false;
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            whole = false;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        let text = std::str::from_utf8(&self.bytes[start..self.at]).expect("a number is ASCII");
        if whole {
            if let Ok(number) = text.parse::<i64>() {
                return Ok(number.into());
            }
            if let Ok(number) = text.parse::<u64>() {
                return Ok(number.into());
            }
        }
        let number = text.parse().ok().and_then(Number::from_f64);
        number
            .map(Value::Number)
            .ok_or_else(|| CodecError::Syntax(format!("json: cannot unmarshal number {text} into Go value of type float64")))
    }

    fn string(&mut self) -> Result<String, CodecError> {
        self.at += 1;
        let start = self.at;
        let rest = &self.bytes[start..];
        let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len());
        self.at += plain;
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                let text = &rest[..plain];
                Ok(match std::str::from_utf8(text) {
                    Ok(text) => text.to_owned(),
                    Err(_) => String::from_utf8_lossy(text).into_owned(),
                })
            }
            Some(b'\\') => self.escaped(start),
            Some(_) => Err(self.wrong("in string literal")),
            None => Err(self.wrong("")),
        }
    }

    /// Goes on at the first escape.
    fn escaped(&mut self, start: usize) -> Result<String, CodecError> {
        let mut out = self.bytes[start..self.at].to_vec();
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'"' => {
                    return Ok(
                        String::from_utf8(out).unwrap_or_else(|wrong| String::from_utf8_lossy(wrong.as_bytes()).into_owned())
                    );
                }
                b'\\' => {
                    let plain = match self.peek() {
                        Some(c @ (b'"' | b'\\' | b'/')) => c,
                        Some(b'b') => 0x8,
                        Some(b'f') => 0xc,
                        Some(b'n') => b'\n',
                        Some(b'r') => b'\r',
                        Some(b't') => b'\t',
                        Some(b'u') => {
                            self.at += 1;
                            let c = self.unicode()?;
                            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                            continue;
                        }
                        _ => return Err(self.wrong("in string escape code")),
                    };
                    out.push(plain);
                    self.at += 1;
                }
                0..0x20 => {
                    self.at -= 1;
                    return Err(self.wrong("in string literal"));
                }
                byte => out.push(byte),
            }
        }
        Err(self.wrong(""))
    }

    fn hex(&mut self) -> Result<u32, CodecError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.wrong("in \\u hexadecimal character escape"))?;
            self.at += 1;
        }
        Ok(code)
    }

    fn unicode(&mut self) -> Result<char, CodecError> {
        let code = self.hex()?;
        if (0xd800..0xdc00).contains(&code) && self.bytes[self.at..].starts_with(b"\\u") {
            let back = self.at;
            self.at += 2;
            let low = self.hex()?;
            if (0xdc00..0xe000).contains(&low) {
                let code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = back;
        }
        Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
    }
}

#[cfg(test)]
mod tests;
