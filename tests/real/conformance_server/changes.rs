//! Changes of the lists, and the notifications about them.

use rmcp::ErrorData;
use rmcp::service::{SubscriptionContext, SubscriptionSendError};
use tokio::sync::watch;

/// Sends the changes of the lists to all subscriptions.
#[derive(Clone, Default)]
pub(crate) struct Changes {
    tools: watch::Sender<()>,
    prompts: watch::Sender<()>,
}

/// The changes since the creation of this value.
#[derive(Clone)]
pub(crate) struct LaterChanges {
    tools: watch::Receiver<()>,
    prompts: watch::Receiver<()>,
}

impl Changes {
    pub(crate) fn tools_changed(&self) {
        self.tools.send_replace(());
    }

    pub(crate) fn prompts_changed(&self) {
        self.prompts.send_replace(());
    }

    pub(crate) fn later(&self) -> LaterChanges {
        LaterChanges { tools: self.tools.subscribe(), prompts: self.prompts.subscribe() }
    }
}

impl LaterChanges {
    /// Notifies a subscription of its changes until it ends.
    pub(crate) async fn tell(mut self, subscription: SubscriptionContext) -> Result<(), ErrorData> {
        let (sink, accepted) = (subscription.sink(), subscription.accepted());
        let (hears_tools, hears_prompts) =
            (accepted.tools_list_changed == Some(true), accepted.prompts_list_changed == Some(true));
        loop {
            let told = tokio::select! {
                () = subscription.cancelled() => return Ok(()),
                Ok(()) = self.tools.changed(), if hears_tools => sink.notify_tool_list_changed().await,
                Ok(()) = self.prompts.changed(), if hears_prompts => sink.notify_prompt_list_changed().await,
            };
            told.map_err(undeliverable)?;
        }
    }
}

fn undeliverable(error: SubscriptionSendError) -> ErrorData {
    ErrorData::internal_error(error.to_string(), None)
}
