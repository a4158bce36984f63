use reqwest::redirect::Policy;
use reqwest::{Client, header};
use url::Url;

use crate::Failure;

/// Approves a request on the consent page of the development server, as a user does.
pub(crate) async fn approve(page: &str) -> Result<(), Failure> {
    // The client does not follow redirects, because it must stop at the callback.
    let browser = Client::builder().redirect(Policy::none()).build()?;
    let shown = browser.get(page).send().await?;
    let status = shown.status();
    let html = shown.text().await?;
    let Some(request) = hidden_field(&html) else {
        return Err(format!("--approve does not support the page of this authorization server ({status})").into());
    };
    let form = [("request", request), ("decision", "approve")];
    let answered = browser.post(Url::parse(page)?.join("/authorize")?).form(&form).send().await?;
    let target = answered.headers().get(header::LOCATION).and_then(|target| target.to_str().ok());
    let target =
        target.ok_or_else(|| format!("the authorization server did not accept the approval: {}", answered.status()))?;
    browser.get(target).send().await?.error_for_status()?;
    Ok(())
}

/// Returns the value of the only hidden field of the page.
fn hidden_field(html: &str) -> Option<&str> {
    let (_, after) = html.split_once("name=\"request\" value=\"")?;
    after.split_once('"').map(|(value, _)| value)
}
