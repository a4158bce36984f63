use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Event;

/// Receives all events of a resource server, for example for an audit log.
///
/// It is called on the task of the request, before the response. It must return quickly: send the values to another task
/// if it takes time to store them. A panic in it is caught, and the event is lost.
///
/// Every closure with one parameter of the type `&Event` is an observer:
///
/// ```
/// use mcp_bearer::events::Event;
/// use mcp_bearer::{Issuer, ResourceServer};
///
/// let builder = ResourceServer::builder("https://mcp.example.com/mcp")
///     .issuer(Issuer::discover("https://auth.example.com"))
///     .observer(|event: &Event<'_>| match event {
///         Event::TokenAccepted(accepted) => {
///             println!("{:?} calls {}", accepted.subject, accepted.request.path());
///         }
///         Event::TokenRejected(rejected) => println!("rejected: {}", rejected.cause),
///         _ => {}
///     });
/// ```
pub trait Observer: Send + Sync + 'static {
    /// Handles one event. The references in it are valid during the call only.
    fn observe(&self, event: &Event<'_>);
}

impl<F> Observer for F
where
    F: Fn(&Event<'_>) + Send + Sync + 'static,
{
    fn observe(&self, event: &Event<'_>) {
        self(event);
    }
}

/// Calls an observer. A panic must not become the failure of a request.
pub(super) fn notify(observer: &dyn Observer, event: &Event<'_>) {
    _ = catch_unwind(AssertUnwindSafe(|| observer.observe(event)));
}
