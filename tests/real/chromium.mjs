// Chromium itself, without a window: the one that `CHROMIUM` names.

import { chromium } from 'playwright-core';

/** Starts the browser, which lives as long as `t`, and opens an empty page in it. */
export async function openPage(t, { args }) {
  const browser = await chromium.launch({
    executablePath: path(),
    // Root cannot have it; and no page is opened here but our own.
    chromiumSandbox: false,
    args,
  });
  t.after(() => browser.close());
  return browser.newPage();
}

function path() {
  const named = process.env.CHROMIUM;
  if (!named) throw new Error('CHROMIUM has to name the browser; `tests/real/run` finds or installs it and says where');
  return named;
}
