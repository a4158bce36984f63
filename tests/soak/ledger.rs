use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What came of the requests to one server.
#[derive(Default)]
pub struct Ledger {
    /// By what was shown, and the status.
    counts: Mutex<BTreeMap<(&'static str, u16), usize>>,
    wrong: Mutex<Vec<String>>,
    wrong_accepts: AtomicUsize,
    wrong_refuses: AtomicUsize,
}

/// What an answer was, if not right.
#[derive(Debug)]
pub enum Wrong {
    Accept(String),
    Refuse(String),
}

impl Ledger {
    pub fn enter(&self, shown: &'static str, status: u16, judgement: Result<(), Wrong>) {
        *self.counts.lock().unwrap().entry((shown, status)).or_default() += 1;
        let (count, what) = match judgement {
            Ok(()) => return,
            Err(Wrong::Accept(what)) => (&self.wrong_accepts, what),
            Err(Wrong::Refuse(what)) => (&self.wrong_refuses, what),
        };
        count.fetch_add(1, Ordering::SeqCst);
        let mut wrong = self.wrong.lock().unwrap();
        // A few tell enough.
        if wrong.len() < 20 {
            wrong.push(what);
        }
    }

    pub fn answers(&self) -> usize {
        self.counts.lock().unwrap().values().sum()
    }

    /// How often this was shown.
    pub fn shown(&self, what: &str) -> usize {
        self.counts.lock().unwrap().iter().filter(|((shown, _), _)| *shown == what).map(|(_, count)| count).sum()
    }

    pub fn wrong(&self) -> Vec<String> {
        self.wrong.lock().unwrap().clone()
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answers (", self.answers())?;
        for (index, ((shown, status), count)) in self.counts.lock().unwrap().iter().enumerate() {
            write!(f, "{}{shown} {status}: {count}", if index == 0 { "" } else { ", " })?;
        }
        let (accepts, refuses) = (self.wrong_accepts.load(Ordering::SeqCst), self.wrong_refuses.load(Ordering::SeqCst));
        write!(f, "), wrong accepts {accepts}, wrong refuses {refuses}")
    }
}
