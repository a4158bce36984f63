//! Runs the server, or makes a token:
//!
//! ```sh
//! cargo run --package sqlite-example -- alice notes:read
//! cargo run --package sqlite-example
//! ```

use std::env;
use std::error::Error;
use std::time::{Duration, SystemTime};

use sqlite_example::TokenTable;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let table = TokenTable::open("sqlite:tokens.db").await?;
    let mut arguments = env::args().skip(1);
    if let Some(subject) = arguments.next() {
        let scopes: Vec<String> = arguments.collect();
        let in_30_days = SystemTime::now() + Duration::from_secs(30 * 24 * 3600);
        println!("{}", table.issue(&subject, &scopes.join(" "), Some(in_30_days)).await?);
        return Ok(());
    }
    let server = sqlite_example::server(table, sqlite_example::limits()).await?;
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://127.0.0.1:3000/notes");
    axum::serve(listener, sqlite_example::app(&server)).await?;
    Ok(())
}
