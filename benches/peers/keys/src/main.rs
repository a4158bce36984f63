//! The key source of `mcp-bearer` beside `jsonwebtoken-jwks-cache`: how often each asks the authorization server, and
//! what becomes of the requests meanwhile. Counts, not times. It prints the rows of a table.

mod source;
mod trial;

use std::error::Error;

use crate::source::Source;
use crate::trial::{outage, outage_at_start, rotation, thousand, unknown_keys};

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    println!(
        "| key source | `no-cache` | no header | `max-age=300` | expiring | expired | at start | rotation | unknown keys |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for source in Source::ALL {
        let cells = [
            thousand(source, Some("no-cache")).await?,
            thousand(source, None).await?,
            thousand(source, Some("max-age=300")).await?,
            // Good for another minute, which is when `jsonwebtoken-jwks-cache` looks for the next.
            outage(source, "max-age=61").await?,
            // No longer good, to whom the header is all: `mcp-bearer` keeps every set for a minute at least.
            outage(source, "max-age=1").await?,
            outage_at_start(source).await?,
            rotation(source).await?,
            unknown_keys(source).await?,
        ];
        println!("| {} | {} |", source.name(), cells.join(" | "));
    }
    Ok(())
}
