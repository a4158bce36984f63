use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::entry::KeyEntry;
use super::file;
use super::form::{ApiKeyErrorKind, id_in, is_id};
use super::keys::ApiKeys;
use super::mistakes::{KeyMistakes, quoted};
use super::reads::FileReads;
use super::store::StoreLookup;
use super::stored::{KeyRules, StoredKey};
use crate::claims::Claims;
use crate::clock::{Clock, SystemClock};
use crate::crypto::sha256;
use crate::error::{BuildError, BuildErrorKind, first_mistake};
use crate::events::{IssuerEvents, Observer};
use crate::failure::{CheckError, CheckFailure, Detail};
use crate::introspection::{Introspector, LookupCode};

/// The API keys of a server, in memory. A look-up takes no lock.
pub(crate) struct ApiKeyTable {
    keys: ApiKeys,
    /// The scopes that the server knows.
    scopes: Vec<Box<str>>,
    entries: ArcSwap<KeyEntries>,
    /// It is locked while the keys are replaced.
    pub(super) content: Mutex<LastContent>,
    pub(super) reads: FileReads,
    /// Asks the store of the application.
    store: Option<Arc<Introspector>>,
}

/// The result of a look-up in memory.
pub(crate) enum KeyLookUp<'t> {
    Found(Claims),
    /// Only the store may know the key.
    NotHere(&'t Arc<Introspector>),
}

/// The keys by their lookup ids.
type KeyEntries = HashMap<Box<str>, KeyEntry>;
/// The SHA-256 digest of the content, or why it could not be read.
pub(super) type FileContent = Result<[u8; 32], io::ErrorKind>;

/// The content of the file that was used last.
pub(super) struct LastContent {
    /// When the read began that found it.
    pub(super) read_at: Option<Instant>,
    pub(super) content: FileContent,
}

impl ApiKeys {
    /// Checks all keys in the code and in the file, and returns their number. `build` does the same.
    ///
    /// Call it in a test of your deployment. The command `key check FILE` of the program does it for a file.
    ///
    /// # Errors
    /// [`BuildErrorKind::ApiKeys`] with all mistakes, except that scopes are not compared with those of a server.
    pub fn check(&self) -> Result<usize, BuildError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        ApiKeyTable::new(Self { store: None, ..self.clone() }, Vec::new(), &clock, &[]).map(|table| table.len())
    }
}

impl ApiKeyTable {
    /// Reads the file, and checks all keys.
    pub(crate) fn new(
        keys: ApiKeys,
        scopes: Vec<Box<str>>,
        clock: &Arc<dyn Clock>,
        observers: &[Arc<dyn Observer>],
    ) -> Result<Self, BuildError> {
        let error = |message: String| BuildError::new(BuildErrorKind::ApiKeys, message);
        keys.check_prefix()?;
        if sha256(&[]).is_none() {
            return Err(error("API keys need a cryptography backend; enable the feature `aws-lc-rs`".to_owned()));
        }
        let store = keys.store.as_ref().map(|store| {
            first_mistake(keys.store_limits.mistakes())?;
            let (store, prefix, clock) = (Arc::clone(store), keys.prefix.clone(), Arc::clone(clock));
            let events = IssuerEvents::new(STORE);
            events.subscribe(observers);
            let lookup = Arc::new(StoreLookup { store, prefix, clock });
            let introspector = Introspector::for_application(events, LookupCode::KeyStore, lookup, keys.store_limits);
            introspector
                .map(Arc::new)
                .ok_or_else(|| error("this machine does not have a source of randomness".to_owned()))
        });
        let store = store.transpose()?;
        let table = Self {
            store,
            keys,
            scopes,
            entries: ArcSwap::default(),
            content: Mutex::new(LastContent { read_at: None, content: Err(io::ErrorKind::NotFound) }),
            reads: FileReads::new(Arc::clone(clock)),
        };
        table.reload()?;
        Ok(table)
    }

    /// Whether a token has the form of a key: it starts with the prefix. Nothing else decides where a token goes.
    pub(crate) fn is_key(&self, token: &[u8]) -> bool {
        token.strip_prefix(self.keys.prefix.as_bytes()).is_some_and(|rest| rest.starts_with(b"_"))
    }

    /// Verifies a key at the Unix time `now`, by the table in the [module's documentation](super).
    pub(crate) fn verify(&self, token: &[u8], now: Duration) -> Result<KeyLookUp<'_>, CheckError> {
        let malformed = |note| CheckFailure::ApiKeyMalformed.with(Box::new(Detail::Note(note)));
        if !self.is_key(token) {
            return Err(malformed(OTHER_PREFIX));
        }
        let text = std::str::from_utf8(token).map_err(|_| malformed(WRONG_FORM))?;
        let id = id_in(text).map_err(|kind| match kind {
            ApiKeyErrorKind::Checksum => malformed("the checksum does not match: the key has a typing error"),
            _ => malformed(WRONG_FORM),
        })?;
        // A key with the prefix `acme_live` starts like one with the prefix `acme`. Its store may be a shared one.
        if !is_id(id, &self.keys.prefix) {
            return Err(malformed(OTHER_PREFIX));
        }
        match self.entries.load().get(id) {
            Some(entry) => entry.verify(token, now).map(KeyLookUp::Found),
            None => match &self.store {
                Some(store) => Ok(KeyLookUp::NotHere(store)),
                None => Err(CheckFailure::ApiKeyUnknown.with(Box::new(Detail::Note("no stored key has its id")))),
            },
        }
    }

    /// Reads the file again. The keys stay as they are if there is a mistake.
    pub(crate) fn reload(&self) -> Result<(), BuildError> {
        let time = self.reads.begin();
        let (read, found) = self.read();
        let mut last = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let replaced = self.use_content(read);
        (last.read_at, last.content) = (Some(time.monotonic), found);
        self.reads.completed(time);
        replaced
    }

    fn use_content(&self, read: io::Result<Vec<u8>>) -> Result<(), BuildError> {
        let bytes = read.map_err(|error| {
            let path = self.path().unwrap_or(Path::new(""));
            let message = format!(
                "the file of API keys {} cannot be read; check its path and its permissions",
                quoted(&path.to_string_lossy())
            );
            BuildError::new(BuildErrorKind::ApiKeys, message).with_source(error)
        })?;
        self.replace(&bytes)
            .map_err(|mistakes| BuildError::new(BuildErrorKind::ApiKeys, self.place()).with_source(mistakes))
    }

    /// The content of the file. Without a file it is empty.
    pub(super) fn read(&self) -> (io::Result<Vec<u8>>, FileContent) {
        let read = self.path().map_or_else(|| Ok(Vec::new()), file::read);
        let found = read.as_ref().map(|bytes| sha256(bytes).unwrap_or_default()).map_err(io::Error::kind);
        (read, found)
    }

    /// Replaces all keys by those in the code and in this content of the file, unless there is a mistake.
    pub(super) fn replace(&self, content: &[u8]) -> Result<(), KeyMistakes> {
        let mut mistakes = KeyMistakes::default();
        let text = std::str::from_utf8(content).unwrap_or_else(|_| {
            mistakes.push("the file", "it is not UTF-8; write it as UTF-8 text");
            ""
        });
        let of_code = self.keys.keys.iter().map(|key| (format!("the key {}", quoted(&key.name)).into(), key.clone()));
        let keys: Vec<(Box<str>, StoredKey)> = of_code.chain(file::parse(text, &mut mistakes)).collect();
        let rules = KeyRules { prefix: &self.keys.prefix, scopes: &self.scopes };
        let (mut entries, mut names, mut ids) = (KeyEntries::new(), HashMap::new(), HashMap::new());
        for (place, key) in &keys {
            match key.check(&rules) {
                Ok(entry) => _ = entries.insert(key.id.clone(), entry),
                Err(found) => found.into_iter().for_each(|what| mistakes.push(place, what)),
            }
            if let Some(first) = names.insert(&*key.name, place) {
                mistakes.push(
                    place,
                    format!("the name {} is used twice, first by {first}; choose another name", quoted(&key.name)),
                );
            }
            if let Some(first) = ids.insert(&*key.id, place) {
                mistakes.push(
                    place,
                    format!("the id {} is used twice, first by {first}; remove one of the two", quoted(&key.id)),
                );
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        self.entries.store(Arc::new(entries));
        Ok(())
    }

    /// Removes the cached result for a key of the store.
    pub(crate) fn forget(&self, key: &[u8]) {
        if let Some(store) = &self.store {
            store.forget(key);
        }
    }

    /// The keys, for the log.
    pub(crate) fn summary(&self) -> String {
        let store = if self.store.is_some() { " and a store of the application" } else { "" };
        format!("{}{store}", self.len())
    }

    /// Whether there is a file to follow.
    pub(crate) const fn has_file(&self) -> bool {
        self.keys.file.is_some()
    }

    /// The number of keys.
    pub(super) fn len(&self) -> usize {
        self.entries.load().len()
    }

    pub(super) fn path(&self) -> Option<&Path> {
        self.keys.file.as_deref()
    }

    fn place(&self) -> String {
        match &self.keys.file {
            Some(path) => {
                format!("the API keys of the file {} have mistakes", quoted(&path.to_string_lossy()))
            }
            None => "the API keys have mistakes".to_owned(),
        }
    }
}

/// The name of the store in events and log lines, in place of an issuer.
const STORE: &str = "api_keys";
const WRONG_FORM: &str = "it is not the prefix, an underscore, and 48 letters and digits";
const OTHER_PREFIX: &str = "it does not have the prefix of the API keys of this server";
