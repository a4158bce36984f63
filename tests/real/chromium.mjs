// Starts headless Chromium from the path in `CHROMIUM`.

import { chromium } from 'playwright-core';

/** Starts the browser and opens an empty page. The browser closes when `t` ends. */
export async function openPage(t, { args }) {
  const browser = await chromium.launch({
    executablePath: path(),
    // Root cannot use the sandbox, and the browser only opens pages of the tests.
    chromiumSandbox: false,
    args,
  });
  t.after(() => browser.close());
  return browser.newPage();
}

function path() {
  const named = process.env.CHROMIUM;
  if (!named) throw new Error('set CHROMIUM to the path of the browser, as `tests/real/run` does');
  return named;
}
