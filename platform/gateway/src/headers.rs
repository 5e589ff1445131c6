//! Which headers pass, and what the gateway says of itself (RFC 9110, 7.6.1; RFC 7239).
use std::net::SocketAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Headers that belong to one connection.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What clients may not say about where they come from and what they asked for; besides all that begins with `x-forwarded`.
const CLAIMS: [&str; 8] = [
    "forwarded",
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "x-original-host",
    "x-original-url",
    "x-rewrite-url",
];

fn is_claim(name: &HeaderName) -> bool {
    // To many apps (CGI, WSGI, Rack) `_` and `-` are the same.
    let name = name.as_str().replace('_', "-");
    name.starts_with("x-forwarded") || CLAIMS.contains(&name.as_str())
}

/// The protocol that a message asks to change to.
pub fn upgrade_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let connection = headers.get_all(header::CONNECTION).iter().filter_map(|v| v.to_str().ok());
    let asked = connection.flat_map(|v| v.split(',')).any(|option| option.trim().eq_ignore_ascii_case("upgrade"));
    headers.get(header::UPGRADE).filter(|_| asked).cloned()
}

/// Takes away what belongs to the connection: the known headers, and those that `Connection` names.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|option| option.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
}

/// Replaces every claim about the client by what the gateway knows.
pub fn set_forwarded(headers: &mut HeaderMap, client: SocketAddr, host: &str, port: u16) {
    let claims: Vec<HeaderName> = headers.keys().filter(|name| is_claim(name)).cloned().collect();
    for name in claims {
        headers.remove(name);
    }
    let ip = client.ip().to_canonical();
    let node = if ip.is_ipv6() { format!("\"[{ip}]\"") } else { ip.to_string() };
    let said = [
        ("forwarded", format!("for={node};host=\"{host}\";proto=https")),
        ("x-forwarded-for", ip.to_string()),
        ("x-forwarded-host", host.to_owned()),
        ("x-forwarded-port", port.to_string()),
        ("x-forwarded-proto", "https".to_owned()),
        ("x-real-ip", ip.to_string()),
    ];
    for (name, value) in said {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_the_connection_and_those_it_names_do_not_pass() {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("connection", "close, X-Secret"), ("x-secret", "1"), ("te", "trailers"), ("keep-alive", "5"), ("accept", "*/*")]
        {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["accept"]);
    }

    #[test]
    fn a_client_cannot_pretend_to_be_somebody_else() {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_static("1.2.3.4"));
        headers.insert("forwarded", HeaderValue::from_static("for=1.2.3.4"));
        for other in ["x_forwarded_for", "x-forwarded_proto", "x-forwarded-user", "x_real_ip", "true-client-ip"] {
            headers.insert(HeaderName::from_static(other), HeaderValue::from_static("1.2.3.4"));
        }
        set_forwarded(&mut headers, "192.0.2.7:9".parse().unwrap(), "a.home.arpa", 443);
        assert_eq!(headers["x-forwarded-for"], "192.0.2.7");
        assert_eq!(headers["forwarded"], "for=192.0.2.7;host=\"a.home.arpa\";proto=https");
        assert!(headers.values().all(|value| value != "1.2.3.4"), "{headers:?}");
    }
}
