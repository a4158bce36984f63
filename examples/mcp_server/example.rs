use std::env;
use std::ffi::OsString;
use std::net::SocketAddr;

use mcp_bearer::settings::{
    ClientAuthentication, IntrospectedTokens, IntrospectionSettings, SenderConstraintSetting, Settings,
};

/// The settings from environment variables.
///
/// | variable | default | meaning |
/// |---|---|---|
/// | `MCP_BIND` | `127.0.0.1:9000` | the address of the MCP server; port 0 selects a free port |
/// | `MCP_RESOURCE` | `http://<bind>/mcp` | the resource identifier: the URL that clients use |
/// | `MCP_ISSUER` | a development server | authorization servers, separated by commas |
/// | `MCP_REQUIRED_SCOPES` | `mcp:tools` | the scopes for every request, separated by spaces or commas; may be empty |
/// | `MCP_SCOPES_SUPPORTED` | the required ones and `write:notes` | the scopes in the metadata |
/// | `MCP_INITIAL_SCOPES` | none | scopes that clients also ask for at their first login, for servers such as Keycloak |
/// | `MCP_ALLOWED_ORIGINS` | origins on loopback | web origins that may send requests, by commas; may be empty |
/// | `MCP_AUDIENCE` | none | further accepted audiences, separated by commas |
/// | `MCP_INTROSPECTION_ENDPOINT` | that of the metadata | where opaque tokens are introspected; without a client id, no credentials are sent |
/// | `MCP_INTROSPECTION_DANGEROUSLY_ALLOW_HTTP` | `0` | `1` accepts plain http beyond loopback for `MCP_INTROSPECTION_ENDPOINT` |
/// | `MCP_INTROSPECTION_CLIENT_ID` | none | the client for the introspection of opaque tokens |
/// | `MCP_INTROSPECTION_CLIENT_SECRET` | none | the secret of that client, sent with `client_secret_basic` |
/// | `MCP_INTROSPECT_ALL` | `0` | `1` introspects JWTs too |
/// | `MCP_INTROSPECTION_CACHE_SECONDS` | `30` | how long to cache an active result: 0 to 300 |
/// | `MCP_LAZY` | `0` | `1` starts without waiting for the issuers |
/// | `MCP_FILTER_LISTS` | `0` | `1` removes tools from lists that the client may not call |
/// | `MCP_BIND_SESSIONS` | `0` | `1` keeps sessions (MCP up to 2025-11-25), and binds each to the user that opened it |
/// | `MCP_CLOCK_SKEW_SECONDS` | `60` | how long a token is accepted after its expiry: 0 to 300 |
/// | `MCP_REVALIDATE_STREAMS_SECONDS` | never | how often to check the token of an open stream: 1 to 3600 |
/// | `MCP_DPOP` | off | `optional` accepts DPoP-bound tokens and bearer tokens, `required` only DPoP-bound tokens |
/// | `MCP_DEV_AS_BIND` | `127.0.0.1:9001` | the address of the development server: loopback only |
/// | `MCP_DEV_AS_OPAQUE` | `0` | `1` makes it issue opaque tokens |
/// | `RUST_LOG` | `mcp_bearer=debug,warn` | the lines of the log; `mcp_bearer=info` shows less |
///
/// `MCP_DPOP` is a short form of `MCP_SENDER_CONSTRAINT`, so at most one of them can be set.
///
/// `MCP_INTROSPECTION_ENDPOINT` alone is for an endpoint that needs no credentials, such as that on the admin port of Ory Hydra:
/// `MCP_INTROSPECTION_ENDPOINT=http://127.0.0.1:4445/admin/oauth2/introspect`. Anybody who reaches such an endpoint can introspect
/// tokens. `MCP_INTROSPECTION_DANGEROUSLY_ALLOW_HTTP` is for a trusted network: anybody on the network path can read the tokens.
///
/// With several issuers, only the first one introspects, because an opaque token does not name its issuer. With the
/// development server, the example creates the client for introspection itself.
///
/// The names of all other variables are those of `Settings::from_env`: the chapter `configuration` of the crate's guide has them. The
/// advice in the log names methods of the crate, and the same chapter has the variable of each.
#[derive(Debug)]
pub(crate) struct Example {
    pub(crate) bind: SocketAddr,
    pub(crate) development_bind: SocketAddr,
    pub(crate) development_is_opaque: bool,
    /// The settings of the crate. The resource and the development server are added when the address is known.
    pub(crate) server: Settings,
}

impl Example {
    pub(crate) fn from_environment() -> Result<Self, String> {
        Self::read(&env::vars_os().collect::<Vec<_>>())
    }

    fn read(variables: &[(OsString, OsString)]) -> Result<Self, String> {
        let variable =
            |name: &str| variables.iter().find(|(set, _)| set == name).map(|(_, value)| value.to_string_lossy());
        let filled = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let address = |name: &str, default: &str| {
            let text = filled(name).unwrap_or_else(|| default.into());
            let wrong = |_| format!("{name}={text} is not an address: write it as 127.0.0.1:9000");
            text.trim().parse::<SocketAddr>().map_err(wrong)
        };
        let development_is_opaque = match filled(DEV_AS_OPAQUE).as_deref() {
            None | Some("0" | "false") => false,
            Some("1" | "true") => true,
            Some(other) => return Err(format!("{DEV_AS_OPAQUE}={other} is neither 0 nor 1")),
        };
        let dpop = match filled(DPOP).as_deref() {
            None => None,
            Some("optional") => Some(SenderConstraintSetting::Optional),
            Some("required") => Some(SenderConstraintSetting::Dpop),
            Some(other) => {
                return Err(format!(
                    "{DPOP}={other} is neither optional nor required: write one of them, or unset the variable"
                ));
            }
        };
        if let (Some(dpop), Some(constraint)) = (filled(DPOP), filled(SENDER_CONSTRAINT)) {
            return Err(format!(
                "{DPOP}={dpop} and {SENDER_CONSTRAINT}={constraint} are both set: unset one of them, because {DPOP} is a \
                 short form of {SENDER_CONSTRAINT}"
            ));
        }

        let own = [BIND, DPOP, DEV_AS_BIND, DEV_AS_OPAQUE];
        let mut server = Settings::from_vars("MCP_", variables.iter().cloned(), own);
        server.sender_constraint = dpop.or(server.sender_constraint);
        server.metadata.resource_name.get_or_insert_with(|| "Notes, an example of mcp-bearer".to_owned());
        for introspection in server.issuers.iter_mut().filter_map(|issuer| issuer.introspection.as_mut()) {
            if introspection.endpoint.is_some() && has_no_credentials(introspection) {
                introspection.client_authentication = ClientAuthentication::None;
            }
        }
        // An empty value is not a default: it means that no scope is required, or that no page is allowed.
        if variable("MCP_REQUIRED_SCOPES").is_none() {
            server.required_scopes = vec!["mcp:tools".to_owned()];
        }
        if variable("MCP_SCOPES_SUPPORTED").is_none() {
            server.scopes_supported = union(&server.required_scopes, &["write:notes".to_owned()]);
        }
        if variable("MCP_ALLOWED_ORIGINS").is_none() {
            server.allowed_origins = LOOPBACK_ORIGINS.map(str::to_owned).to_vec();
        }
        let example = Self {
            bind: address(BIND, "127.0.0.1:9000")?,
            development_bind: address(DEV_AS_BIND, "127.0.0.1:9001")?,
            development_is_opaque,
            server,
        };
        if example.issuers().is_empty() {
            let introspections = || example.server.issuers.iter().filter_map(|issuer| issuer.introspection.as_ref());
            if introspections().any(has_client) {
                return Err(format!(
                    "{CLIENT_ID} is set without MCP_ISSUER: the development server has its own client"
                ));
            }
            if introspections().any(|introspection| introspection.endpoint.is_some()) {
                return Err(format!(
                    "{ENDPOINT} is set without MCP_ISSUER: the development server has its own endpoint"
                ));
            }
        }
        Ok(example)
    }

    /// Returns one line for each setter in the text of an error that has a variable with another name.
    pub(crate) fn variables_for(error: &str) -> impl Iterator<Item = String> {
        VARIABLES_OF_SETTERS
            .into_iter()
            .filter(move |(setter, _)| error.contains(setter))
            .map(|(setter, variable)| format!("the variable for `{setter}` is {variable}"))
    }

    /// Returns whether tokens that are bound to the key of a DPoP proof are accepted.
    pub(crate) fn accepts_dpop(&self) -> bool {
        use SenderConstraintSetting::{Dpop, Optional, Required};
        matches!(self.server.sender_constraint, Some(Optional | Required | Dpop))
    }

    /// Returns whether tokens that are not bound to a key are accepted.
    pub(crate) fn accepts_bearer(&self) -> bool {
        matches!(self.server.sender_constraint, None | Some(SenderConstraintSetting::Optional))
    }

    /// Returns the configured issuers. Without any, the development server is the issuer.
    pub(crate) fn issuers(&self) -> Vec<String> {
        self.server.issuers.iter().filter_map(|issuer| issuer.url.clone()).collect()
    }

    /// Returns the resource identifier, which is the URL that clients use.
    pub(crate) fn resource(&self, bound: SocketAddr) -> Result<String, String> {
        if let Some(resource) = &self.server.resource {
            return Ok(resource.clone());
        }
        if !bound.ip().is_loopback() {
            let what = "is not on loopback: set MCP_RESOURCE to the https URL that clients use";
            return Err(format!("{BIND}={} {what}", self.bind));
        }
        Ok(format!("http://{bound}/mcp"))
    }

    /// Returns all scopes that a client can request.
    pub(crate) fn all_scopes(&self) -> Vec<String> {
        union(&self.server.required_scopes, &self.server.scopes_supported)
    }

    /// Makes the development server the only issuer. It is introspected with its own client if it has to be.
    pub(crate) fn use_development(&mut self, url: &str, (id, secret): (&str, &str)) {
        let mut issuer = self.server.issuers.pop().unwrap_or_default();
        issuer.url = Some(url.to_owned());
        let introspection = issuer.introspection.take().unwrap_or_default();
        if self.development_is_opaque || introspection.tokens == IntrospectedTokens::All {
            let introspection = issuer.introspection.insert(introspection);
            (introspection.client_id, introspection.client_secret) = (Some(id.to_owned()), Some(secret.into()));
        }
        self.server.issuers = vec![issuer];
    }
}

fn has_client(introspection: &IntrospectionSettings) -> bool {
    introspection.client_id.is_some() || introspection.client_secret.is_some()
}

/// Returns whether no variable names client credentials, or says how they are sent.
fn has_no_credentials(introspection: &IntrospectionSettings) -> bool {
    !has_client(introspection)
        && introspection.client_authentication == ClientAuthentication::Basic
        && introspection.client_secret_file.is_none()
        && introspection.bearer_token_file.is_none()
        && introspection.private_key_file.is_none()
}

fn union(first: &[String], second: &[String]) -> Vec<String> {
    let more = second.iter().filter(|scope| !first.contains(scope));
    first.iter().chain(more).cloned().collect()
}

const BIND: &str = "MCP_BIND";
const DPOP: &str = "MCP_DPOP";
const SENDER_CONSTRAINT: &str = "MCP_SENDER_CONSTRAINT";
const DEV_AS_BIND: &str = "MCP_DEV_AS_BIND";
const DEV_AS_OPAQUE: &str = "MCP_DEV_AS_OPAQUE";
const CLIENT_ID: &str = "MCP_INTROSPECTION_CLIENT_ID";
const ENDPOINT: &str = "MCP_INTROSPECTION_ENDPOINT";
const ALLOW_HTTP: &str = "MCP_INTROSPECTION_DANGEROUSLY_ALLOW_HTTP";
/// The errors of the crate name setters, or fields of the settings.
const VARIABLES_OF_SETTERS: [(&str, &str); 4] = [
    ("introspection_endpoint", ENDPOINT),
    ("dangerously_allow_http_introspection", ALLOW_HTTP),
    ("client_authentication", "MCP_INTROSPECTION_CLIENT_AUTHENTICATION"),
    ("client credentials for introspection", "MCP_INTROSPECTION_CLIENT_ID, with MCP_INTROSPECTION_CLIENT_SECRET"),
];
/// The origins of tools on the developer's own machine, such as MCP Inspector.
const LOOPBACK_ORIGINS: [&str; 3] = ["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Example, String> {
        Example::read(&variables.iter().map(|(name, value)| (name.into(), value.into())).collect::<Vec<_>>())
    }

    #[test]
    fn all_settings_have_defaults() {
        let mut example = read(&[("MCP_ISSUER", ""), ("MCP_RESOURCE", " ")]).unwrap();
        assert_eq!(example.resource(example.bind).unwrap(), "http://127.0.0.1:9000/mcp");
        assert_eq!(example.server.scopes_supported, ["mcp:tools", "write:notes"]);
        assert_eq!(example.server.allowed_origins, LOOPBACK_ORIGINS);
        assert!(example.issuers().is_empty() && !example.server.lazy && !example.server.mcp.bind_sessions);
        assert!(example.accepts_bearer() && !example.accepts_dpop());
        assert!(read(&[("MCP_ALLOWED_ORIGINS", "")]).unwrap().server.allowed_origins.is_empty());
        example.use_development("http://127.0.0.1:1", ("id", "s3cr3t"));
        assert_eq!(example.issuers(), ["http://127.0.0.1:1"]);
        assert!(example.server.issuers[0].introspection.is_none());
    }

    #[test]
    fn variables_have_their_names_and_meanings() {
        let example = read(&[
            ("MCP_ISSUER", "https://a.example.com, https://b.example.com/"),
            ("MCP_REQUIRED_SCOPES", ""),
            ("MCP_SCOPES_SUPPORTED", "read, write admin"),
            ("MCP_AUDIENCE", "a, b"),
            ("MCP_LAZY", "1"),
            ("MCP_FILTER_LISTS", "1"),
            ("MCP_BIND_SESSIONS", "1"),
            ("MCP_CLOCK_SKEW_SECONDS", "5"),
            ("MCP_REVALIDATE_STREAMS_SECONDS", "6"),
            ("MCP_INTROSPECT_ALL", "1"),
            (CLIENT_ID, " notes "),
            ("MCP_INTROSPECTION_CLIENT_SECRET", "s3cr3t "),
            ("MCP_INTROSPECTION_CACHE_SECONDS", "7"),
            ("MCP_ALLOWED_ORIGINS", "https://a.example.com, https://b.example.com"),
        ])
        .unwrap();
        let server = &example.server;
        assert_eq!(example.issuers(), ["https://a.example.com", "https://b.example.com/"]);
        assert_eq!((server.allowed_origins.len(), server.audiences.len(), example.all_scopes().len()), (2, 2, 3));
        assert!(
            server.required_scopes.is_empty() && server.lazy && server.mcp.filter_lists && server.mcp.bind_sessions
        );
        assert_eq!((server.clock_skew_seconds, server.mcp.revalidate_streams_seconds), (Some(5.0), Some(6.0)));
        let introspection = server.issuers[0].introspection.as_ref().unwrap();
        assert_eq!(
            (introspection.client_id.as_deref(), introspection.tokens),
            (Some("notes"), IntrospectedTokens::All)
        );
        assert_eq!(introspection.positive_cache_seconds, Some(7.0));
        assert!(server.issuers[1].introspection.is_none());
        assert!(!format!("{example:?}").contains("s3cr3t"));
    }

    #[test]
    fn dpop_is_off_optional_or_required() {
        for (value, accepts_dpop, accepts_bearer) in
            [("", false, true), ("optional", true, true), ("required", true, false)]
        {
            let example = read(&[(DPOP, value)]).unwrap();
            assert_eq!((example.accepts_dpop(), example.accepts_bearer()), (accepts_dpop, accepts_bearer), "{value}");
        }
        let error = read(&[(DPOP, "Required")]).unwrap_err();
        assert_eq!(
            error,
            "MCP_DPOP=Required is neither optional nor required: write one of them, or unset the variable"
        );
        for constraint in ["", " "] {
            assert!(read(&[(DPOP, "required"), (SENDER_CONSTRAINT, constraint)]).unwrap().accepts_dpop());
        }
    }

    #[test]
    fn the_development_server_is_introspected_with_its_own_client() {
        for variable in [("MCP_INTROSPECT_ALL", "1"), (DEV_AS_OPAQUE, "1")] {
            let mut example = read(&[variable, ("MCP_INTROSPECTION_CACHE_SECONDS", "5")]).unwrap();
            assert!(example.issuers().is_empty());
            example.use_development("http://127.0.0.1:1", ("id", "s3cr3t"));
            let introspection = example.server.issuers[0].introspection.as_ref().unwrap();
            assert_eq!(
                (introspection.client_id.as_deref(), introspection.positive_cache_seconds),
                (Some("id"), Some(5.0))
            );
        }
        let error = read(&[(CLIENT_ID, "notes")]).unwrap_err();
        assert!(error.starts_with("MCP_INTROSPECTION_CLIENT_ID is set without MCP_ISSUER"), "{error}");
        let error = read(&[(ENDPOINT, "https://auth.example.com/introspect")]).unwrap_err();
        assert!(error.starts_with("MCP_INTROSPECTION_ENDPOINT is set without MCP_ISSUER"), "{error}");
    }

    #[test]
    fn an_endpoint_alone_is_introspected_without_credentials() {
        let with = |more: &[(&str, &str)]| {
            let endpoint = "http://hydra-admin.ory.svc:4445/admin/oauth2/introspect";
            let set = [("MCP_ISSUER", "https://auth.example.com"), (ENDPOINT, endpoint)];
            let mut example = read(&[&set, more].concat()).unwrap();
            example.server.resource = Some("https://mcp.example.com/mcp".to_owned());
            example
        };
        let of_example = |example: &Example| {
            let introspection = example.server.issuers[0].introspection.as_ref().unwrap();
            introspection.client_authentication
        };
        let allowed = (ALLOW_HTTP, "1");
        let alone = with(&[allowed]);
        assert_eq!(of_example(&alone), ClientAuthentication::None);
        alone.server.builder().unwrap().build_lazy().unwrap();
        let client = [allowed, (CLIENT_ID, "notes"), ("MCP_INTROSPECTION_CLIENT_SECRET", "s3cr3t")];
        let confidential = with(&client);
        assert_eq!(of_example(&confidential), ClientAuthentication::Basic);
        confidential.server.builder().unwrap().build_lazy().unwrap();
        // A secret without a client id is a mistake, and not a reason to send no credentials.
        let without_id = with(&[client[0], client[2]]);
        let error = without_id.server.builder().unwrap_err().to_string();
        assert!(error.starts_with("MCP_INTROSPECTION_CLIENT_ID: the client id is missing"), "{error}");

        // Plain http beyond loopback needs its own variable, which the error names.
        let error = with(&[]).server.builder().unwrap_err().to_string();
        let variables = Example::variables_for(&error).collect::<String>();
        assert!(error.starts_with("MCP_INTROSPECTION_ENDPOINT: the URL \"http://hydra-admin"), "{error}");
        assert!(variables.contains("is MCP_INTROSPECTION_DANGEROUSLY_ALLOW_HTTP"), "{variables}");
    }

    #[test]
    fn an_error_about_the_endpoint_names_its_variable() {
        let error =
            "the metadata has no \"introspection_endpoint\": configure it with `Issuer::introspection_endpoint`";
        let variables: Vec<_> = Example::variables_for(error).collect();
        assert_eq!(variables, ["the variable for `introspection_endpoint` is MCP_INTROSPECTION_ENDPOINT"]);
        assert_eq!(Example::variables_for("the issuer cannot be reached").count(), 0);
    }

    #[test]
    fn an_invalid_variable_is_named() {
        for (name, value) in [(BIND, "localhost"), (DEV_AS_BIND, "9001"), (DEV_AS_OPAQUE, "maybe"), (DPOP, "1")] {
            let error = read(&[(name, value)]).unwrap_err();
            assert!(error.starts_with(&format!("{name}={value} ")), "{error}");
        }
        for (name, value) in [
            ("MCP_LAZY", "maybe"),
            ("MCP_INTROSPECT_ALL", "maybe"),
            ("MCP_BIND_SESSIONS", "2"),
            ("MCP_CLOCK_SKEW_SECONDS", "-1"),
            ("MCP_REVALIDATE_STREAMS_SECONDS", "1m"),
        ] {
            let error = read(&[(name, value), ("MCP_RESOURCE", "https://mcp.example.com")]).unwrap();
            let error = error.server.builder().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{name}: ")) && error.contains("; write "), "{error}");
        }
        let everywhere = read(&[(BIND, "0.0.0.0:9000")]).unwrap();
        assert!(everywhere.resource(everywhere.bind).unwrap_err().contains("MCP_RESOURCE"));
    }
}
