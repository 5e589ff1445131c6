//! One request on its way through the stages.
use std::sync::{Arc, Mutex};

use http::HeaderMap;
use irori_http::{Body, Peer};

use crate::{identity::UserInfo, limits, query::Query, route::Asked};

/// Where a request came in. Only the in-process entrance may say who it is.
#[derive(Clone, Debug)]
pub enum Entrance {
    Network(Option<Peer>),
    InProcess(Arc<UserInfo>),
}

/// What the stages know of a request.
pub struct Call {
    pub asked: Asked,
    pub query: Query,
    pub headers: HeaderMap,
    pub entrance: Entrance,
    /// Who asks; anonymous until the authn stage has run, the impersonated one after impersonation.
    pub user: UserInfo,
    /// Taken by the decode stage.
    body: Mutex<Option<Body>>,
    /// For exec.
    upgrade: Mutex<Option<hyper::upgrade::OnUpgrade>>,
    /// Each becomes a Warning header.
    pub warnings: Vec<String>,
}

impl Call {
    pub fn open(request: irori_http::Request, entrance: Entrance) -> Self {
        let (mut parts, body) = request.into_parts();
        let query = Query::parse(parts.uri.query());
        Self {
            asked: crate::route::read(&parts.method, parts.uri.path(), &query),
            query,
            headers: parts.headers,
            entrance,
            user: UserInfo::anonymous(),
            body: Mutex::new(Some(body)),
            upgrade: Mutex::new(parts.extensions.remove::<hyper::upgrade::OnUpgrade>()),
            warnings: Vec::new(),
        }
    }

    /// The body, for the first who asks.
    pub fn take_body(&mut self) -> Option<Body> {
        self.body.get_mut().expect("no holder of this lock panics").take()
    }

    /// The connection behind an upgrade, for the first who asks.
    pub fn take_upgrade(&mut self) -> Option<hyper::upgrade::OnUpgrade> {
        self.upgrade.get_mut().expect("no holder of this lock panics").take()
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|v| v.to_str().ok())
    }

    /// The texts of the Warning headers, within their limits.
    pub fn told_warnings(&self) -> Vec<String> {
        let chars = |text: &String| text.chars().count();
        if self.warnings.iter().map(chars).sum::<usize>() <= limits::WARNINGS_CHARS_MAX {
            return self.warnings.clone();
        }
        let mut whole = 0;
        let fit = self.warnings.iter().take_while(|text| {
            whole += chars(text);
            whole <= limits::WARNINGS_CHARS_MAX
        });
        // Those that had fit, and the one that did not, are told in any case.
        let sure = fit.count() + 1;
        let mut written = 0;
        let short = self.warnings.iter().map(|text| text.chars().take(limits::WARNING_CHARS_MAX).collect::<String>());
        let more = short.enumerate().take_while(|(i, text)| {
            let told = *i < sure || written < limits::WARNINGS_CHARS_MAX;
            written += chars(text);
            told
        });
        more.map(|(_, text)| text).collect()
    }

    /// Adds a Warning header, once.
    pub fn warn(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.warnings.contains(&text) {
            self.warnings.push(text);
        }
    }
}
