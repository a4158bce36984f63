use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::introspection::{secret, time};
use super::mistake::{Mistakes, SettingsError, member};
use super::server::{McpSettings, Settings};
use super::setters::{self, in_words_of_a_file};
use crate::bearer::BearerAuthLayer;
use crate::error::BuildError;
use crate::escape::{Escaped, MAX_SHOWN};
use crate::mcp::{MAX_BODY, McpLayer, McpScopes};
use crate::origin::{OriginLayer, check_origin};
use crate::scope::Scopes;
use crate::sender::SenderConstraint;
use crate::server::ResourceServer;

impl Settings {
    /// The layer that verifies access tokens, with `required_scopes`, `any_scope` and `allow_anonymous`.
    ///
    /// # Errors
    /// [`SettingsError`] with all mistakes in these fields.
    pub fn bearer_layer(&self, server: &ResourceServer) -> Result<BearerAuthLayer, SettingsError> {
        self.checked_layers()?;
        let mut layer = server.bearer_layer();
        if !self.required_scopes.is_empty() {
            layer = layer.try_required_scopes(&self.required_scopes)?;
        }
        if !self.any_scope.is_empty() {
            layer = layer.try_any_scope(&self.any_scope)?;
        }
        if self.require_dpop_nonce {
            layer = layer.try_require_dpop_nonce()?;
        }
        Ok(if self.allow_anonymous { layer.allow_anonymous() } else { layer })
    }

    /// The layer that protects an MCP endpoint, with the settings in `mcp` and those of [`bearer_layer`](Self::bearer_layer).
    ///
    /// # Errors
    /// [`SettingsError`] with all mistakes in these fields.
    pub fn mcp_layer(&self, server: &ResourceServer) -> Result<McpLayer, SettingsError> {
        self.checked_layers()?;
        let layer = server.try_mcp_layer(self.mcp_scopes());
        self.set_up_mcp_layer(layer.map_err(|error| SettingsError::at("mcp", error))?)
    }

    /// The rules in `mcp`, for a program that adds its own rules or calls `mcp_layer_for` of the feature `rmcp`. Pass the layer to
    /// [`set_up_mcp_layer`](Self::set_up_mcp_layer).
    ///
    /// ```
    /// # #[cfg(all(feature = "testing", any(feature = "aws-lc-rs", feature = "rust-crypto")))] {
    /// use mcp_bearer::settings::Settings;
    /// use mcp_bearer::{McpLayer, ResourceServer};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// fn layer(settings: &Settings, server: &ResourceServer) -> Result<McpLayer, Box<dyn std::error::Error>> {
    ///     let scopes = settings.mcp_scopes().tool("add_note", ["notes:write"]);
    ///     Ok(settings.set_up_mcp_layer(server.try_mcp_layer(scopes)?)?)
    /// }
    /// # let auth = mcp_bearer::testing::TestIssuer::new("https://auth.example.com");
    /// # let server = ResourceServer::builder("https://mcp.example.com/mcp").issuer(auth.issuer()).build_lazy()?;
    /// # layer(&Settings::default(), &server)?;
    /// # Ok(())
    /// # }
    /// # main().unwrap();
    /// # }
    /// ```
    pub fn mcp_scopes(&self) -> McpScopes {
        self.mcp.scopes()
    }

    /// Adds all settings of the layer, except the rules, to a layer that code has made.
    ///
    /// # Errors
    /// [`SettingsError`] with all mistakes in these fields.
    pub fn set_up_mcp_layer(&self, mut layer: McpLayer) -> Result<McpLayer, SettingsError> {
        let mut mistakes = Mistakes::default();
        let key = self.mcp.session_key(&mut mistakes);
        let interval = time(self.mcp.revalidate_streams_seconds, "mcp.revalidate_streams_seconds", &mut mistakes);
        mistakes.none_or(())?;
        self.checked_layers()?;
        if !self.required_scopes.is_empty() {
            layer = layer.try_required_scopes(&self.required_scopes)?;
        }
        if !self.any_scope.is_empty() {
            layer = layer.try_any_scope(&self.any_scope)?;
        }
        if let Some(bytes) = self.mcp.max_body {
            layer = layer.try_max_body(bytes)?;
        }
        if let Some(bytes) = self.mcp.max_anonymous_body {
            layer = layer.try_max_anonymous_body(bytes)?;
        }
        if let Some(interval) = interval {
            layer = layer.try_revalidate_streams(interval)?;
        }
        if let Some(key) = key {
            layer = layer.try_bind_sessions_with_key(&key)?;
        } else if self.mcp.bind_sessions {
            layer = layer.try_bind_sessions()?;
        }
        if self.allow_anonymous {
            layer = layer.allow_anonymous();
        }
        if self.require_dpop_nonce {
            layer = layer.try_require_dpop_nonce()?;
        }
        if self.mcp.filter_lists {
            layer = layer.filter_lists();
        }
        if self.mcp.streams_may_outlive_token {
            layer = layer.streams_may_outlive_token();
        }
        Ok(layer)
    }

    /// The layer that rejects requests from web pages of other origins than `allowed_origins`. An empty list allows no page.
    ///
    /// # Errors
    /// [`SettingsError`] with all mistakes in this field.
    pub fn origin_layer(&self, server: &ResourceServer) -> Result<OriginLayer, SettingsError> {
        self.checked_layers()?;
        Ok(server.try_allowed_origins(&self.allowed_origins)?)
    }

    fn checked_layers(&self) -> Result<(), SettingsError> {
        let mut mistakes = self.mistakes.clone();
        self.check_layers(&mut mistakes);
        mistakes.none_or(())
    }

    /// Finds the mistakes in the settings of the layers.
    pub(super) fn check_layers(&self, mistakes: &mut Mistakes) {
        for (name, scopes) in [("required_scopes", &self.required_scopes), ("any_scope", &self.any_scope)] {
            for (at, scope) in scopes.iter().enumerate() {
                if let Err(error) = Scopes::new([scope]) {
                    mistakes.add(&format!("{name}[{at}]"), error.to_string());
                }
            }
        }
        for (at, origin) in self.allowed_origins.iter().enumerate() {
            if let Err(error) = check_origin(origin) {
                mistakes.add(&format!("allowed_origins[{at}]"), error.to_string());
            }
        }
        let accepts_dpop = self.sender_constraint.is_some_and(|setting| SenderConstraint::from(setting).accepts_dpop());
        if self.require_dpop_nonce && !accepts_dpop {
            let message = "DPoP proofs are not accepted; write `sender_constraint = \"optional\"`, or remove `require_dpop_nonce`";
            mistakes.add("require_dpop_nonce", message);
        }
        if !self.mcp.sender_constrained.is_empty() && self.sender_constraint.is_none() {
            let message = "sender-constrained tokens are not accepted; write `sender_constraint = \"optional\"`, or remove the list";
            mistakes.add("mcp.sender_constrained", message);
        }
        self.mcp.check(mistakes);
    }
}

impl McpSettings {
    fn scopes(&self) -> McpScopes {
        let rules = self.rules().into_iter().fold(McpScopes::new(), |scopes, (_, rule)| rule(scopes));
        if self.deny_unlisted { self.with_known(rules).deny_unlisted() } else { self.with_known(rules) }
    }

    fn with_known(&self, mut scopes: McpScopes) -> McpScopes {
        if let Some(names) = &self.known_tools {
            scopes = scopes.known_tools(names);
        }
        if let Some(names) = &self.known_prompts {
            scopes = scopes.known_prompts(names);
        }
        scopes
    }

    /// Each rule, with its path.
    fn rules(&self) -> Vec<(String, Rule<'_>)> {
        let mut rules: Vec<(String, Rule<'_>)> = Vec::new();
        let named: [(&str, &ScopesByName, SetNamed<'_>); 4] = [
            ("mcp.tools", &self.tools, McpScopes::tool),
            ("mcp.prompts", &self.prompts, McpScopes::prompt),
            ("mcp.resources", &self.resources, McpScopes::resource),
            ("mcp.methods", &self.methods, McpScopes::method),
        ];
        for (table, rules_by_name, set) in named {
            for (name, scopes) in rules_by_name {
                let path = member(table, name);
                let is_constrained = self.is_sender_constrained(&path);
                let add = move |rules| {
                    let rules = set(rules, name, scopes);
                    if is_constrained { rules.sender_constrained() } else { rules }
                };
                rules.push((path, Box::new(add)));
            }
        }
        let others: [(&str, &Option<Vec<String>>, SetTexts<'_>); 3] = [
            ("mcp.any_tool", &self.any_tool, McpScopes::any_tool),
            ("mcp.any_prompt", &self.any_prompt, McpScopes::any_prompt),
            ("mcp.any_resource", &self.any_resource, McpScopes::any_resource),
        ];
        for (path, scopes, set) in others {
            if let Some(scopes) = scopes {
                let is_constrained = self.is_sender_constrained(path);
                let add = move |rules| {
                    let rules = set(rules, scopes);
                    if is_constrained { rules.sender_constrained() } else { rules }
                };
                rules.push((path.to_owned(), Box::new(add)));
            }
        }
        let public: [(&str, &Vec<String>, SetTexts<'_>); 4] = [
            ("mcp.public", &self.public, McpScopes::public),
            ("mcp.public_tools", &self.public_tools, McpScopes::public_tools),
            ("mcp.public_prompts", &self.public_prompts, McpScopes::public_prompts),
            ("mcp.public_resources", &self.public_resources, McpScopes::public_resources),
        ];
        for (list, names, set) in public {
            for (at, name) in names.iter().enumerate() {
                let name = std::slice::from_ref(name);
                rules.push((format!("{list}[{at}]"), Box::new(move |rules| set(rules, name))));
            }
        }
        rules
    }

    /// Whether the rule at this path needs a sender-constrained token.
    fn is_sender_constrained(&self, path: &str) -> bool {
        self.sender_constrained.iter().any(|rule| path.strip_prefix("mcp.") == Some(rule))
    }

    fn check(&self, mistakes: &mut Mistakes) {
        let mut add = |path: &str, checked: Result<(), BuildError>| {
            if let Err(error) = checked {
                mistakes.add(path, in_words_of_a_file(&error.to_string(), setters::LAYERS));
            }
        };
        // Each rule alone, so that all mistakes are found, and then the contradictions between rules.
        let rules = self.rules();
        for (at, listed) in self.sender_constrained.iter().enumerate() {
            let is_rule = |(path, _): &(String, Rule<'_>)| {
                path.strip_prefix("mcp.") == Some(listed) && !path.starts_with("mcp.public")
            };
            if !rules.iter().any(is_rule) {
                let message = format!(
                    "\"{}\" is not a rule; write the place of a rule in `mcp`, such as `tools.pay` or `any_tool`",
                    Escaped(listed, MAX_SHOWN)
                );
                add(&format!("mcp.sender_constrained[{at}]"), Err(BuildError::setting(message)));
            }
        }
        for (path, rule) in rules {
            add(&path, self.with_known(rule(McpScopes::new())).check());
        }
        if let Some(bytes) = self.max_body {
            add("mcp.max_body", McpLayer::check_max_body(bytes));
        }
        if let Some(bytes) = self.max_anonymous_body {
            let highest = self.max_body.unwrap_or(MAX_BODY);
            add("mcp.max_anonymous_body", McpLayer::check_max_anonymous_body(bytes, highest));
        }
        if !mistakes.are_below("mcp")
            && let Err(error) = self.scopes().check()
        {
            mistakes.add("mcp", in_words_of_a_file(&error.to_string(), setters::LAYERS));
        }
        if let Some(interval) = time(self.revalidate_streams_seconds, "mcp.revalidate_streams_seconds", mistakes)
            && let Err(error) = McpLayer::check_interval(interval)
        {
            mistakes.add("mcp.revalidate_streams_seconds", error.to_string());
        }
        _ = self.session_key(mistakes);
    }

    fn session_key(&self, mistakes: &mut Mistakes) -> Option<[u8; 32]> {
        let inline = self.session_key.as_ref();
        let text = secret("mcp", "session_key", inline, self.session_key_file.as_deref(), mistakes)?;
        let key = STANDARD.decode(text.reveal()).ok().and_then(|bytes| bytes.try_into().ok());
        if key.is_none() {
            let path = if inline.is_some() { "mcp.session_key" } else { "mcp.session_key_file" };
            mistakes.add(path, "it is not a key of 32 bytes in Base64; make one with `openssl rand -base64 32`");
        }
        key
    }
}

type Rule<'s> = Box<dyn FnOnce(McpScopes) -> McpScopes + 's>;
type ScopesByName = BTreeMap<String, Vec<String>>;
type SetNamed<'s> = fn(McpScopes, &'s str, &'s [String]) -> McpScopes;
type SetTexts<'s> = fn(McpScopes, &'s [String]) -> McpScopes;
