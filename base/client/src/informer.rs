//! One live copy of a collection for all its readers.
use std::{
    any::{Any, TypeId},
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak},
};

use irori_runtime::{OnEnd, Shutdown, Tasks};
use serde::de::DeserializeOwned;

use crate::{Change, ChangeStream, Collection, Event, Key, changes::Mailbox, source::follow};

/// What can be watched by type.
pub trait Watched: kube::Resource<DynamicType = ()> + DeserializeOwned + Send + Sync + 'static {}
impl<K: kube::Resource<DynamicType = ()> + DeserializeOwned + Send + Sync + 'static> Watched for K {}

/// The informers of a process. Clones share them. Two readers of the same collection share one watch, which ends with its last reader.
#[derive(Clone)]
pub struct Informers(Arc<Inner>);

struct Inner {
    client: kube::Client,
    tasks: Tasks,
    running: Mutex<HashMap<(TypeId, Collection), Box<dyn Any + Send + Sync>>>,
}

impl fmt::Debug for Informers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Informers(..)")
    }
}

impl Informers {
    /// `client` should be a read-only identity that cannot read Secrets.
    pub fn new(client: kube::Client, tasks: Tasks) -> Self {
        Self(Arc::new(Inner { client, tasks, running: Mutex::default() }))
    }

    /// All of `K`.
    pub fn of<K: Watched>(&self) -> Informer<K> {
        self.of_collection(Collection::of::<K>())
    }

    /// What of `K` matches both selectors (`spec.nodeName=n1`, `app=web`); an empty selector matches everything.
    pub fn of_selected<K: Watched>(&self, fields: &str, labels: &str) -> Informer<K> {
        self.of_collection(Collection { fields: fields.to_owned(), labels: labels.to_owned(), ..Collection::of::<K>() })
    }

    /// As `of_selected`, in one namespace: what an identity that may only read there can ask for.
    pub fn of_namespace<K: Watched>(&self, namespace: &str, fields: &str, labels: &str) -> Informer<K> {
        self.of_collection(Collection {
            path: K::url_path(&(), Some(namespace)),
            fields: fields.to_owned(),
            labels: labels.to_owned(),
            metadata_only: K::metadata_api(),
        })
    }

    fn of_collection<K: Watched>(&self, collection: Collection) -> Informer<K> {
        let mut running = self.0.running.lock().expect("no holder of this lock panics");
        let slot = (TypeId::of::<K>(), collection.clone());
        let known = running.get(&slot).and_then(|any| any.downcast_ref::<Weak<Watch<K>>>()).and_then(Weak::upgrade);
        if let Some(watch) = known {
            return Informer(watch);
        }
        running.retain(|_, any| any.downcast_ref::<Weak<Watch<K>>>().is_none_or(|weak| weak.strong_count() > 0));
        let watch = Watch::<K>::start(self.0.client.clone(), collection, &self.0.tasks);
        running.insert(slot, Box::new(Arc::downgrade(&watch)));
        Informer(watch)
    }
}

/// The live copy of one collection. Clones share it. Reads never wait for the network: before `synced` they see what is known so far.
pub struct Informer<K>(Arc<Watch<K>>);

impl<K> Clone for Informer<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K> fmt::Debug for Informer<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Informer({} objects)", self.0.cache.read().objects.len())
    }
}

impl<K: Watched> Informer<K> {
    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.0.cache.read().objects.get(key).cloned()
    }

    /// All objects, in order of namespace and name.
    pub fn list(&self) -> Vec<Arc<K>> {
        self.0.cache.read().objects.values().cloned().collect()
    }

    /// All objects of a namespace, in order of name.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<K>> {
        let cache = self.0.cache.read();
        let from = cache.objects.range(Key::new(namespace, "")..);
        from.take_while(|(key, _)| key.namespace == namespace).map(|(_, object)| object.clone()).collect()
    }

    /// Waits until everything that was there at the start has been seen once. Never returns while the API cannot be reached.
    pub async fn synced(&self) {
        let mut synced = self.0.cache.synced.subscribe();
        // The sender lives as long as this informer.
        let _sender_lives = synced.wait_for(|done| *done).await;
    }

    /// Whether `synced` would return at once.
    pub fn is_synced(&self) -> bool {
        *self.0.cache.synced.borrow()
    }

    /// The newest revision that this copy has seen; 0 before the first list.
    pub fn revision(&self) -> u64 {
        self.0.cache.read().revision
    }

    /// A stream of its own for a reader; starts with all present objects as creations.
    pub fn changes(&self) -> ChangeStream<K> {
        let mut state = self.0.cache.state.write().expect("no holder of this lock panics");
        let mailbox = Mailbox::new(state.objects.iter().map(|(key, object)| (key.clone(), object.clone())));
        if state.closed {
            mailbox.close();
        }
        state.readers.push(Arc::downgrade(&mailbox));
        ChangeStream { mailbox, _watch: self.0.clone() }
    }
}

/// The cache and the task that feeds it; dropping the last one ends the task.
struct Watch<K> {
    cache: Arc<Cache<K>>,
    stop: Shutdown,
}

impl<K> Drop for Watch<K> {
    fn drop(&mut self) {
        self.stop.start();
    }
}

impl<K: Watched> Watch<K> {
    fn start(client: kube::Client, collection: Collection, tasks: &Tasks) -> Arc<Self> {
        let watch = Arc::new(Self { cache: Arc::new(Cache::new()), stop: tasks.shutdown().child() });
        let (cache, stop) = (watch.cache.clone(), watch.stop.clone());
        tasks.spawn("informer", OnEnd::Contained, async move {
            follow(client, collection, stop, |event| cache.take(event)).await;
            cache.close();
            Ok::<(), Infallible>(())
        });
        watch
    }
}

struct Cache<K> {
    state: RwLock<State<K>>,
    synced: tokio::sync::watch::Sender<bool>,
}

struct State<K> {
    objects: BTreeMap<Key, Arc<K>>,
    readers: Vec<Weak<Mailbox<K>>>,
    closed: bool,
    /// The newest revision seen.
    revision: u64,
}

impl<K> Cache<K> {
    fn read(&self) -> RwLockReadGuard<'_, State<K>> {
        self.state.read().expect("no holder of this lock panics")
    }
}

impl<K: Watched> Cache<K> {
    fn new() -> Self {
        let state = State { objects: BTreeMap::new(), readers: Vec::new(), closed: false, revision: 0 };
        Self { state: RwLock::new(state), synced: tokio::sync::watch::Sender::new(false) }
    }

    /// Objects and revision change together under one lock, so that no reader sees one without the other.
    fn take(&self, event: Event<K>) {
        match event {
            Event::Listed { objects, revision } => {
                let objects = objects.into_iter().map(|object| (Key::of(&object), shared(object))).collect();
                let mut state = self.write();
                state.reached(Some(&revision));
                state.replace(objects);
                drop(state);
                self.synced.send_replace(true);
            }
            Event::Progress { revision } => self.write().reached(Some(&revision)),
            Event::Put(object) => {
                let object = shared(object);
                let mut state = self.write();
                state.reached(object.meta().resource_version.as_deref());
                state.set(Key::of(&*object), Some(object));
            }
            Event::Deleted(object) => {
                let mut state = self.write();
                state.reached(object.meta().resource_version.as_deref());
                state.set(Key::of(&object), None);
            }
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, State<K>> {
        self.state.write().expect("no holder of this lock panics")
    }

    fn close(&self) {
        let mut state = self.write();
        state.closed = true;
        state.readers.drain(..).filter_map(|reader| reader.upgrade()).for_each(|mailbox| mailbox.close());
    }
}

impl<K: Watched> State<K> {
    /// Notes the newest revision seen. Revisions are numbers that grow (KEP-5504); a server where they are not is not waited for.
    fn reached(&mut self, revision: Option<&str>) {
        if let Some(revision) = revision.and_then(|revision| revision.parse::<u64>().ok()) {
            self.revision = self.revision.max(revision);
        }
    }

    /// Takes a whole list, telling only the differences.
    fn replace(&mut self, objects: BTreeMap<Key, Arc<K>>) {
        let gone: Vec<Key> = self.objects.keys().filter(|key| !objects.contains_key(key)).cloned().collect();
        gone.into_iter().for_each(|key| self.set(key, None));
        for (key, object) in objects {
            let same = |old: &Arc<K>| {
                old.meta().uid == object.meta().uid && old.meta().resource_version == object.meta().resource_version
            };
            if !self.objects.get(&key).is_some_and(same) {
                self.set(key, Some(object));
            }
        }
    }

    fn set(&mut self, key: Key, new: Option<Arc<K>>) {
        let old = match &new {
            Some(object) => self.objects.insert(key.clone(), object.clone()),
            None => self.objects.remove(&key),
        };
        if old.is_none() && new.is_none() {
            return;
        }
        self.readers.retain(|reader| {
            let Some(mailbox) = reader.upgrade() else { return false };
            mailbox.put(Change { key: key.clone(), old: old.clone(), new: new.clone() });
            true
        });
    }
}

/// managedFields are a third of a typical object and of no use to a reader.
fn shared<K: Watched>(mut object: K) -> Arc<K> {
    object.meta_mut().managed_fields = None;
    Arc::new(object)
}

#[cfg(test)]
mod tests;
