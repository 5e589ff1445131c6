//! Answers as bytes, fitted to what the asker takes.
use hickory_proto::op::{Message, ResponseCode};

use super::question::respond;

/// The message in at most `bytes_max`: whole if it fits; else as many answers as fit, marked truncated, so that the asker comes
/// again by TCP and one that cannot still has something. `None` if not even the question fits or can be written.
pub fn encode(mut message: Message, bytes_max: usize) -> Option<Vec<u8>> {
    match message.to_vec() {
        Ok(bytes) if bytes.len() <= bytes_max => return Some(bytes),
        Ok(_) => {}
        Err(_) => return respond(&message, ResponseCode::ServFail).to_vec().ok().filter(|bytes| bytes.len() <= bytes_max),
    }
    message.metadata.truncation = true;
    message.additionals.clear();
    message.authorities.clear();
    let answers = std::mem::take(&mut message.answers);
    // More answers are more bytes: halve the uncertainty until it is one answer.
    let (mut fitting, mut best, mut too_many) =
        (0, message.to_vec().ok().filter(|bytes| bytes.len() <= bytes_max), answers.len());
    while fitting + 1 < too_many {
        let middle = usize::midpoint(fitting, too_many);
        message.answers = answers[..middle].to_vec();
        match message.to_vec() {
            Ok(bytes) if bytes.len() <= bytes_max => (fitting, best) = (middle, Some(bytes)),
            _ => too_many = middle,
        }
    }
    best
}
