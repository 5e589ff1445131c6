//! Items of lists told apart by numbers, so that what a merge asks of long lists again and again is no text.
use hashbrown::HashMap;
use serde_json::Value;

/// What tells an item apart: the value of its merge key, or the item itself.
#[derive(PartialEq, Eq, Hash)]
enum Mark<'v> {
    Text(&'v str),
    /// As JSON.
    Other(String),
}

/// The number of each item of a list; none for those without the key.
type OfList = Vec<Option<usize>>;

/// By number: the first place in a list of items with it.
pub type Places = Vec<Option<usize>>;

/// The items of some lists by number: one for all that have the same mark.
pub struct Numbers<const N: usize> {
    pub lists: [OfList; N],
    count: usize,
}

impl<const N: usize> Numbers<N> {
    pub fn of(lists: [&[Value]; N], key: Option<&str>) -> Self {
        let mut known: HashMap<Mark<'_>, usize> = HashMap::with_capacity(lists.iter().map(|list| list.len()).max().unwrap_or(0));
        let mut number = |item| {
            let mark = match key.map_or(Some(item), |key| Value::get(item, key))? {
                Value::String(text) => Mark::Text(text),
                other => Mark::Other(other.to_string()),
            };
            let next = known.len();
            Some(*known.entry(mark).or_insert(next))
        };
        let lists = lists.map(|list| list.iter().map(&mut number).collect());
        Self { lists, count: known.len() }
    }

    pub fn places(&self, list: usize) -> Places {
        let mut places = vec![None; self.count];
        for (at, number) in self.lists[list].iter().enumerate() {
            if let Some(number) = number {
                places[*number].get_or_insert(at);
            }
        }
        places
    }
}

/// Where an item with a number stands, if it does.
pub fn place(places: &Places, number: Option<usize>) -> Option<usize> {
    places.get(number?).copied().flatten()
}

/// One list of the items that the patch told (in its order) and those that only the server knows (in theirs). An item of the
/// server goes before one of the patch only where it stood before it on the server.
pub fn in_order(items: Vec<(Option<usize>, Value)>, order: &Places, server: &Places) -> Vec<Value> {
    let mut out = Vec::with_capacity(items.len());
    let (mut told, mut untold): (Vec<_>, Vec<_>) = items.into_iter().partition(|(number, _)| place(order, *number).is_some());
    told.sort_by_key(|(number, _)| place(order, *number));
    untold.sort_by_key(|(number, _)| place(server, *number));
    let mut told = told.into_iter().peekable();
    for (number, item) in untold {
        let at = place(server, number);
        while let Some((next, _)) = told.peek() {
            match (at, place(server, *next)) {
                (Some(at), Some(next)) if at < next => break,
                _ => out.extend(told.next().map(|(_, item)| item)),
            }
        }
        out.push(item);
    }
    out.extend(told.map(|(_, item)| item));
    out
}
