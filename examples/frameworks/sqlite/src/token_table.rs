use std::error::Error;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mcp_bearer::verify::{CheckFailure, TokenVerifier, Verified, VerifyError};
use sha2::{Digest as _, Sha256};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

/// The size of the connection pool.
pub const MAX_CONNECTIONS: usize = 4;

/// A table of access tokens. It has only their digests, so a copy of the database does not have a token that works.
///
/// The tokens are random and long. So a plain SHA-256 is enough: nobody can guess a token, and the time of a look-up by digest
/// does not help to find one. Passwords would need a slow hash.
#[derive(Debug, Clone)]
pub struct TokenTable {
    pool: SqlitePool,
}

impl TokenTable {
    /// Opens the database at a URL such as `sqlite:tokens.db`. A missing file and a missing table are created.
    ///
    /// # Errors
    /// The error of the database.
    pub async fn open(url: &str) -> Result<Self, sqlx::Error> {
        // Shorter than the time limit of the verifier, so that a locked database is an error with a cause.
        let options = url.parse::<SqliteConnectOptions>()?.create_if_missing(true).busy_timeout(BUSY_TIMEOUT);
        let connections = u32::try_from(MAX_CONNECTIONS).unwrap_or(1);
        let pool = SqlitePoolOptions::new().max_connections(connections).connect_with(options).await?;
        sqlx::query(CREATE_TABLE).execute(&pool).await?;
        Ok(Self { pool })
    }

    /// Makes a token for a subject, with scopes separated by spaces, and returns it. It is not stored.
    ///
    /// # Errors
    /// The error of the database, or of the source of randomness.
    pub async fn issue(
        &self,
        subject: &str,
        scopes: &str,
        expires_at: Option<SystemTime>,
    ) -> Result<String, Box<dyn Error + Send + Sync>> {
        let mut random = [0; 32];
        getrandom::fill(&mut random)?;
        // The prefix shows people and secret scanners what it is.
        let token = random.iter().fold("notes_".to_owned(), |mut token, byte| {
            // Writing to a string does not fail.
            _ = write!(token, "{byte:02x}");
            token
        });
        let expires_at = expires_at.map(|at| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
        sqlx::query("INSERT INTO tokens (digest, subject, scopes, expires_at) VALUES (?, ?, ?, ?)")
            .bind(digest(&token))
            .bind(subject)
            .bind(scopes)
            .bind(expires_at.map(i64::try_from).transpose()?)
            .execute(&self.pool)
            .await?;
        Ok(token)
    }

    /// Deletes a token. Call [`ResourceServer::forget`](mcp_bearer::ResourceServer::forget) too, because the server has cached
    /// the result for it.
    ///
    /// # Errors
    /// The error of the database.
    pub async fn revoke(&self, token: &str) -> Result<(), sqlx::Error> {
        sqlx::query("DELETE FROM tokens WHERE digest = ?").bind(digest(token)).execute(&self.pool).await.map(drop)
    }

    /// The connections to the database.
    #[must_use]
    pub const fn pool(&self) -> &SqlitePool {
        &self.pool
    }
}

impl TokenVerifier for TokenTable {
    async fn verify(&self, token: &str) -> Result<Verified, VerifyError> {
        let row = sqlx::query_as::<_, Row>("SELECT subject, scopes, expires_at FROM tokens WHERE digest = ?")
            .bind(digest(token))
            .fetch_optional(&self.pool)
            .await
            // The client gets 503: an error of the database does not show that the token is invalid.
            .map_err(|error| VerifyError::unavailable(None).with_source(error))?;
        let (subject, scopes, expires_at) = row.ok_or(CheckFailure::Inactive)?;
        let expires_at = expires_at.map(|at| UNIX_EPOCH + Duration::from_secs(at.try_into().unwrap_or_default()));
        // All tokens in this table are for this server, so it vouches for the audience. The crate checks the expiry.
        Ok(Verified::for_this_resource(subject).scopes(scopes.split_whitespace()).expires_at(expires_at))
    }
}

/// Subject, scopes, and expiry in seconds since 1970.
type Row = (String, String, Option<i64>);

fn digest(token: &str) -> Vec<u8> {
    Sha256::digest(token).to_vec()
}

const CREATE_TABLE: &str = "CREATE TABLE IF NOT EXISTS tokens (
    digest BLOB PRIMARY KEY NOT NULL, subject TEXT NOT NULL, scopes TEXT NOT NULL, expires_at INTEGER
) WITHOUT ROWID";
/// How long a query waits for another process that has locked the database.
const BUSY_TIMEOUT: Duration = Duration::from_millis(500);
