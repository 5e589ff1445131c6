//! URLs that a stock server cannot read, and why.
//!
//! Source: RFC 3986, and https://pkg.go.dev/net/url#Parse for what is read and how a fault is told.
use irori_api::status::quoted;

/// Why a URL cannot be read.
pub fn fault(url: &str) -> Option<String> {
    let (plain, fragment) = url.split_once('#').unwrap_or((url, ""));
    let told = |of: &str, why: String| format!("parse {}: {why}", quoted(of));
    unreadable(plain).map(|why| told(plain, why)).or_else(|| bad_escape(fragment).map(|why| told(url, why)))
}

fn unreadable(url: &str) -> Option<String> {
    if url.bytes().any(|b| b.is_ascii_control()) {
        return Some("net/url: invalid control character in URL".into());
    }
    if url.starts_with(':') {
        return Some("missing protocol scheme".into());
    }
    let (scheme, rest) = url.split_once(':').filter(|(scheme, _)| super::is_scheme(scheme)).unwrap_or(("", url));
    let rest = rest.split('?').next().unwrap_or("");
    if !rest.starts_with('/') {
        let colon = scheme.is_empty() && rest.split('/').next().is_some_and(|first| first.contains(':'));
        return if colon {
            Some("first path segment in URL cannot contain colon".into())
        } else if scheme.is_empty() {
            bad_escape(rest)
        } else {
            None
        };
    }
    let Some(authority) = rest.strip_prefix("//").filter(|rest| !scheme.is_empty() || !rest.starts_with('/')) else {
        return bad_escape(rest);
    };
    let (authority, path) = authority.split_at(authority.find('/').unwrap_or(authority.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    bad_host(host).or_else(|| bad_escape(path))
}

fn bad_host(host: &str) -> Option<String> {
    let port = if host.starts_with('[') {
        let Some(end) = host.rfind(']') else { return Some("missing ']' in host".into()) };
        &host[end + 1..]
    } else {
        host.rfind(':').map_or("", |at| &host[at..])
    };
    let digits = port.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
    if !port.is_empty() && !digits {
        return Some(format!("invalid port {} after host", quoted(port)));
    }
    let strange = |c: &char| c.is_ascii() && !c.is_ascii_alphanumeric() && !"-_.~!$&'()*+,;=:[]<>\"%".contains(*c);
    bad_escape(host)
        .or_else(|| host.chars().find(strange).map(|c| format!("invalid character {} in host name", quoted(&c.to_string()))))
}

/// A percent sign without two digits after it.
fn bad_escape(part: &str) -> Option<String> {
    let bytes = part.as_bytes();
    let is_bad = |at: &usize| !bytes.get(at + 1..at + 3).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
    let at = part.match_indices('%').map(|(at, _)| at).find(is_bad)?;
    let shown: String = part[at..].chars().take(3).collect();
    Some(format!("invalid URL escape {}", quoted(&shown)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_told_as_stock_servers_tell_it() {
        for (url, why) in [
            ("https://h/%zz", "parse \"https://h/%zz\": invalid URL escape \"%zz\""),
            ("https://h/a%2", "parse \"https://h/a%2\": invalid URL escape \"%2\""),
            ("https://h:x/", "parse \"https://h:x/\": invalid port \":x\" after host"),
            ("https://[::1", "parse \"https://[::1\": missing ']' in host"),
            (" https://h", "parse \" https://h\": first path segment in URL cannot contain colon"),
            (":https", "parse \":https\": missing protocol scheme"),
            ("https://h\t/", "parse \"https://h\\t/\": net/url: invalid control character in URL"),
            ("https://h h/", "parse \"https://h h/\": invalid character \" \" in host name"),
        ] {
            assert_eq!(fault(url).as_deref(), Some(why), "{url}");
        }
    }

    #[test]
    fn what_can_be_read_may_still_be_of_no_use() {
        for url in
            ["https://h:8443/a%20b", "https://[::1]:443/", "", "abc", "mailto:a%zz", "//h/p", "https://u@h?a=%zz#f", "https://h:"]
        {
            assert_eq!(fault(url), None, "{url}");
        }
    }
}
