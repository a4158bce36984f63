use std::path::Path;
use std::time::Duration;

use super::fields::{ClientAuthentication, IntrospectionSettings};
use super::files::secret_content;
use super::mistake::{Mistakes, member};
use super::secret::SecretText;
use crate::introspection::{ClientCredentials, Introspection};
use crate::jose::{Algorithm, PrivateKey};

impl IntrospectionSettings {
    /// The introspection that these settings describe. `path` is where they are.
    pub(super) fn introspection(&self, path: &str, mistakes: &mut Mistakes) -> Introspection {
        let mut introspection = Introspection::new(self.credentials(path, mistakes));
        let times: [(&str, Option<f64>, SetTime); 5] = [
            ("positive_cache_seconds", self.positive_cache_seconds, Introspection::positive_cache),
            ("negative_cache_seconds", self.negative_cache_seconds, Introspection::negative_cache),
            ("stale_on_error_seconds", self.stale_on_error_seconds, Introspection::stale_on_error),
            ("time_limit_seconds", self.time_limit_seconds, Introspection::time_limit),
            ("max_wait_seconds", self.max_wait_seconds, Introspection::max_wait),
        ];
        for (name, value, set) in times {
            if let Some(time) = time(value, &member(path, name), mistakes) {
                introspection = set(introspection, time);
            }
        }
        match self.max_in_flight {
            Some(requests) => introspection.max_in_flight(requests),
            None => introspection,
        }
    }

    /// The client credentials. After a mistake, they are not usable.
    fn credentials(&self, path: &str, mistakes: &mut Mistakes) -> ClientCredentials {
        if let Some(file) = &self.bearer_token_file {
            return self.bearer_token(file, path, mistakes);
        }
        if self.client_authentication == ClientAuthentication::None {
            let at = member(path, "client_authentication");
            self.check_unused(&at, "`client_authentication = \"none\"` sends no credentials, so it excludes", mistakes);
            return ClientCredentials::none();
        }
        let id = match self.client_id.as_deref() {
            Some(id) if !id.is_empty() => id,
            _ => {
                let message = "the client id is missing; write the one that the authorization server has, or \
                               `client_authentication = \"none\"` if the endpoint needs no credentials";
                mistakes.missing(&member(path, "client_id"), &["client_id", "bearer_token_file"], message);
                "missing"
            }
        };
        let has_secret = self.client_secret.is_some() || self.client_secret_file.is_some();
        if let Some((file, algorithm)) = self.private_key(path, mistakes) {
            if has_secret {
                let message = "a private key takes the place of the client secret; remove one";
                mistakes.add(&member(path, "private_key_file"), message);
            }
            let key_id = self.private_key_id.as_deref();
            return ClientCredentials::private_key_jwt_from_file(id, algorithm, file, key_id);
        }
        if self.private_key_file.is_some() {
            return ClientCredentials::basic(id, "missing");
        }
        let secret =
            secret(path, "client_secret", self.client_secret.as_ref(), self.client_secret_file.as_deref(), mistakes);
        let secret = secret.unwrap_or_else(|| {
            if !has_secret {
                let message = "the client secret is missing; write `client_secret_file`, or `private_key_file`";
                mistakes.missing(&member(path, "client_secret"), &CREDENTIALS, message);
            }
            SecretText::new("missing")
        });
        // The file was read above to find mistakes. It is read again while the server runs.
        match (self.client_authentication, &self.client_secret_file) {
            _ if mistakes.are_below(path) => ClientCredentials::basic(id, "missing"),
            (ClientAuthentication::Post, Some(file)) => ClientCredentials::post_from_file(id, file),
            (ClientAuthentication::Post, None) => ClientCredentials::post(id, secret.reveal()),
            (_, Some(file)) => ClientCredentials::basic_from_file(id, file),
            (_, None) => ClientCredentials::basic(id, secret.reveal()),
        }
    }

    fn bearer_token(&self, file: &Path, path: &str, mistakes: &mut Mistakes) -> ClientCredentials {
        let at = member(path, "bearer_token_file");
        self.check_unused(&at, "an access token takes the place of", mistakes);
        if self.client_authentication != ClientAuthentication::Basic {
            mistakes.add(&at, "an access token takes the place of `client_authentication`; remove one");
        }
        if let Err(message) = secret_content(file) {
            mistakes.add(&at, message);
        }
        if mistakes.are_below(path) {
            return ClientCredentials::basic("missing", "missing");
        }
        ClientCredentials::bearer_from_file(file)
    }

    /// Adds a mistake at `at` if a part of the client credentials is set, which the settings there do not use.
    fn check_unused(&self, at: &str, problem: &str, mistakes: &mut Mistakes) {
        for (name, is_set) in [
            ("client_id", self.client_id.is_some()),
            ("client_secret", self.client_secret.is_some()),
            ("client_secret_file", self.client_secret_file.is_some()),
            ("private_key_file", self.private_key_file.is_some()),
            ("private_key_algorithm", self.private_key_algorithm.is_some()),
            ("private_key_id", self.private_key_id.is_some()),
        ] {
            if is_set {
                mistakes.add(at, format!("{problem} `{name}`; remove one"));
            }
        }
    }

    /// The file of the private key, and its algorithm. `None` without a file, or after a mistake.
    fn private_key(&self, path: &str, mistakes: &mut Mistakes) -> Option<(&Path, Algorithm)> {
        let Some(file) = &self.private_key_file else {
            for (name, is_set) in [
                ("private_key_algorithm", self.private_key_algorithm.is_some()),
                ("private_key_id", self.private_key_id.is_some()),
            ] {
                if is_set {
                    mistakes.add(
                        &member(path, name),
                        "it has no effect without `private_key_file`; write that too, or remove it",
                    );
                }
            }
            return None;
        };
        let Some(algorithm) = self.private_key_algorithm else {
            let message = "the algorithm of the private key is missing; write it, such as \"ES256\"";
            mistakes.missing(&member(path, "private_key_algorithm"), &["private_key_algorithm"], message);
            return None;
        };
        // The file is read here to find mistakes. It is read again while the server runs.
        let key = secret_content(file)
            .and_then(|pem| PrivateKey::from_pkcs8_pem(algorithm, pem.reveal()).map_err(|error| error.to_string()));
        match key {
            Ok(_) => Some((file, algorithm)),
            Err(message) => {
                mistakes.add(&member(path, "private_key_file"), message);
                None
            }
        }
    }
}

/// The fields of which one has the credentials.
const CREDENTIALS: [&str; 4] = ["client_secret", "client_secret_file", "private_key_file", "bearer_token_file"];

type SetTime = fn(Introspection, Duration) -> Introspection;

/// The secret of the field `name`, or of the file in the field `name_file`. `None` without both, or after a mistake.
pub(super) fn secret(
    path: &str,
    name: &str,
    inline: Option<&SecretText>,
    file: Option<&Path>,
    mistakes: &mut Mistakes,
) -> Option<SecretText> {
    let file_field = member(path, &format!("{name}_file"));
    match (inline, file) {
        (Some(_), Some(_)) => {
            mistakes.add(&file_field, format!("`{name}` is set as well; remove one"));
            None
        }
        (Some(secret), None) if secret.reveal().is_empty() => {
            mistakes.add(&member(path, name), "the text is empty; write the secret, or remove the field");
            None
        }
        (Some(secret), None) => Some(secret.clone()),
        (None, Some(file)) => secret_content(file).map_err(|message| mistakes.add(&file_field, message)).ok(),
        (None, None) => None,
    }
}

/// A number of seconds as a time. `None` if there is none, or after a mistake.
pub(super) fn time(seconds: Option<f64>, path: &str, mistakes: &mut Mistakes) -> Option<Duration> {
    let seconds = seconds?;
    let time = Duration::try_from_secs_f64(seconds);
    time.map_err(|_| mistakes.add(path, format!("{seconds} is not a time; write a number of seconds from 0"))).ok()
}
