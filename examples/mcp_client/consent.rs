use reqwest::redirect::Policy;
use reqwest::{Client, header};
use url::Url;

use crate::Failure;

/// Does what a person does on the development server's consent page: reads it, and presses "Approve".
pub(crate) async fn approve(page: &str) -> Result<(), Failure> {
    // The redirect is followed by hand, as far as the callback and no further.
    let browser = Client::builder().redirect(Policy::none()).build()?;
    let shown = browser.get(page).send().await?;
    let status = shown.status();
    let html = shown.text().await?;
    let Some(request) = hidden_field(&html) else {
        return Err(
            format!("the page of the authorization server ({status}) has no question that --approve knows").into()
        );
    };
    let form = [("request", request), ("decision", "approve")];
    let answered = browser.post(Url::parse(page)?.join("/authorize")?).form(&form).send().await?;
    let target = answered.headers().get(header::LOCATION).and_then(|target| target.to_str().ok());
    let target = target.ok_or_else(|| format!("the answer was not taken: {}", answered.status()))?;
    browser.get(target).send().await?.error_for_status()?;
    Ok(())
}

/// The page has one hidden field.
fn hidden_field(html: &str) -> Option<&str> {
    let (_, after) = html.split_once("name=\"request\" value=\"")?;
    after.split_once('"').map(|(value, _)| value)
}
