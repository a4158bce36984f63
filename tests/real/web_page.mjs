// A web page in Chromium. Its methods run inside the page, so that CORS applies.

import { openPage } from './chromium.mjs';
import { startWebSite } from './web_site.mjs';

export class WebPage {
  #page;

  /** Opens a page of a site with the name `host`. The browser and the site stop when `t` ends. */
  static async open(t, { host = 'localhost' } = {}) {
    const page = new WebPage();
    page.origin = await startWebSite(t, host);
    page.#page = await openPage(t, { args: [`--host-resolver-rules=MAP ${host} 127.0.0.1`] });
    await page.#page.goto(page.origin);
    return page;
  }

  /** Like `send` of `wire.mjs`, but only with the headers that the page may read. */
  async send(url, init) {
    const { headers, ...answer } = await this.#client('send', url, init);
    return { ...answer, headers: new Headers(headers) };
  }

  /** Logs in to the server at `url`, approves the request, and returns the tokens. */
  async logIn(url) {
    const authorizationUrl = await this.#client('startLogin', url);
    await this.#page.evaluate((target) => location.assign(target), authorizationUrl);
    await this.#page.getByRole('button', { name: 'Approve', exact: true }).click();
    await this.#page.waitForURL(`${this.origin}/callback?*`);
    return this.#client('finishLogin');
  }

  /** Calls a function of `web_client.mjs`. */
  async #client(name, ...args) {
    const call = async ([name, args]) => (await import('/web_client.mjs'))[name](...args);
    try {
      return await this.#page.evaluate(call, [name, args]);
    } catch (error) {
      // A script cannot see why a request failed; the browser writes the CORS error to the console.
      const messages = (await this.#page.consoleMessages()).map((message) => message.text());
      throw new Error([error.message, ...messages].join('\n'));
    }
  }
}
