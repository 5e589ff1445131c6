//! The words of an expression in CEL.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Name,
    Literal,
    Symbol,
    End,
}

/// A word and where it begins, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    pub kind: Kind,
    pub at: usize,
    pub text: &'a str,
}

/// Text that is no word, and where it begins.
#[derive(Debug)]
pub struct Unreadable<'a> {
    pub at: usize,
    pub text: &'a str,
}

const SYMBOLS: &[&str] = &[
    "||", "&&", "<=", ">=", "==", "!=", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", ".", ",", "(", ")", "[", "]", "{", "}",
];

/// All words, an [`Kind::End`] last.
pub fn read(source: &str) -> Result<Vec<Token<'_>>, Unreadable<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    loop {
        at += blank(&source[at..]);
        let rest = &source[at..];
        if rest.is_empty() {
            tokens.push(Token { kind: Kind::End, at, text: "<EOF>" });
            return Ok(tokens);
        }
        let (kind, length) = word(rest).ok_or_else(|| {
            let open = rest.contains(['"', '\'', '`']);
            Unreadable { at, text: if open { rest } else { rest.split_at(rest.chars().next().map_or(0, char::len_utf8)).0 } }
        })?;
        tokens.push(Token { kind, at, text: &rest[..length] });
        at += length;
    }
}

/// Bytes of white space and comments.
fn blank(rest: &str) -> usize {
    let mut left = rest;
    loop {
        left = left.trim_start_matches([' ', '\t', '\n', '\r', '\x0c']);
        match left.strip_prefix("//") {
            Some(comment) => left = comment.find('\n').map_or("", |end| &comment[end..]),
            None => return rest.len() - left.len(),
        }
    }
}

fn word(rest: &str) -> Option<(Kind, usize)> {
    if let Some(length) = quoted(rest) {
        return length.map(|length| (Kind::Literal, length));
    }
    let bytes = rest.as_bytes();
    let first = bytes[0];
    if first == b'`' {
        return rest[1..].find('`').map(|end| (Kind::Name, end + 2));
    }
    if first.is_ascii_alphabetic() || first == b'_' {
        let length = bytes.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        return Some((Kind::Name, length));
    }
    if first.is_ascii_digit() || (first == b'.' && bytes.get(1).is_some_and(u8::is_ascii_digit)) {
        return Some((Kind::Literal, number(bytes)));
    }
    SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)).map(|symbol| (Kind::Symbol, symbol.len()))
}

/// Bytes of a number: `1`, `0x1f`, `1u`, `1.5e-3`.
fn number(bytes: &[u8]) -> usize {
    let digits = |from: usize, digit: fn(&u8) -> bool| bytes[from..].iter().take_while(|b| digit(b)).count();
    let mut end = match bytes {
        [b'0', b'x' | b'X', ..] => 2 + digits(2, u8::is_ascii_hexdigit),
        _ => {
            let mut end = digits(0, u8::is_ascii_digit);
            if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
                end += 1 + digits(end + 1, u8::is_ascii_digit);
            }
            if matches!(bytes.get(end), Some(b'e' | b'E')) {
                let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
                let power = digits((end + 1 + sign).min(bytes.len()), u8::is_ascii_digit);
                if power > 0 {
                    end += 1 + sign + power;
                }
            }
            end
        }
    };
    end += usize::from(matches!(bytes.get(end), Some(b'u' | b'U')));
    end
}

/// Bytes of a text, with its prefix (`r`, `b`) and quotes (one or three); inner `None` where it never ends.
fn quoted(rest: &str) -> Option<Option<usize>> {
    let prefix = rest.bytes().take_while(|b| matches!(b, b'r' | b'R' | b'b' | b'B')).count();
    if prefix > 2 {
        return None;
    }
    let body = &rest[prefix..];
    let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| body.starts_with(quote))?;
    let raw = rest[..prefix].contains(['r', 'R']);
    let mut at = quote.len();
    let bytes = body.as_bytes();
    while at < bytes.len() {
        if body.as_bytes()[at..].starts_with(quote.as_bytes()) {
            return Some(Some(prefix + at + quote.len()));
        }
        match bytes[at] {
            b'\\' if !raw => at += 2,
            b'\n' | b'\r' if quote.len() == 1 => break,
            _ => at += 1,
        }
    }
    Some(None)
}
