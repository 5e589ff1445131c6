//! Selectors: which objects a list, a watch or a controller means.
//!
//! Label selectors come as text in a query (`app in (a, b),!old,tier=web`) or as a LabelSelector object; field selectors as text only
//! (`spec.nodeName=n1,status.phase!=Failed`). Source: the Kubernetes pages "Labels and Selectors" and "Field Selectors".
use std::{collections::BTreeSet, fmt};

use serde_json::Value;

use crate::{
    field::FieldPath,
    names,
    status::{Status, quoted},
};

/// What is asked of one label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    In,
    NotIn,
    Equals,
    NotEquals,
    Exists,
    DoesNotExist,
    GreaterThan,
    LessThan,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    pub key: String,
    pub operator: Operator,
    pub values: BTreeSet<String>,
}

impl Requirement {
    /// Checks key and values; the error names the wrong part as a stock server does.
    pub fn new(key: &str, operator: Operator, values: BTreeSet<String>) -> Result<Requirement, String> {
        if let Some(why) = names::qualified_name(key).first() {
            return Err(format!("key: Invalid value: {}: {why}", quoted(key)));
        }
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                return Err("values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty".into());
            }
            Operator::GreaterThan | Operator::LessThan => {
                if let Some(wrong) = values.iter().find(|value| value.parse::<i64>().is_err()) {
                    let why = "for 'Gt', 'Lt' operators, the value must be an integer";
                    return Err(format!("values[0]: Invalid value: {}: {why}", quoted(wrong)));
                }
            }
            _ => {}
        }
        for (index, value) in values.iter().enumerate() {
            if let Some(why) = names::label_value(value).first() {
                return Err(format!("values[{index}][{key}]: Invalid value: {}: {why}", quoted(value)));
            }
        }
        Ok(Requirement { key: key.to_owned(), operator, values })
    }

    pub fn matches(&self, value: Option<&str>) -> bool {
        let number = |text: &str| text.parse::<i64>().ok();
        match (self.operator, value) {
            (Operator::Exists, value) => value.is_some(),
            (Operator::DoesNotExist, value) => value.is_none(),
            (Operator::In | Operator::Equals, value) => value.is_some_and(|value| self.values.contains(value)),
            (Operator::NotIn | Operator::NotEquals, value) => value.is_none_or(|value| !self.values.contains(value)),
            (Operator::GreaterThan | Operator::LessThan, value) => {
                let (Some(have), Some(bound)) = (value.and_then(number), self.values.first().and_then(|bound| number(bound)))
                else {
                    return false;
                };
                if self.operator == Operator::GreaterThan { have > bound } else { have < bound }
            }
        }
    }
}

/// All requirements must hold; none means everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    pub requirements: Vec<Requirement>,
    /// A selector that was absent where absence means nothing is selected.
    nothing: bool,
}

impl LabelSelector {
    pub fn everything() -> LabelSelector {
        LabelSelector::default()
    }

    pub fn nothing() -> LabelSelector {
        LabelSelector { nothing: true, ..LabelSelector::default() }
    }

    /// From a query. The error is the 400 that a stock server answers.
    pub fn parse(text: &str) -> Result<LabelSelector, Status> {
        Parser { tokens: tokens(text), at: 0 }.selector().map_err(Status::bad_request)
    }

    /// From `{app: web}`: Services and ReplicationControllers. Keys and values are taken as they are.
    pub fn from_map(labels: &Value) -> LabelSelector {
        let requirement = |(key, value): (&String, &Value)| Requirement {
            key: key.clone(),
            operator: Operator::Equals,
            values: value.as_str().map(str::to_owned).into_iter().collect(),
        };
        LabelSelector { requirements: labels.as_object().into_iter().flatten().map(requirement).collect(), nothing: false }
    }

    /// From a LabelSelector object: absent (null) selects nothing, empty everything.
    pub fn from_object(of: &Value) -> Result<LabelSelector, String> {
        if of.is_null() {
            return Ok(LabelSelector::nothing());
        }
        let mut requirements = Vec::new();
        for (key, value) in of["matchLabels"].as_object().into_iter().flatten() {
            let values = value.as_str().map(str::to_owned).into_iter().collect();
            requirements.push(Requirement::new(key, Operator::In, values)?);
        }
        for expression in of["matchExpressions"].as_array().into_iter().flatten() {
            let operator = match expression["operator"].as_str().unwrap_or_default() {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(format!("{} is not a valid label selector operator", quoted(other))),
            };
            let values = expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
            requirements.push(Requirement::new(expression["key"].as_str().unwrap_or_default(), operator, values.collect())?);
        }
        Ok(LabelSelector { requirements, nothing: false })
    }

    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// By a look-up of one label.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|requirement| requirement.matches(label(&requirement.key)))
    }

    /// By a JSON map of labels (`metadata.labels`; null is none).
    pub fn matches_labels(&self, labels: &Value) -> bool {
        self.matches(|key| labels.get(key).and_then(Value::as_str))
    }
}

/// As it is written in a query.
impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Requirement { key, operator, values }) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            let one = values.first().map_or("", String::as_str);
            let all = || values.iter().map(String::as_str).collect::<Vec<_>>().join(",");
            match operator {
                Operator::Exists => write!(f, "{key}"),
                Operator::DoesNotExist => write!(f, "!{key}"),
                Operator::Equals => write!(f, "{key}={one}"),
                Operator::NotEquals => write!(f, "{key}!={one}"),
                Operator::GreaterThan => write!(f, "{key}>{one}"),
                Operator::LessThan => write!(f, "{key}<{one}"),
                Operator::In => write!(f, "{key} in ({})", all()),
                Operator::NotIn => write!(f, "{key} notin ({})", all()),
            }?;
        }
        Ok(())
    }
}

/// Signs and words; blanks are gone.
fn tokens(text: &str) -> Vec<&str> {
    let sign = |c: char| matches!(c, '=' | '!' | '(' | ')' | ',' | '<' | '>');
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches([' ', '\t', '\r', '\n']);
    while let Some(first) = rest.chars().next() {
        let end = if rest.starts_with("==") || rest.starts_with("!=") {
            2
        } else if sign(first) {
            1
        } else {
            rest.find(|c: char| sign(c) || matches!(c, ' ' | '\t' | '\r' | '\n')).unwrap_or(rest.len())
        };
        let (token, after) = rest.split_at(end);
        tokens.push(token);
        rest = after.trim_start_matches([' ', '\t', '\r', '\n']);
    }
    tokens
}

fn is_word(token: &str) -> bool {
    !token.is_empty() && !matches!(token, "=" | "==" | "!" | "!=" | "(" | ")" | "," | "<" | ">")
}

struct Parser<'a> {
    tokens: Vec<&'a str>,
    at: usize,
}

/// The empty token is the end.
impl<'a> Parser<'a> {
    fn peek(&self) -> &'a str {
        self.tokens.get(self.at).copied().unwrap_or("")
    }

    fn next(&mut self) -> &'a str {
        let token = self.peek();
        self.at += 1;
        token
    }

    fn selector(mut self) -> Result<LabelSelector, String> {
        let mut selector = LabelSelector::everything();
        loop {
            match self.peek() {
                "" => return Ok(selector),
                token if token == "!" || is_word(token) => {
                    let requirement = self.requirement().map_err(|why| format!("unable to parse requirement: {why}"))?;
                    selector.requirements.push(requirement);
                    match self.next() {
                        "" => return Ok(selector),
                        "," if self.peek() == "!" || is_word(self.peek()) => {}
                        "," => return Err(format!("found '{}', expected: identifier after ','", self.peek())),
                        other => return Err(format!("found '{other}', expected: ',' or 'end of string'")),
                    }
                }
                other => return Err(format!("found '{other}', expected: !, identifier, or 'end of string'")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let absent = self.peek() == "!";
        if absent {
            self.next();
        }
        let key = self.next();
        if !is_word(key) {
            return Err(format!("found '{key}', expected: identifier"));
        }
        if let Some(why) = names::qualified_name(key).first() {
            // Upstream's parser has no path for the key, and says so.
            return Err(format!("{}: Invalid value: {}: {why}", FieldPath::root(), quoted(key)));
        }
        if absent {
            return Requirement::new(key, Operator::DoesNotExist, BTreeSet::new());
        }
        if matches!(self.peek(), "" | ",") {
            return Requirement::new(key, Operator::Exists, BTreeSet::new());
        }
        let operator = match self.next() {
            "in" => Operator::In,
            "notin" => Operator::NotIn,
            "=" | "==" => Operator::Equals,
            "!=" => Operator::NotEquals,
            ">" => Operator::GreaterThan,
            "<" => Operator::LessThan,
            other => return Err(format!("found '{other}', expected: in, notin, =, ==, !=, gt, lt")),
        };
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => self.value()?,
        };
        Requirement::new(key, operator, values)
    }

    fn value(&mut self) -> Result<BTreeSet<String>, String> {
        if matches!(self.peek(), "" | ",") {
            return Ok(BTreeSet::from([String::new()]));
        }
        match self.next() {
            word if is_word(word) => Ok(BTreeSet::from([word.to_owned()])),
            other => Err(format!("found '{other}', expected: identifier")),
        }
    }

    /// `(a, b)`; a missing word, also in `()`, is the empty value.
    fn values(&mut self) -> Result<BTreeSet<String>, String> {
        match self.next() {
            "(" => {}
            other => return Err(format!("found '{other}' expected: '('")),
        }
        let mut values = BTreeSet::new();
        loop {
            let word = self.peek();
            if is_word(word) {
                self.next();
                values.insert(word.to_owned());
            } else if matches!(word, "," | ")") {
                values.insert(String::new());
            } else {
                return Err(format!("found '{word}', expected: ',', or identifier"));
            }
            match self.next() {
                ")" => return Ok(values),
                "," => {}
                other => return Err(format!("found '{other}', expected: ',' or ')'")),
            }
        }
    }
}

/// One field and the value that it must or must not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRequirement {
    pub field: String,
    pub equals: bool,
    pub value: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    pub requirements: Vec<FieldRequirement>,
}

impl FieldSelector {
    /// From a query: `a=b`, `a==b`, `a!=b`, joined by commas; `\` escapes `,`, `=` and itself in values.
    pub fn parse(text: &str) -> Result<FieldSelector, Status> {
        let mut requirements = Vec::new();
        for term in terms(text).into_iter().filter(|term| !term.is_empty()) {
            let refused = || Status::bad_request(format!("invalid selector: '{text}'; can't understand '{term}'"));
            let at = term.find(['=', '!']).ok_or_else(refused)?;
            let (field, rest) = term.split_at(at);
            let (equals, value) = if let Some(value) = rest.strip_prefix("!=") {
                (false, value)
            } else if let Some(value) = rest.strip_prefix("==") {
                (true, value)
            } else {
                (true, rest.strip_prefix('=').ok_or_else(refused)?)
            };
            let value = unescaped(value).map_err(Status::bad_request)?;
            requirements.push(FieldRequirement { field: field.to_owned(), equals, value });
        }
        Ok(FieldSelector { requirements })
    }

    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// By a look-up of one field; an absent field is the empty string.
    pub fn matches<S: AsRef<str>>(&self, field: impl Fn(&str) -> S) -> bool {
        self.requirements.iter().all(|asked| (field(&asked.field).as_ref() == asked.value) == asked.equals)
    }

    /// The value that a field must have, if the selector says so: `metadata.name=x` reads one object.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.requirements.iter().find(|asked| asked.equals && asked.field == field).map(|asked| asked.value.as_str())
    }
}

/// As it is written in a query.
impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, asked) in self.requirements.iter().enumerate() {
            let (comma, sign) = (if index > 0 { "," } else { "" }, if asked.equals { "=" } else { "!=" });
            let value = asked.value.replace('\\', "\\\\").replace(',', "\\,").replace('=', "\\=");
            write!(f, "{comma}{}{sign}{value}", asked.field)?;
        }
        Ok(())
    }
}

/// Splits at commas that are not escaped.
fn terms(text: &str) -> Vec<&str> {
    let (mut terms, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

fn unescaped(value: &str) -> Result<String, String> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                Some(c) => return Err(format!("invalid field selector: invalid escape sequence: \\{c}")),
                None => return Err("invalid field selector: invalid escape sequence: \\".into()),
            },
            ',' | '=' => return Err(format!("invalid field selector: unescaped character in value: {c}")),
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
