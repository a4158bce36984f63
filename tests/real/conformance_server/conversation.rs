//! Tools that send messages while they run: logs, progress, or requests to the client (before 2026-07-28).
#![expect(deprecated, reason = "the earlier revisions have members that the latest one deprecates")]

use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, LoggingLevel, LoggingMessageNotificationParam, ProgressNotificationParam, ServerRequest,
};
use rmcp::service::{RequestContext, ServiceError};
use rmcp::{ErrorData, RoleServer};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::content::only;
use crate::shape::shape;

pub(crate) const TOOLS: [(&str, &str); 5] = [
    ("test_tool_with_logging", "Logs while it runs"),
    ("test_logging_tool", "Logs while it runs, at the level of the client"),
    ("test_tool_with_progress", "Reports its progress"),
    ("test_elicitation_sep1034_defaults", "Asks the user, with default values"),
    ("test_elicitation_sep1330_enums", "Asks the user to choose, with every form of enumeration"),
];

/// Returns the result of a tool of this module, or `None` for another tool. `level` is the log level of the client.
pub(crate) async fn answer(
    call: &CallToolRequestParams,
    context: &RequestContext<RoleServer>,
    level: Option<LoggingLevel>,
) -> Result<Option<Value>, ErrorData> {
    let argument = |name: &str| {
        let value = call.arguments.as_ref().and_then(|arguments| arguments.get(name)?.as_str());
        value.ok_or_else(|| ErrorData::invalid_params(format!("the argument {name} is missing"), None))
    };
    Ok(Some(match call.name.as_ref() {
        "test_tool_with_logging" | "test_logging_tool" => log(context, level).await?,
        "test_tool_with_progress" => report(context).await?,
        "test_sampling" => {
            let message = json!({ "role": "user", "content": { "type": "text", "text": argument("prompt")? } });
            request_client(context, "sampling/createMessage", json!({ "messages": [message], "maxTokens": 100 }))
                .await?
        }
        "test_elicitation" => request_client(context, "elicitation/create", form(argument("message")?, who())).await?,
        "test_elicitation_sep1034_defaults" => {
            request_client(context, "elicitation/create", form("Is this right?", defaults())).await?
        }
        "test_elicitation_sep1330_enums" => {
            request_client(context, "elicitation/create", form("Which?", choices())).await?
        }
        _ => return Ok(None),
    }))
}

async fn log(context: &RequestContext<RoleServer>, level: Option<LoggingLevel>) -> Result<Value, ErrorData> {
    for step in ["begun", "half done", "done"] {
        if level.is_some_and(|level| rank(level) <= rank(LoggingLevel::Info)) {
            let message = LoggingMessageNotificationParam::new(LoggingLevel::Info, step.into());
            context.peer.notify_logging_message(message).await.map_err(lost)?;
        }
        sleep(PAUSE).await;
    }
    Ok(only("it is done, and was logged if that was wanted"))
}

async fn report(context: &RequestContext<RoleServer>) -> Result<Value, ErrorData> {
    for done in [0.0, 50.0, 100.0] {
        if let Some(token) = context.meta.get_progress_token() {
            let progress = ProgressNotificationParam::new(token, done).with_total(100.0);
            context.peer.notify_progress(progress).await.map_err(lost)?;
        }
        sleep(PAUSE).await;
    }
    Ok(only("it is done"))
}

/// Sends a request to the client and returns its response as a result.
async fn request_client(context: &RequestContext<RoleServer>, method: &str, params: Value) -> Result<Value, ErrorData> {
    let request: ServerRequest = shape(json!({ "method": method, "params": params }))?;
    let answer = context.peer.send_request(request).await.map_err(lost)?;
    Ok(only(&json!(answer).to_string()))
}

fn form(message: &str, properties: Value) -> Value {
    let names: Vec<_> = properties.as_object().into_iter().flat_map(|members| members.keys()).collect();
    let schema = json!({ "type": "object", "properties": properties, "required": names });
    json!({ "message": message, "requestedSchema": schema })
}

fn who() -> Value {
    json!({ "username": { "type": "string" }, "email": { "type": "string" } })
}

/// The fields and default values that the suite expects.
fn defaults() -> Value {
    json!({
        "name": { "type": "string", "default": "John Doe" },
        "age": { "type": "integer", "default": 30 },
        "score": { "type": "number", "default": 95.5 },
        "status": { "type": "string", "enum": ["active", "inactive", "pending"], "default": "active" },
        "verified": { "type": "boolean", "default": true },
    })
}

/// The fields and the forms of enumeration that the suite expects.
fn choices() -> Value {
    let titled = json!([{ "const": "value1", "title": "One" }, { "const": "value2", "title": "Two" }]);
    json!({
        "untitledSingle": { "type": "string", "enum": ["option1", "option2"] },
        "titledSingle": { "type": "string", "oneOf": titled },
        "legacyEnum": { "type": "string", "enum": ["opt1", "opt2"], "enumNames": ["One", "Two"] },
        "untitledMulti": { "type": "array", "items": { "type": "string", "enum": ["option1", "option2"] } },
        "titledMulti": { "type": "array", "items": { "anyOf": titled } },
    })
}

/// The rank of a log level, from the least to the most severe (RFC 5424, section 6.2.1).
fn rank(level: LoggingLevel) -> u8 {
    match level {
        LoggingLevel::Debug => 0,
        LoggingLevel::Info => 1,
        LoggingLevel::Notice => 2,
        LoggingLevel::Warning => 3,
        LoggingLevel::Error => 4,
        LoggingLevel::Critical => 5,
        LoggingLevel::Alert => 6,
        LoggingLevel::Emergency => 7,
    }
}

fn lost(error: ServiceError) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}

/// The pause between two messages, so that the client receives them separately.
const PAUSE: Duration = Duration::from_millis(20);
