//! JSON bytes to message, without a tree between them. Fields go out in the order of their numbers, maps in the order of the JSON.
//!
//! Each object is written field by field as its JSON comes; where that is not the order of the numbers (it is the order of the
//! names), the finished fields are put in order at the object's end.
use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    CodecError,
    plan::{FieldPlan, Kind, Many, Message, Plan},
    scan::{Scan, Text},
    wire::{FIXED64, VARINT, put_bytes, put_nested, put_tag, put_varint},
};
use crate::scalar;

/// JSON deeper than this is not the server's own.
const DEPTH_MAX: usize = 256;

type Written = Result<(), CodecError>;

/// Writes objects of one kind. One for many objects: it keeps its buffers.
pub struct Encoder<'p> {
    plan: &'p Plan,
    message: &'p Message,
    /// Fields written so far of the objects that are open, the innermost last.
    segments: Vec<Segment>,
    /// The fields of one object in their order.
    ordered: Vec<u8>,
    depth: usize,
}

/// One field of an open object.
#[derive(Clone, Copy)]
struct Segment {
    /// Index in the message's fields, which are in the order of the wire.
    field: u32,
    start: usize,
    end: usize,
}

fn misfit(field: &FieldPlan, why: &'static str) -> CodecError {
    CodecError::Misfit { field: field.name.to_string(), why }
}

impl<'p> Encoder<'p> {
    pub(super) fn new(plan: &'p Plan, message: &'p Message) -> Encoder<'p> {
        Encoder { plan, message, segments: Vec::new(), ordered: Vec::new(), depth: 0 }
    }

    /// Appends the message of an object. After an error nothing is appended.
    pub fn put(&mut self, json: &[u8], out: &mut Vec<u8>) -> Written {
        self.put_whole(json, out, |encoder, scan, out| encoder.object(encoder.message, scan, out))
    }

    /// Appends the object as one of the items of a list (field 2 of every list). After an error nothing is appended.
    pub fn put_item(&mut self, json: &[u8], out: &mut Vec<u8>) -> Written {
        self.put_whole(json, out, |encoder, scan, out| put_nested(out, 2, |out| encoder.object(encoder.message, scan, out)))
    }

    fn put_whole(
        &mut self,
        json: &[u8],
        out: &mut Vec<u8>,
        put: impl FnOnce(&mut Self, &mut Scan<'_>, &mut Vec<u8>) -> Written,
    ) -> Written {
        let before = out.len();
        let mut scan = Scan::of(json);
        self.segments.clear();
        self.depth = 0;
        let written = put(self, &mut scan, out).and_then(|()| scan.end());
        if written.is_err() {
            out.truncate(before);
        }
        written
    }

    fn object(&mut self, message: &'p Message, scan: &mut Scan<'_>, out: &mut Vec<u8>) -> Written {
        if self.depth == DEPTH_MAX {
            return Err(CodecError::TooDeep(DEPTH_MAX));
        }
        self.depth += 1;
        let (first, begin) = (self.segments.len(), out.len());
        let mut in_order = !message.embeds;
        let mut newest = 0;
        scan.expect(b'{')?;
        let mut more = !scan.take(b'}');
        while more {
            let key = scan.string()?;
            scan.expect(b':')?;
            match message.index_of(key.raw) {
                Some(at) if scan.peek() != b'n' => {
                    let field = &message.fields[at as usize];
                    let start = out.len();
                    self.field(field, scan, out)?;
                    self.segments.push(Segment { field: at, start, end: out.len() });
                    in_order &= newest <= at;
                    newest = at;
                }
                _ => {
                    scan.span()?;
                }
            }
            more = scan.goes_on(b'}')?;
        }
        if !in_order {
            self.put_in_order(message, first, begin, out)?;
        }
        self.segments.truncate(first);
        self.depth -= 1;
        Ok(())
    }

    /// Orders the fields of an object that lie in `out` from `begin` on.
    fn put_in_order(&mut self, message: &Message, first: usize, begin: usize, out: &mut Vec<u8>) -> Written {
        let segments = &mut self.segments[first..];
        segments.sort_unstable_by_key(|segment| segment.field);
        self.ordered.clear();
        if message.embeds {
            level(message, segments, 0, out, &mut self.ordered)?;
        } else {
            for segment in segments {
                self.ordered.extend_from_slice(&out[segment.start..segment.end]);
            }
        }
        out.truncate(begin);
        out.extend_from_slice(&self.ordered);
        Ok(())
    }

    #[inline]
    fn field(&mut self, field: &'p FieldPlan, scan: &mut Scan<'_>, out: &mut Vec<u8>) -> Written {
        match field.many {
            Many::One => self.value(field, field.number, scan, out),
            Many::List => items(field, scan, |scan| self.value(field, field.number, scan, out)),
            Many::Map => {
                if !scan.take(b'{') {
                    return Err(misfit(field, "not a map"));
                }
                let mut more = !scan.take(b'}');
                while more {
                    let key = scan.string()?;
                    scan.expect(b':')?;
                    put_nested(out, field.number, |out| {
                        put_text(out, 1, key)?;
                        self.value(field, 2, scan, out)
                    })?;
                    more = scan.goes_on(b'}')?;
                }
                Ok(())
            }
        }
    }

    /// Kept apart from `scalar`, so that what recurs needs little stack.
    fn value(&mut self, field: &'p FieldPlan, number: u32, scan: &mut Scan<'_>, out: &mut Vec<u8>) -> Written {
        match field.kind {
            Kind::Message(_) if scan.null()? => {
                put_bytes(out, number, b"");
                Ok(())
            }
            Kind::Message(message) => self.nested(field, number, message, scan, out),
            Kind::SchemaOrList(props) => put_nested(out, number, |out| match scan.peek() {
                b'[' => items(field, scan, |scan| self.nested(field, 2, props, scan, out)),
                _ => self.nested(field, 1, props, scan, out),
            }),
            Kind::SchemaOrBool(props) => put_nested(out, number, |out| {
                let given = scan.boolean()?;
                put_tag(out, 1, VARINT);
                out.push(u8::from(given != Some(false)));
                if given.is_some() { Ok(()) } else { self.nested(field, 2, props, scan, out) }
            }),
            Kind::SchemaOrStrings(props) => put_nested(out, number, |out| match scan.peek() {
                b'[' => items(field, scan, |scan| put_text(out, 2, text(field, scan)?)),
                _ => self.nested(field, 1, props, scan, out),
            }),
            _ => scalar(field, number, scan, out),
        }
    }

    fn nested(&mut self, field: &FieldPlan, number: u32, message: u32, scan: &mut Scan<'_>, out: &mut Vec<u8>) -> Written {
        if scan.peek() != b'{' {
            return Err(misfit(field, "not an object"));
        }
        let message = self.plan.message(message);
        put_nested(out, number, |out| self.object(message, scan, out))
    }
}

/// What holds no message of the tables.
fn scalar(field: &FieldPlan, number: u32, scan: &mut Scan<'_>, out: &mut Vec<u8>) -> Written {
    let wrong = |why| misfit(field, why);
    match field.kind {
        // In a list or map a null stands for the empty value.
        Kind::String | Kind::Bytes | Kind::Strings if scan.null()? => put_bytes(out, number, b""),
        Kind::String => put_text(out, number, text(field, scan)?)?,
        Kind::Bytes => {
            let given = text(field, scan)?.bytes()?;
            put_nested(out, number, |out| STANDARD.decode_vec(given, out).map_err(|_| wrong("not base64")))?;
        }
        Kind::I32 | Kind::I64 => {
            let given = integer(field, scan)?;
            if field.kind == Kind::I32 && i32::try_from(given).is_err() {
                return Err(wrong("not an integer of 32 bits"));
            }
            put_tag(out, number, VARINT);
            put_varint(out, given as u64);
        }
        Kind::Double => {
            let given = scan.number().and_then(|text| text.parse::<f64>().ok()).ok_or_else(|| wrong("not a number"))?;
            put_tag(out, number, FIXED64);
            out.extend_from_slice(&given.to_le_bytes());
        }
        Kind::Bool => {
            let given = scan.boolean()?.ok_or_else(|| wrong("not a boolean"))?;
            put_tag(out, number, VARINT);
            out.push(u8::from(given));
        }
        Kind::Quantity => put_nested(out, number, |out| match scan.peek() {
            b'"' => put_text(out, 1, scan.string()?),
            b'n' => scan.null().map(|_| put_bytes(out, 1, b"0")),
            _ => {
                put_bytes(out, 1, scan.number().ok_or_else(|| wrong("not a quantity"))?.as_bytes());
                Ok(())
            }
        })?,
        Kind::IntOrString => put_nested(out, number, |out| {
            let (kind, given, text) = match scan.peek() {
                b'"' => (1, 0, scan.string()?),
                b'-' | b'0'..=b'9' => {
                    let given = integer(field, scan).map_err(|_| wrong("neither integer nor string"))?;
                    let given = i32::try_from(given).map_err(|_| wrong("not an integer of 32 bits"))?;
                    (0, given, Text { raw: b"", escaped: false })
                }
                _ => return Err(wrong("neither integer nor string")),
            };
            put_tag(out, 1, VARINT);
            put_varint(out, kind);
            put_tag(out, 2, VARINT);
            put_varint(out, i64::from(given) as u64);
            put_text(out, 3, text)
        })?,
        Kind::Time | Kind::MicroTime => put_nested(out, number, |out| {
            let given = text(field, scan)?.bytes()?;
            let (seconds, nanos) = time(field, &given)?;
            put_tag(out, 1, VARINT);
            put_varint(out, seconds as u64);
            put_tag(out, 2, VARINT);
            put_varint(out, i64::from(nanos) as u64);
            Ok::<_, CodecError>(())
        })?,
        Kind::Duration => put_nested(out, number, |out| {
            let given = text(field, scan)?.bytes()?;
            let given = std::str::from_utf8(&given).ok().and_then(|given| scalar::parse_duration(given).ok());
            put_tag(out, 1, VARINT);
            put_varint(out, given.ok_or_else(|| wrong("not a duration"))? as u64);
            Ok::<_, CodecError>(())
        })?,
        Kind::Json => put_nested(out, number, |out| scan.span().map(|json| put_bytes(out, 1, json)))?,
        Kind::Strings => put_nested(out, number, |out| items(field, scan, |scan| put_text(out, 1, text(field, scan)?)))?,
        Kind::Message(_) | Kind::SchemaOrList(_) | Kind::SchemaOrBool(_) | Kind::SchemaOrStrings(_) => {
            unreachable!("messages are written by `value`")
        }
    }
    Ok(())
}

/// Copies the fields of one level of embedded messages, each of which is one field of the level above.
fn level(message: &Message, segments: &[Segment], depth: usize, from: &[u8], to: &mut Vec<u8>) -> Written {
    let path = |segment: &Segment| &message.fields[segment.field as usize].path;
    let mut rest = segments;
    while let [segment, after @ ..] = rest {
        let number = path(segment)[depth];
        if path(segment).len() == depth + 1 {
            to.extend_from_slice(&from[segment.start..segment.end]);
            rest = after;
        } else {
            let end = rest.iter().position(|segment| path(segment)[depth] != number).unwrap_or(rest.len());
            let (embedded, after) = rest.split_at(end);
            put_nested(to, number, |to| level(message, embedded, depth + 1, from, to))?;
            rest = after;
        }
    }
    Ok(())
}

fn items<'a>(field: &FieldPlan, scan: &mut Scan<'a>, mut item: impl FnMut(&mut Scan<'a>) -> Written) -> Written {
    if !scan.take(b'[') {
        return Err(misfit(field, "not a list"));
    }
    let mut more = !scan.take(b']');
    while more {
        item(scan)?;
        more = scan.goes_on(b']')?;
    }
    Ok(())
}

#[inline]
fn text<'a>(field: &FieldPlan, scan: &mut Scan<'a>) -> Result<Text<'a>, CodecError> {
    if scan.peek() == b'"' { scan.string() } else { Err(misfit(field, "not a string")) }
}

#[inline]
fn put_text(out: &mut Vec<u8>, number: u32, text: Text<'_>) -> Written {
    if text.escaped {
        return put_nested(out, number, |out| text.put(out));
    }
    put_bytes(out, number, text.raw);
    Ok(())
}

/// Also what is written as `1.0`.
fn integer(field: &FieldPlan, scan: &mut Scan<'_>) -> Result<i64, CodecError> {
    let text = scan.number().unwrap_or_default();
    let whole = |number: &f64| number.fract() == 0.0 && number.abs() < 9e15;
    let rounded = || text.parse::<f64>().ok().filter(whole).map(|number| number as i64);
    text.parse().ok().or_else(rounded).ok_or_else(|| misfit(field, "not an integer"))
}

/// Seconds since 1970 and nanoseconds, which always count forwards.
fn time(field: &FieldPlan, text: &[u8]) -> Result<(i64, i32), CodecError> {
    let wrong = || misfit(field, "not a time");
    if field.kind == Kind::Time
        && let Some(seconds) = utc_seconds(text)
    {
        return Ok((seconds, 0));
    }
    let text = std::str::from_utf8(text).map_err(|_| wrong())?;
    if field.kind == Kind::Time {
        return scalar::parse_time(text).map(|time| (time.as_second(), 0)).map_err(|_| wrong());
    }
    let time = scalar::parse_micro_time(text).map_err(|_| wrong())?;
    let nanos = time.subsec_nanosecond() / 1000 * 1000;
    Ok(if nanos < 0 { (time.as_second() - 1, nanos + 1_000_000_000) } else { (time.as_second(), nanos) })
}

/// Reads the form in which times of whole seconds are stored, `2026-01-02T03:04:05Z`; `None` for any other.
fn utc_seconds(text: &[u8]) -> Option<i64> {
    let text: &[u8; 20] = text.try_into().ok()?;
    let digit = |at: usize| Some(i64::from(text[at].checked_sub(b'0').filter(|digit| *digit < 10)?));
    let two = |at: usize| Some(digit(at)? * 10 + digit(at + 1)?);
    let (year, month, day) = (two(0)? * 100 + two(2)?, two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    let punctuated = [text[4], text[7], text[10], text[13], text[16], text[19]] == *b"--T::Z";
    // The last days of months are left to the calendar behind us.
    if !punctuated || !(1..=12).contains(&month) || !(1..=28).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Years from March on: the leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + (month * 153 + 2) / 5 + day - 1;
    const DAYS_TO_1970: i64 = 719_468;
    Some((days - DAYS_TO_1970) * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_times_are_read_as_the_calendar_reads_them() {
        for day in -719_000..300_000i64 {
            let time = jiff::Timestamp::from_second(day * 86_400 + day.rem_euclid(86_400)).unwrap();
            let text = scalar::format_time(time);
            if let Some(seconds) = utc_seconds(text.as_bytes()) {
                assert_eq!(seconds, time.as_second(), "{text}");
            } else {
                assert!(text[8..10].parse::<u8>().unwrap() > 28, "{text}");
            }
        }
        for other in ["", "2026-01-02T03:04:05+00:00", "2026-01-02t03:04:05Z", "2026-13-02T03:04:05Z", "2026-01-02T24:04:05Z"] {
            assert_eq!(utc_seconds(other.as_bytes()), None, "{other}");
        }
    }
}
