//! Objects by name, for all threads: `ns:mutex:tcl:1` and the like for those
//! that were made, any other name for those made when first used.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;

/// The objects of one kind.
pub struct Registry<T> {
    /// The part of the handles before the number.
    prefix: &'static str,
    made: AtomicU64,
    objects: Mutex<Option<HashMap<String, Arc<T>>>>,
}

impl<T> Registry<T> {
    /// An empty registry whose handles are `PREFIX:N`.
    pub const fn new(prefix: &'static str) -> Registry<T> {
        Registry { prefix, made: AtomicU64::new(0), objects: Mutex::new(None) }
    }

    /// Enters an object under a handle of its own, and returns that.
    pub fn create(&self, object: Arc<T>) -> String {
        let mut objects = self.objects.lock();
        let objects = objects.get_or_insert_default();
        loop {
            let handle = format!("{}:{}", self.prefix, self.made.fetch_add(1, Ordering::Relaxed));
            // A script may have used the name already.
            if !objects.contains_key(&handle) {
                objects.insert(handle.clone(), object);
                return handle;
            }
        }
    }

    /// The object of that name, made now if there is none.
    pub fn get(&self, name: &str, make: impl FnOnce() -> Arc<T>) -> Arc<T> {
        let mut objects = self.objects.lock();
        let objects = objects.get_or_insert_default();
        match objects.get(name) {
            Some(object) => Arc::clone(object),
            None => Arc::clone(objects.entry(name.to_owned()).or_insert_with(make)),
        }
    }

    /// The object of that name, if there is one.
    pub fn find(&self, name: &str) -> Option<Arc<T>> {
        self.objects.lock().as_ref()?.get(name).cloned()
    }

    /// Forgets an object that nobody uses: whoever uses the name again cannot
    /// tell the difference. One that is in use stays.
    pub fn forget(&self, name: &str, idle: impl FnOnce(&T) -> bool) {
        let mut objects = self.objects.lock();
        let Some(objects) = objects.as_mut() else { return };
        if objects.get(name).is_some_and(|object| Arc::strong_count(object) == 1 && idle(object)) {
            objects.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let registry = Registry::new("ns:thing:tcl");
        assert_eq!(registry.create(Arc::new(7)), "ns:thing:tcl:0");
        registry.get("ns:thing:tcl:1", || Arc::new(8));
        assert_eq!(registry.create(Arc::new(9)), "ns:thing:tcl:2");
        assert_eq!(*registry.get("ns:thing:tcl:1", || unreachable!()), 8);
        let used = registry.get("ns:thing:tcl:1", || unreachable!());
        registry.forget("ns:thing:tcl:1", |_| true);
        assert!(Arc::ptr_eq(&used, &registry.get("ns:thing:tcl:1", || unreachable!())));
        drop(used);
        registry.forget("ns:thing:tcl:1", |_| true);
        assert_eq!(*registry.get("ns:thing:tcl:1", || Arc::new(1)), 1);
        registry.forget("ns:thing:tcl:1", |_| false);
        assert_eq!(*registry.get("ns:thing:tcl:1", || unreachable!()), 1);
        registry.forget("never used", |_| true);
    }
}
