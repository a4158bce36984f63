use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The results of the requests to one server.
#[derive(Default)]
pub struct Ledger {
    /// The number of responses for each kind of token and each status.
    counts: Mutex<BTreeMap<(&'static str, u16), usize>>,
    wrong: Mutex<Vec<String>>,
    wrong_accepts: AtomicUsize,
    wrong_rejects: AtomicUsize,
}

/// A wrong response.
#[derive(Debug)]
pub enum Wrong {
    Accept(String),
    Reject(String),
}

impl Ledger {
    pub fn record(&self, sent: &'static str, status: u16, result: Result<(), Wrong>) {
        *self.counts.lock().unwrap().entry((sent, status)).or_default() += 1;
        let (count, what) = match result {
            Ok(()) => return,
            Err(Wrong::Accept(what)) => (&self.wrong_accepts, what),
            Err(Wrong::Reject(what)) => (&self.wrong_rejects, what),
        };
        count.fetch_add(1, Ordering::SeqCst);
        let mut wrong = self.wrong.lock().unwrap();
        // A few examples are enough to find the cause.
        if wrong.len() < 20 {
            wrong.push(what);
        }
    }

    pub fn answers(&self) -> usize {
        self.counts.lock().unwrap().values().sum()
    }

    /// Returns how many requests had this kind of token.
    pub fn sent(&self, what: &str) -> usize {
        self.counts.lock().unwrap().iter().filter(|((sent, _), _)| *sent == what).map(|(_, count)| count).sum()
    }

    pub fn wrong(&self) -> Vec<String> {
        self.wrong.lock().unwrap().clone()
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} responses (", self.answers())?;
        for (index, ((sent, status), count)) in self.counts.lock().unwrap().iter().enumerate() {
            write!(f, "{}{sent} {status}: {count}", if index == 0 { "" } else { ", " })?;
        }
        let (accepts, rejects) = (self.wrong_accepts.load(Ordering::SeqCst), self.wrong_rejects.load(Ordering::SeqCst));
        write!(f, "), wrong accepts {accepts}, wrong rejects {rejects}")
    }
}
