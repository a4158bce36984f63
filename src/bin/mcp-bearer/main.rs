//! The command-line program of `mcp-bearer`. `mcp-bearer doctor` finds out from outside why a deployment does not work, and
//! `mcp-bearer key` generates and checks API keys.
//!
//! Their documentation are the chapters `doctor` and `api_keys` of the guide. `survey.rs` sends the requests and collects the facts, `checks`
//! turns the facts into a list of checks, and `report.rs` decides which one is to be repaired first.

mod access_token;
mod api_keys;
mod challenge;
mod check;
mod checks;
mod command_line;
mod cors;
mod deployment;
mod facts;
mod printable;
mod probe;
mod reply;
mod report;
mod sender;
mod survey;
mod text;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use command_line::{Arguments, Command, DoctorArguments};
use deployment::Deployment;
use probe::Probe;
use report::Report;
use sender::AdvertisedSenders;

fn main() -> ExitCode {
    match Arguments::read().command {
        Command::Doctor(arguments) => doctor(&arguments),
        Command::Key(command) => api_keys::run(&command),
    }
}

fn doctor(arguments: &DoctorArguments) -> ExitCode {
    match examine(arguments) {
        Ok(report) => print(&report, arguments),
        Err(message) => {
            let message = printable::printable(&message);
            drop(writeln!(std::io::stderr(), "mcp-bearer doctor: {message}"));
            ExitCode::from(report::COULD_NOT_CHECK)
        }
    }
}

fn examine(arguments: &DoctorArguments) -> Result<Report, String> {
    let token = arguments.token.as_ref().map(|source| source.read(std::io::stdin().lock())).transpose()?;
    let probe = Probe::new()?;
    let deployment = Deployment::new(arguments, &probe)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("the program cannot start its runtime: {error}"))?;
    let mut facts = runtime.block_on(survey::survey(&probe, deployment));
    if let Some(token) = token {
        // Outside of the runtime: a resource server that is built inside fetches its keys in the background.
        let server = facts.deployment.server(&facts.senders().unwrap_or_else(AdvertisedSenders::all))?;
        runtime.block_on(survey::survey_token(&probe, &mut facts, &server, &token));
    }
    Ok(Report::new(&facts))
}

fn print(report: &Report, arguments: &DoctorArguments) -> ExitCode {
    let output = match arguments.json {
        true => report.to_json(),
        false => text::render(report, has_colours()),
    };
    match std::io::stdout().lock().write_all(output.as_bytes()) {
        Ok(()) => ExitCode::from(report.exit_status()),
        Err(_) => ExitCode::from(report::COULD_NOT_CHECK),
    }
}

/// Whether the output is for a terminal that shows colours. `NO_COLOR` with any text switches them off (no-color.org).
fn has_colours() -> bool {
    let is_switched_off = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    std::io::stdout().is_terminal() && !is_switched_off && !is_dumb
}
