// The pages beside Ory Hydra in Chromium. Has the interface of `Browser`.

import { openPage } from './chromium.mjs';

export class HydraBrowser {
  #page;

  /** Opens the browser. It closes when `t` ends. */
  static async open(t) {
    const browser = new HydraBrowser();
    browser.#page = await openPage(t, { args: [] });
    return browser;
  }

  /** Logs alice in, and grants all requested scopes. Returns the query parameters of the redirect to `redirectUrl`. */
  async authorize(url, redirectUrl) {
    const page = this.#page;
    // Nothing listens at the redirect URL, so the browser shows an error page there.
    const redirect = page.waitForRequest((request) => request.url().startsWith(redirectUrl));
    await page.goto(url.href);
    await page.getByLabel('Name').fill('alice');
    await page.getByRole('button', { name: 'Accept' }).click();
    await page.getByText('asks alice for:').waitFor();
    await page.getByRole('button', { name: 'Accept' }).click();
    return new URL((await redirect).url()).searchParams;
  }
}
