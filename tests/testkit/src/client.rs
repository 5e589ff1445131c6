//! A small blocking HTTPS client: many writers at once, watches whose connection is cut at will, requests that no decent client sends.
use std::{
    fmt,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    time::Duration,
};

use irori_runtime::{Clock, SignedDuration, Timestamp};
use irori_trust::{Identity, tls};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;
use serde_json::Value;

/// From the first byte of a request to its whole answer; for a watch, between two pieces.
pub const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Of an answer or one event of a watch.
const BODY_BYTES_MAX: usize = 64 << 20;

pub type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Whom to ask, and as whom.
#[derive(Clone)]
pub struct Door {
    pub address: SocketAddr,
    tls: Arc<ClientConfig>,
    token: Option<String>,
    /// The name that it is asked under, instead of its address.
    name: Option<String>,
}

/// What a server answered.
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// One connection that asks one thing after the other.
pub struct Client {
    door: Door,
    open: Option<BufReader<Stream>>,
}

impl Door {
    /// `root` is the file with the home's CA; `identity` a client certificate to show.
    pub fn new(address: SocketAddr, root: &Path, token: Option<&str>, identity: Option<&Identity>) -> Self {
        let root = std::fs::read_to_string(root).expect("read the home's CA");
        let tls = tls::client(&root, identity, &["http/1.1"], &clock(0)).expect("a client's TLS");
        Self { address, tls, token: token.map(str::to_owned), name: None }
    }

    /// The same door by a name that its certificate has.
    pub fn named(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    pub fn client(&self) -> Client {
        Client { door: self.clone(), open: None }
    }

    /// A connection with the handshake done.
    pub fn connect(&self) -> io::Result<Stream> {
        let stream = TcpStream::connect_timeout(&self.address, ANSWER_MAX)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        let name = match &self.name {
            Some(name) => ServerName::try_from(name.clone()).map_err(io::Error::other)?,
            None => ServerName::IpAddress(self.address.ip().into()),
        };
        let session = ClientConnection::new(self.tls.clone(), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(stream)
    }

    /// Sends these bytes and nothing else, and reads what is answered.
    pub fn raw(&self, request: &[u8]) -> io::Result<Answer> {
        exchange(&mut BufReader::new(self.connect()?), request).map(|(answer, _)| answer)
    }

    /// A watch of a collection, from its answer's head on, or the answer that refuses it. `path` has its query.
    pub fn watch(&self, path: &str) -> io::Result<Result<Watch, Answer>> {
        let mut stream = self.connect()?;
        stream.write_all(self.head("GET", path, None, 0).as_bytes())?;
        let cut = Cut(stream.sock.try_clone()?);
        let mut reader = BufReader::new(stream);
        let (status, headers) = head(&mut reader)?;
        if status != 200 {
            let body = body(&mut reader, &headers)?;
            return Ok(Err(Answer { status, headers, body }));
        }
        Ok(Ok(Watch { reader, line: Vec::new(), cut }))
    }

    fn head(&self, method: &str, path: &str, content_type: Option<&str>, length: usize) -> String {
        let token = self.token.as_ref().map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let kind = content_type.map(|kind| format!("Content-Type: {kind}\r\n")).unwrap_or_default();
        format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{token}{kind}Accept: application/json\r\nContent-Length: {length}\r\n\r\n",
            self.name.as_ref().map_or_else(|| self.address.to_string(), |name| format!("{name}:{}", self.address.port())),
        )
    }
}

/// The machine's clock, shifted by some seconds.
pub fn clock(offset: i64) -> Clock {
    Clock::system(Timestamp::UNIX_EPOCH, SignedDuration::from_secs(offset))
}

impl Client {
    /// Asks once. An error says nothing about what the server did with it; the next call connects anew.
    pub fn call(&mut self, method: &str, path: &str, content_type: &str, content: &[u8]) -> io::Result<Answer> {
        let mut reader = match self.open.take() {
            Some(open) => open,
            None => BufReader::new(self.door.connect()?),
        };
        let kind = (!content.is_empty()).then_some(content_type);
        let mut request = self.door.head(method, path, kind, content.len()).into_bytes();
        request.extend_from_slice(content);
        let (answer, whole) = exchange(&mut reader, &request)?;
        if whole && answer.header("connection") != Some("close") {
            self.open = Some(reader);
        }
        Ok(answer)
    }

    pub fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.call("GET", path, "", b"")
    }

    /// Sends an object as JSON.
    pub fn send(&mut self, method: &str, path: &str, object: &Value) -> io::Result<Answer> {
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        self.call(method, path, kind, object.to_string().as_bytes())
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON, `null` where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = String::from_utf8_lossy(&self.body[..self.body.len().min(600)]);
        write!(f, "{} {body}", self.status)
    }
}

/// Lines of a watch as they come.
pub struct Watch {
    reader: BufReader<Stream>,
    line: Vec<u8>,
    cut: Cut,
}

/// Ends a connection from elsewhere, without a word to the other side's TLS.
pub struct Cut(TcpStream);

impl Cut {
    pub fn now(&self) {
        // A connection that has ended by itself is cut enough.
        let _gone = self.0.shutdown(Shutdown::Both);
    }
}

impl Watch {
    pub fn cut(&self) -> Cut {
        Cut(self.cut.0.try_clone().expect("copy a descriptor"))
    }

    /// The next event; `None` when the server ended the watch in order.
    pub fn event(&mut self) -> io::Result<Option<Value>> {
        loop {
            if let Some(end) = self.line.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.line.drain(..=end).collect();
                return serde_json::from_slice(&line).map(Some).map_err(io::Error::other);
            }
            match chunk(&mut self.reader)? {
                Some(piece) => self.line.extend(piece),
                None if self.line.is_empty() => return Ok(None),
                None => return Err(io::Error::other("the watch ended within a line")),
            }
        }
    }
}

/// The answer, and whether the whole request was taken: a server may answer and hang up before it has read everything.
fn exchange(reader: &mut BufReader<Stream>, request: &[u8]) -> io::Result<(Answer, bool)> {
    let stream = reader.get_mut();
    let sent = stream.write_all(request).and_then(|()| stream.flush());
    match (answer(reader), sent) {
        (Ok(answer), sent) => Ok((answer, sent.is_ok())),
        (Err(_), Err(source)) | (Err(source), Ok(())) => Err(source),
    }
}

fn answer(reader: &mut BufReader<Stream>) -> io::Result<Answer> {
    let (status, headers) = head(reader)?;
    let body = body(reader, &headers)?;
    Ok(Answer { status, headers, body })
}

fn line(reader: &mut BufReader<Stream>) -> io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

fn head(reader: &mut BufReader<Stream>) -> io::Result<(u16, Vec<(String, String)>)> {
    let first = line(reader)?;
    let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("`{first}` is no answer")))?;
    let mut headers = Vec::new();
    loop {
        let next = line(reader)?;
        if next.is_empty() {
            return Ok((status, headers));
        }
        let (name, value) = next.split_once(':').ok_or_else(|| io::Error::other(format!("`{next}` is no header")))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn body(reader: &mut BufReader<Stream>, headers: &[(String, String)]) -> io::Result<Vec<u8>> {
    let header = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    let mut body = Vec::new();
    if header("transfer-encoding") == Some("chunked") {
        while let Some(piece) = chunk(reader)? {
            body.extend(piece);
        }
        return Ok(body);
    }
    let length: usize = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    if length > BODY_BYTES_MAX {
        return Err(io::Error::other(format!("an answer of {length} bytes")));
    }
    body.resize(length, 0);
    reader.read_exact(&mut body)?;
    Ok(body)
}

/// One piece of a chunked body; `None` after the last.
fn chunk(reader: &mut BufReader<Stream>) -> io::Result<Option<Vec<u8>>> {
    let size = line(reader)?;
    let size = usize::from_str_radix(&size, 16).map_err(|_| io::Error::other(format!("`{size}` is no length of a chunk")))?;
    if size > BODY_BYTES_MAX {
        return Err(io::Error::other(format!("a chunk of {size} bytes")));
    }
    let mut piece = vec![0; size];
    reader.read_exact(&mut piece)?;
    line(reader)?;
    Ok((size > 0).then_some(piece))
}
