import type { WhoAndWhy } from '../workflows/messages';
import { currentMerchantId, registerMerchant, requireMerchantId } from '../db/merchants';
import type { Pause, PauseDecision, PauseKind } from '../db/pauses';
import { listPauses, pause, resume } from '../db/pauses';
import type { ClientDependencies } from './dependencies';
import { explained } from './dependencies';
import { parsePause } from './input';

/** What to pause or resume. */
export interface PauseInput extends WhoAndWhy {
  what: PauseKind;
  /** Its name (`default`, or as in `MERCHANTS_FILE`) or its id. Without it: the refunds of all merchants. */
  merchant?: string;
}

/** The switches for a bad day, rows in Postgres: every process obeys from its next statement on, and after restarts. */
export type Pauses = ReturnType<typeof pausesOf>;

type Dependencies = Pick<ClientDependencies, 'db' | 'alipay'>;

export const pausesOf = (deps: Dependencies) => ({
  /**
   * Pauses refunds (nothing new is given back; what was sent is still proven) or a merchant (no checkout, no close;
   * checks and notifications continue). An existing pause stays as it is.
   *
   * @throws PaymentError INVALID_INPUT, NOT_FOUND if there is no such merchant
   */
  pause: (input: PauseInput): Promise<Pause> =>
    explained(async () => pause(deps.db, await decisionOf(deps, input))),
  /**
   * Ends a pause: waiting work continues within a minute, closing within two, a refund that was sent within ten.
   *
   * @throws PaymentError INVALID_INPUT, NOT_FOUND if it is not paused
   */
  resume: (input: PauseInput): Promise<Pause> =>
    explained(async () => resume(deps.db, await decisionOf(deps, input))),
  /** The pauses in force, the oldest first. */
  list: (): Promise<Pause[]> => explained(() => listPauses(deps.db)),
});

/** A pause in words. */
export const pauseInWords = ({ what, merchant }: Pause): string =>
  what === 'merchant' ? `merchant ${merchant ?? ''}` : `refunds of ${merchant ?? 'all merchants'}`;

/** The command that ends a pause. */
export const resumeCommand = ({ what, merchant }: Pause): string => {
  const which =
    what === 'merchant' ? ` ${merchant ?? ''}` : merchant === null ? '' : ` --merchant ${merchant}`;
  return `durable-alipay resume ${what}${which} --reason "…"`;
};

async function decisionOf(deps: Dependencies, input: PauseInput): Promise<PauseDecision> {
  const { merchant, ...said } = parsePause(input);
  return { ...said, merchant: merchant === undefined ? null : await merchantIdOf(deps, merchant) };
}

/** A merchant of this process may have no order yet, and so no row. A corrected merchant is known by its new id. */
export async function merchantIdOf({ db, alipay }: Dependencies, nameOrId: string): Promise<string> {
  const own = alipay.all.find(({ settings }) => settings.name === nameOrId);
  const id = await (own ? registerMerchant(db, own.settings) : requireMerchantId(db, nameOrId));
  return currentMerchantId(db, id);
}
