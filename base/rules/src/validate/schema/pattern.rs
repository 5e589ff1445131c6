//! Regular expressions as Go reads them, and as this server matches them.
//!
//! Source: https://pkg.go.dev/regexp/syntax. The syntax is read here, so that a pattern costs one walk over its text; only a default
//! that stands beside a pattern needs it compiled.
//! Limits: 1,000 repetitions and 1,000 groups within each other, as there. A pattern of more than 4 KiB, or 64 KiB when compiled, is not
//! matched.
use regex::{Regex, RegexBuilder};

const REPEAT_MAX: u32 = 1_000;
const GROUPS_MAX: usize = 1_000;
const MATCHED_BYTES_MAX: usize = 4 << 10;
const COMPILED_BYTES_MAX: usize = 64 << 10;

const CLASSES: &[&str] = &[
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word", "xdigit",
];

/// Unicode's general categories.
const CATEGORIES: &[&str] = &[
    "Any", "C", "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd", "Nl", "No", "P",
    "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs",
];

/// Unicode's scripts, those of version 15.
const SCRIPTS: &[&str] = &[
    "Adlam",
    "Ahom",
    "Anatolian_Hieroglyphs",
    "Arabic",
    "Armenian",
    "Avestan",
    "Balinese",
    "Bamum",
    "Bassa_Vah",
    "Batak",
    "Bengali",
    "Bhaiksuki",
    "Bopomofo",
    "Brahmi",
    "Braille",
    "Buginese",
    "Buhid",
    "Canadian_Aboriginal",
    "Carian",
    "Caucasian_Albanian",
    "Chakma",
    "Cham",
    "Cherokee",
    "Chorasmian",
    "Common",
    "Coptic",
    "Cuneiform",
    "Cypriot",
    "Cypro_Minoan",
    "Cyrillic",
    "Deseret",
    "Devanagari",
    "Dives_Akuru",
    "Dogra",
    "Duployan",
    "Egyptian_Hieroglyphs",
    "Elbasan",
    "Elymaic",
    "Ethiopic",
    "Georgian",
    "Glagolitic",
    "Gothic",
    "Grantha",
    "Greek",
    "Gujarati",
    "Gunjala_Gondi",
    "Gurmukhi",
    "Han",
    "Hangul",
    "Hanifi_Rohingya",
    "Hanunoo",
    "Hatran",
    "Hebrew",
    "Hiragana",
    "Imperial_Aramaic",
    "Inherited",
    "Inscriptional_Pahlavi",
    "Inscriptional_Parthian",
    "Javanese",
    "Kaithi",
    "Kannada",
    "Katakana",
    "Kawi",
    "Kayah_Li",
    "Kharoshthi",
    "Khitan_Small_Script",
    "Khmer",
    "Khojki",
    "Khudawadi",
    "Lao",
    "Latin",
    "Lepcha",
    "Limbu",
    "Linear_A",
    "Linear_B",
    "Lisu",
    "Lycian",
    "Lydian",
    "Mahajani",
    "Makasar",
    "Malayalam",
    "Mandaic",
    "Manichaean",
    "Marchen",
    "Masaram_Gondi",
    "Medefaidrin",
    "Meetei_Mayek",
    "Mende_Kikakui",
    "Meroitic_Cursive",
    "Meroitic_Hieroglyphs",
    "Miao",
    "Modi",
    "Mongolian",
    "Mro",
    "Multani",
    "Myanmar",
    "Nabataean",
    "Nag_Mundari",
    "Nandinagari",
    "New_Tai_Lue",
    "Newa",
    "Nko",
    "Nushu",
    "Nyiakeng_Puachue_Hmong",
    "Ogham",
    "Ol_Chiki",
    "Old_Hungarian",
    "Old_Italic",
    "Old_North_Arabian",
    "Old_Permic",
    "Old_Persian",
    "Old_Sogdian",
    "Old_South_Arabian",
    "Old_Turkic",
    "Old_Uyghur",
    "Oriya",
    "Osage",
    "Osmanya",
    "Pahawh_Hmong",
    "Palmyrene",
    "Pau_Cin_Hau",
    "Phags_Pa",
    "Phoenician",
    "Psalter_Pahlavi",
    "Rejang",
    "Runic",
    "Samaritan",
    "Saurashtra",
    "Sharada",
    "Shavian",
    "Siddham",
    "SignWriting",
    "Sinhala",
    "Sogdian",
    "Sora_Sompeng",
    "Soyombo",
    "Sundanese",
    "Syloti_Nagri",
    "Syriac",
    "Tagalog",
    "Tagbanwa",
    "Tai_Le",
    "Tai_Tham",
    "Tai_Viet",
    "Takri",
    "Tamil",
    "Tangsa",
    "Tangut",
    "Telugu",
    "Thaana",
    "Thai",
    "Tibetan",
    "Tifinagh",
    "Tirhuta",
    "Toto",
    "Ugaritic",
    "Vai",
    "Vithkuqi",
    "Wancho",
    "Warang_Citi",
    "Yezidi",
    "Yi",
    "Zanabazar_Square",
];

/// Why a pattern is none, in Go's words; `None` for a good one.
pub fn fault(pattern: &str) -> Option<String> {
    read(pattern).err()
}

/// Whether a text matches; `None` where the pattern is too large to tell, or none at all.
pub fn matcher(pattern: &str) -> Option<Regex> {
    if pattern.len() > MATCHED_BYTES_MAX {
        return None;
    }
    let ours = read(pattern).ok()?;
    RegexBuilder::new(&ours).size_limit(COMPILED_BYTES_MAX).dfa_size_limit(COMPILED_BYTES_MAX).build().ok()
}

/// The pattern in the syntax of the `regex` crate.
fn read(pattern: &str) -> Result<String, String> {
    let mut reader = Reader { whole: pattern, at: 0, out: String::with_capacity(pattern.len()) };
    reader.whole()?;
    Ok(reader.out)
}

struct Reader<'a> {
    whole: &'a str,
    at: usize,
    out: String,
}

/// What a repetition would repeat.
#[derive(Clone, Copy)]
enum Last {
    Nothing,
    Atom,
    /// A repetition, and where it begins.
    Repeat(usize),
}

fn told<T>(code: &str, of: &str) -> Result<T, String> {
    Err(format!("{code}: `{of}`"))
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.whole[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn literal(&mut self, c: char) {
        if c.is_ascii_punctuation() && c != '_' && c != '<' && c != '>' {
            self.out.push('\\');
        }
        self.out.push(c);
    }

    fn whole(&mut self) -> Result<(), String> {
        let (mut groups, mut last) = (0, Last::Nothing);
        while let Some(c) = self.peek() {
            let start = self.at;
            match c {
                '(' => {
                    groups += usize::from(self.group()?);
                    if groups > GROUPS_MAX {
                        return told("expression nests too deeply", self.whole);
                    }
                    last = Last::Nothing;
                    continue;
                }
                ')' if groups == 0 => return told("unexpected )", self.whole),
                ')' => groups -= 1,
                '*' | '+' | '?' => {
                    self.at += 1;
                    self.out.push(c);
                    last = self.repeat(start, last)?;
                    continue;
                }
                '{' => {
                    if let Some(text) = repeat_count(self.rest())? {
                        self.at += text.len();
                        self.out.push_str(text);
                        last = self.repeat(start, last)?;
                        continue;
                    }
                    self.at += 1;
                    self.literal('{');
                    last = Last::Atom;
                    continue;
                }
                '[' => {
                    self.class()?;
                    last = Last::Atom;
                    continue;
                }
                '\\' => {
                    self.escape(false)?;
                    last = Last::Atom;
                    continue;
                }
                ']' | '}' => {
                    self.at += 1;
                    self.literal(c);
                    last = Last::Atom;
                    continue;
                }
                _ => {}
            }
            self.at += c.len_utf8();
            self.out.push(c);
            last = if c == '|' { Last::Nothing } else { Last::Atom };
        }
        if groups > 0 { told("missing closing )", self.whole) } else { Ok(()) }
    }

    /// After a repetition, which may be lazy.
    fn repeat(&mut self, start: usize, last: Last) -> Result<Last, String> {
        if self.peek() == Some('?') {
            self.at += 1;
            self.out.push('?');
        }
        match last {
            Last::Nothing => told("missing argument to repetition operator", &self.whole[start..self.at]),
            Last::Repeat(first) => told("invalid nested repetition operator", &self.whole[first..self.at]),
            Last::Atom => Ok(Last::Repeat(start)),
        }
    }

    /// The beginning of a group; whether one is open now (flags alone open none).
    fn group(&mut self) -> Result<bool, String> {
        let (start, rest) = (self.at, self.rest());
        let Some(inner) = rest.strip_prefix("(?") else {
            self.at += 1;
            self.out.push('(');
            return Ok(true);
        };
        if let Some(named) = inner.strip_prefix("P<").or_else(|| inner.strip_prefix('<')) {
            let Some(end) = named.find('>') else { return told("invalid named capture", rest) };
            let before = rest.len() - named.len();
            let name = &named[..end];
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
                return told("invalid named capture", &rest[..before + end + 1]);
            }
            self.at += before + end + 1;
            // Names count for nothing here, and ours may not begin with a digit.
            self.out.push('(');
            return Ok(true);
        }
        self.at += 2;
        let (mut minus, mut flags) = (false, 0);
        while let Some(c) = self.take() {
            match c {
                'i' | 'm' | 's' | 'U' => flags += 1,
                '-' if !minus => (minus, flags) = (true, 0),
                ':' | ')' if !minus || flags > 0 => {
                    let text = &self.whole[start..self.at];
                    self.out.push_str(if text == "(?)" { "(?:)" } else { text });
                    return Ok(c == ':');
                }
                _ => return told("invalid or unsupported Perl syntax", &self.whole[start..self.at]),
            }
        }
        told("missing closing )", self.whole)
    }

    fn class(&mut self) -> Result<(), String> {
        let start = self.at;
        let missing = |reader: &Self| told("missing closing ]", &reader.whole[start..]);
        self.at += 1;
        self.out.push('[');
        if self.peek() == Some('^') {
            self.at += 1;
            self.out.push('^');
        }
        let mut first = true;
        loop {
            match self.peek() {
                None => return missing(self),
                Some(']') if !first => {
                    self.at += 1;
                    self.out.push(']');
                    return Ok(());
                }
                _ => {}
            }
            first = false;
            if self.rest().starts_with("[:")
                && let Some(end) = self.rest()[2..].find(":]")
            {
                let text = &self.rest()[..end + 4];
                let name = &text[2..end + 2];
                if !CLASSES.contains(&name.strip_prefix('^').unwrap_or(name)) {
                    return told("invalid character class range", text);
                }
                self.at += text.len();
                self.out.push_str(text);
                continue;
            }
            let low_at = self.at;
            let Some(low) = self.member()? else { continue };
            let rest = self.rest();
            if !rest.starts_with('-') || rest.starts_with("-]") || rest.len() == 1 {
                continue;
            }
            self.at += 1;
            self.out.push('-');
            if self.peek().is_none() {
                return missing(self);
            }
            let high = self.member()?;
            if high.is_none_or(|high| high < low) {
                return told("invalid character class range", &self.whole[low_at..self.at]);
            }
        }
    }

    /// A character in a class; `None` for a class within it.
    fn member(&mut self) -> Result<Option<char>, String> {
        match self.peek() {
            Some('\\') => self.escape(true),
            Some(c) => {
                self.at += c.len_utf8();
                self.literal(c);
                Ok(Some(c))
            }
            None => Ok(None),
        }
    }

    /// What follows a backslash; the character, where it stands for one.
    fn escape(&mut self, in_class: bool) -> Result<Option<char>, String> {
        let start = self.at;
        self.at += 1;
        let Some(c) = self.take() else { return told("trailing backslash at end of expression", "") };
        let wrong = |reader: &Self| told("invalid escape sequence", &reader.whole[start..reader.at]);
        let words = |reader: &mut Self, within: &str, without: &str| {
            reader.out.push_str(&match (c.is_ascii_lowercase(), in_class) {
                (true, true) => within.to_owned(),
                (true, false) => format!("[{within}]"),
                (false, _) => format!("[^{without}]"),
            });
            Ok(None)
        };
        match c {
            'd' | 'D' => return words(self, "0-9", "0-9"),
            'w' | 'W' => return words(self, "0-9A-Za-z_", "0-9A-Za-z_"),
            's' | 'S' => return words(self, "\\t\\n\\f\\r ", "\\t\\n\\f\\r "),
            'p' | 'P' => return self.unicode_class(start, c),
            'A' | 'z' | 'b' | 'B' if !in_class => {
                self.out.push_str(if c == 'b' { "(?-u:\\b)" } else { &self.whole[start..self.at] });
                return Ok(None);
            }
            'Q' if !in_class => {
                let rest = self.rest();
                let text = rest.split("\\E").next().unwrap_or(rest);
                self.at += (text.len() + 2).min(rest.len());
                self.out.push_str("(?:");
                text.chars().for_each(|c| self.literal(c));
                self.out.push(')');
                return Ok(None);
            }
            _ => {}
        }
        let meant = match c {
            'a' => '\u{7}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            '0'..='7' => {
                let digits = self.rest().bytes().take(2).take_while(|b| (b'0'..=b'7').contains(b)).count();
                if c != '0' && digits == 0 {
                    return wrong(self);
                }
                let text = &self.whole[self.at - 1..self.at + digits];
                self.at += digits;
                u32::from_str_radix(text, 8).ok().and_then(char::from_u32).unwrap_or('\0')
            }
            'x' => match self.hexadecimal() {
                Some(c) => c,
                None => return wrong(self),
            },
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => c,
            _ => return wrong(self),
        };
        match meant {
            c if c.is_ascii_control() => self.out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => self.literal(c),
        }
        Ok(Some(meant))
    }

    /// `7F` or `{10FFFF}`.
    fn hexadecimal(&mut self) -> Option<char> {
        let rest = self.rest();
        let (text, bytes) = match rest.strip_prefix('{') {
            Some(inner) => {
                let text = inner.split_once('}')?.0;
                (text, text.len() + 2)
            }
            None => (rest.get(..2)?, 2),
        };
        let c = text
            .bytes()
            .all(|b| b.is_ascii_hexdigit())
            .then(|| u32::from_str_radix(text, 16).ok().and_then(char::from_u32))??;
        self.at += bytes;
        Some(c)
    }

    /// `pL` or `p{Greek}`.
    fn unicode_class(&mut self, start: usize, letter: char) -> Result<Option<char>, String> {
        let rest = self.rest();
        let name = match rest.strip_prefix('{') {
            Some(inner) => inner.split_once('}').map(|(name, _)| name),
            None => rest.chars().next().map(|c| &rest[..c.len_utf8()]),
        };
        let Some(name) = name else { return told("invalid character class range", &self.whole[start..]) };
        self.at += name.len() + if rest.starts_with('{') { 2 } else { 0 };
        let text = &self.whole[start..self.at];
        let (negated, bare) = match name.strip_prefix('^') {
            Some(bare) => (letter == 'p', bare),
            None => (letter == 'P', name),
        };
        let ours = format!("\\{}{{{bare}}}", if negated { 'P' } else { 'p' });
        if !CATEGORIES.contains(&bare) && !SCRIPTS.contains(&bare) {
            return told("invalid character class range", text);
        }
        self.out.push_str(&ours);
        Ok(None)
    }
}

/// `{2}`, `{2,}` or `{2,3}` at the beginning of a text; `None` where a brace is just a brace.
fn repeat_count(rest: &str) -> Result<Option<&str>, String> {
    let Some(end) = rest.find('}') else { return Ok(None) };
    let text = &rest[..=end];
    let inner = &text[1..end];
    let number = |text: &str| {
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
        plain.then(|| text.parse::<u32>().unwrap_or(u32::MAX))
    };
    let (least, most) = match inner.split_once(',') {
        None => (number(inner), number(inner)),
        Some((least, "")) => (number(least), number(least)),
        Some((least, most)) => (number(least), number(most)),
    };
    match (least, most) {
        (Some(least), Some(most)) if least > REPEAT_MAX || most > REPEAT_MAX || least > most => {
            told("invalid repeat count", text)
        }
        (Some(_), Some(_)) => Ok(Some(text)),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_go_refuses_are_refused_in_its_words() {
        for (bad, why) in [
            ("(a", "missing closing ): `(a`"),
            ("a)", "unexpected ): `a)`"),
            ("[a", "missing closing ]: `[a`"),
            ("[]a", "missing closing ]: `[]a`"),
            ("*", "missing argument to repetition operator: `*`"),
            ("a|*?", "missing argument to repetition operator: `*?`"),
            ("a**", "invalid nested repetition operator: `**`"),
            ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
            ("a{1001}", "invalid repeat count: `{1001}`"),
            ("a{3,2}", "invalid repeat count: `{3,2}`"),
            ("[z-a]", "invalid character class range: `z-a`"),
            ("[[:nope:]]", "invalid character class range: `[:nope:]`"),
            ("\\y", "invalid escape sequence: `\\y`"),
            ("\\1", "invalid escape sequence: `\\1`"),
            ("a\\", "trailing backslash at end of expression: ``"),
            ("(?!a)", "invalid or unsupported Perl syntax: `(?!`"),
            ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
            ("(?P<n", "invalid named capture: `(?P<n`"),
            ("(?P<n-1>a)", "invalid named capture: `(?P<n-1>`"),
            ("\\p{Nope}", "invalid character class range: `\\p{Nope}`"),
        ] {
            assert_eq!(fault(bad).as_deref(), Some(why), "{bad}");
        }
    }

    #[test]
    fn patterns_of_go_match_as_there() {
        for (pattern, yes, no) in [
            ("^.+$", "* * *", ""),
            ("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "a-b", "a-"),
            ("^\\d+$", "12", "١٢"),
            ("^[\\w.\\-/]+$", "a_b/c-d", "a b"),
            ("^a{,2}$", "a{,2}", "aa"),
            ("^{a}$", "{a}", "a"),
            ("^[[]$", "[", "]"),
            ("^[a&&b]$", "&", "c"),
            ("^[]a]$", "]", "b"),
            ("^\\Qa.b\\E$", "a.b", "axb"),
            ("^(?P<one>a)(?:b)(?i)C$", "abc", "ab"),
            ("^[[:alpha:]]{1,3}$", "abc", "ab1"),
            ("^\\x41\\x{42}\\101$", "ABA", "AB"),
            ("^\\<\\_\\ \\%$", "<_ %", "x"),
            ("^\\pL\\p{Greek}$", "aα", "a1"),
            ("^(a|b)*?$", "ab", "c"),
            ("^\\S+\\s\\D$", "x y", "xy"),
            ("^[^\\d]$", "a", "1"),
        ] {
            assert_eq!(fault(pattern), None, "{pattern}");
            let matcher = matcher(pattern).unwrap_or_else(|| panic!("{pattern}: {:?}", read(pattern)));
            assert!(matcher.is_match(yes) && !matcher.is_match(no), "{pattern}");
        }
    }

    #[test]
    fn large_patterns_cost_nothing() {
        assert!(matcher("((a{1000}){1000}){1000}").is_none());
        assert!(fault(&"(".repeat(100_000)).unwrap().starts_with("expression nests too deeply"));
        assert_eq!(fault(&"a?".repeat(100_000)), None);
    }
}
