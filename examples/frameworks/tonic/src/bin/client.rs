//! Adds a note and lists all notes. The environment variable `TOKEN` has the access token.

use std::env;
use std::error::Error;

use tonic::transport::Endpoint;
use tonic_example::client::{self, NextStep};
use tonic_example::notes::{AddRequest, ListRequest};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let channel = Endpoint::from_static("http://127.0.0.1:3000").connect().await?;
    let mut client = client::with_token(channel, env::var("TOKEN").ok().as_deref())?;
    let text = "buy milk".to_owned();
    if let Err(status) = client.add(AddRequest { text }).await {
        println!("the note was not added: {}\nnext step: {:?}", status.message(), NextStep::after(&status));
    }
    match client.list(ListRequest {}).await {
        Ok(response) => println!("{}", response.get_ref().notes.join("\n")),
        Err(status) => println!("no notes: {}\nnext step: {:?}", status.message(), NextStep::after(&status)),
    }
    Ok(())
}
