//! Mutex, RwLock and Condvar with the interface of parking_lot, over pthread's,
//! for builds that helgrind or drd shall watch: they see these and no others.
//! Slower, and fit for nothing else.

use libc::{pthread_cond_t, pthread_mutex_t, pthread_rwlock_t, timespec};
use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::time::Instant;

/// A mutex that was made by its initializer, and is at its final place when it
/// is first locked.
pub struct Mutex<T: ?Sized> {
    raw: UnsafeCell<pthread_mutex_t>,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached under the lock.
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    pub const fn new(value: T) -> Mutex<T> {
        Mutex { raw: UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER), value: UnsafeCell::new(value) }
    }
}

impl<T: ?Sized> Mutex<T> {
    pub fn lock(&self) -> MutexGuard<'_, T> {
        // SAFETY: initialized; held by nobody of this thread.
        assert_eq!(unsafe { libc::pthread_mutex_lock(self.raw.get()) }, 0);
        MutexGuard(self)
    }

    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        // SAFETY: initialized.
        (unsafe { libc::pthread_mutex_trylock(self.raw.get()) } == 0).then_some(MutexGuard(self))
    }

    pub fn try_lock_until(&self, until: Instant) -> Option<MutexGuard<'_, T>> {
        loop {
            match self.try_lock() {
                None if Instant::now() < until => std::thread::yield_now(),
                other => return other,
            }
        }
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

impl<T: ?Sized> Drop for Mutex<T> {
    fn drop(&mut self) {
        // SAFETY: nobody holds it any more.
        unsafe { libc::pthread_mutex_destroy(self.raw.get()) };
    }
}

pub struct MutexGuard<'a, T: ?Sized>(&'a Mutex<T>);

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: under the lock.
        unsafe { &*self.0.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: under the lock.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: held by this guard.
        unsafe { libc::pthread_mutex_unlock(self.0.raw.get()) };
    }
}

/// As `Mutex`, for readers and writers.
pub struct RwLock<T> {
    raw: UnsafeCell<pthread_rwlock_t>,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached under the lock.
unsafe impl<T: Send> Send for RwLock<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for RwLock<T> {}

impl<T> RwLock<T> {
    pub const fn new(value: T) -> RwLock<T> {
        RwLock { raw: UnsafeCell::new(libc::PTHREAD_RWLOCK_INITIALIZER), value: UnsafeCell::new(value) }
    }

    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        // SAFETY: initialized.
        assert_eq!(unsafe { libc::pthread_rwlock_rdlock(self.raw.get()) }, 0);
        RwLockReadGuard(self)
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        // SAFETY: initialized.
        assert_eq!(unsafe { libc::pthread_rwlock_wrlock(self.raw.get()) }, 0);
        RwLockWriteGuard(self)
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> RwLock<T> {
        RwLock::new(T::default())
    }
}

pub struct RwLockReadGuard<'a, T>(&'a RwLock<T>);

impl<T> Deref for RwLockReadGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: under the lock.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> Drop for RwLockReadGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: held by this guard.
        unsafe { libc::pthread_rwlock_unlock(self.0.raw.get()) };
    }
}

pub struct RwLockWriteGuard<'a, T>(&'a RwLock<T>);

impl<T> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: under the lock.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for RwLockWriteGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: under the lock.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for RwLockWriteGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: held by this guard.
        unsafe { libc::pthread_rwlock_unlock(self.0.raw.get()) };
    }
}

pub struct Condvar(UnsafeCell<pthread_cond_t>);

// SAFETY: made to be shared.
unsafe impl Send for Condvar {}
// SAFETY: as above.
unsafe impl Sync for Condvar {}

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar::new()
    }
}

pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    pub const fn new() -> Condvar {
        Condvar(UnsafeCell::new(libc::PTHREAD_COND_INITIALIZER))
    }

    pub fn wait<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>) {
        // SAFETY: the mutex is held by the guard.
        unsafe { libc::pthread_cond_wait(self.0.get(), guard.0.raw.get()) };
    }

    pub fn wait_until<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>, until: Instant) -> WaitTimeoutResult {
        let mut now = timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: a live variable.
        unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &mut now) };
        let left = until.saturating_duration_since(Instant::now());
        let nanos = now.tv_nsec as u64 + u64::from(left.subsec_nanos());
        let at = timespec {
            tv_sec: now.tv_sec + left.as_secs() as i64 + (nanos / 1_000_000_000) as i64,
            tv_nsec: (nanos % 1_000_000_000) as i64,
        };
        // SAFETY: the mutex is held by the guard.
        let status = unsafe { libc::pthread_cond_timedwait(self.0.get(), guard.0.raw.get(), &at) };
        WaitTimeoutResult(status == libc::ETIMEDOUT)
    }

    pub fn notify_all(&self) {
        // SAFETY: initialized.
        unsafe { libc::pthread_cond_broadcast(self.0.get()) };
    }

    pub fn notify_one(&self) {
        // SAFETY: initialized.
        unsafe { libc::pthread_cond_signal(self.0.get()) };
    }
}
