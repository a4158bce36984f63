// A page of a web site, open in Chromium. What is asked of it happens inside the page, so that CORS is in force.

import { openPage } from './chromium.mjs';
import { startWebSite } from './web_site.mjs';

export class WebPage {
  #page;

  /** The browser and the site, which has the name `host`, live as long as `t`. */
  static async open(t, { host = 'localhost' } = {}) {
    const page = new WebPage();
    page.origin = await startWebSite(t, host);
    page.#page = await openPage(t, { args: [`--host-resolver-rules=MAP ${host} 127.0.0.1`] });
    await page.#page.goto(page.origin);
    return page;
  }

  /** Like `send` of `wire.mjs`; but the headers are those that the page may read. */
  async send(url, init) {
    const { headers, ...answer } = await this.#client('send', url, init);
    return { ...answer, headers: new Headers(headers) };
  }

  /** Logs in to the server at `url`, where the user approves; returns the tokens. */
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
      // A script learns only that it failed; the browser tells the console what CORS forbade.
      const said = (await this.#page.consoleMessages()).map((message) => message.text());
      throw new Error([error.message, ...said].join('\n'));
    }
  }
}
