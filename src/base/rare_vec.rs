//! A vector that is nearly always empty, in the room of a pointer: what is in every
//! connection costs ten thousand times.

use std::ops::{Deref, DerefMut};

/// Items, seldom any.
pub struct RareVec<T>(
    #[allow(clippy::box_collection, reason = "a Vec takes three words")] Option<Box<Vec<T>>>,
);

impl<T> RareVec<T> {
    /// Takes out all of them.
    pub fn take(&mut self) -> Vec<T> {
        self.0.take().map(|items| *items).unwrap_or_default()
    }

    /// Changes them as a vector.
    pub fn edit<R>(&mut self, change: impl FnOnce(&mut Vec<T>) -> R) -> R {
        let mut items = self.take();
        let result = change(&mut items);
        *self = RareVec::from(items);
        result
    }
}

impl<T> Default for RareVec<T> {
    fn default() -> RareVec<T> {
        RareVec(None)
    }
}

impl<T> From<Vec<T>> for RareVec<T> {
    fn from(items: Vec<T>) -> RareVec<T> {
        RareVec((!items.is_empty()).then(|| Box::new(items)))
    }
}

impl<T> Deref for RareVec<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }
}

impl<T> DerefMut for RareVec<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        self.0.as_deref_mut().map_or(&mut [], Vec::as_mut_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_come_and_go() {
        let mut items = RareVec::from(vec![1, 2]);
        assert_eq!(std::mem::size_of_val(&items), std::mem::size_of::<usize>());
        items.edit(|items| items.push(3));
        items[0] = 7;
        assert_eq!(*items, [7, 2, 3]);
        assert_eq!(items.edit(|items| items.drain(..).count()), 3);
        assert!(items.is_empty() && items.0.is_none() && items.take().is_empty());
    }
}
