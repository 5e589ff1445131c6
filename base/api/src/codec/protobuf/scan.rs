//! Walks JSON that this server has written itself: compact, valid, keys once. Damaged bytes are refused, blanks between tokens too.
//! Reserves nothing; strings are handed out as they lie, and unescaped only where they go.
use std::borrow::Cow;

use super::CodecError;

const DAMAGED: CodecError = CodecError::Protobuf("the JSON to be written as protobuf is damaged");

type Scanned<T> = Result<T, CodecError>;

pub struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// What is between the quotes.
#[derive(Clone, Copy)]
pub struct Text<'a> {
    pub raw: &'a [u8],
    pub escaped: bool,
}

impl<'a> Scan<'a> {
    pub fn of(bytes: &'a [u8]) -> Scan<'a> {
        Scan { bytes, at: 0 }
    }

    /// The byte at hand; 0 at the end.
    #[inline]
    pub fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    #[inline]
    pub fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == byte;
        self.at += usize::from(there);
        there
    }

    #[inline]
    pub fn expect(&mut self, byte: u8) -> Scanned<()> {
        if self.take(byte) { Ok(()) } else { Err(DAMAGED) }
    }

    /// Whether another item follows, or the end that is named.
    #[inline]
    pub fn goes_on(&mut self, end: u8) -> Scanned<bool> {
        if self.take(b',') { Ok(true) } else { self.expect(end).map(|()| false) }
    }

    pub fn end(&self) -> Scanned<()> {
        if self.at == self.bytes.len() { Ok(()) } else { Err(DAMAGED) }
    }

    #[inline]
    pub fn string(&mut self) -> Scanned<Text<'a>> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at = quote_or_backslash(self.bytes, self.at);
            match self.bytes.get(self.at) {
                Some(b'"') => {
                    let raw = &self.bytes[start..self.at];
                    self.at += 1;
                    return Ok(Text { raw, escaped });
                }
                Some(_) => {
                    escaped = true;
                    self.at += 2;
                }
                None => return Err(DAMAGED),
            }
        }
    }

    /// A number as it is written; `None` where there is none.
    #[inline]
    pub fn number(&mut self) -> Option<&'a str> {
        let rest = self.bytes.get(self.at..)?;
        let end = rest.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
        let text = &rest[..end.unwrap_or(rest.len())];
        self.at += text.len();
        std::str::from_utf8(text).ok().filter(|text| !text.is_empty())
    }

    pub fn boolean(&mut self) -> Scanned<Option<bool>> {
        Ok(match self.peek() {
            b't' => self.word(b"true").map(|()| Some(true))?,
            b'f' => self.word(b"false").map(|()| Some(false))?,
            _ => None,
        })
    }

    pub fn null(&mut self) -> Scanned<bool> {
        if self.peek() == b'n' { self.word(b"null").map(|()| true) } else { Ok(false) }
    }

    fn word(&mut self, word: &[u8]) -> Scanned<()> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(DAMAGED);
        }
        self.at += word.len();
        Ok(())
    }

    /// Passes over any value and says where it lies. Does not look whether brackets of one kind close those of the other.
    pub fn span(&mut self) -> Scanned<&'a [u8]> {
        let start = self.at;
        let mut open = 0usize;
        loop {
            match self.peek() {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    open += 1;
                    self.at += 1;
                    continue;
                }
                b'}' | b']' if open > 0 => {
                    open -= 1;
                    self.at += 1;
                }
                b',' | b':' if open > 0 => {
                    self.at += 1;
                    continue;
                }
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => {
                    self.number().ok_or(DAMAGED)?;
                }
            }
            if open == 0 {
                return Ok(&self.bytes[start..self.at]);
            }
        }
    }
}

impl<'a> Text<'a> {
    /// Appends the text itself.
    #[inline]
    pub fn put(self, out: &mut Vec<u8>) -> Scanned<()> {
        if self.escaped {
            return unescape(self.raw, out);
        }
        out.extend_from_slice(self.raw);
        Ok(())
    }

    pub fn bytes(self) -> Scanned<Cow<'a, [u8]>> {
        if !self.escaped {
            return Ok(Cow::Borrowed(self.raw));
        }
        let mut out = Vec::with_capacity(self.raw.len());
        unescape(self.raw, &mut out)?;
        Ok(Cow::Owned(out))
    }
}

/// Where the next quote or backslash is, from `at` on; eight bytes at a time.
#[inline]
fn quote_or_backslash(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    // The lowest high bit that is set marks the first byte that is zero.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & (ONES << 7);
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let found = zeros(word ^ (ONES * b'"' as u64)) | zeros(word ^ (ONES * b'\\' as u64));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| !matches!(byte, b'"' | b'\\')) {
        at += 1;
    }
    at
}

fn unescape(raw: &[u8], out: &mut Vec<u8>) -> Scanned<()> {
    let mut rest = raw;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        out.extend_from_slice(&rest[..at]);
        let (escape, after) = rest[at + 1..].split_first().ok_or(DAMAGED)?;
        rest = after;
        match escape {
            b'"' | b'\\' | b'/' => out.push(*escape),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let mut code = hex(&mut rest)?;
                if (0xd800..0xdc00).contains(&code) {
                    rest = rest.strip_prefix(b"\\u").ok_or(DAMAGED)?;
                    let low = hex(&mut rest)?.checked_sub(0xdc00).filter(|low| *low < 0x400).ok_or(DAMAGED)?;
                    code = 0x10000 + ((code - 0xd800) << 10) + low;
                }
                let character = char::from_u32(code).ok_or(DAMAGED)?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => return Err(DAMAGED),
        }
    }
    out.extend_from_slice(rest);
    Ok(())
}

fn hex(rest: &mut &[u8]) -> Scanned<u32> {
    let (digits, after) = rest.split_first_chunk::<4>().ok_or(DAMAGED)?;
    *rest = after;
    digits.iter().try_fold(0, |code, digit| Ok(code << 4 | char::from(*digit).to_digit(16).ok_or(DAMAGED)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_comes_out_as_serde_json_reads_it() {
        for text in
            ["", "a", "longer than a word", "\"\\/\u{8}\u{c}\n\r\t\u{1}", "é日本\u{1f600}", "eight bytes\\", "1234567\"89"]
        {
            let json = serde_json::to_vec(text).unwrap();
            let mut scan = Scan::of(&json);
            assert_eq!(scan.string().unwrap().bytes().unwrap(), text.as_bytes());
            scan.end().unwrap();
        }
        let pair = Scan::of(br#""\ud83d\ude00\u00e9\/""#).string().unwrap();
        assert_eq!(pair.bytes().unwrap(), "\u{1f600}é/".as_bytes());
        for wrong in [&br#""\ud83d""#[..], br#""\ude00""#, br#""\u12""#, br#""\x""#] {
            assert_eq!(Scan::of(wrong).string().unwrap().bytes(), Err(DAMAGED), "{}", String::from_utf8_lossy(wrong));
        }
    }

    #[test]
    fn a_span_ends_where_its_value_ends() {
        for value in ["1", "-1.5e+3", "\"a]}\\\"\"", "[]", "{}", "{\"a\":[1,{\"b\":null},\"]\"],\"c\":true}", "false"] {
            let more = format!("{value},1");
            assert_eq!(Scan::of(more.as_bytes()).span(), Ok(value.as_bytes()));
        }
        for wrong in ["", "[", "{\"a\":", "nul", "]", "\"a", "?"] {
            assert_eq!(Scan::of(wrong.as_bytes()).span(), Err(DAMAGED), "{wrong}");
        }
    }
}
