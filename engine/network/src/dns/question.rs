//! What may be asked, and the errors for what may not.
use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{DNSClass, RecordType},
};

/// Bytes of a message's fixed part.
const HEADER_BYTES: usize = 12;
/// The bit of the header's third byte that marks an answer.
const IS_ANSWER: u8 = 0x80;
/// What we take over UDP, and the most that we send: fits into any path without fragments (DNS flag day 2020).
pub const UDP_BYTES_MAX: u16 = 1_232;
/// What a client takes that does not say (RFC 1035, section 4.2.1).
const UDP_BYTES_OLD: u16 = 512;

/// A question that may be asked.
pub struct Question {
    pub request: Message,
    pub query: Query,
}

/// What to do with a packet.
pub enum Read {
    Ask(Box<Question>),
    /// Answer with this at once.
    Refuse(Box<Message>),
    /// Say nothing: it is no question, and answering answers is how loops begin.
    Ignore,
}

/// Reads a packet from anybody.
pub fn read(packet: &[u8]) -> Read {
    if packet.len() < HEADER_BYTES || packet[2] & IS_ANSWER != 0 {
        return Read::Ignore;
    }
    let Ok(request) = Message::from_vec(packet) else {
        let id = u16::from_be_bytes([packet[0], packet[1]]);
        return Read::Refuse(Box::new(Message::error_msg(id, OpCode::Query, ResponseCode::FormErr)));
    };
    match refusal(&request) {
        Some(code) => Read::Refuse(Box::new(respond(&request, code))),
        None => {
            let query = request.queries[0].clone();
            Read::Ask(Box::new(Question { request, query }))
        }
    }
}

fn refusal(request: &Message) -> Option<ResponseCode> {
    if request.metadata.message_type != MessageType::Query || request.metadata.op_code != OpCode::Query {
        return Some(ResponseCode::NotImp);
    }
    if request.edns.as_ref().is_some_and(|edns| edns.version() != 0) {
        return Some(ResponseCode::BADVERS);
    }
    let [query] = request.queries.as_slice() else { return Some(ResponseCode::FormErr) };
    if !matches!(query.query_class(), DNSClass::IN | DNSClass::ANY) {
        return Some(ResponseCode::Refused);
    }
    matches!(query.query_type(), RecordType::AXFR | RecordType::IXFR).then_some(ResponseCode::Refused)
}

/// An answer to `request` that says `code` and nothing else yet.
pub fn respond(request: &Message, code: ResponseCode) -> Message {
    let mut response = Message::response(request.metadata.id, request.metadata.op_code);
    response.metadata.recursion_desired = request.metadata.recursion_desired;
    response.metadata.recursion_available = true;
    response.metadata.response_code = code;
    response.queries.clone_from(&request.queries);
    if request.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_BYTES_MAX);
        if code == ResponseCode::BADVERS {
            edns.set_rcode_high(1);
        }
        response.set_edns(edns);
    }
    response
}

/// How much the asker takes over UDP.
pub fn udp_bytes(request: &Message) -> usize {
    let offered = request.edns.as_ref().map_or(UDP_BYTES_OLD, Edns::max_payload);
    usize::from(offered.clamp(UDP_BYTES_OLD, UDP_BYTES_MAX))
}
