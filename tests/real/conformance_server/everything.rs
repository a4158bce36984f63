//! The server, which dispatches the requests to the other modules.
#![expect(deprecated, reason = "the earlier revisions have members that the latest one deprecates")]

use std::sync::{Mutex, PoisonError};

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CompleteRequestParams, CompleteResult, GetPromptRequestParams,
    GetPromptResponse, Implementation, ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult,
    ListToolsResult, LoggingLevel, PaginatedRequestParams, ReadResourceRequestParams, ReadResourceResponse,
    ReadResourceResult, ServerCapabilities, ServerConfig, SetLevelRequestParams, SubscribeRequestParams,
    SubscriptionFilter, Tool, UnsubscribeRequestParams,
};
use rmcp::service::{RequestContext, SubscriptionContext};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::Value;

use crate::changes::{Changes, LaterChanges};
use crate::request_state::RequestStates;
use crate::shape::result;
use crate::{content, conversation, input_required, prompts, resources, tool_list};

/// Serves one session, or one request in revisions without sessions.
pub(crate) struct Everything {
    changes: Changes,
    /// The changes since the creation of this value, which is before the client learns of its subscription.
    later: LaterChanges,
    states: RequestStates,
    level: Mutex<Option<LoggingLevel>>,
}

impl Everything {
    pub(crate) fn new(changes: Changes, states: RequestStates) -> Self {
        Self { later: changes.later(), changes, states, level: Mutex::new(None) }
    }

    async fn tool_result(
        &self,
        call: &CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<Value, ErrorData> {
        if let Some(result) = content::answer(&call.name) {
            return Ok(result);
        }
        let level = context.meta.log_level().or(*self.level.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(result) = conversation::answer(call, context, level).await? {
            return Ok(result);
        }
        let capabilities = context.client_capabilities().unwrap_or_default();
        if let Some(result) = input_required::answer(call, &capabilities, self.states)? {
            return Ok(result);
        }
        match call.name.as_ref() {
            "test_trigger_tool_change" => self.changes.tools_changed(),
            "test_trigger_prompt_change" => self.changes.prompts_changed(),
            tool_list::SCHEMA | tool_list::HEADER => {}
            other => return Err(ErrorData::invalid_params(format!("the tool {other} does not exist"), None)),
        }
        Ok(content::only("it is done"))
    }
}

impl ServerHandler for Everything {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_completions()
            .enable_logging()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_tools()
            .enable_tool_list_changed()
            .build();
        ServerConfig::new(capabilities).with_server_info(Implementation::new("everything", env!("CARGO_PKG_VERSION")))
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        result(tool_list::list())
    }

    /// rmcp compares the headers of a call with this description of its arguments.
    fn get_tool(&self, name: &str) -> Option<Tool> {
        let list: ListToolsResult = result(tool_list::list()).ok()?;
        list.tools.into_iter().find(|tool| tool.name == name)
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let answer = self.tool_result(&call, &context).await?;
        Ok(match answer.get("inputRequests") {
            None => CallToolResponse::Complete(result(answer)?),
            Some(_) => CallToolResponse::InputRequired(result(answer)?),
        })
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        result(resources::list())
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        result(resources::templates())
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        result::<ReadResourceResult>(resources::read(&request.uri)?).map(ReadResourceResponse::Complete)
    }

    async fn subscribe(&self, request: SubscribeRequestParams, _: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        resources::exists(&request.uri)
    }

    async fn unsubscribe(
        &self,
        request: UnsubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        resources::exists(&request.uri)
    }

    /// Accepts every requested capability. rmcp removes those that this server does not have.
    fn accepted_subscription_filter(&self, requested: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(requested.clone())
    }

    async fn listen(&self, subscription: SubscriptionContext) -> Result<(), ErrorData> {
        self.later.clone().tell(subscription).await
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        result(prompts::list())
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let answer = prompts::get(&request)?;
        Ok(match answer.get("inputRequests") {
            None => GetPromptResponse::Complete(result(answer)?),
            Some(_) => GetPromptResponse::InputRequired(result(answer)?),
        })
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        result(prompts::completion(&request.argument.value))
    }

    async fn set_level(&self, request: SetLevelRequestParams, _: RequestContext<RoleServer>) -> Result<(), ErrorData> {
        *self.level.lock().unwrap_or_else(PoisonError::into_inner) = Some(request.level);
        Ok(())
    }
}
