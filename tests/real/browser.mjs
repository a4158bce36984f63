// A person's browser without the person: follows redirects, keeps cookies, and says yes to every form under one name.

/** Authorization, login, back, consent, back, and the redirect to the client; twice that is a loop. */
const MAX_STEPS = 12;
/** What a form sends unasked. */
const FIELD = /<input type="hidden" name="([^"]+)" value="([^"]*)">/g;
/** The first button is the one that says yes. */
const BUTTON = /<button name="([^"]+)" value="([^"]*)"/;

export class Browser {
  /** How many forms it has answered, so many questions had the person to answer. */
  answers = 0;
  #login;
  #cookies = new Map();

  constructor(login = 'alice') {
    this.#login = login;
  }

  /** Goes to `url` and on, until it is sent to `redirectUrl`; returns the parameters that it got for there. */
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
    this.answers += 1;
    return this.#request(new URL(action, response.url), { method: 'POST', body: form });
  }

  async #request(url, init = {}) {
    const headers = { cookie: this.#cookiesFor(new URL(url)) };
    const response = await fetch(url, { ...init, headers, redirect: 'manual' });
    for (const line of response.headers.getSetCookie()) this.#keep(line);
    return response;
  }

  // The provider scopes its cookies by path and sets the same name for several of them.
  #keep(line) {
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
