//! Calls that need responses of the client first (2026-07-28 and later).

use rmcp::ErrorData;
use rmcp::model::{CallToolRequestParams, ClientCapabilities, InputResponses};
use serde_json::{Value, json};

use crate::content::only;
use crate::request_state::RequestStates;
use crate::shape::shape;

pub(crate) const TOOLS: [(&str, &str); 10] = [
    ("test_input_required_result_elicitation", "Asks the user for a name"),
    ("test_input_required_result_sampling", "Asks the model"),
    ("test_input_required_result_list_roots", "Asks for the roots"),
    ("test_input_required_result_request_state", "Asks, and returns a state"),
    ("test_input_required_result_multiple_inputs", "Sends three requests at once"),
    ("test_input_required_result_multi_round", "Asks twice"),
    ("test_input_required_result_tampered_state", "Asks, and accepts only a state that it has returned"),
    ("test_input_required_result_capabilities", "Uses only the capabilities of the client"),
    ("test_streaming_elicitation", "Asks the user to continue"),
    ("test_missing_capability", "Needs sampling"),
];

/// Returns the result of a tool of this module or its requests to the client, or `None` for another tool.
pub(crate) fn answer(
    call: &CallToolRequestParams,
    capabilities: &ClientCapabilities,
    states: RequestStates,
) -> Result<Option<Value>, ErrorData> {
    let tool = call.name.as_ref();
    let responses = call.input_responses.as_ref();
    let round = states.round(tool, call.request_state.as_deref())?;
    let has = |key: &str| responses.is_some_and(|responses| responses.get(key).is_some_and(Value::is_object));
    let state = |round| Some(states.after(tool, round));
    let confirm = || json!({ "confirm": elicitation("Do you want to continue?", "ok", "boolean") });
    Ok(Some(match tool {
        "test_input_required_result_elicitation" => match accepted(responses, "user_name", "name") {
            Some(name) => only(&format!("hello, {name}")),
            None => ask(json!({ "user_name": elicitation("Who are you?", "name", "string") }), None),
        },
        "test_input_required_result_sampling" if has("question") => only("the model has answered"),
        "test_input_required_result_sampling" => ask(json!({ "question": sampling("Which city is this?") }), None),
        "test_input_required_result_list_roots" if has("roots") => only("the roots are known"),
        "test_input_required_result_list_roots" => ask(json!({ "roots": roots() }), None),
        "test_input_required_result_request_state" | "test_input_required_result_tampered_state" => {
            if round == 1 && has("confirm") { only("state-ok") } else { ask(confirm(), state(1)) }
        }
        "test_input_required_result_multiple_inputs" if ["name", "greeting", "roots"].into_iter().all(has) => {
            only("all three are here")
        }
        "test_input_required_result_multiple_inputs" => {
            let name = elicitation("Who are you?", "name", "string");
            ask(json!({ "name": name, "greeting": sampling("Greet somebody."), "roots": roots() }), state(1))
        }
        "test_input_required_result_multi_round" => match round {
            1 if has("step1") => ask(json!({ "step2": elicitation("Which colour?", "color", "string") }), state(2)),
            2 if has("step2") => only("two rounds are done"),
            _ => ask(json!({ "step1": elicitation("Who are you?", "name", "string") }), state(1)),
        },
        "test_input_required_result_capabilities" => ask(questions_for(capabilities), None),
        "test_streaming_elicitation" if has("confirm") => only("it continues"),
        "test_streaming_elicitation" => ask(confirm(), None),
        "test_missing_capability" if capabilities.sampling.is_some() => only("the client can sample"),
        "test_missing_capability" => {
            let needed = shape(json!({ "sampling": {} }))?;
            return Err(ErrorData::missing_required_client_capability(needed));
        }
        _ => return Ok(None),
    }))
}

/// The intermediate result with `requests` to the client.
pub(crate) fn ask(requests: Value, state: Option<String>) -> Value {
    let mut result = json!({ "resultType": "input_required", "inputRequests": requests });
    if let (Some(state), Some(members)) = (state, result.as_object_mut()) {
        members.insert("requestState".to_owned(), state.into());
    }
    result
}

/// A request to the user with one field.
pub(crate) fn elicitation(message: &str, field: &str, kind: &str) -> Value {
    let schema = json!({ "type": "object", "properties": { field: { "type": kind } }, "required": [field] });
    json!({ "method": "elicitation/create", "params": { "message": message, "requestedSchema": schema } })
}

/// Returns the text of `field` in the form `key`, if the user has accepted the form.
pub(crate) fn accepted<'a>(responses: Option<&'a InputResponses>, key: &str, field: &str) -> Option<&'a str> {
    let form = responses?.get(key)?;
    (form.get("action")? == "accept").then(|| form.get("content")?.get(field)?.as_str())?
}

/// One request for each capability of the client.
fn questions_for(capabilities: &ClientCapabilities) -> Value {
    let sampling = capabilities.sampling.is_some().then(|| ("question", sampling("Which city is this?")));
    let elicitation = || ("user_name", elicitation("Who are you?", "name", "string"));
    sampling.into_iter().chain(capabilities.elicitation.is_some().then(elicitation)).collect()
}

fn sampling(words: &str) -> Value {
    let message = json!({ "role": "user", "content": { "type": "text", "text": words } });
    json!({ "method": "sampling/createMessage", "params": { "messages": [message], "maxTokens": 100 } })
}

fn roots() -> Value {
    json!({ "method": "roots/list" })
}
