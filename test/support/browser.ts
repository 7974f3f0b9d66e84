import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { describe } from '@jest/globals';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { chromium } from 'playwright-core';
import { surroundings } from './surroundings';

// Shows a test file this application in a real browser. Not in index.ts, so that other tiers do not load playwright.

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];

const ARGUMENTS = [
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

const executable = findChromium();
if (executable === undefined) {
  process.stderr.write(
    `Skipped: tests in a real browser. Not found: ${process.env['CHROMIUM'] ?? NAMES.join(', ')}. ` +
      'Install Chromium (Debian: apt-get install chromium), or set CHROMIUM to its path.\n',
  );
}

/** `describe`, skipped if this machine has no Chromium. */
export const describeInBrowser = executable === undefined ? describe.skip : describe;

function findChromium(): string | undefined {
  const { CHROMIUM, PATH = '' } = process.env;
  const candidates =
    CHROMIUM === undefined
      ? PATH.split(delimiter).flatMap((folder) => NAMES.map((name) => join(folder, name)))
      : [CHROMIUM];
  return candidates.find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Starts the machine's Chromium with its own profile; the test file closes it. */
export function openBrowser(): Promise<Browser> {
  if (executable === undefined) throw new Error('No Chromium here: use describeInBrowser');
  // Tests run as root in containers, where Chromium cannot use its sandbox.
  return chromium.launch({
    executablePath: executable,
    headless: true,
    chromiumSandbox: false,
    args: ARGUMENTS,
  });
}

/** A new page in its own context, without cookies; it shows times in UTC. */
export async function openPage(browser: Browser, options: BrowserContextOptions = {}): Promise<Page> {
  const context = await browser.newContext({ timezoneId: 'UTC', ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(45_000);
  return page;
}

/** An address in the Web UI of this run's Temporal. */
export function webUi(namespace: string, path: string): string {
  return `${surroundings('servers').webUi}/namespaces/${namespace}/${path}`;
}

/** Sends an update to the run that the Web UI shows, as a person does. */
export async function sendUpdate(page: Page, name: string, input: object): Promise<void> {
  await page.getByRole('button', { name: 'More Actions' }).first().click();
  await page.getByRole('menuitem', { name: 'Send an Update' }).first().click();
  const dialog = page.locator('dialog[open]');
  await dialog.getByTestId('update-select-button').click();
  await dialog.getByRole('option', { name }).click();
  // In the editor's own layout: otherwise it would move the button away from the mouse.
  await dialog
    .getByRole('textbox')
    .last()
    .fill(JSON.stringify(input, null, 2));
  await dialog.getByRole('button', { name: 'Submit' }).click();
}

/** With `SCREENSHOTS=1` the pictures of the README and the docs are taken again. */
export const takesScreenshots = process.env['SCREENSHOTS'] === '1';

/** Takes a picture of the screen for the README and docs, if they are wanted; `height`: only of its upper part. */
export async function screenshot(
  page: Page,
  name: string,
  { height, folder = 'docs/images' }: { height?: number; folder?: string } = {},
): Promise<void> {
  if (!takesScreenshots) return;
  const path = join(__dirname, '..', '..', folder, `${name}.png`);
  const { width = 0, height: all = 0 } = page.viewportSize() ?? {};
  await page.screenshot({ path, animations: 'disabled', clip: { x: 0, y: 0, width, height: height ?? all } });
}
