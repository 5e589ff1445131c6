//! One line of a log file.
use jiff::Timestamp;

use crate::runtime::LogSource;

/// What a line says. Borrowed from the buffer it was read to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// As written: RFC 3339 with nanoseconds.
    pub time: &'a [u8],
    pub source: LogSource,
    /// Whether the text ends here; otherwise the next line of the same stream goes on with it.
    pub whole: bool,
    pub text: &'a [u8],
}

impl<'a> Line<'a> {
    /// Reads a line without its line feed. `None` for what containerd never writes (a torn line after a power cut, say).
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (time, rest) = cut(bytes)?;
        let (source, rest) = cut(rest)?;
        let source = match source {
            b"stdout" => LogSource::Stdout,
            b"stderr" => LogSource::Stderr,
            _ => return None,
        };
        let (tags, text) = cut(rest).unwrap_or((rest, b""));
        let whole = match tags.split(|byte| *byte == b':').next() {
            Some(b"F") => true,
            Some(b"P") => false,
            _ => return None,
        };
        Some(Self { time, source, whole, text })
    }

    pub(super) fn time(&self) -> Option<Timestamp> {
        std::str::from_utf8(self.time).ok()?.parse().ok()
    }
}

fn cut(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == b' ')?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_as_containerd_writes_them_are_read() {
        let line = Line::parse(b"2026-01-02T03:04:05.000000006Z stderr F a b ").expect("a line");
        assert_eq!((line.source, line.whole, line.text), (LogSource::Stderr, true, &b"a b "[..]));
        assert_eq!(line.time().map(|time| time.subsec_nanosecond()), Some(6));
        assert_eq!(Line::parse(b"2026-01-02T03:04:05Z stdout P x").map(|line| line.whole), Some(false));
        assert_eq!(Line::parse(b"2026-01-02T03:04:05Z stdout F ").map(|line| line.text), Some(&b""[..]));
        assert_eq!(Line::parse(b"2026-01-02T03:04:05Z stdlog F x"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let _line = Line::parse(&bytes).map(|line| line.time());
        }
    }
}
