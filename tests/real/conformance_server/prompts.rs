//! The prompts, and the completion of their arguments.

use rmcp::ErrorData;
use rmcp::model::GetPromptRequestParams;
use serde_json::{Value, json};

use crate::content::{resource, text};
use crate::input_required::{accepted, ask, elicitation};
use crate::media::image;

pub(crate) fn list() -> Value {
    let argument = |name: &str| json!({ "name": name, "description": "A part of the message", "required": true });
    json!({ "prompts": [
        { "name": "test_simple_prompt", "description": "A message" },
        {
            "name": "test_prompt_with_arguments",
            "description": "A message with its arguments",
            "arguments": [argument("arg1"), argument("arg2")],
        },
        {
            "name": "test_prompt_with_embedded_resource",
            "description": "A resource to work on",
            "arguments": [argument("resourceUri")],
        },
        { "name": "test_prompt_with_image", "description": "An image to work on" },
        { "name": "test_input_required_result_prompt", "description": "A message with the input of the user" },
    ] })
}

/// Returns a prompt, or the request that must be answered first.
pub(crate) fn get(request: &GetPromptRequestParams) -> Result<Value, ErrorData> {
    let argument = |name: &str| {
        let value = request.arguments.as_ref().and_then(|arguments| arguments.get(name)?.as_str());
        value.ok_or_else(|| ErrorData::invalid_params(format!("the argument {name} is missing"), None))
    };
    let context = accepted(request.input_responses.as_ref(), "user_context", "context");
    let question = ask(json!({ "user_context": elicitation("What is it about?", "context", "string") }), None);
    let contents = match request.name.as_str() {
        "test_simple_prompt" => vec![text("Say something.")],
        "test_prompt_with_arguments" => {
            vec![text(&format!("Compare {} and {}.", argument("arg1")?, argument("arg2")?))]
        }
        "test_prompt_with_embedded_resource" => {
            vec![resource(argument("resourceUri")?, "text/plain", "a resource inside"), text("Sum this up.")]
        }
        "test_prompt_with_image" => vec![image(), text("Describe this.")],
        "test_input_required_result_prompt" => match context {
            Some(context) => vec![text(&format!("Write about {context}."))],
            None => return Ok(question),
        },
        other => return Err(ErrorData::invalid_params(format!("the prompt {other} does not exist"), None)),
    };
    let messages: Vec<_> = contents.into_iter().map(|content| json!({ "role": "user", "content": content })).collect();
    Ok(json!({ "messages": messages }))
}

/// Returns the completions of an argument with this start.
pub(crate) fn completion(beginning: &str) -> Value {
    let values: Vec<_> = WORDS.into_iter().filter(|word| word.starts_with(beginning)).collect();
    json!({ "completion": { "values": values, "total": values.len(), "hasMore": false } })
}

const WORDS: [&str; 3] = ["test", "testimony", "text"];
