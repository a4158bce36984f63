//! Settings from environment variables.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use super::mistake::Mistakes;
use super::node::Node;
use super::read::{Read, Reader, may_have_secrets};
use super::server::Settings;
use super::variables::{Kind, VARIABLES, Variable};
use crate::escape::{Escaped, MAX_SHOWN};
use crate::similar::closest;

impl Settings {
    /// Reads the settings from the environment variables whose names begin with `prefix`, such as `MCP_`.
    ///
    /// The [guide](crate::guide::configuration) has a table of all variables. A variable that is empty is not set. Lists are
    /// separated by commas, lists of scopes and origins by commas or spaces. Switches are `1`, `true`, `0` or `false`. A secret comes
    /// from `MCP_INTROSPECTION_CLIENT_SECRET`, or from the file that `MCP_INTROSPECTION_CLIENT_SECRET_FILE` names, which is read
    /// again when it changes.
    ///
    /// Mistakes are reported by [`builder`](Self::builder), all together and with the names of their variables. Unknown variables
    /// with the prefix are ignored, because Kubernetes adds some: one log line at `warn` has their names. If your
    /// application has variables with the same prefix, name them in [`from_env_besides`](Self::from_env_besides).
    ///
    /// ```no_run
    /// use mcp_bearer::settings::{Settings, SettingsError};
    ///
    /// # async fn start() -> Result<(), SettingsError> {
    /// // MCP_RESOURCE=https://mcp.example.com/mcp MCP_ISSUER=https://auth.example.com
    /// let server = Settings::from_env("MCP_").build().await?;
    /// # drop(server);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn from_env(prefix: &str) -> Self {
        Self::from_vars(prefix, std::env::vars_os(), [""; 0])
    }

    /// [`from_env`](Self::from_env) for an application that has variables with the same prefix. `own` are their whole names, such as
    /// `MCP_BIND`.
    #[must_use]
    pub fn from_env_besides(prefix: &str, own: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        Self::from_vars(prefix, std::env::vars_os(), own)
    }

    /// [`from_env_besides`](Self::from_env_besides) with these variables instead of those of the process, for example in tests.
    ///
    /// ```
    /// use mcp_bearer::settings::Settings;
    ///
    /// let variables = [("NOTES_RESOURCE", "https://notes.example.com"), ("NOTES_CLOCK_SKEW_SECONDS", "x")];
    /// let settings = Settings::from_vars("NOTES_", variables, [""; 0]);
    /// let error = settings.builder().unwrap_err();
    /// assert_eq!(error.to_string(), "NOTES_CLOCK_SKEW_SECONDS: \"x\" is not a number; write one such as 30");
    /// ```
    #[must_use]
    pub fn from_vars<N: Into<OsString>, V: Into<OsString>>(
        prefix: &str,
        variables: impl IntoIterator<Item = (N, V)>,
        own: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Self {
        let own: Vec<_> = own.into_iter().map(|name| name.as_ref().to_owned()).collect();
        let mut unknown = Vec::new();
        let mut set = BTreeMap::new();
        for (name, value) in variables.into_iter().map(|(name, value)| (name.into(), value.into())) {
            let text = name.to_string_lossy();
            let Some(rest) = text.strip_prefix(prefix) else { continue };
            match VARIABLES.iter().find(|variable| variable.name == rest) {
                Some(variable) if !value.is_empty() => _ = set.insert(variable.name, value),
                Some(_) => {}
                None if own.iter().any(|own| *own == text) => {}
                None => unknown.push(rest.to_owned()),
            }
        }
        warn_of_unknown(prefix, unknown);
        let mut environment = Environment { prefix, mistakes: Mistakes::default(), root: Vec::new() };
        environment.read(&set);
        let mut reader = Reader::default();
        let settings = Self::read(Node::Table(environment.root), &mut reader).unwrap_or_default();
        let mut mistakes = environment.mistakes;
        mistakes.extend(reader.mistakes);
        mistakes.name_variables(VARIABLES.iter().map(|variable| (variable.path, [prefix, variable.name].concat())));
        Self { mistakes, ..settings }
    }
}

struct Environment<'p> {
    prefix: &'p str,
    mistakes: Mistakes,
    /// The members of the settings.
    root: Vec<(String, Node)>,
}

impl Environment<'_> {
    fn read(&mut self, set: &BTreeMap<&'static str, OsString>) {
        let mut values = BTreeMap::new();
        for variable in VARIABLES {
            let Some(value) = set.get(variable.name) else { continue };
            if let Some(other) = variable.name.strip_suffix("_FILE").filter(|other| set.contains_key(other)) {
                let message = format!("{}{other} is set as well; unset one", self.prefix);
                self.wrong(variable, &message);
                continue;
            }
            if let Some(node) = self.value(variable, value) {
                values.insert(variable.path, node);
            }
        }
        self.issuers(&mut values);
        for (path, node) in values {
            insert(&mut self.root, path, node);
        }
    }

    /// Moves the settings of the issuers into their list. Only the first introspects, because an opaque token does not name its
    /// issuer.
    fn issuers(&mut self, values: &mut BTreeMap<&'static str, Node>) {
        let of_issuers: Vec<_> = values.keys().copied().filter(|path| path.starts_with("issuers.")).collect();
        let urls = match values.remove("issuers.url") {
            Some(Node::List(urls)) => urls,
            _ => Vec::new(),
        };
        let count = urls.len();
        let mut tables: Vec<_> = urls.into_iter().map(|url| vec![("url".to_owned(), url)]).collect();
        for path in of_issuers.into_iter().filter(|path| *path != "issuers.url") {
            let Some(node) = values.remove(path) else { continue };
            let Some(field) = path.strip_prefix("issuers.") else { continue };
            let is_about_introspection =
                field.starts_with("introspection.") || field == "dangerously_allow_http_introspection";
            if count > 1 && !is_about_introspection {
                let message = format!("it is for one issuer, and {}ISSUER has {count}; write a file", self.prefix);
                self.mistakes.add(path, message);
                continue;
            }
            if tables.is_empty() {
                tables.push(Vec::new());
            }
            if let Some(first) = tables.first_mut() {
                insert(first, field, node);
            }
        }
        self.root.push(("issuers".to_owned(), Node::List(tables.into_iter().map(Node::Table).collect())));
    }

    /// The value of a variable. `None` after a mistake, or if it changes nothing.
    fn value(&mut self, variable: &Variable, value: &OsStr) -> Option<Node> {
        let Some(text) = value.to_str() else {
            // The value may be a secret, so no message shows it.
            return self.wrong(variable, "the value is not valid Unicode; write it as UTF-8");
        };
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return None;
        }
        let shown = || match may_have_secrets(variable.path) {
            true => "the value".to_owned(),
            false => format!("\"{}\"", Escaped(trimmed, MAX_SHOWN)),
        };
        let list = |separators: &[char]| {
            let words = trimmed.split(separators).map(str::trim).filter(|word| !word.is_empty());
            Some(Node::List(words.map(|word| Node::Text(word.to_owned())).collect()))
        };
        match (variable.kind, trimmed) {
            (Kind::Text, _) => Some(Node::Text(trimmed.to_owned())),
            // A secret may begin or end with a space.
            (Kind::Secret, _) => Some(Node::Text(text.to_owned())),
            (Kind::List, _) => list(&[',']),
            (Kind::Words, _) => list(&[',', ' ']),
            (Kind::Switch, "1" | "true") => Some(Node::Boolean(true)),
            (Kind::Switch, "0" | "false") => Some(Node::Boolean(false)),
            (Kind::Switch, _) => self.wrong(variable, &format!("{} is neither 1 nor 0; write one of them", shown())),
            // The setting is one of two words.
            (Kind::All, "1" | "true") => Some(Node::Text("all".to_owned())),
            (Kind::All, "0" | "false") => None,
            (Kind::All, _) => self.wrong(variable, &format!("{} is neither 1 nor 0; write one of them", shown())),
            (Kind::Number, _) => match (trimmed.parse(), trimmed.parse::<f64>()) {
                (Ok(number), _) => Some(Node::Integer(number)),
                (_, Ok(number)) if number.is_finite() => Some(Node::Float(number)),
                _ => self.wrong(variable, &format!("{} is not a number; write one such as 30", shown())),
            },
        }
    }

    fn wrong(&mut self, variable: &Variable, message: &str) -> Option<Node> {
        self.mistakes.add(variable.path, message);
        None
    }
}

/// Inserts a value at a path, and makes the tables on the way.
fn insert(table: &mut Vec<(String, Node)>, path: &str, node: Node) {
    let Some((first, rest)) = path.split_once('.') else {
        table.push((path.to_owned(), node));
        return;
    };
    if let Some((_, Node::Table(inner))) = table.iter_mut().find(|(name, _)| name == first) {
        return insert(inner, rest, node);
    }
    let mut inner = Vec::new();
    insert(&mut inner, rest, node);
    table.push((first.to_owned(), Node::Table(inner)));
}

/// Logs the variables that are ignored. Without a prefix, those are the variables of all programs.
fn warn_of_unknown(prefix: &str, mut unknown: Vec<String>) {
    if unknown.is_empty() || prefix.is_empty() {
        return;
    }
    unknown.sort();
    let more = unknown.len().saturating_sub(MAX_NAMED);
    let shown = unknown.iter().take(MAX_NAMED).map(|name| {
        let intended = closest(name, VARIABLES.iter().map(|variable| variable.name));
        let intended = intended.map(|intended| format!(" (or {prefix}{intended}?)")).unwrap_or_default();
        format!("{prefix}{}{intended}", Escaped(name, MAX_SHOWN))
    });
    let variables = shown.collect::<Vec<_>>().join(", ");
    tracing::warn!(target: "mcp_bearer", variables, more, "environment variables with the prefix are unknown and are ignored");
}

/// The most unknown variables that the log names. Kubernetes adds seven for each service.
const MAX_NAMED: usize = 16;
