//! Answers of upstream servers, for as long as they said.
use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use hickory_proto::{
    op::ResponseCode,
    rr::{Name, RData, Record, RecordType},
};
use tokio::time::Instant;

/// Answers kept. Above this the one that ends first is forgotten.
const ANSWERS_MAX: usize = 2_048;
/// Records of an answer that is kept; longer ones are passed on and not kept.
const RECORDS_MAX: usize = 32;
const TIME_MAX: Duration = Duration::from_secs(3_600);
/// That there is nothing (RFC 2308, section 5).
const NOTHING_TIME_MAX: Duration = Duration::from_secs(300);

/// What is asked upstream; the name in lower case.
pub type Asked = (Name, RecordType);

/// What an upstream server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub code: ResponseCode,
    pub answers: Vec<Record>,
    pub authorities: Vec<Record>,
}

impl Reply {
    pub fn failure() -> Self {
        Self { code: ResponseCode::ServFail, answers: Vec::new(), authorities: Vec::new() }
    }

    /// How long it may be kept; `None`: not at all.
    fn time(&self) -> Option<Duration> {
        let seconds = |records: &[Record]| records.iter().map(|record| record.ttl).min();
        let (ttl, limit) = match (self.code, self.answers.is_empty()) {
            (ResponseCode::NoError, false) => (seconds(&self.answers)?, TIME_MAX),
            (ResponseCode::NoError | ResponseCode::NXDomain, _) => {
                let soa = self.authorities.iter().find_map(|record| match &record.data {
                    RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
                    _ => None,
                });
                (soa?, NOTHING_TIME_MAX)
            }
            _ => return None,
        };
        Some(Duration::from_secs(u64::from(ttl)).min(limit)).filter(|time| !time.is_zero())
    }
}

struct Kept {
    reply: Reply,
    since: Instant,
    until: (Instant, u64),
}

/// The answers that are known.
#[derive(Default)]
pub struct Cache {
    kept: HashMap<Asked, Kept>,
    /// Ends, each with a number that makes it unique.
    ends: BTreeMap<(Instant, u64), Asked>,
    count: u64,
}

impl Cache {
    /// The answer if one is known, with the time to live that is left.
    pub fn get(&self, asked: &Asked, now: Instant) -> Option<Reply> {
        let kept = self.kept.get(asked).filter(|kept| kept.until.0 > now)?;
        let age = u32::try_from(now.duration_since(kept.since).as_secs()).unwrap_or(u32::MAX);
        let mut reply = kept.reply.clone();
        for record in reply.answers.iter_mut().chain(&mut reply.authorities) {
            record.decrement_ttl(age.min(record.ttl));
        }
        Some(reply)
    }

    pub fn put(&mut self, asked: Asked, reply: &Reply, now: Instant) {
        let Some(time) = reply.time().filter(|_| reply.answers.len() + reply.authorities.len() <= RECORDS_MAX) else {
            return;
        };
        self.count += 1;
        let until = (now + time, self.count);
        if let Some(before) = self.kept.insert(asked.clone(), Kept { reply: reply.clone(), since: now, until }) {
            self.ends.remove(&before.until);
        }
        self.ends.insert(until, asked);
        while self.kept.len() > ANSWERS_MAX {
            let Some((_, asked)) = self.ends.pop_first() else { break };
            self.kept.remove(&asked);
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.kept.len()
    }
}
