//! The fields of a type: in the order of their names, found by a hash.
use std::{hash::BuildHasher, ops::Index, sync::OnceLock};

use hashbrown::{DefaultHashBuilder, HashTable};

use super::Field;

/// Walks over objects ask for a field at each step: a type has some tens of them, and comparing names is most of such a search.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    /// Sorted by name.
    all: Vec<(String, Field)>,
    /// Places in `all`, made at the first question.
    places: OnceLock<(DefaultHashBuilder, HashTable<u32>)>,
}

impl Fields {
    /// The place of a field among all of them, and the field.
    pub fn find(&self, name: &str) -> Option<(usize, &Field)> {
        let (hasher, places) = self.places.get_or_init(|| self.indexed());
        let at = *places.find(hasher.hash_one(name), |at| self.all[*at as usize].0 == name)? as usize;
        Some((at, &self.all[at].1))
    }

    /// The field at a place; there has to be one.
    pub fn at(&self, place: usize) -> (&String, &Field) {
        let (name, field) = &self.all[place];
        (name, field)
    }

    pub fn get(&self, name: &str) -> Option<&Field> {
        self.find(name).map(|(_, field)| field)
    }

    pub fn contains_key(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// In the order of their names.
    pub fn iter(&self) -> Iter<'_> {
        let apart: fn(&(String, Field)) -> (&String, &Field) = |(name, field)| (name, field);
        self.all.iter().map(apart)
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Sets a field; one of that name is replaced. Only while a type is made: its `form` goes by places.
    pub(crate) fn insert(&mut self, name: String, field: Field) {
        self.places.take();
        match self.all.binary_search_by(|(known, _)| known.cmp(&name)) {
            Ok(at) => self.all[at].1 = field,
            Err(at) => self.all.insert(at, (name, field)),
        }
    }

    fn indexed(&self) -> (DefaultHashBuilder, HashTable<u32>) {
        let hasher = DefaultHashBuilder::default();
        let hash = |at: &u32| hasher.hash_one(self.all[*at as usize].0.as_str());
        let mut places = HashTable::with_capacity(self.all.len());
        for at in 0..u32::try_from(self.all.len()).expect("a type has no 4 thousand million fields") {
            places.insert_unique(hash(&at), at, hash);
        }
        (hasher, places)
    }
}

type Iter<'a> = std::iter::Map<std::slice::Iter<'a, (String, Field)>, fn(&(String, Field)) -> (&String, &Field)>;

impl<'a> IntoIterator for &'a Fields {
    type Item = (&'a String, &'a Field);
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Index<&str> for Fields {
    type Output = Field;

    fn index(&self, name: &str) -> &Field {
        self.get(name).unwrap_or_else(|| panic!("no field `{name}`"))
    }
}
