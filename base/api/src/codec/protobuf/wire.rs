//! The wire format of protobuf: varints, tags, lengths.
use super::CodecError;

pub const VARINT: u32 = 0;
pub const FIXED64: u32 = 1;
pub const BYTES: u32 = 2;
const FIXED32: u32 = 5;

const TRUNCATED: CodecError = CodecError::Protobuf("unexpected EOF");

#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes that a varint takes.
pub fn varint_bytes(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

#[inline]
pub fn put_tag(out: &mut Vec<u8>, number: u32, kind: u32) {
    put_varint(out, u64::from(number << 3 | kind));
}

#[inline]
pub fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_tag(out, number, BYTES);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes what `write` writes as the content of a field with a length before it.
pub fn put_nested<E>(out: &mut Vec<u8>, number: u32, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
    put_tag(out, number, BYTES);
    let start = out.len();
    out.push(0);
    write(out)?;
    let length = out.len() - start - 1;
    if length < 0x80 {
        out[start] = length as u8;
        return Ok(());
    }
    // The length takes more bytes than the one that was left for it.
    let wide = varint_bytes(length as u64);
    out.resize(out.len() + wide - 1, 0);
    out.copy_within(start + 1..start + 1 + length, start + wide);
    let mut rest = length;
    for byte in &mut out[start..start + wide - 1] {
        *byte = rest as u8 | 0x80;
        rest >>= 7;
    }
    out[start + wide - 1] = rest as u8;
    Ok(())
}

/// One field as it lies on the wire.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32,
}

/// Walks the fields of one message. Reserves nothing.
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub fn next(&mut self) -> Result<Option<(u32, Content<'a>)>, CodecError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = take_varint(&mut self.0)?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0 && *number < 1 << 29);
        let number = number.ok_or(CodecError::Protobuf("illegal tag"))?;
        let content = match tag as u32 & 7 {
            VARINT => Content::Varint(take_varint(&mut self.0)?),
            FIXED64 => {
                let (bytes, rest) = self.0.split_first_chunk::<8>().ok_or(TRUNCATED)?;
                self.0 = rest;
                Content::Fixed64(u64::from_le_bytes(*bytes))
            }
            BYTES => {
                let length = take_varint(&mut self.0)?;
                let length = usize::try_from(length).ok().filter(|length| *length <= self.0.len()).ok_or(TRUNCATED)?;
                let (bytes, rest) = self.0.split_at(length);
                self.0 = rest;
                Content::Bytes(bytes)
            }
            FIXED32 => {
                let (_, rest) = self.0.split_first_chunk::<4>().ok_or(TRUNCATED)?;
                self.0 = rest;
                Content::Fixed32
            }
            _ => return Err(CodecError::Protobuf("illegal wireType")),
        };
        Ok(Some((number, content)))
    }
}

pub fn take_varint(from: &mut &[u8]) -> Result<u64, CodecError> {
    let mut value = 0u64;
    for (index, byte) in from.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            *from = &from[index + 1..];
            return Ok(value);
        }
    }
    Err(if from.len() < 10 { TRUNCATED } else { CodecError::Protobuf("integer overflow") })
}
