//! Compares the key source of `mcp-bearer` with `jsonwebtoken-jwks-cache`: the number of requests to the authorization
//! server, and the results of the requests meanwhile. Counts instead of times. Prints the rows of a table.

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
            // Valid for another minute, which is when `jsonwebtoken-jwks-cache` fetches the next key set.
            outage(source, "max-age=61").await?,
            // Expired according to the header. `mcp-bearer` uses every key set for at least a minute.
            outage(source, "max-age=1").await?,
            outage_at_start(source).await?,
            rotation(source).await?,
            unknown_keys(source).await?,
        ];
        println!("| {} | {} |", source.name(), cells.join(" | "));
    }
    Ok(())
}
