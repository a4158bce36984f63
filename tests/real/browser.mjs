// A simulated browser: follows redirects, keeps cookies, and approves every form for one user.

/** Twice the steps of a login: authorization, login, back, consent, back, redirect. More steps are a loop. */
const MAX_STEPS = 12;
/** A hidden field of a form. */
const FIELD = /<input type="hidden" name="([^"]+)" value="([^"]*)">/g;
/** The first button approves. */
const BUTTON = /<button name="([^"]+)" value="([^"]*)"/;

export class Browser {
  /** The number of forms that the user had to submit. */
  forms = 0;
  #login;
  #cookies = new Map();

  constructor(login = 'alice') {
    this.#login = login;
  }

  /** Follows the login from `url` to `redirectUrl`, and returns the query parameters of that redirect. */
  async authorize(url, redirectUrl) {
    let response = await this.#request(url);
    for (let step = 0; step < MAX_STEPS; step += 1) {
      const location = response.headers.get('location');
      if (location) {
        const target = new URL(location, response.url);
        if (target.href.startsWith(redirectUrl)) return target.searchParams;
        response = await this.#request(target);
      } else {
        response = await this.#submitForm(response);
      }
    }
    throw new Error(`the authorization did not end within ${MAX_STEPS} steps`);
  }

  async #submitForm(response) {
    const page = await response.text();
    const action = /<form method="post" action="([^"]+)">/.exec(page)?.[1];
    if (response.status !== 200 || !action) throw new Error(`no form at ${response.url}: ${response.status} ${page}`);
    const form = new URLSearchParams({ login: this.#login });
    for (const [, name, value] of page.matchAll(FIELD)) form.set(name, value);
    const [, name, value] = BUTTON.exec(page) ?? [];
    if (name) form.set(name, value);
    this.forms += 1;
    return this.#request(new URL(action, response.url), { method: 'POST', body: form });
  }

  async #request(url, init = {}) {
    const headers = { cookie: this.#cookiesFor(new URL(url)) };
    const response = await fetch(url, { ...init, headers, redirect: 'manual' });
    for (const line of response.headers.getSetCookie()) this.#storeCookie(line);
    return response;
  }

  // The provider sets cookies with the same name for several paths.
  #storeCookie(line) {
    const [pair, ...attributes] = line.split(/;\s*/);
    const [name, value] = pair.split(/=(.*)/s);
    const attribute = (wanted) => {
      const found = attributes.find((text) => text.toLowerCase().startsWith(`${wanted}=`));
      return found?.slice(wanted.length + 1);
    };
    const path = attribute('path') ?? '/';
    const expires = attribute('expires');
    if (expires && Date.parse(expires) <= Date.now()) this.#cookies.delete(`${name} ${path}`);
    else this.#cookies.set(`${name} ${path}`, { name, value, path });
  }

  #cookiesFor(url) {
    return [...this.#cookies.values()]
      .filter(({ path }) => url.pathname.startsWith(path))
      .map(({ name, value }) => `${name}=${value}`)
      .join('; ');
  }
}
