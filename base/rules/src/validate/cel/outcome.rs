//! What can be told of types from the words of an expression alone.
//!
//! What it is not: a type checker. It tells what is wrong for certain, and lets everything else pass.
use super::{
    located,
    tokens::{self, Kind, Token},
};

/// What an expression that can be read makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// True or false: its outermost operators compare.
    Truth,
    /// A number, text or list: its outermost operators add.
    Sum,
    Unknown,
}

pub fn outcome(expression: &str) -> Outcome {
    const COMPARING: &[&str] = &["||", "&&", "<=", ">=", "==", "!=", "<", ">", "in"];
    let tokens = tokens::read(expression).unwrap_or_default();
    let (mut depth, mut found, mut before) = (0_usize, Outcome::Unknown, None);
    for token in &tokens {
        match token.text {
            "(" | "[" | "{" if token.kind == Kind::Symbol => depth += 1,
            ")" | "]" | "}" if token.kind == Kind::Symbol => depth = depth.saturating_sub(1),
            // Either branch may be the outcome.
            "?" if depth == 0 && before.is_none_or(|b: &Token<'_>| b.text != "." && b.text != "[") => return Outcome::Unknown,
            text if depth == 0 && token.kind != Kind::Literal && COMPARING.contains(&text) => found = Outcome::Truth,
            "+" | "-" | "*" | "/" | "%" if depth == 0 && found == Outcome::Unknown && before.is_some_and(ends_operand) => {
                found = Outcome::Sum;
            }
            _ => {}
        }
        before = Some(token);
    }
    found
}

/// Whether an operator after this word stands between two operands.
fn ends_operand(before: &Token<'_>) -> bool {
    match before.kind {
        Kind::Name => before.text != "in",
        Kind::Literal => true,
        Kind::Symbol => matches!(before.text, ")" | "]" | "}"),
        Kind::End => false,
    }
}

/// Says so where a field is taken from a variable whose type has none.
pub fn selection_fault(expression: &str, variable: &str, kind: &str) -> Option<String> {
    let tokens = tokens::read(expression).unwrap_or_default();
    let at = (0..tokens.len().saturating_sub(3)).find(|i| {
        let (own, next) = (&tokens[*i], &tokens[i + 1..]);
        let first = own.kind == Kind::Name && own.text == variable && (*i == 0 || tokens[i - 1].text != ".");
        first && next[0].text == "." && next[1].kind == Kind::Name && next[2].text != "("
    })?;
    let why = format!("type '{kind}' does not support field selection");
    Some(format!("compilation failed: {}", located(expression, tokens[at + 1].at, &why)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outermost_operators_tell_what_an_expression_makes() {
        for (expression, made) in [
            ("self + 1", Outcome::Sum),
            ("'a' + string(self.b > 1)", Outcome::Sum),
            ("self.a + 1 > 2", Outcome::Truth),
            ("!(a + b in c)", Outcome::Unknown),
            ("a in b", Outcome::Truth),
            ("-a", Outcome::Unknown),
            ("a ? b + 1 : c", Outcome::Unknown),
            ("a.?b.orValue(1) + 2", Outcome::Sum),
            ("'a > b'", Outcome::Unknown),
            ("f(a)", Outcome::Unknown),
            ("'", Outcome::Unknown),
        ] {
            assert_eq!(outcome(expression), made, "{expression}");
        }
    }

    #[test]
    fn numbers_have_no_fields() {
        assert_eq!(
            selection_fault("self.b > 1", "self", "int").as_deref(),
            Some("compilation failed: ERROR: <input>:1:5: type 'int' does not support field selection\n | self.b > 1\n | ....^")
        );
        for good in ["self > 1", "self.size() > 1", "a.self.b == self", "self"] {
            assert_eq!(selection_fault(good, "self", "string"), None, "{good}");
        }
    }
}
