//! YAML as a tree that remembers where everything stood.
use granit_parser::{Event, Parser, ScalarStyle, Span};

use crate::diagnostic::{Diagnostic, Place};

/// Nesting of mappings and lists; deeper files are refused.
const DEPTH_MAX: usize = 32;

#[derive(Clone, Debug)]
pub struct Node {
    pub place: Place,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub enum Value {
    Scalar {
        text: String,
        /// Not quoted: may stand for a number, a boolean or nothing.
        plain: bool,
    },
    Map(Vec<(Key, Node)>),
    List(Vec<Node>),
}

#[derive(Clone, Debug)]
pub struct Key {
    pub place: Place,
    pub name: String,
}

fn fault(place: Place, message: impl Into<String>, help: Option<&str>) -> Diagnostic {
    Diagnostic { place, message: message.into(), help: help.map(str::to_owned) }
}

fn place(span: &Span) -> Place {
    let width = if span.start.line() == span.end.line() { span.end.col().saturating_sub(span.start.col()) } else { 1 };
    Place { line: span.start.line(), column: span.start.col() + 1, width: width.max(1) }
}

/// The one document of a text; `None` for an empty one.
pub fn read(text: &str) -> Result<Option<Node>, Diagnostic> {
    let mut events = Events { parser: Parser::new_from_str(text) };
    loop {
        let (event, span) = events.next()?;
        match event {
            Event::StreamEnd => return Ok(None),
            Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
            event => {
                let node = events.node(event, &span, 0)?;
                loop {
                    match events.next()? {
                        (Event::StreamEnd, _) => return Ok(Some(node)),
                        (Event::DocumentStart(..), span) => {
                            return Err(fault(
                                place(&span),
                                "a second document begins here",
                                Some("a home file holds one document"),
                            ));
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}

struct Events<'a> {
    parser: Parser<'a, granit_parser::StrInput<'a>>,
}

impl<'a> Events<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Diagnostic> {
        let next = loop {
            match self.parser.next_event() {
                Some(Ok((Event::Comment(..), _))) => {}
                next => break next,
            }
        };
        match next {
            Some(Ok(next)) => Ok(next),
            Some(Err(source)) => {
                let at = source.marker();
                Err(fault(
                    Place { line: at.line(), column: at.col() + 1, width: 1 },
                    format!("not YAML: {}", source.kind()),
                    None,
                ))
            }
            None => Err(fault(Place { line: 1, column: 1, width: 1 }, "the text ends too early", None)),
        }
    }

    fn node(&mut self, event: Event<'a>, span: &Span, depth: usize) -> Result<Node, Diagnostic> {
        let at = place(span);
        if depth > DEPTH_MAX {
            return Err(fault(at, format!("nested deeper than {DEPTH_MAX}"), None));
        }
        let value = match event {
            Event::Scalar(text, style, ..) => Value::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain },
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break Value::List(items),
                        (event, span) => items.push(self.node(event, &span, depth + 1)?),
                    }
                }
            }
            Event::MappingStart(..) => self.map(depth)?,
            Event::Alias(..) | Event::UnresolvedAlias(..) => {
                return Err(fault(at, "YAML aliases are not read", Some("write the value out")));
            }
            other => return Err(fault(at, format!("unexpected {other:?}"), None)),
        };
        Ok(Node { place: at, value })
    }

    fn map(&mut self, depth: usize) -> Result<Value, Diagnostic> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let key = match event {
                Event::MappingEnd => return Ok(Value::Map(entries)),
                Event::Scalar(name, ..) => Key { place: place(&span), name: name.into_owned() },
                _ => return Err(fault(place(&span), "a name was expected here", None)),
            };
            if let Some((first, _)) = entries.iter().find(|(known, _)| known.name == key.name) {
                let help = format!("it stands first in line {}", first.place.line);
                return Err(fault(key.place, format!("`{}` stands twice", key.name), Some(&help)));
            }
            let (event, span) = self.next()?;
            let node = self.node(event, &span, depth + 1)?;
            entries.push((key, node));
        }
    }
}
