// The login and consent pages of Spring in Chromium. Has the interface of `Browser`.

import { openPage } from './chromium.mjs';

export class SpringPages {
  /** The paths of the pages on which the user submitted a form. */
  forms = [];
  #page;

  /** Opens the browser. It closes when `t` ends. */
  static async open(t) {
    const pages = new SpringPages();
    pages.#page = await openPage(t, { args: [] });
    return pages;
  }

  /**
   * Logs alice in unless she has a session, and grants all requested scopes. Returns the query parameters of the
   * redirect to `redirectUrl`.
   */
  async authorize(url, redirectUrl) {
    const page = this.#page;
    // Nothing listens at the redirect URL, so the browser shows an error page there.
    const redirect = page.waitForRequest((request) => request.url().startsWith(redirectUrl));
    await page.goto(url.href);
    if (await page.locator('#username').isVisible()) {
      await page.locator('#username').fill('alice');
      await page.locator('#password').fill('alice');
      await this.#submit('button[type=submit]');
    }
    // The scopes of an earlier consent are disabled.
    for (const scope of await page.locator('input[name=scope]:enabled').all()) await scope.check();
    await this.#submit('#submit-consent');
    return new URL((await redirect).url()).searchParams;
  }

  #submit(button) {
    this.forms.push(new URL(this.#page.url()).pathname);
    return this.#page.locator(button).click();
  }
}
