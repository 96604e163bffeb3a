//! A watch channel that wakes those who wait in the order in which they came.
//!
//! Only the latest value is kept; a receiver learns that it changed, not how often. Start at [`FairWatch`].

use openraft_rt::watch::{RecvError, SendError, Watch, WatchReceiver, WatchSender};
use openraft_rt::{OptionalSend, OptionalSync};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard};
use std::task::{Poll, Waker};

/// The kind of channel.
#[derive(Debug)]
pub struct FairWatch;

#[derive(Debug, Default)]
struct Book {
    /// How often the value changed.
    version: u64,
    senders: usize,
    receivers: usize,
    /// Who waits, by ticket.
    waiting: BTreeMap<u64, Waker>,
    tickets: u64,
}

#[derive(Debug)]
struct Shared<T> {
    value: RwLock<T>,
    // Locked after the value where both are.
    book: Mutex<Book>,
}

impl<T> Shared<T> {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("nobody panics with the book in hand")
    }

    fn read(&self) -> RwLockReadGuard<'_, T> {
        self.value.read().expect("whoever changes the value does not panic")
    }

    /// Changes the value; whoever waits is woken if it says that something changed.
    fn change(&self, change: impl FnOnce(&mut T) -> bool) -> bool {
        let mut value = self.value.write().expect("whoever changes the value does not panic");
        if !change(&mut value) {
            return false;
        }
        let waiting = {
            let mut book = self.book();
            book.version += 1;
            std::mem::take(&mut book.waiting)
        };
        drop(value);
        waiting.into_values().for_each(Waker::wake);
        true
    }
}

/// Sets the value.
#[derive(Debug)]
pub struct Sender<T>(Arc<Shared<T>>);

/// Learns that the value changed.
#[derive(Debug)]
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.0.book().senders += 1;
        Sender(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let waiting = {
            let mut book = self.0.book();
            book.senders -= 1;
            if book.senders == 0 { std::mem::take(&mut book.waiting) } else { BTreeMap::new() }
        };
        waiting.into_values().for_each(Waker::wake);
    }
}

impl<T> Receiver<T> {
    fn new(shared: Arc<Shared<T>>, seen: u64) -> Receiver<T> {
        shared.book().receivers += 1;
        Receiver { shared, seen }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        Receiver::new(self.shared.clone(), self.seen)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.book().receivers -= 1;
    }
}

impl Watch for FairWatch {
    type Sender<T: OptionalSend + OptionalSync> = Sender<T>;
    type Receiver<T: OptionalSend + OptionalSync> = Receiver<T>;
    type Ref<'a, T: OptionalSend + 'a> = RwLockReadGuard<'a, T>;

    fn channel<T: OptionalSend + OptionalSync>(init: T) -> (Sender<T>, Receiver<T>) {
        let book = Mutex::new(Book { senders: 1, ..Book::default() });
        let shared = Arc::new(Shared { value: RwLock::new(init), book });
        (Sender(shared.clone()), Receiver::new(shared, 0))
    }
}

impl<T: OptionalSend + OptionalSync> WatchSender<FairWatch, T> for Sender<T> {
    fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.0.book().receivers == 0 {
            return Err(SendError(value));
        }
        self.0.change(|current| {
            *current = value;
            true
        });
        Ok(())
    }

    fn send_if_modified<F: FnOnce(&mut T) -> bool>(&self, modify: F) -> bool {
        self.0.change(modify)
    }

    fn borrow_watched(&self) -> RwLockReadGuard<'_, T> {
        self.0.read()
    }

    fn subscribe(&self) -> Receiver<T> {
        let seen = self.0.book().version;
        Receiver::new(self.0.clone(), seen)
    }
}

impl<T: OptionalSend + OptionalSync> WatchReceiver<FairWatch, T> for Receiver<T> {
    async fn changed(&mut self) -> Result<(), RecvError> {
        let (shared, seen) = (&self.shared, &mut self.seen);
        let mut ticket = Ticket { shared, number: None };
        poll_fn(|cx| {
            let mut book = shared.book();
            if book.version != *seen {
                *seen = book.version;
                return Poll::Ready(Ok(()));
            }
            if book.senders == 0 {
                return Poll::Ready(Err(RecvError(())));
            }
            let number = *ticket.number.get_or_insert_with(|| {
                book.tickets += 1;
                book.tickets
            });
            book.waiting.insert(number, cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    fn borrow_watched(&self) -> RwLockReadGuard<'_, T> {
        self.shared.read()
    }

    fn borrow_and_update(&mut self) -> RwLockReadGuard<'_, T> {
        let value = self.shared.read();
        self.seen = self.shared.book().version;
        value
    }
}

/// A place in the queue, given up when nobody waits there any more.
struct Ticket<'a, T> {
    shared: &'a Shared<T>,
    number: Option<u64>,
}

impl<T> Drop for Ticket<'_, T> {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.shared.book().waiting.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Wake};

    /// Writes its number down when it is woken.
    struct Noted(u8, Arc<Mutex<Vec<u8>>>);

    impl Wake for Noted {
        fn wake(self: Arc<Self>) {
            self.1.lock().expect("a list").push(self.0);
        }
    }

    #[test]
    fn those_who_wait_are_woken_in_the_order_in_which_they_came() {
        let (sender, receiver) = FairWatch::channel(0);
        let woken = Arc::new(Mutex::new(Vec::new()));
        let mut receivers: Vec<Receiver<i32>> = (0..20).map(|_| receiver.clone()).collect();
        let mut waits: Vec<_> = receivers.iter_mut().map(|receiver| Box::pin(receiver.changed())).collect();
        for (n, wait) in waits.iter_mut().enumerate() {
            let waker = Waker::from(Arc::new(Noted(n as u8, woken.clone())));
            assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        drop(waits.remove(7));
        assert_eq!(sender.send(1), Ok(()));
        assert_eq!(*woken.lock().expect("a list"), (0..20).filter(|n| *n != 7).collect::<Vec<_>>());
        assert!(sender.0.book().waiting.is_empty());
    }
}
