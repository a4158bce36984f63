// Alice in Chromium, who logs in on the pages of Keycloak. It has the interface of `Browser`.

import { openPage } from './chromium.mjs';

/** The time limit for each page, in milliseconds. */
const LIMIT = 20_000;
/** An element that only this page has. The main button of both pages has the same id. */
const LOGIN_PAGE = '#username';
const CONSENT_PAGE = '#kc-cancel';
const BUTTON = '#kc-login';

export class KeycloakUser {
  /** The pages that Alice had to answer: `login` and `consent`. */
  pages = [];
  #page;

  /** Opens a browser without cookies. It closes when `t` ends. */
  static async open(t) {
    const user = new KeycloakUser();
    user.#page = await openPage(t, { args: [] });
    user.#page.setDefaultTimeout(LIMIT);
    return user;
  }

  /** Follows the login from `url` to `redirectUrl`, and returns the query parameters of that redirect. */
  async authorize(url, redirectUrl) {
    const page = this.#page;
    const redirected = page.waitForRequest((request) => request.url().startsWith(redirectUrl));
    // The request to the redirect URL fails, because nothing listens there.
    page.goto(url.href).catch(() => {});
    if ((await this.#shows(redirected, LOGIN_PAGE, CONSENT_PAGE)) === LOGIN_PAGE) {
      this.pages.push('login');
      await page.fill(LOGIN_PAGE, 'alice');
      await page.fill('#password', 'alice');
      await page.click(BUTTON);
    }
    if (await this.#shows(redirected, CONSENT_PAGE)) {
      this.pages.push('consent');
      await page.click(BUTTON);
    }
    return new URL((await redirected).url()).searchParams;
  }

  /** Waits for a page with one of the elements, and returns its selector, or `undefined` after the redirect. */
  async #shows(redirected, ...selectors) {
    const shown = selectors.map((selector) => this.#page.waitForSelector(selector).then(() => selector));
    const ends = [redirected.then(() => undefined), ...shown];
    // Only the first one counts: the others time out later.
    ends.forEach((end) => end.catch(() => {}));
    try {
      return await Promise.race(ends);
    } catch (error) {
      throw new Error(`${error.message}\n${await this.#page.innerText('body')}`);
    }
  }
}
