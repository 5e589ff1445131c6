//! Expressions in CEL: whether one can be read, and whether the variables that it names exist.
//!
//! What it is not: it knows no types and no functions, and evaluates nothing; what it lets pass may still be wrong.
//! Source: https://github.com/google/cel-spec, "Syntax"; variables by https://kubernetes.io/docs/reference/using-api/cel/.
//! Limits: 250 levels of nesting; 100,000 characters; 100 unknown names, or 256 KiB, are told.
mod outcome;
mod tokens;

pub use outcome::{Outcome, outcome, selection_fault};
use tokens::{Kind, Token};

/// Levels of an expression; those of the reference parser.
const DEPTH_MAX: usize = 250;

/// Characters of an expression; those of the reference parser.
const CHARS_MAX: usize = 100_000;

/// Unknown names that are told of one expression.
const STRANGERS_MAX: usize = 100;

/// Bytes that are told of one expression: each fault shows its line.
const TOLD_BYTES_MAX: usize = 256 << 10;

/// What every expression may name besides its variables: types and the homes of functions.
const KNOWN: &[&str] = &[
    "int",
    "uint",
    "double",
    "bool",
    "string",
    "bytes",
    "list",
    "map",
    "null_type",
    "type",
    "dyn",
    "any",
    "duration",
    "timestamp",
    "google",
    "optional",
    "optional_type",
    "math",
    "sets",
    "cel",
    "strings",
    "lists",
    "base64",
    "format",
    "net",
    "kubernetes",
    "regex",
    "proto",
];

/// Calls whose first argument names a variable of the others.
const BINDING: &[&str] = &[
    "all",
    "exists",
    "exists_one",
    "existsOne",
    "map",
    "filter",
    "transformList",
    "transformMap",
    "transformMapEntry",
    "sortBy",
    "optMap",
    "optFlatMap",
    "bind",
];

/// Those of them that may name two: key and value.
const BINDING_TWO: &[&str] = &["all", "exists", "exists_one", "existsOne", "transformList", "transformMap", "transformMapEntry"];

const PRIMARY: &str =
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";

/// Why an expression over these variables does not compile, in stock words; `None` where nothing speaks against it.
pub fn fault(expression: &str, variables: &[&str]) -> Option<String> {
    if expression.len() > CHARS_MAX {
        let chars = expression.chars().count();
        if chars > CHARS_MAX {
            let why = format!("expression code point size exceeds limit: size: {chars}, limit {CHARS_MAX}");
            return Some(format!("compilation failed: ERROR: <input>:-1:0: {why}"));
        }
    }
    let said = |at: usize, why: &str| located(expression, at, why);
    let faults = match tokens::read(expression) {
        Err(bad) => vec![said(bad.at, &format!("Syntax error: token recognition error at: '{}'", bad.text))],
        Ok(tokens) => {
            let mut parser = Parser { tokens: &tokens, next: 0, depth: 0, scope: variables.to_vec(), strangers: Vec::new() };
            match parser.whole() {
                Err(wrong) => vec![said(wrong.at, &wrong.why)],
                Ok(()) => parser
                    .strangers
                    .iter()
                    .take(STRANGERS_MAX.min(1 + TOLD_BYTES_MAX / expression.len().max(1)))
                    .map(|name| said(name.at, &format!("undeclared reference to '{}' (in container '')", name.text)))
                    .collect(),
            }
        }
    };
    (!faults.is_empty()).then(|| format!("compilation failed: {}", faults.join("\n")))
}

/// Whether an expression that can be read names this variable.
pub fn mentions(expression: &str, variable: &str) -> bool {
    let tokens = tokens::read(expression).unwrap_or_default();
    let named = |i: usize| tokens[i].kind == Kind::Name && tokens[i].text == variable;
    (0..tokens.len()).any(|i| named(i) && (i == 0 || tokens[i - 1].text != "."))
}

/// An error with the place that it is about, and the line with a mark below the place.
fn located(expression: &str, at: usize, why: &str) -> String {
    if expression.is_empty() {
        return format!("ERROR: <input>:1:0: {why}");
    }
    let before = &expression[..at.min(expression.len())];
    let row = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count();
    let line = expression.lines().nth(row - 1).unwrap_or("");
    format!("ERROR: <input>:{row}:{}: {why}\n | {line}\n | {}^", column + 1, ".".repeat(column))
}

struct Wrong {
    at: usize,
    why: String,
}

type Parsed = Result<(), Wrong>;

struct Parser<'a> {
    tokens: &'a [Token<'a>],
    next: usize,
    depth: usize,
    /// Variables that are known here.
    scope: Vec<&'a str>,
    /// Names that are not.
    strangers: Vec<Token<'a>>,
}

impl<'a> Parser<'a> {
    fn whole(&mut self) -> Parsed {
        self.expression()?;
        let left = &self.tokens[self.next..];
        match left {
            [] | [Token { kind: Kind::End, .. }] => Ok(()),
            [token, rest @ ..] => {
                let word = if rest.len() <= 1 { "extraneous" } else { "mismatched" };
                Err(Wrong { at: token.at, why: format!("Syntax error: {word} input '{}' expecting <EOF>", token.text) })
            }
        }
    }

    fn peek(&self) -> Token<'a> {
        self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn looking_at(&self, symbol: &str) -> bool {
        let token = self.peek();
        matches!(token.kind, Kind::Symbol | Kind::Name) && token.text == symbol
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = self.looking_at(symbol);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str) -> Parsed {
        if self.take(symbol) { Ok(()) } else { Err(self.mismatched(&format!("'{symbol}'"))) }
    }

    fn mismatched(&self, expected: &str) -> Wrong {
        let token = self.peek();
        Wrong { at: token.at, why: format!("Syntax error: mismatched input '{}' expecting {expected}", token.text) }
    }

    fn deeper(&mut self, parse: fn(&mut Self) -> Parsed) -> Parsed {
        if self.depth == DEPTH_MAX {
            return Err(Wrong { at: self.peek().at, why: format!("expression recursion limit exceeded: {DEPTH_MAX}") });
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn expression(&mut self) -> Parsed {
        self.deeper(|p| {
            p.operands()?;
            if p.take("?") {
                p.operands()?;
                p.expect(":")?;
                p.expression()?;
            }
            Ok(())
        })
    }

    /// Operators bind differently, but what can be read does not hang on it.
    fn operands(&mut self) -> Parsed {
        const BETWEEN: &[&str] = &["||", "&&", "<=", ">=", "==", "!=", "<", ">", "in", "+", "-", "*", "/", "%"];
        loop {
            self.unary()?;
            if !BETWEEN.iter().any(|operator| self.take(operator)) {
                return Ok(());
            }
        }
    }

    fn unary(&mut self) -> Parsed {
        while self.take("!") || self.take("-") {}
        self.primary()?;
        loop {
            if self.take(".") {
                self.take("?");
                let name = self.peek();
                if name.kind != Kind::Name {
                    return Err(self.mismatched("IDENTIFIER"));
                }
                self.next += 1;
                if self.take("(") {
                    self.arguments(name.text)?;
                }
            } else if self.take("[") {
                self.take("?");
                self.expression()?;
                self.expect("]")?;
            } else if self.looking_at("{") && self.after_a_name() {
                self.next += 1;
                self.fields()?;
            } else {
                return Ok(());
            }
        }
    }

    /// Whether what stands before is a name: then a brace makes a message of that type.
    fn after_a_name(&self) -> bool {
        self.next > 0 && self.tokens[self.next - 1].kind == Kind::Name
    }

    fn primary(&mut self) -> Parsed {
        let token = self.peek();
        match token.kind {
            Kind::Literal => {
                self.next += 1;
                Ok(())
            }
            Kind::Symbol if token.text == "(" => {
                self.next += 1;
                self.expression()?;
                self.expect(")")
            }
            Kind::Symbol if token.text == "[" => {
                self.next += 1;
                self.list("]")
            }
            Kind::Symbol if token.text == "{" => {
                self.next += 1;
                self.fields()
            }
            Kind::Symbol if token.text == "." => {
                self.next += 1;
                self.named()
            }
            Kind::Name if token.text != "in" => self.named(),
            _ => Err(self.mismatched(PRIMARY)),
        }
    }

    fn named(&mut self) -> Parsed {
        let name = self.peek();
        if name.kind != Kind::Name {
            return Err(self.mismatched("IDENTIFIER"));
        }
        self.next += 1;
        if matches!(name.text, "true" | "false" | "null") {
            return Ok(());
        }
        if self.take("(") {
            return self.arguments(name.text);
        }
        if !self.scope.contains(&name.text) && !KNOWN.contains(&name.text) && !self.looking_at("{") {
            self.strangers.push(name);
        }
        Ok(())
    }

    /// The arguments of a call, up to its end.
    fn arguments(&mut self, function: &str) -> Parsed {
        let known = self.scope.len();
        if BINDING.contains(&function) {
            let most = if BINDING_TWO.contains(&function) { 2 } else { 1 };
            for _ in 0..most {
                let (name, comma) = (self.peek(), self.tokens.get(self.next + 1));
                if name.kind != Kind::Name || comma.is_none_or(|c| c.text != ",") {
                    break;
                }
                self.scope.push(name.text);
                self.next += 2;
            }
        }
        let parsed = self.list(")");
        self.scope.truncate(known);
        parsed
    }

    fn list(&mut self, end: &str) -> Parsed {
        while !self.take(end) {
            self.take("?");
            self.expression()?;
            if !self.take(",") {
                return self.expect(end);
            }
        }
        Ok(())
    }

    fn fields(&mut self) -> Parsed {
        while !self.take("}") {
            self.take("?");
            // In a message the name of a field is no variable.
            let (name, colon) = (self.peek(), self.tokens.get(self.next + 1));
            if name.kind == Kind::Name && colon.is_some_and(|c| c.text == ":") {
                self.next += 1;
            } else {
                self.expression()?;
            }
            self.expect(":")?;
            self.expression()?;
            if !self.take(",") {
                return self.expect("}");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_over_known_variables_pass() {
        for good in [
            "true",
            "device.driver == 'd.example'",
            "device.attributes['d.example'].model == \"x\" && device.capacity['d.example'].memory.compareTo(quantity('1Gi')) >= 0",
            "device.attributes['a'].all(k, v, k != v)",
            "device.list.filter(x, x > 1).map(y, y + 1).exists(z, z in [1, 2u, 0x3, 1.5e3])",
            "!has(device.a) ? -1 : device.?b.orValue({'k': 1}['k'])",
            "cel.bind(d, device.driver, d == r'\\d' || d == '''a'b''')",
            "optional.none() == optional.of(b'x') || type(device) == map // said so",
        ] {
            assert_eq!(fault(good, &["device"]), None, "{good}");
        }
    }

    #[test]
    fn variables_that_nobody_declared_are_told_with_their_place() {
        assert_eq!(
            fault("object.spec.replicas <= params.max", &["object"]).unwrap(),
            "compilation failed: ERROR: <input>:1:25: undeclared reference to 'params' (in container '')\n \
             | object.spec.replicas <= params.max\n | ........................^"
        );
        assert!(fault("object.all(x, x) && x", &["object"]).unwrap().contains(":1:21: undeclared reference to 'x'"));
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_place() {
        assert_eq!(
            fault("Invalid_Name!", &[]).unwrap(),
            "compilation failed: ERROR: <input>:1:13: Syntax error: extraneous input '!' expecting <EOF>\n | Invalid_Name!\n | ............^"
        );
        assert!(fault("", &[]).unwrap().contains("<input>:1:0: Syntax error: mismatched input '<EOF>' expecting {'[', "));
        for bad in ["a +", "(a", "a b c", "'open", "a[", "{1 2}", "a.", "a ? b", "#"] {
            assert!(fault(bad, &["a", "b", "c"]).is_some_and(|why| why.contains("Syntax error")), "{bad}");
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |n: usize| format!("{}a{}", "(".repeat(n), ")".repeat(n));
        assert_eq!(fault(&nested(DEPTH_MAX - 1), &["a"]), None);
        assert!(fault(&nested(40_000), &["a"]).unwrap().contains("recursion limit exceeded: 250"));
        assert!(fault(&nested(100_000), &["a"]).unwrap().contains("size exceeds limit: size: 200001, limit 100000"));
        assert_eq!(fault(&format!("{}a", "!".repeat(99_000)), &["a"]), None);
    }
}
