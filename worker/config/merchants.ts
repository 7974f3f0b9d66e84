import { LineCounter, parseDocument } from 'yaml';
import { z } from 'zod';
import { KeyFault } from '../keys';

/** The contents of `MERCHANTS_FILE`: by merchant name, its settings as they would be in the environment. */
export type MerchantEntries = Record<string, Record<string, string>>;

/** The merchant that the environment itself configures. */
export const OWN_NAME = 'default';

const NAME = /^[a-z][a-z0-9-]{0,31}$/;

const entries = z.record(z.string(), z.record(z.string(), z.string()));

/**
 * Reads the YAML of `MERCHANTS_FILE`: a mapping of names to settings. All values are text, so that no id loses zeros.
 *
 * @throws KeyFault that names the line, and shows nothing of it
 */
export function parseMerchantsFile(file: Buffer): MerchantEntries {
  const lines = new LineCounter();
  const document = parseDocument(file.toString(), {
    schema: 'failsafe',
    lineCounter: lines,
    prettyErrors: false,
  });
  const [error] = document.errors;
  if (error) {
    const { line } = lines.linePos(error.pos[0]);
    throw new KeyFault(`is not YAML in line ${line} (${error.code})`);
  }
  const read = entries.safeParse(document.toJS({ maxAliasCount: 0 }) ?? {});
  if (!read.success) {
    const where = read.error.issues.map(({ path }) => path.join('.') || 'the whole file');
    throw new KeyFault(`is not a mapping of names to settings: check ${where.join(', ')}`);
  }
  const names = Object.keys(read.data).filter((name) => !NAME.test(name) || name === OWN_NAME);
  if (names.length > 0) {
    throw new KeyFault(
      `has names that are not allowed: ${names.map((name) => JSON.stringify(name.slice(0, 32))).join(', ')}; use lower-case ` +
        `letters, digits and -, and not ${OWN_NAME}, which is reserved for the environment`,
    );
  }
  return read.data;
}

/** A merchant's identity, and what else distinguishes its notifications. */
interface Identity {
  name: string;
  appId: string;
  sellerId: string;
  appAuthToken?: string | undefined;
}

/** Merchants that cannot be told apart, in words. They may share an application only if each has authorised it. */
export function clashesOf(merchants: readonly Identity[]): string[] {
  return merchants.flatMap((merchant, i) =>
    merchants.slice(0, i).flatMap((other) => {
      if (merchant.appId !== other.appId) return [];
      const both = `merchants ${other.name} and ${merchant.name}`;
      if (merchant.sellerId === other.sellerId) {
        return [`has ${both} with the same ALIPAY_APP_ID and ALIPAY_SELLER_ID: remove one`];
      }
      if (merchant.appAuthToken !== undefined && other.appAuthToken !== undefined) return [];
      return [
        `has ${both} with the same ALIPAY_APP_ID: set another one, or for merchants that have authorised this ` +
          'application (ISV) the ALIPAY_APP_AUTH_TOKEN_FILE of each',
      ];
    }),
  );
}
