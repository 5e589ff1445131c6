//! The builtin programs of a home: `whoami` says who answered, `page DIR` serves the files of a folder.
//!
//! One static program without dependencies, compiled by `rustc` alone and embedded in irori as an image, so that a first home needs
//! no registry. HTTP/1.1 with keep-alive (RFC 9112), GET and HEAD. PORT says where it listens. After SIGTERM it goes on answering for 2 s,
//! each connection for one more request, so that whoever still sends here has time to look elsewhere.
//! Limits: 64 connections at once, a request head of 16 KiB, 10 s for a head, 30 s idle, request bodies of 1 MiB (read and dropped).
use std::{
    env,
    ffi::OsStr,
    fs, io,
    io::{BufRead, BufReader, BufWriter, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Component, Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

const CONNECTIONS_MAX: usize = 64;
const HEAD_BYTES_MAX: u64 = 16 << 10;
const BODY_BYTES_MAX: u64 = 1 << 20;
const HEAD_MAX: Duration = Duration::from_secs(10);
const IDLE_MAX: Duration = Duration::from_secs(30);

static DRAINING: AtomicBool = AtomicBool::new(false);
const SIGALRM: i32 = 14;
const SIGTERM: i32 = 15;
const DRAIN_SECONDS: u32 = 2;

unsafe extern "C" {
    fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
    fn alarm(seconds: u32) -> u32;
    fn _exit(code: i32) -> !;
}

/// The first process of a container has no default handlers: without this one it would have to be killed.
extern "C" fn on_signal(number: i32) {
    // SAFETY: a handler may only call async-signal-safe functions; alarm and _exit are (POSIX, signal-safety).
    unsafe {
        if number == SIGALRM || DRAINING.swap(true, Ordering::SeqCst) {
            _exit(0);
        }
        alarm(DRAIN_SECONDS);
    }
}

enum Program {
    Whoami,
    Page(PathBuf),
}

struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    keep_alive: bool,
}

struct Answer {
    status: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Body,
}

enum Body {
    Text(Vec<u8>),
    File(fs::File, u64),
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args_os().skip(1).collect();
    let program = match (arguments.first().and_then(|a| a.to_str()), arguments.get(1)) {
        (Some("whoami"), None) => Program::Whoami,
        (Some("page"), Some(folder)) => Program::Page(folder.into()),
        _ => {
            eprintln!("usage: whoami | page DIR (PORT says where to listen, 8080 where it is not set)");
            return ExitCode::from(2);
        }
    };
    // SAFETY: the handler keeps to what a handler may do.
    unsafe {
        signal(SIGTERM, on_signal);
        signal(SIGALRM, on_signal);
    }
    let port = env::var("PORT").ok().and_then(|p| p.parse().ok()).unwrap_or(8080_u16);
    // One socket for both families where the machine has IPv6.
    let listener = match TcpListener::bind(("::", port)).or_else(|_| TcpListener::bind(("0.0.0.0", port))) {
        Ok(listener) => listener,
        Err(source) => {
            eprintln!("listen on port {port}: {source}");
            return ExitCode::FAILURE;
        }
    };
    println!("listening on port {port}");
    let (program, open) = (Arc::new(program), Arc::new(AtomicUsize::new(0)));
    for stream in listener.incoming() {
        let Ok(stream) = stream else { continue };
        if open.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS_MAX {
            open.fetch_sub(1, Ordering::SeqCst);
            let busy = Answer {
                status: "503 Service Unavailable",
                headers: vec![("Retry-After", "1".to_owned())],
                body: Body::Text(b"busy\n".to_vec()),
            };
            let _gone = write(&stream, busy, false, false);
            continue;
        }
        let (program, places) = (program.clone(), open.clone());
        let started = thread::Builder::new().stack_size(128 << 10).spawn(move || {
            let _ended = serve(&program, &stream);
            places.fetch_sub(1, Ordering::SeqCst);
        });
        if started.is_err() {
            open.fetch_sub(1, Ordering::SeqCst);
        }
    }
    ExitCode::SUCCESS
}

fn serve(program: &Program, stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(IDLE_MAX))?;
    let mut reader = BufReader::new(stream);
    loop {
        stream.set_read_timeout(Some(IDLE_MAX))?;
        if reader.fill_buf()?.is_empty() {
            return Ok(());
        }
        stream.set_read_timeout(Some(HEAD_MAX))?;
        let Some(request) = read(&mut reader)? else {
            return write(stream, text("400 Bad Request", "bad request\n"), false, false);
        };
        let head_only = request.method == "HEAD";
        let answer = match (request.method.as_str(), program) {
            ("GET" | "HEAD", Program::Whoami) => whoami(&request, stream),
            (_, Program::Whoami) => whoami(&request, stream),
            ("GET" | "HEAD", Program::Page(folder)) => page(folder, &request),
            (_, Program::Page(_)) => {
                let mut answer = text("405 Method Not Allowed", "only GET and HEAD\n");
                answer.headers.push(("Allow", "GET, HEAD".to_owned()));
                answer
            }
        };
        let whole = drop_body(&mut reader, &request)?;
        let keep_alive = request.keep_alive && whole && !DRAINING.load(Ordering::SeqCst);
        write(stream, answer, head_only, keep_alive)?;
        if !keep_alive {
            return Ok(());
        }
    }
}

/// Reads a request's head; `None` for what is none.
fn read(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut head = reader.take(HEAD_BYTES_MAX);
    let mut line = String::new();
    let mut next = |line: &mut String| -> io::Result<bool> {
        line.clear();
        match head.read_line(line) {
            Ok(_) => Ok(line.ends_with('\n')),
            Err(source) if source.kind() == io::ErrorKind::InvalidData => Ok(false),
            Err(source) => Err(source),
        }
    };
    if !next(&mut line)? {
        return Ok(None);
    }
    let mut words = line.split_ascii_whitespace();
    let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next()) else { return Ok(None) };
    if !version.starts_with("HTTP/1.") || !target.starts_with('/') {
        return Ok(None);
    }
    let mut request =
        Request { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), keep_alive: version == "HTTP/1.1" };
    loop {
        if !next(&mut line)? {
            return Ok(None);
        }
        let text = line.trim_end();
        if text.is_empty() {
            break;
        }
        let Some((name, value)) = text.split_once(':') else { return Ok(None) };
        request.headers.push((name.to_owned(), value.trim().to_owned()));
    }
    match request.header("connection").map(str::to_ascii_lowercase).as_deref() {
        Some("close") => request.keep_alive = false,
        Some("keep-alive") => request.keep_alive = true,
        _ => {}
    }
    Ok(Some(request))
}

/// Reads a request's body away; `false` where the connection cannot be used again.
fn drop_body(reader: &mut impl BufRead, request: &Request) -> io::Result<bool> {
    if request.header("transfer-encoding").is_some() {
        return Ok(false);
    }
    match request.header("content-length").map(str::parse::<u64>) {
        None => Ok(true),
        Some(Ok(length)) if length <= BODY_BYTES_MAX => Ok(io::copy(&mut reader.take(length), &mut io::sink())? == length),
        Some(_) => Ok(false),
    }
}

fn text(status: &'static str, body: &str) -> Answer {
    Answer {
        status,
        headers: vec![("Content-Type", "text/plain; charset=utf-8".to_owned())],
        body: Body::Text(body.as_bytes().to_vec()),
    }
}

fn whoami(request: &Request, stream: &TcpStream) -> Answer {
    if request.target == "/healthz" {
        return text("200 OK", "ok\n");
    }
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut said = format!("Hostname: {}\n", host.trim());
    for (name, variable) in [("Pod", "POD_NAME"), ("IP", "POD_IP"), ("Node", "NODE_NAME")] {
        if let Ok(value) = env::var(variable) {
            said.push_str(&format!("{name}: {value}\n"));
        }
    }
    if let Ok(peer) = stream.peer_addr() {
        said.push_str(&format!("RemoteAddr: {peer}\n"));
    }
    said.push_str(&format!("{} {} HTTP/1.1\n", request.method, request.target));
    for (name, value) in &request.headers {
        // Credentials are not repeated to whoever asks.
        let hidden = ["authorization", "cookie", "proxy-authorization"].iter().any(|secret| name.eq_ignore_ascii_case(secret));
        said.push_str(&format!("{name}: {}\n", if hidden { "(hidden)" } else { value }));
    }
    text("200 OK", &said)
}

fn page(folder: &Path, request: &Request) -> Answer {
    let path = request.target.split(['?', '#']).next().unwrap_or_default();
    if path == "/healthz" && !folder.join("healthz").exists() {
        return text("200 OK", "ok\n");
    }
    let Some(mut file) = decode(path)
        .map(PathBuf::from)
        .filter(|p| p.components().all(|c| matches!(c, Component::Normal(_) | Component::RootDir)))
    else {
        return text("400 Bad Request", "bad path\n");
    };
    file = folder.join(file.strip_prefix("/").unwrap_or(&file));
    if file.is_dir() {
        if !path.ends_with('/') {
            let mut answer = text("308 Permanent Redirect", "");
            answer.headers.push(("Location", format!("{path}/")));
            return answer;
        }
        file.push("index.html");
    }
    let opened = fs::File::open(&file).and_then(|open| open.metadata().map(|meta| (open, meta)));
    let Ok((open, meta)) = opened else { return text("404 Not Found", "not found\n") };
    if !meta.is_file() {
        return text("404 Not Found", "not found\n");
    }
    let changed = meta.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok()).map_or(0, |d| d.as_nanos());
    let tag = format!("\"{changed:x}-{:x}\"", meta.len());
    let known = request.header("if-none-match").is_some_and(|tags| {
        tags.split(',').any(|t| matches!(t.trim().trim_start_matches("W/"), "*") || t.trim().trim_start_matches("W/") == tag)
    });
    let headers = vec![
        ("Content-Type", content_type(file.extension()).to_owned()),
        ("ETag", tag),
        ("Cache-Control", "no-cache".to_owned()),
        ("X-Content-Type-Options", "nosniff".to_owned()),
    ];
    if known {
        return Answer { status: "304 Not Modified", headers, body: Body::Text(Vec::new()) };
    }
    Answer { status: "200 OK", headers, body: Body::File(open, meta.len()) }
}

/// Percent-decoding (RFC 3986, 2.1); `None` for what is broken or holds NUL.
fn decode(path: &str) -> Option<String> {
    let mut out = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(out).ok().filter(|text| !text.contains('\0'))
}

fn content_type(extension: Option<&OsStr>) -> &'static str {
    match extension.and_then(OsStr::to_str).map(str::to_ascii_lowercase).as_deref() {
        Some("html" | "htm") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("json" | "map") => "application/json",
        Some("txt" | "md") => "text/plain; charset=utf-8",
        Some("xml") => "application/xml",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("gif") => "image/gif",
        Some("webp") => "image/webp",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("wasm") => "application/wasm",
        Some("pdf") => "application/pdf",
        Some("webmanifest") => "application/manifest+json",
        _ => "application/octet-stream",
    }
}

fn write(stream: &TcpStream, answer: Answer, head_only: bool, keep_alive: bool) -> io::Result<()> {
    let length = match &answer.body {
        Body::Text(text) => text.len() as u64,
        Body::File(_, length) => *length,
    };
    let mut out = BufWriter::new(stream);
    write!(
        out,
        "HTTP/1.1 {}\r\nServer: irori\r\nConnection: {}\r\n",
        answer.status,
        if keep_alive { "keep-alive" } else { "close" }
    )?;
    for (name, value) in &answer.headers {
        write!(out, "{name}: {value}\r\n")?;
    }
    if !answer.status.starts_with("304") {
        write!(out, "Content-Length: {length}\r\n")?;
    }
    out.write_all(b"\r\n")?;
    if !head_only {
        match answer.body {
            Body::Text(text) => out.write_all(&text)?,
            Body::File(file, length) => {
                // A file that shrank meanwhile ends the connection: the length was promised.
                if io::copy(&mut file.take(length), &mut out)? != length {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
    }
    out.flush()
}
