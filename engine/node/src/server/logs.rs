//! Logs of a container.
use std::sync::Arc;

use futures::TryStreamExt;
use irori_http::{BoxError, Response};
use irori_runtime::{SignedDuration, Timestamp};

use super::{Answer, Refused, query::Query};
use crate::{
    pods::site::{ContainerView, Site},
    runtime::{LogOptions, LogSource},
};

pub async fn logs(site: &Arc<Site>, namespace: &str, pod: &str, container: &str, query: &Query) -> Answer {
    let view = find(site, namespace, pod, container)?;
    let options = options(query, site.clock.now())?;
    let id = if query.flag(["previous", "previous"]) {
        view.previous
            .ok_or_else(|| Refused::bad(format!("previous terminated container \"{container}\" in pod \"{pod}\" not found")))?
    } else {
        let waiting =
            || Refused::bad(format!("container \"{container}\" in pod \"{pod}\" is waiting to start: {}", view.waiting));
        view.present.clone().ok_or_else(waiting)?
    };
    let stream = site.runtime.logs(&id, options).await.map_err(|source| Refused::bad(source.to_string()))?;
    let body = irori_http::stream(stream.map_err(|source| -> BoxError { source.into() }));
    let mut response = Response::new(body);
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
    Ok(response)
}

/// The container of a pod that is here.
pub fn find(site: &Site, namespace: &str, pod: &str, container: &str) -> Result<ContainerView, Refused> {
    let view = site.board.find(namespace, pod);
    let view = view.ok_or_else(|| Refused::not_found(format!("pod \"{pod}\" not found in namespace \"{namespace}\"")))?;
    let found = view.containers.into_iter().find(|c| c.name == container);
    found.ok_or_else(|| Refused::bad(format!("container {container} is not valid for pod {pod}")))
}

fn options(query: &Query, now: Timestamp) -> Result<LogOptions, Refused> {
    let number = |key: &str| match query.get(key).map(str::parse::<u64>) {
        None => Ok(None),
        Some(Ok(number)) => Ok(Some(number)),
        Some(Err(_)) => Err(Refused::bad(format!("{key} is no whole number"))),
    };
    let since = match (number("sinceSeconds")?, query.get("sinceTime")) {
        (Some(_), Some(_)) => return Err(Refused::bad("at most one of sinceTime or sinceSeconds may be specified")),
        (Some(seconds), None) => {
            let back = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
            Some(now.checked_sub(back).unwrap_or(Timestamp::MIN))
        }
        (None, Some(text)) => Some(text.parse().map_err(|_| Refused::bad("sinceTime is no RFC 3339 time"))?),
        (None, None) => None,
    };
    let stream = match query.get("stream") {
        None | Some("All") => None,
        Some("Stdout") => Some(LogSource::Stdout),
        Some("Stderr") => Some(LogSource::Stderr),
        Some(other) => return Err(Refused::bad(format!("stream `{other}` is none of All, Stdout, Stderr"))),
    };
    Ok(LogOptions {
        follow: query.flag(["follow", "follow"]),
        tail_lines: number("tailLines")?,
        since,
        limit_bytes: number("limitBytes")?,
        timestamps: query.flag(["timestamps", "timestamps"]),
        stream,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_longer_ago_than_time_is_since_ever() {
        for seconds in ["1099511627776", "9223372036854775807", "18446744073709551615"] {
            let request = http::Request::builder().uri(format!("/?sinceSeconds={seconds}")).body(irori_http::empty());
            let query = Query::of(&request.expect("a request"));
            let options = options(&query, Timestamp::UNIX_EPOCH).expect("taken");
            assert_eq!(options.since, Some(Timestamp::MIN), "{seconds}");
        }
    }
}
